"""Making Stripe charge for the members that were told of: one process at a time for an organization."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from attrs import frozen

from ..domain.customers import CustomerRow
from ..domain.instants import HOUR, MINUTE, Instant
from ..domain.plans import SEATS
from ..domain.seats import SeatRow, wanted_seats
from ..domain.subscriptions import SubscriptionItem, read_subscription
from ..errors import BillingError, GuardError, Unavailable
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from ..ports.telemetry import kind_of
from .core import Core
from .fencing import LeaseLost, alone
from .intents import intent_key
from .pending_items import other_interval
from .plans import sold_by
from .projections import sync_subscription
from .schedule_seats import follow_seats
from .seated import CHANGEABLE, Seated, count_members, standing
from .setting import set_usage

_TERM = MINUTE
_FIRST_WAIT, _LONGEST_WAIT = MINUTE, HOUR
_ROUNDS = 20


async def work_off(core: Core, row: SeatRow) -> None:
    """Do what is told of an organization, unless another process is at it: that one goes on until nothing is left."""
    customer_id = row.customer_id
    for _ in range(_ROUNDS):
        try:
            work = partial(_until_done, customer_id=customer_id)
            done = await alone(core, f"seats:{customer_id}", work, term=_TERM)
        except LeaseLost:
            return
        except GuardError:
            raise
        except Exception as failure:
            await _postpone(core, customer_id, failure)
            if not isinstance(failure, BillingError):
                raise
            return
        if not done:
            return
        # Whoever told something after the last look, and before the lease was given back, found it taken.
        known = await core.store.read(lambda tx: tx.seats.get(customer_id))
        if known is None or not known.is_pending or known.next_at > core.now():
            return


async def _until_done(core: Core, customer_id: str) -> bool:
    """Follow what is told until nothing newer is; True, so that it differs from not having been done."""
    for _ in range(_ROUNDS):
        known, customer = await core.store.read(lambda tx: (tx.seats.get(customer_id), tx.customers.by_id(customer_id)))
        if known is None or customer is None or not known.is_pending:
            break
        if not await _follow(core, known, customer):
            break
        await core.store.transaction(partial(_note_done, customer_id=customer_id, revision=known.revision))
    return True


def _note_done(tx: Transaction, customer_id: str, revision: int) -> None:
    tx.seats.done(customer_id, revision)


async def _follow(core: Core, known: SeatRow, customer: CustomerRow) -> bool:
    """Make Stripe and the books agree with what is told; False where that has to wait."""
    found = await core.store.read(lambda tx: standing(core, tx, customer.reference))
    if found is None:
        return True
    members = known.members if known.members is not None else await count_members(core, customer.reference)
    for each in found.subscriptions:
        waits_until = await _charge_for(core, customer, each, members)
        if waits_until is not None:
            await core.store.transaction(partial(_note_full, customer_id=customer.id, until=waits_until))
            core.telemetry.log("warning", "seats.postponed", {"customer_id": customer.id, "until": waits_until})
            return False
    await _count_in(core, known, customer, members)
    return True


def _note_full(tx: Transaction, customer_id: str, until: Instant) -> None:
    tx.seats.later(customer_id, 0, until, "SEAT_UPDATES_AN_HOUR")


async def _count_in(core: Core, known: SeatRow, customer: CustomerRow, members: int) -> None:
    """Let the books hold the members as used, so that `check(org, "seats")` asks for one more."""
    if members == known.counted and known.done:
        return
    await set_usage(core, customer.reference, SEATS, members)
    await core.store.transaction(lambda tx: tx.seats.counted(customer.id, members))


async def _charge_for(core: Core, customer: CustomerRow, seated: Seated, members: int) -> Instant | None:
    """Make one subscription's quantity that of the members; gives the instant to wait for where it may not be now.

    Stripe's own state decides whether there is anything to do, and says afterwards whether it was done.
    """
    stripe_id = seated.row.stripe_subscription_id
    for _ in range(2):
        theirs = await core.provider().request("GET", f"/v1/subscriptions/{stripe_id}")
        change = await core.store.read(partial(_change, core, theirs=theirs, members=members))
        if change is None:
            break
        now = core.now()
        turn = await core.store.transaction(partial(_turn, customer_id=customer.id, now=now))
        if turn.free_at > now:
            return turn.free_at
        key = intent_key("seats", customer.id, stripe_id, str(turn.number), str(change.quantity))
        await core.provider().request("POST", f"/v1/subscriptions/{stripe_id}", change.params, idempotency_key=key)
        await follow_seats(core, theirs, customer.reference, members, key)
    else:
        raise Unavailable("Stripe does not show the number of seats that it was told")
    if seated.row.seats != _paid(core, theirs, seated):
        await sync_subscription(core, stripe_id)
    return None


@frozen
class _Turn:
    """When a change may be sent, and which number it has."""

    free_at: Instant
    number: int


def _turn(tx: Transaction, customer_id: str, now: Instant) -> _Turn:
    """Note one more change, where it may be sent now: written down before it is sent, so that none has its key."""
    row = tx.seats.get(customer_id)
    if row is None:
        raise Unavailable("The customer was removed meanwhile")
    free_at = row.free_at(now)
    if free_at <= now:
        row = row.sent_one(now)
        tx.seats.sending(row)
    return _Turn(free_at, row.updates)


@frozen
class _Change:
    """What is sent to change the seats of a subscription, and to what."""

    quantity: int
    params: Mapping[str, Any]


def _change(core: Core, tx: Transaction, theirs: StripeObject, members: int) -> _Change | None:
    """What makes Stripe's subscription charge for the members; None where it does, or may not be changed any more."""
    read = read_subscription(theirs)
    sold = sold_by(core, tx, read)
    if sold is None or read.status not in CHANGEABLE:
        return None
    plan = sold.plan
    price_id = plan.seat_price_id or sold.item.price_id
    item = sold.item if price_id == sold.item.price_id else _item_of(read.items, price_id)
    paid = 0 if item is None else item.quantity or 0
    count = wanted_seats(plan, members, paid, core.seat_change_behavior)
    if item is not None and count == paid:
        return None
    line: dict[str, Any] = {"price": price_id} if item is None else {"id": item.id}
    behavior = plan.proration_behavior or "create_prorations"
    params = {
        "items": [{**line, "quantity": count}],
        "proration_behavior": behavior,
        **other_interval(core, sold.interval, theirs),
    }
    return _Change(count, params)


def _item_of(items: tuple[SubscriptionItem, ...], price_id: str) -> SubscriptionItem | None:
    return next((item for item in items if item.price_id == price_id), None)


def _paid(core: Core, theirs: StripeObject, seated: Seated) -> int | None:
    price_id = seated.plan.seat_price_id or seated.row.price_id or ""
    item = _item_of(read_subscription(theirs).items, price_id)
    return None if item is None else item.quantity


async def _postpone(core: Core, customer_id: str, failure: Exception) -> None:
    """Note that it failed and is to be tried again, ever less often, and tell the operator."""
    now = core.now()
    note = getattr(failure, "code", None) or kind_of(failure)

    def unit(tx: Transaction) -> int:
        row = tx.seats.get(customer_id)
        if row is None or not row.is_pending:
            return 0
        attempts = row.attempts + 1
        wait = min(_FIRST_WAIT * 2 ** min(attempts - 1, 10), _LONGEST_WAIT)
        tx.seats.later(customer_id, attempts, now + wait, note)
        return attempts

    attempts = await core.store.transaction(unit)
    told = {"customer_id": customer_id, "attempts": attempts, "reason": note}
    core.telemetry.log("error", "seats.failed", told)
