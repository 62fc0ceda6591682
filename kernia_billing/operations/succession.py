"""What of a running period moves along when another plan takes the place of one, or seats come and go."""

from __future__ import annotations

from attrs import evolve, frozen

from ..domain.buckets import rescale
from ..domain.grants import Grant, Holding, holding
from ..domain.instants import FOREVER, Instant
from ..domain.plan_change import Part, Running, change, policy_for, remaining_part, resize
from ..domain.plan_items import PlanItem
from ..domain.plans import PlanChangePolicy
from .ledger import Books
from .replacing import widest

_NO_PART = Part(0, 1)
"""For the policies that do not ask how much of the period is left."""


@frozen
class Successor:
    """What is given now of a feature, with its running period.

    `is_new` where it was never given before, `is_tried` while other amounts count because the subscription is trialing.
    `continued` is the id of the trial without Stripe that goes on as its subscription.
    """

    holding: Holding
    item: PlanItem
    is_new: bool
    is_tried: bool = False
    continued: str = ""

    @property
    def is_counted(self) -> bool:
        """Whether it is an allowance of something that is used up, not of things that exist."""
        return self.item.kind in ("metered", "credit")

    def continues(self, old: Grant) -> bool:
        """Whether it goes on with the trial without Stripe that gave another."""
        return old.source_type == "plan" and _subscription_of(old) == self.continued

    def follows(self, old: Grant) -> bool:
        """Whether another comes from the same subscription, or from the trial that this one goes on with."""
        new = self.holding.grant
        same = _subscription_of(old) == _subscription_of(new)
        return (old.source_type == new.source_type == "plan" and same) or self.continues(old)


def take_over(books: Books, old: Holding, new: Successor, now: Instant) -> tuple[Holding, Successor]:
    """Move along what the policy of the new plan says; gives both as they are after it.

    What counts things that exist always moves. What is used up moves by the policy, and only within one paid period:
    another subscription, or another billing anchor, is paid for anew. Overage is final with the plan that allowed it.
    """
    if old.grant.kind != "grant":
        return old, new
    policy = _policy(old, new)
    if policy == "carry_usage":
        return _carry(books, old, new)
    if new.is_new and policy == "prorate":
        period = new.holding.bucket
        part = remaining_part(now, period.period_start, period.period_end)
        amount = change(policy, _running(old), new.holding.grant.amount, part).amount
        new = evolve(new, holding=books.amend(new.holding, amount))
        return _leave(books, old, now), evolve(new, holding=books.open(new.holding))
    if policy in ("carry_remaining", "prorate"):
        return _leave(books, old, now), new
    return old, new


def resized(books: Books, current: Holding, before: Grant, item: PlanItem, now: Instant) -> Holding:
    """The running period of a grant that included another amount before: more at once, less as far as it is unused."""
    amount = current.grant.amount
    if before.amount == amount or item.kind == "boolean":
        return current
    if amount is None or before.amount is None or current.bucket.amount is None:
        return current if not current.opened else books.amend(current, amount)
    more = amount - before.amount
    part = None
    if more > 0 and policy_for(item.kind, item.on_plan_change) == "prorate":
        part = remaining_part(now, current.bucket.period_start, current.bucket.period_end)
    if not current.opened:
        if part is None:
            return current
        current = books.open(books.amend(current, before.amount))
    bucket = current.bucket
    base = min((bucket.amount if bucket.own is None else bucket.own) or 0, before.amount)
    target = min(base, amount) if more < 0 else base + (more if part is None else part.of(more))
    if current.instead is not None:
        # What is used beyond it is no debt: something else is included now.
        row = bucket.including(target)
        return books.change(current, "amend", amount=row.amount, own=row.own)
    debt = current.grant.rules.debt
    found = resize(_running(current), target, debt=debt)
    # What was too much before is owed already.
    known = resize(_running(current), before.amount, debt=debt).debt
    return books.change(current, "amend", amount=found.amount, owed=max(0, bucket.owed + found.debt - known))


def _subscription_of(grant: Grant) -> str:
    """The subscription, or the trial without Stripe, that a plan's grant comes from."""
    return grant.source_id.partition(":")[0]


def _policy(old: Holding, new: Successor) -> PlanChangePolicy:
    policy = policy_for(new.item.kind, new.item.on_plan_change)
    if not new.is_counted:
        return policy
    if new.continues(old.grant):
        # Nothing begins anew: it is the same trial.
        return "carry_usage"
    if not new.follows(old.grant):
        # The default plan's books had the uses of this very period while the subscription gave nothing.
        return "carry_usage" if new.holding.bucket.heir_id == old.bucket.id else "reset"
    # A trial that is extended is the same trial, though Stripe moves the anchor to its end.
    if new.is_tried or old.grant.anchor_at == new.holding.grant.anchor_at:
        return policy
    return "reset" if policy == "carry_usage" else "carry_remaining" if policy == "prorate" else policy


def _carry(books: Books, old: Holding, new: Successor) -> tuple[Holding, Successor]:
    """Move what was used and what is held.

    Uses that do not fit stay where they were used, and count again for who comes back: no plan is filled twice. Things
    that exist go on existing: a plan too small for them has room for no more until enough of them are gone.
    """
    mine, target = old.bucket, new.holding
    if not (mine.used or mine.held or mine.owed):
        return old, new
    bucket, amount = target.bucket, target.grant.amount
    total, held = mine.used + bucket.used, mine.held + bucket.held
    if not new.is_counted:
        rest, heir = books.bequeath(old, target, mine.used, rescale(amount, total, held))
        return rest, evolve(new, holding=heir)
    known = bucket.amount if bucket.own is None else bucket.own
    if amount is not None and known is not None:
        amount = min(amount, known)
    room = widest(amount, target.instead)
    found = change("carry_usage", Running(None, total, held), room, _NO_PART, debt=target.grant.rules.debt)
    used = max(0, found.used - bucket.used)
    if target.instead is None:
        rest, heir = books.bequeath(old, target, used, rescale(amount, bucket.used + used, held), owed=found.debt)
    else:
        row = evolve(bucket, used=bucket.used + used, held=held).including(amount)
        rest, heir = books.bequeath(old, target, used, row.amount, owed=found.debt, own=row.own)
    return rest, evolve(new, holding=heir)


def _leave(books: Books, old: Holding, now: Instant) -> Holding:
    """Give what is left of the old period for as long as that would have lasted."""
    left = change("carry_remaining", _running(old), None, _NO_PART).leftover
    if not left or not old.grant.is_live(now):
        return old
    old = books.open(old)
    bucket = old.bucket
    rest = evolve(
        old.grant,
        id="",
        source_type="carry",
        source_id=f"{bucket.id}:{books.customer.ledger_seq}",
        amount=left,
        effective_at=now,
        expires_at=bucket.period_end,
        closed_at=FOREVER,
        interval=None,
        anchor_at=now,
        created_seq=0,
        terms=None,
    )
    books.open(holding(rest, None, now))
    # They are in the new grant from now on, also for who comes back.
    return books.change(old, "amend", amount=bucket.used + bucket.held, own=None)


def _running(holding: Holding) -> Running:
    """What is left of it is no more than a trial or an override has left, and nothing of what has no limit itself."""
    bucket, amount = holding.bucket, holding.bucket.amount
    if amount is not None and holding.instead is not None and holding.amount is not None:
        amount = min(amount, holding.amount)
    return Running(amount, bucket.used, bucket.held)
