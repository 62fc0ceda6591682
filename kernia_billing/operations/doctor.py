"""Looking for what is wrong: rows that contradict each other, and a configuration that cannot work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from ..domain.catalog import PriceRow
from ..domain.plans import BillingInterval
from ..domain.reports import Diagnosis, Finding, Severity
from ..errors import BillingError
from ..ports.store import Transaction
from . import bus_check, drift, meter_check, traces
from .core import Core
from .endpoint import Wanted, look_at
from .plans import mapped_prices, price_of

SHOWN = 20
"""How many ids a finding names."""
_WARNINGS = frozenset(
    {"inbox.unmatched", "inbox.waiting", "intents.parked", "subscriptions.duplicate", "subscriptions.unmapped"}
)
"""What may be so for a while, or is for somebody to decide; everything else is an error."""
_INTERVALS: tuple[BillingInterval, ...] = ("month", "year")
_AT_STRIPE = ("I15", meter_check.CHECK, "webhooks.endpoint")


async def examine(
    core: Core,
    *,
    with_stripe: bool = False,
    wanted: Wanted | None = None,
    on_check: Callable[[str], object] | None = None,
) -> Diagnosis:
    """Look for everything that is wrong. Nothing is written, and nothing is repaired.

    With `with_stripe` every copy is compared with Stripe's object too, which reads all of Stripe's lists. So are the
    meters that plans name, and the webhook endpoint, where it is said what is `wanted` of it.

    Raises:
        Unavailable: the database, or with `with_stripe` Stripe, does not answer.
    """
    with traces.job(core, "doctor"):
        found: list[Finding] = list(await core.store.read(_schema))
        checks = ["schema"]
        if not found:
            found += await core.store.read(lambda tx: list(_prices(core, tx)))
            checks.append("plans.prices")
            for check in await core.store.read(lambda tx: tx.inspection.checks):
                if on_check is not None:
                    on_check(check)
                found += await _breaches(core, check)
                checks.append(check)
            if core.bus is not None:
                found += await bus_check.look_at(core, core.bus, SHOWN)
                checks.append(bus_check.CHECK)
            if with_stripe:
                found += await _at_stripe(core.in_background(), wanted)
                checks += _AT_STRIPE
        return Diagnosis(tuple(found), tuple(checks))


def _schema(tx: Transaction) -> Sequence[Finding]:
    at, wanted = tx.inspection.schema()
    if at == wanted:
        return ()
    told = f"they are at {at or 'none'} instead of {wanted}: run `kernia-billing db upgrade`"
    return (Finding("schema", "the billing tables are those of this version", "error", told, 1),)


async def _breaches(core: Core, check: str) -> Sequence[Finding]:
    now = core.now()
    found = await core.store.read(lambda tx: tx.inspection.breaches(check, now, SHOWN))
    severity: Severity = "warning" if check in _WARNINGS else "error"
    return [Finding(check, each.title, severity, f"{each.count} found", each.count, each.ids) for each in found]


def _prices(core: Core, tx: Transaction) -> Iterator[Finding]:
    """The prices that plans are sold at: they have to be imported, active, and billed as the plan says."""
    mapped = mapped_prices(tx)
    for plan in core.offer.plans.values():
        for interval in _INTERVALS:
            named = plan.price_for(interval) or plan.lookup_key_for(interval)
            if named is None:
                continue
            price = price_of(tx, plan, interval, mapped)
            wrong = _wrong_with(price, interval)
            if wrong is not None:
                severity, told = wrong
                yield Finding("plans.prices", f"the plan {plan.key} can be bought", severity, told, 1, (named,))


def _wrong_with(price: PriceRow | None, interval: BillingInterval) -> tuple[Severity, str] | None:
    if price is None:
        return "warning", "the price was not imported: run `catalog.sync()`"
    if price.deleted:
        return "error", "Stripe has no such price"
    if not price.active:
        return "warning", "the price is archived: nobody can buy it any more"
    if price.interval != interval or price.interval_count != 1:
        return "error", f"the price is not billed every {interval}"
    return None


async def _at_stripe(core: Core, wanted: Wanted | None) -> Sequence[Finding]:
    found: list[Finding] = []
    compared = await drift.report(core)
    if compared.differences:
        ids = tuple(dict.fromkeys(each.id for each in compared.differences))
        fields = sorted({f"{each.kind}.{each.field}" if each.field else each.kind for each in compared.differences})
        told = f"{len(ids)} objects differ: {', '.join(fields[:SHOWN])}"
        found.append(Finding("I15", "our copies are as Stripe's objects", "error", told, len(ids), ids[:SHOWN]))
    if compared.events_missed:
        told = f"{compared.events_missed} never arrived: `reconcile()` takes them in"
        found.append(Finding("I15", "every event arrived", "warning", told, compared.events_missed))
    found += await _shown(meter_check.CHECK, "meters", meter_check.look_at(core))
    if wanted is not None:
        found += await _shown("webhooks.endpoint", "webhook endpoints", look_at(core, wanted))
    return found


async def _shown(check: str, what: str, looking: Awaitable[Sequence[Finding]]) -> Sequence[Finding]:
    """What looking at objects finds, which a restricted key may not be allowed to list."""
    try:
        return await looking
    except BillingError as failure:
        told = f"Stripe does not show them to this key ({failure.code})"
        return [Finding(check, f"{what} can be listed", "warning", told, 1)]
