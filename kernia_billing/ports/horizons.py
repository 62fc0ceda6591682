"""How far back books are kept, as the core sees it, and what is thrown away beyond that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.instants import Instant
from ..domain.keeping import Horizon, OverBucket


class Horizons(Protocol):
    """billing_horizon, and what of the books of one customer lies beyond it."""

    def get(self, customer_id: str, *, locked: bool = False) -> Horizon | None:
        """How far back the books of a customer are whole, None for all the way; `locked` sees the newest."""
        ...

    def lock(self, customer_id: str) -> None:
        """Keep everybody else from writing to the books of a customer until the end of the transaction."""
        ...

    def put(self, horizon: Horizon) -> None:
        """Insert or overwrite."""
        ...

    def note_swept(self, horizon: Horizon) -> None:
        """Note that everything up to a horizon has gone that may go, unless it has moved."""
        ...

    def customers(self, after: str, before: Instant, limit: int) -> Sequence[tuple[str, bool]]:
        """The next customers by their ids, and whether there may be anything of them that is of before an instant."""
        ...

    def kept_from(self, customer_id: str, before: Instant) -> Instant:
        """When the first usage limit began to count that still did at an instant; the instant where none did."""
        ...

    def use_from(self, customer_id: str, seq: int) -> tuple[int, Instant] | None:
        """The first use of the write `seq` or of a later one: its number, and when it was recorded."""
        ...

    def over(self, customer_id: str, kept_from: Instant, after: str, limit: int) -> Sequence[OverBucket]:
        """Buckets that were over at an instant, by their ids from just after one, so many at most.

        Over is the bucket of a period that has ended, and that of a grant without periods that has ended, unless a
        plan gave it. Those of which anything is held are left out, and those whose usage counts in another one that is
        there.
        """
        ...

    def drop_buckets(self, bucket_ids: Sequence[str]) -> None:
        """Delete buckets and what was noted of their states."""
        ...

    def sweep_lines(self, horizon: Horizon, after: tuple[int, int], limit: int) -> Sequence[tuple[int, int]]:
        """Delete the first lines after one, up to the horizon, of buckets that are gone; the numbers of what went."""
        ...

    def sweep_uses(self, horizon: Horizon, after: int, limit: int) -> Sequence[int]:
        """Delete the first uses after a number, up to the horizon, of which no line is left; their numbers.

        Those that are said to have happened since `kept_from` stay.
        """
        ...

    def sweep_states(self, horizon: Horizon, limit: int) -> int:
        """Delete what was noted of grants and plans and was followed by another state up to the horizon; how many.

        The first state of a grant stays: it tells when it was given.
        """
        ...
