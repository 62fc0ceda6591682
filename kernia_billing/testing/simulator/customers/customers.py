"""Customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..api.search import remember, search
from ..payments import payment_methods
from ..world import account
from ..world.errors import Json, invalid, missing
from ..world.events import emit, updating
from . import balance, tax_ids

if TYPE_CHECKING:
    from ..world.world import World

_LINE = fields.clearable(fields.text)
_ADDRESS = fields.fields(city=_LINE, country=_LINE, line1=_LINE, line2=_LINE, postal_code=_LINE, state=_LINE)
_INVOICE_SETTINGS = fields.fields(
    default_payment_method=fields.clearable(fields.text), footer=fields.clearable(fields.text)
)
_ELSEWHERE = {"balance", "payment_method", "tax_id_data"}
"""What a request sets by other means than writing it to the customer."""
_TAX_ID = fields.fields(required=("type", "value"), type=fields.text, value=fields.text_up_to(50))
_FIELDS: dict[str, fields.Reader] = {
    "address": fields.clearable(_ADDRESS),
    "balance": fields.integer(-99_999_999, 99_999_999),
    "description": fields.clearable(fields.text),
    "email": fields.clearable(fields.email),
    "invoice_settings": _INVOICE_SETTINGS,
    "metadata": fields.metadata,
    "name": fields.clearable(fields.text_up_to(256)),
    "phone": fields.clearable(fields.text_up_to(20)),
    "preferred_locales": fields.list_of(fields.text),
    "tax_exempt": fields.clearable(fields.one_of("none", "exempt", "reverse")),
}


def new(world: World, *, email: str | None = None, name: str | None = None) -> Json:
    """Make a customer and emit `customer.created`."""
    customer = world.table("customer").add(_blank(world))
    customer["email"], customer["name"] = email, name
    emit(world, "customer.created", customer)
    remember(world, customer)
    return customer


def live(world: World, id: str, param: str = "customer", *, in_path: bool = False) -> Json:
    """A customer that was not deleted.

    Raises:
        ApiError: resource_missing.
    """
    customer = world.table("customer").get(id, param, in_path=in_path)
    if customer.get("deleted"):
        raise missing("customer", id, param, in_path=in_path)
    return customer


def settle_currency(customer: Json, currency: str, param: str | None = None) -> None:
    """Refuse a currency other than the one that the customer already pays in.

    Raises:
        ApiError: the customer pays in another currency.
    """
    if customer.get("currency") not in (None, currency):
        raise invalid(
            "You cannot combine currencies on a single customer. This customer has an active subscription, "
            f"subscription schedule, discount, quote, or invoice item with currency {customer['currency']}.",
            param,
        )


def _blank(world: World) -> Json:
    return {
        "id": world.ids.new("cus", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": world.clock.seconds(),
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": world.ids.letters(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def _create(world: World, call: Call) -> Json:
    changes = _read(world, None, call.params)
    payment_method = call.params.get("payment_method")
    if "test_clock" in call.params:
        world.table("test_helpers.test_clock").get(call.params["test_clock"], "test_clock")
    if payment_method is not None:
        payment_methods.free(world, payment_method, "payment_method")
    given: list[Json] = call.params.get("tax_id_data", [])
    for index, row in enumerate(given):
        tax_ids.check(row["type"], row["value"], f"tax_id_data[{index}]")
    customer = {**_blank(world), **changes}
    world.table("customer").add(customer)
    if call.params.get("balance"):
        balance.enter(world, customer, call.params["balance"], "initial", account.CURRENCY)
    if payment_method is not None:
        _attach(world, customer, payment_method)
    emit(world, "customer.created", customer)
    for row in given:
        tax_ids.give(world, customer, row["type"], row["value"])
    remember(world, customer)
    return customer


def _attach(world: World, customer: Json, payment_method: str) -> None:
    """Attach a new customer's method, which real logs tell before the customer, and make it the default if asked."""
    method = payment_methods.attach(world, payment_method, customer)
    settings: Json = customer["invoice_settings"]
    if settings["default_payment_method"] == payment_method:
        settings["default_payment_method"] = method["id"]


def _update(world: World, call: Call) -> Json:
    customer = live(world, call.ids[0], "id", in_path=True)
    changes = _read(world, customer, call.params)
    with updating(world, customer, "customer.updated"):
        customer.update(changes)
        moved = call.params.get("balance", customer["balance"]) - customer["balance"]
        if moved:
            balance.enter(world, customer, moved, "adjustment", customer["currency"] or account.CURRENCY)
    remember(world, customer)
    return customer


def _read(world: World, customer: Json | None, params: Json) -> Json:
    """The new values of what the request sets; `''` unsets."""
    changes = {name: value for name, value in params.items() if name not in _ELSEWHERE}
    for name in ("address", "description", "email", "name", "phone"):
        if name in changes:
            changes[name] = changes[name] or None
    if changes.get("address"):
        changes["address"] = _full_address(changes["address"])
    if "tax_exempt" in changes:
        changes["tax_exempt"] = changes["tax_exempt"] or "none"
    current = customer or {"metadata": {}, "invoice_settings": {}}
    changes["metadata"] = fields.merge_metadata(current["metadata"], params.get("metadata"))
    if "invoice_settings" in changes:
        given: Json = changes["invoice_settings"]
        changes["invoice_settings"] = _invoice_settings(world, customer, given, params.get("payment_method"))
    return changes


def _full_address(given: Json) -> Json:
    names = ("city", "country", "line1", "line2", "postal_code", "state")
    return {name: given.get(name) or None for name in names}


def _invoice_settings(world: World, customer: Json | None, given: Json, attaching: str | None) -> Json:
    """The settings with what is given; the default must be attached, or be the one that comes with a new customer."""
    settings = {**(customer or _blank(world))["invoice_settings"], **{k: v or None for k, v in given.items()}}
    method = settings["default_payment_method"]
    if method is not None and method != attaching:
        param = "invoice_settings[default_payment_method]"
        payment_methods.of_customer(world, method, customer["id"] if customer else None, param)
    return settings


def _retrieve(world: World, call: Call) -> Json:
    return world.table("customer").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    clock = call.params.get("test_clock")
    if clock is not None:
        world.table("test_helpers.test_clock").get(clock, "test_clock")
    rows = [row for row in world.table("customer") if not row.get("deleted") and row["test_clock"] == clock]
    found = lists.filtered(rows, email=call.params.get("email"))
    return lists.page(lists.created_in(found, call.params), call, kind="customer")


def _search(world: World, call: Call) -> Json:
    return search(world, "customer", call)


_ONCE: dict[str, fields.Reader] = {
    "payment_method": fields.text,
    "tax_id_data": fields.list_of(_TAX_ID, tax_ids.MOST),
    "test_clock": fields.text,
}
"""What can only be said of a new customer."""

ROUTES = (
    Route("POST", "/v1/customers", _create, {**_FIELDS, **_ONCE}),
    Route(
        "GET",
        "/v1/customers",
        _list,
        {"email": fields.email, "created": fields.range_of_time, "test_clock": fields.text},
        lists=True,
    ),
    Route(
        "GET",
        "/v1/customers/search",
        _search,
        {"query": fields.text, "limit": fields.integer(1, 100), "page": fields.text},
        ("query",),
    ),
    Route("GET", "/v1/customers/{id}", _retrieve),
    Route("POST", "/v1/customers/{id}", _update, _FIELDS),
)
