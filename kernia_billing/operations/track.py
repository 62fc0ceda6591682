"""Use happened, is wanted, or is taken back: the write side of the entitlement engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ..domain.answers import Decision, Mode, Property, Usage
from ..domain.buckets import give_back
from ..domain.customers import CustomerRow
from ..domain.ids import entity_id, event_properties, feature_key, quantity
from ..domain.instants import DAY, MINUTE, Instant, to_instant
from ..domain.offer import FeatureSpec
from ..domain.references import Ref
from ..errors import InvalidInput
from ..ports.store import Transaction
from .balances import decide
from .core import Core
from .ledger import Books
from .recipe import stamped, usage_of, write
from .recording import Told, record
from .situation import moved, situation

OLDEST_USE = 35 * DAY
"""How late a use may be reported: as late as Stripe's meters accept it (Stripe, "Meter events")."""
CLOCK_TOLERANCE = 5 * MINUTE


async def track(
    core: Core,
    reference: Ref,
    feature: str,
    amount: int = 1,
    *,
    mode: Mode = "record",
    entity: str | None = None,
    occurred_at: datetime | None = None,
    properties: Mapping[str, Property] | None = None,
    key: str | None = None,
    transaction: object | None = None,
) -> Usage:
    """Count `amount` units (1 to 10^9) of a feature as used, once for every idempotency key.

    `record` always stores the whole quantity and draws what balances cover; `require` takes all or nothing; `cap` takes
    what fits. With `transaction` the use is counted if and only if that transaction commits.

    Raises:
        FeatureDenied: mode `require`, and not everything is covered (`InsufficientBalance` where too little is left).
        IdempotencyMismatch: the key was used for another request.
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or the feature cannot be counted.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    if mode not in ("record", "require", "cap"):
        raise InvalidInput("must be 'record', 'require' or 'cap'", field="mode")
    who = core.reference(reference)
    spec = countable(core, feature)
    quantity(amount)
    where = entity_id(entity)
    told = event_properties(properties)
    when = None if occurred_at is None else _reported(occurred_at, core.now())
    stamp = stamped(core, who, key, mode, spec.key, where, amount, when, told)

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Usage | Decision:
        books = Books(tx, core.ids, customer, now, core.ids.new("use"))
        before = situation(core, tx, books, spec, where, now, told)
        allocation = before.allocate(amount, mode)
        if mode == "require" and not allocation.allowed:
            rows = () if before.holdings else tx.subscriptions.of_customer(customer.id)
            return decide(who, before, amount, allocation, subscriptions=rows)
        after = moved(books, before, allocation.draws, "use", used=1)
        use = Told(stamp, amount, mode, properties=told, occurred_at=when)
        return record(tx, books, before, after, allocation.draws, allocation.funded, use)

    return await write(core, stamp, usage_of, work, transaction)


async def give(
    core: Core,
    reference: Ref,
    feature: str,
    amount: int = 1,
    *,
    entity: str | None = None,
    key: str | None = None,
    transaction: object | None = None,
) -> Usage:
    """Give back `amount` units of a feature, in the reverse of the order in which they were drawn.

    Never more than is used: `funded` of the receipt is what was restored. Raises what `track` raises.
    """
    who = core.reference(reference)
    spec = countable(core, feature)
    quantity(amount)
    where = entity_id(entity)
    stamp = stamped(core, who, key, "give_back", spec.key, where, amount, None, {})

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Usage:
        books = Books(tx, core.ids, customer, now, core.ids.new("use"))
        before = situation(core, tx, books, spec, where, now)
        draws = give_back([each.as_bucket() for each in before.own], amount, entity=where)
        after = moved(books, before, draws, "return", used=-1)
        units = sum(draw.units for draw in draws)
        return record(tx, books, before, after, draws, units, Told(stamp, amount, "return", returning=True))

    return await write(core, stamp, usage_of, work, transaction)


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


def _reported(occurred_at: datetime, now: Instant) -> Instant:
    """When a use happened that is told of now."""
    when = to_instant(occurred_at, field="occurred_at")
    if when > now + CLOCK_TOLERANCE:
        raise InvalidInput("lies in the future", field="occurred_at")
    if when < now - OLDEST_USE:
        raise InvalidInput("lies more than 35 days back", field="occurred_at")
    return when
