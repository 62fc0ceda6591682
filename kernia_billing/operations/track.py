"""Use happened, is wanted, or is taken back: the write side of the entitlement engine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from ..domain.answers import Decision, Mode, Usage
from ..domain.customers import CustomerRow
from ..domain.ids import Property, entity_id, event_properties, quantity
from ..domain.instants import Instant
from ..domain.references import Ref
from ..errors import InvalidInput
from ..ports.store import Transaction
from .core import Core
from .countable import countable, happened_at
from .ledger import Books
from .measuring import adds_up, reported, unique_value
from .recipe import Prepared, stamped, usage_of, write
from .recording import Told
from .setting import set_level
from .situation import features_of, situation
from .using import use


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
    prepared = counting(
        core,
        reference,
        feature,
        amount,
        mode=mode,
        entity=entity,
        occurred_at=occurred_at,
        properties=properties,
        key=key,
    )
    stamp, features = prepared.stamp, prepared.features
    return await write(core, stamp, usage_of, prepared.work, transaction, features=features)


def counting(
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
) -> Prepared[Usage]:
    """A use that is checked and not written yet. Raises what `track` raises of its arguments."""
    if mode not in ("record", "require", "cap"):
        raise InvalidInput("must be 'record', 'require' or 'cap'", field="mode")
    who = core.reference(reference)
    spec = countable(core, feature)
    quantity(amount)
    where = entity_id(entity)
    properties = event_properties(properties)
    value = unique_value(spec, properties)
    when = happened_at(occurred_at, core.now())
    stamp = stamped(core, who, key, mode, spec.key, where, amount, when, properties)
    told = Told(stamp, 1 if spec.aggregation == "count" else amount, mode, properties=properties, occurred_at=when)

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Usage | Decision:
        books = Books(tx, core.ids, customer, now, core.ids.new("use"))
        before = situation(core, tx, books, spec, where, now, properties)
        if adds_up(spec):
            return use(tx, books, before, mode, told)
        return set_level(tx, books, before, reported(tx, customer, before, amount, value), mode, told)

    # What does not add up asks for what was measured, which is not read for several at once.
    return Prepared(stamp, work, features_of(spec) if adds_up(spec) else None)
