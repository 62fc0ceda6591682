"""Plans and declared features, read from every form that they may have.

Objects (`Plan(…)`, `Feature(…)`) and mappings mix freely, in a list or by name. Only spelling is judged here, `rules`
judges the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import attrs
from attrs import frozen

from ..domain.plans import Feature, Plan, TopUp
from .allowances import read_allowances
from .problems import Problems
from .spellings import Given, Vocabulary
from .values import is_list, is_mapping

T = TypeVar("T")

PLAN = Vocabulary(
    "member of a plan",
    names=(*(each.name for each in attrs.fields(Plan)), "free_trial"),
    aliases={
        "key": "name",
        "annual_discount_price_id": "annual_price_id",
        "annual_discount_lookup_key": "annual_lookup_key",
        "free_trial_days": "trial_days",
    },
    unavailable={"products", "interval", "on_start_credits", "state", "description", "metadata"},
)
_FREE_TRIAL = Vocabulary(
    "member of a free trial",
    names=("days",),
    aliases={},
    unavailable={"on_trial_start", "on_trial_end", "on_trial_expired"},
)
FEATURE = Vocabulary(
    "member of a feature",
    names=tuple(each.name for each in attrs.fields(Feature)),
    aliases={"name": "key"},
    unavailable={"metadata", "product_ids", "id"},
)


@frozen
class Located(Generic[T]):
    """Something that was configured, and where."""

    value: T
    where: str


@frozen
class PlanSet:
    """What a plan file or folder, or an option, says is sold."""

    plans: tuple[Located[Plan], ...] = ()
    features: tuple[Located[Feature], ...] = ()
    top_ups: tuple[Located[TopUp], ...] = ()


def read_plans(value: object, where: str, problems: Problems) -> tuple[Located[Plan], ...]:
    """The plans of a list, or of a mapping from names to plans, without those that could not be read."""
    read = [_plan(name, each, at, problems) for name, each, at in _entries(value, where, problems)]
    return tuple(each for each in read if each is not None)


def read_features(value: object, where: str, problems: Problems) -> tuple[Located[Feature], ...]:
    """The declared features of a list, without those that could not be read."""
    if not is_list(value):
        problems.add(where, "must be a list of features")
        return ()
    read = [_feature(each, f"{where}[{number}]", problems) for number, each in enumerate(value)]
    return tuple(each for each in read if each is not None)


def _entries(value: object, where: str, problems: Problems) -> Iterator[tuple[str | None, object, str]]:
    if is_mapping(value):
        for name, each in value.items():
            yield name, each, f"{where}.{name}"
    elif is_list(value):
        for number, each in enumerate(value):
            yield None, each, f"{where}[{number}]"
    else:
        problems.add(where, "must be a list of plans, a mapping of plans by name, or the path of a plan file or folder")


def _plan(name: str | None, value: object, where: str, problems: Problems) -> Located[Plan] | None:
    if isinstance(value, Plan):
        plan = attrs.evolve(
            value,
            features=read_allowances(value.features, f"{where}.features", problems),
            limits=cast("Any", _copy(value.limits)),
            line_items=cast("Any", _copy(value.line_items)),
        )
    elif is_mapping(value):
        given = PLAN.read({} if name is None else {"name": name}, f"{where}.", problems)
        given |= PLAN.read(value, f"{where}.", problems)
        if "name" not in given:
            problems.add(f"{where}.name", "is missing")
            return None
        plan = Plan(**cast("Any", _plan_values(given, where, problems)))
    else:
        problems.add(where, "must be a Plan, or a mapping of its members")
        return None
    if name is not None and str(plan.name).lower() != name.lower():
        problems.add(f"{where}.name", "differs from the name that the plan stands under")
    return Located(plan, where)


def _plan_values(given: dict[str, Given], where: str, problems: Problems) -> dict[str, object]:
    trial = given.pop("free_trial", None)
    if trial is not None:
        days = _trial_days(trial, problems)
        if days is not None and days.value != given.setdefault("trial_days", days).value:
            problems.add(days.where, f"differs from {given['trial_days'].where}")
    values = {name: each.value for name, each in given.items()}
    values["features"] = read_allowances(values.get("features", {}), f"{where}.features", problems)
    values["limits"] = _copy(values.get("limits", {}))
    values["line_items"] = _copy(values.get("line_items", {}))
    return values


def _trial_days(trial: Given, problems: Problems) -> Given | None:
    if not is_mapping(trial.value):
        problems.add(trial.where, "must be a mapping with days")
        return None
    return _FREE_TRIAL.read(trial.value, f"{trial.where}.", problems).get("days")


def _copy(value: object) -> object:
    """The host may go on changing what it gave; a configuration never changes."""
    return dict(cast("Mapping[object, object]", value)) if isinstance(value, Mapping) else value


def _feature(value: object, where: str, problems: Problems) -> Located[Feature] | None:
    if isinstance(value, Feature):
        return Located(attrs.evolve(value, credit_cost=cast("Any", _copy(value.credit_cost))), where)
    if not is_mapping(value):
        problems.add(where, "must be a Feature, or a mapping of its members")
        return None
    given = FEATURE.read(value, f"{where}.", problems)
    if "key" not in given:
        problems.add(f"{where}.key", "is missing")
        return None
    values = {name: _copy(each.value) for name, each in given.items()}
    return Located(Feature(**cast("Any", values)), where)
