"""The allowances of plans in stored form, and the versions that they make."""

from __future__ import annotations

from attrs import frozen

from .alerts import Threshold
from .plans import (
    SEATS,
    Allowance,
    Anchor,
    Boolean,
    Credits,
    FeatureKind,
    Metered,
    Overage,
    Plan,
    PlanChangePolicy,
    Quantity,
    Reset,
)
from .rollover import Rule
from .terms import Terms


@frozen
class PlanItem:
    """One allowance of a plan version, as stored. `amount` is per seat where `per_seat`; None means without limit.

    `trial` is the amount while the subscription is trialing, None where it is the same; of a boolean 0 is none at all.
    `terms` is the stored form of its `Terms`, which every grant of it comes with.
    """

    feature: str
    kind: FeatureKind
    amount: int | None
    per_seat: bool = False
    reset: Reset = "never"
    anchor: Anchor = "billing"
    overage: Overage = "none"
    overage_limit: int | None = None
    meter: str | None = None
    on_plan_change: PlanChangePolicy = "carry_usage"
    terms: str | None = None
    trial: int | None = None


@frozen
class PlanVersion:
    """One version of a plan's content: a changed plan is a new version, so that grants say what they came from."""

    id: str
    key: str
    version: int
    content_hash: str
    items: tuple[PlanItem, ...]


def items_of(plan: Plan) -> tuple[PlanItem, ...]:
    """The allowances of a plan in stored form, by key; a plan with seats has the feature "seats"."""
    items = [_item(key, allowance) for key, allowance in plan.features.items()]
    if plan.seats and SEATS not in plan.features:
        items.append(PlanItem(SEATS, "seat", 1, per_seat=True))
    return tuple(sorted(items, key=lambda item: item.feature))


def kinds_of(plan: Plan) -> dict[str, FeatureKind]:
    """The kind of every feature of a plan; a plan with seats has the feature "seats"."""
    kinds: dict[str, FeatureKind] = {key: _kind(key, allowance) for key, allowance in plan.features.items()}
    if plan.seats:
        kinds[SEATS] = "seat"
    return kinds


def _kind(feature: str, allowance: Allowance) -> FeatureKind:
    if isinstance(allowance, Boolean):
        return "boolean"
    if isinstance(allowance, Quantity):
        return "seat" if feature == SEATS else "quantity"
    return "credit" if isinstance(allowance, Credits) else "metered"


def _item(feature: str, allowance: Allowance) -> PlanItem:
    kind = _kind(feature, allowance)
    if isinstance(allowance, Boolean):
        return PlanItem(feature, kind, None, trial=None if allowance.trial else 0)
    amount = None if allowance.unlimited else allowance.included
    if isinstance(allowance, Quantity):
        terms = _terms(allowance).text()
        return PlanItem(feature, kind, amount, per_seat=allowance.per_seat, terms=terms, trial=allowance.trial)
    return PlanItem(
        feature,
        kind,
        amount,
        per_seat=allowance.per_seat,
        reset=allowance.reset,
        anchor=allowance.anchor,
        overage=allowance.overage,
        overage_limit=allowance.overage_limit,
        meter=allowance.meter,
        on_plan_change=allowance.on_plan_change,
        terms=_terms(allowance).text(),
        trial=allowance.trial,
    )


def _terms(allowance: Quantity | Metered | Credits) -> Terms:
    limits = tuple(allowance.limits)
    alerts = tuple(Threshold(percent) for percent in allowance.alerts)
    if isinstance(allowance, Quantity):
        return Terms(limits=limits, alerts=alerts)
    rule = None if allowance.rollover is None else Rule(allowance.rollover, allowance.rollover_periods)
    return Terms(rollover=rule, debt=allowance.debt, limits=limits, alerts=alerts)
