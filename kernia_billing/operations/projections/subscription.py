"""Subscriptions: what Stripe says of one, what that gives, and what hooks hear of it."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from ...domain.customers import CustomerRow
from ...domain.instants import Instant
from ...domain.plan_items import PlanVersion
from ...domain.reading import is_cut, own_id
from ...domain.reports import Outcome
from ...domain.subscriptions import (
    TERMINAL,
    StripeSubscription,
    SubscriptionRow,
    first_live,
    is_live,
    read_subscription,
)
from ...ports.store import Transaction
from ...ports.stripe import StripeObject
from ..audit import record_subscription
from ..core import Core
from ..grants import apply_plans
from ..ledger import Books
from ..outbox import subscription_events
from ..plans import Sold, publish, sold_by, stored_version
from ..subscriptions import answer
from ..trial_news import tell_end_of_trial
from ..trials import note_trial
from . import missing
from .columns import mirror_subscriptions
from .owners import owner
from .tickets import Fetched, Projection, bring_in

_FINAL_FIELDS = ("plan", "plan_version_id", "period_start", "period_end", "seats", "price_id", "item_id", "interval")


async def sync_subscription(core: Core, stripe_id: str) -> Outcome:
    """Make our copy of a subscription, and what it gives, equal to Stripe's."""
    return await bring_in(core, SUBSCRIPTION, stripe_id)


async def adopt_subscriptions(core: Core, customer: CustomerRow, *, ended: bool = False) -> None:
    """Bring in the subscriptions that Stripe has for a customer and that we do not have in the same state.

    Whatever fails here fails the caller: selling without having looked could charge somebody twice. With `ended`
    those that ended long ago come too.
    """
    rows = await core.store.read(lambda tx: tx.subscriptions.of_customer(customer.id))
    known = {row.stripe_subscription_id: row.status for row in rows}
    unlisted = {row.stripe_subscription_id for row in rows if is_live(row.status)}
    params: dict[str, Any] = {"customer": customer.stripe_customer_id, "status": "all" if ended else None}
    after: str | None = None
    while True:
        page = await core.provider().page("/v1/subscriptions", params, after=after)
        for theirs in page.data:
            unlisted.discard(str(theirs["id"]))
            if known.get(str(theirs["id"])) != theirs.get("status"):
                await sync_subscription(core, str(theirs["id"]))
        if not page.has_more:
            break
        after = str(page.data[-1]["id"])
    for stripe_id in sorted(unlisted):
        # Stripe lists what has not ended: the news of its end was lost.
        await sync_subscription(core, stripe_id)


async def _complete(core: Core, subscription: StripeObject) -> StripeObject:
    """The subscription with all its items: Stripe shows the first ten, and there may be twenty."""
    if not is_cut(subscription.get("items")):
        return subscription
    page = await core.provider().page("/v1/subscription_items", {"subscription": own_id(subscription)})
    return {**subscription, "items": {"object": "list", "data": list(page.data), "has_more": page.has_more}}


def _write_subscription(core: Core, tx: Transaction, fetched: Fetched) -> Outcome:
    if fetched.body is None:
        return _write_gone(core, tx, fetched)
    theirs = read_subscription(fetched.body)
    known = owner(tx, fetched.body)
    customer = None if known is None else tx.customers.lock(known.id, core.now())
    if customer is None:
        return "unmatched"
    now = customer.written_at
    stored = tx.subscriptions.by_stripe_id(fetched.id)
    sold = sold_by(core, tx, theirs)
    version = None if sold is None else publish(core, tx, sold.plan)
    row = _row(core, tx, customer, stored, theirs, sold, version, now)
    _replace_all(core, tx, customer, stored, row, fetched.body, now)
    if stored is None or stored.trial_start is None:
        note_trial(core, tx, customer, row)
    return "applied"


def _write_gone(core: Core, tx: Transaction, fetched: Fetched) -> Outcome:
    """Stripe has no such subscription (any more): what we have of it has ended, unless that cannot be."""
    stored = tx.subscriptions.by_stripe_id(fetched.id)
    customer = None if stored is None else tx.customers.lock(stored.customer_id, core.now())
    if stored is not None and customer is not None:
        if stored.status not in TERMINAL:
            missing.tell(core, tx, fetched, customer)
            if missing.is_kept(core, fetched):
                return "gone"
        now = customer.written_at
        _replace_all(core, tx, customer, stored, _ended(stored, now), {}, now)
    return "gone"


def _replace_all(
    core: Core,
    tx: Transaction,
    customer: CustomerRow,
    before: SubscriptionRow | None,
    row: SubscriptionRow,
    stripe_object: StripeObject,
    now: Instant,
) -> None:
    """Store the row, flag what is live twice, bring the grants in line, and note the events; one unit of work."""
    others = {each.id: each for each in tx.subscriptions.of_customer(customer.id) if each.id != row.id}
    rows = sorted([*others.values(), row], key=lambda each: (each.created_at, each.id))
    flagged = [_flag(each, rows) for each in rows]
    for each in flagged:
        if others.get(each.id) != each:
            tx.subscriptions.put(each)
    mirror_subscriptions(core, tx, customer.reference, flagged)
    books = Books(tx, core.ids, customer, now)
    bought = apply_plans(core, tx, books, flagged).bought
    books.close()
    for each in flagged:
        known = before if each.id == row.id else others[each.id]
        previous = None if known is None else answer(core, customer, known, now, tx)
        current = answer(core, customer, each, now, tx)
        theirs: StripeObject = stripe_object if each.id == row.id else {}
        events = subscription_events(core, customer, previous, current, theirs, now)
        # A trial without Stripe that goes on here was told of when it began.
        tx.outbox.add([told for told in events if told.topic != "trial.started" or each.id not in bought])
        record_subscription(tx, core, known, each)
    told = next(each for each in flagged if each.id == row.id)
    tell_end_of_trial(core, tx, customer, told, stripe_object, now, continued=bought.get(told.id))


