"""What time has brought about since a customer's books were last written to: read by readers, written by writers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import evolve

from ..domain.customers import CustomerRow
from ..domain.grants import Grant, Holding
from ..domain.instants import Instant
from ..domain.offer import Offer
from ..domain.plans import Boolean, Quantity
from ..domain.terms import moves_on
from ..ports.store import Earlier, Held, Transaction
from .holdings import given_holdings
from .lapsing import release_lapsed
from .ledger import Books
from .opening import NOTHING, Due, Lapse, Past, is_rolled, may_be_due, overdue, without


def past_of(
    offer: Offer,
    tx: Transaction,
    customer: CustomerRow | None,
    held: Sequence[Held],
    features: Sequence[str],
    now: Instant,
    *,
    locked: bool = False,
    earlier: Earlier | None = None,
) -> Past:
    """What has to be known of earlier periods, for `live_holdings` of the same rows.

    It is read only where a grant with rollover or debt has no bucket for the running period, and did not come with the
    rows: `earlier`.
    """
    if customer is None or not _may_be_due(offer, customer, held, features, now):
        return NOTHING
    missing = [each for each in given_holdings(offer, customer, held, features, now) if may_be_due(each)]
    if not missing:
        return NOTHING
    among = {each.grant.feature for each in missing}
    ids = sorted({grant.id for grant, _ in held if grant.feature in among and moves_on(grant.terms)})
    ids += sorted({each.grant.id for each in missing if each.grant.created_seq} - {*ids})
    if not ids:
        return NOTHING
    if earlier is None:
        found = tx.entitlements.lapses(customer.id, now, locked=locked)
        last = tx.entitlements.last_buckets(ids, now, locked=locked)
    else:
        found, last = earlier.lapses, {each: earlier.last[each] for each in ids if each in earlier.last}
    lapses: dict[str, list[Lapse]] = {}
    for bucket_id, at, amount in found:
        lapses.setdefault(bucket_id, []).append((at, amount))
    return Past(last, lapses)


def catch_up(offer: Offer, tx: Transaction, books: Books, features: Sequence[str], now: Instant) -> list[Held]:
    """Open the periods of these features that are due, and release holds whose time has come; gives the rows after it.

    A period is closed with what was held at its end, so the periods are judged before the holds are released, those of
    every feature that the holds concern.
    """
    customer = books.customer
    held = list(tx.entitlements.of_customer(customer.id, features, now))
    if not (_may_be_due(offer, customer, held, features, now) or _may_hold(offer, held, features)):
        return held
    past = past_of(offer, tx, customer, held, features, now, locked=True)
    may_hold = bool(past.lapses) or _may_hold(offer, held, features)
    lapsed = tx.holds.lapsed(customer.id, now) if may_hold else ()
    concerned = list(dict.fromkeys([*features, *(line.feature for hold in lapsed for line in hold.lines)]))
    if len(concerned) > len(features):
        held = list(tx.entitlements.of_customer(customer.id, concerned, now))
        past = past_of(offer, tx, customer, held, concerned, now, locked=True)
    dues = _dues(offer, customer, held, concerned, past, now)
    if lapsed:
        release_lapsed(tx, books, lapsed, now)
        held = list(tx.entitlements.of_customer(customer.id, concerned, now))
    _empty(tx, books, dues, past)
    for due in dues:
        held = _open(books, held, due, now)
    return [row for row in held if row[0].feature in features]


def open_until_the_end(offer: Offer, tx: Transaction, books: Books, ended: Grant) -> None:
    """Open the last period of a grant that ended while nobody wrote, as whoever had written just before would have.

    Where it comes back, what its periods left is there, though the one that runs then begins anew.
    """
    customer, features, at = books.customer, [ended.feature], ended.expires_at - 1
    held = _coming_with(ended, tx.entitlements.of_customer(customer.id, features, at))
    past = past_of(offer, tx, customer, held, features, at, locked=True)
    dues = [due for due in _dues(offer, customer, held, features, past, at) if due.current.grant.id == ended.id]
    if not dues:
        return
    places = {bucket.id for _, bucket in held if bucket is not None} | {each.id for each in past.last.values()}
    lapsed = [hold for hold in tx.holds.lapsed(customer.id, at) if any(line.bucket_id in places for line in hold.lines)]
    if lapsed:
        release_lapsed(tx, books, lapsed, at)
        held = _coming_with(ended, tx.entitlements.of_customer(customer.id, features, at))
    _empty(tx, books, dues, past)
    for due in dues:
        held = _open(books, held, due, at)


def _coming_with(grant: Grant, held: Iterable[Held]) -> list[Held]:
    """The rows of a grant, of the overage beside it, and of what its periods left."""
    return [
        (each, bucket)
        for each, bucket in held
        if (each.source_type, each.source_id) == (grant.source_type, grant.source_id)
        or (is_rolled(each) and each.parent == grant.id)
    ]


def _may_hold(offer: Offer, held: Iterable[Held], features: Sequence[str]) -> bool:
    """Whether holds may have something of these features, or of the windows of usage limits on them."""
    if not offer.limited.isdisjoint(features):
        return True
    for grant, bucket in held:
        if (bucket is not None and bucket.held) or (grant.terms is not None and grant.rules.limits):
            return True
    return False


def _may_be_due(
    offer: Offer, customer: CustomerRow, held: Iterable[Held], features: Iterable[str], now: Instant
) -> bool:
    for grant, bucket in held:
        if bucket is None and grant.kind == "grant" and moves_on(grant.terms):
            return True
    plan = offer.default_plan
    if plan is None or offer.moving.isdisjoint(features) or customer.has_plan(now):
        return False
    allowances = (plan.features.get(key) for key in features)
    return any(
        each is not None
        and not isinstance(each, (Boolean, Quantity))
        and (each.rollover is not None or each.debt == "carry")
        for each in allowances
    )


def _dues(
    offer: Offer, customer: CustomerRow, held: Sequence[Held], features: Sequence[str], past: Past, now: Instant
) -> list[Due]:
    if not _may_be_due(offer, customer, held, features, now):
        return []
    rows = without(held, past)
    # What was used under a plan that has lapsed is moved afterwards.
    given = [
        each if each.opened else evolve(each, bucket=evolve(each.bucket, amount=each.grant.amount, used=0, held=0))
        for each in given_holdings(offer, customer, rows, features, now)
    ]
    return overdue(given, rows, customer, past, now)


def _empty(tx: Transaction, books: Books, dues: Iterable[Due], past: Past) -> None:
    """Take what rolls over out of the period that it comes from: a clock that is behind would draw it there as well."""
    rolling = [due.current.grant.id for due in dues if due.current.grant.rules.rollover is not None]
    over = [past.last[each].id for each in rolling if each in past.last]
    for each in tx.entitlements.of_buckets(books.customer.id, sorted(over)).values():
        if each.bucket.amount is not None:
            books.amend(each, each.bucket.used + each.bucket.held)


def _open(books: Books, held: Sequence[Held], due: Due, now: Instant) -> list[Held]:
    """Write a period that is due, and the rollover units in it."""
    stored = {bucket.id: Holding(grant, bucket, opened=True) for grant, bucket in held if bucket is not None}
    current = books.open(due.current)
    changed: list[Holding] = [current]
    for unit in due.rolled:
        known = stored.get(unit.bucket.id)
        if known is not None:
            left = (unit.bucket.amount or 0) - unit.bucket.used - unit.bucket.held
            changed.append(books.amend(known, known.bucket.used + known.bucket.held + left))
        else:
            named = f"{current.grant.id}:{unit.grant.source_id.rpartition(':')[2]}"
            changed.append(books.open(evolve(unit, grant=evolve(unit.grant, source_id=named)), "roll"))
    for unit in due.spent:
        known = stored[unit.bucket.id]
        books.amend(known, known.bucket.used)
        books.put(evolve(known.grant, closed_at=now))
    units = [grant for grant, _ in held if is_rolled(grant) and grant.parent == current.grant.id]
    expired = [grant for grant in units if grant.expires_at <= now]
    for grant in expired:
        # Nobody has to read them any more.
        books.put(evolve(grant, closed_at=grant.expires_at))
    gone = {unit.grant.id for unit in due.spent} | {grant.id for grant in expired}
    rows = {each.grant.id: (each.grant, each.bucket) for each in changed}
    kept = [rows.pop(row[0].id, row) for row in held if row[0].id not in gone]
    return [*kept, *rows.values()]
