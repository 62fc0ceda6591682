"""What commands print: tables and lines for people, JSON for programs. Answers on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

import attrs
import click
from rich.console import Console
from rich.table import Table

from ..domain.references import Reference
from ..domain.secret import Secret

_UNLIMITED = 10_000


class Output:
    """Prints for people, or as JSON."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: str) -> None:
        """A message, which is no part of the answer."""
        click.echo(text, err=True)

    def document(self, value: object, lines: Iterable[str]) -> None:
        """One answer: a JSON document, or lines."""
        if self.as_json:
            click.echo(json.dumps(plain(value)))
        else:
            for line in lines:
                click.echo(line)

    def rows(self, values: Sequence[object], columns: Sequence[str], empty: str) -> None:
        """Many answers of a kind: a JSON document a line, or a table of these columns."""
        if self.as_json:
            for each in values:
                click.echo(json.dumps(plain(each)))
        elif values:
            table = Table(box=None, pad_edge=False)
            for each in columns:
                table.add_column(each.replace("_", " "), overflow="fold")
            for each in values:
                fields = cast("dict[str, Any]", plain(each))
                table.add_row(*(shown(fields[name]) for name in columns))
            _console().print(table)
        else:
            self.say(empty)


def _console() -> Console:
    """Where tables go: as wide as the terminal, or as wide as they are where there is none."""
    width = None if sys.stdout.isatty() else _UNLIMITED
    return Console(width=width, highlight=False, markup=False, emoji=False)


def plain(value: object) -> object:
    """A value as JSON has it: instants in ISO 8601, references as id and type; secrets are not shown."""
    if isinstance(value, Secret):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, Reference):
        return {"id": value.id, "type": value.type}
    kind: Any = type(value)
    if attrs.has(kind):
        return {each.name: plain(getattr(value, each.name)) for each in attrs.fields(kind)}
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in cast("Mapping[object, object]", value).items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(each) for each in cast("Sequence[object]", value)]
    return value


def shown(value: object) -> str:
    """A value of `plain` in a table."""
    if value is None:
        return "-"
    if isinstance(value, dict) and set(cast("dict[str, object]", value)) == {"id", "type"}:
        return str(cast("dict[str, object]", value)["id"])
    return value if isinstance(value, str) else json.dumps(value)
