"""What operations answer: frozen values with aware UTC datetimes, integers, and `Money` for money."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Generic, Literal, TypeVar

from attrs import field, frozen

from .grants import Entry, Source
from .ids import Property
from .money import Money
from .plans import Allowance, BillingInterval, UsageLimit
from .references import Ref, Reference

T = TypeVar("T")

Reason = Literal[
    "ok",
    "unlimited",
    "overage",
    "not_entitled",
    "insufficient_balance",
    "overage_limit",
    "usage_limit",
    "subscription_past_due",
    "subscription_inactive",
    "unavailable",
]
Mode = Literal["record", "require", "cap"]


@frozen
class Balance:
    """How much of a feature there is, in the feature's smallest unit.

    `remaining` is None where the feature is without limit, and never counts overage. `resets_at` is when unused units
    of the current period are lost, None if never. `minimum` is what a balance of credits may not fall below: above 0 it
    has to stay and does not count as remaining, below 0 so much may be overdrawn, as overage.
    """

    feature: str
    included: int
    used: int
    held: int
    remaining: int | None
    unlimited: bool
    resets_at: datetime | None
    overage_used: int
    overage_limit: int | None
    minimum: int = 0

    @property
    def postpaid(self) -> bool:
        """Whether it may be overdrawn, and paid for afterwards."""
        return self.minimum < 0


@frozen
class Decision:
    """The answer of `check`: may `reference` use `required` more of `feature`?

    The only answer with a truth value: `bool(decision)` is `decision.allowed`, which means the whole quantity.
    `message` is one sentence that a person may read. `breakdown` names the buckets that would be drawn from, `limits`
    the usage limits that concern the use: `maximum`, `used` and `remaining` of a window from `startedAt` to `resetsAt`.
    """

    allowed: bool
    reason: Reason
    message: str
    reference: Reference
    feature: str
    required: int
    balance: Balance
    breakdown: Sequence[Mapping[str, object]]
    limits: Sequence[Mapping[str, object]]
    offers: Sequence[str]
    as_of: datetime
    degraded: bool = False

    def __bool__(self) -> bool:
        return self.allowed

    @property
    def remaining(self) -> int | None:
        """How much is left, None without limit: `balance.remaining`."""
        return self.balance.remaining

    @property
    def resets_at(self) -> datetime | None:
        """When the period ends: `balance.resets_at`."""
        return self.balance.resets_at


@frozen
class Usage:
    """The receipt of a recorded use.

    `quantity` is what happened, `funded` the part that balances covered, `unfunded` the rest. `replayed` says that the
    idempotency key had been used, and that this is the first answer again. `alerts` are the percentages of what is
    included that this use reached, `limits` the usage limits that counted it, as they stood after it.

    Of what was given back `quantity` is what was asked for, `funded` what came back, and `restored` the part of it that
    can be used again; it is None for a use.
    """

    event_id: str
    feature: str
    quantity: int
    funded: int
    unfunded: int
    balance: Balance
    replayed: bool
    late: bool
    deductions: Sequence[Mapping[str, object]] = ()
    alerts: Sequence[int] = ()
    limits: Sequence[Mapping[str, object]] = ()
    restored: int | None = None

    @property
    def lapsed(self) -> int:
        """What came back and nobody can use again: what it was drawn from is over."""
        return 0 if self.restored is None else self.funded - self.restored


def _no_properties() -> dict[str, Property]:
    return {}


@frozen
class Reservation:
    """A hold of a reference, as it stands: `held` units until `expires_at`, 0 once it has ended.

    `balance` is what there is of the feature beside it; `usage` the receipt of the call that settled it.
    """

    id: str
    reference: Reference
    feature: str
    held: int
    expires_at: datetime
    balance: Balance
    usage: Usage | None = None


@frozen
class Use:
    """One line for `track_many()`."""

    reference: Ref
    feature: str
    quantity: int = 1
    idempotency_key: str | None = None
    occurred_at: datetime | None = None
    properties: Mapping[str, Property] = field(factory=_no_properties)


@frozen
class UsageEvent:
    """A recorded use as listed. `mode` says how it came, as in `UsageRecord`."""

    id: str
    feature: str
    quantity: int
    occurred_at: datetime
    properties: Mapping[str, Property]
    mode: str


@frozen
class LedgerEntry:
    """A movement of a ledger as listed: by how much `used` and `held` of one period of a grant rose, or fell below 0.

    `source` is what gave the grant (a trial or an override moves what the plan itself gave), `entry` why something
    moved. `amount` and `held` are in the smallest unit of `feature`; `units` are those of the feature that was asked
    for, which differ where credits pay. `used_after`, `held_after` and `included_after` (None without limit) are what
    the period had then. `event_id` is the use or the hold that it was for, `properties` are those of the use. `id` is
    unique within the ledger of a reference.
    """

    id: str
    at: datetime
    entry: Entry
    source: Source
    feature: str
    entity: str | None
    amount: int
    held: int
    units: int
    used_after: int
    held_after: int
    included_after: int | None
    grant_id: str
    event_id: str | None
    properties: Mapping[str, Property]


@frozen
class Grant:
    """Something that a reference was given beside what its plans include.

    `amount` is in the feature's smallest unit, and 1 for a boolean feature. `expires_at` is when what is left of it
    lapses, None if never; of one that was revoked, when that was.
    """

    id: str
    feature: str
    amount: int
    expires_at: datetime | None


@frozen
class Override:
    """What a reference has of a feature instead of what its plans include.

    `amount` is in the feature's smallest unit, True or False for a boolean feature, and None where there is no limit.
    `until` is when it ends, None if it was not said; of one that ended early, when that was.
    """

    id: str
    feature: str
    amount: int | bool | None
    set_at: datetime
    until: datetime | None
    reason: str | None


@frozen
class LimitOverride:
    """What a usage limit of a reference's plans allows instead, in the windows that the plans count.

    `until` is when it ends, None if it was not said; of one that ended early, when that was.
    """

    id: str
    feature: str
    limit: UsageLimit
    set_at: datetime
    until: datetime | None
    reason: str | None


@frozen
class UsageRecord:
    """A use as exported, with everything that is recorded of it.

    `quantity` is negative for what was given back. `funded` of it balances covered, `unfunded` nothing did, `refunded`
    came back since. `mode` says how it came: record, require, cap, settle, set, return or refund; `refund_of` is the
    use that a refund gives back, `hold_id` the hold that was settled.
    """

    id: str
    reference: Reference
    feature: str
    entity: str | None
    quantity: int
    funded: int
    unfunded: int
    refunded: int
    mode: str
    refund_of: str | None
    hold_id: str | None
    idempotency_key: str
    occurred_at: datetime
    received_at: datetime
    properties: Mapping[str, Property]


@frozen
class UsagePoint:
    """How much was used in the hour, day or month that begins at `start`; `group` is the value of a property."""

    start: datetime
    quantity: int
    group: str | None


@frozen
class PendingChange:
    """A change of plan, interval or seats that Stripe carries out at `effective_at`."""

    plan: str
    effective_at: datetime
    interval: BillingInterval | None = None
    seats: int | None = None


@frozen
class Subscription:
    """A subscription as mirrored from Stripe. `status` is Stripe's, verbatim; `plan` is None where none is mapped.

    `resumes_at` is when Stripe collects again by itself; None where collection is not paused, or is until `resume`.
    """

    id: str
    stripe_id: str | None
    reference: Reference
    plan: str | None
    status: str
    display_state: str
    interval: BillingInterval | None
    seats: int | None
    period_start: datetime | None
    period_end: datetime | None
    trial_end: datetime | None
    cancel_at: datetime | None
    grace_ends_at: datetime | None
    pending_change: PendingChange | None
    trial_start: datetime | None = None
    cancel_at_period_end: bool = False
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    stripe_customer_id: str | None = None
    price_id: str | None = None
    group: str = "default"
    duplicate: bool = False
    cancel_reason: str | None = None
    cancel_feedback: str | None = None
    schedule_id: str | None = None
    resumes_at: datetime | None = None


@frozen
class ChangePreview:
    """What a change of plan would cost, asked of Stripe for this moment.

    `amount_due` is charged at once, 0 for a change that takes place at the end of the period. `credit` is what comes
    back for unused time (0 or negative), `next_amount` the next invoice after the change. `lines` are what
    `amount_due` consists of, `features` what is left of every feature before and after. `change(preview=token)`
    charges exactly this, or raises `PreviewStale`.
    """

    plan: str
    effective_at: datetime
    amount_due: Money
    credit: Money
    next_amount: Money
    lines: Sequence[tuple[str, Money]]
    features: Mapping[str, tuple[Balance | None, Balance | None]]
    token: str


@frozen
class Checkout:
    """A checkout: send the browser to `url`. None means that there is nothing to show."""

    url: str | None
    session_id: str | None
    status: Literal["open", "processing", "complete", "expired"]
    subscription: Subscription | None


@frozen
class TaxId:
    """A tax id as Stripe has it: `type` is Stripe's name of its kind, for example "eu_vat".

    `verification` is what the register says: pending, verified, unverified or unavailable; None where there is none.
    """

    id: str
    type: str
    value: str
    verification: str | None


@frozen
class Portal:
    """Stripe's billing portal, for a short while: send the browser to `url`."""

    url: str


