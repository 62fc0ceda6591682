"""What the reference shows is there, so that a module that moves takes its page along."""

from __future__ import annotations

import re
from pathlib import Path
from pkgutil import resolve_name

from kernia_billing.http.routes import KAVACH_ROUTES, ROUTES

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
SHOWN = re.compile(r"^\.\. auto\w+:: (\S+)$", re.MULTILINE)


def test_what_is_shown_is_there() -> None:
    """Every name after an autodoc directive can be imported."""
    names = [name for page in sorted(DOCS.rglob("*.md")) for name in SHOWN.findall(page.read_text())]

    assert "kernia_billing.Billing" in names
    for name in names:
        assert resolve_name(name) is not None, name


def test_every_route_is_listed() -> None:
    """The page of the routes has a line for each, with what it does and who may call it, and no other."""
    lines = (DOCS / "reference" / "http.md").read_text().splitlines()
    listed = [line for line in lines if line.startswith(("| `GET ", "| `POST "))]

    assert listed == [
        f"| `{route.method} {route.path}` | {route.summary} | `{route.action}` |" for route in (*ROUTES, *KAVACH_ROUTES)
    ]
