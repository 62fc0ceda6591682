"""`kernia-billing simulate-pricing`: what other plans would have meant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import click

from ..domain.pricing import CustomerPricing, PricingReport
from .command import Session, command
from .options import MOMENT


@click.command("simulate-pricing")
@click.argument("plans", type=click.Path(exists=True))
@click.option("--from", "start", type=MOMENT, metavar="TIME", required=True, help="Replay what was used since then.")
@click.option("--to", "end", type=MOMENT, metavar="TIME", help="Until then, instead of until now.")
@command
def simulate_pricing(session: Session, plans: str, start: datetime, end: datetime | None) -> None:
    """Replay recorded uses under the plans of a file: who would be denied, who would pay more. Changes nothing."""
    told = session.app.call(lambda billing: billing.plans.simulate(plans, start=start, end=end))
    session.out.document(told, _lines(told))


def _lines(told: PricingReport) -> Iterator[str]:
    yield f"{told.uses} uses of {told.looked_at} customers, {told.start:%Y-%m-%d %H:%MZ} to {told.end:%Y-%m-%d %H:%MZ}"
    yield f"denied: {told.denied_uses} uses of {told.denied_customers} customers{_units(told.denied)}"
    yield f"overage: {told.overage_customers} customers{_units(told.overage)}"
    for money in told.revenue.values():
        yield f"plans: {'+' if money.amount > 0 else ''}{money} a year"
    yield from (_customer(each) for each in told.customers)
    yield from (f"Unknown: {each}" for each in told.unknown)


def _customer(each: CustomerPricing) -> str:
    parts = [f"denied {each.denied_uses} of {each.uses} uses{_units(each.denied)}"] if each.denied_uses else []
    parts += [f"overage{_units(each.overage)}"] if each.overage else []
    if each.yearly_before != each.yearly_after:
        parts.append(f"{each.yearly_before or '?'} a year, then {each.yearly_after or '?'}")
    return f"  {each.reference.id} ({each.plan or 'no plan'}): {'; '.join(parts)}"


def _units(units: Mapping[str, int]) -> str:
    told = ", ".join(f"{amount} {feature}" for feature, amount in sorted(units.items()))
    return f" ({told})" if told else ""