InvoiceStatus = Literal["draft", "open", "paid", "uncollectible", "void"]


@frozen
class Invoice:
    """An invoice, its amounts as Stripe counts them. `number` is None until it is finalized.

    `hosted_url` is where it can be looked at and paid. Stripe gives that page a limited life, so it is read anew where
    one invoice is asked for, and None in lists. `reference` is who was billed.
    """

    id: str
    number: str | None
    status: str
    total: Money
    amount_due: Money
    created_at: datetime
    hosted_url: str | None
    amount_paid: Money
    amount_remaining: Money
    period_start: datetime
    period_end: datetime
    due_at: datetime | None = None
    reference: Reference = field(kw_only=True)


@frozen
class PortalConfiguration:
    """The configuration of Stripe's billing portal that was made here: whether it lets customers cancel, and change."""

    id: str
    cancel: bool
    change: bool


@frozen
class Customer:
    """Who is billed, and by what."""

    reference: Reference
    stripe_id: str | None
    email: str | None
    plan: str | None
    subscription: Subscription | None


@frozen
class DeletionBlocker:
    """What stands against deleting a user or an organization: its kind, and Stripe's id of it, or a feature's key.

    A `warning` says what would be lost, and blocks nothing.
    """

    kind: Literal["subscription", "invoice", "balance", "unused_credits"]
    id: str
    message: str
    warning: bool = False


