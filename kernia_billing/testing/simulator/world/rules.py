"""Rules that strike some of what they fit: after a few that they let pass, and so many times."""

from __future__ import annotations

from typing import Protocol


class Counted(Protocol):
    """`skip` are still let pass; `times` are still struck, None for all."""

    skip: int
    times: int | None


def strikes(rule: Counted) -> bool:
    """Whether a rule strikes what it fits; counts it."""
    if rule.times == 0:
        return False
    if rule.skip:
        rule.skip -= 1
        return False
    if rule.times is not None:
        rule.times -= 1
    return True
