"""Plans: which one a price sells, their stored versions, and the pricing page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from attrs import frozen

from ..domain.answers import PlanView
from ..domain.catalog import PriceMapping, PriceRow
from ..domain.money import Money
from ..domain.offer import FeatureSpec, content_hash
from ..domain.plan_items import PlanVersion, items_of
from ..domain.plans import BillingInterval, Feature, Plan
from ..domain.subscriptions import StripeSubscription, SubscriptionItem
from ..errors import InvalidInput, NotFound
from ..ports.store import DuplicateKey, Transaction
from .audit import Facts, record
from .core import Core


@frozen
class Sold:
    """What a subscription sells: its plan, the item that carries it, the interval and the seats."""

    plan: Plan
    item: SubscriptionItem
    interval: BillingInterval
    seats: int


def sold_by(core: Core, tx: Transaction, subscription: StripeSubscription) -> Sold | None:
    """The plan that a subscription's items sell, None where none is mapped.

    Configured price ids come first, then lookup keys, then prices mapped in the database. Where several plans share the
    price, the plan that the buyer chose (it stands in the metadata that we wrote) decides, else the configured order.
    """
    chosen = subscription.metadata.get("plan")
    for item in subscription.items:
        candidates = sales_of(core, tx, item.price_id, item.lookup_key)
        if candidates:
            plan, interval = next((each for each in candidates if each[0].key == chosen), candidates[0])
            return Sold(plan, item, interval, _seats(plan, item, subscription.items))
    return None


def sales_of(core: Core, tx: Transaction, price_id: str, lookup_key: str | None) -> list[tuple[Plan, BillingInterval]]:
    """The plans that a price is the own price of, each with the interval: by its id, its lookup key, or as mapped."""
    sales = core.offer.plan_by_price(price_id)
    if lookup_key is not None and not any(sale.role == "base" for sale in sales):
        sales = core.offer.plan_by_lookup_key(lookup_key)
    found: list[tuple[Plan, BillingInterval]] = [(sale.plan, sale.interval) for sale in sales if sale.role == "base"]
    if not found:
        mapping = tx.catalog.mapping(price_id)
        plan = None if mapping is None else core.offer.plans.get(mapping.plan)
        if mapping is not None and plan is not None and mapping.role == "base":
            found = [(plan, mapping.interval)]
    return found


def _seats(plan: Plan, base: SubscriptionItem, items: Sequence[SubscriptionItem]) -> int:
    if plan.seat_price_id is not None and plan.seat_price_id != base.price_id:
        for item in items:
            if item.price_id == plan.seat_price_id:
                return item.quantity or plan.min_seats
        return plan.min_seats
    return base.quantity or 1


def publish(core: Core, tx: Transaction, plan: Plan) -> PlanVersion:
    """The stored version of a plan's present content, inserted where it is new."""
    content = content_hash(plan)
    known = stored_version(tx, plan)
    if known is not None:
        return known
    newest = tx.plans.current(plan.key)
    version = PlanVersion(
        id=f"{plan.key}:{content[:24]}",
        key=plan.key,
        version=1 if newest is None else newest.version + 1,
        content_hash=content,
        items=items_of(plan),
    )
    tx.plans.add(version, title=plan.title, now=core.now())
    return version


def stored_version(tx: Transaction, plan: Plan) -> PlanVersion | None:
    """The stored version of a plan's present content, None where it was never stored."""
    return tx.plans.by_content(plan.key, content_hash(plan))


async def publish_all(core: Core) -> None:
    """Store every configured plan and feature."""

    def unit(tx: Transaction) -> None:
        for plan in core.offer.plans.values():
            publish(core, tx, plan)
        for spec in core.offer.features.values():
            tx.catalog.put_feature(_feature(spec), spec.kind)

    try:
        await core.store.transaction(unit)
    except DuplicateKey:
        await core.store.transaction(unit)


def _feature(spec: FeatureSpec) -> Feature:
    """A feature to be stored; what it costs is told in the smallest units."""
    cost: dict[str, int | str | Decimal] = {pool.feature: pool.cost for pool in spec.pools}
    return Feature(spec.key, spec.title, spec.unit, spec.scale, cost, spec.aggregation)


async def map_price(core: Core, price_id: str, plan: str, interval: BillingInterval) -> None:
    """Say that an imported price sells a plan. Where the configuration names the price too, the configuration wins.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND), or the price was not imported (PRICE_NOT_FOUND).
        InvalidInput: the price is not billed in this interval, or is inactive.
    """
    if not isinstance(price_id, str) or not 0 < len(price_id) <= 255:
        raise InvalidInput("must be the id of an imported price", field="price_id")
    if interval not in ("month", "year"):
        raise InvalidInput("must be 'month' or 'year'", field="interval")
    target = core.offer.plan(plan)
    mapping = PriceMapping(price_id, target.key, interval, "base", core.now())

    def unit(tx: Transaction) -> None:
        price = tx.catalog.price(price_id)
        if price is None or price.deleted:
            raise NotFound("The price was not imported: run catalog.sync() first", code="PRICE_NOT_FOUND")
        if not price.active:
            raise InvalidInput("names an inactive price", field="price_id")
        if price.interval != interval or price.interval_count != 1:
            raise InvalidInput(f"the price is billed {_rhythm(price)}", field="interval")
        before = tx.catalog.mapping(price_id)
        tx.catalog.map_price(mapping)
        record(tx, core, "price.mapped", "", price_id, None if before is None else _facts(before), _facts(mapping))

    await core.store.transaction(unit)


def _facts(mapping: PriceMapping) -> Facts:
    return {"plan": mapping.plan, "interval": mapping.interval}


def _rhythm(price: PriceRow) -> str:
    return "once" if price.interval is None else f"every {price.interval_count or 1} {price.interval}"


async def views(core: Core) -> Sequence[PlanView]:
    """The pricing page: every plan with its imported prices. Configured prices come first, then mapped ones."""

    def read(tx: Transaction) -> Sequence[PlanView]:
        mapped = mapped_prices(tx)
        return tuple(_view(tx, plan, mapped) for plan in core.offer.plans.values())

    return await core.store.read(read)


def _view(tx: Transaction, plan: Plan, mapped: Mapping[tuple[str, str], str]) -> PlanView:
    return PlanView(
        name=plan.name,
        title=plan.title or plan.name,
        monthly=_money(price_of(tx, plan, "month", mapped)),
        annual=_money(price_of(tx, plan, "year", mapped)),
        trial_days=plan.trial_days,
        features=plan.features,
    )


def mapped_prices(tx: Transaction) -> Mapping[tuple[str, str], str]:
    """The prices mapped in the database, by plan and interval."""
    return {(each.plan, each.interval): each.price_id for each in tx.catalog.mappings()}


def price_of(
    tx: Transaction, plan: Plan, interval: BillingInterval, mapped: Mapping[tuple[str, str], str]
) -> PriceRow | None:
    """The imported price that sells a plan in an interval."""
    lookup_key = plan.lookup_key_for(interval)
    if lookup_key is not None:
        price = tx.catalog.price_by_lookup_key(lookup_key)
        if price is not None:
            return price
    price_id = plan.price_for(interval) or mapped.get((plan.key, interval))
    return None if price_id is None else tx.catalog.price(price_id)


def _money(price: PriceRow | None) -> Money | None:
    return None if price is None or price.unit_amount is None else Money(price.unit_amount, price.currency)
