"""The phases of a subscription schedule as requests give them and as Stripe shows them.

Not modelled: invoices that are sent, and discounts, tax rates and invoice items of phases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..catalog.prices import is_metered
from ..payments import payment_methods
from ..world.clock import add_interval
from ..world.errors import Json, invalid
from . import changes, selling
from .selling import Sale

if TYPE_CHECKING:
    from ..world.world import World

_MOST_PHASES = 10
_DURATION = fields.fields(
    required=("interval",),
    interval=fields.one_of("day", "week", "month", "year"),
    interval_count=fields.integer(1, 1_095),
)
PHASE = fields.fields(
    required=("items",),
    billing_cycle_anchor=fields.one_of("automatic", "phase_start"),
    collection_method=fields.one_of("charge_automatically", "charge_automatically"),
    currency=fields.currency,
    default_payment_method=fields.text,
    description=fields.clearable(fields.text_up_to(500)),
    duration=_DURATION,
    end_date=changes.moment_or("now"),
    items=fields.list_of(
        fields.fields(
            required=("price",), metadata=fields.metadata, price=fields.text, quantity=fields.integer(0, 999_999)
        ),
        20,
    ),
    metadata=fields.metadata,
    proration_behavior=changes.PRORATION,
    start_date=changes.moment_or("now"),
    trial=fields.boolean,
    trial_end=fields.timestamp,
)


def read(world: World, customer: Json, params: Json, start: int, *, flexible: bool) -> list[Json]:
    """The phases that a request gives, the first one from `start`, in UTC seconds.

    Raises:
        ApiError: none or too many, dates that do not follow each other, prices that cannot be sold so.
    """
    given: list[Json] = params["phases"]
    if not given:
        raise invalid("Missing required param: phases.", "phases", "parameter_missing")
    if len(given) > _MOST_PHASES:
        raise invalid(f"A subscription schedule can have at most {_MOST_PHASES} current and future phases.", "phases")
    phases: list[Json] = []
    for index, entry in enumerate(given):
        phases.append(_read_one(world, customer, entry, start, f"phases[{index}]", flexible=flexible))
        start = phases[-1]["end_date"]
    if len({phase["currency"] for phase in phases}) != 1:
        raise invalid("All phases must have the same currency.", "phases")
    return phases


def _read_one(world: World, customer: Json, given: Json, start: int, at: str, *, flexible: bool) -> Json:
    if "duration" in given and "end_date" in given:
        message = "You may only specify one of these parameters: duration, end_date."
        raise invalid(message, f"{at}[duration]", "parameters_exclusive")
    sales = _sales(world, given["items"], at)
    currency = selling.mixed_terms(sales, f"{at}[items]", flexible=flexible)
    if given.get("currency", currency) != currency:
        raise invalid("The prices have another currency.", f"{at}[currency]")
    begins = given.get("start_date", start)
    if begins not in (start, "now"):
        raise invalid("A phase must start where the one before it ends.", f"{at}[start_date]")
    end = _end_of(world, given, sales, start)
    if end <= start:
        raise invalid("The end date of a phase must be after its start date.", f"{at}[end_date]")
    if "default_payment_method" in given:
        param = f"{at}[default_payment_method]"
        payment_methods.of_customer(world, given["default_payment_method"], customer["id"], param)
    trial_end: int | None = end if given.get("trial") else given.get("trial_end")
    if given.get("trial") and "trial_end" in given:
        raise invalid("`trial` and `trial_end` are exclusive.", f"{at}[trial_end]", "parameters_exclusive")
    if trial_end is not None and not start < trial_end <= end:
        raise invalid("The trial must end within its phase.", f"{at}[trial_end]")
    if trial_end is not None and given.get("billing_cycle_anchor") == "phase_start":
        raise invalid("`phase_start` cannot be set on a phase with a trial.", f"{at}[billing_cycle_anchor]")
    return blank(currency, (start, end)) | {
        "billing_cycle_anchor": given.get("billing_cycle_anchor"),
        "collection_method": given.get("collection_method"),
        "default_payment_method": given.get("default_payment_method"),
        "description": given.get("description") or None,
        "items": [item(sale.price["id"], sale.quantity, sale.metadata) for sale in sales],
        "metadata": fields.merge_metadata({}, given.get("metadata")),
        "proration_behavior": given.get("proration_behavior", "create_prorations"),
        "trial_end": trial_end,
    }


def _sales(world: World, items: list[Json], at: str) -> list[Sale]:
    sales: list[Sale] = []
    for index, item in enumerate(items):
        where = f"{at}[items][{index}]"
        price = world.table("price").get(item["price"], f"{where}[price]")
        quantity = item.get("quantity", None if is_metered(price) else 1)
        sale = selling.checked_sale(world, item["price"], quantity, where)
        if price["type"] != "recurring":
            raise invalid("This field only accepts prices with `type=recurring`.", f"{where}[price]")
        sales.append(Sale(sale.price, sale.quantity, fields.merge_metadata({}, item.get("metadata"))))
    if not sales:
        raise invalid(f"Missing required param: {at}[items].", f"{at}[items]", "parameter_missing")
    return sales


def _end_of(world: World, given: Json, sales: list[Sale], start: int) -> int:
    if "end_date" in given:
        return world.clock.seconds() if given["end_date"] == "now" else int(given["end_date"])
    if "duration" in given:
        return add_interval(start, given["duration"]["interval"], given["duration"].get("interval_count", 1))
    return selling.period_from(sales[0].price, start)


def item(price: str, quantity: int | None, metadata: Json) -> Json:
    """An item of a phase; a metered price has no quantity."""
    made: Json = {
        "billing_thresholds": None,
        "discounts": [],
        "metadata": dict(metadata),
        "plan": price,
        "price": price,
        "tax_rates": [],
    }
    return made if quantity is None else {**made, "quantity": quantity}


def blank(currency: str, period: tuple[int, int]) -> Json:
    """A phase over a period, in UTC seconds, that sells nothing yet."""
    return {
        "add_invoice_items": [],
        "application_fee_percent": None,
        "billing_cycle_anchor": None,
        "billing_thresholds": None,
        "collection_method": None,
        "currency": currency,
        "default_payment_method": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "end_date": period[1],
        "invoice_settings": None,
        "items": [],
        "metadata": {},
        "on_behalf_of": None,
        "proration_behavior": "create_prorations",
        "start_date": period[0],
        "transfer_data": None,
        "trial_end": None,
    }
