"""A subscription's life by Stripe's documentation and the requirements, in plain Python.

Time is UTC seconds. Nothing is ever given back here, as the plans of the machine say, so that the model knows without
counting money whether a change or a renewal costs something.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from attrs import define, field, frozen
from dateutil.relativedelta import relativedelta

from tests.convergence.model import DAY, DRAFT, GRACE, RETRIES

LIMITS = {"free": 5, "pro": 50, "team": 500, "max": 5_000}
"""How many projects each plan includes."""
RANKS = ("free", "pro", "team", "max")
TRIAL_DAYS = 14
LEAST, MOST = 2, 20
"""The seats of the plan "team"."""
Interval = Literal["month", "year"]
Status = Literal["trialing", "active", "past_due", "canceled"]


@frozen
class Deal:
    """What is sold."""

    plan: str
    interval: Interval = "month"
    seats: int = 1


@define
class Life:
    """One subscription."""

    deal: Deal
    anchor: int
    trial_end: int | None = None
    status: Status = "active"
    pending: Deal | None = None
    ends: bool = False
    card: bool = True
    paused: bool = False
    resumes_at: int | None = None
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
        """Whether it is paid for, and nothing waits to be."""
        return self.status in ("trialing", "active") and self.draft_until is None

    @property
    def period_end(self) -> int:
        """When the running period ends: counted from the anchor, so that the 31st comes back."""
        if self.status == "trialing" and self.trial_end is not None:
            return self.trial_end
        months = (self.period + 1) * (12 if self.deal.interval == "year" else 1)
        return int((datetime.fromtimestamp(self.anchor, tz=UTC) + relativedelta(months=months)).timestamp())

    @property
    def coming(self) -> Deal | None:
        """The change that people are told of."""
        return self.pending if self.is_live and self.pending != self.deal else None

    @property
    def display(self) -> str:
        """One word for it, by the table in Part 4 of the requirements."""
        if self.status == "canceled":
            return "canceled"
        if self.paused:
            return "paused"
        if self.ends:
            return "cancel_pending"
        if self.status != "past_due" and self.coming is not None:
            lower = RANKS.index(self.coming.plan) < RANKS.index(self.deal.plan)
            return "downgrading" if lower else "changing"
        return self.status

    def costs(self, wanted: Deal) -> bool:
        """Whether a change now is charged: the dearest plan is, and a period that begins anew."""
        return self.status != "trialing" and (wanted.plan == "max" or wanted.interval != self.deal.interval)

    def change(self, wanted: Deal, now: int) -> None:
        """Sell something else from now on. Another interval begins a period, except in a trial."""
        if self.status != "trialing" and wanted.interval != self.deal.interval:
            self.anchor, self.period = now, 0
        self.deal, self.pending = wanted, None

    def change_seats(self, seats: int) -> None:
        """Charge for other seats, now and after the change that is to come."""
        if seats == self.deal.seats:
            return
        self.deal = Deal(self.deal.plan, self.deal.interval, seats)
        if self.pending is not None and self.pending.plan == "team":
            self.pending = Deal("team", self.pending.interval, seats)

    def next_due(self) -> int | None:
        """When something happens by itself."""
        if not self.is_live:
            return None
        retry = None if self.failed_at is None else self.failed_at + RETRIES[self.tried]
        return min(each for each in (self.period_end, self.draft_until, retry, self.resumes_at) if each is not None)

    def happen(self, now: int) -> None:
        """What is due now."""
        if now == self.resumes_at:
            self.resume()
        elif now == self.draft_until:
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
            self._renew(now)

    def _renew(self, now: int) -> None:
        wanted, self.pending = self.pending or self.deal, None
        if self.status == "trialing" or wanted.interval != self.deal.interval:
            self.anchor, self.period = now, 0
        else:
            self.period += 1
        if self.status == "trialing":
            self.status = "active"
        self.deal, self.draft_until = wanted, now + DRAFT

    def resume(self) -> None:
        """Collect again."""
        self.paused, self.resumes_at = False, None

    def pay(self) -> None:
        """What was open is paid."""
        self.status, self.failed_at, self.tried = "active", None, 0

    def end(self) -> None:
        """It is over."""
        self.status, self.failed_at, self.draft_until, self.resumes_at = "canceled", None, None, None


@define
class Model:
    """An organization: its subscriptions, its members as far as they were told, and whether it ever tried."""

    now: int
    lives: list[Life] = field(factory=list[Life])
    members: int | None = None
    tried: bool = False

    @property
    def newest(self) -> Life | None:
        """The subscription that was bought last."""
        return self.lives[-1] if self.lives else None

    @property
    def live(self) -> Life | None:
        """The subscription, while it has not ended."""
        return self.newest if self.newest is not None and self.newest.is_live else None

    @property
    def limit(self) -> int:
        """How many projects there may be: a pause takes a plan away at once, a failed payment after a week."""
        one = self.live
        if one is None or one.paused or (one.failed_at is not None and self.now >= one.failed_at + GRACE):
            return LIMITS["free"]
        return LIMITS[one.deal.plan]

    def meant(self, deal: Deal) -> Deal:
        """What a deal comes to: where the members were told of, seats follow them, whatever is asked for."""
        if deal.plan != "team" or self.members is None:
            return deal
        return Deal("team", deal.interval, min(max(self.members, LEAST), MOST))

    def buy(self, deal: Deal, *, trial: bool, card: bool) -> None:
        """Buy a plan; the first time it may be tried."""
        deal = self.meant(deal)
        end = self.now + TRIAL_DAYS * DAY if trial else None
        self.tried = self.tried or end is not None
        status: Status = "active" if end is None else "trialing"
        self.lives.append(Life(deal, end or self.now, trial_end=end, status=status, card=card))

    def advance(self, until: int) -> None:
        """Let time pass, from due to due."""
        one = self.newest
        while one is not None and (due := one.next_due()) is not None and due <= until:
            one.happen(due)
        self.now = until
