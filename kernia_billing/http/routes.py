"""The route table: every way in, and what is asked of a request before its handler runs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Literal, cast, get_args

import msgspec
from attrs import evolve, field, frozen

from ..domain.references import Action
from . import answers, wire
from .call import Call
from .handlers import billing, documents, kavach, stripe, subscription, success
from .messages import BODY_LIMIT, WEBHOOK_LIMIT

Access = Literal["public", "session", "admin", "signed"]
"""Who may call a route that is not about a reference: anybody, anybody signed in, administrators, and Stripe."""

Handler = Callable[[Call[Any]], Awaitable[object]]

WEBHOOK_ALIASES = ("/auth/stripe/webhook", "/billing/webhooks/callback/stripe")
"""Where other libraries take webhooks, for who moves from one and leaves the endpoint at Stripe as it is."""

_MEMBER = re.compile(r"\{(\w+)\}")
_ACTIONS = frozenset(get_args(Action))


def _no_headers() -> Mapping[str, str]:
    return {}


@frozen
class Route:
    """One method on one path.

    `path` may name members of `wire`, as in `/billing/invoices/{invoiceId}/pdf`.
    `action` is what the host's `authorize_reference` is asked for the reference of the request, or who may call it at
    all. `wire` is the type of the body, on GET of the query. `headers` maps headers to the members that they may stand
    for. `safe` says that it changes nothing anywhere: HEAD is answered too, and no origin check is needed.
    `refusals` are the statuses of its own, beyond those that any route may have. `tells_quotas`: it answers with the
    headers of `rate_limits`. `reads_itself`: the body is judged by the handler, by rules of its own.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    action: Action | Access
    wire: type[msgspec.Struct]
    answer: Any
    summary: str
    safe: bool = False
    limit: int = BODY_LIMIT
    headers: Mapping[str, str] = field(factory=_no_headers)
    refusals: tuple[int, ...] = ()
    tells_quotas: bool = False
    reads_itself: bool = False

    @property
    def handler_reads(self) -> bool:
        """Whether the handler reads the body and the query."""
        return self.reads_itself or self.action in ("signed", "public")

    @property
    def scoped(self) -> Action | None:
        """The action, if the route is about a reference."""
        return cast("Action", self.action) if self.action in _ACTIONS else None

    @property
    def origin_checked(self) -> bool:
        """Whether a browser's cookies alone may not carry a request to it."""
        return not self.safe and self.action not in ("signed", "public")

    @property
    def needs_session(self) -> bool:
        """Whether somebody must be signed in."""
        return self.action not in ("signed", "public")


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/subscription/upgrade",
        subscription.upgrade,
        "upgrade-subscription",
        wire.Upgrade,
        answers.RedirectView,
        "Buy a plan, or change to it",
        refusals=(402, 409, 429, 503),
    ),
    Route(
        "GET",
        "/subscription/list",
        subscription.list_rows,
        "list-subscription",
        wire.ListSubscriptions,
        list[answers.SubscriptionView],
        "List active and trialing subscriptions, or more of them",
        safe=True,
    ),
    Route(
        "POST",
        "/subscription/cancel",
        subscription.cancel,
        "cancel-subscription",
        wire.Cancel,
        answers.RedirectView,
        "Cancel a subscription, or open the page for it",
        refusals=(404, 409, 503),
    ),
    Route(
        "POST",
        "/subscription/restore",
        subscription.restore,
        "restore-subscription",
        wire.Restore,
        answers.StripeSubscriptionView,
        "Undo a pending cancellation or change: Stripe's subscription",
        refusals=(409, 503),
    ),
    Route(
        "POST",
        "/subscription/billing-portal",
        subscription.portal,
        "billing-portal",
        wire.OpenPortal,
        answers.RedirectView,
        "Open Stripe's billing portal",
        refusals=(404, 429, 503),
    ),
    Route(
        "GET",
        subscription.SUCCESS_PATH,
        success.success,
        "public",
        wire.Success,
        None,
        "Return from Checkout: bring the purchase in and redirect to callbackURL",
        refusals=(302, 403),
    ),
    Route(
        "POST",
        "/stripe/webhook",
        stripe.webhook,
        "signed",
        wire.Nothing,
        answers.ReceivedView,
        "Stripe's events",
        limit=WEBHOOK_LIMIT,
        refusals=(503,),
    ),
    Route(
        "GET",
        "/stripe/webhooks/health",
        stripe.webhook_health,
        "admin",
        wire.Nothing,
        answers.WebhookHealthView,
        "How webhooks are doing",
        safe=True,
    ),
    Route(
        "POST",
        "/stripe/catalog/sync",
        stripe.sync_catalog,
        "admin",
        wire.Nothing,
        answers.SyncView,
        "Import products and prices from Stripe",
        refusals=(409, 503),
    ),
    Route(
        "GET",
        "/stripe/products",
        stripe.products,
        "session",
        wire.ListProducts,
        answers.ProductsView,
        "List imported products",
        safe=True,
    ),
    Route(
        "GET",
        "/stripe/prices",
        stripe.prices,
        "session",
        wire.ListPrices,
        answers.PricesView,
        "List imported prices",
        safe=True,
    ),
    Route(
        "POST",
        "/billing/check",
        billing.check,
        "check-feature",
        wire.Check,
        answers.CheckView,
        "May so much more of a feature be used?",
        refusals=(404,),
        tells_quotas=True,
    ),
    Route(
        "POST",
        "/billing/track",
        billing.track,
        "track-usage",
        wire.Track,
        answers.TrackView,
        "Record a use of a feature",
        headers={"idempotency-key": "idempotencyKey"},
        refusals=(402, 404, 409),
        tells_quotas=True,
    ),
    Route(
        "POST",
        "/billing/reserve",
        billing.reserve,
        "track-usage",
        wire.Reserve,
        answers.ReservationView,
        "Set units of a feature aside for work that begins",
        headers={"idempotency-key": "idempotencyKey"},
        refusals=(402, 404, 409),
    ),
    Route(
        "POST",
        "/billing/settle",
        billing.settle,
        "track-usage",
        wire.Settle,
        answers.ReservationView,
        "End a reservation with what was used; the rest is free again",
        refusals=(404, 409),
    ),
    Route(
        "POST",
        "/billing/release",
        billing.release,
        "track-usage",
        wire.Release,
        answers.ReservationView,
        "End a reservation of which nothing was used",
        refusals=(404, 409),
    ),
    Route(
        "GET",
        "/billing/customer",
        billing.customer,
        "read-customer",
        wire.Scope,
        answers.CustomerView,
        "Who is billed, and what is left of every feature",
        safe=True,
    ),
    Route(
        "POST",
        "/billing/portal",
        subscription.portal,
        "billing-portal",
        wire.OpenPortal,
        answers.RedirectView,
        "Open Stripe's billing portal",
        refusals=(404, 429, 503),
    ),
    Route(
        "GET",
        "/billing/portal",
        subscription.portal,
        "billing-portal",
        wire.OpenPortal,
        answers.RedirectView,
        "The same as POST, and judged like it; it answers JSON too",
        refusals=(404, 429, 503),
    ),
    Route(
        "GET",
        "/billing/usage",
        billing.usage,
        "read-usage",
        wire.ListUsage,
        answers.UsageView,
        "List recorded uses",
        safe=True,
        refusals=(404,),
    ),
    Route(
        "GET",
        "/billing/usage/series",
        billing.usage_series,
        "read-usage",
        wire.UsageSeries,
        answers.UsageSeriesView,
        "Add recorded uses up by hour, day or month",
        safe=True,
        refusals=(404,),
    ),
    # Who may open the portal sees the invoices there; reading the customer alone shows no amounts.
    Route(
        "GET",
        "/billing/invoices",
        billing.invoices,
        "billing-portal",
        wire.ListInvoices,
        answers.InvoicesView,
        "List invoices, newest first",
        safe=True,
    ),
    Route(
        "GET",
        "/billing/invoices/search",
        billing.search_invoices,
        "admin",
        wire.SearchInvoices,
        answers.FoundInvoicesView,
        "List invoices of all references, newest first",
        safe=True,
    ),
    Route(
        "GET",
        "/billing/invoices/{invoiceId}/pdf",
        billing.invoice_pdf,
        "billing-portal",
        wire.OneInvoice,
        None,
        "Redirect to an invoice as a PDF",
        safe=True,
        refusals=(302, 404, 503),
    ),
    Route(
        "GET",
        "/billing/plans",
        billing.plans,
        "public",
        wire.Nothing,
        answers.PlansView,
        "What is sold, for pricing pages",
        safe=True,
    ),
    Route(
        "GET",
        "/billing/openapi.json",
        documents.openapi,
        "public",
        wire.Nothing,
        None,
        "This description",
        safe=True,
    ),
)
"""Every route there is."""


