"""What of a running period moves along when another plan, or another number of seats, takes its place.

The buckets of the old plan are closed and keep their history; the new plan has new ones, which start as said here.
"""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from .buckets import carry_usage, rescale
from .instants import Instant
from .plans import FeatureKind, PlanChangePolicy, ProrationBehavior
from .rollover import DebtMode

Collection = Literal["charge_automatically", "send_invoice"]
When = Literal["auto", "now", "period_end"]
PendingInterval = Literal["day", "week", "month"]
"""How often a yearly subscription can be billed for what it has to pay beside the year."""


@frozen
class Wanted:
    """A change as it is asked for.

    None for `annual` and `seats` keeps what there is; None for `subscription_id`, ours or Stripe's, is the live one of
    the plan's group; None for `proration_behavior` leaves it to the options.
    """

    plan: str
    when: When = "auto"
    annual: bool | None = None
    seats: int | None = None
    subscription_id: str | None = None
    proration_behavior: ProrationBehavior | None = None


@frozen(kw_only=True)
class PlanPair:
    """What is said of the change from one plan to another one, by their names; None leaves it to the other options.

    Both may be the same plan: then it is said of its interval and seats.
    """

    from_plan: str
    to_plan: str
    when: Literal["now", "period_end"] | None = None
    proration_behavior: ProrationBehavior | None = None

    @property
    def keys(self) -> tuple[str, str]:
        """The two plans as they are compared."""
        return self.from_plan.lower(), self.to_plan.lower()


@frozen(kw_only=True)
class PlanChange:
    """How changes of plan are billed, and when they take place: the option `plan_change`.

    `immediate_proration_behavior` is what Stripe does with the unused time where a plan is changed at once,
    `proration_behavior` where a scheduled change begins. `collection_method` (with `days_until_due` for invoices that
    are sent) is set on the subscription with an immediate change; None leaves it as it is. `direct` lets the HTTP
    surface change plans at once instead of leading to a page where the customer confirms it. `pairs` says of single
    changes when they take place and what becomes of unused time.

    `pending_invoice_item_interval` is how often Stripe bills a yearly subscription for prorations that wait for an
    invoice; None lets them wait for the next year.
    """

    proration_behavior: ProrationBehavior = "none"
    immediate_proration_behavior: ProrationBehavior = "always_invoice"
    collection_method: Collection | None = None
    days_until_due: int | None = None
    direct: bool = False
    pairs: tuple[PlanPair, ...] = ()
    pending_invoice_item_interval: PendingInterval | None = None

    def pair(self, before: str, after: str) -> PlanPair | None:
        """What is said of the change between two plans, by their keys."""
        return next((each for each in self.pairs if each.keys == (before, after)), None)


@frozen
class Running:
    """An allowance in its running period. `amount` None means no cap."""

    amount: int | None
    used: int = 0
    held: int = 0

    @property
    def available(self) -> int | None:
        """Units that can still be drawn; None where there is no cap."""
        return None if self.amount is None else self.amount - self.used - self.held


@frozen
class Part:
    """How much of a period is left: `left` of `length`, in microseconds."""

    left: int
    length: int

    def of(self, amount: int) -> int:
        """The share of an amount that falls to what is left, rounded up to a whole unit."""
        return -(-amount * self.left // self.length)


@frozen
class Change:
    """What the bucket of the new plan starts with.

    `held` units move along with the holds they belong to, whose lines are pointed to the new bucket. `leftover` units
    come on top, in a bucket of their own that ends when the old period would have ended. `debt` is what was used beyond
    the new amount and is owed; `forgiven` is what was used beyond it and is not.
    """

    amount: int | None
    used: int = 0
    held: int = 0
    leftover: int = 0
    debt: int = 0
    forgiven: int = 0


def remaining_part(now: Instant, start: Instant, end: Instant) -> Part:
    """How much is left at `now` of the period from `start` to `end`."""
    return Part(min(max(end - now, 0), end - start), end - start)


def policy_for(kind: FeatureKind, policy: PlanChangePolicy) -> PlanChangePolicy:
    """The policy that counts for a kind of feature: what counts things that exist always carries its usage."""
    return "carry_usage" if kind in ("quantity", "seat", "boolean") else policy


def change(
    policy: PlanChangePolicy, old: Running, amount: int | None, part: Part, *, debt: DebtMode = "forgive"
) -> Change:
    """Replace `old` by an allowance of `amount` units, with `part` of the running period left.

    `carry_usage`: what was used counts in the new plan too, and what is held stays held. The others start anew:
    `reset` with the whole amount and nothing else, `carry_remaining` with the whole amount and what was left,
    `prorate` with the amount's share of the period, rounded up, and what was left. Held units stay with the old bucket
    there: what is settled is used of the old plan, and what is released lapses with it.
    """
    if policy == "carry_usage":
        return _carried(old, amount, debt)
    if policy == "reset":
        return Change(amount)
    if policy == "prorate" and amount is not None:
        amount = part.of(amount)
    return Change(amount, leftover=max(0, old.available or 0))


def resize(
    old: Running,
    amount: int | None,
    *,
    part: Part | None = None,
    included: int | None = None,
    debt: DebtMode = "forgive",
) -> Change:
    """The same allowance with another number of seats, which includes `amount` units from the next period on.

    The running period never falls below what is used and held of it: the excess is forgiven or owed. With `part` more
    seats count only for what is left of the period, on top of the units that it `included` (default: its amount).
    """
    before = old.amount if included is None else included
    if part is not None and amount is not None and before is not None and amount > before:
        amount = before + part.of(amount - before)
    excess = 0 if amount is None else max(0, old.used + old.held - amount)
    owed = excess if debt == "carry" else 0
    return Change(rescale(amount, old.used, old.held), old.used, old.held, debt=owed, forgiven=excess - owed)


def _carried(old: Running, amount: int | None, debt: DebtMode) -> Change:
    used = carry_usage(old.used, amount)
    excess = old.used - used
    owed = excess if debt == "carry" else 0
    # A plan too small for what is held makes room for it: the work it is held for has begun.
    return Change(rescale(amount, used, old.held), used, old.held, debt=owed, forgiven=excess - owed)
