"""What kavachOS's Stripe plugin does, done with our operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from ..domain.answers import Event, SubscriptionEvent
from ..domain.kavach import (
    NO_SIGNATURE,
    SIGNATURE_FAULTS,
    CheckoutSession,
    SubscriptionInfo,
    WebhookAnswer,
    info_of,
)
from ..domain.plans import BillingInterval, Plan
from ..domain.references import Identity, Ref
from ..domain.subscriptions import is_live
from ..errors import BillingError, Conflict, InvalidSignature, NotFound
from ..ports.store import Transaction
from ..ports.stripe import SignatureFault
from . import checkout, inbox, subscriptions
from .core import Core

CHANGES = ("subscription.created", "subscription.updated")
"""Every change of a subscription is told under exactly one of these."""


@frozen
class OnChange:
    """A hook that calls `on_subscription_change` with what kavachOS would tell, where that differs from before."""

    function: Callable[[str, SubscriptionInfo], Any]

    def __call__(self, event: Event) -> Any:
        """Tell of a change; what the function answers is awaited by who calls hooks."""
        if not isinstance(event, SubscriptionEvent) or event.reference is None:
            return None
        now = info_of(event.subscription)
        if event.previous is not None and info_of(event.previous) == now:
            return None
        return self.function(event.reference.id, now)


async def create_checkout_session(
    core: Core,
    reference: Ref,
    price_id: str,
    *,
    success_url: str,
    cancel_url: str,
    metadata: Mapping[str, str] | None = None,
    identity: Identity | None = None,
    auto_create: bool = True,
) -> CheckoutSession:
    """Open a page on which the plan of a price is bought. The URLs are absolute.

    Raises:
        NotFound: the price sells no plan here (PRICE_NOT_FOUND), or there is no customer and none may be made.
        Conflict: as `checkout.upgrade`.
        Unavailable: Stripe or the database does not answer.
    """
    plan, interval = await _sold_at(core, price_id)
    if not auto_create:
        await _require_customer(core, reference)
    opened = await checkout.upgrade(
        core,
        reference,
        plan.name,
        success_url=success_url,
        cancel_url=cancel_url,
        annual=interval == "year",
        metadata=metadata,
        identity=identity,
    )
    if opened.url is None or opened.session_id is None:
        raise Conflict("Stripe did not return a checkout URL", code="CHECKOUT_NOT_OPEN")
    return CheckoutSession(opened.url, opened.session_id)


async def _sold_at(core: Core, price_id: str) -> tuple[Plan, BillingInterval]:
    """The plan that a price sells: by the configuration, else by its lookup key or a mapping in the database."""

    def read(tx: Transaction) -> tuple[Plan, BillingInterval] | None:
        sales = core.offer.plan_by_price(price_id)
        row = tx.catalog.price(price_id)
        if row is not None and row.lookup_key is not None and not sales:
            sales = core.offer.plan_by_lookup_key(row.lookup_key)
        for sale in sales:
            if sale.role == "base":
                return sale.plan, sale.interval
        mapping = tx.catalog.mapping(price_id)
        plan = None if mapping is None else core.offer.plans.get(mapping.plan)
        return None if mapping is None or plan is None or mapping.role != "base" else (plan, mapping.interval)

    found = await core.store.read(read)
    if found is None:
        raise NotFound("The price is not sold here", code="PRICE_NOT_FOUND", status=400)
    return found


async def _require_customer(core: Core, reference: Ref) -> None:
    who = core.reference(reference)
    row = await core.store.read(lambda tx: tx.customers.get(who))
    if row is None or row.stripe_customer_id is None:
        text = f"No Stripe customer for user {who.id}. Set autoCreateCustomer: true."
        raise NotFound(text, code="NO_CUSTOMER")


async def get_subscription(core: Core, reference: Ref) -> SubscriptionInfo | None:
    """What a reference is subscribed to; None where nothing is, where it has ended, or a member is not known yet."""
    found = await subscriptions.get(core, reference)
    if found is None or not is_live(found.status):
        return None
    info = info_of(found)
    return info if info.id and info.price_id is not None and info.current_period_end is not None else None


async def get_customer_id(core: Core, reference: Ref) -> str | None:
    """Stripe's id of a reference's customer, None where there is none. No call to Stripe."""
    who = core.reference(reference)
    row = await core.store.read(lambda tx: tx.customers.get(who))
    return None if row is None else row.stripe_customer_id


def signature_fault(core: Core, signature: str) -> SignatureFault:
    """What is wrong with a signature that did not verify just now."""
    return "digest" if core.verifier is None else core.verifier.fault(signature, core.now())


async def handle_webhook(core: Core, body: bytes, signature: str | None) -> WebhookAnswer:
    """Take in a webhook; everything that happens is an answer, as kavachOS words it."""
    if not signature:
        return WebhookAnswer(400, {"error": NO_SIGNATURE})
    try:
        await inbox.receive(core, body, signature)
    except InvalidSignature:
        return WebhookAnswer(400, {"error": SIGNATURE_FAULTS[signature_fault(core, signature)]})
    except BillingError as failure:
        return WebhookAnswer(max(failure.status, 500), {"error": failure.message})
    return WebhookAnswer(200, {"received": True})