KAVACH_ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/auth/stripe/checkout",
        kavach.checkout,
        "session",
        wire.KavachCheckout,
        answers.KavachCheckoutView,
        "kavachOS: buy the plan that a price belongs to",
        refusals=(402, 404, 409, 503),
        reads_itself=True,
    ),
    Route(
        "POST",
        "/auth/stripe/portal",
        kavach.portal,
        "session",
        wire.KavachPortal,
        answers.KavachPortalView,
        "kavachOS: open the billing portal",
        refusals=(404, 503),
        reads_itself=True,
    ),
    Route(
        "GET",
        "/auth/stripe/subscription",
        kavach.subscription,
        "session",
        wire.Nothing,
        answers.KavachSubscriptionView,
        "kavachOS: what the caller is subscribed to",
        safe=True,
    ),
    Route(
        "POST",
        "/auth/stripe/webhook",
        kavach.webhook,
        "signed",
        wire.Nothing,
        answers.ReceivedView,
        "kavachOS: Stripe's events",
        limit=WEBHOOK_LIMIT,
        refusals=(503,),
    ),
)
"""Those of kavachOS, where the configuration asks for them."""


@cache
def table(
    *, has_webhook: bool, webhook_path: str | None = None, kavach: bool = False
) -> Mapping[str, Mapping[str, Route]]:
    """The routes by path and method. Webhooks are taken at several paths, and at none without webhook secrets."""
    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        if route.action != "signed":
            paths.setdefault(route.path, {})[route.method] = route
        elif has_webhook:
            for path in (route.path, *WEBHOOK_ALIASES, webhook_path or route.path):
                paths.setdefault(path, {})[route.method] = evolve(route, path=path)
    for route in KAVACH_ROUTES:
        if kavach and (has_webhook or route.action != "signed"):
            paths[route.path] = {route.method: route}
    return paths


