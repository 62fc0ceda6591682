"""Credit minimums: how low a customer's balance of a credit feature may get.

A minimum is a grant like others, so that it comes with them, is noted in the history with them, and is explained like
them. Its bucket is the overdraft: what is drawn beyond everything that was given, as far as a minimum below zero
allows. What later grants repaid of it may be overdrawn again: the grant's `amount` is the overdraft with what was
repaid so far, and `used` of its bucket only ever tells what was drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from attrs import evolve, frozen

from .grants import BucketRow, Grant, Holding, single_period
from .instants import Instant
from .terms import Terms

SOURCE: Literal["credit_min"] = "credit_min"


@frozen
class Overdraft:
    """What is drawn below zero, as its owner sees it: at most `limit` of it, `used` of that is not repaid yet."""

    limit: int
    used: int


def minimum_grant(feature: str, now: Instant) -> Grant:
    """The grant of a minimum of 0, which is what holds where there is none."""
    return single_period(feature, SOURCE, feature, 0, now, kind="overage")


def is_minimum(grant: Grant) -> bool:
    """Whether a grant is a credit minimum."""
    return grant.source_type == SOURCE


def with_minimum(grant: Grant, minimum: int) -> Grant:
    """The grant with another minimum; what was repaid stays so."""
    return evolve(grant, amount=_limit(minimum) + repaid(grant), terms=Terms(minimum=minimum).text())


def with_repaid(grant: Grant, amount: int) -> Grant:
    """The grant after so much more of the overdraft was repaid."""
    return evolve(grant, amount=(grant.amount or 0) + amount)


def repaid(grant: Grant) -> int:
    """How much of what was ever overdrawn was repaid."""
    return (grant.amount or 0) - _limit(grant.rules.minimum)


def overdrawn(each: Holding) -> int:
    """What is used below zero and not repaid; below 0 where more was repaid than is used by now."""
    return each.bucket.used - repaid(each.grant)


def overdraft(each: Holding) -> Overdraft:
    """The overdraft of a minimum as its owner sees it."""
    return Overdraft(_limit(each.grant.rules.minimum), max(0, overdrawn(each)))


def is_idle(grant: Grant, bucket: BucketRow | None) -> bool:
    """Whether there is nothing to be drawn of a minimum's bucket, nor to come back to it."""
    return grant.amount == 0 and (bucket is None or not (bucket.used or bucket.held))


def minimums_of(grants: Iterable[Grant], now: Instant) -> dict[str, int]:
    """The minimums among these grants, by credit feature."""
    found: dict[str, int] = {}
    for grant in grants:
        if grant.source_type == SOURCE and grant.is_live(now):
            found[grant.feature] = grant.rules.minimum
    return found


def room(minimums: Mapping[str, int], feature: str, holdings: Iterable[Holding]) -> int | None:
    """How many credits of a feature may be drawn so that the balance stays at its minimum or above it.

    None where there is no minimum, or no end of credits. Credits of an entity are its own, and are not looked at for
    what the customer has to keep. Overage that a plan allows is no debt: it comes on top, though not where something
    has to be kept.
    """
    minimum = minimums.get(feature)
    if minimum is None:
        return None
    mine = [each for each in holdings if each.grant.feature == feature]
    kept = [each for each in mine if minimum <= 0 or each.grant.kind != "overage" or is_minimum(each.grant)]
    if any(each.amount is None for each in kept):
        return None
    owed = sum(overdrawn(each) + each.bucket.held for each in mine if is_minimum(each.grant))
    common = [each for each in kept if not each.grant.entity and each.grant.kind != "overage"]
    apart = [each for each in kept if each not in common and not is_minimum(each.grant)]
    return max(0, _left(common) - owed - minimum) + _left(apart)


def _limit(minimum: int) -> int:
    return max(0, -minimum)


def _left(holdings: Sequence[Holding]) -> int:
    return sum((each.amount or 0) - each.bucket.used - each.bucket.held for each in holdings)
