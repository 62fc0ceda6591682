"""The classes of answers, for annotations."""

from __future__ import annotations

from .domain.answers import (
    Balance,
    Checkout,
    Customer,
    Decision,
    Event,
    Mode,
    Page,
    PendingChange,
    PlanView,
    Portal,
    Reason,
    Receipt,
    Subscription,
    SubscriptionEvent,
    Usage,
    UsageEvent,
    WebhookEvent,
    WebhookHealth,
)
from .domain.catalog import PriceRow, ProductRow

__all__ = [
    "Balance",
    "Checkout",
    "Customer",
    "Decision",
    "Event",
    "Mode",
    "Page",
    "PendingChange",
    "PlanView",
    "Portal",
    "PriceRow",
    "ProductRow",
    "Reason",
    "Receipt",
    "Subscription",
    "SubscriptionEvent",
    "Usage",
    "UsageEvent",
    "WebhookEvent",
    "WebhookHealth",
]
