"""Stripe's billing portal."""

from __future__ import annotations

from typing import Any, Literal

from ..domain.answers import Portal
from ..domain.references import Ref
from ..errors import InvalidInput, NotFound
from .core import Core
from .pages import page_url

Flow = Literal["payment_method", "cancel", "update"]


async def portal(
    core: Core, reference: Ref, *, return_url: str, flow: Flow | None = None, locale: str | None = None
) -> Portal:
    """Open the billing portal of the reference's own customer. `return_url` is absolute.

    `flow` goes straight to one task; `cancel` and `update` need a live subscription.

    Raises:
        NotFound: the reference has no Stripe customer (CUSTOMER_NOT_FOUND), or no live subscription for the flow
            (SUBSCRIPTION_NOT_FOUND).
        Unavailable: Stripe does not answer.
    """
    who = core.reference(reference)
    if flow not in (None, "payment_method", "cancel", "update"):
        raise InvalidInput("must be 'payment_method', 'cancel' or 'update'", field="flow")
    customer = await core.store.read(lambda tx: tx.customers.get(who))
    if customer is None or customer.stripe_customer_id is None:
        raise NotFound("Stripe customer not found for this user", code="CUSTOMER_NOT_FOUND")
    params: dict[str, Any] = {
        "customer": customer.stripe_customer_id,
        "return_url": return_url,
        "locale": locale,
        "flow_data": None if flow is None else await _flow(core, customer.id, flow),
    }
    key = core.ids.new("portal")
    session = await core.provider().request("POST", "/v1/billing_portal/sessions", params, idempotency_key=key)
    return Portal(page_url(core, session))


async def _flow(core: Core, customer_id: str, flow: Flow) -> dict[str, Any]:
    if flow == "payment_method":
        return {"type": "payment_method_update"}
    rows = await core.store.read(lambda tx: tx.subscriptions.of_customer(customer_id))
    live = [row for row in rows if row.status in ("active", "trialing", "past_due") and not row.duplicate]
    if not live:
        raise NotFound("Subscription not found", code="SUBSCRIPTION_NOT_FOUND")
    kind = f"subscription_{flow}"
    return {"type": kind, kind: {"subscription": live[0].stripe_subscription_id}}
