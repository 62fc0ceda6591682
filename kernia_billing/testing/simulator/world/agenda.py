"""What is due, and when: renewals, trial ends, the draft hour, retries, expiries."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field

if TYPE_CHECKING:
    from .world import World

Job: TypeAlias = "Callable[[World, str], None]"
"""Takes the world and the id of an object. It looks first whether it still has anything to do: entries of the agenda
are never taken back, so that a job may find its object changed, ended or moved."""

Entry: TypeAlias = "tuple[int, int, Job, str]"
"""When, in which order of writing, what, and on which object."""


def _account() -> str:
    return ""


@define
class Agenda:
    """Entries in time order, those of each clock by themselves; of one second in the order in which they were written.

    Clocks go by name: a test clock by its id, the account's own by the empty name. An entry belongs to the clock that
    `current` names when it is written, which is the clock of the customer that is being served.
    """

    current: Callable[[], str] = field(default=_account)
    _entries: dict[str, list[Entry]] = field(factory=dict[str, "list[Entry]"], init=False)
    _sequence: count[int] = field(factory=count, init=False)

    def add(self, at: int, job: Job, id: str) -> None:
        """Run `job` on the object `id` at that UTC second of the current clock."""
        self._push(self.current(), (at, next(self._sequence), job, id))

    def next_at(self, clock: str = "") -> int | None:
        """When the next entry of a clock is due."""
        entries = self._entries.get(clock)
        return entries[0][0] if entries else None

    def pop(self, clock: str = "") -> tuple[Job, str]:
        """Take the next entry of a clock."""
        _, _, job, id = heapq.heappop(self._entries[clock])
        return job, id

    def ids(self, clock: str = "") -> set[str]:
        """The objects that a clock has entries for."""
        return {id for _, _, _, id in self._entries.get(clock, ())}

    def move(self, ids: Iterable[str], *, to: str) -> None:
        """Give what the account's own clock has for these objects to another clock."""
        wanted, own = set(ids), self._entries.get("", [])
        self._entries[""] = [entry for entry in own if entry[3] not in wanted]
        heapq.heapify(self._entries[""])
        for entry in own:
            if entry[3] in wanted:
                self._push(to, entry)

    def drop(self, clock: str) -> None:
        """Forget a clock and all that was due on it."""
        self._entries.pop(clock, None)

    def _push(self, clock: str, entry: Entry) -> None:
        heapq.heappush(self._entries.setdefault(clock, []), entry)