def find(
    path: str, *, has_webhook: bool, webhook_path: str | None = None, kavach: bool = False
) -> tuple[Mapping[str, Route], Mapping[str, str]] | None:
    """The routes of a path by method, and the members that stand in it; None where there are none."""
    paths = table(has_webhook=has_webhook, webhook_path=webhook_path, kavach=kavach)
    if path in paths and "{" not in path:
        return paths[path], {}
    for pattern, template in _templates():
        match = pattern.fullmatch(path)
        if match is not None and template in paths:
            return paths[template], match.groupdict()
    return None


@cache
def _templates() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The paths that name members. A member is plain, so that nothing in it means anything else to anybody."""
    found = {route.path for route in ROUTES if "{" in route.path}
    return tuple((re.compile(_MEMBER.sub(r"(?P<\1>[A-Za-z0-9_.:-]{1,255})", path)), path) for path in sorted(found))


def path_members(path: str) -> tuple[str, ...]:
    """The names of the members that stand in a path, in their order."""
    return tuple(_MEMBER.findall(path))


def is_taken(path: str) -> bool:
    """Whether a path is that of another route than the webhook's."""
    return any(route.path == path and route.action != "signed" for route in (*ROUTES, *KAVACH_ROUTES))


def allow(methods: Mapping[str, Route]) -> str:
    """The Allow header of a path."""
    names = list(methods)
    if "GET" in methods and methods["GET"].safe:
        names.append("HEAD")
    return ", ".join(names)
