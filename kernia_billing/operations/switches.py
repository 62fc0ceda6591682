"""Which subscription is to become what: the request for a change of plan, judged by what Stripe says now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, TypeVar, get_args

from attrs import frozen

from ..domain.customers import CustomerRow
from ..domain.instants import MINUTE
from ..domain.item_moves import Move, moves
from ..domain.plan_change import PlanPair, Wanted, When
from ..domain.plans import BillingInterval, Plan, ProrationBehavior
from ..domain.reading import is_cut, own_id
from ..domain.references import Ref
from ..domain.subscriptions import StripeSubscription, SubscriptionRow, first_live, read_subscription
from ..errors import AlreadySubscribed, Conflict, InvalidInput, NotFound
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from . import fencing
from .core import Core
from .orders import lines_of, seats_of
from .plans import Sold, sold_by
from .projections import sync_subscription
from .seats import members_to_pay_for

T = TypeVar("T")
_TERM = 2 * MINUTE
CHANGEABLE = ("active", "trialing", "past_due")
"""The statuses in which a subscription can be changed."""


@frozen
class Switch:
    """A change of plan that can be made: `moves` are what happens to each item, `theirs` is what Stripe has now.

    `proration` says what becomes of unused time, where that was asked for; `pair` is what the option
    `plan_change.pairs` says of the change.
    """

    customer: CustomerRow
    row: SubscriptionRow
    theirs: StripeSubscription
    body: StripeObject
    sold: Sold | None
    plan: Plan
    interval: BillingInterval
    seats: int
    moves: tuple[Move, ...]
    when: Literal["now", "period_end"]
    proration: ProrationBehavior | None = None
    pair: PlanPair | None = None

    @property
    def ends(self) -> bool:
        """Whether the subscription is set to end."""
        return self.theirs.cancel_at_period_end or self.theirs.cancel_at is not None


async def find_row(
    core: Core, reference: Ref, *, group: str | None = None, subscription_id: str | None = None
) -> tuple[CustomerRow, SubscriptionRow]:
    """A subscription of the reference: that of an id, ours or Stripe's, else the live one of the plan group.

    Without a group it is the live one that counts, whatever its group.

    Raises:
        NotFound: there is none, or it is somebody else's (SUBSCRIPTION_NOT_FOUND).
    """
    who = core.reference(reference)
    if subscription_id is not None and not isinstance(subscription_id, str):
        raise InvalidInput("must be the id of a subscription", field="subscription_id")

    def read(tx: Transaction) -> tuple[CustomerRow, SubscriptionRow] | None:
        customer = tx.customers.get(who)
        rows: Sequence[SubscriptionRow] = () if customer is None else tx.subscriptions.of_customer(customer.id)
        if subscription_id is not None:
            named = [row for row in rows if subscription_id in (row.id, row.stripe_subscription_id)]
        else:
            # What sells no plan of ours may be other software's: it is changed only where it is named.
            live = first_live([row for row in rows if row.plan is not None], group)
            named = [] if live is None else [live]
        return None if customer is None or not named else (customer, named[0])

    found = await core.store.read(read)
    if found is None:
        raise not_found()
    return found


async def one_at_a_time(core: Core, row: SubscriptionRow, work: Callable[[Core], Awaitable[T]]) -> T:
    """Do what reads a subscription at Stripe and then changes it: nobody else of ours does at that time.

    Two that read the same state would each add and remove items of their own.

    Raises:
        Conflict: somebody else is at it (CHANGE_IN_PROGRESS, retryable).
    """
    return await fencing.one_at_a_time(core, f"change:{row.id}", work, busy(), term=_TERM)


def not_found() -> NotFound:
    """The error for a subscription that does not exist, or is somebody else's."""
    return NotFound("Subscription not found", code="SUBSCRIPTION_NOT_FOUND")


