"""What a grant says beyond its amount: rollover, debt, limits, alerts, how low credits may get, and why it was given.

They are stored as one compact JSON text, None where there are none, so that equal terms are equal texts.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from typing import Any

from attrs import asdict, frozen

from .alerts import Threshold
from .limits import Limit
from .period import Interval, Rhythm, calendar_anchor
from .plans import UsageLimit
from .rollover import DebtMode, Rule


@frozen
class Terms:
    """What an allowance says beyond its amount, and whoever gave something by hand.

    `minimum` is what a balance of credits may not fall below. `given` is what a payment gave before some of it was
    taken back, None where nothing was.
    """

    rollover: Rule | None = None
    debt: DebtMode = "forgive"
    limits: tuple[UsageLimit, ...] = ()
    alerts: tuple[Threshold, ...] = ()
    minimum: int = 0
    reason: str | None = None
    given: int | None = None

    def text(self) -> str | None:
        """The stored form; what equals its default is left out."""
        told: dict[str, object] = {}
        if self.rollover is not None:
            told["rollover"] = [self.rollover.cap, self.rollover.periods]
        if self.debt != "forgive":
            told["debt"] = self.debt
        if self.limits:
            told["limits"] = [asdict(each) for each in self.limits]
        if self.alerts:
            told["alerts"] = [[each.value, each.measure] for each in self.alerts]
        if self.minimum:
            told["minimum"] = self.minimum
        if self.reason is not None:
            told["reason"] = self.reason
        if self.given is not None:
            told["given"] = self.given
        return json.dumps(told, sort_keys=True, separators=(",", ":")) if told else None


NO_TERMS = Terms()
UNFILTERED = "all:"
"""Begins the id of a limit that counts every use, whatever its properties."""


def terms_of(text: str | None) -> Terms:
    """The terms that a stored form stands for."""
    return NO_TERMS if text is None else _read(text)


@lru_cache(maxsize=1_000)
def moves_on(text: str | None) -> bool:
    """Whether a period under stored terms may start with more or less than its amount, by what the last one left."""
    terms = terms_of(text)
    return terms.rollover is not None or terms.debt == "carry"


@lru_cache(maxsize=1_000)
def limits_of(text: str | None, feature: str) -> tuple[Limit, ...]:
    """The limits that stored terms put on a feature."""
    return tuple(_limit(each, feature) for each in terms_of(text).limits)


@lru_cache(maxsize=1_000)
def _read(text: str) -> Terms:
    told: dict[str, Any] = json.loads(text)
    rollover = told.get("rollover")
    return Terms(
        rollover=None if rollover is None else Rule(*rollover),
        debt=told.get("debt", "forgive"),
        limits=tuple(UsageLimit(**each) for each in told.get("limits", ())),
        alerts=tuple(Threshold(*each) for each in told.get("alerts", ())),
        minimum=told.get("minimum", 0),
        reason=told.get("reason"),
        given=told.get("given"),
    )


def _limit(limit: UsageLimit, feature: str) -> Limit:
    where = dict(limit.where)
    window = [feature, limit.per, limit.count, limit.per_entity, where, limit.timezone]
    text = json.dumps(window, sort_keys=True, separators=(",", ":"))
    interval = Interval(limit.per, limit.count)
    # Counted from a fixed instant: the windows are the same for everybody, whenever they are asked for.
    anchor = calendar_anchor(interval, 0, limit.timezone)
    return Limit(
        id=("some:" if where else UNFILTERED) + hashlib.sha256(text.encode()).hexdigest()[:32],
        feature=feature,
        maximum=limit.maximum,
        rhythm=Rhythm(anchor, interval, limit.timezone),
        per_entity=limit.per_entity,
        where=where,
    )
