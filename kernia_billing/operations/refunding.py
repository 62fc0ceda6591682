"""A use is refunded: what it drew comes back to where it came from."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve

from ..domain.answers import Usage
from ..domain.buckets import Draw
from ..domain.customers import CustomerRow
from ..domain.drawing import split
from ..domain.grants import Holding, LedgerLine, UsageRow
from ..domain.ids import idempotency_key, quantity
from ..domain.instants import Instant
from ..domain.limits import Drawn
from ..domain.offer import FeatureSpec
from ..domain.references import Ref
from ..domain.refunds import Place, Refund
from ..domain.refunds import refund as plan
from ..errors import Conflict, NotFound
from ..ports.store import Transaction
from .core import Core
from .ledger import Books
from .limiting import set_aside
from .measuring import lower
from .opening import is_rolled
from .recipe import stamped, usage_of, write
from .recording import Told, record
from .returning import places_of
from .situation import Situation, count, situation

_USES = ("record", "require", "cap", "settle")


async def refund(
    core: Core,
    reference: Ref,
    event_id: str,
    amount: int | None = None,
    *,
    key: str | None = None,
    transaction: object | None = None,
) -> Usage:
    """Give back `amount` units (1 to 10^9; None: all that are left) of one use, its last ones first.

    All refunds of a use together never exceed what it drew: `funded` of the receipt is what came back. `restored` of it
    can be used again; the rest was drawn from what is over, and is written back for the record.

    Raises:
        NotFound: the reference has no such event (USAGE_EVENT_NOT_FOUND).
        Conflict: the event is no use: it gave back, or set a level (USAGE_EVENT_NOT_REFUNDABLE).
        IdempotencyMismatch: the key was used for another request.
        InvalidInput: a value is out of range.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    name = idempotency_key(event_id, "event_id")
    if amount is not None:
        quantity(amount)
    stamp = stamped(core, who, key, "refund", name, amount)

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Usage:
        use = _use(tx, customer, name)
        books = Books(tx, core.ids, customer, now, core.ids.new("use"))
        # What is sold no more can be refunded still.
        feature = core.offer.features.get(use.feature) or FeatureSpec(use.feature, "metered")
        before = situation(core, tx, books, feature, use.entity, now, use.properties)
        found, places = _plan(tx, customer, before, use, amount)
        after, elsewhere = _moved(books, before, places, found)
        after = _uncounted(tx, books, after, use, found)
        tx.usage.put_refunded(use.id, use.refunded + found.units)
        lower(tx, customer, before, found.units, use)
        asked = use.funded - use.refunded if amount is None else amount
        told = Told(stamp, asked, "refund", returning=True, refund_of=use, restored=found.restored)
        return record(tx, books, before, after, found.draws, found.units, told, elsewhere=elsewhere)

    return await write(core, stamp, usage_of, work, transaction)


def _use(tx: Transaction, customer: CustomerRow, event_id: str) -> UsageRow:
    found = tx.usage.by_id(customer.id, event_id)
    if found is None:
        raise NotFound("There is no such use", code="USAGE_EVENT_NOT_FOUND")
    if found.mode not in _USES or found.quantity < 0:
        raise Conflict("Only a use can be refunded", code="USAGE_EVENT_NOT_REFUNDABLE")
    horizon = tx.horizons.get(customer.id, locked=True)
    if horizon is not None and found.seq <= horizon.seq:
        raise Conflict("What this use drew was long ago and is told no more", code="USAGE_EVENT_NOT_REFUNDABLE")
    return found


def _plan(
    tx: Transaction, customer: CustomerRow, before: Situation, use: UsageRow, amount: int | None
) -> tuple[Refund, Mapping[str, Holding]]:
    """What comes back, and the holdings that it comes back to, by their bucket's id."""
    lines = _lines(tx, use)
    now_at = places_of(tx, customer, before, {line.bucket_id for line in lines})
    draws: list[Draw] = []
    places: dict[str, Place] = {}
    for line in lines:
        holding = now_at.get(line.bucket_id)
        # Lines of before there were credits do not tell their units: they are all of the feature itself.
        units = line.units if line.moved_at else line.amount
        feature = use.feature if holding is None and units == line.amount else _feature(holding)
        draws.append(Draw(line.bucket_id, feature, line.amount, units))
        places[line.bucket_id] = (
            Place(line.bucket_id, 0, is_open=False)
            if holding is None
            else Place(holding.bucket.id, holding.bucket.used, _is_open(customer, holding, before))
        )
    found = plan(draws, use.funded, amount, places, refunded=use.refunded)
    return found, {each.bucket.id: each for each in now_at.values()}


def _lines(tx: Transaction, use: UsageRow) -> list[LedgerLine]:
    """What a use drew, in the order of drawing: what was held first, then the excess."""
    return [
        each
        for each in tx.usage.lines(use.customer_id, use.seq)
        if each.entry in ("use", "settle") and each.event_id == use.id and each.amount > 0
    ]


def _feature(holding: Holding | None) -> str:
    return "" if holding is None else holding.bucket.feature


def _is_open(customer: CustomerRow, holding: Holding, before: Situation) -> bool:
    """Whether what comes back can be used again: not of a period that is over, or of a grant that counts no more."""
    grant, bucket, now = holding.grant, holding.bucket, before.now
    if is_rolled(grant):
        # They end with the grant that they come from, whose end they do not tell themselves.
        return any(each.bucket.id == bucket.id for each in before.holdings)
    replaced = grant.source_type == "default" and customer.has_plan(now)
    return grant.is_live(now) and bucket.period_start <= now < min(bucket.period_end, bucket.closed_at) and not replaced


def _moved(
    books: Books, before: Situation, places: Mapping[str, Holding], found: Refund
) -> tuple[Situation, Mapping[str, Holding]]:
    """The situation after it, and every holding that anything came back to."""
    moved = dict(places)
    for draw in found.draws:
        moved[draw.bucket_id] = books.move(moved[draw.bucket_id], -draw.amount, "refund", units=draw.units)
    return evolve(before, holdings=[moved.get(each.bucket.id, each) for each in before.holdings]), moved


def _uncounted(tx: Transaction, books: Books, before: Situation, use: UsageRow, found: Refund) -> Situation:
    """The situation after limits count less: what settled a hold since that was made, an excess since it was used."""
    if not before.meters:
        return before
    held = 0
    if use.hold_id and not use.result.get("late"):
        lines = _lines(tx, use)
        # What cost nothing left no line.
        held = sum(line.units for line in lines if line.entry == "settle") if lines else use.funded
    excess = min(found.units, max(0, use.funded - held - use.refunded))
    last, first = split(found.draws, excess)
    after = count(books, before, last, -1, units=excess, drawn=Drawn(use.received_at, use.seq))
    if excess == found.units:
        return after
    return count(books, after, first, -1, units=found.units - excess, drawn=set_aside(tx, use))
