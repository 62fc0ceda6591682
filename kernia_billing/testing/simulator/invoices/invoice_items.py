"""Invoice items: what waits to be put on an invoice, prorations and amounts added by hand.

An item without an invoice is pending: the next invoice of its subscription takes it, or of any subscription of its
customer when it names none. Not modelled: inline prices, tax codes and rules that hold an item back.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..catalog import prices, tax_rates
from ..customers import customers
from ..world.errors import Json, invalid
from ..world.events import emit
from ..world.rendering import filler, render
from . import discounts, invoice_lines, invoices

if TYPE_CHECKING:
    from ..world.world import World

_MOST = 99_999_999


def new(
    world: World,
    customer: str,
    currency: str,
    amount: int,
    *,
    description: str | None = None,
    price: Json | None = None,
    quantity: int = 1,
    period: tuple[int, int] | None = None,
    subscription: str | None = None,
    subscription_item: str | None = None,
    proration: bool = False,
    metadata: Json | None = None,
    discountable: bool = True,
    unit_amount: Decimal | None = None,
) -> Json:
    """An invoice item of `amount` minor units that is not kept yet; prorations are never discountable."""
    now = world.clock.seconds()
    start, end = period or (now, now)
    parent: Json | None = None
    if subscription is not None:
        details = {"subscription": subscription, "subscription_item": subscription_item}
        parent = {"subscription_details": details, "type": "subscription_details"}
    pricing = invoice_lines.pricing_of(price) if price else None
    if pricing is None and unit_amount is not None:
        pricing = {"price_details": None, "type": "price_details", "unit_amount_decimal": str(unit_amount)}
    discountable = discountable and not proration and amount >= 0
    return {
        "id": world.ids.new("ii"),
        "object": "invoiceitem",
        "amount": amount,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "date": now,
        "description": description,
        "discountable": discountable,
        "discounts": list[str](),
        "frozen_fields": None,
        "invoice": None,
        "invoicing_rules": None,
        "livemode": False,
        "metadata": dict(metadata or {}),
        "net_amount": None if discountable else amount,
        "parent": parent,
        "period": {"start": start, "end": end},
        "pricing": pricing,
        "proration": proration,
        "proration_details": {"credited_items": None, "discount_amounts": []} if proration else None,
        "quantity": quantity,
        "quantity_decimal": str(quantity),
        "tax_rates": list[Json](),
        "test_clock": None,
        "_subscription": subscription,
        "_credited": None,
    }


def keep(world: World, item: Json) -> Json:
    """Let an invoice item wait for its invoice; emits `invoiceitem.created`."""
    world.table("invoiceitem").add(item)
    emit(world, "invoiceitem.created", item)
    return item


def keep_line(world: World, subscription: Json, line: Json) -> Json:
    """Let a line of a subscription's usage wait for the next invoice."""
    return keep(world, _of_line(world, subscription, line))


def keep_sold(world: World, subscription: Json, invoice: Json) -> None:
    """Keep what a subscription's first invoice bills once, as the invoice items that its lines name."""
    kept = world.table("invoiceitem").rows
    for line in invoice["lines"]["data"]:
        named: Json | None = line["parent"]["invoice_item_details"]
        if named is not None and named["invoice_item"] not in kept:
            mine = {"id": named["invoice_item"], "invoice": invoice["id"], "metadata": dict(line["metadata"])}
            rates = {"tax_rates": list(line["_tax_rates"] or ())}
            keep(world, _of_line(world, subscription, line) | mine | rates)


def _of_line(world: World, subscription: Json, line: Json) -> Json:
    price = world.table("price").get(line["pricing"]["price_details"]["price"])
    return new(
        world,
        subscription["customer"],
        subscription["currency"],
        line["amount"],
        description=line["description"],
        price=price,
        quantity=line["quantity"],
        period=(line["period"]["start"], line["period"]["end"]),
        subscription=subscription["id"],
        subscription_item=invoice_lines.item_of(line),
    )


def pending(world: World, subscription: Json) -> list[Json]:
    """What waits for the next invoice of a subscription, oldest first."""
    waiting = _waiting(world, subscription["customer"], subscription["currency"])
    return [row for row in waiting if row["_subscription"] in (None, subscription["id"])]


def drop(world: World, item: Json) -> None:
    """Delete a pending invoice item; emits `invoiceitem.deleted`."""
    del world.table("invoiceitem").rows[item["id"]]
    emit(world, "invoiceitem.deleted", item)


def _waiting(world: World, customer: str, currency: str) -> list[Json]:
    rows = reversed(list(world.table("invoiceitem")))
    return [
        row for row in rows if row["customer"] == customer and row["currency"] == currency and row["invoice"] is None
    ]


def by_hand(world: World, customer: str, currency: str) -> list[Json]:
    """What waits for an invoice of a customer that belongs to no subscription, oldest first."""
    return [row for row in _waiting(world, customer, currency) if row["_subscription"] is None]


@filler("invoiceitem")
def _fill(world: World, shown: Json) -> None:
    if shown.get("deleted"):
        return
    shown["tax_rates"] = [render(world, rate) for rate in shown["tax_rates"]]
    if shown["proration_details"] and shown["_credited"]:
        credited = {"invoice_item": None, "invoice_line_item_details": shown["_credited"], "type": "invoice_line_items"}
        shown["proration_details"]["credited_items"] = credited


