"""What a simulation of other plans answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from .money import Money
from .references import Reference


@frozen
class CustomerPricing:
    """How one customer would have fared.

    `plan` is the plan of the other set that it would have now, None where there is none. `denied` and `overage` are
    units by feature: those that nothing would have covered, in `denied_uses` uses, and those that would have been used
    beyond what is included and billed. `yearly_before` and `yearly_after` are what the plan costs a year now and then,
    None where a price was never imported, or there is no plan.
    """

    reference: Reference
    plan: str | None
    uses: int
    denied_uses: int
    denied: Mapping[str, int]
    overage: Mapping[str, int]
    yearly_before: Money | None
    yearly_after: Money | None


@frozen
class PricingReport:
    """What would have been different with other plans in [start, end).

    `customers` are those that would have been denied something, would have paid overage, or pay another price; the
    sums are over all. `revenue` is by currency what a year of the plans costs more, or less, where both prices are
    known. `unknown` says in sentences what nobody can tell.
    """

    start: datetime
    end: datetime
    looked_at: int
    uses: int
    denied_customers: int
    denied_uses: int
    denied: Mapping[str, int]
    overage_customers: int
    overage: Mapping[str, int]
    revenue: Mapping[str, Money]
    customers: Sequence[CustomerPricing]
    unknown: Sequence[str]
