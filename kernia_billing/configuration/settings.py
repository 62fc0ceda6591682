"""The values of a configuration, once they are all valid."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from attrs import field, frozen

from ..domain.answers import Event, SubscriptionEvent
from ..domain.plans import Feature, Plan, TopUp
from ..domain.references import Action, CustomerType, Identity
from ..domain.secret import REDACTED, Secret
from ..domain.webhooks import WebhookMode
from ..ports.telemetry import Telemetry
from .spellings import Given

DATABASE = "sqlite:///billing.db"
BASE_URL = "http://localhost:8000"
GRACE_PERIOD = timedelta(days=7)
EVENT_RETENTION = timedelta(days=30)
USAGE_RETENTION = timedelta(days=400)
REFRESH_INTERVAL = timedelta(days=7)

_SECRET_URL = re.compile(r"([a-z0-9_+]+://).*[@?].*", re.DOTALL)


def is_admin(identity: Identity) -> bool:
    """The default of `authorize_admin`: the host said so when it built the identity."""
    return identity.is_admin is True


def _shown_database(value: object) -> str:
    """A URL without whatever could be a password; of an engine only its class."""
    if isinstance(value, str):
        return repr(_SECRET_URL.sub(rf"\1{REDACTED}", value))
    return f"<{type(value).__name__}>"


def _shown_client(value: object) -> str:
    return "None" if value is None else f"<{type(value).__name__}>"


def _shown_telemetry(value: object) -> str:
    return repr(value) if isinstance(value, str) else f"<{type(value).__name__}>"


def _nothing_given() -> dict[str, Given]:
    return {}


@frozen(kw_only=True)
class Settings:
    """Every option with its default. Built by `BillingConfig` only, which validates them."""

    database: Any = field(default=DATABASE, repr=_shown_database)
    """A SQLAlchemy URL as a text, or the host's Engine or AsyncEngine."""
    stripe_key: Secret | None = None
    """Stripe's secret or restricted key. None: no real Stripe, so offline, or with a simulator."""
    stripe_client: Any = field(default=None, repr=_shown_client)
    """A `StripeSimulator`, or an httpx client to send through, as it was given."""
    stripe_api_base: str | None = None
    """The origin of something that stands in for Stripe, such as `http://127.0.0.1:12111` of `kernia-billing
    simulator`. For test keys only, and http on this machine only. None: https://api.stripe.com."""
    stripe_webhook_secrets: tuple[Secret, ...] = ()
    """The signing secrets that are valid now, at most 5; several while one replaces another."""
    webhook_tolerance: int = 300
    """How many seconds a webhook's time may differ from ours, in both directions."""
    webhook_mode: WebhookMode = "inline"
    """Who works on webhooks: "inline" the request that brings them, "worker" whoever runs `jobs.run`."""
    stripe_rate_limit: int | None = None
    """How many requests a second this process sends to Stripe at most. None: 100 with a live key, 25 with a test key,
    and no limit with a simulator."""
    telemetry: Telemetry | str = field(default="auto", repr=_shown_telemetry)
    """Where the work is told of: "auto" (the log, and OpenTelemetry where it is installed), "logging", "opentelemetry",
    "off", or an object with the methods of `kernia_billing.ports.telemetry.Telemetry`."""
    base_url: str = BASE_URL
    """The application's own origin, without a trailing slash: relative URLs resolve against it."""
    base_path: str = "/api/auth"
    """Where the HTTP surface is mounted; "" means at the root."""
    webhook_path: str | None = None
    """A further path, below `base_path`, at which webhooks are taken; it is the one that is told to Stripe."""
    trusted_origins: tuple[str, ...] = ()
    """Further origins that may call and be redirected to; `*` stands for one whole label."""
    subscription_for: CustomerType = "user"
    """What a reference that is given as plain text is."""
    plans: tuple[Plan, ...] = ()
    """What is sold, lowest rank first."""
    features: tuple[Feature, ...] = ()
    """What is known of features beyond their keys, from the option and from plan files."""
    top_ups: tuple[TopUp, ...] = ()
    """One-time packs by which more of a feature is bought."""
    default_plan: str | None = None
    """The key of the free plan that references without a subscription have."""
    default_currency: str = "usd"
    """The currency, in lower case, of amounts that name none."""
    grace_period: timedelta = GRACE_PERIOD
    """How long a subscription works on after the first failed payment."""
    refresh_interval: timedelta = REFRESH_INTERVAL
    """How often `reconcile` compares everything with Stripe, beyond what it heard of. A length of 0 is never."""
    event_retention: timedelta = EVENT_RETENTION
    """How long webhooks that were worked on, and events that were handed over, are kept. At least 4 days, because
    Stripe repeats an event for 3."""
    audit_retention: timedelta | None = None
    """How long rows of the audit log are kept. None: for ever."""
    snapshot_max_age: timedelta | None = None
    """How old an answer of `check` may be that is given again from memory: above 0, an hour at most. None: `check`
    always reads."""
    usage_retention: timedelta = USAGE_RETENTION
    """How long uses, with their idempotency keys, and the ledger of periods that are over are kept. At least 36 days,
    because a use may be told of for 35."""
    create_customer_on_sign_up: bool = True
    """Whether the host's sign-up code is expected to call `customers.ensure`."""
    require_email_verification: bool = False
    """Whether an upgrade over HTTP needs a verified email address."""
    authorize_reference: Callable[[Identity, str, Action], Any] | None = None
    """May this identity do this for this reference? Without it a caller may act for its own user id only."""
    authorize_admin: Callable[[Identity], Any] = is_admin
    """May this identity use the administrators' routes?"""
    member_count: Callable[[str], Any] | None = None
    """How many seats an organization needs now."""
    on_event: Callable[[Event], Any] | None = None
    """Called with every event, after commit, at least once."""
    on_subscription_complete: Callable[[SubscriptionEvent], Any] | None = None
    on_subscription_created: Callable[[SubscriptionEvent], Any] | None = None
    on_subscription_update: Callable[[SubscriptionEvent], Any] | None = None
    on_subscription_cancel: Callable[[SubscriptionEvent], Any] | None = None
    on_subscription_deleted: Callable[[SubscriptionEvent], Any] | None = None
    _given: Mapping[str, Given] = field(alias="given", factory=_nothing_given, repr=False, eq=False)

    @property
    def webhook_url(self) -> str:
        """Where Stripe is to send webhooks."""
        return f"{self.base_url}{self.base_path}{self.webhook_path or '/stripe/webhook'}"
