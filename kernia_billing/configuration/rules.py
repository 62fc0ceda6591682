"""What plans and features must keep to, one by one and together.

Every rule can judge values of wrong types, so that one mistake hides no other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

from ..domain.ids import MAX_INTEGER, feature_key, plan_key
from ..domain.plan_items import kinds_of
from ..domain.plans import SEATS, Allowance, Boolean, Credits, FeatureKind, Metered, Plan, Quantity
from ..domain.selling import is_locale
from ..domain.trials import TrialScope
from .plans import Located
from .problems import Problems, Wrong
from .usage_limits import check_alerts, check_limits
from .values import boolean, integer, is_list, is_mapping, one_of, text

MAX_SEATS = 10_000
MAX_TRIAL_DAYS = 730
"""Stripe's limit for `trial_period_days`."""

Rule = Callable[[object], object]
_MAX_ROLLED = 1_000
"""So many periods' worth of unused units at most move on: each of them may be a row of its own."""
_LONGEST_EVENT_NAME = 100
"""Stripe's limit for the `event_name` of a meter."""
_MAX_LIMITS_DEPTH = 16
_SCOPES: tuple[TrialScope, ...] = ("reference", "group", "plan", "user", "email", "card")
_MOST_LINE_ITEMS = 18
"""Stripe's limit of 20 items in a subscription, less the price of the plan and of a seat."""


def maybe(rule: Rule) -> Rule:
    """The rule for a value that may be missing."""
    return lambda value: None if value is None else rule(value)


def price_id(value: object) -> str:
    """The id of a Stripe price, as Stripe or whoever made the price chose it."""
    price = text(value)
    if any(character.isspace() for character in price):
        raise Wrong("must have no spaces")
    if price.startswith("prod_"):
        raise Wrong("is the id of a product; the id of one of its prices is needed")
    return price


def _limits(value: object) -> object:
    if not is_mapping(value) or not _is_json(value, _MAX_LIMITS_DEPTH):
        raise Wrong("must be a mapping of what JSON can hold")
    return value


def _line_items(value: object) -> object:
    if not is_mapping(value):
        raise Wrong("must be a mapping of price ids to quantities, or a list of price ids")
    if len(value) > _MOST_LINE_ITEMS:
        raise Wrong(f"must be at most {_MOST_LINE_ITEMS} prices")
    for price, count in value.items():
        price_id(price)
        maybe(integer(1, 999_999))(count)
    return value


def _is_json(value: object, depth: int) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if value is None or isinstance(value, (str, int)):
        return True
    if depth == 0:
        return False
    if is_mapping(value):
        return all(_is_json(each, depth - 1) for each in value.values())
    return isinstance(value, (list, tuple)) and all(_is_json(each, depth - 1) for each in cast("list[object]", value))


def _meter(value: object) -> str:
    name = text(value)
    if len(name) > _LONGEST_EVENT_NAME:
        raise Wrong(f"must have at most {_LONGEST_EVENT_NAME} characters")
    return name


def locale(value: object) -> str:
    """A language tag that Stripe's pages may know."""
    tag = text(value)
    if not is_locale(tag):
        raise Wrong("must be a language tag such as 'de' or 'pt-BR'")
    return tag


def trial_scopes(value: object) -> tuple[TrialScope, ...]:
    """The scopes of which each has one trial: one name, or a list of them."""
    names = [value] if isinstance(value, str) else value
    if not is_list(names) or any(each not in _SCOPES for each in names):
        raise Wrong(f"must be a list of some of {', '.join(_SCOPES)}")
    return tuple(cast("Sequence[TrialScope]", names))


