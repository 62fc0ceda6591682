"""Promotion codes: words that people type to get a coupon, with conditions of their own.

Minimum amounts in further currencies are kept and obeyed; showing them, which Stripe does on demand, is not modelled.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import customers
from ..world.errors import ApiError, Json, invalid
from ..world.events import emit, updating
from ..world.rendering import filler
from . import coupons

if TYPE_CHECKING:
    from ..world.world import World

_AMOUNT = fields.integer(1, 99_999_999)
_SPENT = ("open", "paid")


def usable(
    world: World, code: Json, param: str, *, customer: str | None, currency: str | None, amount: int | None
) -> None:
    """See that a code may be used: `amount` is what the purchase comes to before it, None when that is not known.

    Raises:
        ApiError: inactive, another customer's, only for a first purchase, or below the minimum.
    """
    if not is_active(world, code):
        raise ApiError("This promotion code is not active.", code="promotion_code_expired", param=param)
    if code["customer"] not in (None, customer):
        raise invalid("This promotion code cannot be redeemed by this customer.", param)
    coupons.usable(world, coupon_of(world, code), param, currency)
    rules = code["restrictions"]
    if rules["first_time_transaction"] and customer is not None and has_bought(world, customer):
        raise invalid(
            "This promotion code cannot be redeemed because the associated customer has prior transactions.", param
        )
    least = minimum(code, currency)
    if least is not None and amount is not None and amount < least:
        raise invalid("The minimum amount of this promotion code is not reached.", param)


def minimum(code: Json, currency: str | None) -> int | None:
    """The least amount of a purchase that a code takes, in minor units of the currency."""
    rules = code["restrictions"]
    if rules["minimum_amount"] is None or currency is None:
        return None
    if rules["minimum_amount_currency"] == currency:
        return int(rules["minimum_amount"])
    option: Json | None = code["_currency_options"].get(currency)
    if option is None:
        raise invalid(f"This promotion code has no minimum amount in the currency {currency}.")
    return int(option["minimum_amount"])


def has_bought(world: World, customer: str) -> bool:
    """Whether a customer has an invoice that was not free, or a payment: then it is no first-time customer."""
    rows = world.table("invoice")
    return any(row["customer"] == customer and row["status"] in _SPENT and row["total"] for row in rows) or any(
        row["customer"] == customer and row["status"] == "succeeded" for row in world.table("payment_intent")
    )


def is_active(world: World, code: Json) -> bool:
    """Whether a code can be used: switched on, neither over nor used up, its coupon valid."""
    over = coupons.is_over(world, code["expires_at"]) or coupons.used_up(code)
    return bool(code["active"]) and not over and coupons.is_valid(world, coupon_of(world, code))


def coupon_of(world: World, code: Json) -> Json:
    """The coupon that a code gives."""
    return world.table("coupon").get(code["promotion"]["coupon"])


def typed(world: World, word: str, customer: str | None) -> Json | None:
    """The active code that a person means by a word; capitals do not matter."""
    wanted = word.strip().casefold()
    found = [row for row in world.table("promotion_code") if row["code"].casefold() == wanted]
    return next((row for row in found if is_active(world, row) and row["customer"] in (None, customer)), None)


@filler("promotion_code")
def _fill(world: World, shown: Json) -> None:
    shown["active"] = is_active(world, shown)


def _create(world: World, call: Call) -> Json:
    return new(world, call.params)


def new(world: World, params: Json) -> Json:
    """Make a promotion code of typed parameters and emit `promotion_code.created`.

    Raises:
        ApiError: its coupon cannot be used, or its limits contradict each other.
    """
    at = "promotion[coupon]"
    if "coupon" not in params["promotion"]:
        raise ApiError(f"Missing required param: {at}.", code="parameter_missing", param=at)
    coupon = coupons.live(world, params["promotion"]["coupon"], at)
    coupons.usable(world, coupon, at)
    if "customer" in params:
        customers.live(world, params["customer"])
    _check_limits(world, coupon, params)
    restrictions = _restrictions(params.get("restrictions", {}))
    word = params.get("code") or world.ids.letters(8).upper()
    _check_free(world, word, params)
    metadata = fields.merge_metadata({}, params.get("metadata"))
    code: Json = {
        "id": world.ids.new("promo"),
        "object": "promotion_code",
        "active": params.get("active", True),
        "code": word,
        "created": world.clock.seconds(),
        "customer": params.get("customer"),
        "customer_account": None,
        "expires_at": params.get("expires_at"),
        "livemode": False,
        "max_redemptions": params.get("max_redemptions"),
        "metadata": metadata,
        "promotion": {"coupon": coupon["id"], "type": "coupon"},
        "restrictions": restrictions,
        "times_redeemed": 0,
        "_currency_options": params.get("restrictions", {}).get("currency_options", {}),
    }
    world.table("promotion_code").add(code)
    emit(world, "promotion_code.created", code)
    return code


def _check_limits(world: World, coupon: Json, params: Json) -> None:
    most, end = params.get("max_redemptions"), params.get("expires_at")
    if most is not None and coupon["max_redemptions"] is not None and most > coupon["max_redemptions"]:
        raise invalid("`max_redemptions` cannot be greater than the coupon's.", "max_redemptions")
    if coupons.is_over(world, end):
        raise invalid("`expires_at` must be in the future.", "expires_at")
    if end is not None and coupon["redeem_by"] is not None and end > coupon["redeem_by"]:
        raise invalid("`expires_at` cannot be after the coupon's `redeem_by`.", "expires_at")


def _restrictions(given: Json) -> Json:
    if ("minimum_amount" in given) != ("minimum_amount_currency" in given):
        message = "`minimum_amount` and `minimum_amount_currency` go together."
        raise invalid(message, "restrictions[minimum_amount_currency]")
    return {
        "first_time_transaction": given.get("first_time_transaction", False),
        "minimum_amount": given.get("minimum_amount"),
        "minimum_amount_currency": given.get("minimum_amount_currency"),
    }


def _check_free(world: World, word: str, params: Json) -> None:
    """A code is unique among the active ones that a customer could type."""
    if not params.get("active", True):
        return
    taken = [row for row in world.table("promotion_code") if row["code"].casefold() == word.casefold()]
    customer = params.get("customer")
    if any(is_active(world, row) and customer in (None, row["customer"], row["customer"] or customer) for row in taken):
        raise invalid(f"An active promotion code with `code: {word}` already exists.", "code")


def _update(world: World, call: Call) -> Json:
    code = world.table("promotion_code").get(call.ids[0], in_path=True)
    params = call.params
    metadata = fields.merge_metadata(code["metadata"], params.get("metadata"))
    if params.get("active") and not code["active"]:
        _check_free(world, code["code"], {"customer": code["customer"]})
    options = params.get("restrictions", {}).get("currency_options", {})
    if options and code["restrictions"]["minimum_amount"] is None:
        raise invalid("This promotion code has no minimum amount.", "restrictions[currency_options]")
    with updating(world, code, "promotion_code.updated"):
        code |= {"metadata": metadata, "active": params.get("active", code["active"])}
        code["_currency_options"] = {**code["_currency_options"], **options}
    return code


def _retrieve(world: World, call: Call) -> Json:
    return world.table("promotion_code").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    found = lists.filtered(world.table("promotion_code"), customer=params.get("customer"))
    if "active" in params:
        found = [row for row in found if is_active(world, row) == params["active"]]
    if "code" in params:
        found = [row for row in found if row["code"].casefold() == params["code"].casefold()]
    if "coupon" in params:
        found = [row for row in found if row["promotion"]["coupon"] == params["coupon"]]
    return lists.page(lists.created_in(found, params), call, kind="promotion code")


def _word(raw: object, at: str) -> str:
    """Letters, digits and dashes, which is all that a code may be made of."""
    word = fields.text_up_to(500)(raw, at)
    if not re.fullmatch(r"[A-Za-z0-9-]+", word):
        raise invalid("Promotion codes may only contain letters, digits and dashes.", at)
    return str(word)


_OPTIONS = fields.map_of(fields.fields(required=("minimum_amount",), minimum_amount=_AMOUNT), fields.currency)

ROUTES = (
    Route(
        "POST",
        "/v1/promotion_codes",
        _create,
        {
            "active": fields.boolean,
            "code": _word,
            "customer": fields.text,
            "expires_at": fields.timestamp,
            "max_redemptions": fields.integer(1),
            "metadata": fields.metadata,
            "promotion": fields.fields(required=("type",), type=fields.one_of("coupon", "coupon"), coupon=fields.text),
            "restrictions": fields.fields(
                currency_options=_OPTIONS,
                first_time_transaction=fields.boolean,
                minimum_amount=_AMOUNT,
                minimum_amount_currency=fields.currency,
            ),
        },
        ("promotion",),
    ),
    Route(
        "GET",
        "/v1/promotion_codes",
        _list,
        {
            "active": fields.boolean,
            "code": fields.text,
            "coupon": fields.text,
            "created": fields.range_of_time,
            "customer": fields.text,
        },
        lists=True,
    ),
    Route("GET", "/v1/promotion_codes/{id}", _retrieve),
    Route(
        "POST",
        "/v1/promotion_codes/{id}",
        _update,
        {
            "active": fields.boolean,
            "metadata": fields.metadata,
            "restrictions": fields.fields(currency_options=_OPTIONS),
        },
    ),
)