def _create(world: World, call: Call) -> Json:
    params = call.params
    if "customer" not in params:
        raise invalid("Missing required param: customer.", "customer", "parameter_missing")
    customer = customers.live(world, params["customer"])
    price = _price(world, params)
    quantity = params.get("quantity", 1)
    amount, unit = _amount(params, price, quantity)
    currency = price["currency"] if price else params.get("currency", customer["currency"])
    if currency is None:
        raise invalid("Missing required param: currency.", "currency", "parameter_missing")
    if "currency" in params and params["currency"] != currency:
        raise invalid("The price has another currency.", "currency")
    customers.settle_currency(customer, currency, "currency")
    subscription = _subscription(world, params, customer)
    invoice = _draft(world, params, customer, currency)
    period: Json = params.get("period", {})
    if period and period["end"] < period["start"]:
        raise invalid("The end of the period must be greater than or equal to its start.", "period[end]")
    wanted = discounts.read(world, params.get("discounts"), customer=customer["id"], currency=currency)
    rates = tax_rates.named(world, params.get("tax_rates"), "tax_rates")
    metadata = fields.merge_metadata({}, params.get("metadata"))
    item = new(
        world,
        customer["id"],
        currency,
        amount,
        description=params.get("description")
        or (world.table("product").get(price["product"])["name"] if price else None),
        price=price,
        quantity=quantity,
        period=(period["start"], period["end"]) if period else None,
        subscription=subscription["id"] if subscription else None,
        metadata=metadata,
        discountable=params.get("discountable", True),
        unit_amount=unit,
    )
    item["discounts"] = discounts.grant(world, wanted, customer=customer["id"], invoice_item=item["id"])
    item["tax_rates"] = rates
    keep(world, item)
    if invoice is not None:
        invoices.add_items(world, invoice, [item])
    return item


def _price(world: World, params: Json) -> Json | None:
    if "pricing" not in params:
        return None
    price = world.table("price").get(params["pricing"]["price"], "pricing[price]")
    if price["type"] != "one_time" or not price["active"]:
        raise invalid("This field only accepts active prices with `type=one_time`.", "pricing[price]")
    if "amount" in params or "unit_amount_decimal" in params:
        raise invalid("You may only specify one of these parameters: amount, pricing, unit_amount_decimal.", "pricing")
    return price


def _amount(params: Json, price: Json | None, quantity: int) -> tuple[int, Decimal | None]:
    if price is not None:
        return prices.cost(price, quantity), None
    if "unit_amount_decimal" in params:
        if "amount" in params:
            message = "You may only specify one of these parameters: amount, unit_amount_decimal."
            raise invalid(message, "amount", "parameters_exclusive")
        each = Decimal(params["unit_amount_decimal"])
        return int((each * quantity).quantize(Decimal(1), rounding=ROUND_HALF_UP)), each
    if "amount" not in params:
        raise invalid("One of amount, pricing and unit_amount_decimal is needed.", "amount", "parameter_missing")
    if "quantity" in params:
        raise invalid("`quantity` needs `pricing` or `unit_amount_decimal`.", "quantity")
    return params["amount"], None


def _subscription(world: World, params: Json, customer: Json) -> Json | None:
    if "subscription" not in params:
        return None
    found = world.table("subscription").get(params["subscription"], "subscription")
    if found["customer"] != customer["id"] or found["status"] in ("canceled", "incomplete_expired"):
        raise invalid("The subscription is not a live one of the customer's.", "subscription")
    return found


def _draft(world: World, params: Json, customer: Json, currency: str) -> Json | None:
    if "invoice" not in params:
        return None
    found = world.table("invoice").get(params["invoice"], "invoice")
    if found["customer"] != customer["id"] or found["currency"] != currency:
        raise invalid("The invoice is not one of the customer's in that currency.", "invoice")
    if found["status"] != "draft":
        raise invalid("Invoice is not a draft: items can no longer be added.", "invoice", "invoice_not_editable")
    return found


def _retrieve(world: World, call: Call) -> Json:
    return world.table("invoiceitem").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    if "customer" in params:
        world.table("customer").get(params["customer"], "customer")
    found = lists.filtered(world.table("invoiceitem"), customer=params.get("customer"), invoice=params.get("invoice"))
    if "pending" in params:
        found = [row for row in found if (row["invoice"] is None) is params["pending"]]
    found = [row for row in found if fields.in_range(row["date"], params.get("created"))]
    return lists.page(found, call, kind="invoiceitem")


def _delete(world: World, call: Call) -> Json:
    item = world.table("invoiceitem").get(call.ids[0], in_path=True)
    invoice = world.table("invoice").rows.get(item["invoice"] or "")
    if invoice is not None:
        if invoice["status"] != "draft":
            message = "The invoice item is on an invoice that is no longer a draft."
            raise invalid(message, None, "invoice_not_editable")
        invoices.remove_item(world, invoice, item)
    drop(world, item)
    return {"id": item["id"], "object": "invoiceitem", "deleted": True}


ROUTES = (
    Route(
        "POST",
        "/v1/invoiceitems",
        _create,
        {
            "amount": fields.integer(-_MOST, _MOST),
            "currency": fields.currency,
            "customer": fields.text,
            "description": fields.text_up_to(5_000),
            "discountable": fields.boolean,
            "discounts": discounts.PARAM,
            "invoice": fields.text,
            "metadata": fields.metadata,
            "period": fields.fields(required=("end", "start"), end=fields.timestamp, start=fields.timestamp),
            "pricing": fields.fields(required=("price",), price=fields.text),
            "quantity": fields.integer(0, 999_999),
            "subscription": fields.text,
            "tax_rates": fields.list_of(fields.text),
            "unit_amount_decimal": fields.decimal_text,
        },
    ),
    Route(
        "GET",
        "/v1/invoiceitems",
        _list,
        {
            "created": fields.range_of_time,
            "customer": fields.text,
            "invoice": fields.text,
            "pending": fields.boolean,
        },
        lists=True,
    ),
    Route("GET", "/v1/invoiceitems/{id}", _retrieve),
    Route("DELETE", "/v1/invoiceitems/{id}", _delete),
)