_PLAN: Mapping[str, Rule] = {
    "name": plan_key,
    "price_id": maybe(price_id),
    "annual_price_id": maybe(price_id),
    "lookup_key": maybe(text),
    "annual_lookup_key": maybe(text),
    "seats": boolean,
    "seat_price_id": maybe(price_id),
    "purchased_seats": boolean,
    "min_seats": integer(1, MAX_SEATS),
    "max_seats": maybe(integer(1, MAX_SEATS)),
    "metered": boolean,
    "proration_behavior": maybe(one_of("create_prorations", "always_invoice", "none")),
    "line_items": _line_items,
    "trial_days": integer(0, MAX_TRIAL_DAYS),
    "title": maybe(text),
    "group": plan_key,
    "rank": maybe(integer(-1_000_000, 1_000_000)),
    "limits": _limits,
}
_QUANTITY: Mapping[str, Rule] = {
    "included": integer(0, MAX_INTEGER),
    "unlimited": boolean,
    "per_seat": boolean,
    "trial": maybe(integer(0, MAX_INTEGER)),
}
_METERED: Mapping[str, Rule] = {
    **_QUANTITY,
    "reset": one_of("hour", "day", "week", "month", "quarter", "year", "never"),
    "anchor": one_of("billing", "calendar", "grant"),
    "overage": one_of("none", "free", "billed"),
    "overage_limit": maybe(integer(0, MAX_INTEGER)),
    "meter": maybe(_meter),
    "rollover": maybe(integer(0, MAX_INTEGER)),
    "rollover_periods": maybe(integer(1, _MAX_ROLLED)),
    "on_plan_change": one_of("carry_usage", "reset", "carry_remaining", "prorate"),
    "debt": one_of("forgive", "carry"),
}


def check_plans(plans: Sequence[Located[Plan]], problems: Problems) -> dict[str, FeatureKind]:
    """Every plan by itself, names used twice, and features that are one kind here and another kind there.

    Gives the kind of every feature that a plan names.
    """
    for plan in plans:
        _check_plan(plan.value, plan.where, problems)
    check_unique(((str(plan.value.name).lower(), f"{plan.where}.name") for plan in plans), "plan", problems)
    return _check_kinds(plans, problems)


def check_default_plan(key: str | None, plans: Sequence[Located[Plan]], where: str, problems: Problems) -> None:
    """The default plan exists, and costs nothing: nobody has agreed to pay for it."""
    if key is None:
        return
    found = [plan.value for plan in plans if str(plan.value.name).lower() == key]
    if not found:
        problems.add(where, "is not the name of a plan")
    elif not found[0].is_free:
        problems.add(where, "must be a free plan: one without any price")


def check_fields(value: object, rules: Mapping[str, Rule], where: str, problems: Problems) -> None:
    """Every member of something that there is a rule for."""
    for name, rule in rules.items():
        problems.read(f"{where}.{name}", rule, getattr(value, name), None)


def check_unique(names: Iterable[tuple[object, str]], what: str, problems: Problems) -> None:
    """Names that stand twice; each comes with its place."""
    first: dict[object, str] = {}
    for name, where in names:
        if isinstance(name, str) and first.setdefault(name, where) != where:
            problems.add(where, f"the {what} stands already at {first[name]}")


def _check_plan(plan: Plan, where: str, problems: Problems) -> None:
    check_fields(plan, _PLAN, where, problems)
    _check_prices(plan, where, problems)
    _check_seats(plan, where, problems)
    _check_line_items(plan, where, problems)
    for key, allowance in plan.features.items():
        at = f"{where}.features.{key}"
        problems.read(at, feature_key, key, None)
        _check_allowance(key, allowance, at, problems)
        if plan.is_free and not (allowance.trial is None or allowance.trial is True):
            problems.add(f"{at}.trial", "needs a price: nothing is tried that is free")
        if plan.seats is False and not isinstance(allowance, Boolean) and allowance.per_seat is True:
            problems.add(f"{at}.per_seat", "needs a plan with seats")


def _check_prices(plan: Plan, where: str, problems: Problems) -> None:
    if (plan.annual_price_id or plan.annual_lookup_key) and not (plan.price_id or plan.lookup_key):
        name = "annual_price_id" if plan.annual_price_id else "annual_lookup_key"
        problems.add(f"{where}.{name}", "needs a monthly price_id or lookup_key beside it")
    if plan.price_id is not None and plan.annual_price_id == plan.price_id:
        problems.add(f"{where}.annual_price_id", "is the same price as price_id: a price has one interval")
    if plan.lookup_key is not None and plan.annual_lookup_key == plan.lookup_key:
        problems.add(f"{where}.annual_lookup_key", "is the same as lookup_key: a price has one interval")
    # The same price for plan and seat is fine: it says that only seats are paid for.
    if plan.seat_price_id is not None and plan.seat_price_id == plan.annual_price_id:
        problems.add(f"{where}.seat_price_id", "is the same price as annual_price_id")


