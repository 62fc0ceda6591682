"""What a customer holds of a feature at an instant: live grants with their current buckets, and the default plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from attrs import evolve

from ..domain.buckets import carry_usage, rescale
from ..domain.customers import CustomerRow
from ..domain.grants import DEFAULT_PRIORITY, BucketRow, Grant, Holding, holding
from ..domain.instants import FOREVER, Instant
from ..domain.minimums import is_idle, is_minimum
from ..domain.offer import Offer
from ..domain.period import Interval, interval_of
from ..domain.plan_change import policy_for
from ..domain.plan_items import PlanItem
from ..domain.plans import Plan, Reset
from ..ports.store import Held
from .ledger import Books
from .opening import NOTHING, Past, followed
from .replacing import RULES, replaced, room, widest

_MONDAY = 4 * 86_400_000_000
"""1970-01-05, a Monday: weeks on the calendar count from it, everything else from the epoch."""

_NOT_BY_ITSELF = frozenset(("default", "rollover", *RULES))
"""The sources of what counts only beside something else."""


def anchor_of(item: PlanItem, billing_anchor: Instant, given_at: Instant) -> Instant:
    """The instant that the periods of an allowance are counted from."""
    if item.anchor == "calendar":
        return _MONDAY if item.reset == "week" else 0
    return billing_anchor if item.anchor == "billing" else given_at


def rhythm(reset: Reset) -> Interval | None:
    """How often an allowance starts anew; None for never."""
    return interval_of(reset)


def live_holdings(
    offer: Offer,
    customer: CustomerRow | None,
    held: Iterable[Held],
    features: Sequence[str],
    now: Instant,
    past: Past = NOTHING,
) -> list[Holding]:
    """The holdings of these features that count at `now`. `past` is what `due.past_of` reads for these rows.

    Where no subscription gives a plan, the default plan counts: its stored grants if it was used before, else grants
    that exist in thought only. What was used under a plan that has lapsed stays used.
    """
    rows = list(held)
    found = followed(given_holdings(offer, customer, rows, features, now), rows, customer, past, now)
    return replaced(offer, customer, found, rows, now)


def given_holdings(
    offer: Offer, customer: CustomerRow | None, rows: Sequence[Held], features: Sequence[str], now: Instant
) -> list[Holding]:
    """The same without what earlier periods left: running periods that are not opened are full."""
    holdings = [
        holding(grant, bucket, now)
        for grant, bucket in rows
        if grant.source_type not in _NOT_BY_ITSELF
        and grant.is_live(now)
        and not (is_minimum(grant) and is_idle(grant, bucket))
    ]
    plan = offer.default_plan
    if plan is None or (customer is not None and customer.has_plan(now)):
        return holdings
    wanted = frozenset(features)
    for item in offer.default_items:
        if item.feature in wanted:
            holdings.extend(_default_holdings(plan, item, customer, rows, now))
    return holdings


def _default_holdings(
    plan: Plan, item: PlanItem, customer: CustomerRow | None, rows: Sequence[Held], now: Instant
) -> list[Holding]:
    given_at = customer.created_at if customer is not None else now
    holdings: list[Holding] = []
    for grant in default_grants(plan, item, customer.id if customer is not None else "", given_at):
        stored = [row for row in rows if row[0].source_type == "default" and same_thing(row[0], grant)]
        if stored:
            kept, bucket = stored[0]
            current = holding(evolve(grant, id=kept.id, created_seq=kept.created_seq), bucket, now)
        else:
            current = holding(grant, None, now)
        lapsed = _lapsed(grant, rows, now) if _carries(item) else ()
        most = widest(grant.amount, room(grant, rows, now))
        holdings.append(_with_lapsed_usage(current, [each.bucket for each in lapsed], item, most))
    return holdings


def absorb_lapsed(
    offer: Offer, books: Books, held: Sequence[Held], features: Sequence[str], now: Instant
) -> list[Held]:
    """Move what was used under lapsed plan grants to the default plan's, where that is what counts now.

    `live_holdings` shows the same to a reader before anything is written.
    """
    rows = list(held)
    plan = offer.default_plan
    if plan is None or books.customer.has_plan(now) or not any(grant.source_type == "plan" for grant, _ in rows):
        return rows
    for item in offer.default_items:
        if item.feature in features and _carries(item):
            for current in _default_holdings(plan, item, books.customer, rows, now):
                rows = _absorb(books, current, rows, item, now)
    return rows


def _absorb(books: Books, current: Holding, rows: list[Held], item: PlanItem, now: Instant) -> list[Held]:
    lapsed = _lapsed(current.grant, rows, now)
    if not lapsed:
        return rows
    stored = next((row for row in rows if row[0].id == current.grant.id), None)
    own = holding(current.grant, None if stored is None else stored[1], now)
    moved: list[Holding] = []
    instead = room(current.grant, rows, now)
    most = widest(current.grant.amount, instead)
    for each in lapsed:
        # What does not fit stays where it was used: who pays again has used it still.
        used = _counting(own.bucket.used, each.bucket.used, item, most) - own.bucket.used
        total = evolve(own.bucket, used=own.bucket.used + used, held=own.bucket.held + each.bucket.held)
        total = total.including(current.grant.amount)
        rest, own = books.bequeath(each, own, used, total.amount, own=None if instead is None else total.own)
        moved.append(rest)
    changed = {each.grant.id: (each.grant, each.bucket) for each in [*moved, own]}
    kept = [changed.pop(row[0].id, row) for row in rows]
    return [*kept, *changed.values()]


def _carries(item: PlanItem) -> bool:
    """Whether what was used of a plan that has lapsed counts for an allowance of the default plan.

    Nothing is left over from a plan that nobody pays for: every other policy begins anew with the whole amount.
    """
    return policy_for(item.kind, item.on_plan_change) == "carry_usage"


def _lapsed(current: Grant, rows: Iterable[Held], now: Instant) -> list[Holding]:
    """The holdings of lapsed plans whose running period has uses that a grant of the default plan takes over."""
    found = [
        holding(grant, bucket, now)
        for grant, bucket in rows
        if grant.source_type == "plan"
        and grant.feature == current.feature
        and grant.kind == current.kind == "grant"
        and not grant.is_live(now)
    ]
    return [each for each in found if not each.bucket.heir_id and (each.bucket.used or each.bucket.held)]


def same_thing(one: Grant, other: Grant) -> bool:
    """Whether two grants are the same gift: what the unique key of the table compares."""
    return (one.source_type, one.source_id, one.feature, one.entity, one.kind) == (
        other.source_type,
        other.source_id,
        other.feature,
        other.entity,
        other.kind,
    )


def _counting(own: int, lapsed: int, item: PlanItem, amount: int | None) -> int:
    """What counts as used of the default plan: things that exist all count, uses as far as they fit."""
    if item.kind not in ("metered", "credit"):
        return own + lapsed
    return max(own, carry_usage(own + lapsed, amount))


def _with_lapsed_usage(current: Holding, lapsed: Sequence[BucketRow], item: PlanItem, most: int | None) -> Holding:
    """The holding with what the configuration includes now, and what was used and held of lapsed plans.

    Of that it takes `most`, which an override may have made more than is included.
    """
    bucket, amount = current.bucket, current.grant.amount
    used = _counting(bucket.used, sum(each.used for each in lapsed), item, most)
    held = bucket.held + sum(each.held for each in lapsed)
    return evolve(current, bucket=evolve(bucket, amount=rescale(amount, used, held), used=used, held=held))


def default_grants(plan: Plan, item: PlanItem, customer_id: str, given_at: Instant) -> list[Grant]:
    """The grants that an allowance of the default plan stands for."""
    return grants_of(
        item,
        customer_id=customer_id,
        source_type="default",
        source_id=plan.key,
        category=0,
        seats=plan.min_seats,
        given_at=given_at,
        billing_anchor=given_at,
        expires_at=FOREVER,
    )


def grants_of(
    item: PlanItem,
    *,
    customer_id: str,
    source_type: Literal["plan", "default"],
    source_id: str,
    category: int,
    seats: int,
    given_at: Instant,
    billing_anchor: Instant,
    expires_at: Instant,
) -> list[Grant]:
    """The grants that an allowance stands for: what is included, and a second one for overage where it is allowed."""
    factor = seats if item.per_seat else 1
    included = Grant(
        id=f"{source_type}:{source_id}:{item.feature}",
        customer_id=customer_id,
        feature=item.feature,
        entity="",
        kind="grant",
        source_type=source_type,
        source_id=source_id,
        category=category,
        amount=None if item.amount is None else item.amount * factor,
        priority=DEFAULT_PRIORITY,
        effective_at=given_at,
        expires_at=expires_at,
        closed_at=FOREVER,
        interval=rhythm(item.reset),
        anchor_at=anchor_of(item, billing_anchor, given_at),
        # Where overage is billed, what is included is paid for already.
        meter=None if item.overage == "billed" else item.meter,
        created_seq=0,
        terms=item.terms,
    )
    if item.overage == "none":
        return [included]
    return [
        included,
        evolve(included, id=f"{included.id}:overage", kind="overage", amount=item.overage_limit, meter=item.meter),
    ]
