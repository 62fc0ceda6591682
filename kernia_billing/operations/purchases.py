"""Selling what is paid once, and saving a payment method: checkout pages that sell no plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from ..domain.answers import Checkout
from ..domain.customers import CustomerRow
from ..domain.metadata import merge
from ..domain.plans import TopUp
from ..domain.purchases import PurchaseMode, PurchaseRow, promised
from ..domain.references import Identity, Ref
from ..errors import InvalidInput
from .core import Core
from .customers import buyer
from .intents import INTENT
from .one_page import LIFE, PURCHASES, claim, show, shown
from .session_params import client_reference, customer_update, details

_MOST = 999_999


@frozen
class _Order:
    """What is wanted of a page. `terms` are the parameters of its mode, `sold` what is kept of them."""

    mode: PurchaseMode
    name: str
    quantity: int
    sold: Mapping[str, Any]
    terms: Mapping[str, Any]
    success_url: str
    cancel_url: str
    user_id: str | None

    @property
    def fingerprint(self) -> str:
        """Equal for orders that one page can serve."""
        told = [self.mode, self.name, self.quantity, self.sold, self.terms, self.success_url, self.cancel_url]
        text = json.dumps([*told, self.user_id], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


async def top_up(
    core: Core,
    reference: Ref,
    name: str,
    quantity: int,
    *,
    success_url: str,
    cancel_url: str,
    identity: Identity | None = None,
) -> Checkout:
    """Open a page on which `quantity` units of a top-up are bought. The URLs are absolute already.

    A reference has at most one open page for each top-up: the same order gives the same page again, another one expires
    it first. What was paid is granted once, whoever hears of it first.

    Raises:
        NotFound: no such top-up (TOP_UP_NOT_FOUND).
        InvalidInput: the quantity is not within the bounds of the top-up.
        Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
    """
    if not isinstance(name, str):
        raise InvalidInput("must be a text", field="name")
    sold = core.offer.top_up(name)
    _check_quantity(sold, quantity)
    most = min(sold.max_quantity or _MOST, _MOST)
    line: dict[str, Any] = {"price": sold.price_id, "quantity": quantity}
    if sold.adjustable:
        line["adjustable_quantity"] = {"enabled": True, "minimum": sold.min_quantity, "maximum": most}
    terms = {"line_items": [line], "locale": core.selling.page.locale, **details(core.selling.page)}
    order = _Order(
        mode="payment",
        name=sold.name.lower(),
        quantity=quantity,
        sold=promised(sold),
        terms=terms,
        success_url=success_url,
        cancel_url=cancel_url,
        user_id=None if identity is None else identity.user_id,
    )
    return await _open_page(core, reference, order, identity)


def _check_quantity(sold: TopUp, quantity: object) -> None:
    most = min(sold.max_quantity or _MOST, _MOST)
    if type(quantity) is not int or not sold.min_quantity <= quantity <= most:
        raise InvalidInput(f"must be an integer between {sold.min_quantity} and {most}", field="quantity")


async def setup_payment_method(
    core: Core,
    reference: Ref,
    *,
    success_url: str,
    cancel_url: str,
    default: bool = True,
    identity: Identity | None = None,
) -> Checkout:
    """Open a page on which a payment method is saved, and nothing paid. The URLs are absolute already.

    Raises:
        InvalidInput: a value is out of range.
        Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
    """
    if type(default) is not bool:
        raise InvalidInput("must be true or false", field="default")
    currency = core.currency
    order = _Order(
        mode="setup",
        name="",
        quantity=0,
        sold={"default": default},
        terms={"currency": currency, "locale": core.selling.page.locale},
        success_url=success_url,
        cancel_url=cancel_url,
        user_id=None if identity is None else identity.user_id,
    )
    return await _open_page(core, reference, order, identity)


async def _open_page(core: Core, reference: Ref, order: _Order, identity: Identity | None) -> Checkout:
    who = core.reference(reference)
    customer = await buyer(core, who, identity)
    row = await claim(core, PURCHASES, _row(core, customer, order))
    return shown(row) or await show(core, PURCHASES, row, _params(core, customer, row, order))


def _row(core: Core, customer: CustomerRow, order: _Order) -> PurchaseRow:
    now = core.now()
    return PurchaseRow(
        id=core.ids.new("buy"),
        customer_id=customer.id,
        mode=order.mode,
        name=order.name,
        quantity=order.quantity,
        sold=order.sold,
        fingerprint=order.fingerprint,
        status="open",
        stripe_session_id=None,
        url=None,
        line_id=None,
        payment_intent_id=None,
        paid=0,
        expires_at=now + LIFE,
        created_at=now,
    )


def _params(core: Core, customer: CustomerRow, row: PurchaseRow, order: _Order) -> dict[str, Any]:
    reference = customer.reference
    buyer = order.user_id or (reference.id if reference.type == "user" else None)
    internal = {
        **({} if buyer is None else {"userId": buyer}),
        "referenceId": reference.id,
        "customerType": reference.type,
        "kernia_purchase": row.id,
        INTENT: PURCHASES.key(row),
    }
    metadata = merge({}, internal)
    pays = order.mode == "payment"
    wants_name = core.selling.page.tax_id_collection
    return {
        **order.terms,
        "mode": order.mode,
        "customer": customer.stripe_customer_id,
        "customer_update": customer_update(reference, wants_name=wants_name) if pays else None,
        "client_reference_id": client_reference(reference),
        "metadata": metadata,
        "payment_intent_data" if pays else "setup_intent_data": {"metadata": metadata},
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
    }
