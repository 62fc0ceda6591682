"""What a checkout page for a plan is asked of Stripe with: ours, the options', and the host's own parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, cast

from ..domain.checkouts import CheckoutRow
from ..domain.customers import CustomerRow
from ..domain.instants import SECOND
from ..domain.metadata import merge
from ..domain.references import Identity, Reference
from ..domain.selling import CheckoutContext, Page
from ..domain.trials import TrialPolicy
from ..errors import ConfigError
from ..ports.guard import refuse_inside_unit
from .core import Core
from .intents import INTENT
from .orders import Order
from .pending_items import wanted_interval

_OWNED = frozenset(
    (
        *("mode", "customer", "customer_account", "customer_creation", "customer_email", "success_url", "cancel_url"),
        *("return_url", "ui_mode", "redirect_on_completion", "line_items", "client_reference_id", "expand"),
    )
)
"""What no hook decides: who pays, for what, and where browsers are sent."""
_OWNED_OF_SUBSCRIPTION = frozenset({"trial_period_days", "trial_end"})


async def asked_of_host(core: Core, context: CheckoutContext) -> dict[str, Any]:
    """What the host wants beside ours, by its hook; nothing where there is none.

    Raises:
        ConfigError: the hook gave something else than a mapping.
    """
    hook = core.selling.session_params
    if hook is None:
        return {}
    refuse_inside_unit("a hook")
    answer = hook(context)
    given = await cast("Awaitable[object]", answer) if isinstance(answer, Awaitable) else answer
    told = _mapping({} if given is None else given)
    # Better Auth's hook gives the parameters beside options of the request, of which there are none here.
    params = _mapping(told.get("params") or {}) if {"params", "options"} & told.keys() else told
    return {name: value for name, value in params.items() if name not in _OWNED and value is not None}


def _mapping(value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(["get_checkout_session_params: must give a mapping of Stripe's parameters"])
    return dict(cast("Mapping[str, Any]", value))


def context_of(customer: CustomerRow, row: CheckoutRow, order: Order, identity: Identity | None) -> CheckoutContext:
    """What the host's hook is told."""
    return CheckoutContext(customer.reference, identity, order.plan, order.interval, order.seats, row.subscription_id)


def session_params(
    core: Core,
    customer: CustomerRow,
    row: CheckoutRow,
    order: Order,
    key: str,
    *,
    trial_days: int,
    theirs: Mapping[str, Any],
) -> dict[str, Any]:
    """The parameters of the session: the host's below ours."""
    internal = _internal(customer.reference, row, order, key)
    told = _texts(theirs.get("metadata"))
    policy, page = core.selling.trials, core.selling.page
    return {
        **_page(page, theirs),
        **theirs,
        "mode": "subscription",
        "customer": customer.stripe_customer_id,
        "customer_update": theirs.get("customer_update") or _update(customer.reference, page, theirs),
        "client_reference_id": client_reference(customer.reference),
        "line_items": [
            {"price": price} if count is None else {"price": price, "quantity": count} for price, count in order.lines
        ],
        "locale": order.locale or theirs.get("locale") or page.locale,
        "metadata": merge({**order.metadata, **told}, internal),
        "subscription_data": {
            **wanted_interval(core, order.interval),
            **_subscription(order, internal, policy, trial_days, theirs.get("subscription_data")),
        },
        "success_url": order.success_url,
        "cancel_url": order.cancel_url,
    }


def _internal(reference: Reference, row: CheckoutRow, order: Order, key: str) -> dict[str, str]:
    buyer = order.user_id or (reference.id if reference.type == "user" else None)
    return {
        **({} if buyer is None else {"userId": buyer}),
        "referenceId": reference.id,
        "customerType": reference.type,
        "subscriptionId": row.subscription_id,
        "plan": order.plan.key,
        INTENT: key,
    }


def _page(page: Page, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """What the options ask for. Stripe takes either discounts or promotion codes."""
    return {
        "allow_promotion_codes": True if page.allow_promotion_codes and "discounts" not in theirs else None,
        "payment_method_collection": "if_required" if page.payment_method_collection == "if_required" else None,
        **details(page),
    }


def details(page: Page) -> dict[str, Any]:
    """What the options ask of the buyer on pages of every kind that something is paid on."""
    return {
        "billing_address_collection": "required" if page.billing_address_collection == "required" else None,
        "tax_id_collection": {"enabled": True} if page.tax_id_collection else None,
        "automatic_tax": {"enabled": True} if page.automatic_tax else None,
    }


def _update(reference: Reference, page: Page, theirs: Mapping[str, Any]) -> dict[str, Any]:
    asks = theirs.get("tax_id_collection")
    wants_name = page.tax_id_collection if asks is None else bool(_mapping(asks).get("enabled"))
    return customer_update(reference, wants_name=wants_name)


def customer_update(reference: Reference, *, wants_name: bool) -> dict[str, Any]:
    """What the page writes to the customer: an organization keeps its name, unless its tax id is asked for with it."""
    return {"address": "auto", "name": "auto" if wants_name or reference.type == "user" else None}


def _subscription(
    order: Order, internal: Mapping[str, str], policy: TrialPolicy, trial_days: int, theirs: object
) -> dict[str, Any]:
    told = {} if theirs is None else _mapping(theirs)
    kept = {name: value for name, value in told.items() if name not in _OWNED_OF_SUBSCRIPTION}
    settings = kept.pop("trial_settings", None) or trial_settings(policy)
    return {
        **kept,
        "metadata": merge({**order.metadata, **_texts(told.get("metadata"))}, internal),
        "trial_period_days": trial_days or None,
        "trial_end": None if order.trial_end is None else order.trial_end // SECOND,
        "trial_settings": settings if trial_days or order.trial_end is not None else None,
    }


def trial_settings(policy: TrialPolicy) -> dict[str, Any] | None:
    """What becomes of a trial that ends without a payment method; None leaves it to Stripe."""
    missing = policy.missing_payment_method
    return None if missing is None else {"end_behavior": {"missing_payment_method": missing}}


def _texts(value: object) -> dict[str, str]:
    return {} if value is None else cast("dict[str, str]", _mapping(value))


def client_reference(reference: Reference) -> str | None:
    """Stripe takes up to 200 characters as client_reference_id (Stripe, "Create a Checkout Session")."""
    return reference.id if len(reference.id) <= 200 else None
