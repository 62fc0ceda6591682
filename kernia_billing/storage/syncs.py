"""billing_sync_state: how far imports are."""

from __future__ import annotations

from attrs import evolve

from ..domain.instants import FOREVER
from ..domain.upkeep import SyncState
from .db import Noun, Shape
from .dialects import upsert
from .tables import sync_state as t
from .types import text_param

_SHAPE = Shape(SyncState, t, cursor="page_cursor")
_GET = _SHAPE.select().where(t.c.kind == text_param("of"))
_PUT = upsert(t, "kind")


class Syncs(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, kind: str) -> SyncState | None:
        """How the last import of a kind went, or goes."""
        state = _SHAPE.read_or_none(self._db.one(_GET, {"of": kind}))
        return evolve(state, finished_at=None) if state is not None and state.finished_at == FOREVER else state

    def put(self, state: SyncState) -> None:
        """Note how an import goes."""
        values = _SHAPE.values(state)
        if state.finished_at is None:
            values["finished_at"] = FOREVER
        self._db.run(_PUT, values)
