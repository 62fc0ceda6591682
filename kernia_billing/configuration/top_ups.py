"""Top-ups: one-time packs, read from their objects and from mappings, and what they must keep to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

import attrs

from ..domain.ids import MAX_QUANTITY, feature_key, plan_key
from ..domain.plans import Feature, FeatureKind, Plan, TopUp
from .plans import Located
from .problems import Problems, Wrong
from .rules import Rule, check_fields, check_unique, maybe, price_id
from .spellings import Vocabulary
from .values import boolean, duration, integer, is_list, is_mapping

TOP_UP = Vocabulary(
    "member of a top-up",
    names=tuple(each.name for each in attrs.fields(TopUp)),
    aliases={"key": "name", "features": "grants"},
    unavailable={"title", "description", "metadata", "lookup_key"},
)
_MAX_UNITS = 999_999
"""So many units a line of a checkout page has at most (Stripe, "Create a Checkout Session")."""
_GIVEN = integer(1, MAX_QUANTITY)


def _length(value: object) -> timedelta:
    length = duration(value)
    if not length:
        raise Wrong("must be longer than nothing")
    return length


_RULES: Mapping[str, Rule] = {
    "name": plan_key,
    "price_id": price_id,
    "expires_after": maybe(_length),
    "min_quantity": integer(1, _MAX_UNITS),
    "max_quantity": maybe(integer(1, _MAX_UNITS)),
    "adjustable": boolean,
}


def read_top_ups(value: object, where: str, problems: Problems) -> tuple[Located[TopUp], ...]:
    """The top-ups of a list, without those that could not be read."""
    if not is_list(value):
        problems.add(where, "must be a list of top-ups")
        return ()
    read = [_top_up(each, f"{where}[{number}]", problems) for number, each in enumerate(value)]
    return tuple(each for each in read if each is not None)


def given_by(top_ups: Sequence[Located[TopUp]]) -> set[str]:
    """The features that top-ups give."""
    return {key for each in top_ups if is_mapping(each.value.grants) for key in each.value.grants}


def check_top_ups(
    top_ups: Sequence[Located[TopUp]],
    plans: Sequence[Located[Plan]],
    features: Sequence[Located[Feature]],
    kinds: Mapping[str, FeatureKind],
    problems: Problems,
) -> None:
    """Every top-up by itself, names and prices used twice, and whether there is what it gives.

    `kinds` are those of the features that plans give.
    """
    known: dict[str, FeatureKind] = {**_known(features), **kinds}
    sold = _prices(plans)
    for each in top_ups:
        check_fields(each.value, _RULES, each.where, problems)
        _check_grants(each, known, problems)
        least, most = each.value.min_quantity, each.value.max_quantity
        if type(least) is int and type(most) is int and least > most:
            problems.add(f"{each.where}.min_quantity", "must not be greater than max_quantity")
        price: object = each.value.price_id
        if isinstance(price, str) and price in sold:
            problems.add(f"{each.where}.price_id", f"sells a plan already, at {sold[price]}")
    check_unique(((str(each.value.name).lower(), f"{each.where}.name") for each in top_ups), "top-up", problems)
    check_unique(((each.value.price_id, f"{each.where}.price_id") for each in top_ups), "price", problems)


def _known(features: Sequence[Located[Feature]]) -> dict[str, FeatureKind]:
    """The kinds of features that no plan needs to give: declared ones, and the credits that they cost."""
    known: dict[str, FeatureKind] = {}
    for feature in features:
        key: object = feature.value.key
        if isinstance(key, str):
            known[key] = "metered"
    for feature in features:
        costs: object = feature.value.credit_cost
        if is_mapping(costs):
            known |= dict.fromkeys(costs, "credit")
    return known


def _check_grants(top_up: Located[TopUp], known: Mapping[str, FeatureKind], problems: Problems) -> None:
    grants: object = top_up.value.grants
    where = f"{top_up.where}.grants"
    if not is_mapping(grants) or not grants:
        problems.add(where, "must be a mapping from features to how much of each one unit gives")
        return
    for key, amount in grants.items():
        at = f"{where}.{key}"
        problems.read(at, feature_key, key, None)
        problems.read(at, _GIVEN, amount, None)
        if key not in known:
            problems.add(at, "is no feature of a plan, and is declared nowhere")
        elif known[key] in ("boolean", "seat"):
            problems.add(at, f"cannot be bought by the piece: the kind is {known[key]}")


def _prices(plans: Sequence[Located[Plan]]) -> dict[str, str]:
    sold: dict[str, str] = {}
    for plan in plans:
        for name in ("price_id", "annual_price_id", "seat_price_id"):
            price: object = getattr(plan.value, name)
            if isinstance(price, str):
                sold.setdefault(price, f"{plan.where}.{name}")
    return sold


def _top_up(value: object, where: str, problems: Problems) -> Located[TopUp] | None:
    if isinstance(value, TopUp):
        return Located(_settled(value), where)
    if not is_mapping(value):
        problems.add(where, "must be a TopUp, or a mapping of its members")
        return None
    given = TOP_UP.read(value, f"{where}.", problems)
    missing = [name for name in ("name", "price_id", "grants") if name not in given]
    for name in missing:
        problems.add(f"{where}.{name}", "is missing")
    if missing:
        return None
    return Located(_settled(TopUp(**cast("Any", {name: each.value for name, each in given.items()}))), where)


def _settled(top_up: TopUp) -> TopUp:
    """A top-up with its length as a timedelta and a mapping of its own; what is wrong stays for the rules."""
    grants: Any = dict(top_up.grants) if is_mapping(top_up.grants) else top_up.grants
    try:
        length = None if top_up.expires_after is None else duration(top_up.expires_after)
    except Wrong:
        length = top_up.expires_after
    return attrs.evolve(top_up, grants=grants, expires_after=length)
