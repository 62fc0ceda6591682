"""Answers of `check` that this process keeps for a while, as the core sees them."""

from __future__ import annotations

from typing import Protocol

from attrs import define

from ..domain.answers import Decision
from ..domain.instants import Instant
from ..domain.references import Ref, Reference

Question = tuple[Ref, str, int, str | None]
"""What `check` was asked, as it was asked: reference, feature, how much more, entity."""


@define(eq=False)
class Version:
    """The books of a customer between two writes. An answer is kept for one, and goes with it."""

    is_current: bool = True


class Snapshots(Protocol):
    """Answers by question, none older than a declared age.

    Writes of this process are seen at once: from `begin` to `end` nothing of the customer is kept, and what was read
    before is given to nobody afterwards. A write that never ends, because the host commits it or because nobody knows
    its outcome, ends by itself after the declared age.
    """

    def find(self, reference: Ref, feature: str, required: int, entity: str | None) -> Decision | None:
        """What was answered to this very question, if that still holds."""
        ...

    def version(self, reference: Reference) -> Version | None:
        """What an answer belongs to that is read from now on; None where none may be kept."""
        ...

    def keep(self, version: Version, question: Question, decision: Decision, since: Instant, until: Instant) -> None:
        """Keep an answer that was read at `since` and holds until `until` at most, unless its version is over."""
        ...

    def forget(self, reference: Reference) -> None:
        """Give nobody what was read of a customer so far."""
        ...

    def begin(self, reference: Reference) -> object:
        """A write on a customer's books begins, under their lock; gives what names it."""
        ...

    def end(self, reference: Reference, write: object) -> None:
        """It ended: it is committed, or undone."""
        ...
