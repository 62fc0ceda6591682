"""What hooks were told of once, as the core sees it."""

from __future__ import annotations

from typing import Protocol

from ..domain.instants import Instant


class Notices(Protocol):
    """billing_notice."""

    def add(self, kind: str, subject: str, mark: str, *, now: Instant, until: Instant) -> bool:
        """Note that something is told of now, to be remembered `until` then; says whether it is the first time."""
        ...

    def told(self, kind: str, subject: str) -> bool:
        """Whether anything of a kind was told of a subject, and is still remembered."""
        ...

    def prune(self, before: Instant, limit: int) -> int:
        """Forget what had to be remembered until before an instant, oldest first, so many at most; how many."""
        ...
