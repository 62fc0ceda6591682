"""The values of a configuration, once they are all valid."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Literal

from attrs import field, frozen

from ..domain.answers import Customer, Event, SubscriptionEvent
from ..domain.clawback import Clawback
from ..domain.customers import NewCustomer
from ..domain.kavach import SubscriptionInfo
from ..domain.plan_change import PlanChange
from ..domain.plans import Feature, Plan, TopUp
from ..domain.references import Action, CustomerType, Identity
from ..domain.seats import SeatChangeBehavior
from ..domain.secret import REDACTED, Secret
from ..domain.selling import AddressCollection, CheckoutContext, Page, PaymentMethodCollection, Selling
from ..domain.subscriptions import WhilePaused
from ..domain.trials import AfterTrial, MissingPaymentMethod, RepeatedCard, TrialPolicy, TrialScope, WhenBought
from ..domain.webhooks import WebhookMode
from ..ports.telemetry import Telemetry
from .spellings import Given

DATABASE = "sqlite:///billing.db"
BASE_URL = "http://localhost:8000"
GRACE_PERIOD = timedelta(days=7)
EVENT_RETENTION = timedelta(days=30)
USAGE_RETENTION = timedelta(days=400)
CARD_EXPIRY_NOTICE = timedelta(days=30)
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


def _shown_bus(value: object) -> str:
    return "None" if value is None else _shown_database(value)


def _shown_client(value: object) -> str:
    return "None" if value is None else f"<{type(value).__name__}>"


def _shown_telemetry(value: object) -> str:
    return repr(value) if isinstance(value, str) else f"<{type(value).__name__}>"


def _nothing_given() -> dict[str, Given]:
    return {}


def _no_columns() -> dict[CustomerType, str]:
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
    event_bus: Any = field(default=None, repr=_shown_bus)
    """How events reach other processes: "memory://", the URL of a Redis ("redis://…") or NATS ("nats://…") server,
    "postgresql" for the table of events in our own database, or an object with the methods of
    `kernia_billing.ports.bus.Bus`. None: hooks only, and what the host publishes is done at once."""
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
    cors: bool = False
    """Whether browsers may call from pages on the trusted origins. Leave it off where the application answers that."""
    kavach_routes: bool = False
    """Whether the four routes of kavachOS, `/auth/stripe/…`, are there."""
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
    plan_change: PlanChange = field(factory=PlanChange)
    """How changes of plan are billed."""
    default_currency: str = "usd"
    """The currency, in lower case, of amounts that name none."""
    grace_period: timedelta = GRACE_PERIOD
    """How long a subscription works on after the first failed payment."""
    while_paused: WhilePaused = "deny"
    """What a subscription gives whose collection is paused (`subscriptions.pause`, or the Dashboard): "deny" nothing,
    so that the default plan counts, "allow" its plan. The status "paused" always gives nothing."""
    dunning_final_attempt: int = 3
    """From which attempt on a failed payment is told of as "final"; earlier ones are "retry"."""
    card_expiry_notice: timedelta = CARD_EXPIRY_NOTICE
    """How long before a card that a subscription is paid with expires hooks are told. A length of 0 is never."""
    direct_cancel: Literal["period_end", "now"] | None = None
    """How `POST /subscription/cancel` cancels by itself. None: it opens Stripe's page for it."""
    portal_configuration: str | None = None
    """The id of a portal configuration at Stripe ("bpc_…") to open the portal with. None: the one that
    `configure_portal` made, else the Dashboard's."""
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
    allow_promotion_codes: bool = False
    """Whether a page for a plan has a field for promotion codes."""
    payment_method_collection: PaymentMethodCollection = "always"
    """"if_required" asks for no card where nothing is due today, such as for a trial."""
    billing_address_collection: AddressCollection = "auto"
    """"required" asks for the whole address; "auto" for what the payment needs."""
    tax_id_collection: bool = False
    """Whether a page asks businesses for their tax id."""
    automatic_tax: bool = False
    """Whether Stripe Tax computes what is due."""
    checkout_locale: str | None = None
    """The language of pages for which no other was asked. None: that of the browser."""
    checkout_rate_limit: int | None = None
    """How many pages of Checkout and of the portal one person has opened over HTTP in a minute at most, by this
    process. None: 10, and any number with a simulator."""
    get_checkout_session_params: Callable[[CheckoutContext], Any] | None = None
    """Further parameters of the Stripe checkout session that sells a plan. What the library decides stays as it is."""
    trial_once_per: tuple[TrialScope, ...] = ("reference",)
    """The scopes of which each has one trial at most: "reference", "group" (of plans), "plan", "user", "email", "card".
    Empty: as many trials as somebody asks for."""
    trial_missing_payment_method: MissingPaymentMethod | None = None
    """What happens to a trial that ends without a payment method. None leaves it to Stripe, which makes an invoice."""
    behavior_after_trial: AfterTrial = "release"
    """"cancel" ends a subscription with its trial, without an invoice; "release" lets it be paid for."""
    trial_repeated_card: RepeatedCard = "cancel"
    """With "card" in `trial_once_per`, what becomes of a trial whose card has had one: "cancel" ends the subscription,
    "end" lets it be paid for at once, "record" only tells hooks."""
    trial_when_bought: WhenBought = "end"
    """What becomes of a trial without Stripe whose plan is bought: with "end" what is paid for begins at once, with
    "continue" the trial goes on to its end at Stripe, and is paid for then."""
    clawback: Clawback = "unused"
    """What of a top-up is taken back with its payment: what is "unused", "all", or "none"."""
    create_customer_on_sign_up: bool = True
    """Whether `customers.signed_up` makes a Stripe customer at once; else the first purchase does."""
    reuse_customers_by_email: bool = True
    """Whether a Stripe customer that nobody owns is taken over by the user whose verified address it has."""
    get_customer_create_params: Callable[[NewCustomer, Any], Any] | None = None
    """What else a user's new Stripe customer gets: parameters of Stripe's, under which ours win."""
    on_customer_create: Callable[[Customer, Any], Any] | None = None
    """Called with a user's customer, and what Stripe says of it, once it is made."""
    organization_name: Callable[[str], Any] | None = None
    """What an organization is called; None where there is no such organization."""
    organization_create_params: Callable[[NewCustomer, Any], Any] | None = None
    """`get_customer_create_params` for organizations."""
    on_organization_customer_create: Callable[[Customer, Any], Any] | None = None
    """`on_customer_create` for organizations."""
    auto_create_customer: bool = True
    """kavachOS: whether `kavach.create_checkout_session` makes a customer for who has none."""
    mirror_columns: Mapping[CustomerType, str] = field(factory=_no_columns)
    """Columns of your own tables, in the same database, that hold Stripe's customer id: by "user" and "organization",
    each as `table.column`, `table.column:key` or `schema.table.column:key`; the key is `id` unless it is named."""
    kavach_columns: str | None = None
    """kavachOS: your table of users, in the same database, whose six columns `stripe_…` are kept in step: as `table`,
    `table:key` or `schema.table:key`; the key is `id` unless it is named. Dates in columns without a zone are UTC."""
    require_email_verification: bool = False
    """Whether an upgrade over HTTP needs a verified email address."""
    authorize_reference: Callable[[Identity, str, Action], Any] | None = None
    """May this identity do this for this reference? Without it a caller may act for its own user id only."""
    authorize_admin: Callable[[Identity], Any] = is_admin
    """May this identity use the administrators' routes?"""
    member_count: Callable[[str], Any] | None = None
    """How many seats an organization needs now."""
    seat_change_behavior: SeatChangeBehavior = "exact"
    """Whether seats that follow the members go up and down with them, or only up ("incremental")."""
    on_event: Callable[[Event], Any] | None = None
    """Called with every event, after commit, at least once."""
    on_subscription_change: Callable[[str, SubscriptionInfo], Any] | None = None
    """kavachOS: called with the reference's id and what its subscription is now, once for every real change."""
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

    @property
    def selling(self) -> Selling:
        """How things are sold."""
        page = Page(
            allow_promotion_codes=self.allow_promotion_codes,
            payment_method_collection=self.payment_method_collection,
            billing_address_collection=self.billing_address_collection,
            tax_id_collection=self.tax_id_collection,
            automatic_tax=self.automatic_tax,
            locale=self.checkout_locale,
        )
        trials = TrialPolicy(
            once_per=self.trial_once_per,
            missing_payment_method=self.trial_missing_payment_method,
            after=self.behavior_after_trial,
            repeated_card=self.trial_repeated_card,
            when_bought=self.trial_when_bought,
        )
        return Selling(page, trials, self.clawback, self.get_checkout_session_params)
