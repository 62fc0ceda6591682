"""What to buy where a check says no: the plans and top-ups that would allow it, the cheapest first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from attrs import evolve, frozen

from ..domain.buckets import Pool
from ..domain.catalog import PriceRow
from ..domain.grants import Grant, Holding, Instead, holding, single_period
from ..domain.instants import FOREVER, Instant
from ..domain.limits import Meter, meters
from ..domain.offer import Offer
from ..domain.plan_change import Running, change, policy_for, remaining_part
from ..domain.plan_items import PlanItem, items_of
from ..domain.plans import SEATS, Plan, TopUp
from ..ports.store import Transaction
from .core import Core
from .holdings import grants_of
from .limiting import limits_on
from .plans import mapped_prices, price_of
from .situation import Situation, features_of

_PLAN_PARTS = 5


@frozen
class _Suggestion:
    """Something to buy; `price` of a month in minor units, None where it was never imported."""

    name: str
    price: Fraction | None


def offers(core: Core, tx: Transaction, state: Situation, required: int) -> Sequence[str]:
    """The names of plans that would allow so many units, by their price of a month, then of top-ups by theirs.

    Each is judged by the planner over what the reference would have then: what other plans and grants give stays, and
    what is used moves along as it would with that change. What has no imported price comes last, in the order of the
    configuration. Free plans are not for sale.
    """
    mapped = mapped_prices(tx)
    plans = [
        _Suggestion(plan.name, _price_of_plan(tx, plan, _seats(state, plan, required), mapped))
        for plan in core.offer.plans.values()
        if not plan.is_free and _allows(_with_plan(core.offer, state, plan, required), required)
    ]
    top_ups = [
        _Suggestion(top_up.name, None if price is None else price * quantity)
        for top_up in core.offer.top_ups.values()
        if (quantity := _needed(state, top_up, required)) is not None
        for price in [_amount(tx.catalog.price(top_up.price_id))]
    ]
    return tuple(each.name for found in (plans, top_ups) for each in _cheapest_first(found))


def _cheapest_first(found: Sequence[_Suggestion]) -> Sequence[_Suggestion]:
    return sorted(found, key=lambda each: (each.price is None, each.price or 0))


def _allows(state: Situation, required: int) -> bool:
    return bool(state.holdings) and state.allocate(required, "require").allowed


# ── plans ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def plan_key_of(grant: Grant) -> str | None:
    """The key of the plan that gave a grant, None where none did."""
    if grant.source_type == "default":
        return grant.source_id
    # The source is subscription, item, version (a key and a hash) and anchor.
    parts = grant.source_id.split(":")
    return parts[2] if grant.source_type == "plan" and len(parts) == _PLAN_PARTS else None


def _with_plan(offer: Offer, state: Situation, plan: Plan, required: int) -> Situation:
    """What there would be with another plan in the place of the live one of its group, or of the default plan."""
    now = state.now
    replaced = [each for each in state.holdings if _group_of(offer, each.grant) in (None, plan.group)]
    replaced = [each for each in replaced if each.grant.source_type in ("plan", "default")]
    kept = [each for each in state.holdings if each not in replaced and each.grant.source_type != "override"]
    seats = _seats(state, plan, required)
    new: list[Holding] = []
    for item in items_of(plan):
        if item.feature in features_of(state.feature):
            for grant in _grants(plan, item, replaced, seats, now):
                new += _begun(grant, item, replaced, now)
    found = evolve(state, holdings=[*kept, *_overridden(new, state)])
    return evolve(found, meters=_meters(state, found))


def _overridden(new: Sequence[Holding], state: Situation) -> Sequence[Holding]:
    """An override stays, whatever the plan."""
    found = [each.instead.grant for each in state.holdings if each.instead is not None]
    rules = {each.feature: each for each in found if each.source_type == "override"}
    limited = {each.grant.feature: each.limited for each in state.holdings if each.limited}
    return [
        evolve(each, instead=Instead(rule, rule.amount)) if rule is not None and each.grant.kind == "grant" else each
        for fresh in new
        for each in [evolve(fresh, limited=limited.get(fresh.grant.feature, ()))]
        for rule in [rules.get(each.grant.feature)]
    ]


def _group_of(offer: Offer, grant: Grant) -> str | None:
    """The group of the plan that gave a grant; None for the default plan, and for one that is sold no more."""
    plan = None if grant.source_type == "default" else offer.plans.get(plan_key_of(grant) or "")
    return None if plan is None else plan.group


def _grants(plan: Plan, item: PlanItem, replaced: Sequence[Holding], seats: int, now: Instant) -> Sequence[Grant]:
    """What the plan would give: in the period that runs, where it takes the place of a paid one."""
    paid = next((each.grant for each in replaced if each.grant.source_type == "plan"), None)
    anchor = now if paid is None or paid.interval is None else paid.anchor_at
    return grants_of(
        item,
        customer_id="",
        source_type="plan",
        source_id=plan.key,
        category=1,
        seats=seats,
        given_at=now,
        billing_anchor=anchor,
        expires_at=FOREVER,
    )


def _begun(grant: Grant, item: PlanItem, replaced: Sequence[Holding], now: Instant) -> Sequence[Holding]:
    """How the running period of a grant would begin, with what the plan before leaves to it."""
    fresh = holding(grant, None, now)
    old = next(
        (each for each in replaced if (each.grant.feature, each.grant.kind) == (grant.feature, grant.kind)), None
    )
    counted = item.kind in ("metered", "credit")
    if old is None or grant.kind != "grant" or (counted and old.grant.source_type != "plan"):
        return [fresh]
    policy = policy_for(item.kind, item.on_plan_change)
    running = Running(old.bucket.amount, old.bucket.used, old.bucket.held)
    part = remaining_part(now, fresh.bucket.period_start, fresh.bucket.period_end)
    begun = change(policy, running, grant.amount, part, debt=grant.rules.debt)
    bucket = evolve(fresh.bucket, amount=begun.amount, used=begun.used, held=begun.held)
    leftover = evolve(fresh.bucket, id=f"{fresh.bucket.id}:left", amount=begun.leftover, used=0, held=0)
    found = [evolve(fresh, bucket=bucket)]
    return [*found, evolve(fresh, bucket=leftover)] if begun.leftover else found


def _seats(state: Situation, plan: Plan, required: int) -> int:
    """How many seats would be paid for: those that there are, or as many as are asked for."""
    now = max((each.bucket.used for each in state.holdings if each.grant.feature == SEATS), default=0)
    wanted = now + required if state.feature.key == SEATS else now
    wanted = max(wanted, plan.min_seats)
    return wanted if plan.max_seats is None else min(wanted, plan.max_seats)


def _meters(state: Situation, found: Situation) -> Sequence[Meter]:
    """The usage limits that would hold. Windows of limits that do not hold now have nothing in them."""
    windows = [each.window for each in state.meters]
    limits = limits_on(found.holdings)
    return tuple(
        meter
        for feature in features_of(state.feature)
        for meter in meters(limits, windows, feature, state.now, entity=state.entity)
    )


def _price_of_plan(tx: Transaction, plan: Plan, seats: int, mapped: Mapping[tuple[str, str], str]) -> Fraction | None:
    """What a month of a plan costs, by its monthly price, or by a twelfth of the annual one."""
    monthly = _amount(price_of(tx, plan, "month", mapped))
    annual = _amount(price_of(tx, plan, "year", mapped))
    base = monthly if monthly is not None else None if annual is None else annual / 12
    if base is None or not plan.seats:
        return base
    if plan.seat_price_id is None or plan.seat_price_id == plan.price_id:
        return base * seats
    seat = _amount(tx.catalog.price(plan.seat_price_id))
    return None if seat is None else base + seat * seats


def _amount(price: PriceRow | None) -> Fraction | None:
    return None if price is None or price.unit_amount is None else Fraction(price.unit_amount)


# ── top-ups ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _needed(state: Situation, top_up: TopUp, required: int) -> int | None:
    """How many of a top-up would allow it, None where no number would."""
    costs: dict[str, Callable[[int], int]] = {state.feature.key: lambda units: units}
    for pool in state.pools:
        costs.setdefault(pool.feature, _credits(pool))
    missing = required - state.allocate(required, "require").fundable
    for feature, amount in top_up.grants.items():
        if feature in costs and amount > 0:
            quantity = max(top_up.min_quantity, -(-costs[feature](missing) // amount))
            # What is left of a pool may pay a part of a unit: then one of the top-up less is enough.
            for wanted in (quantity - 1, quantity):
                fits = top_up.max_quantity is None or wanted <= top_up.max_quantity
                if wanted >= top_up.min_quantity and fits and _allows(_with_units(state, top_up, wanted), required):
                    return wanted
    return None


def _credits(pool: Pool) -> Callable[[int], int]:
    return lambda units: units * pool.cost


def _with_units(state: Situation, top_up: TopUp, quantity: int) -> Situation:
    """What there would be with so many of a top-up."""
    bought = [
        holding(_bought(state, top_up, feature, amount * quantity), None, state.now)
        for feature, amount in top_up.grants.items()
        if feature in features_of(state.feature)
    ]
    return evolve(state, holdings=[*state.holdings, *bought])


def _bought(state: Situation, top_up: TopUp, feature: str, amount: int) -> Grant:
    given = single_period(feature, "top_up", top_up.name, amount, state.now)
    return evolve(given, id=f"top_up:{top_up.name}:{feature}")
