"""A service that records what it was asked, and requests as an integration would build them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import evolve

from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import (
    Balance,
    Checkout,
    Customer,
    Decision,
    Invoice,
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
from kernia_billing.domain.catalog import PriceRow, ProductRow
from kernia_billing.domain.ids import Property
from kernia_billing.domain.instants import Instant, to_instant
from kernia_billing.domain.kavach import CheckoutSession, SubscriptionInfo, info_of
from kernia_billing.domain.money import Money
from kernia_billing.domain.plans import Allowance, Boolean, Metered, Quantity
from kernia_billing.domain.references import Action, Identity, Reference
from kernia_billing.domain.upkeep import SyncState
from kernia_billing.domain.urls import TrustedOrigins
from kernia_billing.errors import FeatureDenied, InvalidSignature, NotFound
from kernia_billing.http.dispatch import dispatch
from kernia_billing.http.messages import PayloadTooLarge, Request, Response
from kernia_billing.http.service import HttpSettings, PortalFlow
from kernia_billing.operations.leaving import Leaving
from kernia_billing.ports.stripe import SignatureFault

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
ORIGIN = "https://app.example.com"
USER = Identity("user_1", email="a@example.com", email_verified=True, organization_id="org_1")
COOKIE = {"cookie": "better-auth.session_token=abc"}


NEEDED = {"/billing/usage/series": "feature=projects"}
"""The query without which a route answers nothing."""
IN_PATH = {"invoiceId": "in_1"}
"""What stands for the members that paths of the route table name."""


class FixedClock:
    """Always the same instant."""

    def now(self) -> Instant:
        """2026-03-01T12:00:00.123456Z."""
        return to_instant(NOW)


class CountingIds:
    """Counts: req_1, req_2 and so on."""

    def __init__(self) -> None:
        self.count = 0

    def new(self, prefix: str) -> str:
        """The next id."""
        self.count += 1
        return f"{prefix}_{self.count}"


def balance(**changes: Any) -> Balance:
    """A balance of 3 out of 10."""
    return evolve(Balance("projects", 10, 7, 0, 3, False, NOW, 0, None), **changes)


def subscription(**changes: Any) -> Subscription:
    """An active subscription of user_1."""
    found = Subscription(
        id="sub_local",
        stripe_id="sub_1",
        reference=Reference("user_1", "user"),
        plan="pro",
        status="active",
        display_state="active",
        interval="month",
        seats=2,
        period_start=NOW,
        period_end=NOW,
        trial_end=None,
        cancel_at=None,
        grace_ends_at=None,
        pending_change=None,
        stripe_customer_id="cus_1",
        price_id="price_1",
    )
    return evolve(found, **changes)


def invoice(reference: Reference) -> Invoice:
    """A paid invoice of 10 EUR."""
    money = Money(1000, "eur")
    return Invoice("in_1", "A-1", "paid", money, money, NOW, None, money, money, NOW, NOW, reference=reference)


class Recorder:
    """A `Service` in memory. `calls` are the operations that were reached; `fails` is raised by each of them."""

    def __init__(self, **settings: Any) -> None:
        self.unexpected: list[tuple[BaseException, str]] = []
        trusted = settings.pop("trusted", None) or TrustedOrigins(ORIGIN, ["https://*.trusted.example"])
        options: dict[str, Any] = {"organizations_enabled": True, "has_webhook": True, **settings}
        self.settings = HttpSettings(
            trusted=trusted,
            ids=CountingIds(),
            clock=FixedClock(),
            on_unexpected=lambda error, request_id: self.unexpected.append((error, request_id)),
            **options,
        )
        self.calls: list[tuple[str, Any]] = []
        self.asked: list[tuple[str, str, Action]] = []
        self.has_authorize = True
        self.allows: Any = True
        self.admin: Any = False
        self.fails: Exception | None = None
        self.rows: Sequence[Subscription] = [subscription()]
        self.allowed = True
        self.reason: Any = "ok"
        self.has_customer = True
        self.receipt = Receipt("evt_1", "applied")
        self.own_sessions = {"cs_test_1": Reference("user_1", "user")}

    @property
    def names(self) -> list[str]:
        """The operations that were reached."""
        return [name for name, _ in self.calls]

    def _note(self, name: str, *values: Any, **named: Any) -> None:
        self.calls.append((name, (*values, named) if named else values))
        if self.fails is not None:
            raise self.fails

    async def authorize(self, identity: Identity, reference_id: str, action: Action) -> bool:
        """The configured answer."""
        self.asked.append((identity.user_id, reference_id, action))
        if isinstance(self.allows, Exception):
            raise self.allows
        answer: bool = self.allows
        return answer

    async def is_admin(self, identity: Identity) -> bool:
        """The configured answer."""
        if isinstance(self.admin, Exception):
            raise self.admin
        answer: bool = self.admin
        return answer

    def decision(self, reference: Reference, feature: str, required: int) -> Decision:
        """The configured decision."""
        return Decision(
            allowed=self.allowed,
            reason=self.reason,
            message="A sentence.",
            reference=reference,
            feature=feature,
            required=required,
            balance=balance(feature=feature),
            breakdown=({"source": "plan", "kind": "grant", "resetsAt": NOW},),
            limits=(),
            offers=("team",),
            as_of=NOW,
        )

    async def check(
        self, reference: Reference, feature: str, required: int, *, entity: str | None, preview: bool
    ) -> Decision:
        """The configured decision; the feature "missing" does not exist."""
        self._note("check", reference, feature, required, entity=entity, preview=preview)
        if feature == "missing":
            raise NotFound("There is no such feature", code="FEATURE_NOT_FOUND")
        return self.decision(reference, feature, required)

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
        """A receipt, or the refusal."""
        self._note(
            "track",
            reference,
            feature,
            quantity,
            mode=mode,
            entity=entity,
            properties=dict(properties),
            occurred_at=occurred_at,
            idempotency_key=idempotency_key,
        )
        if not self.allowed:
            raise FeatureDenied(self.decision(reference, feature, quantity))
        return Usage("evt_1", feature, quantity, quantity, 0, balance(), False, False, ({"amount": 1},))

    def reservation(self, reference: Reference, hold_id: str, held: int, usage: Usage | None = None) -> Reservation:
        """A hold of this reference; the id "missing" is nobody's."""
        if hold_id == "missing":
            raise NotFound("Hold not found", code="HOLD_NOT_FOUND")
        return Reservation(hold_id, reference, "projects", held, NOW, balance(held=held), usage)

    async def reserve(self, reference: Reference, feature: str, quantity: int, **named: Any) -> Reservation:
        """A hold, or the refusal."""
        self._note("reserve", reference, feature, quantity, **named)
        if not self.allowed:
            raise FeatureDenied(self.decision(reference, feature, quantity))
        return self.reservation(reference, "hold_1", quantity)

    async def settle(self, reference: Reference, hold_id: str, quantity: int | None) -> Reservation:
        """A receipt."""
        self._note("settle", reference, hold_id, quantity)
        usage = Usage("evt_1", "projects", 2, 2, 0, balance(), False, False)
        return self.reservation(reference, hold_id, 0, usage)

    async def release(self, reference: Reference, hold_id: str) -> Reservation:
        """Nothing is held any more."""
        self._note("release", reference, hold_id)
        return self.reservation(reference, hold_id, 0)

    async def upgrade(self, reference: Reference, plan: str, **named: Any) -> Checkout:
        """An open page."""
        self._note("upgrade", reference, plan, **named)
        return Checkout("https://checkout.stripe.com/c/pay/cs_test_1", "cs_test_1", "open", None)

    async def restore(self, reference: Reference, *, subscription_id: str | None) -> Mapping[str, Any]:
        """Stripe's subscription."""
        self._note("restore", reference, subscription_id=subscription_id)
        told = {"id": "sub_1", "object": "subscription", "status": "active", "cancel_at_period_end": False}
        return {**told, "cancel_at": None, "canceled_at": None, "schedule": None}

    async def subscriptions(self, reference: Reference) -> Sequence[Subscription]:
        """The configured rows."""
        self._note("subscriptions", reference)
        return self.rows

    async def leave(self, reference: Reference, *, return_url: str, subscription_id: str | None) -> Leaving:
        """A page to cancel on, for the first configured row."""
        self._note("leave", reference, return_url=return_url, subscription_id=subscription_id)
        return Leaving("https://billing.stripe.com/p/session/x", self.rows[0])

    async def portal(
        self,
        reference: Reference,
        *,
        return_url: str,
        flow: PortalFlow | None,
        locale: str | None,
        subscription_id: str | None,
    ) -> Portal:
        """A portal."""
        self._note(
            "portal", reference, return_url=return_url, flow=flow, locale=locale, subscription_id=subscription_id
        )
        return Portal("https://billing.stripe.com/p/session/x")

    async def sync_checkout(self, reference: Reference, session_id: str) -> Checkout:
        """Only for sessions of the reference."""
        self._note("sync_checkout", reference, session_id)
        if self.own_sessions.get(session_id) != reference:
            raise NotFound("There is no such checkout", code="CHECKOUT_NOT_FOUND")
        return Checkout(None, session_id, "complete", None)

    async def receive_webhook(self, body: bytes, signature: str) -> Receipt:
        """Verified when the signature is "good"."""
        self._note("receive_webhook", body, signature)
        if signature != "good":
            raise InvalidSignature
        return self.receipt

    async def webhook_health(self) -> WebhookHealth:
        """One event that waits, a dead one, and two that hooks did not hear of yet."""
        self._note("webhook_health")
        return WebhookHealth(NOW, None, 1, 90, 1, 0, 1, {"received": 1, "dead": 1}, 2, 60)

    async def sync_catalog(self) -> Mapping[str, int]:
        """Some counts."""
        self._note("sync_catalog")
        return {"products": 2, "prices": 3, "created": 5, "updated": 0, "deactivated": 0}

    async def last_sync(self) -> SyncState | None:
        """Now."""
        return SyncState("catalog", to_instant(NOW), to_instant(NOW), {})

    async def products(self, *, active: bool | None, limit: int, after: str | None) -> Page[ProductRow]:
        """One product and a deleted one."""
        self._note("products", active=active, limit=limit, after=after)
        row = ProductRow("prod_1", True, "Pro", None, {"cost": "internal"}, to_instant(NOW))
        return Page([row, evolve(row, id="prod_2", deleted=True)], "next")

    async def prices(
        self, *, active: bool | None, product_id: str | None, limit: int, after: str | None
    ) -> Page[PriceRow]:
        """One price."""
        self._note("prices", active=active, product_id=product_id, limit=limit, after=after)
        price = PriceRow(
            id="price_1",
            product_id="prod_1",
            active=True,
            currency="usd",
            type="recurring",
            unit_amount=1000,
            unit_amount_decimal="1000",
            interval="month",
            interval_count=1,
            usage_type="licensed",
            billing_scheme="per_unit",
            meter=None,
            lookup_key=None,
            nickname="internal",
            metadata={},
            created_at=to_instant(NOW),
        )
        return Page([price], None)

    async def customer(self, reference: Reference) -> Customer | None:
        """Somebody, or nobody yet."""
        self._note("customer", reference)
        return Customer(reference, "cus_1", "a@example.com", "pro", self.rows[0]) if self.has_customer else None

    async def balances(self, reference: Reference) -> Mapping[str, Balance]:
        """One feature."""
        self._note("balances", reference)
        return {"projects": balance()}

    async def usage(self, reference: Reference, feature: str | None, **named: Any) -> Page[UsageEvent]:
        """One event."""
        self._note("usage", reference, feature, **named)
        return Page([UsageEvent("evt_1", "projects", 2, NOW, {"model": "small", "n": 1}, "record")], "cursor_2")

    async def usage_series(self, reference: Reference, feature: str, **named: Any) -> Sequence[UsagePoint]:
        """One hour for a group."""
        self._note("usage_series", reference, feature, **named)
        return [UsagePoint(NOW, 2, "small")]

    async def invoices(self, reference: Reference, **named: Any) -> Page[Invoice]:
        """One invoice."""
        self._note("invoices", reference, **named)
        return Page([invoice(reference)], "cursor_2")

    async def search_invoices(self, **named: Any) -> Page[Invoice]:
        """That of an organization."""
        self._note("search_invoices", **named)
        return Page([invoice(Reference("org_1", "organization"))], "cursor_2")

    async def invoice_pdf(self, reference: Reference, invoice_id: str) -> str:
        """The document of the invoice in_1."""
        self._note("invoice_pdf", reference, invoice_id)
        if invoice_id != "in_1":
            raise NotFound("Invoice not found", code="INVOICE_NOT_FOUND")
        return "https://pay.stripe.com/invoice/in_1/pdf"

    async def kavach_checkout(self, reference: Reference, price_id: str, **named: Any) -> CheckoutSession:
        """An open page."""
        self._note("kavach_checkout", reference, price_id, **named)
        return CheckoutSession("https://checkout.stripe.com/c/pay/cs_test_1", "cs_test_1")

    async def kavach_subscription(self, reference: Reference) -> SubscriptionInfo | None:
        """The first of the rows."""
        self._note("kavach_subscription", reference)
        return info_of(self.rows[0]) if self.rows else None

    def signature_fault(self, signature: str) -> SignatureFault:
        """Something else was signed."""
        return "digest" if signature else "header"

    async def plans(self) -> Sequence[PlanView]:
        """Two plans."""
        self._note("plans")
        features: dict[str, Allowance] = {
            "sso": Boolean(),
            "projects": Quantity(3),
            "messages": Metered(10, overage="free", meter="secret"),
        }
        return [PlanView("pro", "Pro", Money(1000, "usd"), None, 14, features)]

    def plan_limits(self, name: str) -> Mapping[str, object] | None:
        """Of the plan "pro" only."""
        return {"projects": 5, "tags": ["a"]} if name == "pro" else None

    def price_id_of(self, subscription: Subscription) -> str | None:
        """The row's."""
        return subscription.price_id


