"""The sums of an invoice, computed from its lines in one place.

The order is Stripe's: discounts, then credits (both before tax), then taxes, then the customer's balance, which is only
moved when the invoice is finalised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from ..catalog import tax_rates
from ..customers import balance, tax_ids
from ..world.errors import Json
from . import discounts, reductions

if TYPE_CHECKING:
    from ..world.world import World

Step: TypeAlias = "Callable[[World, Json], None]"
"""Changes the lines of an invoice, or does what belongs to its being finalised."""

PRETAX_CREDITS: list[Step] = []
"""What puts credits as `pretax_credit_amounts` on the lines, after those of the discounts; runs at each settling."""

AT_FINALIZE: list[Step] = [tax_ids.print_on, discounts.spend]
"""What is noted on an invoice as it becomes final, and what uses up the discounts and credits that its lines name."""

AT_RELEASE: list[Step] = []
"""What gives back the credits that an invoice used, when it is voided."""


def settle(world: World, invoice: Json) -> None:
    """Compute every sum of an invoice that is not final from its lines, its discounts and its tax rates."""
    lines: list[Json] = invoice["lines"]["data"]
    reductions.apply(world, invoice)
    for step in PRETAX_CREDITS:
        step(world, invoice)
    tax_rates.apply(world, invoice)
    own = {discount for line in lines for discount in line["discounts"]}
    discounted = sum(row["amount"] for line in lines for row in line["discount_amounts"] if row["discount"] in own)
    credited = sum(row["amount"] for line in lines for row in line["pretax_credit_amounts"])
    taxes = summed_taxes(lines)
    added = sum(tax["amount"] for tax in taxes if tax["tax_behavior"] == "exclusive")
    subtotal = sum(line["amount"] for line in lines) - discounted
    total = sum(line["amount"] for line in lines) - credited + added
    invoice |= {
        "subtotal": subtotal,
        "subtotal_excluding_tax": subtotal - _included(world, invoice),
        "total": total,
        "total_excluding_tax": total - sum(tax["amount"] for tax in taxes),
        "total_discount_amounts": summed_discounts(lines),
        "total_pretax_credit_amounts": summed_credits(lines),
        "total_taxes": taxes,
        "starting_balance": balance.of(world, invoice["customer"]) if invoice["customer"] else 0,
    }
    due = max(0, total + invoice["starting_balance"])
    invoice |= {"amount_due": due, "amount_remaining": due - invoice["amount_paid"]}


def close(world: World, invoice: Json) -> None:
    """Settle an invoice for the last time, as it is finalised: credits are used up, the balance moves."""
    settle(world, invoice)
    for step in AT_FINALIZE:
        step(world, invoice)
    before = invoice["starting_balance"]
    after = before + invoice["total"] - invoice["amount_due"]
    invoice["ending_balance"] = after
    if after != before:
        more = {"invoice": invoice["id"]}
        balance.move(world, invoice["customer"], after - before, "applied_to_invoice", invoice["currency"], **more)


def release(world: World, invoice: Json) -> None:
    """Give back what an invoice that is voided took from the customer's balance and from credits."""
    for step in AT_RELEASE:
        step(world, invoice)
    moved = (invoice["ending_balance"] or 0) - invoice["starting_balance"]
    if moved and not world.table("customer").get(invoice["customer"]).get("deleted"):
        more = {"invoice": invoice["id"]}
        balance.move(world, invoice["customer"], -moved, "unapplied_from_invoice", invoice["currency"], **more)


def quote(
    world: World,
    lines: Sequence[Json],
    currency: str,
    *,
    coupons: Sequence[Json] = (),
    default_tax_rates: Sequence[Json] = (),
    customer: Json | None = None,
) -> Json:
    """The sums of an invoice that does not exist, made of `quote_line`s."""
    invoice: Json = {
        "amount_paid": 0,
        "currency": currency,
        "customer": customer["id"] if customer else None,
        "customer_tax_exempt": customer["tax_exempt"] if customer else "none",
        "default_tax_rates": list(default_tax_rates),
        "discounts": [coupon["id"] for coupon in coupons],
        "lines": {"data": list(lines)},
        "_quoted": {one["id"]: one for given in (coupons, *(line["_coupons"] for line in lines)) for one in given},
    }
    settle(world, invoice)
    return invoice


def quote_line(price: Json, amount: int, *, coupons: Sequence[Json] = (), rates: Sequence[Json] | None = None) -> Json:
    """A line for `quote`; `rates` None means the default tax rates."""
    return {
        "amount": amount,
        "discountable": True,
        "discounts": [coupon["id"] for coupon in coupons],
        "parent": {"invoice_item_details": None, "subscription_item_details": None},
        "pricing": {"price_details": {"price": price["id"], "product": price["product"]}},
        "_coupons": list(coupons),
        "_tax_rates": rates and list(rates),
    }


def _included(world: World, invoice: Json) -> int:
    """The tax that the subtotal includes."""
    if invoice.get("customer_tax_exempt", "none") != "none":
        return 0
    included = 0
    for line in invoice["lines"]["data"]:
        own = sum(row["amount"] for row in line["discount_amounts"] if row["discount"] in line["discounts"])
        included += tax_rates.inclusive_part(tax_rates.rates_of(world, invoice, line), line["amount"] - own)
    return included


def _summed(rows: Iterable[Json], key: Callable[[Json], object]) -> list[Json]:
    """The rows with their amounts added up per key, in the order in which the keys first come."""
    sums: dict[object, Json] = {}
    for row in rows:
        found = sums.setdefault(
            key(row), {**row, "amount": 0, **({"taxable_amount": 0} if "taxable_amount" in row else {})}
        )
        for name in ("amount", "taxable_amount"):
            if name in row:
                found[name] += row[name]
    return list(sums.values())


def summed_discounts(lines: Sequence[Json]) -> list[Json]:
    """What each discount takes off all lines."""
    return _summed((row for line in lines for row in line["discount_amounts"]), _discount_key)


def summed_credits(lines: Sequence[Json]) -> list[Json]:
    """What each discount and credit takes off all lines before tax."""
    return _summed((row for line in lines for row in line["pretax_credit_amounts"]), _credit_key)


def summed_taxes(lines: Sequence[Json]) -> list[Json]:
    """What each tax rate comes to on all lines."""
    return _summed((tax for line in lines for tax in line["taxes"]), _tax_key)


def _discount_key(row: Json) -> object:
    return row["discount"]


def _credit_key(row: Json) -> object:
    return row["discount"], row["credit_balance_transaction"]


def _tax_key(row: Json) -> object:
    return row["tax_rate_details"]["tax_rate"], row["taxability_reason"]
