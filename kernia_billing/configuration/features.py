"""What declared features must keep to: by themselves, and together with the plans and top-ups that give them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, cast

from ..domain.credit_cost import smallest_cost
from ..domain.ids import feature_key
from ..domain.plans import Feature, FeatureKind
from .plans import Located
from .problems import Problems
from .rules import Rule, check_fields, check_unique, maybe
from .values import integer, is_mapping, one_of, text

_MAX_SCALE = 12
_FEATURE: Mapping[str, Rule] = {
    "key": feature_key,
    "title": maybe(text),
    "unit": maybe(text),
    "scale": integer(0, _MAX_SCALE),
    "aggregation": one_of("sum", "count", "max", "latest", "unique"),
}
_AGGREGATIONS: Mapping[FeatureKind, Collection[str]] = {
    "metered": ("sum", "count", "max", "latest", "unique"),
    "quantity": ("sum", "max", "latest"),
    "seat": ("sum", "max", "latest"),
    "credit": ("sum",),
    "boolean": ("sum",),
}
"""What can be counted how: things that exist are not told apart, and credits and yes or no are not reported."""


def check_features(
    features: Sequence[Located[Feature]],
    kinds: Mapping[str, FeatureKind],
    topped_up: Collection[str],
    problems: Problems,
) -> None:
    """Every declared feature by itself, keys used twice, and what they cost in credits.

    `kinds` are those of the features that plans give; `topped_up` are the features that top-ups give.
    """
    scales = {_key(feature): _scale(feature.value.scale) for feature in features}
    for feature in features:
        check_fields(feature.value, _FEATURE, feature.where, problems)
        _check_aggregation(feature, kinds, problems)
        _check_cost(feature, kinds, topped_up, scales, problems)
    check_unique(((feature.value.key, f"{feature.where}.key") for feature in features), "feature", problems)


def _check_aggregation(feature: Located[Feature], kinds: Mapping[str, FeatureKind], problems: Problems) -> None:
    kind = kinds.get(_key(feature), "metered")
    aggregation = feature.value.aggregation
    if aggregation in _AGGREGATIONS["metered"] and aggregation not in _AGGREGATIONS[kind]:
        problems.add(f"{feature.where}.aggregation", f"must be {' or '.join(_AGGREGATIONS[kind])}: the kind is {kind}")


def _check_cost(
    feature: Located[Feature],
    kinds: Mapping[str, FeatureKind],
    topped_up: Collection[str],
    scales: Mapping[str, int],
    problems: Problems,
) -> None:
    costs: object = feature.value.credit_cost
    where = f"{feature.where}.credit_cost"
    if not is_mapping(costs):
        problems.add(where, "must be a mapping from credits to what one unit costs")
        return
    kind = kinds.get(_key(feature), "metered")
    if costs and kind in ("boolean", "credit", "seat"):
        problems.add(where, f"is for what is used: the kind is {kind}")
    for credit, cost in costs.items():
        at = f"{where}.{credit}"
        given = kinds.get(credit, "credit" if credit in topped_up else None)
        if given is None:
            problems.add(at, "is given by no plan and no top-up")
        elif given != "credit":
            problems.add(at, f"must be Credits in the plans that give it, and is {given}")
        exact = partial(smallest_cost, credit_scale=scales.get(credit, 0), scale=scales[_key(feature)])
        problems.read(at, exact, cast("Any", cost), None)


def _key(feature: Located[Feature]) -> str:
    """A key to go on with, where the one that was given is wrong."""
    key: object = feature.value.key
    return key if isinstance(key, str) else ""


def _scale(value: object) -> int:
    """A scale to go on with, where the one that was given is wrong."""
    return value if type(value) is int and 0 <= value <= _MAX_SCALE else 0
