"""Selling a first paid plan through Stripe Checkout, and what becomes of the session."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import evolve, frozen

from ..domain.answers import Checkout
from ..domain.checkouts import CheckoutRow, CheckoutStatus
from ..domain.customers import CustomerRow
from ..domain.ids import stripe_id
from ..domain.instants import DAY, Instant, from_seconds
from ..domain.metadata import client_metadata, merge
from ..domain.plans import BillingInterval, Plan
from ..domain.reading import id_of
from ..domain.references import Identity, Ref, Reference
from ..domain.subscriptions import SubscriptionRow, is_live
from ..errors import AlreadySubscribed, Conflict, InvalidInput, NotFound, StripeRefused
from ..ports.store import DuplicateKey, Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .customers import row_of, with_stripe
from .intents import INTENT, create, intent_key
from .outbox import dispatch, event
from .pages import page_url
from .plans import mapped_prices, price_of
from .projections import Also, Outcome, adopt_subscriptions, fetch, store_fetched, sync_subscription
from .subscriptions import answer

_LIFE = DAY
_MAX_LOCALE = 20


@frozen
class _Order:
    """What is to be bought: a validated request, with the prices looked up. `metered` lines have no quantity."""

    plan: Plan
    interval: BillingInterval
    seats: int
    lines: tuple[tuple[str, int | None], ...]
    success_url: str
    cancel_url: str
    locale: str | None
    metadata: Mapping[str, str]
    user_id: str | None

    @property
    def fingerprint(self) -> str:
        """Equal for orders that one page can serve."""
        told = [self.plan.key, self.interval, self.seats, self.lines, self.success_url, self.cancel_url, self.locale]
        text = json.dumps([*told, dict(self.metadata), self.user_id], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


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
    interval = _interval(annual=annual)
    order = await _order(core, plan, interval, seats, locale, metadata, identity, success_url, cancel_url)
    email = identity.email if identity is not None and identity.user_id == who.id else None
    customer = await with_stripe(core, await row_of(core, who), email=email)
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
    params = _params(customer, row, order, await _trial_days(core, customer, order.plan))
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


async def _order(
    core: Core,
    plan_name: str,
    interval: BillingInterval,
    seats: int | None,
    locale: str | None,
    metadata: Mapping[str, str] | None,
    identity: Identity | None,
    success_url: str,
    cancel_url: str,
) -> _Order:
    if not isinstance(plan_name, str):
        raise InvalidInput("must be a text", field="plan")
    if locale is not None and not (isinstance(locale, str) and 0 < len(locale) <= _MAX_LOCALE and locale.isascii()):
        raise InvalidInput("must be a language tag such as 'de' or 'pt-BR'", field="locale")
    plan = core.offer.plan(plan_name)
    count = _seats(plan, seats)
    return _Order(
        plan=plan,
        interval=interval,
        seats=count,
        lines=await _lines(core, plan, interval, count),
        success_url=success_url,
        cancel_url=cancel_url,
        locale=locale,
        metadata=client_metadata(metadata, "metadata"),
        user_id=None if identity is None else identity.user_id,
    )


def _interval(*, annual: bool) -> BillingInterval:
    if type(annual) is not bool:
        raise InvalidInput("must be true or false", field="annual")
    return "year" if annual else "month"


def _seats(plan: Plan, seats: int | None) -> int:
    """The number of seats to buy. A plan without seats is bought once, or so many times over as asked."""
    limit = plan.max_seats if plan.max_seats is not None else 10_000
    if seats is None:
        return plan.min_seats
    if type(seats) is not int or not 1 <= seats <= limit:
        raise InvalidInput(f"must be an integer between 1 and {limit}", field="seats")
    return max(seats, plan.min_seats)


async def _lines(core: Core, plan: Plan, interval: BillingInterval, seats: int) -> tuple[tuple[str, int | None], ...]:
    if plan.is_free:
        raise InvalidInput("names a free plan: there is nothing to pay", field="plan")
    base = await _price_id(core, plan, interval)
    if plan.metered:
        return ((base, None),)
    if plan.seat_price_id is None or plan.seat_price_id == base:
        return ((base, seats),)
    return ((base, 1), (plan.seat_price_id, seats))


async def _price_id(core: Core, plan: Plan, interval: BillingInterval) -> str:
    """The price to charge: never the one of another interval. An imported lookup key counts, else Stripe is asked."""
    lookup_key = plan.lookup_key_for(interval)
    if lookup_key is None and plan.price_for(interval) is not None:
        return str(plan.price_for(interval))

    def read(tx: Transaction) -> str | None:
        price = price_of(tx, plan, interval, mapped_prices(tx))
        return None if price is None or not price.active else price.id

    known = await core.store.read(read)
    if known is None and lookup_key is not None:
        page = await core.provider().page("/v1/prices", {"lookup_keys": [lookup_key], "active": True})
        known = str(page.data[0]["id"]) if page.data else None
    if known is None:
        raise NotFound("Price ID not found for the selected plan", code="PRICE_NOT_FOUND")
    return known


async def _rows(core: Core, customer: CustomerRow) -> Sequence[SubscriptionRow]:
    return await core.store.read(lambda tx: tx.subscriptions.of_customer(customer.id))


async def _refuse_second(core: Core, customer: CustomerRow, order: _Order) -> None:
    rows = [row for row in await _rows(core, customer) if row.group == order.plan.group and is_live(row.status)]
    for row in rows:
        if row.plan == order.plan.key and row.interval == order.interval and row.seats == order.seats:
            raise AlreadySubscribed
    if rows:
        raise Conflict("The reference has a subscription already: change it", code="SUBSCRIPTION_EXISTS")


async def _trial_days(core: Core, customer: CustomerRow, plan: Plan) -> int:
    """The plan's trial, for a reference that never had one. One open page at a time makes that hold under races too."""
    had_one = any(row.trial_start is not None for row in await _rows(core, customer))
    return 0 if had_one else plan.trial_days


