"""The option `plan_change`: how changes of plan are billed."""

from __future__ import annotations

from typing import Any, cast

import attrs

from ..domain.plan_change import PlanChange
from .problems import Problems
from .rules import Rule, check_fields, maybe
from .spellings import Vocabulary
from .values import boolean, integer, is_mapping, one_of

_PRORATION = one_of("create_prorations", "always_invoice", "none")
_RULES: dict[str, Rule] = {
    "proration_behavior": _PRORATION,
    "immediate_proration_behavior": _PRORATION,
    "collection_method": maybe(one_of("charge_automatically", "send_invoice")),
    "days_until_due": maybe(integer(0, 365)),
    "direct": boolean,
}
_VOCABULARY = Vocabulary(
    "option", names=tuple(each.name for each in attrs.fields(PlanChange)), aliases={}, unavailable=()
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
    check_fields(made, _RULES, where, problems)
    sends = made.collection_method == "send_invoice"
    if sends and made.days_until_due is None:
        problems.add(f"{where}.days_until_due", "is needed with collection_method send_invoice")
    if made.days_until_due is not None and not sends:
        problems.add(f"{where}.days_until_due", "needs collection_method to be send_invoice")
    return made
