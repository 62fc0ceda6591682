"""The configuration of Stripe's billing portal: what customers may do there.

Without one of its own an account has no portal until somebody saves its settings in the Dashboard. The one that is made
here is found again by the intent that made it, so that making it again changes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ..domain.answers import PortalConfiguration
from ..domain.plans import BillingInterval
from ..domain.reading import flag, id_of, members, own_id
from ..errors import ConfigError, InvalidInput
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .intents import INTENT, create, fresh_key
from .plans import mapped_prices, price_of

CONFIGURATIONS = "/v1/billing_portal/configurations"
_INTERVALS: tuple[BillingInterval, ...] = ("month", "year")
_MOST_PRODUCTS = 10
"""Stripe's limit for the products that customers can change to."""

Cancel = Literal["period_end", "now"]


async def configure_portal(
    core: Core,
    *,
    return_url: str | None = None,
    headline: str | None = None,
    cancel: Cancel | None = "period_end",
    change: bool = True,
) -> PortalConfiguration:
    """Make the portal's configuration, or change the one that was made, and open the portal with it from now on.

    Customers can change their payment method, their addresses and tax ids, and see their invoices; with `cancel` they
    can cancel, then or at once, and with `change` change to every plan that has a price.

    Raises:
        InvalidInput: a value is wrong; nothing was made.
        ConfigError: `change` is asked for and no plan has a price, or more than ten products are sold.
        StripeRefused: Stripe does not take the configuration.
        Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
    """
    if cancel not in (None, "period_end", "now"):
        raise InvalidInput("must be 'period_end', 'now' or None", field="cancel")
    features = {
        "customer_update": {"enabled": True, "allowed_updates": ["email", "name", "address", "tax_id"]},
        "invoice_history": {"enabled": True},
        "payment_method_update": {"enabled": True},
        "subscription_cancel": {
            "enabled": cancel is not None,
            "mode": "immediately" if cancel == "now" else "at_period_end",
        },
        "subscription_update": await _update(core) if change else {"enabled": False},
    }
    key = await _key(core)
    params: dict[str, Any] = {
        "features": features,
        "business_profile": None if headline is None else {"headline": headline},
        "default_return_url": return_url,
        "metadata": {INTENT: key},
    }
    known = await configuration_made(core)
    if known is None:
        made = await create(core, "portal", key, "", CONFIGURATIONS, params)
    else:
        path, again = f"{CONFIGURATIONS}/{known}", core.ids.new("portal")
        made = await core.provider().request("POST", path, {**params, "active": True}, idempotency_key=again)
    return PortalConfiguration(own_id(made), _enabled(made, "subscription_cancel"), _enabled(made, _UPDATE))


async def _key(core: Core) -> str:
    return await fresh_key(core, "portal", "configuration")


_UPDATE = "subscription_update"


def _enabled(configuration: StripeObject, feature: str) -> bool:
    features = members(configuration.get("features"))
    return flag(members(features.get(feature)).get("enabled"))


async def configuration_made(core: Core) -> str | None:
    """The id of the configuration that was made here, None where none was."""
    key = await _key(core)
    known = await core.store.read(lambda tx: tx.intents.get(key))
    return None if known is None else known.stripe_id


async def configuration_of(core: Core) -> str | None:
    """The configuration to open the portal with: the host's own, else the one that was made here, None for Stripe's."""
    return core.portal_configuration or await configuration_made(core)


async def _update(core: Core) -> dict[str, Any]:
    products: dict[str, list[str]] = {}
    for price_id in await core.store.read(lambda tx: list(dict.fromkeys(_sold(core, tx)))):
        price = await core.provider().request("GET", f"/v1/prices/{price_id}")
        products.setdefault(id_of(price.get("product")) or "", []).append(price_id)
    if not products:
        raise ConfigError(["plans: none has a price that customers could change to"])
    if len(products) > _MOST_PRODUCTS:
        raise ConfigError([f"plans: Stripe's portal offers at most {_MOST_PRODUCTS} products"])
    return {
        "enabled": True,
        "default_allowed_updates": ["price", "quantity"],
        "products": [{"product": product, "prices": prices} for product, prices in products.items()],
        "proration_behavior": "create_prorations",
    }


def _sold(core: Core, tx: Transaction) -> Iterator[str]:
    mapped = mapped_prices(tx)
    for plan in core.offer.plans.values():
        for interval in _INTERVALS:
            price = price_of(tx, plan, interval, mapped)
            price_id = price.id if price is not None else plan.price_for(interval) or mapped.get((plan.key, interval))
            if price_id is not None:
                yield price_id
