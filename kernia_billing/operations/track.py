"""Use happened, is wanted, or is taken back: the write side of the entitlement engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import evolve, frozen

from ..domain.answers import Decision, Mode, Property, Usage
from ..domain.buckets import Draw, allocate, give_back
from ..domain.grants import Entry, Holding, UsageRow
from ..domain.ids import entity_id, event_properties, feature_key, idempotency_key, quantity
from ..domain.instants import DAY, MINUTE, Instant, to_instant
from ..domain.offer import FeatureSpec
from ..domain.references import Ref, Reference
from ..errors import FeatureDenied, IdempotencyMismatch, InsufficientBalance, InvalidInput, Unavailable
from ..ports.store import DuplicateKey, Rollback, Transaction
from .balances import balance_of, decide
from .core import Core
from .customers import lock_or_add
from .holdings import absorb_lapsed, live_holdings
from .ledger import Books, replaced
from .metered import report, take_back
from .receipts import read_receipt, receipt

OLDEST_USE = 35 * DAY
"""How late a use may be reported: as late as Stripe's meters accept it (Stripe, "Meter events")."""
CLOCK_TOLERANCE = 5 * MINUTE


@frozen
class _Request:
    """A validated use. `key` is the caller's idempotency key, or a new one that nothing can repeat."""

    reference: Reference
    feature: FeatureSpec
    entity: str
    quantity: int
    mode: Mode
    returning: bool
    properties: Mapping[str, Property]
    occurred_at: Instant | None
    key: str
    keyed: bool
    fingerprint: str


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
    request = _request(core, reference, feature, amount, mode, entity, occurred_at, properties, key, returning=False)
    return await _write(core, request, transaction)


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
    request = _request(core, reference, feature, amount, "record", entity, None, None, key, returning=True)
    return await _write(core, request, transaction)


def _request(
    core: Core,
    reference: Ref,
    feature: str,
    amount: int,
    mode: Mode,
    entity: str | None,
    occurred_at: datetime | None,
    properties: Mapping[str, Property] | None,
    key: str | None,
    *,
    returning: bool,
) -> _Request:
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))
    if spec.kind == "boolean":
        raise InvalidInput(f"{spec.key} is a boolean feature: it is checked, not counted", field="feature")
    quantity(amount)
    where = entity_id(entity)
    told = event_properties(properties)
    when = None if occurred_at is None else _reported(occurred_at, core.now())
    text = json.dumps(
        ["give_back" if returning else mode, spec.key, where, amount, when, told],
        sort_keys=True,
        separators=(",", ":"),
    )
    return _Request(
        reference=who,
        feature=spec,
        entity=where,
        quantity=amount,
        mode=mode,
        returning=returning,
        properties=told,
        occurred_at=when,
        key=core.ids.new("auto") if key is None else idempotency_key(key),
        keyed=key is not None,
        fingerprint=hashlib.sha256(text.encode()).hexdigest(),
    )


def _reported(occurred_at: datetime, now: Instant) -> Instant:
    """When a use happened that is told of now."""
    when = to_instant(occurred_at, field="occurred_at")
    if when > now + CLOCK_TOLERANCE:
        raise InvalidInput("lies in the future", field="occurred_at")
    if when < now - OLDEST_USE:
        raise InvalidInput("lies more than 35 days back", field="occurred_at")
    return when


async def _write(core: Core, request: _Request, host: object | None) -> Usage:
    if request.keyed and host is None:
        earlier = await core.store.read(lambda tx: tx.usage.by_key(request.reference, request.key))
        if earlier is not None:
            return _replay(earlier, request)
    try:
        answer = await core.store.transaction(lambda tx: _unit(core, tx, request, joined=host is not None), host=host)
    except DuplicateKey:
        answer = await core.store.transaction(lambda tx: _stored(tx, request), host=host)
    if isinstance(answer, Decision):
        short = answer.reason in ("insufficient_balance", "overage_limit", "usage_limit")
        raise InsufficientBalance(answer) if short else FeatureDenied(answer)
    return answer


