"""What the HTTP surface needs: the operations as it calls them, and its settings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, Literal, Protocol

from attrs import field, frozen

from ..domain.answers import (
    Balance,
    Checkout,
    Customer,
    Decision,
    Invoice,
    InvoiceStatus,
    Mode,
    Page,
    PlanView,
    Portal,
    Receipt,
    Reservation,
    Subscription,
    Usage,
    UsageEvent,
    UsagePoint,
    WebhookHealth,
)
from ..domain.bins import Bin
from ..domain.catalog import PriceRow, ProductRow
from ..domain.ids import Property
from ..domain.kavach import CheckoutSession, SubscriptionInfo
from ..domain.references import Action, CustomerType, Identity, Reference
from ..domain.upkeep import SyncState
from ..domain.urls import TrustedOrigins
from ..ports.clock import Clock
from ..ports.ids import Ids
from ..ports.stripe import SignatureFault
from ..ports.telemetry import SILENT, Telemetry
from .pacing import Pace

PortalFlow = Literal["payment_method", "cancel", "update"]

_log = logging.getLogger("kernia_billing.http")


def log_unexpected(error: BaseException, request_id: str) -> None:
    """Log an error that no client may see, beside the request id that the client got."""
    _log.error("unexpected error, request %s", request_id, exc_info=error)


@frozen
class HttpSettings:
    """What the HTTP surface is configured with.

    `base_path` is where the application is mounted on the origin `trusted.base_url`: "" or a path that starts with a
    slash and does not end with one. `webhook_path` is a further path below it for webhooks.
    `pace` bounds how often one person has pages opened at Stripe, None: not at all.
    `on_unexpected(error, request_id)` gets what a client only gets a request id for.
    """

    trusted: TrustedOrigins
    ids: Ids
    clock: Clock
    subscription_for: CustomerType = "user"
    base_path: str = "/api/auth"
    require_email_verification: bool = False
    organizations_enabled: bool = False
    has_webhook: bool = False
    webhook_path: str | None = None
    cors: bool = False
    kavach_routes: bool = False
    on_unexpected: Callable[[BaseException, str], None] = field(default=log_unexpected)
    telemetry: Telemetry = SILENT
    pace: Pace | None = None

    @property
    def mount(self) -> str:
        """The absolute URL under which the routes lie, without a trailing slash."""
        return self.trusted.base_url + self.base_path

    def report(self, error: BaseException, request_id: str) -> None:
        """Hand an error to the operator; a failing `on_unexpected` changes no answer."""
        with suppress(Exception):
            self.on_unexpected(error, request_id)


class Left(Protocol):
    """What became of a wish to cancel: the page to go to, None for none, and the subscription as it is."""

    @property
    def url(self) -> str | None:
        """Stripe's page."""
        ...

    @property
    def subscription(self) -> Subscription:
        """The subscription."""
        ...