def plan_of(core: Core, name: str) -> Plan:
    """The plan that is asked for.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND).
    """
    if not isinstance(name, str):
        raise InvalidInput("must be a text", field="plan")
    return core.offer.plan(name)


async def fresh(core: Core, row: SubscriptionRow) -> StripeObject:
    """The subscription as Stripe has it now, with all its items.

    Raises:
        NotFound: Stripe has none (SUBSCRIPTION_NOT_FOUND); our copy has ended then, too.
        Conflict: it cannot be changed in its state (SUBSCRIPTION_NOT_ACTIVE).
        Unavailable: Stripe does not answer.
    """
    try:
        body = await core.provider().request("GET", f"/v1/subscriptions/{row.stripe_subscription_id}")
    except NotFound:
        await sync_subscription(core, row.stripe_subscription_id)
        raise not_found() from None
    if is_cut(body.get("items")):
        page = await core.provider().page("/v1/subscription_items", {"subscription": own_id(body)})
        body = {**body, "items": {"object": "list", "data": list(page.data), "has_more": page.has_more}}
    if body.get("status") not in CHANGEABLE:
        if body.get("status") != row.status:
            await sync_subscription(core, row.stripe_subscription_id)
        raise not_active(str(body.get("status")))
    return body


def busy() -> Conflict:
    """The error for a subscription that somebody else, or Stripe by a schedule, changes at this moment."""
    text = "Another change of the subscription takes place: try again"
    return Conflict(text, code="CHANGE_IN_PROGRESS", retryable=True)


def not_active(status: str) -> Conflict:
    """The error for a subscription that cannot be changed any more, or not now."""
    ended = status in ("canceled", "incomplete_expired")
    text = "The subscription has ended: buy the plan anew" if ended else f"The subscription is {status}"
    return Conflict(text, code="SUBSCRIPTION_NOT_ACTIVE", status=400)


def not_pending() -> Conflict:
    """The error where there is nothing to take back."""
    return Conflict(
        "Subscription has no pending cancellation or scheduled plan change",
        code="SUBSCRIPTION_NOT_PENDING_CHANGE",
        status=400,
    )


async def switch_of(core: Core, reference: Ref, wanted: Wanted) -> Switch:
    """The change that a request stands for.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND), no price of it for the interval (PRICE_NOT_FOUND), no subscription that
            could be changed (SUBSCRIPTION_NOT_FOUND).
        AlreadySubscribed: the same plan, interval and number of seats is what there is.
        Conflict: the subscription is not active (SUBSCRIPTION_NOT_ACTIVE), a change takes place at this moment
            (CHANGE_IN_PROGRESS), or the plan has no room for so many members (SEAT_LIMIT_REACHED).
        InvalidInput: a value is out of range.
        Unavailable: Stripe or the database does not answer.
    """
    target = plan_of(core, wanted.plan)
    _check(wanted)
    customer, row = await find_row(core, reference, group=target.group, subscription_id=wanted.subscription_id)
    if row.plan is not None and row.group != target.group:
        raise InvalidInput("is of another plan group than the subscription", field="plan")
    body = await fresh(core, row)
    theirs = read_subscription(body)
    sold = await core.store.read(lambda tx: sold_by(core, tx, theirs))
    _refuse_boundary(core, theirs)
    interval: BillingInterval = "year" if wanted.annual else "month"
    if wanted.annual is None and sold is not None:
        interval = sold.interval
    members = await members_to_pay_for(core, customer.reference, target)
    count = _seats(target, sold, wanted.seats) if members is None else members
    if sold is not None and (sold.plan.key, sold.interval, sold.seats) == (target.key, interval, count):
        raise AlreadySubscribed
    lines = await lines_of(core, target, interval, count)
    await core.store.read(lambda tx: _refuse_archived(tx, lines[0][0]))
    pair = None if sold is None else core.plan_change.pair(sold.plan.key, target.key)
    return Switch(
        customer=customer,
        row=row,
        theirs=theirs,
        body=body,
        sold=sold,
        plan=target,
        interval=interval,
        seats=count,
        moves=_moves(theirs, sold, target, lines),
        when=_when(core, sold, target, interval, count, pair) if wanted.when == "auto" else wanted.when,
        proration=wanted.proration_behavior,
        pair=pair,
    )


