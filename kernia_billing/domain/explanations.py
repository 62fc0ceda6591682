"""What `explain` answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

from attrs import frozen

from .answers import Decision, UsageEvent


@frozen
class GivenGrant:
    """What one grant gave at the instant explained.

    `plan` and `version` say which plan it came from, None where it came from none, or from one that was never stored.
    `given_at` is when it was given, None where nobody noted it. `included` is None where it had no limit.
    """

    id: str
    feature: str
    source: str
    kind: str
    plan: str | None
    version: int | None
    included: int | None
    used: int
    held: int
    given_at: datetime | None
    effective_at: datetime
    expires_at: datetime | None
    resets_at: datetime | None


@frozen
class HeldUnits:
    """A hold that kept something at the instant explained."""

    id: str
    feature: str
    quantity: int
    expires_at: datetime


class Explanation(str):
    """The explanation as a text, with what it is made of.

    `decision` is what `check` answered for one unit, or would have. `grants`, `holds` and the last `uses` (newest
    first) are what it rests on. `unknown` says in sentences what nobody can tell any more: the rest holds without it.
    """

    __slots__ = ("decision", "grants", "holds", "unknown", "uses")

    decision: Decision
    grants: Sequence[GivenGrant]
    holds: Sequence[HeldUnits]
    uses: Sequence[UsageEvent]
    unknown: Sequence[str]

    @classmethod
    def of(
        cls,
        text: str,
        *,
        decision: Decision,
        grants: Sequence[GivenGrant],
        holds: Sequence[HeldUnits],
        uses: Sequence[UsageEvent],
        unknown: Sequence[str],
    ) -> Self:
        """The explanation of a text and its parts."""
        made = cls(text)
        made.decision, made.grants, made.holds, made.uses, made.unknown = decision, grants, holds, uses, unknown
        return made
