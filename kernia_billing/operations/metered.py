"""What is to be reported to Stripe's meters, written down in the transaction of the use or of the giving back.

A grant with a meter is one whose every unit is reported. The rows of a customer and a meter add up to what was used of
such grants, less what was given back: the sum is what Stripe is to count, and it never goes below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..domain.customers import CustomerRow
from ..domain.grants import Holding, UsageRow
from ..domain.instants import FOREVER, HOUR, Instant
from ..domain.upkeep import MeterEventRow
from ..ports.store import Transaction
from .countable import OLDEST_USE

CANCEL = "cancel:"
"""Begins the identifier of the row that takes back a whole event; the identifier of that event follows."""
CANCELABLE = 23 * HOUR
"""So long after it was sent an event is taken back whole: an hour less than Stripe allows."""
_LOOK_BACK = 20
"""So many of the last uses are looked at for one that can be taken back whole."""

Drawn = Iterable[tuple[Holding, int]]
"""Holdings with a meter, and how many units of the feature moved in each."""


def row_of(
    customer: CustomerRow, feature: str, identifier: str, meter: str, value: int, occurred_at: Instant, now: Instant
) -> MeterEventRow:
    """A row that waits to be sent: until it has happened, and until the customer is known to Stripe."""
    return MeterEventRow(
        identifier=identifier,
        customer_id=customer.id,
        feature=feature,
        event_name=meter,
        stripe_customer_id=customer.stripe_customer_id or "",
        value=value,
        occurred_at=occurred_at,
        state="waiting",
        attempts=0,
        next_at=max(now, occurred_at) if customer.stripe_customer_id else FOREVER,
        first_sent_at=None,
        sent_at=None,
        note=None,
        created_at=now,
    )


def report(
    tx: Transaction,
    customer: CustomerRow,
    feature: str,
    event_id: str,
    drawn: Drawn,
    occurred_at: Instant,
    now: Instant,
) -> None:
    """Write down what a use is to be counted for."""
    tx.meter_events.add(
        [
            row_of(customer, feature, _identifier(event_id, number), meter, units, occurred_at, now)
            for number, ((meter, _), (units, _)) in enumerate(_by_meter(drawn, now).items())
        ]
    )


def take_back(
    tx: Transaction,
    customer: CustomerRow,
    feature: str,
    event_id: str,
    drawn: Drawn,
    now: Instant,
    *,
    use: UsageRow | None = None,
) -> None:
    """Write down that units which were given back are not to be counted.

    The events of the `use` that is refunded come first, then the last ones: one that was never sent is lowered, one
    that was sent a short while ago and is given back whole is taken back, and for the rest there is an event of a
    negative value, of when the use was. What is refunded of a period that is over lowers nothing of the running one;
    after 35 days it is not corrected, for Stripe would not count it. Units that were used under a grant without a
    meter, and moved to this one by a change of plan, were never reported: they are not corrected.
    """
    for number, ((meter, is_over), (units, since)) in enumerate(_by_meter(drawn, now).items()):
        left = min(units, tx.meter_events.reported(customer.id, feature, meter, since))
        for identifier in _candidates(tx, customer, feature, use, is_over=is_over):
            known = tx.meter_events.get(identifier) if left > 0 else None
            if known is not None and known.event_name == meter and known.created_at >= since:
                left -= _take_from(tx, customer, known, left, now)
        used_at = now if use is None else use.occurred_at
        too_old = now - used_at > OLDEST_USE
        if left > 0 and not (too_old and is_over):
            name = _identifier(event_id, number)
            tx.meter_events.add([row_of(customer, feature, name, meter, -left, now if too_old else used_at, now)])


def _by_meter(drawn: Drawn, now: Instant) -> Mapping[tuple[str, bool], tuple[int, Instant]]:
    """The units for each meter, of periods that run and of those that are over; and when the oldest of these began."""
    found: dict[tuple[str, bool], tuple[int, Instant]] = {}
    for holding, units in drawn:
        meter = holding.grant.meter or "", holding.bucket.period_end <= now
        known, since = found.get(meter, (0, FOREVER))
        found[meter] = (known + units, min(since, holding.bucket.period_start))
    return found


def _candidates(
    tx: Transaction, customer: CustomerRow, feature: str, use: UsageRow | None, *, is_over: bool
) -> list[str]:
    """The events that may be lowered or taken back, in this order."""
    own: list[str] = []
    while use is not None and tx.meter_events.get(name := _identifier(use.id, len(own))) is not None:
        own.append(name)
    return own if is_over else [*own, *(each for each in _last_uses(tx, customer, feature) if each not in own)]


def _identifier(event_id: str, number: int) -> str:
    """That of the usage event. One use is counted by several meters where several plans give the feature."""
    return f"{event_id}:{number}" if number else event_id


def _last_uses(tx: Transaction, customer: CustomerRow, feature: str) -> list[str]:
    page = tx.usage.page(
        customer.id, feature=feature, properties=None, start=None, end=None, limit=_LOOK_BACK, before=None
    )
    return [row.id for row in page if row.quantity > 0]


def _take_from(tx: Transaction, customer: CustomerRow, known: MeterEventRow, wanted: int, now: Instant) -> int:
    """Take up to `wanted` units from one event, without a further event; says how many."""
    taken = min(known.value, wanted)
    if taken <= 0:
        return 0
    if tx.meter_events.amend(known.identifier, known.value, known.value - taken):
        return taken
    if taken < known.value or known.state != "sent" or now - (known.first_sent_at or 0) >= CANCELABLE:
        return 0
    name = f"{CANCEL}{known.identifier}"
    undone = row_of(customer, known.feature, name, known.event_name, -taken, known.occurred_at, now)
    return taken if tx.meter_events.add_new(undone) else 0