async def _claim(core: Core, customer: CustomerRow, order: _Order) -> CheckoutRow:
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


async def _open(core: Core, customer: CustomerRow, order: _Order) -> CheckoutRow:
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


def _params(customer: CustomerRow, row: CheckoutRow, order: _Order, trial_days: int) -> dict[str, Any]:
    reference = customer.reference
    buyer = order.user_id or (reference.id if reference.type == "user" else None)
    internal = {
        **({} if buyer is None else {"userId": buyer}),
        "referenceId": reference.id,
        "customerType": reference.type,
        "subscriptionId": row.subscription_id,
        "plan": order.plan.key,
        INTENT: _key(row),
    }
    metadata = merge(order.metadata, internal)
    lines = [{"price": price} if count is None else {"price": price, "quantity": count} for price, count in order.lines]
    selling: dict[str, Any] = {"metadata": metadata, "trial_period_days": trial_days or None}
    return {
        "mode": "subscription",
        "customer": customer.stripe_customer_id,
        "customer_update": {"address": "auto", "name": "auto" if reference.type == "user" else None},
        "client_reference_id": reference.id if _fits(reference) else None,
        "line_items": lines,
        "locale": order.locale,
        "metadata": metadata,
        "subscription_data": selling,
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
    }


def _fits(reference: Reference) -> bool:
    """Stripe takes up to 200 characters as client_reference_id (Stripe, "Create a Checkout Session")."""
    return len(reference.id) <= 200


async def sync_session(core: Core, session_id: str, *, ticket: int | None = None, also: Also | None = None) -> Outcome:
    """Bring in what became of a checkout session that we opened, and the subscription that was bought in it.

    Sessions that we did not open (payment links, other software on the account) are left alone: whoever opens them
    chooses their `client_reference_id`.
    """
    row = await core.store.read(lambda tx: tx.checkouts.by_session(session_id))
    if row is None:
        return "unmatched"
    fetched = await fetch(core, "checkout.session", session_id, ticket)
    status = _status(fetched.body)
    subscription_id = None if fetched.body is None else id_of(fetched.body.get("subscription"))
    if status in ("complete", "processing") and subscription_id is not None:
        await sync_subscription(core, subscription_id)
    return await store_fetched(core, fetched, lambda tx: _close(core, tx, session_id, status, subscription_id), also)


def _status(session: StripeObject | None) -> CheckoutStatus:
    if session is None or session.get("status") == "expired":
        return "expired"
    if session.get("status") != "complete":
        return "open"
    return "processing" if session.get("payment_status") == "unpaid" else "complete"


def _close(
    core: Core, tx: Transaction, session_id: str, status: CheckoutStatus, subscription_id: str | None
) -> Outcome:
    row = tx.checkouts.by_session(session_id)
    if row is None or row.status == status:
        return "applied"
    customer = tx.customers.lock(row.customer_id)
    tx.checkouts.put(evolve(row, status=status))
    bought = None if subscription_id is None else tx.subscriptions.by_stripe_id(subscription_id)
    if status == "complete" and customer is not None and bought is not None:
        now = core.now()
        current = answer(core, customer, bought, now)
        tx.outbox.add([event(core, customer, "subscription.completed", now, subscription=current)])
    return "applied"


async def sync_checkout(core: Core, session_id: str, reference: Ref | None = None) -> Checkout:
    """What became of a checkout, asked of Stripe now: for the page that the buyer returns to.

    `subscription` is the one that was bought in it, None as long as none was.

    Raises:
        NotFound: we did not open this session, or not for this reference (CHECKOUT_NOT_FOUND).
        Unavailable: Stripe or the database does not answer.
    """
    stripe_id(session_id, "cs", field="session_id")
    who = None if reference is None else core.reference(reference)

    def read(tx: Transaction) -> tuple[CheckoutRow, CustomerRow] | None:
        row = tx.checkouts.by_session(session_id)
        customer = None if row is None else tx.customers.by_id(row.customer_id)
        return None if row is None or customer is None else (row, customer)

    found = await core.store.read(read)
    if found is None or (who is not None and found[1].reference != who):
        raise NotFound("Checkout not found", code="CHECKOUT_NOT_FOUND")
    await sync_session(core, session_id)
    await dispatch(core)
    again = await core.store.read(read)
    row, customer = again or found
    bought = next((each for each in await _rows(core, customer) if each.id == row.subscription_id), None)
    subscription = None if bought is None else answer(core, customer, bought, core.now())
    return Checkout(row.url if row.status == "open" else None, session_id, row.status, subscription)
