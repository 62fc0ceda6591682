"""What a client gets: one type an answer, with names in camelCase."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from ..domain.references import CustomerType

Date = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Lines = Annotated[list[dict[str, Any]], Meta(description="Free-form, for display and logs.")]


class BalanceView(Struct, rename="camel", frozen=True):
    """What is left of a feature. `included` and `remaining` are null where it has no limit."""

    included: int | None
    used: int
    held: int
    remaining: int | None
    unlimited: bool
    resets_at: Date | None


class OverageView(Struct, rename="camel", frozen=True):
    """Use beyond what is included; `limit` is null where it has none."""

    allowed: bool
    used: int
    limit: int | None


class PreviewView(Struct, rename="camel", frozen=True):
    """What would help: the plans that include more."""

    offers: list[str]


class CheckView(Struct, rename="camel", frozen=True):
    """The answer of a check. A denial is a 200 with `allowed` false.

    `minimum` is what a balance of credits may not fall below: above 0 it has to stay and does not count as remaining,
    below 0 so much may be overdrawn, as overage.
    """

    allowed: bool
    reason: str
    message: str
    feature: str
    reference_id: str
    customer_type: CustomerType
    required: int
    unlimited: bool
    included: int | None
    used: int
    held: int
    remaining: int | None
    overage: OverageView
    minimum: int
    resets_at: Date | None
    breakdown: Lines
    limits: Lines
    degraded: bool
    as_of: Date
    preview: PreviewView | UnsetType = UNSET


class TrackView(Struct, rename="camel", frozen=True):
    """The receipt of a recorded use."""

    event_id: str
    feature: str
    reference_id: str
    quantity: int
    funded: int
    unfunded: int
    replayed: bool
    late: bool
    balance: BalanceView
    deductions: Lines


class ReservationView(Struct, rename="camel", frozen=True):
    """What is set aside: `held` is 0 once it has ended. `usage` is the receipt of what was settled."""

    reservation_id: str
    feature: str
    reference_id: str
    held: int
    expires_at: Date
    balance: BalanceView
    usage: TrackView | UnsetType = UNSET


class SubscriptionView(Struct, rename="camel", frozen=True):
    """A subscription. `limits` is absent when the plan is gone, `priceId` when the price is not known.

    `resumesAt` is there only while the collection of payments is paused until a day.
    """

    id: str
    plan: str | None
    reference_id: str
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    status: str
    period_start: Date | None
    period_end: Date | None
    trial_start: Date | None
    trial_end: Date | None
    cancel_at_period_end: bool
    cancel_at: Date | None
    canceled_at: Date | None
    ended_at: Date | None
    seats: int | None
    billing_interval: Literal["month", "year"] | None
    stripe_schedule_id: str | None
    limits: dict[str, Any] | UnsetType = UNSET
    price_id: str | UnsetType = UNSET
    resumes_at: Date | UnsetType = UNSET


class StripeSubscriptionView(Struct, frozen=True):
    """Stripe's own subscription object, as Stripe shows it: in snake_case, with more members than are named here."""

    id: str
    object: Literal["subscription"]
    status: str
    cancel_at_period_end: bool
    cancel_at: int | None
    canceled_at: int | None
    schedule: str | None


class CustomerView(Struct, rename="camel", frozen=True):
    """Who is billed. Everything that is not there yet is null."""

    reference_id: str
    customer_type: CustomerType
    stripe_customer_id: str | None
    plan: str | None
    subscription: SubscriptionView | None
    portal_available: bool
    features: dict[str, BalanceView]


class UsageEventView(Struct, rename="camel", frozen=True):
    """A recorded use."""

    id: str
    feature: str
    quantity: int
    occurred_at: Date
    properties: dict[str, str | int | bool]


class UsageView(Struct, rename="camel", frozen=True):
    """A page of recorded uses."""

    events: list[UsageEventView]
    next_cursor: str | None


class UsagePointView(Struct, rename="camel", frozen=True, omit_defaults=True):
    """What was used in the piece of time that begins at `start`. `group`: the value of the property asked for."""

    start: Date
    quantity: int
    group: str | UnsetType | None = UNSET


class UsageSeriesView(Struct, rename="camel", frozen=True):
    """What was used over time, oldest first, 0 where nothing was."""

    series: list[UsagePointView]


class MoneyView(Struct, rename="camel", frozen=True):
    """An amount in the currency's minor unit."""

    amount: int
    currency: str


class InvoiceView(Struct, rename="camel", frozen=True):
    """An invoice. Amounts are in the minor unit of `currency`, below 0 for a credit."""

    id: str
    number: str | None
    status: str
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    created_at: Date
    period_start: Date
    period_end: Date
    due_at: Date | None


