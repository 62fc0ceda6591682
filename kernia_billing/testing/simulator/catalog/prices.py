"""Prices. A price is a fact: only active, lookup_key, metadata, nickname and tax_behavior ever change."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..metering import meters
from ..world.errors import Json, invalid
from ..world.events import emit, updating
from ..world.rendering import includable
from . import products, tiers

if TYPE_CHECKING:
    from ..world.world import World

_RECURRING = fields.fields(
    required=("interval",),
    interval=fields.one_of("day", "week", "month", "year"),
    interval_count=fields.integer(1, 1_095),
    meter=fields.text,
    usage_type=fields.one_of("licensed", "metered"),
)
_PRODUCT_DATA = fields.fields(required=("name",), name=fields.text, metadata=fields.metadata)
_FIELDS: dict[str, fields.Reader] = {
    "active": fields.boolean,
    "lookup_key": fields.clearable(fields.text_up_to(200)),
    "metadata": fields.metadata,
    "nickname": fields.clearable(fields.text),
    "tax_behavior": fields.one_of("exclusive", "inclusive", "unspecified"),
    "transfer_lookup_key": fields.boolean,
}
_MOST_DAYS = {"day": 1_095, "week": 156, "month": 36, "year": 3}
"""Billing intervals of at most three years."""


def new(
    world: World,
    product: str,
    amount: int,
    currency: str,
    *,
    id: str | None = None,
    interval: str | None = "month",
    metered: bool = False,
    meter: str | None = None,
) -> Json:
    """Make a price of `amount` minor units per unit and emit `price.created`; `interval` None makes it one-time.

    A metered price bills the meter whose event name is `meter`, by default its own id without `price_`. The meter is
    made if there is none.
    """
    price = _blank(world, product, currency)
    price["id"] = id or price["id"]
    price["unit_amount"], price["unit_amount_decimal"] = amount, str(amount)
    if interval is not None:
        price["type"] = "recurring"
        price["recurring"] = _recurring({"interval": interval, "usage_type": "metered" if metered else "licensed"})
    if interval is not None and metered:
        price["recurring"]["meter"] = meters.ensure(world, meter or price["id"].removeprefix("price_"))["id"]
    world.table("price").add(price)
    emit(world, "price.created", price)
    return price


def is_metered(price: Json) -> bool:
    """Whether usage is what this price bills."""
    return bool(price["type"] == "recurring" and price["recurring"]["usage_type"] == "metered")


def cost(price: Json, quantity: int) -> int:
    """What `quantity` units cost, in minor units, halves rounded up; tiers and packages are reckoned in."""
    return tiers.cost(price, quantity)


def _blank(world: World, product: str, currency: str) -> Json:
    return {
        "id": world.ids.new("price"),
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": world.clock.seconds(),
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": product,
        "recurring": None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": None,
        "unit_amount_decimal": None,
        "_tiers": None,
    }


@includable("plan", "tiers")
@includable("price", "tiers")
def _show_tiers(world: World, price: Json) -> list[Json] | None:
    return None if price["_tiers"] is None else [dict(tier) for tier in price["_tiers"]]


def _recurring(given: Json) -> Json:
    return {
        "interval": given["interval"],
        "interval_count": given.get("interval_count", 1),
        "meter": given.get("meter"),
        "trial_period_days": None,
        "usage_type": given.get("usage_type", "licensed"),
    }


def _create(world: World, call: Call) -> Json:
    params = call.params
    if ("product" in params) == ("product_data" in params):
        raise invalid("You must specify exactly one of `product` and `product_data`.", "product")
    amounts = _amounts(params)
    if "product" in params:
        world.table("product").get(params["product"], "product")
    recurring = _recurring(params["recurring"]) if "recurring" in params else None
    if recurring and recurring["interval_count"] > _MOST_DAYS[recurring["interval"]]:
        raise invalid("Billing intervals must be at most 3 years.", "recurring[interval_count]")
    if recurring:
        _check_meter(world, recurring)
    holder = _holder_of(world, params.get("lookup_key"))
    if holder and not params.get("transfer_lookup_key"):
        message = f"A price (`{holder['id']}`) already uses that lookup key."
        raise invalid(message, "lookup_key")
    metadata = fields.merge_metadata({}, params.get("metadata"))
    if "product_data" in params:
        product = products.new(world, params["product_data"]["name"])["id"]
    else:
        product = params["product"]
    price = _blank(world, product, params["currency"])
    price |= {name: params[name] for name in ("active", "tax_behavior") if name in params}
    price |= {"metadata": metadata, "nickname": params.get("nickname") or None}
    price |= {"type": "recurring" if recurring else "one_time", "recurring": recurring, **amounts}
    price["lookup_key"] = params.get("lookup_key") or None
    if holder:
        _release(world, holder)
    world.table("price").add(price)
    emit(world, "price.created", price)
    return price


def _check_meter(world: World, recurring: Json) -> None:
    """Usage is billed by meters only, since 2025-03-31.basil."""
    metered, meter = recurring["usage_type"] == "metered", recurring["meter"]
    if metered and meter is None:
        raise invalid("Prices with `usage_type=metered` must be backed by meters.", "recurring[meter]")
    if meter is None:
        return
    if not metered:
        raise invalid("A `meter` needs `usage_type=metered`.", "recurring[meter]")
    if world.table("billing.meter").get(meter, "recurring[meter]")["status"] != "active":
        raise invalid(f"The meter {meter} is not active.", "recurring[meter]")


def _amounts(params: Json) -> Json:
    if params.get("billing_scheme") == "tiered":
        return _tiered(params)
    for name in ("tiers", "tiers_mode"):
        if name in params:
            raise invalid(f"`{name}` needs `billing_scheme=tiered`.", name)
    if ("unit_amount" in params) == ("unit_amount_decimal" in params):
        raise invalid("You must specify exactly one of `unit_amount` and `unit_amount_decimal`.", "unit_amount")
    transform = {"transform_quantity": params.get("transform_quantity")}
    if "unit_amount" in params:
        return {"unit_amount": params["unit_amount"], "unit_amount_decimal": str(params["unit_amount"]), **transform}
    each = Decimal(params["unit_amount_decimal"])
    whole = int(each) if each == each.to_integral_value() else None
    return {"unit_amount": whole, "unit_amount_decimal": params["unit_amount_decimal"], **transform}


def _tiered(params: Json) -> Json:
    for name in ("unit_amount", "unit_amount_decimal", "transform_quantity"):
        if name in params:
            raise invalid(f"`{name}` cannot be combined with `tiers`.", name)
    for name in ("tiers", "tiers_mode"):
        if name not in params:
            raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    return {
        "billing_scheme": "tiered",
        "tiers_mode": params["tiers_mode"],
        "_tiers": tiers.read(params["tiers"]),
    }


def _holder_of(world: World, lookup_key: str | None) -> Json | None:
    if not lookup_key:
        return None
    return next((price for price in world.table("price") if price["lookup_key"] == lookup_key), None)


def _release(world: World, holder: Json) -> None:
    with updating(world, holder, "price.updated"):
        holder["lookup_key"] = None


def _update(world: World, call: Call) -> Json:
    price = world.table("price").get(call.ids[0], in_path=True)
    params = dict(call.params)
    transfer = params.pop("transfer_lookup_key", False)
    holder = _holder_of(world, params.get("lookup_key"))
    if holder and holder is not price and not transfer:
        raise invalid(f"A price (`{holder['id']}`) already uses that lookup key.", "lookup_key")
    if price["tax_behavior"] != "unspecified" and params.get("tax_behavior") not in (None, price["tax_behavior"]):
        raise invalid("You cannot change the tax_behavior of a price once it is set.", "tax_behavior")
    if params.get("active") is False and world.table("product").get(price["product"])["default_price"] == price["id"]:
        raise invalid("This price cannot be archived because it is the default price of its product.", "active")
    params["metadata"] = fields.merge_metadata(price["metadata"], params.get("metadata"))
    for name in ("lookup_key", "nickname"):
        if name in params:
            params[name] = params[name] or None
    if holder and holder is not price:
        _release(world, holder)
    with updating(world, price, "price.updated"):
        price.update(params)
    return price


def _retrieve(world: World, call: Call) -> Json:
    return world.table("price").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    names = ("active", "currency", "product", "type")
    found = lists.filtered(world.table("price"), **{name: params.get(name) for name in names})
    if "lookup_keys" in params:
        found = [price for price in found if price["lookup_key"] in params["lookup_keys"]]
    for name, value in params.get("recurring", {}).items():
        found = [price for price in found if price["recurring"] and price["recurring"][name] == value]
    return lists.page(lists.created_in(found, params), call, kind="price")


ROUTES = (
    Route(
        "POST",
        "/v1/prices",
        _create,
        {
            **_FIELDS,
            "billing_scheme": fields.one_of("per_unit", "tiered"),
            "currency": fields.currency,
            "product": fields.text,
            "product_data": _PRODUCT_DATA,
            "recurring": _RECURRING,
            "tiers": fields.list_of(tiers.TIER),
            "tiers_mode": fields.one_of("graduated", "volume"),
            "transform_quantity": fields.fields(
                required=("divide_by", "round"), divide_by=fields.integer(1), round=fields.one_of("down", "up")
            ),
            "unit_amount": fields.integer(0, 99_999_999),
            "unit_amount_decimal": fields.decimal_text,
        },
        ("currency",),
    ),
    Route(
        "GET",
        "/v1/prices",
        _list,
        {
            "active": fields.boolean,
            "created": fields.range_of_time,
            "currency": fields.currency,
            "lookup_keys": fields.list_of(fields.text, 10),
            "product": fields.text,
            "recurring": fields.fields(
                interval=fields.one_of("day", "week", "month", "year"),
                meter=fields.text,
                usage_type=fields.one_of("licensed", "metered"),
            ),
            "type": fields.one_of("one_time", "recurring"),
        },
        lists=True,
    ),
    Route("GET", "/v1/prices/{id}", _retrieve),
    Route("POST", "/v1/prices/{id}", _update, _FIELDS),
)
