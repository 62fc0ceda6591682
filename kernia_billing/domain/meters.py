"""Usage that is reported to Stripe's meters, as applications see it."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from .references import Reference
from .upkeep import MeterEventState


@frozen
class MeterEvent:
    """Units that Stripe is to count once, or, below zero, to count no more.

    `identifier` is the id of the usage event that they come from, or of what corrects it. `state` is "waiting",
    "sending", "sent" (Stripe took it, and counts it a little later), "rejected" (Stripe did not count it, `reason` says
    why), "quarantined" (nobody knows whether Stripe counted it, or it is too old to be sent) or "canceled".
    """

    identifier: str
    reference: Reference | None
    feature: str
    meter: str
    value: int
    occurred_at: datetime
    state: MeterEventState
    attempts: int
    reason: str | None
    sent_at: datetime | None


@frozen
class MeterHealth:
    """How reporting is doing: how many events are in each state, and since when the oldest waits, None for none."""

    waiting: int
    sending: int
    sent: int
    rejected: int
    quarantined: int
    canceled: int
    oldest_waiting_at: datetime | None
