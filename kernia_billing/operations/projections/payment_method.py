"""Payment methods: what a customer can be charged by."""

from __future__ import annotations

from attrs import evolve

from ...domain.instants import Instant
from ...domain.payment_methods import PaymentMethodRow
from ...domain.reading import instant, own_id, text
from ...domain.reports import Outcome
from ...domain.shapes import details_of_payment_method, owner_of
from ...domain.subscriptions import is_live
from ...ports.store import Transaction
from ...ports.stripe import StripeObject
from ..core import Core
from .customer import CUSTOMER
from .owners import owner
from .subscription import sync_subscription
from .tickets import Fetched, Projection, bring_in


def payment_method_row(method: StripeObject, customer_id: str, now: Instant) -> PaymentMethodRow:
    """Read a Stripe payment method.

    Raises:
        InvalidInput: it has no id, or its time is beyond all time.
    """
    brand, last4, exp_month, exp_year = details_of_payment_method(method)
    return PaymentMethodRow(
        id=own_id(method),
        customer_id=customer_id,
        type=text(method.get("type")) or "",
        brand=brand,
        last4=last4,
        exp_month=exp_month,
        exp_year=exp_year,
        created_at=instant(method.get("created")) or 0,
        detached=owner_of(method) is None,
        updated_at=now,
    )


def _write(core: Core, tx: Transaction, fetched: Fetched) -> Outcome:
    now = core.now()
    stored = tx.payment_methods.get(fetched.id)
    body = fetched.body
    if body is None or owner_of(body) is None:
        # Nobody's: never attached, or detached, after which it can never be used again.
        if stored is not None and not stored.detached:
            tx.payment_methods.put(evolve(stored, detached=True, updated_at=now))
        return "gone"
    customer = owner(tx, body)
    if customer is None:
        return "unmatched"
    tx.payment_methods.put(payment_method_row(body, customer.id, now))
    return "applied"


async def _after(core: Core, fetched: Fetched) -> None:
    """Look again at what named one that is nobody's now: Stripe takes it out of there, and tells of itself only."""
    if fetched.body is not None and owner_of(fetched.body) is not None:
        return

    def naming(tx: Transaction) -> tuple[list[str], list[str]]:
        stored = tx.payment_methods.get(fetched.id)
        if stored is None:
            return [], []
        customers = tx.stripe_customers.of_customer(stored.customer_id)
        subscriptions = tx.subscriptions.of_customer(stored.customer_id)
        return (
            [each.id for each in customers if each.default_payment_method_id == fetched.id and not each.deleted],
            [
                each.stripe_subscription_id
                for each in subscriptions
                if each.default_payment_method_id == fetched.id and is_live(each.status)
            ],
        )

    customers, subscriptions = await core.store.read(naming)
    for each in customers:
        await bring_in(core, CUSTOMER, each)
    for each in subscriptions:
        await sync_subscription(core, each)


def _rows(_core: Core, tx: Transaction, method: StripeObject) -> tuple[PaymentMethodRow, PaymentMethodRow] | None:
    stored = tx.payment_methods.get(own_id(method))
    customer = owner(tx, method)
    if stored is None or customer is None:
        return None
    return payment_method_row(method, customer.id, stored.updated_at), stored


PAYMENT_METHOD = Projection("payment_method", _write, _rows, after=_after)
"""How payment methods come in."""