@frozen
class PlanView:
    """A row of a pricing page. A price is None where the plan is not sold in that interval or not imported yet."""

    name: str
    title: str
    monthly: Money | None
    annual: Money | None
    trial_days: int
    features: Mapping[str, Allowance]


@frozen
class PlanPreview:
    """What a change to `plan` would do: the balance of every feature `before` and `after` it, by the feature's key."""

    plan: str
    before: Mapping[str, Balance]
    after: Mapping[str, Balance]

    @property
    def gained(self) -> Sequence[str]:
        """The features that there are only afterwards."""
        return sorted(self.after.keys() - self.before.keys())

    @property
    def lost(self) -> Sequence[str]:
        """The features that there are no more afterwards."""
        return sorted(self.before.keys() - self.after.keys())


@frozen
class Page(Generic[T]):
    """One page of a list; `next_cursor` asks for the next one, None on the last."""

    items: Sequence[T]
    next_cursor: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


@frozen
class Event:
    """What a hook receives: after commit, at least once. Use `id` to be idempotent."""

    id: str
    type: str
    reference: Reference | None
    occurred_at: datetime
    data: Mapping[str, object]


@frozen
class SubscriptionEvent(Event):
    """An event about a subscription, with its state before and after and Stripe's object."""

    subscription: Subscription
    previous: Subscription | None
    stripe_object: Mapping[str, object]


@frozen
class ThresholdEvent(Event):
    """A use reached an alert of a plan ("balance.threshold"): `threshold` percent of what is included, once a period.

    `used` of `included` were used then. `entity` is whose own allowance it is, None for the customer's. `period_end` is
    None where the allowance never starts anew.
    """

    feature: str
    threshold: int
    used: int
    included: int
    period_end: datetime | None
    entity: str | None


