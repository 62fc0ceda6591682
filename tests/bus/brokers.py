"""A broker of a test's own, to be killed and started again over the same data."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from attrs import define, field

from tests.servers import answers, broker_command, broker_url

_PATIENCE = 30.0


@define(eq=False)
class Broker:
    """A Redis or NATS server whose files outlive it."""

    kind: str
    home: Path
    _command: list[str] = field(init=False)
    _place: Path = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._command, self._place = broker_command(self.kind, self.home)

    @property
    def url(self) -> str:
        """Where it is."""
        return broker_url(self.kind, self._place)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        user = "nobody" if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(self.home, user)
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, user=user)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                return answers(self.kind, self._place)
            except OSError:
                assert self._process.poll() is None, (self.home / "log").read_text()
                assert time.monotonic() < end, "it does not answer"

    def kill(self) -> None:
        """Kill it at once, wherever it is."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