def request(
    method: str,
    path: str,
    body: object = None,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    identity: object = USER,
    seen: list[str] | None = None,
) -> Request:
    """A request. `body` is sent as JSON, bytes as they are; `seen` notes when the body and the identity are read."""
    raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"content-type": "application/json"} if raw and not isinstance(body, bytes) else {}
    noted = [] if seen is None else seen

    async def read_body(limit: int) -> bytes:
        noted.append("body")
        if len(raw) > limit:
            raise PayloadTooLarge
        return raw

    async def identify() -> Any:
        noted.append("identity")
        if isinstance(identity, Exception):
            raise identity
        return identity

    if path in NEEDED and "feature=" not in query:
        query = f"{NEEDED[path]}&{query}"
    return Request(method, path.format(**IN_PATH), query, {**sent, **(headers or {})}, read_body, identify)


def send(service: Recorder, method: str, path: str, body: object = None, **named: Any) -> Response:
    """Answer a request."""
    return run_blocking(dispatch(service, request(method, path, body, **named)))


def parsed(response: Response) -> Any:
    """The JSON of an answer."""
    return json.loads(response.body)


def outcome(response: Response) -> tuple[int, str | None]:
    """The status, and the code of a refusal."""
    found: dict[str, Any] = parsed(response) if response.status >= 400 else {}
    code: str | None = found.get("code")
    return response.status, code
