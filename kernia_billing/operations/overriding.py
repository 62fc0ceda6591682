"""Overrides: what one reference has of a feature instead of what its plans include, set and ended by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from attrs import evolve

from ..domain import answers
from ..domain.customers import CustomerRow
from ..domain.grants import Grant, Holding, holding, single_period
from ..domain.ids import MAX_INTEGER, feature_key, printable, quantity
from ..domain.instants import FOREVER, Instant, to_datetime, to_datetime_or_none, to_instant
from ..domain.offer import FeatureSpec
from ..domain.references import Ref
from ..domain.terms import Terms
from ..errors import InvalidInput
from ..ports.store import DuplicateKey, Held, Transaction
from .audit import Facts, record
from .core import Core
from .due import catch_up
from .ledger import Books
from .recipe import Find, Stamp, stamped, write

_SOURCE: Literal["override"] = "override"


async def put(
    core: Core,
    reference: Ref,
    feature: str,
    amount: int | None,
    *,
    until: datetime | None = None,
    reason: str | None = None,
    key: str | None = None,
    transaction: object | None = None,
) -> answers.Override:
    """Let a reference have `amount` of a feature instead of what its plans include, until it ends.

    It takes the place of the override that the feature has, and what was used stays used. Once for every idempotency
    key: a repetition gives the first override again, whatever has become of it.

    Raises:
        IdempotencyMismatch: the key was used for another override.
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or the time at which it ends has come.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))
    included = _amount(spec, amount)
    ends = FOREVER if until is None else to_instant(until, field="until")
    terms = Terms(reason=None if reason is None else printable(reason, "reason")).text()
    stamp = stamped(core, who, key, "override", spec.key, included, ends == FOREVER)

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Grant:
        # A host's older snapshot may have hidden what was set under the key.
        if stamp.keyed and transaction is not None and find(tx, stamp, customer.id) is not None:
            raise DuplicateKey
        if ends <= now:
            raise InvalidInput("must lie in the future", field="until")
        books = Books(tx, core.ids, customer, now)
        wanted = single_period(spec.key, _SOURCE, stamp.key, included, now, expires_at=ends, terms=terms)
        before = _end(core, tx, books, spec.key, now)
        given = books.give(wanted)
        for grant, bucket in before:
            if bucket is not None:
                _succeed(books, Holding(grant, bucket, True), holding(given, None, now))
        books.close()
        books.raise_epoch()
        known = _facts(before[-1][0]) if before else None
        record(tx, core, "override.set", customer.id, given.id, known, _facts(given))
        return given

    find = _found(core)
    return _answer(core, await write(core, stamp, find, work, transaction))


async def remove(
    core: Core, reference: Ref, feature: str, *, transaction: object | None = None
) -> answers.Override | None:
    """End the override of a feature now; gives it as it is then, None where there is none.

    Raises:
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))

    def unit(tx: Transaction) -> Grant | None:
        customer = tx.customers.lock_reference(who, core.now())
        if customer is None:
            return None
        now = customer.written_at
        books = Books(tx, core.ids, customer, now)
        ended = _end(core, tx, books, spec.key, now)
        books.close()
        if not ended:
            return None
        before = ended[-1][0]
        closed = evolve(before, closed_at=now)
        books.raise_epoch()
        record(tx, core, "override.removed", customer.id, closed.id, _facts(before), _facts(closed))
        return closed

    removed = await core.store.transaction(unit, host=transaction)
    return None if removed is None else _answer(core, removed)


async def current(core: Core, reference: Ref) -> Sequence[answers.Override]:
    """The overrides that a reference has now, by feature.

    Raises:
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)

    def read(tx: Transaction) -> list[Grant]:
        now = core.now()
        customer, rows = tx.entitlements.of_reference(who, None, now)
        if customer is not None and (time := customer.time(now)) > now:
            now = time
        return [grant for grant, _ in rows if grant.source_type == _SOURCE and grant.is_live(now)]

    found = await core.store.read(read)
    return tuple(_answer(core, each) for each in sorted(found, key=lambda each: each.feature))


def _end(core: Core, tx: Transaction, books: Books, feature: str, now: Instant) -> list[Held]:
    """End the override of a feature; gives its row as it was, with the bucket of what it gave itself.

    Periods that ended while they counted are closed first: what those leave depends on them.
    """
    rows = [row for row in catch_up(core.offer, tx, books, [feature], now) if row[0].source_type == _SOURCE]
    for grant, _ in rows:
        books.put(evolve(grant, closed_at=min(grant.expires_at, now)))
    return [row for row in rows if row[0].is_live(now)]


def _succeed(books: Books, old: Holding, new: Holding) -> None:
    """Let what was used of an override that gave the feature itself count for the next one."""
    bucket = old.bucket
    if bucket.used or bucket.held:
        row = evolve(new.bucket, used=bucket.used, held=bucket.held).including(new.bucket.amount)
        books.bequeath(old, new, bucket.used, row.amount, own=row.own)


def _amount(spec: FeatureSpec, amount: object) -> int | None:
    """What is stored of an amount: 0 for none, also of a boolean feature, None where there is no limit."""
    if spec.kind == "boolean":
        if type(amount) is not bool:
            raise InvalidInput(f"must be true or false: {spec.key} is a boolean feature", field="amount")
        return None if amount else 0
    return None if amount is None else quantity(amount, "amount", 0, MAX_INTEGER)


def _found(core: Core) -> Find[Grant]:
    def find(tx: Transaction, stamp: Stamp, customer_id: str | None) -> tuple[str, Grant] | None:
        customer = tx.customers.get(stamp.reference) if customer_id is None else None
        owner = customer_id if customer is None else customer.id
        locked = customer_id is not None
        given = () if owner is None else tx.entitlements.of_source(owner, _SOURCE, stamp.key, locked=locked)
        if not given:
            return None
        first = given[0]
        told = stamped(
            core, stamp.reference, stamp.key, "override", first.feature, first.amount, first.expires_at == FOREVER
        )
        return told.fingerprint, first

    return find


def _facts(rule: Grant) -> Facts:
    ends = min(rule.expires_at, rule.closed_at)
    return {
        "feature": rule.feature,
        "amount": rule.amount,
        "until": None if ends == FOREVER else ends,
        "reason": rule.rules.reason,
    }


def _answer(core: Core, rule: Grant) -> answers.Override:
    spec = core.offer.features.get(rule.feature)
    is_boolean = spec is not None and spec.kind == "boolean"
    return answers.Override(
        id=rule.id,
        feature=rule.feature,
        amount=rule.amount is None if is_boolean else rule.amount,
        set_at=to_datetime(rule.effective_at),
        until=to_datetime_or_none(min(rule.expires_at, rule.closed_at)),
        reason=rule.rules.reason,
    )
