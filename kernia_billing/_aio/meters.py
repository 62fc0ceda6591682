"""`billing.meters`."""

from __future__ import annotations

from ..compose import Wiring
from ..domain.answers import (
    Page,
)
from ..domain.meters import MeterEvent, MeterHealth
from ..operations import (
    meters,
)


class Meters:
    """Usage that is reported to Stripe's meters."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def list(self, *, state: str | None = None, limit: int = 100, cursor: str | None = None) -> Page[MeterEvent]:
        """One page of the events that were made for meters, in the order in which they were. `limit` is 1 to 200.

        `state` is one of waiting, sending, sent, rejected, quarantined, canceled.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
        """
        return await meters.page(self._wiring.core, state=state, limit=limit, cursor=cursor)

    async def health(self) -> MeterHealth:
        """How reporting is doing: how many events are in each state, and since when the oldest waits."""
        return await meters.health(self._wiring.core)

    async def retry(self, identifier: str, *, not_counted: bool = False) -> MeterEvent:
        """Send again what Stripe did not count, as a new event of the same time and value; gives the new event.

        Of a quarantined event nobody knows whether Stripe counted it: look at the meter's event summaries, and say
        `not_counted=True` where it is missing there.

        Raises:
            NotFound: there is no such event (METER_EVENT_NOT_FOUND).
            Conflict: it did not fail (METER_EVENT_NOT_FAILED), nobody knows whether it was counted
                (METER_EVENT_IN_DOUBT), or it is more than 35 days old (METER_EVENT_TOO_OLD).
        """
        return await meters.retry(self._wiring.core, identifier, not_counted=not_counted)
