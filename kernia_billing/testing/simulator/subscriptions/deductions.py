"""Changes of what a subscription, an item or an invoice has besides its prices: discounts and tax rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from ..catalog import tax_rates
from ..invoices import discounts
from ..invoices.discounts import Wanted
from ..world.errors import Json

if TYPE_CHECKING:
    from ..world.world import World


@frozen
class Deductions:
    """New discounts and tax rates; None leaves them as they are."""

    discounts: Sequence[Wanted] | None = None
    tax_rates: Sequence[Json] | None = None


def plan(
    world: World,
    params: Json,
    at: str = "",
    *,
    customer: str,
    currency: str,
    has: Sequence[str] = (),
    rates: str = "default_tax_rates",
) -> Deductions:
    """Read `discounts` and the tax rates, which are called `rates`, of `params`, the map at the parameter `at`.

    `has` are the discounts that may be kept: those of the object and of what it belongs to.

    Raises:
        ApiError: one of them cannot be used.
    """
    wanted: Sequence[Wanted] | None = None
    named: Sequence[Json] | None = None
    if "discounts" in params:
        param = _param(at, "discounts")
        wanted = discounts.read(world, params["discounts"], param, customer=customer, currency=currency, has=has)
    if rates in params:
        named = tax_rates.named(world, params[rates], _param(at, rates))
    return Deductions(wanted, named)


def ancestors(world: World, subscription: Json, item: Json | None = None) -> list[str]:
    """The discounts of an item, of its subscription and of the customer, which an update may keep."""
    own: str | None = world.table("customer").get(subscription["customer"]).get("discount")
    return [*(item["discounts"] if item else ()), *subscription["discounts"], *([own] if own else ())]


def apply(world: World, planned: Deductions, subscription: Json, item: Json | None = None) -> None:
    """Give a subscription, or one of its items, what was planned; discounts that it loses end."""
    holder = subscription if item is None else item
    if planned.tax_rates is not None:
        holder["default_tax_rates" if item is None else "tax_rates"] = list(planned.tax_rates)
    if planned.discounts is not None:
        ids = discounts.grant(
            world,
            planned.discounts,
            customer=subscription["customer"],
            subscription=subscription["id"],
            subscription_item=item["id"] if item else None,
        )
        discounts.replace(world, holder, ids)


def apply_to_invoice(world: World, planned: Deductions, invoice: Json) -> None:
    """Give a draft what was planned; settle it afterwards."""
    if planned.tax_rates is not None:
        invoice["default_tax_rates"] = list(planned.tax_rates)
    if planned.discounts is not None:
        ids = discounts.grant(world, planned.discounts, customer=invoice["customer"], invoice=invoice["id"])
        discounts.replace(world, invoice, ids, own=invoice["id"])


def _param(at: str, name: str) -> str:
    return f"{at}[{name}]" if at else name
