"""What is due, and when: renewals, trial ends, the draft hour, retries, expiries."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field

if TYPE_CHECKING:
    from .world import World

Job: TypeAlias = "Callable[[World, str], None]"
"""Takes the world and the id of an object. It looks first whether it still has anything to do: entries of the agenda
are never taken back, so that a job may find its object changed, ended or moved."""


@define
class Agenda:
    """Entries in time order; those of one second run in the order in which they were written."""

    _entries: list[tuple[int, int, Job, str]] = field(factory=list[tuple[int, int, "Job", str]], init=False)
    _sequence: count[int] = field(factory=count, init=False)

    def add(self, at: int, job: Job, id: str) -> None:
        """Run `job` on the object `id` at that UTC second."""
        heapq.heappush(self._entries, (at, next(self._sequence), job, id))

    def next_at(self) -> int | None:
        """When the next entry is due."""
        return self._entries[0][0] if self._entries else None

    def pop(self) -> tuple[Job, str]:
        """Take the next entry."""
        _, _, job, id = heapq.heappop(self._entries)
        return job, id