def _flag(row: SubscriptionRow, rows: list[SubscriptionRow]) -> SubscriptionRow:
    """Mark a second live subscription of a plan group: it is mirrored, gives nothing, and somebody has to look.

    One that sells no plan of ours is no second one: other software on the account may have sold it.
    """
    first = first_live([evolve(each, duplicate=False) for each in rows], row.group)
    second = first is not None and first.id != row.id
    duplicate = second and row.plan is not None and is_live(row.status)
    return row if row.duplicate == duplicate else evolve(row, duplicate=duplicate)


def _ended(stored: SubscriptionRow, now: Instant) -> SubscriptionRow:
    """The row of a subscription that Stripe no longer knows."""
    if stored.status in TERMINAL:
        return stored
    return evolve(stored, status="canceled", ended_at=stored.ended_at or now, updated_at=now)


def _row(
    core: Core,
    tx: Transaction,
    customer: CustomerRow,
    stored: SubscriptionRow | None,
    theirs: StripeSubscription,
    sold: Sold | None,
    version: PlanVersion | None,
    now: Instant,
) -> SubscriptionRow:
    row = SubscriptionRow(
        id=_local_id(core, tx, customer, stored, theirs),
        customer_id=customer.id,
        stripe_subscription_id=theirs.id,
        group="default" if sold is None else sold.plan.group,
        plan=None if sold is None else sold.plan.key,
        plan_version_id=None if version is None else version.id,
        status=theirs.status,
        interval=None if sold is None else sold.interval,
        price_id=sold.item.price_id if sold is not None else (theirs.items[0].price_id if theirs.items else None),
        item_id=sold.item.id if sold is not None else (theirs.items[0].id if theirs.items else None),
        seats=None if sold is None else sold.seats,
        period_start=theirs.period_start,
        period_end=theirs.period_end,
        trial_start=theirs.trial_start,
        trial_end=theirs.trial_end,
        cancel_at_period_end=theirs.cancel_at_period_end,
        cancel_at=theirs.cancel_at,
        canceled_at=theirs.canceled_at,
        ended_at=theirs.ended_at,
        billing_cycle_anchor=theirs.billing_cycle_anchor,
        past_due_since=_past_due_since(stored, theirs, now),
        pause_behavior=theirs.pause_behavior,
        schedule_id=theirs.schedule_id,
        duplicate=False,
        created_at=theirs.start_date,
        updated_at=now,
        cancel_reason=theirs.cancel_reason,
        cancel_feedback=theirs.cancel_feedback,
        resumes_at=theirs.resumes_at,
        default_payment_method_id=theirs.default_payment_method_id,
        collection_method=theirs.collection_method,
    )
    return row if stored is None else _keep_history(stored, row)


def _past_due_since(stored: SubscriptionRow | None, theirs: StripeSubscription, now: Instant) -> Instant | None:
    """When the payment first failed: an invoice is attempted when it is finalized (Stripe, "Subscription invoices")."""
    if theirs.status != "past_due":
        return None
    if stored is not None and stored.past_due_since is not None:
        return stored.past_due_since
    return theirs.unpaid_since or now


def _keep_history(stored: SubscriptionRow, row: SubscriptionRow) -> SubscriptionRow:
    """A subscription that ended keeps what it was; what Stripe still says of it is only its end."""
    if stored.status in TERMINAL and row.status not in TERMINAL:
        return stored
    if row.status in TERMINAL:
        kept: dict[str, Any] = {name: getattr(stored, name) for name in _FINAL_FIELDS if getattr(row, name) is None}
        return evolve(row, **kept)
    return row


def _local_id(
    core: Core,
    tx: Transaction,
    customer: CustomerRow,
    stored: SubscriptionRow | None,
    theirs: StripeSubscription,
) -> str:
    """Our id of a subscription: the one that our checkout set aside for it, where a checkout of ours sold it.

    Metadata can be edited by whoever has the Stripe account's dashboard, so it only selects among this customer's own
    checkouts.
    """
    if stored is not None:
        return stored.id
    promised = theirs.metadata.get("subscriptionId")
    checkout = None if promised is None else tx.checkouts.by_subscription(promised)
    if checkout is not None and checkout.customer_id == customer.id:
        taken = {each.id for each in tx.subscriptions.of_customer(customer.id)}
        if checkout.subscription_id not in taken:
            return checkout.subscription_id
    return core.ids.new("sub")


def _rows(core: Core, tx: Transaction, subscription: StripeObject) -> tuple[SubscriptionRow, SubscriptionRow] | None:
    theirs = read_subscription(subscription)
    stored = tx.subscriptions.by_stripe_id(theirs.id)
    customer = owner(tx, subscription)
    if stored is None or customer is None or is_cut(subscription.get("items")):
        return None
    sold = sold_by(core, tx, theirs)
    version = None if sold is None else stored_version(tx, sold.plan)
    row = _row(core, tx, customer, stored, theirs, sold, version, stored.updated_at)
    # When the first payment failed follows from more than the object, and a duplicate from the other rows.
    return row, evolve(stored, past_due_since=row.past_due_since, duplicate=row.duplicate)


SUBSCRIPTION = Projection("subscription", _write_subscription, _rows, complete=_complete)
"""How subscriptions come in."""
