"""The operations as the HTTP surface and the gates call them."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, cast

from .compose import Wiring
from .domain.answers import (
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
from .domain.bins import Bin
from .domain.catalog import PriceRow, ProductRow
from .domain.ids import Property
from .domain.kavach import CheckoutSession, SubscriptionInfo
from .domain.references import Action, Identity, Ref, Reference
from .domain.upkeep import SyncState
from .errors import ConfigError
from .http.gate import Binding, bind
from .http.pacing import Pace
from .http.service import HttpSettings, PortalFlow
from .operations import (
    balances,
    catalog,
    check,
    customers,
    inbox,
    invoices,
    kavach,
    leaving,
    plans,
    portal,
    replays,
    reservations,
    restoring,
    series,
    sessions,
    subscriptions,
    track,
    upgrading,
    usage,
)
from .operations.core import Core
from .ports.stripe import SignatureFault


class BillingService:
    """Implements `http.service.Service` over a wiring."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._settled: tuple[Core, HttpSettings] | None = None

    @property
    def wiring(self) -> Wiring:
        """What the service works on."""
        return self._wiring

    @property
    def settings(self) -> HttpSettings:
        """What the surface is configured with."""
        core = self._wiring.core
        if self._settled is None or self._settled[0] is not core:
            self._settled = (core, self._settings())
        return self._settled[1]

    def _settings(self) -> HttpSettings:
        config, core = self._wiring.config, self._wiring.core
        return HttpSettings(
            trusted=self._wiring.trusted,
            ids=core.ids,
            clock=core.clock,
            subscription_for=config.subscription_for,
            base_path=config.base_path,
            require_email_verification=config.require_email_verification,
            organizations_enabled=config.subscription_for == "organization" or config.authorize_reference is not None,
            has_webhook=core.verifier is not None,
            webhook_path=config.webhook_path,
            cors=config.cors,
            kavach_routes=config.kavach_routes,
            telemetry=core.telemetry,
            pace=None if core.pages_a_minute is None else Pace(core.clock, core.pages_a_minute),
        )

    @property
    def has_authorize(self) -> bool:
        """Whether the host gave an `authorize_reference`."""
        return self._wiring.config.authorize_reference is not None

    async def authorize(self, identity: Identity, reference_id: str, action: Action) -> bool:
        """The host's answer; nothing but True is a yes."""
        function = self._wiring.config.authorize_reference
        return function is not None and await _told(function(identity, reference_id, action)) is True

    async def is_admin(self, identity: Identity) -> bool:
        """Whether the host calls this person an administrator; nothing but True is a yes."""
        return await _told(self._wiring.config.authorize_admin(identity)) is True

    async def check(
        self, reference: Reference, feature: str, required: int, *, entity: str | None, preview: bool
    ) -> Decision:
        """May so much more of a feature be used?"""
        return await check.check(self._wiring.core, reference, feature, required, entity=entity, preview=preview)

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
        return await track.track(
            self._wiring.core,
            reference,
            feature,
            quantity,
            mode=mode,
            entity=entity,
            properties=properties,
            occurred_at=occurred_at,
            key=idempotency_key,
        )

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
        """Set units aside."""
        return await reservations.reserve(
            self._wiring.core, reference, feature, quantity, entity=entity, ttl=ttl, key=idempotency_key
        )

    async def settle(self, reference: Reference, hold_id: str, quantity: int | None) -> Reservation:
        """End a hold with what was used."""
        return await reservations.settle(self._wiring.core, reference, hold_id, quantity)

    async def release(self, reference: Reference, hold_id: str) -> Reservation:
        """End a hold of which nothing was used."""
        return await reservations.release(self._wiring.core, reference, hold_id)

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
        """Open a page on which the plan is bought, or changed to."""
        return await upgrading.upgrade(
            self._wiring.core,
            reference,
            plan,
            success_url=success_url,
            cancel_url=cancel_url,
            return_url=return_url,
            annual=annual,
            seats=seats,
            subscription_id=subscription_id,
            schedule_at_period_end=schedule_at_period_end,
            locale=locale,
            metadata=metadata,
            identity=identity,
        )

    async def restore(self, reference: Reference, *, subscription_id: str | None) -> Mapping[str, Any]:
        """Undo a pending cancellation or change."""
        after, _ = await restoring.restored(self._wiring.core, reference, subscription_id=subscription_id)
        return after

    async def subscriptions(self, reference: Reference) -> Sequence[Subscription]:
        """Every subscription of a reference."""
        return await subscriptions.every(self._wiring.core, reference)

    async def leave(self, reference: Reference, *, return_url: str, subscription_id: str | None) -> leaving.Leaving:
        """Cancel a subscription, or open the page for it."""
        return await leaving.leave(
            self._wiring.core,
            reference,
            return_url=return_url,
            subscription_id=subscription_id,
            direct=self._wiring.config.direct_cancel,
        )

    async def portal(
        self,
        reference: Reference,
        *,
        return_url: str,
        flow: PortalFlow | None,
        locale: str | None,
        subscription_id: str | None,
    ) -> Portal:
        """Open Stripe's billing portal."""
        return await portal.portal(
            self._wiring.core,
            reference,
            return_url=return_url,
            flow=flow,
            locale=locale,
            subscription_id=subscription_id,
        )

    async def sync_checkout(self, reference: Reference, session_id: str) -> Checkout:
        """Bring in what became of a checkout of this reference."""
        return await sessions.sync_checkout(self._wiring.core, session_id, reference)

    async def receive_webhook(self, body: bytes, signature: str) -> Receipt:
        """Take in a webhook."""
        return await inbox.receive(self._wiring.core, body, signature)

    async def webhook_health(self) -> WebhookHealth:
        """How webhooks are doing."""
        return await replays.health(self._wiring.core)

    async def sync_catalog(self) -> Mapping[str, int]:
        """Import products and prices."""
        return await catalog.sync(self._wiring.core)

    async def last_sync(self) -> SyncState | None:
        """How the last import went."""
        return await catalog.last_sync(self._wiring.core)

    async def products(self, *, active: bool | None, limit: int, after: str | None) -> Page[ProductRow]:
        """The imported products."""
        return await catalog.products(self._wiring.core, active=active, limit=limit, cursor=after)

    async def prices(
        self, *, active: bool | None, product_id: str | None, limit: int, after: str | None
    ) -> Page[PriceRow]:
        """The imported prices."""
        return await catalog.prices(self._wiring.core, active=active, product_id=product_id, limit=limit, cursor=after)

    async def customer(self, reference: Reference) -> Customer | None:
        """Who is billed."""
        return await customers.get(self._wiring.core, reference)

    async def balances(self, reference: Reference) -> Mapping[str, Balance]:
        """What is left of every feature."""
        return await balances.balances(self._wiring.core, reference)

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
        return await usage.page(self._wiring.core, reference, feature, start=start, end=end, limit=limit, cursor=cursor)

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
        return await series.usage_series(
            self._wiring.core, reference, feature, bin=bin, start=start, end=end, tz=tz, group_by=group_by
        )

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
        return await invoices.page(
            self._wiring.core,
            reference,
            status=status,
            charged=charged,
            start=start,
            end=end,
            limit=limit,
            cursor=cursor,
        )

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
        return await invoices.search(
            self._wiring.core, status=status, charged=charged, start=start, end=end, limit=limit, cursor=cursor
        )

    async def invoice_pdf(self, reference: Reference, invoice_id: str) -> str:
        """Where an invoice lies as a PDF."""
        return await invoices.pdf_url(self._wiring.core, reference, invoice_id)

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
        """Open a page on which the plan of a price is bought."""
        return await kavach.create_checkout_session(
            self._wiring.core,
            reference,
            price_id,
            success_url=success_url,
            cancel_url=cancel_url,
            metadata=metadata,
            identity=identity,
            auto_create=self._wiring.config.auto_create_customer,
        )

    async def kavach_subscription(self, reference: Reference) -> SubscriptionInfo | None:
        """What a reference is subscribed to."""
        return await kavach.get_subscription(self._wiring.core, reference)

    def signature_fault(self, signature: str) -> SignatureFault:
        """What is wrong with a signature that did not verify just now."""
        return kavach.signature_fault(self._wiring.core, signature)

    async def plans(self) -> Sequence[PlanView]:
        """What is sold."""
        return await plans.views(self._wiring.core)

    def plan_limits(self, name: str) -> Mapping[str, object] | None:
        """The `limits` of a plan; None when there is no such plan any more, or it has none."""
        plan = self._wiring.core.offer.plans.get(name.lower())
        return None if plan is None or not plan.limits else plan.limits

    def price_id_of(self, subscription: Subscription) -> str | None:
        """The Stripe price of a subscription."""
        return subscription.price_id


async def _told(answer: object) -> object:
    """The answer of a host's function, awaited if it is to be."""
    return await cast("Awaitable[object]", answer) if isinstance(answer, Awaitable) else answer


def bound(wiring: Wiring, reference: Ref) -> AbstractContextManager[None]:
    """Make a reference the current one for gates."""
    return bind(Binding(BillingService(wiring), reference=wiring.core.reference(reference)))


def service_of(billing: object, *, asynchronous: bool) -> BillingService:
    """The operations behind a facade, for an integration that awaits (`AsyncBilling`) or blocks (`Billing`).

    Raises:
        ConfigError: it is the other facade, or none.
    """
    wanted, other = ("AsyncBilling", "Billing") if asynchronous else ("Billing", "AsyncBilling")
    wiring = getattr(billing, "_wiring", None)
    if not isinstance(wiring, Wiring):
        raise ConfigError([f"billing: must be {wanted}(...), not {type(billing).__name__}"])
    if wiring.asynchronous != asynchronous:
        why = "it awaits" if asynchronous else "it cannot await"
        raise ConfigError([f"billing: this integration takes {wanted}, not {other}, because {why}"])
    return BillingService(wiring)