def _stored(tx: Transaction, request: _Request) -> Usage:
    """The answer of whoever used the key first. This transaction's snapshot hid it, and may hide the customer too."""
    customer = tx.customers.lock_reference(request.reference)
    earlier = customer and tx.usage.by_key_locked(customer.id, request.key)
    if not earlier:
        raise Unavailable("The use could not be recorded: another one is being recorded under its key")
    raise Rollback(_replay(earlier, request))


def _replay(earlier: UsageRow, request: _Request) -> Usage:
    if earlier.fingerprint != request.fingerprint:
        raise IdempotencyMismatch
    return evolve(read_receipt(earlier.result), replayed=True)


def _unit(core: Core, tx: Transaction, request: _Request, *, joined: bool) -> Usage | Decision:
    """One use, whole: lock, look up the key, plan, write. A refusal and a replay leave nothing behind."""
    now = core.now()
    customer = lock_or_add(core, tx, request.reference, now)
    if request.keyed:
        earlier = tx.usage.by_key(request.reference, request.key)
        if earlier is not None:
            raise Rollback(_replay(earlier, request))
    books = Books(tx, core.ids, customer, core.ids.new("use"))
    features = (request.feature.key,)
    held = tx.entitlements.of_customer(customer.id, features, now)
    held = absorb_lapsed(core.offer, books, held, features, now)
    holdings = live_holdings(core.offer, customer, held, features, now)
    buckets = [each.as_bucket() for each in holdings]
    if request.returning:
        draws = give_back(buckets, request.quantity, entity=request.entity)
        return _write_down(tx, books, request, holdings, draws, "return", now)
    allocation = allocate(buckets, request.feature.key, request.quantity, request.mode, entity=request.entity)
    if request.mode == "require" and not allocation.allowed:
        if joined and request.keyed:
            # The host's snapshot may hide that what is missing now was used under this very key.
            earlier = tx.usage.by_key_locked(customer.id, request.key)
            if earlier is not None:
                raise Rollback(_replay(earlier, request))
        rows = () if holdings else tx.subscriptions.of_customer(customer.id)
        who, feature, wanted = request.reference, request.feature, request.quantity
        raise Rollback(decide(who, feature, wanted, holdings, allocation, now, subscriptions=rows))
    return _write_down(tx, books, request, holdings, allocation.draws, "use", now)


def _write_down(
    tx: Transaction,
    books: Books,
    request: _Request,
    holdings: list[Holding],
    draws: Sequence[Draw],
    entry: Entry,
    now: Instant,
) -> Usage:
    sign = -1 if entry == "return" else 1
    started = holdings[0].bucket.period_start if holdings else now
    by_bucket = {each.bucket.id: each for each in holdings}
    deductions: list[Mapping[str, object]] = []
    for draw in draws:
        before = by_bucket[draw.bucket_id]
        after = books.move(before, sign * draw.amount, entry)
        holdings = replaced(holdings, before, after)
        deductions.append({"bucketId": after.bucket.id, "source": after.grant.source_type, "amount": draw.amount})
    funded = sum(draw.units for draw in draws)
    usage = Usage(
        event_id=books.event_id,
        feature=request.feature.key,
        quantity=request.quantity,
        funded=funded,
        unfunded=request.quantity - funded,
        balance=balance_of(request.feature.key, holdings),
        replayed=False,
        late=request.occurred_at is not None and request.occurred_at < started,
        deductions=tuple(deductions),
    )
    books.record(
        UsageRow(
            id=usage.event_id,
            customer_id=books.customer.id,
            seq=books.customer.ledger_seq,
            feature=request.feature.key,
            entity=request.entity,
            quantity=-funded if request.returning else request.quantity,
            funded=funded,
            unfunded=usage.unfunded,
            mode="return" if request.returning else request.mode,
            occurred_at=now if request.occurred_at is None else request.occurred_at,
            received_at=now,
            properties=request.properties,
            idempotency_key=request.key,
            fingerprint=request.fingerprint,
            result=receipt(usage),
        )
    )
    metered = [(held, draw.units) for draw in draws if (held := by_bucket[draw.bucket_id]).grant.meter is not None]
    if metered and request.returning:
        take_back(tx, books.customer, usage.feature, usage.event_id, metered, now)
    elif metered:
        occurred_at = now if request.occurred_at is None else request.occurred_at
        report(tx, books.customer, usage.feature, usage.event_id, metered, occurred_at, now)
    return usage
