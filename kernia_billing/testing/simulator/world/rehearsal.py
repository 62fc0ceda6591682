"""Doing something for a look at what would come of it: afterwards everything is as it was.

Previews rest on this, and so do the changes that are made only if they can be paid.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING

from .agenda import Agenda
from .errors import Json

if TYPE_CHECKING:
    from .world import World

_UNTOUCHED = (
    "billing_portal.configuration",
    "billing_portal.session",
    "checkout.session",
    "product",
    "webhook_endpoint",
)
"""What nothing that is rehearsed changes, so that it need not be copied."""


@contextmanager
def rehearsal(world: World) -> Generator[None]:
    """Take back every change of objects and of the agenda that is made inside, and emit nothing.

    Take with you what you want to keep as deep copies.
    """
    kept = {kind: _copied(table.rows) for kind, table in world.tables.items() if kind not in _UNTOUCHED}
    agenda, muted = world.agenda, world.events.muted
    world.agenda, world.events.muted = Agenda(agenda.current), True
    try:
        yield
    finally:
        world.agenda, world.events.muted = agenda, muted
        for kind, rows in kept.items():
            _restore(world.table(kind).rows, rows)


def _copied(rows: dict[str, Json]) -> list[tuple[str, Json, Json]]:
    return [(id, row, deepcopy(row)) for id, row in rows.items()]


def _restore(rows: dict[str, Json], kept: list[tuple[str, Json, Json]]) -> None:
    """Put the former values back into the very rows, which others may hold."""
    rows.clear()
    for id, row, before in kept:
        row.clear()
        row.update(before)
        rows[id] = row
