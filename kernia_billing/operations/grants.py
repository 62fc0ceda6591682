"""Plan grants: what a customer's subscriptions give, brought into the books."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from ..domain.buckets import carry_usage, rescale
from ..domain.grants import Grant, Holding, holding
from ..domain.instants import Instant
from ..domain.plan_items import PlanItem, PlanVersion
from ..domain.subscriptions import SubscriptionRow, entitled_until
from ..ports.store import Transaction
from .core import Core
from .holdings import grants_of, same_thing
from .ledger import Books


@frozen
class _Wanted:
    """A grant that a subscription gives now, with the allowance that it comes from."""

    grant: Grant
    item: PlanItem


def apply_plans(core: Core, tx: Transaction, books: Books, subscriptions: Sequence[SubscriptionRow]) -> None:
    """Make the customer's plan grants those that its subscriptions give now.

    The result depends on the subscriptions and the configuration, not on the order in which news of them came: a grant
    is named by subscription, item, plan version and billing anchor, so that giving it again, also after a visit to
    another plan, finds the old one. What was used moves along to the grant that takes another's place.
    """
    now = core.now()
    wanted: list[_Wanted] = []
    plan: str | None = None
    until: Instant = 0
    for row in subscriptions:
        ends = 0 if row.duplicate else entitled_until(row.status, row.past_due_since, core.grace)
        version = tx.plans.by_id(row.plan_version_id) if row.plan_version_id is not None and ends > now else None
        if version is not None:
            wanted.extend(_given(row, version, ends))
            if ends > until:
                plan, until = row.plan, ends
    _reconcile(tx, books, wanted, now)
    if (plan, until) != (books.customer.plan, books.customer.plan_until):
        tx.customers.set_plan(books.customer.id, plan, until)


def _given(row: SubscriptionRow, version: PlanVersion, expires_at: Instant) -> list[_Wanted]:
    anchor = row.billing_cycle_anchor or row.period_start or row.created_at
    return [
        _Wanted(grant, item)
        for item in version.items
        for grant in grants_of(
            item,
            customer_id=row.customer_id,
            source_type="plan",
            source_id=f"{row.stripe_subscription_id}:{row.item_id}:{version.id}:{anchor}",
            category=1,
            seats=row.seats or 1,
            given_at=row.trial_start or min(row.period_start or row.created_at, row.created_at),
            billing_anchor=anchor,
            expires_at=expires_at,
        )
    ]


def _reconcile(tx: Transaction, books: Books, wanted: Sequence[_Wanted], now: Instant) -> None:
    known = tx.entitlements.grants(books.customer.id, "plan")
    policies = {_give(tx, books, known, each.grant): each.item for each in wanted}
    held = tx.entitlements.of_customer(books.customer.id, None, now)
    current: dict[tuple[str, str], Holding] = {}
    for grant, bucket in held:
        if grant.id in policies:
            current[grant.feature, grant.kind] = _rescaled(books, holding(grant, bucket, now))
    for grant, bucket in held:
        if grant.id in policies:
            continue
        successor = current.get((grant.feature, grant.kind))
        if successor is not None:
            item = next(item for id_, item in policies.items() if id_ == successor.grant.id)
            current[grant.feature, grant.kind] = _take_over(books, holding(grant, bucket, now), successor, item)
        if grant.source_type == "plan":
            _end(books, grant, now, replaced=successor is not None)


def _give(tx: Transaction, books: Books, known: Sequence[Grant], wanted: Grant) -> str:
    """Store a grant, or bring the stored one up to date; gives its id."""
    old = next((grant for grant in known if same_thing(grant, wanted)), None)
    if old is None:
        return books.give(wanted).id
    renewed = evolve(wanted, id=old.id, created_seq=old.created_seq, effective_at=old.effective_at)
    if renewed != old:
        books.put(renewed)
    return old.id


def _rescaled(books: Books, current: Holding) -> Holding:
    """The holding with the amount that its grant has now, never below what is used of the running period."""
    bucket = current.bucket
    return books.amend(current, rescale(current.grant.amount, bucket.used, bucket.held))


def _take_over(books: Books, old: Holding, new: Holding, item: PlanItem) -> Holding:
    """Move what was used of `old` to `new`; what does not fit is forgiven.

    A feature that counts things that exist always moves. A metered one moves by its policy, and only within one paid
    period: another subscription, or another billing anchor, is paid for anew.
    """
    if item.kind == "metered" and (item.on_plan_change == "reset" or not _same_period(old.grant, new.grant)):
        return new
    used = old.bucket.used
    carried = carry_usage(new.bucket.used + used, new.grant.amount) - new.bucket.used
    books.move(old, -used, "carry")
    return books.move(new, max(carried, 0), "carry")


def _same_period(old: Grant, new: Grant) -> bool:
    """Whether two grants come from one subscription and count their periods from one anchor."""
    subscription = new.source_id.partition(":")[0]
    return old.source_id.partition(":")[0] == subscription and old.anchor_at == new.anchor_at


def _end(books: Books, grant: Grant, now: Instant, *, replaced: bool) -> None:
    """Close a grant that another took the place of; one that nothing replaces lapses, and may come back."""
    ended = evolve(grant, closed_at=now) if replaced else evolve(grant, expires_at=min(grant.expires_at, now))
    if ended != grant:
        books.put(ended)
