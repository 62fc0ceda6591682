"""A use is written down: its event with the receipt, and what Stripe's meters are to hear of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attrs import field

from ..domain.answers import Usage
from ..domain.buckets import Draw
from ..domain.grants import Holding, UsageRow
from ..domain.ids import Property
from ..domain.instants import Instant
from ..domain.values import value
from ..ports.store import Transaction
from .alerting import alert
from .balances import balance
from .ledger import Books
from .limiting import told as told_of
from .metered import report, take_back
from .receipts import receipt
from .recipe import Stamp
from .situation import Situation

NOWHERE: Mapping[str, Holding] = MappingProxyType({})


def _no_properties() -> dict[str, Property]:
    return {}


@value
class Told:
    """What is recorded of a use beside what it drew.

    `quantity` is what happened: `funded` of it is what was drawn. `returning` is for what is given back: `restored` of
    it can be used again, and `refund_of` is the use that it was.
    """

    stamp: Stamp
    quantity: int
    mode: str
    returning: bool = False
    properties: Mapping[str, Property] = field(factory=_no_properties)
    occurred_at: Instant | None = None
    refund_of: UsageRow | None = None
    restored: int | None = None
    hold_id: str = ""
    late: bool = False


def record(
    tx: Transaction,
    books: Books,
    before: Situation,
    after: Situation,
    draws: Sequence[Draw],
    funded: int,
    told: Told,
    *,
    elsewhere: Mapping[str, Holding] = NOWHERE,
    since: Situation | None = None,
) -> Usage:
    """Store the event of a use whose draws have moved already, from `before` to `after`; gives the receipt.

    `funded` units were covered, of which pools may have paid some at no cost, without a draw. `elsewhere` are holdings
    by their bucket's id that draws moved in and the situation may not show: those of a period that is over. Alerts
    compare with what was used `since` then, where more than these draws moved.
    """
    feature, now = before.feature.key, before.now
    known = {**elsewhere}
    for old, new in zip(before.holdings, after.holdings, strict=True):
        known[old.bucket.id] = new
    usage = Usage(
        event_id=books.event_id,
        feature=feature,
        quantity=told.quantity,
        funded=funded,
        unfunded=told.quantity - funded,
        balance=balance(after),
        replayed=False,
        late=told.late or _is_late(before, told.occurred_at),
        deductions=tuple([_deduction(known, draw) for draw in draws]),
        alerts=alert(tx, books, since or before, after),
        limits=tuple([told_of(meter) for meter in after.meters]),
        restored=told.restored,
    )
    occurred_at = now if told.occurred_at is None else told.occurred_at
    books.record(
        UsageRow(
            id=usage.event_id,
            customer_id=books.customer.id,
            seq=books.customer.ledger_seq,
            feature=feature,
            entity=before.entity,
            quantity=-funded if told.returning else told.quantity,
            funded=funded,
            unfunded=usage.unfunded,
            mode=told.mode,
            occurred_at=occurred_at,
            received_at=now,
            properties=told.properties,
            idempotency_key=told.stamp.key,
            fingerprint=told.stamp.fingerprint,
            result=receipt(usage),
            refund_of="" if told.refund_of is None else told.refund_of.id,
            hold_id=told.hold_id,
        )
    )
    # A pool's meter counts credits.
    metered = [(held, draw.amount) for draw in draws if (held := known[draw.bucket_id]).grant.meter is not None]
    if metered and told.returning:
        take_back(tx, books.customer, feature, usage.event_id, metered, now, use=told.refund_of)
    elif metered:
        report(tx, books.customer, feature, usage.event_id, metered, occurred_at, now)
    return usage


def _is_late(before: Situation, occurred_at: Instant | None) -> bool:
    """Whether a use happened before the running period of its feature."""
    if occurred_at is None:
        return False
    own = before.own
    return occurred_at < (own[0].bucket.period_start if own else before.now)


def _deduction(known: Mapping[str, Holding], draw: Draw) -> Mapping[str, object]:
    after = known[draw.bucket_id]
    return {
        "bucketId": after.bucket.id,
        "feature": after.grant.feature,
        "source": after.source,
        "amount": draw.amount,
    }
