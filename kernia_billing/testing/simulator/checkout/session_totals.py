"""What a checkout session comes to: its lines, the discount on it, its taxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..invoices import discounts, quotes
from ..invoices.discounts import Wanted
from ..subscriptions.selling import Sale
from ..world.errors import Json
from ..world.rendering import render

if TYPE_CHECKING:
    from ..world.world import World


def sales_of(world: World, session: Json) -> list[Sale]:
    """What a session sells."""
    rows = session["_lines"]
    return [Sale(world.table("price").get(row["price"]), row["quantity"], tax_rates=row["tax_rates"]) for row in rows]


def trial_end_of(world: World, session: Json) -> int | None:
    """When a trial that begins now would end."""
    data: Json = session["_subscription_data"]
    if "trial_period_days" in data:
        return world.clock.seconds() + int(data["trial_period_days"]) * 86_400
    end: int | None = data.get("trial_end")
    return end


def settle(world: World, session: Json) -> None:
    """Compute what a session comes to, with its discount and its taxes."""
    wanted: list[Wanted] = session["_wanted"]
    quoted = quote_of(world, session)
    session |= {
        "amount_subtotal": sum(line["amount"] for line in quoted["lines"]["data"]),
        "amount_total": quoted["total"],
        "discounts": [
            {"coupon": one.coupon["id"], "promotion_code": one.promotion_code["id"] if one.promotion_code else None}
            for one in wanted
        ],
        "total_details": {
            "amount_discount": sum(row["amount"] for row in quoted["total_discount_amounts"]),
            "amount_shipping": 0,
            "amount_tax": sum(row["amount"] for row in quoted["total_taxes"]),
        },
    }


def quote_of(world: World, session: Json) -> Json:
    """The sums of the invoice that paying a session now would make, the customer's balance included."""
    return _quote(world, session, trial=trial_end_of(world, session) is not None)


def check_discounts(world: World, session: Json) -> None:
    """See that the discount of a session can be redeemed now.

    Raises:
        ApiError: it expired or was used up since.
    """
    wanted: list[Wanted] = session["_wanted"]
    entries = [
        {"promotion_code": one.promotion_code["id"]} if one.promotion_code else {"coupon": one.coupon["id"]}
        for one in wanted
    ]
    checked(world, session, entries)


def rows_of(world: World, session: Json) -> list[Json]:
    """The line items of a session as it shows them, at full price also when a trial begins."""
    rows: list[Json] = []
    quoted = _quote(world, session, trial=False)["lines"]["data"]
    for row, line in zip(session["_lines"], quoted, strict=True):
        price = world.table("price").get(row["price"])
        discount = sum(part["amount"] for part in line["discount_amounts"])
        added = sum(tax["amount"] for tax in line["taxes"] if tax["tax_behavior"] == "exclusive")
        rows.append(
            {
                "id": row["id"],
                "object": "item",
                "adjustable_quantity": row["adjustable_quantity"],
                "amount_discount": discount,
                "amount_subtotal": line["amount"],
                "amount_tax": sum(tax["amount"] for tax in line["taxes"]),
                "amount_total": line["amount"] - discount + added,
                "currency": price["currency"],
                "description": world.table("product").get(price["product"])["name"],
                "metadata": {},
                "price": render(world, price),
                "quantity": row["quantity"],
            }
        )
    return rows


def checked(world: World, session: Json, entries: list[Json]) -> list[Wanted]:
    """Read discounts for what a session sells.

    Raises:
        ApiError: one of them cannot be used.
    """
    return discounts.read(
        world,
        entries,
        customer=session["customer"],
        currency=session["currency"],
        amount=quotes.at_start(world, sales_of(world, session))["subtotal"],
    )


def _quote(world: World, session: Json, *, trial: bool) -> Json:
    wanted: list[Wanted] = session["_wanted"]
    customer = world.table("customer").get(session["customer"]) if session["customer"] else None
    return quotes.at_start(
        world,
        sales_of(world, session),
        trial=trial,
        coupons=[one.coupon for one in wanted],
        default_tax_rates=session["_default_tax_rates"],
        customer=customer if customer and not customer.get("deleted") else None,
    )
