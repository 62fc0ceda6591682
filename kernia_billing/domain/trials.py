"""Who may try: the scopes within which there is one trial, and how they are written down.

A scope is kept as a keyed hash of what it names, never as the e-mail address or the card itself.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Literal

from attrs import evolve, frozen

from .instants import DAY, FOREVER, HOUR, SECOND, Instant
from .references import Identity, Reference
from .subscriptions import CancelFeedback, CancelWhen, SubscriptionRow

TrialScope = Literal["reference", "group", "plan", "user", "email", "card"]
MissingPaymentMethod = Literal["cancel", "pause", "create_invoice"]
AfterTrial = Literal["release", "cancel"]
RepeatedCard = Literal["record", "end", "cancel"]
WhenBought = Literal["end", "continue"]
"""What becomes of a trial without Stripe whose plan is bought."""
OWN: tuple[TrialScope, ...] = ("reference", "group", "plan")
"""The scopes of a reference alone, which every trial is recorded in."""
_LEAST_REST = 2 * DAY + HOUR
"""What has to be left of a trial for it to go on at Stripe: no page of Stripe's takes an end less than two days ahead
(Stripe, "Create a Checkout Session", `subscription_data.trial_end`). The hour is for clocks that differ."""


@frozen
class TrialPolicy:
    """What trials are subject to. `once_per` are the scopes of which each has one trial at most."""

    once_per: tuple[TrialScope, ...] = ("reference",)
    missing_payment_method: MissingPaymentMethod | None = None
    after: AfterTrial = "release"
    repeated_card: RepeatedCard = "cancel"
    when_bought: WhenBought = "end"


@frozen
class TrialRow:
    """One row a scope that has its trial. `holder` is the checkout that claimed it, then the subscription that has it.

    `started_at` is None as long as the trial is only claimed.
    """

    scope_key: str
    scope: TrialScope
    customer_id: str
    plan: str
    holder: str
    claimed_at: Instant
    started_at: Instant | None


@frozen
class LocalTrial:
    """A trial without Stripe, of the version of the plan that there was when it began.

    It ends at `ends_at` by time alone, or at `ended_at` where it was cancelled or a purchase took its place before.
    `canceled_at` is when it was cancelled; without an `ended_at` it goes on to its end all the same. `due_at` is when a
    job looks at it next, to tell of its end.
    """

    id: str
    customer_id: str
    group: str
    plan: str
    plan_version_id: str
    seats: int
    started_at: Instant
    ends_at: Instant
    ended_at: Instant | None
    due_at: Instant
    canceled_at: Instant | None = None
    cancel_feedback: CancelFeedback | None = None

    def runs(self, now: Instant) -> bool:
        """Whether it gives its plan."""
        return self.ended_at is None and now < self.ends_at

    @property
    def promised_until(self) -> Instant:
        """Its end as Stripe can keep it: in whole seconds."""
        return self.ends_at // SECOND * SECOND

    def can_go_on(self, now: Instant) -> bool:
        """Whether enough is left of it for a page of Stripe's."""
        return self.runs(now) and self.promised_until - now >= _LEAST_REST

    def goes_on_as(self, row: SubscriptionRow) -> bool:
        """Whether a subscription is this trial, with the very end that was promised."""
        return row.status == "trialing" and row.plan == self.plan and row.trial_end == self.promised_until

    def ended(self, at: Instant) -> LocalTrial:
        """It when it is over."""
        return evolve(self, ended_at=at, due_at=FOREVER)

    def kept(self) -> LocalTrial:
        """It without its cancellation."""
        return evolve(self, canceled_at=None, cancel_feedback=None)

    def canceled(self, when: CancelWhen, feedback: CancelFeedback | None, now: Instant) -> LocalTrial:
        """It once it was cancelled; what is over, or is cancelled like this already, stays as it is."""
        if not self.runs(now) or (when == "period_end" and self.canceled_at is not None):
            return self
        after = evolve(self, canceled_at=now, cancel_feedback=feedback or self.cancel_feedback)
        return after.ended(now) if when == "now" else after

    def as_row(self, now: Instant) -> SubscriptionRow:
        """What it is to whoever looks at subscriptions: one without an id of Stripe's, which is never stored."""
        over = None if self.runs(now) else self.ended_at or self.ends_at
        ends_early = self.ended_at is not None and self.ended_at < self.ends_at
        is_pending = self.canceled_at is not None and not ends_early
        return SubscriptionRow(
            id=self.id,
            customer_id=self.customer_id,
            stripe_subscription_id="",
            group=self.group,
            plan=self.plan,
            plan_version_id=self.plan_version_id,
            status="trialing" if over is None else "canceled",
            interval=None,
            price_id=None,
            item_id=None,
            seats=self.seats,
            period_start=self.started_at,
            period_end=self.ends_at,
            trial_start=self.started_at,
            trial_end=self.ends_at,
            cancel_at_period_end=is_pending,
            cancel_at=self.ends_at if is_pending else None,
            canceled_at=self.canceled_at,
            ended_at=over,
            billing_cycle_anchor=self.started_at,
            past_due_since=None,
            pause_behavior=None,
            schedule_id=None,
            duplicate=False,
            created_at=self.started_at,
            updated_at=over or self.canceled_at or self.started_at,
            cancel_reason=None if self.canceled_at is None else "cancellation_requested",
            cancel_feedback=self.cancel_feedback,
        )


def scope_key(secret: bytes, scope: TrialScope, *parts: str) -> str:
    """The key of a scope: a keyed hash, so that whoever reads the table cannot look for an address in it."""
    text = "\x1f".join((scope, *parts))
    return f"{scope}:{hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()}"


def own_keys(secret: bytes, reference: Reference, group: str, plan: str) -> dict[TrialScope, str]:
    """The keys of a reference by itself, for all its plans, the group of a plan, and the plan."""
    who = (reference.type, reference.id)
    return {
        "reference": scope_key(secret, "reference", *who),
        "group": scope_key(secret, "group", *who, group),
        "plan": scope_key(secret, "plan", *who, plan),
    }


def person_keys(secret: bytes, reference: Reference, identity: Identity | None) -> dict[TrialScope, str]:
    """The keys of the person who buys: of the account, and of a verified address. For users that is the reference."""
    keys: dict[TrialScope, str] = {}
    user = identity.user_id if identity is not None else reference.id if reference.type == "user" else None
    if user is not None:
        keys["user"] = scope_key(secret, "user", user)
    if identity is not None and identity.email is not None and identity.email_verified is True:
        keys["email"] = scope_key(secret, "email", normal_email(identity.email))
    return keys


def card_key(secret: bytes, fingerprint: str) -> str:
    """The key of a card, or a bank account, by Stripe's fingerprint of it."""
    return scope_key(secret, "card", fingerprint)


def normal_email(address: str) -> str:
    """An address in the form in which two spellings of one mailbox are equal.

    Lower case, and without what follows a plus sign in the local part; Google's mailboxes ignore dots too. What is left
    is a guess: some mail systems tell such addresses apart.
    """
    local, _, domain = address.strip().lower().rpartition("@")
    local = local.partition("+")[0]
    if domain in ("gmail.com", "googlemail.com"):
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"
