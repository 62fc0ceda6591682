"""What was given for a payment is taken back with it, and given again where the payment is there after all."""

from __future__ import annotations

from ..domain.buckets import rescale
from ..domain.clawback import Clawback, given_for, taken, with_taken
from ..domain.grants import Grant, Holding, holding
from ..domain.instants import Instant
from ..ports.store import Transaction
from .audit import Facts, record
from .core import Core
from .ledger import Books
from .minimums import owe, repay


def take_back(
    core: Core, tx: Transaction, books: Books, line_id: str, *, paid: int, returned: int, policy: Clawback
) -> None:
    """Bring what a line of Stripe's gave in line with its payment, of which `returned` minor units are gone by now.

    It may be told of any number of times, in any order of refunds and disputes: what counts is how much of `paid` is
    gone at the end. Less than before gives units back. By `unused` what is used stays used; by `all` what is used of
    credits becomes debt, which later grants repay first. What is held is taken when it comes back. The customer of the
    books is locked.
    """
    if policy == "none":
        return
    now = books.customer.time(core.now())
    for grant in tx.entitlements.of_source(books.customer.id, "top_up", line_id, locked=True):
        given = given_for(grant)
        if given is None or grant.closed_at <= now:
            continue
        after = with_taken(grant, taken(given, paid, returned))
        if after != grant:
            books.put(after)
            _fit(tx, books, after, now, is_debt=policy == "all" and core.offer.feature(grant.feature).kind == "credit")
            books.raise_epoch()
            told: Facts = {"feature": grant.feature, "line": line_id}
            before: Facts = {**told, "amount": grant.amount}
            record(tx, core, "grant.taken", books.customer.id, grant.id, before, {**told, "amount": after.amount})
    books.close()


def _fit(tx: Transaction, books: Books, grant: Grant, now: Instant, *, is_debt: bool) -> None:
    """Let the bucket of a grant include what the grant says by now."""
    current = _current(tx, books, grant, now)
    bucket, amount = current.bucket, grant.amount or 0
    excess = min(bucket.used, bucket.used + bucket.held - amount)
    if is_debt and excess > 0:
        owe(tx, books, grant, excess, now)
        current = books.move(current, -excess, "carry")
    more = amount - (bucket.amount or 0) if current.opened else 0
    current = books.amend(current, rescale(amount, current.bucket.used, current.bucket.held))
    if more > 0:
        repay(tx, books, current, now)


def _current(tx: Transaction, books: Books, grant: Grant, now: Instant) -> Holding:
    rows = tx.entitlements.of_customer(books.customer.id, [grant.feature], now)
    bucket = next((bucket for each, bucket in rows if each.id == grant.id), None)
    return holding(grant, bucket, now)
