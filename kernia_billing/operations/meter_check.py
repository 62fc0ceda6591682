"""The meters at Stripe that plans name: whether they count what is reported, and whether somebody pays for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from ..domain.plan_items import PlanItem, items_of
from ..domain.plans import BillingInterval, Plan
from ..domain.reading import members, own_id, text
from ..domain.reports import Finding, Severity
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .plans import mapped_prices, price_of

CHECK = "meters"
_INTERVALS: tuple[BillingInterval, ...] = get_args(BillingInterval)
_KEYS = (("customer_mapping", "stripe_customer_id"), ("value_settings", "value"))
"""What the members of an event's payload are called that say whose it is and how much (Stripe, "Billing meters")."""
_MOST = 1_000


async def look_at(core: Core) -> Sequence[Finding]:
    """What is wrong with the meters that plans name.

    Raises:
        BillingError: Stripe does not show its meters to this key, or does not answer.
    """
    metered = [(plan, item) for plan in core.offer.plans.values() for item in items_of(plan) if item.meter is not None]
    if not metered:
        return ()
    at_stripe = await _all(core)
    named = sorted({str(item.meter) for _, item in metered})
    found = [each for name in named for each in _of_meter(name, at_stripe.get(name))]
    counting = {name: own_id(meter) for name, meter in at_stripe.items() if _is_active(meter)}
    return [*found, *await core.store.read(lambda tx: list(_of_prices(tx, metered, counting)))]


async def _all(core: Core) -> Mapping[str, StripeObject]:
    """Stripe's meters by the names of their events; of several with one name that which is active."""
    found: dict[str, StripeObject] = {}
    after: str | None = None
    read = 0
    while read < _MOST:
        page = await core.provider().page("/v1/billing/meters", {}, after=after)
        read += len(page.data)
        for meter in page.data:
            name = text(meter.get("event_name")) or ""
            if name not in found or _is_active(meter):
                found[name] = meter
        if not page.has_more:
            break
        after = own_id(page.data[-1])
    return found


def _is_active(meter: StripeObject) -> bool:
    return meter.get("status") == "active"


def _of_meter(name: str, meter: StripeObject | None) -> Iterator[Finding]:
    if meter is None:
        yield _finding(f"the meter {name} exists", "error", "Stripe has no meter of that event name", name)
        return
    if not _is_active(meter):
        yield _finding(f"the meter {name} is active", "error", "it is deactivated, and refuses events", own_id(meter))
    formula = text(members(meter.get("default_aggregation")).get("formula"))
    if formula != "sum":
        told = f"it has the formula {formula}, and what is reported has to be added up: make another one"
        yield _finding(f"the meter {name} adds up", "error", told, own_id(meter))
    for member, expected in _KEYS:
        key = text(members(meter.get(member)).get("event_payload_key"))
        if key != expected:
            told = f"{member}.event_payload_key is {key}, and events have {expected}: make another one"
            yield _finding(f"the meter {name} reads our events", "error", told, own_id(meter))


def _of_prices(
    tx: Transaction, metered: Sequence[tuple[Plan, PlanItem]], counting: Mapping[str, str]
) -> Iterator[Finding]:
    """Billed overage that no price of its plan bills: nobody pays for it, but on subscriptions with further prices."""
    mapped = mapped_prices(tx)
    for plan, item in metered:
        meter = counting.get(str(item.meter))
        if meter is None or item.overage != "billed":
            continue
        prices = [price for each in _INTERVALS if (price := price_of(tx, plan, each, mapped)) is not None]
        if not any(price.meter == meter and price.active and not price.deleted for price in prices):
            told = f"no imported price of the plan bills the meter {item.meter}"
            yield _finding(f"{item.feature} of the plan {plan.key} is billed", "warning", told, meter)


def _finding(title: str, severity: Severity, told: str, named: str) -> Finding:
    return Finding(CHECK, title, severity, told, 1, (named,))