class InvoicesView(Struct, rename="camel", frozen=True):
    """A page of invoices."""

    invoices: list[InvoiceView]
    next_cursor: str | None


class FoundInvoiceView(InvoiceView, rename="camel", frozen=True, kw_only=True):
    """An invoice, and who was billed."""

    reference_id: str
    customer_type: CustomerType


class FoundInvoicesView(Struct, rename="camel", frozen=True):
    """A page of invoices of all references."""

    invoices: list[FoundInvoiceView]
    next_cursor: str | None


class RedirectView(Struct, rename="camel", frozen=True):
    """Where to send the browser. The official client goes there by itself when `redirect` is true."""

    url: str | None
    redirect: bool
    id: str | UnsetType = UNSET
    object: Literal["checkout.session"] | UnsetType = UNSET
    status: str | UnsetType = UNSET
    subscription: SubscriptionView | UnsetType = UNSET


class PlanPricesView(Struct, rename="camel", frozen=True):
    """What a plan costs; null where it is not sold in that interval."""

    monthly: MoneyView | None
    annual: MoneyView | None


class AllowanceView(Struct, rename="camel", frozen=True, omit_defaults=True):
    """What a plan gives of a feature. A boolean feature has a kind only."""

    kind: str
    included: int | UnsetType | None = UNSET
    unlimited: bool | UnsetType = UNSET
    per_seat: bool | UnsetType = UNSET
    reset_period: str | UnsetType = UNSET
    allow_overage: bool | UnsetType = UNSET
    overage_limit: int | UnsetType | None = UNSET


class PlanRowView(Struct, rename="camel", frozen=True):
    """A row of a pricing page."""

    name: str
    title: str
    prices: PlanPricesView
    features: dict[str, AllowanceView]
    trial_days: int


class PlansView(Struct, rename="camel", frozen=True):
    """What is sold."""

    plans: list[PlanRowView]


class ProductView(Struct, rename="camel", frozen=True):
    """An imported product."""

    id: str
    active: bool
    name: str
    description: str | None
    created_at: Date


class ProductsView(Struct, rename="camel", frozen=True):
    """A page of products."""

    products: list[ProductView]
    next_cursor: str | None


class PriceView(Struct, rename="camel", frozen=True):
    """An imported price. `unitAmount` is in the minor unit, null where it is decimal, tiered or chosen by the buyer."""

    id: str
    product_id: str
    active: bool
    currency: str
    type: str
    unit_amount: int | None
    unit_amount_decimal: str | None
    interval: str | None
    interval_count: int | None
    usage_type: str | None
    billing_scheme: str
    lookup_key: str | None
    created_at: Date


class PricesView(Struct, rename="camel", frozen=True):
    """A page of prices."""

    prices: list[PriceView]
    next_cursor: str | None


class SyncView(Struct, rename="camel", frozen=True):
    """What an import did."""

    products: int
    prices: int
    created: int
    updated: int
    deactivated: int
    synced_at: Date | None


class ReceivedView(Struct, rename="camel", frozen=True):
    """A webhook was taken in; `skipped` when it had been before."""

    received: bool = True
    skipped: bool | UnsetType = UNSET


class WebhookHealthView(Struct, rename="camel", frozen=True):
    """How webhooks are doing. `counts` are by status; `lagSeconds` is how long the oldest that waits has waited.

    `hooksWaiting` and `hooksLagSeconds` say the same of the events for the application's own hooks.
    """

    last_received_at: Date | None
    last_processed_at: Date | None
    waiting: int
    lag_seconds: int
    dead: int
    unmatched: int
    failures_last_day: int
    counts: dict[str, int]
    hooks_waiting: int
    hooks_lag_seconds: int


class KavachCheckoutView(Struct, rename="camel", frozen=True):
    """kavachOS: a checkout; send the browser to `url`."""

    url: str
    session_id: str


class KavachPortalView(Struct, rename="camel", frozen=True):
    """kavachOS: the billing portal; send the browser to `url`."""

    url: str


class KavachInfoView(Struct, rename="camel", frozen=True):
    """kavachOS: a subscription that has not ended."""

    id: str
    status: str
    price_id: str
    current_period_end: Date
    cancel_at_period_end: bool


class KavachSubscriptionView(Struct, rename="camel", frozen=True):
    """kavachOS: what the caller is subscribed to, if anything."""

    subscription: KavachInfoView | None


class KavachProblemView(Struct, rename="camel", frozen=True):
    """kavachOS: a refusal."""

    error: str


class ProblemView(Struct, rename="camel", frozen=True):
    """A refusal. More members may follow, such as `field`, `reason`, or `alias`: another name of the same code."""

    code: str
    message: str
    request_id: str
    retryable: bool
