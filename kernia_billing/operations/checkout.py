"""Selling a first paid plan through Stripe Checkout: one open page for a customer and a plan group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from attrs import evolve

from ..domain.answers import Checkout
from ..domain.checkouts import CheckoutRow
from ..domain.customers import CustomerRow
from ..domain.references import Identity, Ref
from ..domain.subscriptions import SubscriptionRow, is_live
from ..errors import AlreadySubscribed, Conflict
from .core import Core
from .customers import buyer
from .local_trials import rest_of_trial
from .one_page import CHECKOUTS, LIFE, claim, give_up, show, shown
from .orders import Order, order_of
from .projections import adopt_subscriptions
from .session_params import asked_of_host, context_of, session_params
from .trials import claim as claim_trial


async def upgrade(
    core: Core,
    reference: Ref,
    plan: str,
    *,
    success_url: str,
    cancel_url: str,
    annual: bool = False,
    seats: int | None = None,
    locale: str | None = None,
    metadata: Mapping[str, str] | None = None,
    identity: Identity | None = None,
    trial_days: int | None = None,
    skip_trial: bool = False,
) -> Checkout:
    """Open a checkout page for a first paid plan. The URLs are absolute already.

    The reference has at most one open page per plan group: asking for the same thing again gives the same page, asking
    for something else expires it first, and one that was paid meanwhile is brought in and refused as a second purchase.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND), or no price for it (PRICE_NOT_FOUND).
        AlreadySubscribed: the same plan, interval and number of seats is live.
        Conflict: another plan of the group is live (SUBSCRIPTION_EXISTS).
        InvalidInput: a value is out of range.
        Unavailable: Stripe or the database does not answer; nothing was sold, the same call goes on.
    """
    who = core.reference(reference)
    order = await order_of(
        core,
        plan,
        annual=annual,
        seats=seats,
        locale=locale,
        metadata=metadata,
        identity=identity,
        success_url=success_url,
        cancel_url=cancel_url,
        trial_days=trial_days,
        skip_trial=skip_trial,
        reference=who,
    )
    customer = await buyer(core, who, identity)
    if not skip_trial and trial_days != 0:
        order = evolve(order, trial_end=await rest_of_trial(core, customer, order.plan))
    await adopt_subscriptions(core, customer)
    await _refuse_second(core, customer, order)
    row = await claim(core, CHECKOUTS, _row(core, customer, order), retired=partial(_refuse_paid, core))
    if page := shown(row):
        return page
    try:
        # Once more: another page may have been paid between the first look and the claim.
        await _refuse_second(core, customer, order)
    except Conflict:
        await give_up(core, CHECKOUTS, row)
        raise
    theirs = await asked_of_host(core, context_of(customer, row, order, identity))
    days = await _trial_days(core, customer, row, order, identity)
    params = session_params(core, customer, row, order, CHECKOUTS.key(row), trial_days=days, theirs=theirs)
    return await show(core, CHECKOUTS, row, params)


async def _rows(core: Core, customer: CustomerRow) -> Sequence[SubscriptionRow]:
    return await core.store.read(lambda tx: tx.subscriptions.of_customer(customer.id))


async def _refuse_second(core: Core, customer: CustomerRow, order: Order) -> None:
    rows = [row for row in await _rows(core, customer) if row.group == order.plan.group and is_live(row.status)]
    for row in rows:
        if row.plan == order.plan.key and row.interval == order.interval and row.seats == order.seats:
            raise AlreadySubscribed
    if rows:
        raise Conflict("The reference has a subscription already: change it", code="SUBSCRIPTION_EXISTS")


async def _trial_days(
    core: Core, customer: CustomerRow, row: CheckoutRow, order: Order, identity: Identity | None
) -> int:
    """How long may be tried: nothing where the trial was had, or is another page's. One that goes on is no second."""
    if not order.trial_days or order.trial_end is not None:
        return 0
    return order.trial_days if await claim_trial(core, customer, row.id, order.plan, identity) else 0


def _row(core: Core, customer: CustomerRow, order: Order) -> CheckoutRow:
    now = core.now()
    return CheckoutRow(
        id=core.ids.new("chk"),
        customer_id=customer.id,
        group=order.plan.group,
        plan=order.plan.key,
        interval=order.interval,
        seats=order.seats,
        fingerprint=order.fingerprint,
        subscription_id=core.ids.new("sub"),
        status="open",
        stripe_session_id=None,
        url=None,
        expires_at=now + LIFE,
        created_at=now,
    )


async def _refuse_paid(core: Core, row: CheckoutRow) -> None:
    """Sell nothing beside a page that was paid while it was about to be expired."""
    after = await core.store.read(lambda tx: tx.checkouts.by_id(row.id))
    paid = after is not None and after.status == "complete" and await _is_subscribed(core, row)
    if paid or (after is not None and after.status == "processing"):
        raise AlreadySubscribed("The checkout was paid meanwhile")


async def _is_subscribed(core: Core, row: CheckoutRow) -> bool:
    """Whether a subscription of the page's group is live: what the page sold may have ended since."""
    rows = await core.store.read(lambda tx: tx.subscriptions.of_customer(row.customer_id))
    return any(each.group == row.group and is_live(each.status) for each in rows)
