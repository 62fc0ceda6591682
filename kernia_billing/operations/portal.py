"""Stripe's billing portal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..domain.answers import Portal
from ..domain.references import Ref
from ..domain.subscriptions import SubscriptionRow, first_live
from ..errors import InvalidInput, NotFound, PortalNotConfigured, StripeRefused
from .core import Core
from .pages import page_url
from .portal_setup import CONFIGURATIONS, configuration_of

Flow = Literal["payment_method", "cancel", "update"]
_DISABLED = "flow_data[type]"
"""Where Stripe refuses a flow that the configuration of the portal does not allow."""


async def portal(
    core: Core,
    reference: Ref,
    *,
    return_url: str,
    flow: Flow | None = None,
    locale: str | None = None,
    subscription_id: str | None = None,
) -> Portal:
    """Open the billing portal of the reference's own customer. `return_url` is absolute.

    `flow` goes straight to one task; `cancel` and `update` need a subscription that has not ended: the one of
    `subscription_id`, ours or Stripe's, else the live one.

    Raises:
        NotFound: the reference has no Stripe customer (CUSTOMER_NOT_FOUND), or no such subscription, also where the
            flow is not about it (SUBSCRIPTION_NOT_FOUND).
        PortalNotConfigured: nobody configured the portal, or the flow is switched off in its configuration.
        StripeRefused: Stripe does not open the portal for another reason (UNABLE_TO_CREATE_BILLING_PORTAL).
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
        "configuration": await configuration_of(core),
        "flow_data": await _flow(core, customer.id, flow, subscription_id),
    }
    key = core.ids.new("portal")
    try:
        session = await core.provider().request("POST", "/v1/billing_portal/sessions", params, idempotency_key=key)
    except (StripeRefused, NotFound) as refusal:
        raise await _why(core, refusal, flow, params) from refusal
    return Portal(page_url(core, session))


async def _flow(core: Core, customer_id: str, flow: Flow | None, subscription_id: str | None) -> dict[str, Any] | None:
    if flow in ("cancel", "update") or subscription_id is not None:
        rows = await core.store.read(lambda tx: tx.subscriptions.of_customer(customer_id))
        row = meant(rows, subscription_id, _UPDATABLE if flow == "update" else _LEAVABLE)
        if row is None:
            raise NotFound("Subscription not found", code="SUBSCRIPTION_NOT_FOUND")
        if flow in ("cancel", "update"):
            kind = f"subscription_{flow}"
            return {"type": kind, kind: {"subscription": row.stripe_subscription_id}}
    return None if flow is None else {"type": "payment_method_update"}


_UPDATABLE = ("active", "trialing", "past_due")
_LEAVABLE = ("active", "trialing", "past_due", "unpaid", "paused")
"""What the portal can cancel: nothing that has ended, and nothing that was never paid."""


def meant(
    rows: Sequence[SubscriptionRow], subscription_id: str | None, statuses: Sequence[str] = _LEAVABLE
) -> SubscriptionRow | None:
    """The subscription that is meant, in one of these statuses: by its id, else the one that counts."""
    found = [row for row in rows if row.status in statuses]
    if subscription_id is None:
        return first_live(found)
    return next((row for row in found if subscription_id in (row.id, row.stripe_subscription_id)), None)


async def _why(
    core: Core, refusal: StripeRefused | NotFound, flow: Flow | None, params: Mapping[str, Any]
) -> Exception:
    """What a refusal comes from: Stripe's text, which would say so, is not kept."""
    if isinstance(refusal, StripeRefused) and flow is not None and refusal.param == _DISABLED:
        return PortalNotConfigured(f"The flow {flow!r} is switched off in the configuration of the billing portal")
    if params["configuration"] is None:
        default = {"active": True, "is_default": True, "limit": 1}
        listed = await core.provider().request("GET", CONFIGURATIONS, default)
        if not listed.get("data"):
            return PortalNotConfigured()
    refusal.code = "UNABLE_TO_CREATE_BILLING_PORTAL"
    refusal.status = 400
    return refusal
