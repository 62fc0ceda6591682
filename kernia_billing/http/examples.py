"""A request for each route that takes a body: what the OpenAPI description shows, and its tests send."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BODIES: Mapping[str, Mapping[str, Any]] = {
    "/subscription/upgrade": {"plan": "pro", "annual": True, "successUrl": "/billing/done", "cancelUrl": "/billing"},
    "/subscription/cancel": {"returnUrl": "/billing"},
    "/subscription/restore": {"subscriptionId": "sub_1"},
    "/subscription/billing-portal": {"returnUrl": "/billing"},
    "/billing/check": {"feature": "messages", "required": 20},
    "/billing/track": {
        "feature": "messages",
        "quantity": 20,
        "mode": "require",
        "properties": {"model": "small"},
        "idempotencyKey": "message-1",
    },
    "/billing/reserve": {"feature": "messages", "quantity": 20, "ttl": 60},
    "/billing/settle": {"reservationId": "hold_1", "quantity": 5},
    "/billing/release": {"reservationId": "hold_1"},
    "/billing/portal": {"returnUrl": "/billing", "flow": "payment_method"},
    "/auth/stripe/checkout": {"priceId": "price_1", "successUrl": "/billing/done", "cancelUrl": "/billing"},
    "/auth/stripe/portal": {"returnUrl": "/billing"},
}
