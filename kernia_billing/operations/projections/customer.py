"""Customers as they are at Stripe."""

from __future__ import annotations

from attrs import evolve

from ...domain.instants import Instant
from ...domain.reading import amount, flag, id_of, instant, members, own_id, text
from ...domain.reports import Outcome
from ...domain.stripe_customers import StripeCustomerRow
from ...domain.subscriptions import is_live
from ...ports.store import Transaction
from ...ports.stripe import StripeObject
from ..audit import record
from ..core import Core
from . import missing
from .columns import mirror
from .owners import customer_of
from .subscription import sync_subscription
from .tickets import Fetched, Projection


def stripe_customer_row(customer: StripeObject, customer_id: str, now: Instant) -> StripeCustomerRow:
    """Read a Stripe customer.

    Raises:
        InvalidInput: it has no id, its balance is no integer, or its time is beyond all time.
    """
    settings = members(customer.get("invoice_settings"))
    return StripeCustomerRow(
        id=own_id(customer),
        customer_id=customer_id,
        deleted=False,
        delinquent=flag(customer.get("delinquent")),
        balance=amount(customer, "balance"),
        currency=text(customer.get("currency")),
        default_payment_method_id=id_of(settings.get("default_payment_method")),
        created_at=instant(customer.get("created")) or 0,
        updated_at=now,
    )


def note_deleted(core: Core, tx: Transaction, stripe_customer_id: str) -> None:
    """Write down that Stripe deleted a customer: ours is without one from now on, and gets a new one when it buys.

    Its open checkout pages are worth nothing any more.
    """
    ours = customer_of(tx, stripe_customer_id)
    if ours is None:
        return
    now = core.now()
    tx.customers.lock(ours.id)
    stored = tx.stripe_customers.get(stripe_customer_id)
    if stored is None:
        stored = stripe_customer_row({"id": stripe_customer_id}, ours.id, now)
    if not stored.deleted:
        tx.stripe_customers.put(evolve(stored, deleted=True, updated_at=now))
    if tx.customers.unlink(ours.id, stripe_customer_id):
        mirror(core, tx, ours.reference, None)
        record(tx, core, "customer.unlinked", ours.id, ours.id, {"stripe_customer_id": stripe_customer_id}, None)
        for group in sorted({plan.group for plan in core.offer.plans.values()}):
            page = tx.checkouts.open(ours.id, group)
            if page is not None:
                tx.checkouts.put(evolve(page, status="expired"))
                tx.trials.release(page.id)
        for each in tx.purchases.open_ones(ours.id):
            tx.purchases.put(evolve(each, status="expired"))


def _write(core: Core, tx: Transaction, fetched: Fetched) -> Outcome:
    ours = customer_of(tx, fetched.id)
    if fetched.body is None:
        if ours is None or not missing.is_kept(core, fetched):
            note_deleted(core, tx, fetched.id)
        elif ours.stripe_customer_id == fetched.id:
            missing.tell(core, tx, fetched, ours)
        return "gone"
    if ours is None:
        return "unmatched"
    tx.stripe_customers.put(stripe_customer_row(fetched.body, ours.id, core.now()))
    return "applied"


async def _after(core: Core, fetched: Fetched) -> None:
    """Bring in the end of the subscriptions of a customer that is gone: Stripe ends them with it."""
    if fetched.body is None:
        await end_subscriptions(core, fetched.id)


async def end_subscriptions(core: Core, stripe_customer_id: str) -> None:
    """Look again at every live subscription of a customer that Stripe deleted."""

    def live(tx: Transaction) -> list[str]:
        ours = customer_of(tx, stripe_customer_id)
        if ours is None:
            return []
        rows = tx.subscriptions.of_customer(ours.id)
        return [row.stripe_subscription_id for row in rows if is_live(row.status)]

    for stripe_id in await core.store.read(live):
        await sync_subscription(core, stripe_id)


def _rows(_core: Core, tx: Transaction, customer: StripeObject) -> tuple[StripeCustomerRow, StripeCustomerRow] | None:
    stored = tx.stripe_customers.get(own_id(customer))
    if stored is None:
        return None
    return stripe_customer_row(customer, stored.customer_id, stored.updated_at), stored


CUSTOMER = Projection("customer", _write, _rows, after=_after)
"""How customers come in."""
