"""What can be counted, and how late."""

from __future__ import annotations

from datetime import datetime

from ..domain.ids import feature_key
from ..domain.instants import DAY, MINUTE, Instant, to_instant
from ..domain.offer import FeatureSpec
from ..errors import InvalidInput
from .core import Core

OLDEST_USE = 35 * DAY
"""How late a use may be reported: as late as Stripe's meters accept it (Stripe, "Meter events")."""
CLOCK_TOLERANCE = 5 * MINUTE


def countable(core: Core, feature: str) -> FeatureSpec:
    """The feature of a key, one that is counted.

    Raises:
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: it is a boolean one.
    """
    spec = core.offer.feature(feature_key(feature))
    if spec.kind == "boolean":
        raise InvalidInput(f"{spec.key} is a boolean feature: it is checked, not counted", field="feature")
    return spec


def happened_at(occurred_at: datetime | None, now: Instant) -> Instant | None:
    """When a use happened that is told of at `now`; None where it was not said.

    Raises:
        InvalidInput: it is naive, in the future, or more than 35 days back.
    """
    if occurred_at is None:
        return None
    when = to_instant(occurred_at, field="occurred_at")
    if when > now + CLOCK_TOLERANCE:
        raise InvalidInput("lies in the future", field="occurred_at")
    if when < now - OLDEST_USE:
        raise InvalidInput("lies more than 35 days back", field="occurred_at")
    return when
