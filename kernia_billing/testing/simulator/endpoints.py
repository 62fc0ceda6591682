"""All routes that the simulator serves. A new noun is one module with its `ROUTES`, named here."""

from __future__ import annotations

from . import (
    account,
    checkout,
    customers,
    deletions,
    events,
    invoice_routes,
    payment_methods,
    payments,
    portal,
    prices,
    products,
    subscription_routes,
    webhook_endpoints,
)
from .router import Router

_NOUNS = (
    account,
    checkout,
    customers,
    deletions,
    events,
    invoice_routes,
    payment_methods,
    payments,
    portal,
    prices,
    products,
    subscription_routes,
    webhook_endpoints,
)


def router() -> Router:
    """A router over every endpoint."""
    return Router(route for noun in _NOUNS for route in noun.ROUTES)
