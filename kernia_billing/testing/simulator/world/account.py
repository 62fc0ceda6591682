"""The account that the key belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import Json

if TYPE_CHECKING:
    from .world import World

COUNTRY = "US"
CURRENCY = "usd"


def of(world: World) -> Json:
    """The account as Stripe shows it."""
    return {
        "id": world.account_id,
        "object": "account",
        "business_profile": {"name": world.settings.account_name, "support_email": None, "url": None},
        "charges_enabled": True,
        "country": COUNTRY,
        "default_currency": CURRENCY,
        "details_submitted": True,
        "email": "merchant@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }
