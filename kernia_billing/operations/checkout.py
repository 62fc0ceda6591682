"""Selling a first paid plan through Stripe Checkout: one open page for a customer and a plan group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from attrs import evolve

from ..domain.answers import Checkout
from ..domain.checkouts import CheckoutRow, CheckoutStatus
from ..domain.customers import CustomerRow
from ..domain.instants import DAY, Instant, from_seconds
from ..domain.references import Identity, Ref
from ..domain.subscriptions import SubscriptionRow, is_live
from ..errors import AlreadySubscribed, Conflict, NotFound, StripeRefused
from ..ports.store import DuplicateKey, Transaction
from .core import Core
from .customers import buyer
from .intents import create, intent_key
from .local_trials import rest_of_trial
from .orders import Order, order_of
from .pages import page_url
from .projections import adopt_subscriptions
from .session_params import asked_of_host, context_of, session_params
from .sessions import sync_session
from .trials import claim

_LIFE = DAY


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
    row = await _claim(core, customer, order)
    if row.url is not None and row.stripe_session_id is not None:
        return Checkout(row.url, row.stripe_session_id, "open", None)
    try:
        # Once more: another page may have been paid between the first look and the claim.
        await _refuse_second(core, customer, order)
    except Conflict:
        await _note(core, row, status="expired")
        raise
    theirs = await asked_of_host(core, context_of(customer, row, order, identity))
    days = await _trial_days(core, customer, row, order, identity)
    params = session_params(core, customer, row, order, _key(row), trial_days=days, theirs=theirs)
    try:
        session = await create(core, "checkout", _key(row), customer.id, "/v1/checkout/sessions", params)
    except (StripeRefused, NotFound):
        await _note(core, row, status="expired")
        raise
    session_id, url = str(session["id"]), page_url(core, session)
    if not await _note(core, row, session_id=session_id, url=url, expires_at=from_seconds(session["expires_at"])):
        # Another order took this one's place while Stripe was asked; nobody has seen the page.
        await _expire(core, session_id)
        raise Conflict("Another checkout is being opened for this reference", code="CHECKOUT_IN_PROGRESS")
    return Checkout(url, session_id, "open", None)


async def _note(
    core: Core,
    row: CheckoutRow,
    *,
    session_id: str | None = None,
    url: str | None = None,
    expires_at: Instant | None = None,
    status: CheckoutStatus = "open",
) -> bool:
    """Write down what became of a checkout while it is open; says whether it was."""

    def unit(tx: Transaction) -> bool:
        tx.customers.lock(row.customer_id)
        stored = tx.checkouts.by_id(row.id)
        if stored is None or stored.status != "open":
            return False
        if status == "expired":
            tx.trials.release(row.id)
        tx.checkouts.put(
            evolve(
                stored,
                status=status,
                stripe_session_id=session_id or stored.stripe_session_id,
                url=url or stored.url,
                expires_at=expires_at or stored.expires_at,
            )
        )
        return True

    return await core.store.transaction(unit)


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
    return order.trial_days if await claim(core, customer, row.id, order.plan, identity) else 0


async def _claim(core: Core, customer: CustomerRow, order: Order) -> CheckoutRow:
    """The checkout row to open a page for: the one that is open for the same order, or a new one in its place."""
    for _ in range(3):
        row = await core.store.read(lambda tx: tx.checkouts.open(customer.id, order.plan.group))
        if row is not None and row.fingerprint == order.fingerprint and row.expires_at > core.now():
            if await _is_still_open(core, row):
                return row
        elif row is not None:
            await _retire(core, row)
        with suppress(DuplicateKey):
            return await _open(core, customer, order)
    raise Conflict("Another checkout is being opened for this reference", code="CHECKOUT_IN_PROGRESS")


async def _is_still_open(core: Core, row: CheckoutRow) -> bool:
    """Whether the page can still be paid: what became of it may have been lost, and what it sold may have ended."""
    if row.stripe_session_id is None:
        return True
    await sync_session(core, row.stripe_session_id)
    after = await core.store.read(lambda tx: tx.checkouts.by_id(row.id))
    return after is not None and after.status == "open"


async def _open(core: Core, customer: CustomerRow, order: Order) -> CheckoutRow:
    now = core.now()
    row = CheckoutRow(
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
        expires_at=now + _LIFE,
        created_at=now,
    )
    await core.store.transaction(lambda tx: tx.checkouts.add(row))
    return row


def _key(row: CheckoutRow) -> str:
    return intent_key("checkout", row.id)


async def _retire(core: Core, row: CheckoutRow) -> None:
    """Expire an open page, or find that it was paid, before another one is opened."""
    session_id = row.stripe_session_id
    if session_id is None:
        intent = await core.store.read(lambda tx: tx.intents.get(_key(row)))
        if intent is not None and intent.state != "failed":
            # The page may exist although its answer was lost: the same key gives it, so that it can be expired.
            with suppress(StripeRefused, NotFound):
                made = await create(core, "checkout", intent.key, row.customer_id, intent.path, intent.params)
                session_id = str(made["id"])
                await _note(core, row, session_id=session_id)
    if session_id is None:
        await _note(core, row, status="expired")
        return
    await _expire(core, session_id)
    await sync_session(core, session_id)
    after = await core.store.read(lambda tx: tx.checkouts.by_id(row.id))
    paid = after is not None and after.status == "complete" and await _is_subscribed(core, row)
    if paid or (after is not None and after.status == "processing"):
        raise AlreadySubscribed("The checkout was paid meanwhile")


async def _is_subscribed(core: Core, row: CheckoutRow) -> bool:
    """Whether a subscription of the page's group is live: what the page sold may have ended since."""
    rows = await core.store.read(lambda tx: tx.subscriptions.of_customer(row.customer_id))
    return any(each.group == row.group and is_live(each.status) for each in rows)


async def _expire(core: Core, session_id: str) -> None:
    path = f"/v1/checkout/sessions/{session_id}/expire"
    with suppress(StripeRefused, NotFound):  # It is not open any more, or there is none.
        await core.provider().request("POST", path, {}, idempotency_key=intent_key("expire", session_id))
