"""What a plan allows of a feature, read from either of its forms.

The helpers (`Metered(10_000)`) are taken as they are. The mappings are those of plan files
(`{kind: metered, included: 10000, reset: month, overage: billed}`) and of Kernia's concepts page
(`{"key": "messages", "kind": "metered", "included": 10000, "resetPeriod": "month", "allowOverage": false}`); features
come by key or as a list. Only spelling is judged here, `rules` judges the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import attrs

from ..domain.plans import SEATS, Allowance, Boolean, Credits, Metered, Quantity
from .problems import Problems
from .spellings import Given, Vocabulary
from .usage_limits import read_alerts, read_limits
from .values import is_list, is_mapping

ALLOWANCE = Vocabulary(
    "member of a feature",
    names=(
        "key",
        "kind",
        "included",
        "unlimited",
        "per_seat",
        "reset",
        "anchor",
        "overage",
        "overage_limit",
        "allow_overage",
        "meter",
        "rollover",
        "rollover_periods",
        "on_plan_change",
        "debt",
        "trial",
        "limits",
        "alerts",
    ),
    aliases={"name": "key", "reset_period": "reset", "overage_allowed": "allow_overage"},
)

_KINDS = {
    "boolean": "boolean",
    "metered": "metered",
    "consumable": "metered",
    "quantity": "quantity",
    "non-consumable": "quantity",
    "non_consumable": "quantity",
    "seat": "seat",
    "seats": "seat",
    "credit": "credits",
    "credits": "credits",
}
_HELPERS: Mapping[str, Callable[..., Allowance]] = {
    "boolean": Boolean,
    "metered": Metered,
    "quantity": Quantity,
    "seat": Quantity,
    "credits": Credits,
}
_OF_THINGS = frozenset({"included", "unlimited", "per_seat", "trial", "limits", "alerts"})
_MEMBERS: Mapping[str, frozenset[str]] = {"boolean": frozenset({"trial"}), "quantity": _OF_THINGS, "seat": _OF_THINGS}
_LISTS: Mapping[str, Callable[[object, str, Problems], object]] = {"limits": read_limits, "alerts": read_alerts}
# Programs write every member for every kind. What says no more than the kind itself is let through.
_NEUTRAL: Mapping[str, object] = {
    "unlimited": False,
    "per_seat": False,
    "reset": "never",
    "overage": "none",
    "debt": "forgive",
    "limits": (),
    "alerts": (),
}


def read_allowances(value: object, where: str, problems: Problems) -> dict[str, Allowance]:
    """The allowances of a plan by feature key, without those that could not be read."""
    found: dict[str, Allowance] = {}
    for key, each, at in _entries(value, where, problems):
        if isinstance(each, (Boolean, Quantity, Metered, Credits)):
            read: Allowance | None = _helper(each, at, problems)
        elif is_mapping(each):
            key, read = _read(key, each, at, problems)  # noqa: PLW2901 - a list's entries name themselves
        else:
            problems.add(at, "must be Boolean(), Quantity(…), Metered(…), Credits(…), or a mapping with a kind")
            continue
        if key in found:
            problems.add(at, f"the feature {key} stands here twice")
        if key is not None and read is not None:
            found[key] = read
    return found


def _entries(value: object, where: str, problems: Problems) -> Iterator[tuple[str | None, object, str]]:
    if is_mapping(value):
        for key, each in value.items():
            yield key, each, f"{where}.{key}"
    elif is_list(value):
        for number, each in enumerate(value):
            yield None, each, f"{where}[{number}]"
    else:
        problems.add(where, "must be a mapping of features by key, or a list of features with keys")


def _read(
    key: str | None, members: Mapping[str, object], where: str, problems: Problems
) -> tuple[str | None, Allowance | None]:
    given = ALLOWANCE.read(members, f"{where}.", problems)
    key = _key(key, given.pop("key", None), where, problems)
    kind = _kind(given.pop("kind", None), where, problems)
    if kind is None or key is None:
        return key, None
    if kind == "seat" and key != SEATS:
        problems.add(where, f"the feature of kind seat is called {SEATS}")
        return key, None
    _allow_overage(given, problems)
    values = {name: each.value for name, each in given.items()}
    if kind in _MEMBERS:
        for name in values.keys() - _MEMBERS[kind]:
            if not _is_neutral(name, values[name]):
                problems.add(given[name].where, f"a feature of kind {kind} has none")
            del values[name]
    for name, read in _LISTS.items():
        if name in values:
            values[name] = read(values[name], given[name].where, problems)
    return key, _HELPERS[kind](**cast("Any", values))


def _helper(allowance: Allowance, where: str, problems: Problems) -> Allowance:
    """A helper with lists of its own: the host may go on changing those that it gave."""
    if isinstance(allowance, Boolean):
        return allowance
    lists = {name: read(getattr(allowance, name), f"{where}.{name}", problems) for name, read in _LISTS.items()}
    return attrs.evolve(allowance, **cast("Any", lists))


def _is_neutral(name: str, value: object) -> bool:
    return name in _NEUTRAL and (tuple(value) if is_list(value) else value) == _NEUTRAL[name]


def _key(outer: str | None, inner: Given | None, where: str, problems: Problems) -> str | None:
    if inner is None:
        if outer is None:
            problems.add(f"{where}.key", "is missing")
        return outer
    if not isinstance(inner.value, str):
        problems.add(inner.where, "must be a text")
        return outer
    if outer is not None and inner.value != outer:
        problems.add(inner.where, "differs from the key that the feature stands under")
    return outer or inner.value


def _kind(given: Given | None, where: str, problems: Problems) -> str | None:
    if given is None:
        problems.add(f"{where}.kind", "is missing: boolean, metered, quantity, seat, or credits")
        return None
    if isinstance(given.value, str) and given.value in _KINDS:
        return _KINDS[given.value]
    problems.add(given.where, "must be one of boolean, metered, quantity, seat, credits")
    return None


def _allow_overage(given: dict[str, Given], problems: Problems) -> None:
    """Yes or no is the older way to say which overage there is: yes means "free", unless "billed" is said too."""
    allowed = given.pop("allow_overage", None)
    if allowed is None:
        return
    if type(allowed.value) is not bool:
        problems.add(allowed.where, "must be true or false")
        return
    overage = given.setdefault("overage", Given("free" if allowed.value else "none", allowed.where))
    if allowed.value == (overage.value == "none"):
        problems.add(allowed.where, f"contradicts {overage.where}")
