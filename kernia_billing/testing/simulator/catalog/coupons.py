"""Coupons: what may be taken off, how often, for how long and on which products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import ApiError, Json, invalid, missing
from ..world.events import emit, updating
from ..world.rendering import filler, includable

if TYPE_CHECKING:
    from ..world.world import World

_AMOUNT = fields.integer(1, 99_999_999)


def live(world: World, id: str, param: str = "id", *, in_path: bool = False) -> Json:
    """A coupon that was not deleted.

    Raises:
        ApiError: resource_missing.
    """
    coupon = world.table("coupon").get(id, param, in_path=in_path)
    if coupon.get("deleted"):
        raise missing("coupon", id, param, in_path=in_path)
    return coupon


def usable(world: World, coupon: Json, param: str, currency: str | None = None) -> None:
    """See that a coupon may be redeemed once more, on something in `currency`.

    Raises:
        ApiError: it expired, is used up, or takes off an amount in other currencies only.
    """
    if not is_valid(world, coupon):
        message = f"Coupon {coupon['id']} is expired and cannot be applied."
        raise ApiError(message, code="coupon_expired", param=param)
    if currency and coupon["percent_off"] is None and amount_off(coupon, currency) is None:
        raise invalid(f"Coupon {coupon['id']} has no amount in the currency {currency}.", param)


def is_valid(world: World, coupon: Json) -> bool:
    """Whether a coupon may still be redeemed."""
    return not coupon.get("deleted") and not is_over(world, coupon["redeem_by"]) and not used_up(coupon)


def is_over(world: World, end: int | None) -> bool:
    """Whether a moment, if there is one, has come."""
    return end is not None and end <= world.clock.seconds()


def used_up(row: Json) -> bool:
    """Whether a coupon or code was redeemed as often as it may be."""
    most: int | None = row["max_redemptions"]
    return most is not None and row["times_redeemed"] >= most


def amount_off(coupon: Json, currency: str) -> int | None:
    """The fixed amount of a coupon in a currency; None when it has none in it."""
    if coupon["currency"] == currency:
        return int(coupon["amount_off"])
    options: dict[str, Json] = coupon["_currency_options"]
    option = options.get(currency)
    return int(option["amount_off"]) if option else None


@filler("coupon")
def _fill(world: World, shown: Json) -> None:
    if not shown.get("deleted"):
        shown["valid"] = is_valid(world, shown)


@includable("coupon", "applies_to")
def _applies_to(_world: World, coupon: Json) -> Json | None:
    return {"products": list(coupon["_products"])} if coupon["_products"] else None


@includable("coupon", "currency_options")
def _currency_options(_world: World, coupon: Json) -> Json | None:
    options: Json = coupon["_currency_options"]
    if coupon["percent_off"] is not None:
        return None
    return {coupon["currency"]: {"amount_off": coupon["amount_off"]}, **options}


def _create(world: World, call: Call) -> Json:
    return new(world, call.params)


def new(world: World, params: Json) -> Json:
    """Make a coupon of typed parameters and emit `coupon.created`.

    Raises:
        ApiError: they contradict each other.
    """
    _check(world, params)
    metadata = fields.merge_metadata({}, params.get("metadata"))
    percent = float(params["percent_off"]) if "percent_off" in params else None
    coupon: Json = {
        "id": params.get("id") or world.ids.letters(8),
        "object": "coupon",
        "amount_off": params.get("amount_off"),
        "created": world.clock.seconds(),
        "currency": params.get("currency"),
        "duration": params.get("duration", "once"),
        "duration_in_months": params.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": metadata,
        "name": params.get("name"),
        "percent_off": percent,
        "redeem_by": params.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
        "_currency_options": params.get("currency_options", {}),
        "_products": params.get("applies_to", {}).get("products", []),
    }
    world.table("coupon").add(coupon)
    emit(world, "coupon.created", coupon)
    return coupon


def _check(world: World, params: Json) -> None:
    if not world.table("coupon").rows.get(params.get("id", ""), {"deleted": True}).get("deleted"):
        raise ApiError("Coupon already exists.", code="resource_already_exists", param="id")
    if ("percent_off" in params) == ("amount_off" in params):
        raise invalid("You must pass exactly one of `percent_off` and `amount_off`.", "percent_off")
    if "amount_off" in params and "currency" not in params:
        raise invalid("You must pass `currency` when passing `amount_off`.", "currency", "parameter_missing")
    if "percent_off" in params and not 0 < float(params["percent_off"]) <= 100:
        raise invalid("Invalid percent_off: must be greater than 0 and at most 100.", "percent_off")
    if "percent_off" in params and ("currency" in params or "currency_options" in params):
        raise invalid("`currency` can only be passed with `amount_off`.", "currency")
    repeating = params.get("duration") == "repeating"
    if repeating != ("duration_in_months" in params):
        message = "`duration_in_months` is required with `duration=repeating`, and only taken with it."
        raise invalid(message, "duration_in_months")
    if is_over(world, params.get("redeem_by")):
        raise invalid("`redeem_by` must be in the future.", "redeem_by")
    for index, product in enumerate(params.get("applies_to", {}).get("products", [])):
        world.table("product").get(product, f"applies_to[products][{index}]")


def _update(world: World, call: Call) -> Json:
    coupon = live(world, call.ids[0], in_path=True)
    params = call.params
    if "currency_options" in params and coupon["percent_off"] is not None:
        raise invalid("`currency_options` can only be passed for coupons with `amount_off`.", "currency_options")
    metadata = fields.merge_metadata(coupon["metadata"], params.get("metadata"))
    with updating(world, coupon, "coupon.updated"):
        coupon["metadata"] = metadata
        coupon["_currency_options"] = {**coupon["_currency_options"], **params.get("currency_options", {})}
        if "name" in params:
            coupon["name"] = params["name"] or None
    return coupon


def _delete(world: World, call: Call) -> Json:
    """A deleted coupon cannot be redeemed any more; discounts that came from it stay."""
    coupon = live(world, call.ids[0], in_path=True)
    emit(world, "coupon.deleted", coupon)
    return world.table("coupon").add({"id": coupon["id"], "object": "coupon", "deleted": True})


def _retrieve(world: World, call: Call) -> Json:
    return live(world, call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    found = [coupon for coupon in world.table("coupon") if not coupon.get("deleted")]
    return lists.page(lists.created_in(found, call.params), call, kind="coupon")


_OPTIONS = fields.map_of(fields.fields(required=("amount_off",), amount_off=_AMOUNT), fields.currency)

ROUTES = (
    Route(
        "POST",
        "/v1/coupons",
        _create,
        {
            "amount_off": _AMOUNT,
            "applies_to": fields.fields(products=fields.list_of(fields.text, 50)),
            "currency": fields.currency,
            "currency_options": _OPTIONS,
            "duration": fields.one_of("once", "repeating", "forever"),
            "duration_in_months": fields.integer(1, 1_200),
            "id": fields.text_up_to(200),
            "max_redemptions": fields.integer(1),
            "metadata": fields.metadata,
            "name": fields.text_up_to(40),
            "percent_off": fields.decimal_text,
            "redeem_by": fields.timestamp,
        },
    ),
    Route("GET", "/v1/coupons", _list, {"created": fields.range_of_time}, lists=True),
    Route("GET", "/v1/coupons/{id}", _retrieve),
    Route(
        "POST",
        "/v1/coupons/{id}",
        _update,
        {
            "currency_options": _OPTIONS,
            "metadata": fields.metadata,
            "name": fields.clearable(fields.text_up_to(40)),
        },
    ),
    Route("DELETE", "/v1/coupons/{id}", _delete),
)
