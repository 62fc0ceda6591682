"""Sessions of the customer portal, with the flow that each may lead to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..api.router import Call, Route
from ..catalog import coupons
from ..customers import customers
from ..invoices import discounts
from ..subscriptions import subscriptions
from ..world.errors import ApiError, Json, invalid
from ..world.events import emit
from ..world.rendering import filler
from .portal_configurations import default_configuration

if TYPE_CHECKING:
    from ..world.world import World

_OF_SUBSCRIPTION = fields.fields(required=("subscription",), subscription=fields.text)
_KINDS = (
    *("customer_update", "payment_method_update", "subscription_cancel", "subscription_pause"),
    *("subscription_update", "subscription_update_confirm"),
)
_WITHOUT_DETAILS = ("customer_update", "payment_method_update")
_FLOW = fields.fields(
    required=("type",),
    type=fields.one_of(*_KINDS),
    after_completion=fields.fields(
        required=("type",),
        type=fields.one_of("hosted_confirmation", "portal_homepage", "redirect"),
        hosted_confirmation=fields.fields(custom_message=fields.text_up_to(500)),
        redirect=fields.fields(required=("return_url",), return_url=fields.url),
    ),
    subscription_cancel=fields.fields(
        required=("subscription",),
        retention=fields.fields(
            required=("type", "coupon_offer"),
            coupon_offer=fields.fields(required=("coupon",), coupon=fields.text),
            type=fields.one_of("coupon_offer", "coupon_offer"),
        ),
        subscription=fields.text,
    ),
    subscription_pause=_OF_SUBSCRIPTION,
    subscription_update=_OF_SUBSCRIPTION,
    subscription_update_confirm=fields.fields(
        required=("subscription", "items"),
        discounts=fields.list_of(fields.fields(coupon=fields.text, promotion_code=fields.text), 1),
        items=fields.list_of(
            fields.fields(required=("id",), id=fields.text, price=fields.text, quantity=fields.integer(0, 999_999)),
            1,
        ),
        subscription=fields.text,
    ),
)


def _create_session(world: World, call: Call) -> Json:
    params = call.params
    customer = customers.live(world, params["customer"])
    configuration = _configuration(world, params)
    flow = _flow(world, customer, configuration, params["flow_data"]) if "flow_data" in params else None
    session: Json = {
        "id": world.ids.new("bps"),
        "object": "billing_portal.session",
        "configuration": configuration["id"],
        "created": world.clock.seconds(),
        "customer": customer["id"],
        "customer_account": None,
        "flow": flow,
        "livemode": False,
        "locale": params.get("locale"),
        "on_behalf_of": None,
        "return_url": params.get("return_url") or configuration["default_return_url"],
        "url": "",
    }
    world.table("billing_portal.session").add(session)
    emit(world, "billing_portal.session.created", session)
    return session


def _configuration(world: World, params: Json) -> Json:
    if "configuration" not in params:
        return default_configuration(world)
    found = world.table("billing_portal.configuration").get(params["configuration"], "configuration")
    if not found["active"]:
        raise invalid("The configuration is inactive.", "configuration")
    return found


def _flow(world: World, customer: Json, configuration: Json, given: Json) -> Json:
    kind = given["type"]
    feature = kind.removesuffix("_confirm")
    if not configuration["features"][feature]["enabled"]:
        raise invalid(
            f"This flow is disabled because the `{feature}` feature in the portal configuration is disabled.",
            "flow_data[type]",
        )
    for name in _KINDS:
        if name in given and name != kind:
            raise invalid(f"`{name}` can only be given for a flow of that type.", f"flow_data[{name}]")
    details: Json = given.get(kind, {})
    if kind not in _WITHOUT_DETAILS:
        at = f"flow_data[{kind}]"
        if not details:
            raise ApiError(f"Missing required param: {at}.", code="parameter_missing", param=at)
        _check_flow(world, customer, configuration, details, at)
    return _shown(kind, details, given.get("after_completion", {"type": "portal_homepage"}))


def _shown(kind: str, details: Json, after: Json) -> Json:
    flow: Json = dict.fromkeys(name for name in _KINDS if name not in _WITHOUT_DETAILS)
    if kind == "subscription_cancel":
        details = {"retention": None, **details}
    if kind == "subscription_update_confirm":
        items = [{"price": None, "quantity": None, **item} for item in details["items"]]
        given = [{"coupon": None, "promotion_code": None, **entry} for entry in details.get("discounts", [])]
        details = {**details, "discounts": given or None, "items": items}
    flow |= {kind: details} if kind in flow else {}
    return flow | {
        "type": kind,
        "after_completion": {
            "hosted_confirmation": after.get("hosted_confirmation"),
            "redirect": after.get("redirect"),
            "type": after["type"],
        },
    }


def _check_flow(world: World, customer: Json, configuration: Json, details: Json, at: str) -> None:
    subscription = world.table("subscription").get(details["subscription"], f"{at}[subscription]")
    if subscription["customer"] != customer["id"] or subscription["status"] in (*subscriptions.ENDED, "incomplete"):
        raise invalid("The subscription is not one of the customer's that can be changed.", f"{at}[subscription]")
    if subscription["cancel_at_period_end"] and "cancel" in at:
        raise invalid("This subscription is already set to be canceled.", f"{at}[subscription]")
    if details.get("retention"):
        where = f"{at}[retention][coupon_offer][coupon]"
        coupon = world.table("coupon").get(details["retention"]["coupon_offer"]["coupon"], where)
        coupons.usable(world, coupon, where, subscription["currency"])
    discounts.read(
        world,
        details.get("discounts"),
        f"{at}[discounts]",
        customer=customer["id"],
        currency=subscription["currency"],
    )
    products = configuration["features"]["subscription_update"]["products"]
    offered = {price for product in products for price in product["prices"]}
    for index, item in enumerate(details.get("items", [])):
        where = f"{at}[items][{index}]"
        if item["id"] not in subscription["_items"]:
            raise invalid(f"Subscription item {item['id']} does not belong to the subscription.", f"{where}[id]")
        if "price" in item:
            world.table("price").get(item["price"], f"{where}[price]")
            if item["price"] not in offered:
                message = "The price is not among the products of the portal configuration."
                raise invalid(message, f"{where}[price]")


@filler("billing_portal.session")
def _fill(world: World, shown: Json) -> None:
    shown["url"] = f"{world.settings.portal_base}/p/session/{shown['id']}"


ROUTES = (
    Route(
        "POST",
        "/v1/billing_portal/sessions",
        _create_session,
        {
            "configuration": fields.text,
            "customer": fields.text,
            "flow_data": _FLOW,
            "locale": fields.text,
            "return_url": fields.url,
        },
        ("customer",),
    ),
)
