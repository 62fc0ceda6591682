"""Answers of `check` in the memory of this process."""

from __future__ import annotations

import os
import threading
from weakref import WeakValueDictionary

from attrs import frozen

from ..domain.answers import Decision
from ..domain.instants import Instant
from ..domain.references import Ref, Reference
from ..ports.clock import Clock
from ..ports.snapshots import Question, Version

MOST = 10_000
"""So many answers are kept at most, about 1.5 kB each; the oldest go first. So many writes are remembered, too."""

_Kept = tuple[Version, Instant, Instant, Decision]


@frozen(eq=False)
class _Write:
    """A write on its way. It is taken for ended at `until`."""

    until: Instant


class MemorySnapshots:
    """The port `Snapshots`, for any number of threads. `max_age` is in microseconds."""

    __slots__ = (
        "_answers",
        "_max_age",
        "_most",
        "_mutex",
        "_now",
        "_process",
        "_quiet_until",
        "_versions",
        "_writes",
    )

    def __init__(self, clock: Clock, max_age: int, *, most: int = MOST) -> None:
        self._now = clock.now
        self._max_age = max_age
        self._most = most
        self._settle()

    def _settle(self) -> None:
        self._answers: dict[Question, _Kept] = {}
        # A version lives as long as an answer of it, or somebody who reads one.
        self._versions: WeakValueDictionary[Reference, Version] = WeakValueDictionary()
        self._writes: dict[Reference, _Write] = {}
        self._quiet_until: Instant = 0
        self._mutex = threading.Lock()
        self._process = os.getpid()

    def _notice_fork(self) -> None:
        # The mutex may be held by a thread that is not here.
        if self._process != os.getpid():
            self._settle()

    def find(self, reference: Ref, feature: str, required: int, entity: str | None) -> Decision | None:
        """What was answered to this very question, if that still holds."""
        try:
            kept = self._answers.get((reference, feature, required, entity))
        except TypeError:
            # What cannot be hashed is no question either: whoever judges the arguments will say so.
            return None
        if kept is None:
            return None
        version, since, until, decision = kept
        # True and 1.0 are the same key as 1, and no quantities.
        if version.is_current and since <= self._now() < until and type(required) is int:
            return decision
        return None

    def version(self, reference: Reference) -> Version | None:
        """What an answer belongs to that is read from now on; None where none may be kept."""
        self._notice_fork()
        now = self._now()
        with self._mutex:
            write = self._writes.get(reference)
            if now < self._quiet_until or (write is not None and now < write.until):
                return None
            version = self._versions.get(reference)
            if version is None:
                version = self._versions[reference] = Version()
            return version

    def keep(self, version: Version, question: Question, decision: Decision, since: Instant, until: Instant) -> None:
        """Keep an answer that was read at `since` and holds until `until` at most, unless its version is over."""
        kept = version, since, min(until, since + self._max_age), decision
        with self._mutex:
            if version.is_current:
                self._answers.pop(question, None)
                self._answers[question] = kept
                if len(self._answers) > self._most:
                    del self._answers[next(iter(self._answers))]

    def forget(self, reference: Reference) -> None:
        """Give nobody what was read of a customer so far."""
        self._notice_fork()
        with self._mutex:
            self._end_version(reference)

    def begin(self, reference: Reference) -> object:
        """A write on a customer's books begins, under their lock; gives what names it."""
        self._notice_fork()
        now = self._now()
        write = _Write(now + self._max_age)
        with self._mutex:
            self._end_version(reference)
            self._writes[reference] = write
            if len(self._writes) > self._most:
                self._drop_writes(now)
        return write

    def end(self, reference: Reference, write: object) -> None:
        """It ended: it is committed, or undone."""
        self._notice_fork()
        with self._mutex:
            self._end_version(reference)
            # A later one may be on its way.
            if self._writes.get(reference) is write:
                del self._writes[reference]

    def _end_version(self, reference: Reference) -> None:
        version = self._versions.pop(reference, None)
        if version is not None:
            version.is_current = False

    def _drop_writes(self, now: Instant) -> None:
        """Forget the writes that are over; where that is not enough, keep nothing until all of them are."""
        self._writes = {reference: each for reference, each in self._writes.items() if now < each.until}
        if len(self._writes) > self._most:
            self._quiet_until = now + self._max_age
            self._writes = {}
