"""How low a balance of credits may get: set by hand, and repaid by what is given later."""

from __future__ import annotations

from datetime import datetime

from ..domain import answers
from ..domain.buckets import rescale
from ..domain.grants import Grant, Holding, holding
from ..domain.ids import MAX_QUANTITY, feature_key, printable, quantity
from ..domain.instants import FOREVER, Instant, to_instant
from ..domain.minimums import SOURCE, is_minimum, minimum_grant, overdrawn, with_minimum, with_repaid
from ..domain.references import Ref
from ..errors import InvalidInput
from ..ports.store import Rollback, Transaction
from .audit import Facts, record
from .balances import balance
from .core import Core
from .customers import lock_or_add
from .ledger import Books
from .situation import situation


async def set_credit_min(
    core: Core,
    reference: Ref,
    feature: str,
    minimum: int,
    *,
    note: str | None = None,
    transaction: object | None = None,
) -> answers.Balance:
    """Let a balance of credits never fall below `minimum` (-10^9 to 10^9) by a use; gives the balance.

    Raises:
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or the feature is no credits.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))
    if spec.kind != "credit":
        raise InvalidInput(f"must be credits: {spec.key} is a {spec.kind} feature", field="feature")
    quantity(minimum, "minimum", minimum=-MAX_QUANTITY)
    why = None if note is None else printable(note, "note")

    def unit(tx: Transaction) -> answers.Balance:
        customer = lock_or_add(core, tx, who, core.now())
        now = customer.written_at
        stored = _stored(tx, customer.id, spec.key)
        before = 0 if stored is None else stored.rules.minimum
        books = Books(tx, core.ids, customer, now)
        if minimum == before:
            raise Rollback(balance(situation(core, tx, books, spec, "", now)))
        if stored is None:
            given = books.give(with_minimum(minimum_grant(spec.key, now), minimum))
        else:
            given = with_minimum(stored, minimum)
            _put(tx, books, given, now)
        books.raise_epoch()
        told: Facts = {"feature": spec.key, "minimum": minimum}
        more: Facts = {} if why is None else {"note": why}
        record(tx, core, "credit_min.set", customer.id, given.id, {**told, "minimum": before}, {**told, **more})
        after = balance(situation(core, tx, books, spec, "", now))
        books.close()
        return after

    return await core.store.transaction(unit, host=transaction)


async def overdraft_used(
    core: Core, reference: Ref, feature: str, *, start: datetime | None = None, end: datetime | None = None
) -> int:
    """How many credits uses drew below zero with start ≤ recorded < end, less what came back of that within the time.

    Repayments change nothing of it, so that the sums of any pieces of time are the sum of the whole.

    Raises:
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))
    since = 0 if start is None else to_instant(start, field="start")
    until = FOREVER if end is None else to_instant(end, field="end")
    if until < since:
        raise InvalidInput("must not be before start", field="end")

    def read(tx: Transaction) -> int:
        customer = tx.customers.get(who)
        return 0 if customer is None else tx.history.overdrawn(customer.id, spec.key, since, until)

    return await core.store.read(read)


def repay(tx: Transaction, books: Books, given: Holding, now: Instant) -> None:
    """Let credits that were given just now repay first what is overdrawn: so much of them is used at once.

    Those of an entity are its own, and repay nothing of the customer's.
    """
    left = given.as_bucket().available
    if given.grant.entity or left is None:
        return
    held = tx.entitlements.of_customer(books.customer.id, [given.grant.feature], now)
    for grant, bucket in held:
        if is_minimum(grant) and bucket is not None:
            amount = min(overdrawn(holding(grant, bucket, now)), left)
            if amount > 0:
                _put(tx, books, with_repaid(grant, amount), now)
                books.move(given, amount, "carry")


def owe(tx: Transaction, books: Books, taken: Grant, amount: int, now: Instant) -> None:
    """Let so much that was used of a grant be overdrawn from now on, also beyond what may be: the grant is taken back.

    Whoever asks how much uses overdrew is not told of it.
    """
    feature = taken.feature
    grant = _stored(tx, books.customer.id, feature) or books.give(minimum_grant(feature, now))
    rows = tx.entitlements.of_customer(books.customer.id, [feature], now)
    bucket = next((bucket for each, bucket in rows if each.id == grant.id), None)
    below = books.open(holding(grant, bucket, now))
    used = below.bucket.used + amount
    books.change(below, "carry", used=amount, amount=rescale(grant.amount, used, below.bucket.held))


def _stored(tx: Transaction, customer_id: str, feature: str) -> Grant | None:
    found = tx.entitlements.of_source(customer_id, SOURCE, feature, locked=True)
    return found[0] if found else None


def _put(tx: Transaction, books: Books, changed: Grant, now: Instant) -> None:
    """Overwrite a minimum. Its bucket includes what is overdrawn, however much that is."""
    books.put(changed)
    for grant, bucket in tx.entitlements.of_customer(books.customer.id, [changed.feature], now):
        if grant.id == changed.id and bucket is not None:
            current = Holding(changed, bucket, opened=True)
            books.amend(current, rescale(changed.amount, bucket.used, bucket.held))
