"""The command as a process, forked from one that has imported it already: most of a short command is imports."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from attrs import frozen

from kernia_billing.cli import main

PATIENCE = 60
_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(
    [
        __name__,
        "kernia_billing._aio.billing",
        "kernia_billing._blocking.billing",
        "kernia_billing.storage.blocking",
        "kernia_billing.stripe.client",
    ]
)


@frozen
class Ran:
    """How a command ended, and what it printed."""

    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        """The documents on stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run(folder: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> Ran:
    """Run the command with these arguments in a folder, to its end."""
    out, err = folder / "stdout.txt", folder / "stderr.txt"
    process = _SERVER.Process(target=_command, args=(folder, {**os.environ, **environment}, arguments, out, err))
    process.start()
    process.join(PATIENCE)
    process.kill()
    return Ran(process.exitcode, out.read_text(), err.read_text())


def _command(folder: Path, environment: Mapping[str, str], arguments: Sequence[str], out: Path, err: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.path.insert(0, str(folder))
    warnings.simplefilter("error")
    main(arguments, prog_name="kernia-billing")
