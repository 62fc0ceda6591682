"""Cards that expire soon and that subscriptions are paid with: hooks hear of each once for the date on it.

No event of Stripe's says so: `customer.source.expiring` is about legacy sources, and a payment method's own events tell
of changes only, such as a new date from the card's network (`payment_method.automatically_updated`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..domain.customers import CustomerRow
from ..domain.payment_methods import PaymentMethodRow, months_that_end
from ..domain.subscriptions import SubscriptionRow, is_live, paid_with, set_to_end
from ..ports.store import Rollback, Transaction
from .core import Core
from .outbox import CARD_EXPIRING, event

_PAGE = 500
_AT_ONCE = 500
"""So many are told of before other jobs have their turn."""


async def tell_due(core: Core) -> tuple[int, bool]:
    """Tell of the cards that expire within `card_expiry_notice`; says of how many, and whether that were all."""
    now, number = core.now(), 0
    for year, month in months_that_end(now, now + core.card_expiry_notice):
        after, is_last = "", False
        while not is_last:
            if core.stopping() or number >= _AT_ONCE:
                return number, False
            rows = await core.store.read(partial(_untold, year=year, month=month, after=after))
            for row in rows:
                number += await core.store.transaction(partial(_tell, core, row.id, row.customer_id))
            is_last = len(rows) < _PAGE
            after = "" if is_last else rows[-1].id
    return number, True


def _untold(tx: Transaction, year: int, month: int, after: str) -> Sequence[PaymentMethodRow]:
    untold = (CARD_EXPIRING, _mark(year, month))
    return tx.payment_methods.expiring(year, month, untold=untold, limit=_PAGE, after=after)


def _mark(year: int | None, month: int | None) -> str:
    return f"{year}-{month}"


def _tell(core: Core, method_id: str, customer_id: str, tx: Transaction) -> int:
    customer = tx.customers.lock(customer_id, core.now())
    card = tx.payment_methods.get(method_id)
    if customer is None or card is None or card.detached or card.expires_at is None:
        raise Rollback(0)
    now = customer.written_at
    paid = _paid_with(tx, customer, card)
    if not paid or not now < card.expires_at <= now + core.card_expiry_notice:
        raise Rollback(0)
    mark = _mark(card.exp_year, card.exp_month)
    if not tx.notices.add(CARD_EXPIRING, card.id, mark, now=now, until=card.expires_at):
        raise Rollback(0)
    facts = {
        "payment_method_id": card.id,
        "brand": card.brand,
        "last4": card.last4,
        "exp_month": card.exp_month,
        "exp_year": card.exp_year,
        "expires_at": card.expires_at,
        "subscription_ids": [each.id for each in paid],
    }
    tx.outbox.add([event(core, customer, CARD_EXPIRING, now, data=facts)])
    return 1


def _paid_with(tx: Transaction, customer: CustomerRow, card: PaymentMethodRow) -> Sequence[SubscriptionRow]:
    """The live subscriptions that would be charged to a card after it has expired."""
    at_stripe = None if customer.stripe_customer_id is None else tx.stripe_customers.get(customer.stripe_customer_id)
    default = None if at_stripe is None else at_stripe.default_payment_method_id
    expires = card.expires_at or 0
    return [
        each
        for each in tx.subscriptions.of_customer(customer.id)
        if is_live(each.status)
        and paid_with(each, default) == card.id
        and ((end := set_to_end(each)) is None or end > expires)
    ]
