"""What is given beside the plans: by hand, and where a top-up was paid for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from attrs import evolve

from ..domain import answers
from ..domain.customers import CustomerRow
from ..domain.grants import Grant, holding, single_period
from ..domain.ids import entity_id, feature_key, is_storable, printable, quantity
from ..domain.instants import FOREVER, Instant, to_datetime_or_none, to_instant
from ..domain.offer import FeatureSpec
from ..domain.plans import TopUp
from ..domain.references import Ref, Reference
from ..errors import InvalidInput, NotFound
from ..ports.store import DuplicateKey, Rollback, Transaction
from .audit import Facts, record
from .core import Core
from .ledger import Books
from .minimums import repay
from .recipe import Find, Stamp, stamped, write

_REVOCABLE = ("manual", "top_up")


async def grant(
    core: Core,
    reference: Ref,
    feature: str,
    amount: int,
    *,
    entity: str | None = None,
    expires_at: datetime | None = None,
    note: str | None = None,
    key: str | None = None,
    transaction: object | None = None,
) -> answers.Grant:
    """Give `amount` units (1 to 10^9) of a feature, until they are used, expire or are revoked.

    A boolean feature is given by 1. Once for every idempotency key: a repetition gives the first grant again, and may
    name another note and another time of expiry, which is mostly told from now on.

    Raises:
        IdempotencyMismatch: the key was used for another grant.
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or the time of expiry has come.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))
    quantity(amount, "amount")
    if spec.kind == "boolean" and amount != 1:
        raise InvalidInput(f"must be 1: {spec.key} is a boolean feature", field="amount")
    where = entity_id(entity)
    until = FOREVER if expires_at is None else to_instant(expires_at, field="expires_at")
    why = None if note is None else printable(note, "note")
    stamp = _stamp(core, who, key, spec.key, where, amount, until)

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Grant:
        # A host's older snapshot may have hidden what was given under the key.
        if stamp.keyed and transaction is not None and find(tx, stamp, customer.id) is not None:
            raise DuplicateKey
        if until <= now:
            raise InvalidInput("must lie in the future", field="expires_at")
        books = Books(tx, core.ids, customer, now)
        wanted = _given(spec, "manual", stamp.key, 0, amount, where, until, now)
        given = _give(core, tx, books, wanted, amount, {} if why is None else {"note": why})
        books.close()
        return given

    find = _found(core)
    return _answer(await write(core, stamp, find, work, transaction))


async def revoke(core: Core, reference: Ref, grant_id: str, *, transaction: object | None = None) -> answers.Grant:
    """End a grant: nothing more is drawn from it, and what was used of it stays used. A second time changes nothing.

    Raises:
        NotFound: the reference was not given it beside its plans (GRANT_NOT_FOUND).
        InvalidInput: the id is no text.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    if not isinstance(grant_id, str) or not is_storable(grant_id):
        raise InvalidInput("must be the id of a grant", field="grant_id")

    def unit(tx: Transaction) -> Grant:
        customer = tx.customers.lock_reference(who, core.now())
        found = None if customer is None else tx.entitlements.by_id(customer.id, grant_id)
        if customer is None or found is None or found.source_type not in _REVOCABLE:
            raise NotFound("Grant not found", code="GRANT_NOT_FOUND")
        if found.closed_at != FOREVER:
            raise Rollback(found)
        now = customer.written_at
        closed = evolve(found, closed_at=now)
        books = Books(tx, core.ids, customer, now)
        books.put(closed)
        books.raise_epoch()
        record(tx, core, "grant.revoked", customer.id, found.id, _facts(found), _facts(closed))
        return closed

    return _answer(await core.store.transaction(unit, host=transaction))


def give_top_up(core: Core, tx: Transaction, books: Books, top_up: TopUp, bought: int, line_id: str) -> Sequence[Grant]:
    """Give what `bought` units of a top-up grant, once for the line of Stripe's that was paid.

    A repetition gives what the line gave the first time, whatever the top-up grants meanwhile. The customer of the
    books is locked.
    """
    earlier = tx.entitlements.of_source(books.customer.id, "top_up", line_id, locked=True)
    if earlier:
        return earlier
    now = books.customer.time(core.now())
    length = top_up.expires_after
    until = FOREVER if length is None else min(FOREVER, now + length // timedelta(microseconds=1))
    given = [
        _give(
            core,
            tx,
            books,
            _given(core.offer.feature(feature), "top_up", line_id, 1, amount * bought, "", until, now),
            amount * bought,
            {"top_up": top_up.name, "line": line_id},
        )
        for feature, amount in sorted(top_up.grants.items())
    ]
    books.close()
    return given


def _give(core: Core, tx: Transaction, books: Books, wanted: Grant, amount: int, why: Facts) -> Grant:
    given = books.give(wanted)
    # The ledger tells of it from now on, and not from its first use.
    current = books.open(holding(given, None, given.effective_at))
    if core.offer.features[given.feature].kind == "credit":
        repay(tx, books, current, given.effective_at)
    books.raise_epoch()
    record(tx, core, "grant.given", books.customer.id, given.id, None, {**_facts(given), "amount": amount, **why})
    return given


def _given(
    feature: FeatureSpec,
    source_type: Literal["manual", "top_up"],
    source_id: str,
    category: int,
    amount: int,
    entity: str,
    expires_at: Instant,
    now: Instant,
) -> Grant:
    """What is given of a feature; what is there or not has no amount."""
    return single_period(
        feature.key,
        source_type,
        source_id,
        None if feature.kind == "boolean" else amount,
        now,
        entity=entity,
        category=category,
        expires_at=expires_at,
    )


def _found(core: Core) -> Find[Grant]:
    def find(tx: Transaction, stamp: Stamp, customer_id: str | None) -> tuple[str, Grant] | None:
        customer = tx.customers.get(stamp.reference) if customer_id is None else None
        owner = customer_id if customer is None else customer.id
        locked = customer_id is not None
        given = () if owner is None else tx.entitlements.of_source(owner, "manual", stamp.key, locked=locked)
        if not given:
            return None
        first = given[0]
        amount = 1 if first.amount is None else first.amount
        told = _stamp(core, stamp.reference, stamp.key, first.feature, first.entity, amount, first.expires_at)
        return told.fingerprint, first

    return find


def _stamp(
    core: Core, reference: Reference, key: str | None, feature: str, entity: str, amount: int, expires_at: Instant
) -> Stamp:
    """When it expires is mostly told from now on: a repetition has to say only that it does."""
    return stamped(core, reference, key, "grant", feature, entity, amount, expires_at == FOREVER)


def _facts(given: Grant) -> Facts:
    return {
        "feature": given.feature,
        "entity": given.entity or None,
        "amount": given.amount,
        "source": given.source_type,
        "expires_at": _until(given),
    }


def _until(given: Grant) -> Instant | None:
    ends = min(given.expires_at, given.closed_at)
    return None if ends == FOREVER else ends


def _answer(given: Grant) -> answers.Grant:
    amount = 1 if given.amount is None else given.amount
    return answers.Grant(given.id, given.feature, amount, to_datetime_or_none(min(given.expires_at, given.closed_at)))
