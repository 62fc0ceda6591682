"""Every console example of the documentation runs, page by page, and prints what the page says."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kernia_billing.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([a-z]+\.py)\n")
RUNS = [page for page in PAGES if "```console\n$ export KERNIA_BILLING_APP" in page.read_text()]


@pytest.mark.parametrize("page", RUNS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python blocks that begin with the name of a file are that file, the others run; commands run between them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    names: dict[str, object] = {"__name__": "example"}
    try:
        for kind, text in BLOCK.findall(page.read_text()):
            if kind == "console":
                for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                    line, _, expected = command.partition("\n")
                    run(line, expected, monkeypatch)
            elif named := FILE.match(text):
                Path(named[1]).write_text(text)
                exec(f"from {named[1].removesuffix('.py')} import *", names)
            else:
                exec(compile(text, str(page), "exec"), names)
    finally:
        shop = sys.modules.pop("shop", None)
        if shop is not None:
            shop.billing.close()


def run(command: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one line of a console; `…` in what it prints stands for anything."""
    words = shlex.split(command)
    if words[0] == "export":
        monkeypatch.setenv(*words[1].split("=", 1))
        return
    assert words[0] == "kernia-billing"
    ended = CliRunner().invoke(main, words[1:], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    pattern = "".join(".*" if part == "…" else re.escape(part) for part in re.split("(…)", expected.strip()))
    assert re.fullmatch(pattern, ended.output.strip(), re.DOTALL), (command, ended.output)


def test_every_command_is_listed() -> None:
    """The reference names each command."""
    text = (ROOT / "docs/reference/command-line.md").read_text()
    commands: list[str] = []
    for name, each in main.commands.items():
        inner = list(each.commands) if isinstance(each, click.Group) else [""]
        commands += [f"{name} {verb}".strip() for verb in inner]
    assert [each for each in commands if f"`{each}`" not in text] == []
    assert any(page.name == "operate.md" for page in RUNS)