def _check(wanted: Wanted) -> None:
    if wanted.when not in get_args(When):
        raise InvalidInput("must be 'auto', 'now' or 'period_end'", field="when")
    if wanted.annual is not None and type(wanted.annual) is not bool:
        raise InvalidInput("must be true or false", field="annual")
    if wanted.proration_behavior is not None and wanted.proration_behavior not in get_args(ProrationBehavior):
        told = "must be 'create_prorations', 'always_invoice' or 'none'"
        raise InvalidInput(told, field="proration_behavior")


def _seats(target: Plan, sold: Sold | None, seats: int | None) -> int:
    """The seats after the change: as asked, else those that there are. A plan without seats does not inherit them."""
    if seats is not None or sold is None or (sold.plan.seats and not target.seats):
        return seats_of(target, seats)
    return seats_of(target, max(sold.seats, target.min_seats))


def _moves(
    theirs: StripeSubscription, sold: Sold | None, target: Plan, lines: Sequence[tuple[str, int | None]]
) -> tuple[Move, ...]:
    base = None if sold is None else sold.item
    if base is None and len(theirs.items) == 1:
        base = theirs.items[0]
    if base is None:
        # Nobody knows which of several items is the plan's.
        raise not_found()
    seat = None if sold is None or sold.plan.seat_price_id == base.price_id else sold.plan.seat_price_id
    owned: set[str | None] = set() if sold is None else {*sold.plan.line_items, seat}
    return moves(
        theirs.items,
        lines,
        base=base.id,
        seat_price=seat,
        new_seat_price=target.seat_price_id,
        owned={each for each in owned if each is not None},
    )


def _when(
    core: Core, sold: Sold | None, target: Plan, interval: BillingInterval, seats: int, pair: PlanPair | None
) -> Literal["now", "period_end"]:
    """As the pair of plans says; else upwards now, downwards at the end of what is paid for.

    What is upwards is decided by rank, then by interval, then by seats.
    """
    if pair is not None and pair.when is not None:
        return pair.when
    if sold is None:
        return "now"
    lengths = {"month": 0, "year": 1}
    before = (core.offer.rank(sold.plan.name), lengths[sold.interval], sold.seats)
    after = (core.offer.rank(target.name), lengths[interval], seats)
    return "period_end" if after < before else "now"


def _refuse_boundary(core: Core, theirs: StripeSubscription) -> None:
    """At the end of a period Stripe enters the next phase of a schedule by itself: nothing else is changed then."""
    if theirs.schedule_id is not None and theirs.period_end is not None and theirs.period_end <= core.now():
        raise busy()


def _refuse_archived(tx: Transaction, price_id: str) -> None:
    price = tx.catalog.price(price_id)
    if price is not None and (price.deleted or not price.active):
        raise NotFound("The price of the plan is not sold any more", code="PRICE_NOT_FOUND")


def proration_of(switch: Switch, otherwise: ProrationBehavior) -> ProrationBehavior:
    """What Stripe does with unused time: as was asked, or is said of the pair of plans, or `otherwise`."""
    of_pair = None if switch.pair is None else switch.pair.proration_behavior
    return switch.proration or of_pair or otherwise


def facts(switch: Switch) -> dict[str, Any]:
    """What the audit log says of the change: plan, interval and seats afterwards."""
    return {"plan": switch.plan.key, "interval": switch.interval, "seats": switch.seats}


def facts_before(switch: Switch) -> dict[str, Any]:
    """The same before it."""
    return {"plan": switch.row.plan, "interval": switch.row.interval, "seats": switch.row.seats}
