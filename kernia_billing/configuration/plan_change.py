"""The option `plan_change`: how changes of plan are billed, and when they take place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import attrs

from ..domain.ids import plan_key
from ..domain.plan_change import PlanChange, PlanPair
from ..domain.plans import Plan
from .plans import Located
from .problems import Problems
from .rules import Rule, check_fields, maybe
from .spellings import Vocabulary
from .values import boolean, integer, is_list, is_mapping, one_of

_PRORATION = one_of("create_prorations", "always_invoice", "none")
_RULES: Mapping[str, Rule] = {
    "proration_behavior": _PRORATION,
    "immediate_proration_behavior": _PRORATION,
    "collection_method": maybe(one_of("charge_automatically", "send_invoice")),
    "days_until_due": maybe(integer(0, 365)),
    "direct": boolean,
    "pending_invoice_item_interval": maybe(one_of("day", "week", "month")),
}
_PAIR_RULES: Mapping[str, Rule] = {
    "when": maybe(one_of("now", "period_end")),
    "proration_behavior": maybe(_PRORATION),
}
_VOCABULARY = Vocabulary(
    "option", names=tuple(each.name for each in attrs.fields(PlanChange)), aliases={}, unavailable=()
)
_PAIR = Vocabulary(
    "member of a pair",
    names=tuple(each.name for each in attrs.fields(PlanPair)),
    aliases={"from": "from_plan", "to": "to_plan"},
)


def read_plan_change(value: object, where: str, problems: Problems) -> PlanChange:
    """The option, as a mapping or as it was read before."""
    if isinstance(value, PlanChange):
        made = value
    elif is_mapping(value):
        given = _VOCABULARY.read(value, f"{where}.", problems)
        made = PlanChange(**cast("Any", {name: each.value for name, each in given.items()}))
    else:
        problems.add(where, "must be a mapping of options")
        return PlanChange()
    made = attrs.evolve(made, pairs=_read_pairs(made.pairs, f"{where}.pairs", problems))
    check_fields(made, _RULES, where, problems)
    sends = made.collection_method == "send_invoice"
    if sends and made.days_until_due is None:
        problems.add(f"{where}.days_until_due", "is needed with collection_method send_invoice")
    if made.days_until_due is not None and not sends:
        problems.add(f"{where}.days_until_due", "needs collection_method to be send_invoice")
    return made


def check_pairs(pairs: Sequence[PlanPair], plans: Sequence[Located[Plan]], where: str, problems: Problems) -> None:
    """Every pair names two plans of one group, says something of them, and stands there once."""
    groups = {str(each.value.name).lower(): str(each.value.group).lower() for each in plans}
    known: dict[tuple[str, ...], str] = {}
    for number, pair in enumerate(pairs):
        at = f"{where}.pairs[{number}]"
        check_fields(pair, _PAIR_RULES, at, problems)
        if pair.when is None and pair.proration_behavior is None:
            problems.add(at, "says neither when nor proration_behavior")
        names = {"from": pair.from_plan, "to": pair.to_plan}
        keys = tuple(problems.read(f"{at}.{name}", plan_key, each, "").lower() for name, each in names.items())
        for name, key in zip(names, keys, strict=True):
            if key and key not in groups:
                problems.add(f"{at}.{name}", "is not the name of a plan")
        if len({groups[each] for each in keys if each in groups}) > 1:
            problems.add(at, "names plans of two groups, which are never changed into each other")
        if all(keys) and known.setdefault(keys, at) != at:
            problems.add(at, f"the pair stands already at {known[keys]}")


def _read_pairs(value: object, where: str, problems: Problems) -> tuple[PlanPair, ...]:
    if not is_list(value):
        problems.add(where, "must be a list of pairs of plans")
        return ()
    read = [_read_pair(each, f"{where}[{number}]", problems) for number, each in enumerate(value)]
    return tuple(each for each in read if each is not None)


def _read_pair(value: object, where: str, problems: Problems) -> PlanPair | None:
    if isinstance(value, PlanPair):
        return value
    if not is_mapping(value):
        problems.add(where, "must be a mapping with from and to, and with when or proration_behavior")
        return None
    given = _PAIR.read(value, f"{where}.", problems)
    missing = [name for name in ("from_plan", "to_plan") if name not in given]
    for name in missing:
        problems.add(f"{where}.{name.removesuffix('_plan')}", "is missing")
    return None if missing else PlanPair(**cast("Any", {name: each.value for name, each in given.items()}))
