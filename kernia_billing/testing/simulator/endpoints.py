"""All routes that the simulator serves. A new noun is one module with its `ROUTES`, named here."""

from __future__ import annotations

from .api import account_routes
from .api.router import Router
from .catalog import coupons, features, prices, products, promotion_codes, tax_rates
from .checkout import checkout
from .customers import balance_routes, customers, entitlements, tax_id_routes
from .invoices import credit_notes, discounts, invoice_items, invoice_routes, invoice_writing
from .metering import (
    credit_grants,
    credit_ledger,
    meter_adjustments,
    meter_events,
    meter_events_v2,
    meter_stream,
    meter_summaries,
    meters,
)
from .payments import charges, disputes, payment_intents, payment_methods, payments, refunds, setup_intents
from .portal import portal, portal_configurations
from .subscriptions import (
    deletions,
    pausing,
    previews,
    schedule_routes,
    subscription_items,
    subscription_routes,
    test_clock_routes,
)
from .webhooks import event_destinations, event_routes, thin_routes, webhook_endpoints

_NOUNS = (
    account_routes,
    balance_routes,
    charges,
    checkout,
    coupons,
    credit_grants,
    credit_ledger,
    credit_notes,
    customers,
    deletions,
    discounts,
    disputes,
    entitlements,
    event_destinations,
    event_routes,
    features,
    invoice_items,
    invoice_routes,
    invoice_writing,
    meter_adjustments,
    meter_events,
    meter_events_v2,
    meter_stream,
    meter_summaries,
    meters,
    pausing,
    payment_intents,
    payment_methods,
    payments,
    portal,
    portal_configurations,
    previews,
    prices,
    products,
    promotion_codes,
    refunds,
    schedule_routes,
    setup_intents,
    subscription_items,
    subscription_routes,
    tax_id_routes,
    tax_rates,
    test_clock_routes,
    thin_routes,
    webhook_endpoints,
)


def router() -> Router:
    """A router over every endpoint."""
    return Router(route for noun in _NOUNS for route in noun.ROUTES)
