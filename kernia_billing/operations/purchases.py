"""Selling what is paid once, and saving a payment method: checkout pages that sell no plan."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from attrs import evolve, frozen

from ..domain.answers import Checkout
from ..domain.customers import CustomerRow
from ..domain.instants import DAY, Instant, from_seconds
from ..domain.metadata import merge
from ..domain.plans import TopUp
from ..domain.purchases import PurchaseMode, PurchaseRow, PurchaseStatus, promised
from ..domain.references import Identity, Ref
from ..errors import Conflict, InvalidInput, NotFound, StripeRefused
from ..ports.store import DuplicateKey, Transaction
from .core import Core
from .customers import buyer
from .intents import INTENT, create, intent_key
from .pages import page_url
from .session_params import client_reference, customer_update, details
from .sessions import sync_session

_LIFE = DAY
_MOST = 999_999
_SESSIONS = "/v1/checkout/sessions"


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
    row = await _claim(core, customer, order)
    if row.url is not None and row.stripe_session_id is not None:
        return Checkout(row.url, row.stripe_session_id, "open", None)
    try:
        session = await create(core, "purchase", _key(row), customer.id, _SESSIONS, _params(core, customer, row, order))
    except (StripeRefused, NotFound):
        await _note(core, row, status="expired")
        raise
    session_id, url = str(session["id"]), page_url(core, session)
    if not await _note(core, row, session_id=session_id, url=url, expires_at=from_seconds(session["expires_at"])):
        await _expire(core, session_id)
        raise Conflict("Another checkout is being opened for this reference", code="CHECKOUT_IN_PROGRESS")
    return Checkout(url, session_id, "open", None)


def _params(core: Core, customer: CustomerRow, row: PurchaseRow, order: _Order) -> dict[str, Any]:
    reference = customer.reference
    buyer = order.user_id or (reference.id if reference.type == "user" else None)
    internal = {
        **({} if buyer is None else {"userId": buyer}),
        "referenceId": reference.id,
        "customerType": reference.type,
        "kernia_purchase": row.id,
        INTENT: _key(row),
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


def _key(row: PurchaseRow) -> str:
    return intent_key("purchase", row.id)


async def _claim(core: Core, customer: CustomerRow, order: _Order) -> PurchaseRow:
    """The purchase to open a page for: the one that is open for the same order, or a new one in its place."""
    slot = f"{order.mode}:{order.name}"
    for _ in range(3):
        row = await core.store.read(lambda tx: tx.purchases.open(customer.id, slot))
        if row is not None and row.fingerprint == order.fingerprint and row.expires_at > core.now():
            if await _is_still_open(core, row):
                return row
        elif row is not None:
            await _retire(core, row)
        with suppress(DuplicateKey):
            return await _add(core, customer, order)
    raise Conflict("Another checkout is being opened for this reference", code="CHECKOUT_IN_PROGRESS")


async def _is_still_open(core: Core, row: PurchaseRow) -> bool:
    if row.stripe_session_id is None:
        return True
    await sync_session(core, row.stripe_session_id)
    after = await core.store.read(lambda tx: tx.purchases.by_id(row.id))
    return after is not None and after.status == "open"


async def _add(core: Core, customer: CustomerRow, order: _Order) -> PurchaseRow:
    now = core.now()
    row = PurchaseRow(
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
        expires_at=now + _LIFE,
        created_at=now,
    )
    await core.store.transaction(lambda tx: tx.purchases.add(row))
    return row


async def _retire(core: Core, row: PurchaseRow) -> None:
    """Expire an open page before another one is opened; one that was paid is brought in, and another may be bought."""
    session_id = row.stripe_session_id
    if session_id is None:
        intent = await core.store.read(lambda tx: tx.intents.get(_key(row)))
        if intent is not None and intent.state != "failed":
            # The page may exist although its answer was lost: the same key gives it, so that it can be expired.
            with suppress(StripeRefused, NotFound):
                made = await create(core, "purchase", intent.key, row.customer_id, intent.path, intent.params)
                session_id = str(made["id"])
                await _note(core, row, session_id=session_id)
    if session_id is None:
        await _note(core, row, status="expired")
        return
    await _expire(core, session_id)
    await sync_session(core, session_id)


async def _expire(core: Core, session_id: str) -> None:
    with suppress(StripeRefused, NotFound):  # It is not open any more, or there is none.
        path = f"{_SESSIONS}/{session_id}/expire"
        await core.provider().request("POST", path, {}, idempotency_key=intent_key("expire", session_id))


async def _note(
    core: Core,
    row: PurchaseRow,
    *,
    session_id: str | None = None,
    url: str | None = None,
    expires_at: Instant | None = None,
    status: PurchaseStatus = "open",
) -> bool:
    """Write down what became of a purchase while it is open; says whether it was."""

    def unit(tx: Transaction) -> bool:
        tx.customers.lock(row.customer_id)
        stored = tx.purchases.by_id(row.id)
        if stored is None or stored.status != "open":
            return False
        tx.purchases.put(
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
