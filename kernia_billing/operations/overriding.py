"""Overrides: what one reference has of a feature instead of what its plans include, set and ended by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

from attrs import asdict, evolve

from ..domain import answers
from ..domain.customers import CustomerRow
from ..domain.grants import Grant, Holding, holding, single_period
from ..domain.ids import MAX_INTEGER, feature_key, printable, quantity
from ..domain.instants import FOREVER, Instant, to_datetime, to_datetime_or_none, to_instant
from ..domain.offer import FeatureSpec
from ..domain.plans import UsageLimit
from ..domain.references import Ref, Reference
from ..domain.terms import Terms
from ..errors import InvalidInput
from ..ports.store import DuplicateKey, Held, Transaction
from .audit import Facts, record
from .core import Core
from .due import catch_up
from .ledger import Books
from .recipe import Find, Stamp, stamped, write
from .replacing import limit_of

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
    stamp = rule_stamp(core, who, key, spec.key, included, None, ends)

    wanted = single_period(spec.key, _SOURCE, stamp.key, included, 0, expires_at=ends, terms=terms)
    return _answer(core, await put_rule(core, stamp, wanted, transaction))


async def remove(
    core: Core, reference: Ref, feature: str, *, transaction: object | None = None
) -> answers.Override | None:
    """End the override of a feature now; gives it as it is then, None where there is none.

    Raises:
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    ended = await remove_rules(core, reference, feature, lambda rule: limit_of(rule) is None, transaction)
    return _answer(core, ended[-1]) if ended else None


async def current(core: Core, reference: Ref) -> Sequence[answers.Override]:
    """The overrides of amounts that a reference has now, by feature.

    Raises:
        Unavailable: the database does not answer.
    """
    return tuple(_answer(core, each) for each in await rules_of(core, reference) if limit_of(each) is None)


# ── what overrides of amounts and of usage limits share ──────────────────────────────────────────────────────────────


def rule_stamp(
    core: Core,
    who: Reference,
    key: str | None,
    feature: str,
    amount: int | None,
    limit: UsageLimit | None,
    ends: Instant,
) -> Stamp:
    """The stamp of an override, of a usage limit where one is given."""
    if limit is None:
        return stamped(core, who, key, "override", feature, amount, ends == FOREVER)
    return stamped(core, who, key, "override of a limit", feature, asdict(limit), ends == FOREVER)


async def put_rule(
    core: Core,
    stamp: Stamp,
    wanted: Grant,
    transaction: object | None,
    check: Callable[[Sequence[Held]], None] = lambda _: None,
) -> Grant:
    """Store an override from now on, once for the stamp's key, and end the one whose place it takes.

    `check` looks at the rows of the feature first, and raises where they do not allow it.

    Raises:
        IdempotencyMismatch: the key was used for another override.
        InvalidInput: the time at which it ends has come.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Grant:
        # A host's older snapshot may have hidden what was set under the key.
        if stamp.keyed and transaction is not None and find(tx, stamp, customer.id) is not None:
            raise DuplicateKey
        if wanted.expires_at <= now:
            raise InvalidInput("must lie in the future", field="until")
        books = Books(tx, core.ids, customer, now)
        rows = catch_up(core.offer, tx, books, [wanted.feature], now)
        check(rows)
        before = _end(books, rows, lambda rule: _window(rule) == _window(wanted), now)
        given = books.give(evolve(wanted, effective_at=now, anchor_at=now))
        for grant, bucket in before:
            if bucket is not None:
                _succeed(books, Holding(grant, bucket, True), holding(given, None, now))
        books.close()
        books.raise_epoch()
        known = _facts(before[-1][0]) if before else None
        record(tx, core, "override.set", customer.id, given.id, known, _facts(given))
        return given

    find = _found(core)
    return await write(core, stamp, find, work, transaction)


async def remove_rules(
    core: Core, reference: Ref, feature: str, is_meant: Callable[[Grant], bool], transaction: object | None
) -> Sequence[Grant]:
    """End the overrides of a feature that are meant now; gives them as they are then.

    Raises:
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))

    def unit(tx: Transaction) -> Sequence[Grant]:
        customer = tx.customers.lock_reference(who, core.now())
        if customer is None:
            return ()
        now = customer.written_at
        books = Books(tx, core.ids, customer, now)
        ended = _end(books, catch_up(core.offer, tx, books, [spec.key], now), is_meant, now)
        books.close()
        if ended:
            books.raise_epoch()
        closed = [(before, evolve(before, closed_at=now)) for before, _ in ended]
        for before, after in closed:
            record(tx, core, "override.removed", customer.id, after.id, _facts(before), _facts(after))
        return [after for _, after in closed]

    return await core.store.transaction(unit, host=transaction)


async def rules_of(core: Core, reference: Ref) -> Sequence[Grant]:
    """The overrides that a reference has now, in the order of their features.

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

    return sorted(await core.store.read(read), key=lambda each: (each.feature, each.created_seq))


def _window(rule: Grant) -> str:
    """What there is one override of at a time, beside the feature: the amount, or a usage limit."""
    limit = limit_of(rule)
    return "" if limit is None else limit.id


def _end(books: Books, rows: Sequence[Held], is_meant: Callable[[Grant], bool], now: Instant) -> list[Held]:
    """End the overrides of a feature that are meant; gives their rows as they were, with the buckets of what they gave.

    `rows` are those of the feature whose periods that ended while overrides counted are closed: what they leave depends
    on them.
    """
    ended = [row for row in rows if row[0].source_type == _SOURCE and is_meant(row[0])]
    for grant, _ in ended:
        books.put(evolve(grant, closed_at=min(grant.expires_at, now)))
    return [row for row in ended if row[0].is_live(now)]


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
        limit = next(iter(first.rules.limits), None)
        told = rule_stamp(core, stamp.reference, stamp.key, first.feature, first.amount, limit, first.expires_at)
        return told.fingerprint, first

    return find


def _facts(rule: Grant) -> Facts:
    ends = min(rule.expires_at, rule.closed_at)
    limit = limit_of(rule)
    told: Facts = {"amount": rule.amount} if limit is None else {"limit": limit.id, "maximum": limit.maximum}
    return {
        "feature": rule.feature,
        **told,
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
