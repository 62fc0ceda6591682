"""The route table: every way in, and what is asked of a request before its handler runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Literal, cast, get_args

import msgspec
from attrs import evolve, field, frozen

from ..domain.references import Action
from . import answers, wire
from .call import Call
from .handlers import billing, documents, stripe, subscription, success
from .messages import BODY_LIMIT, WEBHOOK_LIMIT

Access = Literal["public", "session", "admin", "signed"]
"""Who may call a route that is not about a reference: anybody, anybody signed in, administrators, and Stripe."""

Handler = Callable[[Call[Any]], Awaitable[object]]

WEBHOOK_ALIASES = ("/auth/stripe/webhook", "/billing/webhooks/callback/stripe")
"""Where other libraries take webhooks, for who moves from one and leaves the endpoint at Stripe as it is."""

_ACTIONS = frozenset(get_args(Action))


def _no_headers() -> Mapping[str, str]:
    return {}


@frozen
class Route:
    """One method on one path.

    `action` is what the host's `authorize_reference` is asked for the reference of the request, or who may call it at
    all. `wire` is the type of the body, on GET of the query. `headers` maps headers to the members that they may stand
    for. `safe` says that it changes nothing anywhere: HEAD is answered too, and no origin check is needed.
    `refusals` are the statuses of its own, beyond those that any route may have. `tells_quotas`: it answers with the
    headers of `rate_limits`.
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
        refusals=(402, 409, 503),
    ),
    Route(
        "GET",
        "/subscription/list",
        subscription.list_rows,
        "list-subscription",
        wire.Scope,
        list[answers.SubscriptionView],
        "List active and trialing subscriptions",
        safe=True,
    ),
    Route(
        "POST",
        "/subscription/billing-portal",
        subscription.portal,
        "billing-portal",
        wire.OpenPortal,
        answers.RedirectView,
        "Open Stripe's billing portal",
        refusals=(404, 503),
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
        refusals=(404, 503),
    ),
    Route(
        "GET",
        "/billing/portal",
        subscription.portal,
        "billing-portal",
        wire.OpenPortal,
        answers.RedirectView,
        "The same as POST, and judged like it; it answers JSON too",
        refusals=(404, 503),
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


@cache
def table(*, has_webhook: bool, webhook_path: str | None = None) -> Mapping[str, Mapping[str, Route]]:
    """The routes by path and method. Webhooks are taken at several paths, and at none without webhook secrets."""
    paths: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        if route.action != "signed":
            paths.setdefault(route.path, {})[route.method] = route
        elif has_webhook:
            for path in (route.path, *WEBHOOK_ALIASES, webhook_path or route.path):
                paths.setdefault(path, {})[route.method] = evolve(route, path=path)
    return paths


def is_taken(path: str) -> bool:
    """Whether a path is that of another route than the webhook's."""
    return any(route.path == path and route.action != "signed" for route in ROUTES)


def allow(methods: Mapping[str, Route]) -> str:
    """The Allow header of a path."""
    names = list(methods)
    if "GET" in methods and methods["GET"].safe:
        names.append("HEAD")
    return ", ".join(names)
