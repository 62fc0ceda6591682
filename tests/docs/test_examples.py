"""Every Python example of the documentation runs, page by page."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from kernia_billing import Billing

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITH_CODE = [page for page in PAGES if BLOCK.search(page.read_text())]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of a page run from top to bottom, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    text = page.read_text()
    names: dict[str, object] = {"__name__": "example"}

    with ExitStack() as opened:
        for block in BLOCK.finditer(text):
            line = text[: block.start(1)].count("\n")
            before = dict(names)
            try:
                exec(compile("\n" * line + block.group(1), str(page), "exec"), names)
            finally:  # Block by block: a later one may give a name to another object.
                for name, value in names.items():
                    if value is not before.get(name):
                        close_with(opened, value)


def close_with(opened: ExitStack, value: object) -> None:
    """Close what an example opened when the page is over; examples leave it to the end of their program."""
    if type(value) is Billing:
        opened.callback(value.close)
    elif type(value) is Engine:
        opened.callback(value.dispose)


def test_the_first_page_has_an_example() -> None:
    """The README shows code, and so do the tutorial and the recipes."""
    assert {"README.md", "tutorial.md", "mount.md", "transactions.md"} <= {page.name for page in WITH_CODE}
