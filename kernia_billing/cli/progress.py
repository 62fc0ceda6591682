"""How far a long command is: bars on a terminal, a line now and then elsewhere. On stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

EVERY = 1_000
"""Without a terminal, a line for every so many objects of a kind."""
Note = Callable[[str, int], object]


@contextmanager
def progress() -> Generator[Note]:
    """A function that is told a kind and how many of it are done."""
    if sys.stderr.isatty():
        with _bars() as bars:
            yield _Bars(bars)
    else:
        yield _Lines()


def _bars() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True))


class _Bars:
    """One bar a kind; nobody knows how many there are, so it moves and does not fill."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, float]] = {}

    def __call__(self, kind: str, done: int) -> None:
        if kind not in self._tasks:
            self._tasks[kind] = (self._bars.add_task(kind, total=None, rate=""), time.monotonic())
        task, begun = self._tasks[kind]
        seconds = time.monotonic() - begun
        self._bars.update(task, completed=done, rate=f"{done / seconds:,.0f}/s" if seconds > 1 else "")


class _Lines:
    """The first page of a kind, and every thousand."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}

    def __call__(self, kind: str, done: int) -> None:
        step = done // EVERY
        if self._told.get(kind) != step:
            self._told[kind] = step
            click.echo(f"{kind}: {done}", err=True)