class Service(Protocol):
    """The operations behind the routes and the gates. They never see a reference that nobody authorised."""

    @property
    def settings(self) -> HttpSettings:
        """What the surface is configured with."""
        ...

    @property
    def has_authorize(self) -> bool:
        """Whether the host gave an `authorize_reference`."""
        ...

    async def authorize(self, identity: Identity, reference_id: str, action: Action) -> bool:
        """The answer of the host's `authorize_reference`; nothing but True is a yes. Called only where there is one."""
        ...

    async def is_admin(self, identity: Identity) -> bool:
        """Whether the host calls this person an administrator; nothing but True is a yes."""
        ...

    async def check(
        self, reference: Reference, feature: str, required: int, *, entity: str | None, preview: bool
    ) -> Decision:
        """May so much more of a feature be used? Raises `NotFound` for an unknown feature."""
        ...

    async def track(
        self,
        reference: Reference,
        feature: str,
        quantity: int,
        *,
        mode: Mode,
        entity: str | None,
        properties: Mapping[str, Property],
        occurred_at: datetime | None,
        idempotency_key: str | None,
    ) -> Usage:
        """Record a use."""
        ...

    async def reserve(
        self,
        reference: Reference,
        feature: str,
        quantity: int,
        *,
        ttl: int,
        entity: str | None,
        idempotency_key: str | None,
    ) -> Reservation:
        """Set units aside for `ttl` seconds, all of them or none."""
        ...

    async def settle(self, reference: Reference, hold_id: str, quantity: int | None) -> Reservation:
        """End a hold with what was used, None for everything. Raises `NotFound` when it is not this reference's."""
        ...

    async def release(self, reference: Reference, hold_id: str) -> Reservation:
        """End a hold of which nothing was used. Raises `NotFound` when it is not this reference's."""
        ...

    async def upgrade(
        self,
        reference: Reference,
        plan: str,
        *,
        success_url: str,
        cancel_url: str,
        annual: bool,
        seats: int | None,
        locale: str | None,
        metadata: Mapping[str, str],
        subscription_id: str | None,
        schedule_at_period_end: bool,
        return_url: str,
        identity: Identity,
    ) -> Checkout:
        """Open a page on which the plan is bought, or changed to. The URLs are absolute and trusted."""
        ...

    async def restore(self, reference: Reference, *, subscription_id: str | None) -> Mapping[str, Any]:
        """Undo a pending cancellation or change: Stripe's subscription afterwards, as Stripe shows it."""
        ...

    async def subscriptions(self, reference: Reference) -> Sequence[Subscription]:
        """Every subscription of a reference, whatever its status."""
        ...

    async def leave(self, reference: Reference, *, return_url: str, subscription_id: str | None) -> Left:
        """Cancel a subscription, or open the page for it. Raises `NotFound` where nothing such could end."""
        ...

    async def portal(
        self,
        reference: Reference,
        *,
        return_url: str,
        flow: PortalFlow | None,
        locale: str | None,
        subscription_id: str | None,
    ) -> Portal:
        """Open Stripe's billing portal. Raises `NotFound` (CUSTOMER_NOT_FOUND) where nobody was billed yet."""
        ...

    async def sync_checkout(self, reference: Reference, session_id: str) -> Checkout:
        """Bring in what became of a checkout. Raises `NotFound` when the session is not this reference's."""
        ...

    async def receive_webhook(self, body: bytes, signature: str) -> Receipt:
        """Take in a webhook. Raises `InvalidSignature` and stores nothing when Stripe did not sign it."""
        ...

    async def webhook_health(self) -> WebhookHealth:
        """How webhooks are doing."""
        ...

    async def sync_catalog(self) -> Mapping[str, int]:
        """Import products and prices: how many there are (products, prices), were created, updated, deactivated."""
        ...

    async def last_sync(self) -> SyncState | None:
        """How the last import went."""
        ...

    async def products(self, *, active: bool | None, limit: int, after: str | None) -> Page[ProductRow]:
        """The imported products."""
        ...

    async def prices(
        self, *, active: bool | None, product_id: str | None, limit: int, after: str | None
    ) -> Page[PriceRow]:
        """The imported prices."""
        ...

    async def customer(self, reference: Reference) -> Customer | None:
        """Who is billed; None where nobody was billed yet."""
        ...

    async def balances(self, reference: Reference) -> Mapping[str, Balance]:
        """What is left of every feature that the reference has, by the feature's key."""
        ...

    async def usage(
        self,
        reference: Reference,
        feature: str | None,
        *,
        start: datetime | None,
        end: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> Page[UsageEvent]:
        """Recorded uses."""
        ...

    async def usage_series(
        self,
        reference: Reference,
        feature: str,
        *,
        bin: Bin,
        start: datetime | None,
        end: datetime | None,
        tz: str,
        group_by: str | None,
    ) -> Sequence[UsagePoint]:
        """What was used over time."""
        ...

    async def invoices(
        self,
        reference: Reference,
        *,
        status: InvoiceStatus | None,
        charged: bool | None,
        start: datetime | None,
        end: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> Page[Invoice]:
        """The invoices of a reference."""
        ...

    async def search_invoices(
        self,
        *,
        status: InvoiceStatus | None,
        charged: bool | None,
        start: datetime | None,
        end: datetime | None,
        limit: int,
        cursor: str | None,
    ) -> Page[Invoice]:
        """The invoices of all references."""
        ...

    async def invoice_pdf(self, reference: Reference, invoice_id: str) -> str:
        """Where an invoice lies as a PDF. Raises `NotFound` when it is not this reference's."""
        ...

    async def kavach_checkout(
        self,
        reference: Reference,
        price_id: str,
        *,
        success_url: str,
        cancel_url: str,
        metadata: Mapping[str, str],
        identity: Identity,
    ) -> CheckoutSession:
        """Open a page on which the plan of a price is bought. Raises `NotFound` where the price sells none here."""
        ...

    async def kavach_subscription(self, reference: Reference) -> SubscriptionInfo | None:
        """What a reference is subscribed to, None where that has ended."""
        ...

    def signature_fault(self, signature: str) -> SignatureFault:
        """What is wrong with a signature that did not verify just now."""
        ...

    async def plans(self) -> Sequence[PlanView]:
        """What is sold."""
        ...

    def plan_limits(self, name: str) -> Mapping[str, object] | None:
        """The `limits` of a plan; None when there is no such plan any more."""
        ...

    def price_id_of(self, subscription: Subscription) -> str | None:
        """The Stripe price of a subscription."""
        ...
