"""The flags of automatic tax on subscriptions and invoices. Stripe Tax itself is not modelled: no tax comes of them."""

from __future__ import annotations

from ..world.errors import Json, invalid

_SELF = {"type": "self"}


def of_subscription(*, enabled: bool) -> Json:
    """As a subscription shows it."""
    return {"disabled_reason": None, "enabled": enabled, "liability": dict(_SELF) if enabled else None}


def of_invoice(subscription: Json) -> Json:
    """As an invoice of that subscription shows it."""
    flags: Json = subscription["automatic_tax"]
    on: bool = flags["enabled"]
    return {**flags, "provider": "stripe" if on else None, "status": "complete" if on else None}


def check(customer: Json, params: Json) -> None:
    """See that whoever is to be taxed lives somewhere.

    Raises:
        ApiError: customer_tax_location_invalid.
    """
    if params.get("automatic_tax", {}).get("enabled") and not customer.get("address"):
        raise invalid(
            "The customer's location isn't recognized. Set a valid customer address in order to automatically "
            "calculate tax.",
            "automatic_tax",
            "customer_tax_location_invalid",
        )
