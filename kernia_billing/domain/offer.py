"""The offer: everything that is sold, ready to be looked up by plan, feature or Stripe price."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from attrs import Factory, evolve, field, fields, frozen

from ..errors import NotFound
from .buckets import Pool
from .catalog import PriceRole
from .credit_cost import smallest_cost
from .plan_items import PlanItem, items_of, kinds_of
from .plans import Aggregation, BillingInterval, Feature, FeatureKind, Plan, TopUp
from .terms import moves_on, terms_of

_Way = tuple[str | None, BillingInterval, PriceRole]
_Ways = Callable[[Plan], list[_Way]]


@frozen
class FeatureSpec:
    """What the engine knows of a feature. Its quantities are integers in units of `10**-scale`."""

    key: str
    kind: FeatureKind
    unit: str | None = None
    title: str | None = None
    scale: int = 0
    aggregation: Aggregation = "sum"
    pools: tuple[Pool, ...] = ()
    """The credits that pay for it where its own allowances do not, in the order in which they are asked."""


class Sale(NamedTuple):
    """One way in which a Stripe price sells a plan: as the price of the plan itself, or of one seat in it."""

    plan: Plan
    interval: BillingInterval
    role: PriceRole


def _default_items(offer: Offer) -> tuple[PlanItem, ...]:
    return () if offer.default_plan is None else items_of(offer.default_plan)


@frozen
class Offer:
    """All plans and features of one configuration. Build it with `Offer.of()`; it never changes."""

    plans: Mapping[str, Plan]
    """By key (lower-case name), in the order of the configuration."""
    features: Mapping[str, FeatureSpec]
    """Every feature that a plan or a top-up names or the configuration declares, by key; "seats" where a plan has
    seats."""
    default_plan: Plan | None
    """The free plan of references without a subscription."""
    limited: frozenset[str]
    """The features, credits among them, on which a plan puts usage limits."""
    moving: frozenset[str]
    """The features, credits among them, whose periods may begin with what the ones before them left, by some plan."""
    top_ups: Mapping[str, TopUp]
    """By lower-case name, in the order of the configuration."""
    _ranks: Mapping[str, int] = field(alias="ranks", repr=False)
    _by_price: Mapping[str, tuple[Sale, ...]] = field(alias="by_price", repr=False)
    _by_lookup_key: Mapping[str, tuple[Sale, ...]] = field(alias="by_lookup_key", repr=False)
    default_items: tuple[PlanItem, ...] = field(
        init=False, repr=False, default=Factory(_default_items, takes_self=True)
    )
    """The allowances of the default plan in stored form, none without one."""

    @classmethod
    def of(
        cls,
        plans: Iterable[Plan],
        features: Iterable[Feature] = (),
        default_plan: str | None = None,
        top_ups: Iterable[TopUp] = (),
    ) -> Offer:
        """The offer of these plans, which must have different names, these declared features, and these top-ups.

        Raises:
            NotFound: PLAN_NOT_FOUND, there is no plan `default_plan`.
        """
        by_key = {plan.key: plan for plan in plans}
        packs = {top_up.name.lower(): top_up for top_up in top_ups}
        items = [item for plan in by_key.values() for item in items_of(plan)]
        offer = cls(
            plans=MappingProxyType(by_key),
            features=MappingProxyType(_feature_specs(by_key.values(), list(features), packs.values())),
            default_plan=None,
            limited=frozenset(item.feature for item in items if terms_of(item.terms).limits),
            moving=frozenset(item.feature for item in items if moves_on(item.terms)),
            top_ups=MappingProxyType(packs),
            ranks=MappingProxyType(_ranks(by_key.values())),
            by_price=MappingProxyType(_index(by_key.values(), _prices)),
            by_lookup_key=MappingProxyType(_index(by_key.values(), _lookup_keys)),
        )
        return offer if default_plan is None else evolve(offer, default_plan=offer.plan(default_plan))

    def top_up(self, name: str) -> TopUp:
        """The top-up of this name, whatever its case.

        Raises:
            NotFound: TOP_UP_NOT_FOUND.
        """
        found = self.top_ups.get(name.lower())
        if found is None:
            raise NotFound("Top-up not found", code="TOP_UP_NOT_FOUND")
        return found

    def plan(self, name: str) -> Plan:
        """The plan of a name, in whichever case it is written.

        Raises:
            NotFound: PLAN_NOT_FOUND.
        """
        try:
            return self.plans[name.lower()]
        except KeyError:
            raise plan_not_found() from None

    def feature(self, key: str) -> FeatureSpec:
        """The feature of a key, exactly as written.

        Raises:
            NotFound: FEATURE_NOT_FOUND. An unknown key is a typing mistake, never a state.
        """
        try:
            return self.features[key]
        except KeyError:
            raise NotFound("Feature not found", code="FEATURE_NOT_FOUND") from None

    def rank(self, name: str) -> int:
        """Where the plan stands: a change to a higher rank is an upgrade. Default: the position in the configuration.

        Raises:
            NotFound: PLAN_NOT_FOUND.
        """
        return self._ranks[self.plan(name).key]

    def plan_by_price(self, price_id: str) -> list[Sale]:
        """What a Stripe price sells, in the order of the plans; empty if it is mapped to none.

        A price may belong to several plans, and to both roles of one where only seats are paid for. A seat price has
        the interval of the plan's monthly price, or "year" where there is none.
        """
        return list(self._by_price.get(price_id, ()))

    def plan_by_lookup_key(self, lookup_key: str) -> list[Sale]:
        """What the Stripe prices with this lookup key sell; always in the role "base"."""
        return list(self._by_lookup_key.get(lookup_key, ()))


def plan_not_found() -> NotFound:
    """The error for a plan that does not exist. `alias` is what the Better Auth client knows it as."""
    return NotFound("Subscription plan not found", code="PLAN_NOT_FOUND", alias="SUBSCRIPTION_PLAN_NOT_FOUND")


def content_hash(plan: Plan) -> str:
    """64 hexadecimal digits that change exactly when what the plan allows changes; names and prices do not count.

    Values that equal their default are left out, so that an allowance may gain fields and old versions keep their hash.
    """
    content = [_told(item) for item in items_of(plan)]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _told(item: PlanItem) -> dict[str, object]:
    values = ((each.name, getattr(item, each.name), each.default) for each in fields(PlanItem))
    return {name: value for name, value, default in values if value != default}


def _feature_specs(
    plans: Iterable[Plan], declared: Sequence[Feature], top_ups: Iterable[TopUp]
) -> dict[str, FeatureSpec]:
    known = {feature.key: feature for feature in declared}
    kinds: dict[str, FeatureKind] = {}
    for plan in plans:
        for key, kind in kinds_of(plan).items():
            kinds.setdefault(key, kind)
    for feature in declared:
        for credit in feature.credit_cost:
            kinds.setdefault(credit, "credit")
    # No plan says what kind a feature is that is merely declared or topped up. Only a metered one can be counted though
    # no plan has it.
    for key in (*known, *(key for top_up in top_ups for key in top_up.grants)):
        kinds.setdefault(key, "metered")
    scales = {key: feature.scale for key, feature in known.items()}
    return {key: _feature_spec(key, kind, known.get(key), scales) for key, kind in kinds.items()}


def _feature_spec(key: str, kind: FeatureKind, declared: Feature | None, scales: Mapping[str, int]) -> FeatureSpec:
    if declared is None:
        return FeatureSpec(key, kind)
    return FeatureSpec(
        key,
        kind,
        unit=declared.unit,
        title=declared.title,
        scale=declared.scale,
        aggregation=declared.aggregation,
        pools=tuple(
            Pool(credit, smallest_cost(cost, scales.get(credit, 0), declared.scale))
            for credit, cost in declared.credit_cost.items()
        ),
    )


def _ranks(plans: Iterable[Plan]) -> dict[str, int]:
    return {plan.key: position if plan.rank is None else plan.rank for position, plan in enumerate(plans)}


def _index(plans: Iterable[Plan], ways: _Ways) -> dict[str, tuple[Sale, ...]]:
    index: dict[str, tuple[Sale, ...]] = {}
    for plan in plans:
        for name, interval, role in ways(plan):
            if name:
                index[name] = (*index.get(name, ()), Sale(plan, interval, role))
    return index


def _prices(plan: Plan) -> list[_Way]:
    seat_interval: BillingInterval = "month" if plan.price_id or plan.lookup_key else "year"
    return [
        (plan.price_id, "month", "base"),
        (plan.annual_price_id, "year", "base"),
        (plan.seat_price_id, seat_interval, "seat"),
    ]


def _lookup_keys(plan: Plan) -> list[_Way]:
    return [(plan.lookup_key, "month", "base"), (plan.annual_lookup_key, "year", "base")]
