"""The classes of answers, for annotations."""

from __future__ import annotations

from .domain.answers import (
    Balance,
    Checkout,
    Customer,
    Decision,
    Event,
    Grant,
    Mode,
    Page,
    PendingChange,
    PlanView,
    Portal,
    Reason,
    Receipt,
    Subscription,
    SubscriptionEvent,
    ThresholdEvent,
    Usage,
    UsageEvent,
    UsagePoint,
    UsageRecord,
    WebhookEvent,
    WebhookHealth,
)
from .domain.catalog import PriceRow, ProductRow
from .domain.explanations import Explanation, GivenGrant, HeldUnits
from .domain.pricing import CustomerPricing, PricingReport

__all__ = [
    "Balance",
    "Checkout",
    "Customer",
    "CustomerPricing",
    "Decision",
    "Event",
    "Explanation",
    "GivenGrant",
    "Grant",
    "HeldUnits",
    "Mode",
    "Page",
    "PendingChange",
    "PlanView",
    "Portal",
    "PriceRow",
    "PricingReport",
    "ProductRow",
    "Reason",
    "Receipt",
    "Subscription",
    "SubscriptionEvent",
    "ThresholdEvent",
    "Usage",
    "UsageEvent",
    "UsagePoint",
    "UsageRecord",
    "WebhookEvent",
    "WebhookHealth",
]
