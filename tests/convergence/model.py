"""What a customer has by Stripe's documentation and our plans, in plain Python: what the rest is held to."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from attrs import define, field
from dateutil.relativedelta import relativedelta

HOUR, DAY = 3_600, 86_400
DRAFT = HOUR
"""A renewal is billed so long before it is charged."""
RETRIES = tuple(days * DAY for days in (1, 3, 5, 7, 9, 11, 13, 14))
"""So long after the first failure it is charged again; after the last it is cancelled."""
GRACE = 7 * DAY
LIMITS = {"free": 5, "pro": 50, "team": 500}
"""How many projects each plan includes."""
Status = Literal["active", "past_due", "canceled"]


@define
class Subscription:
    """One subscription; times are UTC seconds."""

    plan: str
    anchor: int
    seats: int = 1
    status: Status = "active"
    ends: bool = False
    """Whether it is cancelled at the end of its period."""
    paused: bool = False
    card: bool = True
    """Whether its card pays."""
    period: int = 0
    draft_until: int | None = None
    failed_at: int | None = None
    tried: int = 0

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.status != "canceled"

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits to be paid."""
        return self.status == "active" and self.draft_until is None

    @property
    def period_end(self) -> int:
        """When the running period ends: counted from the anchor, so that the 31st comes back."""
        start = datetime.fromtimestamp(self.anchor, tz=UTC)
        return int((start + relativedelta(months=self.period + 1)).timestamp())

    def next_due(self) -> int | None:
        """When something happens by itself."""
        if not self.is_live:
            return None
        retry = None if self.failed_at is None else self.failed_at + RETRIES[self.tried]
        return min(each for each in (self.period_end, self.draft_until, retry) if each is not None)

    def happen(self, now: int) -> None:
        """What is due now."""
        if now == self.draft_until:
            self.draft_until = None
            if not self.paused and not self.card:
                self.status, self.failed_at, self.tried = "past_due", now, 0
        elif self.failed_at is not None and now == self.failed_at + RETRIES[self.tried]:
            self.tried += 1
            if self.card:
                self.pay()
            elif self.tried == len(RETRIES):
                self.end()
        elif self.ends:
            self.end()
        else:
            self.period += 1
            self.draft_until = now + DRAFT

    def pay(self) -> None:
        """What was open is paid."""
        self.status, self.failed_at, self.tried = "active", None, 0

    def end(self) -> None:
        """It is over."""
        self.status, self.failed_at, self.draft_until = "canceled", None, None


@define
class Model:
    """A customer: its subscription, the newest one, and what it uses."""

    now: int
    subscription: Subscription | None = None
    projects: int = 0
    messages: int = 0
    ever: list[Subscription] = field(factory=list[Subscription])

    @property
    def live(self) -> Subscription | None:
        """The subscription, while it has not ended."""
        return self.subscription if self.subscription is not None and self.subscription.is_live else None

    @property
    def plan(self) -> str:
        """The plan that counts now. A pause takes it away, and a failed payment only after a week."""
        one = self.live
        if one is None or one.paused or (one.failed_at is not None and self.now >= one.failed_at + GRACE):
            return "free"
        return one.plan

    @property
    def limit(self) -> int:
        """How many projects there may be."""
        return LIMITS[self.plan]

    def subscribe(self, plan: str) -> None:
        """Buy a plan with a good card."""
        self.subscription = Subscription(plan, self.now)
        self.ever.append(self.subscription)

    def advance(self, until: int) -> None:
        """Let time pass, from due to due."""
        one = self.subscription
        while one is not None and (due := one.next_due()) is not None and due <= until:
            one.happen(due)
        self.now = until