@frozen
class DunningEvent(Event):
    """What happened to the payment of an invoice: "dunning.payment_failed", ".action_required" or ".recovered".

    Once for each `attempt` to pay the invoice. `stage` is "final" from `dunning_final_attempt` on, and where Stripe
    will not try again by itself (`next_attempt_at` is None then), else "retry"; None where it was paid after all.
    `hosted_url` is Stripe's page on which it can be paid or confirmed. `subscription_id` is ours, None without one.
    """

    invoice_id: str
    number: str | None
    attempt: int
    stage: Literal["retry", "final"] | None
    next_attempt_at: datetime | None
    amount_due: Money
    hosted_url: str | None
    subscription_id: str | None


@frozen
class CardExpiringEvent(Event):
    """A card that subscriptions are paid with expires soon ("payment_method.expiring"); once for each date on it.

    It is good through the month that it names, so before `expires_at`. `subscription_ids` are ours.
    """

    payment_method_id: str
    brand: str | None
    last4: str | None
    exp_month: int
    exp_year: int
    expires_at: datetime
    subscription_ids: Sequence[str]


@frozen
class AuditEntry:
    """One change: who (`actor`) did what (`action`) to what (`subject`), and how that was before and after.

    `reference` is whose business it was, None for nobody's in particular. `before` is None for what was not there
    before, `after` for what is there no more. Instants in them are UTC microseconds. `cause` is what made us do it: the
    type of a webhook, whose `event_id` stands beside it, or an operation such as "cancel"; None where nobody said.
    """

    id: str
    at: datetime
    actor: str
    action: str
    reference: Reference | None
    subject: str
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None
    cause: str | None = None
    event_id: str | None = None


@frozen
class SubscriptionChange:
    """One change of a subscription, as the history keeps it for good.

    `at` is when we learned of it and `effective_at` from when on it holds. `from_` members are None for what was not
    there before. `actor` and `cause` are those of `AuditEntry`. `kind` is "changed", "trial_will_end" for the notice
    that hooks were told, or "duplicate" where it became the second live one of its group.
    """

    id: str
    subscription_id: str
    kind: Literal["changed", "trial_will_end", "duplicate"]
    at: datetime
    effective_at: datetime
    actor: str
    cause: str | None
    event_id: str | None
    from_plan: str | None
    to_plan: str | None
    from_status: str | None
    to_status: str | None
    from_seats: int | None
    to_seats: int | None


@frozen
class Receipt:
    """What became of a received webhook."""

    event_id: str
    status: Literal["applied", "skipped", "unmatched", "queued", "ignored"]


@frozen
class WebhookEvent:
    """An event of Stripe's as stored.

    `status` is one of received, processing, processed, ignored, unmatched, failed and dead; `source` says how it came:
    webhook, list or thin. `error` is why it failed, or is ignored: a code and a class, and nothing of a person.
    `next_attempt_at` is when one that failed is tried again by itself.
    """

    id: str
    type: str
    status: str
    source: str
    object: str
    object_id: str
    attempts: int
    error: str | None
    created_at: datetime
    received_at: datetime
    next_attempt_at: datetime | None


@frozen
class WebhookHealth:
    """How webhooks are doing.

    `counts` says how many events there are in each status, `waiting` how many are to be worked on, `lag_seconds` how
    long the oldest of them waits, 0 where none does. `dead` ones failed for good and `unmatched` ones are of customers
    that nobody linked; `failures_last_day` are those of the last 24 hours that are failed or dead now.

    `hooks_waiting` says how many events of ours hooks were not handed yet, and `hooks_lag_seconds` how long the oldest
    of them waits: a hook that raises holds up all later events of its customer.
    """

    last_received_at: datetime | None
    last_processed_at: datetime | None
    waiting: int
    lag_seconds: int
    dead: int
    unmatched: int
    failures_last_day: int
    counts: Mapping[str, int]
    hooks_waiting: int
    hooks_lag_seconds: int
