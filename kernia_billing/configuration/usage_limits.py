"""Usage limits and alerts of an allowance, read from every form that they may have, and what they must keep to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import attrs

from ..domain.ids import MAX_INTEGER, event_properties
from ..domain.period import time_zone
from ..domain.plans import Credits, Metered, Quantity, UsageLimit
from ..errors import InvalidInput
from .problems import Problems
from .spellings import Vocabulary
from .values import boolean, integer, is_list, is_mapping, one_of

MAX_LIMITS = 10
"""Each is a row that every use reads and writes."""
MAX_ALERTS = 20
MAX_PERCENT = 1_000
"""What overage and what is owed bring about may be beyond what is included."""
_MAX_COUNT = 1_000

LIMIT = Vocabulary(
    "member of a limit",
    names=tuple(each.name for each in attrs.fields(UsageLimit)),
    aliases={"max": "maximum", "interval": "per", "tz": "timezone", "properties": "where"},
)
_RULES: Mapping[str, Callable[[object], object]] = {
    "maximum": integer(0, MAX_INTEGER),
    "per": one_of("hour", "day", "week", "month", "year"),
    "count": integer(1, _MAX_COUNT),
    "per_entity": boolean,
    "where": event_properties,
    "timezone": time_zone,
}


def read_limits(value: object, where: str, problems: Problems) -> tuple[UsageLimit, ...]:
    """The limits of a list of `UsageLimit`s and mappings, without those that could not be read."""
    if not is_list(value):
        problems.add(where, "must be a list of limits")
        return ()
    read = [_limit(each, f"{where}[{number}]", problems) for number, each in enumerate(value)]
    return tuple(each for each in read if each is not None)


def read_alerts(value: object, where: str, problems: Problems) -> tuple[int, ...]:
    """The percentages of a list, whatever they are."""
    if not is_list(value):
        problems.add(where, "must be a list of percentages")
        return ()
    return tuple(cast("Sequence[int]", value))


def usage_limit(value: object) -> UsageLimit:
    """A limit from any form that it may have, by itself.

    Raises:
        InvalidInput: it is none; the first mistake is named.
    """
    problems = Problems()
    found = _limit(value, "limit", problems)
    if found is not None:
        _check(found, "limit", problems)
        if not problems:
            return found
    where, _, text = problems.lines[0].partition(": ")
    raise InvalidInput(text, field=where)


def check_limits(allowance: Quantity | Metered | Credits, where: str, problems: Problems) -> None:
    """Every limit by itself, and windows that two of them share."""
    if len(allowance.limits) > MAX_LIMITS:
        problems.add(f"{where}.limits", f"must be at most {MAX_LIMITS}")
    windows: list[UsageLimit] = []
    for number, limit in enumerate(allowance.limits):
        at = f"{where}.limits[{number}]"
        _check(limit, at, problems)
        window = attrs.evolve(limit, maximum=0)
        if window in windows:
            problems.add(at, f"counts the same as limits[{windows.index(window)}]: the smaller one is enough")
        windows.append(window)


def check_alerts(allowance: Quantity | Metered | Credits, where: str, problems: Problems) -> None:
    """Every percentage by itself, and those that stand twice."""
    at = f"{where}.alerts"
    if len(allowance.alerts) > MAX_ALERTS:
        problems.add(at, f"must be at most {MAX_ALERTS}")
    if allowance.alerts and allowance.unlimited is True:
        problems.add(at, "contradicts unlimited: nothing is a share of what has no limit")
    known: set[int] = set()
    for number, percent in enumerate(allowance.alerts):
        read = problems.read(f"{at}[{number}]", integer(1, MAX_PERCENT), percent, None)
        if read in known:
            problems.add(f"{at}[{number}]", "stands there already")
        if read is not None:
            known.add(read)


def _check(limit: UsageLimit, where: str, problems: Problems) -> None:
    for name, rule in _RULES.items():
        problems.read(f"{where}.{name}", rule, getattr(limit, name), None)


def _limit(value: object, where: str, problems: Problems) -> UsageLimit | None:
    if isinstance(value, UsageLimit):
        return attrs.evolve(value, where=_copy(value.where))
    if not is_mapping(value):
        problems.add(where, "must be a UsageLimit, or a mapping of its members")
        return None
    given = LIMIT.read(value, f"{where}.", problems)
    if "maximum" not in given:
        problems.add(f"{where}.maximum", "is missing")
        return None
    values = {name: each.value for name, each in given.items()}
    return UsageLimit(**cast("Any", {**values, "where": _copy(values.get("where", {}))}))


def _copy(value: object) -> Any:
    """The host may go on changing what it gave; a configuration never changes."""
    return dict(value) if is_mapping(value) else value
