"""The account that the key belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api.router import Call, Route
from .errors import Json

if TYPE_CHECKING:
    from .world import World

COUNTRY = "US"
CURRENCY = "usd"


def _retrieve(world: World, call: Call) -> Json:
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


ROUTES = (Route("GET", "/v1/account", _retrieve),)