_SEAT_DEFAULTS = (("seat_price_id", None), ("purchased_seats", False), ("min_seats", 1), ("max_seats", None))


def _check_line_items(plan: Plan, where: str, problems: Problems) -> None:
    if not isinstance(plan.line_items, Mapping):
        return
    own = {plan.price_id, plan.annual_price_id, plan.seat_price_id} - {None}
    if plan.line_items and plan.is_free:
        problems.add(f"{where}.line_items", "needs a price: a free plan is never sent to Stripe")
    for price in own & set(plan.line_items):
        problems.add(f"{where}.line_items", f"{price} is a price of the plan itself")


def _check_seats(plan: Plan, where: str, problems: Problems) -> None:
    if plan.seats is True:
        if plan.is_free:
            problems.add(f"{where}.seats", "needs a price: seats are counted by the subscription")
        if plan.metered is True and plan.seat_price_id is None:
            problems.add(f"{where}.seats", "needs a seat_price_id, since a metered price has no quantity")
        if SEATS in plan.features:
            problems.add(f"{where}.features.{SEATS}", "is declared by seats already")
    elif plan.seats is False:
        for name, default in _SEAT_DEFAULTS:
            if getattr(plan, name) != default:
                problems.add(f"{where}.{name}", "needs seats to be true")
    if type(plan.min_seats) is int and type(plan.max_seats) is int and plan.min_seats > plan.max_seats:
        problems.add(f"{where}.min_seats", "must not be greater than max_seats")


def _check_allowance(key: str, allowance: Allowance, where: str, problems: Problems) -> None:
    if key == SEATS and not isinstance(allowance, Quantity):
        problems.add(where, f"{SEATS} must be a Quantity")
    if isinstance(allowance, Boolean):
        problems.read(f"{where}.trial", boolean, allowance.trial, None)
        return
    check_fields(allowance, _QUANTITY if isinstance(allowance, Quantity) else _METERED, where, problems)
    if allowance.unlimited is True and allowance.included:
        problems.add(f"{where}.included", "contradicts unlimited")
    check_limits(allowance, where, problems)
    check_alerts(allowance, where, problems)
    if isinstance(allowance, Quantity):
        return
    _check_overage(allowance, where, problems)
    _check_what_moves_on(allowance, where, problems)


def _check_overage(allowance: Metered | Credits, where: str, problems: Problems) -> None:
    if allowance.overage == "billed" and allowance.meter is None:
        problems.add(f"{where}.meter", "is missing: billed overage is reported to the Stripe meter of that event name")
    if allowance.overage == "none" and allowance.overage_limit is not None:
        problems.add(f"{where}.overage_limit", "needs overage to be free or billed")
    if allowance.unlimited is True and allowance.overage in ("free", "billed"):
        problems.add(f"{where}.overage", "contradicts unlimited: nothing is ever beyond it")


def _check_what_moves_on(allowance: Metered | Credits, where: str, problems: Problems) -> None:
    if allowance.debt == "carry" and allowance.reset == "never":
        problems.add(f"{where}.debt", "needs a reset: what is owed is taken from the next period")
    rollover = allowance.rollover
    if rollover is None:
        if allowance.rollover_periods is not None:
            problems.add(f"{where}.rollover_periods", "needs rollover")
        return
    at = f"{where}.rollover"
    if allowance.reset == "never":
        problems.add(at, "needs a reset: what never ends leaves nothing to the next period")
    if allowance.unlimited is True:
        problems.add(at, "contradicts unlimited: nothing of it is ever left")
    elif type(rollover) is int and type(allowance.included) is int and rollover > _MAX_ROLLED * allowance.included:
        problems.add(at, f"must be at most {_MAX_ROLLED} times what is included")


def _check_kinds(plans: Sequence[Located[Plan]], problems: Problems) -> dict[str, FeatureKind]:
    first: dict[str, tuple[FeatureKind, str]] = {}
    for plan in plans:
        for feature, its_kind in kinds_of(plan.value).items():
            kind, where = first.setdefault(feature, (its_kind, plan.where))
            if kind != its_kind:
                problems.add(f"{plan.where}.features.{feature}", f"is {its_kind} here and {kind} in {where}")
    return {feature: kind for feature, (kind, _) in first.items()}
