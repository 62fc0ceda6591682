"""Tax rates: percentages that somebody chose for a line. Stripe Tax, which would choose them, is not computed."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json, invalid
from ..world.events import emit, updating

if TYPE_CHECKING:
    from ..world.world import World

_TYPES = fields.one_of(
    *(
        "amusement_tax",
        "communications_tax",
        "gst",
        "hst",
        "igst",
        "jct",
        "lease_tax",
        "pst",
        "qst",
        "retail_delivery_fee",
    ),
    *("rst", "sales_tax", "service_tax", "vat"),
)
IDS = fields.clearable(fields.list_of(fields.text, 5))
"""Reads a parameter that takes ids of tax rates, at most five; `''` takes them away."""

AUTOMATIC = fields.fields(required=("enabled",), enabled=fields.boolean)
"""Reads `automatic_tax`: a flag that is kept and shown, while no tax is computed from it."""


def named(world: World, given: list[str] | str | None, param: str) -> list[Json]:
    """The tax rates of those ids, which may be used on something new.

    Raises:
        ApiError: one does not exist or is archived, or two differ in being inclusive.
    """
    rates = [world.table("tax_rate").get(id, f"{param}[{index}]") for index, id in enumerate(given or ())]
    for index, rate in enumerate(rates):
        if not rate["active"]:
            raise invalid(f"The tax rate {rate['id']} is archived and cannot be used.", f"{param}[{index}]")
    if len({rate["inclusive"] for rate in rates}) > 1:
        raise invalid("Inclusive and exclusive tax rates cannot be combined on one line.", param)
    return rates


def apply(world: World, invoice: Json) -> None:
    """Write the `taxes` of each line of an invoice, on what discounts and credits leave of its amount."""
    exempt = invoice.get("customer_tax_exempt", "none")
    for line in invoice["lines"]["data"]:
        taxable = line["amount"] - sum(row["amount"] for row in line["pretax_credit_amounts"])
        line["taxes"] = taxes_on(rates_of(world, invoice, line), taxable, exempt)


def taxes_on(rates: list[Json], taxable: int, exempt: str) -> list[Json]:
    """The tax of each rate on an amount; `exempt` is what the customer says of itself."""
    return [_tax(rate, amount, taxable, exempt) for rate, amount in _split(rates, taxable)]


def inclusive_part(rates: list[Json], amount: int) -> int:
    """What of an amount is tax that it includes."""
    return sum(tax for rate, tax in _split(rates, amount) if rate["inclusive"])


def rates_of(world: World, invoice: Json, line: Json) -> list[Json]:
    """The rates of a line: its own, else its invoice item's, its subscription item's, the invoice's."""
    own: list[Json] | None = line.get("_tax_rates")
    if own is None:
        of_subscription: Json = line["parent"]["subscription_item_details"] or {}
        of_item: Json = line["parent"]["invoice_item_details"] or of_subscription
        owners: tuple[Json, ...] = (
            world.table("invoiceitem").rows.get(of_item.get("invoice_item") or "", {}),
            world.table("subscription_item").rows.get(of_subscription.get("subscription_item") or "", {}),
        )
        own = next((owner["tax_rates"] for owner in owners if owner.get("tax_rates")), None)
    return own or invoice["default_tax_rates"]


def _split(rates: list[Json], taxable: int) -> list[tuple[Json, int]]:
    """What each rate takes of an amount; inclusive ones are contained in it, all together."""
    inclusive = sum((_percent(rate) for rate in rates if rate["inclusive"]), Decimal(0))
    return [
        (rate, _rounded(taxable * _percent(rate) / (100 + inclusive if rate["inclusive"] else Decimal(100))))
        for rate in rates
    ]


def _tax(rate: Json, amount: int, taxable: int, exempt: str) -> Json:
    reasons = {"exempt": "customer_exempt", "reverse": "reverse_charge"}
    base = taxable - amount if rate["inclusive"] else taxable
    return {
        "amount": 0 if exempt in reasons else amount,
        "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
        "tax_rate_details": {"tax_rate": rate["id"]},
        "taxability_reason": reasons.get(exempt, "standard_rated" if amount else "zero_rated"),
        "taxable_amount": 0 if exempt in reasons else base,
        "type": "tax_rate_details",
    }


def _percent(rate: Json) -> Decimal:
    return Decimal(str(rate["percentage"]))


def _rounded(amount: Decimal) -> int:
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def _create(world: World, call: Call) -> Json:
    params = call.params
    metadata = fields.merge_metadata({}, params.get("metadata"))
    percentage = float(params["percentage"])
    if percentage > 100:
        raise invalid("Invalid percentage: must be at most 100", "percentage")
    names = ("country", "description", "jurisdiction", "state", "tax_type")
    rate: Json = {
        "id": world.ids.new("txr"),
        "object": "tax_rate",
        "active": params.get("active", True),
        **{name: params.get(name) for name in names},
        "created": world.clock.seconds(),
        "display_name": params["display_name"],
        "effective_percentage": percentage,
        "flat_amount": None,
        "inclusive": params["inclusive"],
        "jurisdiction_level": None,
        "livemode": False,
        "metadata": metadata,
        "percentage": percentage,
        "rate_type": "percentage",
    }
    world.table("tax_rate").add(rate)
    emit(world, "tax_rate.created", rate)
    return rate


def _update(world: World, call: Call) -> Json:
    rate = world.table("tax_rate").get(call.ids[0], in_path=True)
    changes = {**call.params, "metadata": fields.merge_metadata(rate["metadata"], call.params.get("metadata"))}
    with updating(world, rate, "tax_rate.updated"):
        rate.update({name: None if value == "" else value for name, value in changes.items()})
    return rate


def _retrieve(world: World, call: Call) -> Json:
    return world.table("tax_rate").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    names = ("active", "inclusive")
    found = lists.filtered(world.table("tax_rate"), **{name: call.params.get(name) for name in names})
    return lists.page(lists.created_in(found, call.params), call, kind="tax rate")


_FIELDS: dict[str, fields.Reader] = {
    "active": fields.boolean,
    "country": fields.text_up_to(2),
    "description": fields.text,
    "display_name": fields.text_up_to(100),
    "jurisdiction": fields.text_up_to(50),
    "metadata": fields.metadata,
    "state": fields.text_up_to(3),
    "tax_type": _TYPES,
}

ROUTES = (
    Route(
        "POST",
        "/v1/tax_rates",
        _create,
        {**_FIELDS, "inclusive": fields.boolean, "percentage": fields.decimal_text},
        ("display_name", "inclusive", "percentage"),
    ),
    Route(
        "GET",
        "/v1/tax_rates",
        _list,
        {"active": fields.boolean, "created": fields.range_of_time, "inclusive": fields.boolean},
        lists=True,
    ),
    Route("GET", "/v1/tax_rates/{id}", _retrieve),
    Route("POST", "/v1/tax_rates/{id}", _update, _FIELDS),
)
