"""The classes of answers, for annotations."""

from __future__ import annotations

from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from .domain.answers import (
    Balance,
    CardExpiringEvent,
    ChangePreview,
    Checkout,
    Customer,
    Decision,
    DeletionBlocker,
    DunningEvent,
    Event,
    Grant,
    Invoice,
    InvoiceStatus,
    LedgerEntry,
    LimitOverride,
    Mode,
    Override,
    Page,
    PendingChange,
    PlanPreview,
    PlanView,
    Portal,
    PortalConfiguration,
    Reason,
    Receipt,
    Subscription,
    SubscriptionChange,
    SubscriptionEvent,
    TaxId,
    ThresholdEvent,
    Usage,
    UsageEvent,
    UsagePoint,
    UsageRecord,
    WebhookEvent,
    WebhookHealth,
)
from .domain.catalog import PriceRow, ProductRow
from .domain.customers import NewCustomer
from .domain.explanations import Explanation, GivenGrant, HeldUnits
from .domain.grants import Entry, Source
from .domain.kavach import CheckoutSession, SubscriptionInfo, WebhookAnswer
from .domain.pricing import CustomerPricing, PricingReport

__all__ = [
    "Balance",
    "CardExpiringEvent",
    "ChangePreview",
    "Checkout",
    "CheckoutSession",
    "Customer",
    "CustomerPricing",
    "Decision",
    "DeletionBlocker",
    "DunningEvent",
    "Entry",
    "Event",
    "Explanation",
    "GivenGrant",
    "Grant",
    "HeldUnits",
    "Hold",
    "Invoice",
    "InvoiceStatus",
    "LedgerEntry",
    "LimitOverride",
    "Mode",
    "NewCustomer",
    "Override",
    "Page",
    "PendingChange",
    "PlanPreview",
    "PlanView",
    "Portal",
    "PortalConfiguration",
    "PriceRow",
    "PricingReport",
    "ProductRow",
    "Reason",
    "Receipt",
    "Source",
    "Subscription",
    "SubscriptionChange",
    "SubscriptionEvent",
    "SubscriptionInfo",
    "TaxId",
    "ThresholdEvent",
    "Usage",
    "UsageEvent",
    "UsagePoint",
    "UsageRecord",
    "WebhookAnswer",
    "WebhookEvent",
    "WebhookHealth",
]


class Hold(Protocol):
    """What `Billing.reserve` gives: units that are set aside, to be held by `with`, or settled or released by hand.

    That of `AsyncBilling` has the same names: `await` its methods, hold it by `async with`.
    """

    @property
    def id(self) -> str:
        """What the hold is called in the database."""
        ...

    @property
    def quantity(self) -> int:
        """How many units are set aside."""
        ...

    @property
    def expires_at(self) -> datetime:
        """When the units are free again, unless the hold has ended before."""
        ...

    @property
    def used(self) -> int | None:
        """What was used so far: add to it while you work. At the end of the block so much is settled, if it was set."""
        ...

    @used.setter
    def used(self, value: int | None) -> None: ...

    def settle(self, quantity: int | None = None) -> Usage:
        """End the hold with what was used; by default `used` if that was set, else everything."""
        ...

    def release(self) -> None:
        """End the hold: nothing was used."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
