"""Looking for rows that contradict each other, as the core sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from ..domain.instants import Instant


@frozen
class Breach:
    """A rule that rows break: its id and title, how many do, and the ids of the first of them."""

    check: str
    title: str
    count: int
    ids: tuple[str, ...]


class Inspection(Protocol):
    """Queries over whole tables. They read much, and change nothing."""

    @property
    def checks(self) -> Sequence[str]:
        """The ids of all rules, in the order in which they are looked at."""
        ...

    def breaches(self, check: str, now: Instant, limit: int) -> Sequence[Breach]:
        """What breaks a rule, with at most `limit` ids each; nothing where it holds."""
        ...

    def schema(self) -> tuple[str | None, str]:
        """The revision that the tables are at, None where there is none, and the one that this library wants."""
        ...
