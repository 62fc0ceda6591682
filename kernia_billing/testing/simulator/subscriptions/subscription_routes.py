"""The subscription endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json, invalid, missing
from ..world.events import updating
from ..world.ownership import ACCOUNT, clock_of
from . import changes, ending, starting, subscriptions

if TYPE_CHECKING:
    from ..world.world import World

_STATUSES = ("active", "canceled", "incomplete", "incomplete_expired", "past_due", "paused", "trialing", "unpaid")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("subscription").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    if "customer" in params:
        world.table("customer").get(params["customer"], "customer")
    found = lists.filtered(
        world.table("subscription"),
        customer=params.get("customer"),
        collection_method=params.get("collection_method"),
    )
    found = [row for row in found if _has_status(row, params.get("status"))]
    if "test_clock" in params or "customer" not in params:
        found = [row for row in found if clock_of(world, row) == params.get("test_clock", ACCOUNT)]
    if "price" in params:
        found = [
            row for row in found if any(item["price"] == params["price"] for item in subscriptions.items_of(world, row))
        ]
    return lists.page(lists.created_in(found, params), call, kind="subscription")


def _has_status(subscription: Json, wanted: str | None) -> bool:
    if wanted is None:
        return bool(subscription["status"] != "canceled")
    if wanted == "ended":
        return subscription["status"] in subscriptions.ENDED
    return wanted in ("all", subscription["status"])


def _cancel(world: World, call: Call) -> Json:
    subscription = world.table("subscription").get(call.ids[0], in_path=True)
    if subscription["status"] in subscriptions.ENDED:
        raise missing("subscription", subscription["id"], in_path=True)
    params = call.params
    details = params.get("cancellation_details")
    ending.end_now(
        world,
        subscription,
        prorate=params.get("prorate", False),
        invoice_now=params.get("invoice_now", False),
        details=details,
    )
    return subscription


def _migrate(world: World, call: Call) -> Json:
    subscription = world.table("subscription").get(call.ids[0], in_path=True)
    if subscription["billing_mode"]["type"] == "flexible":
        raise invalid("This subscription already has `billing_mode` flexible.", "billing_mode[type]")
    if subscription["status"] in subscriptions.ENDED:
        raise invalid("A subscription that has ended cannot be migrated.")
    given: Json = call.params["billing_mode"].get("flexible", {})
    with updating(world, subscription, "customer.subscription.updated"):
        shown = given.get("proration_discounts", "included")
        subscription["billing_mode"] = subscriptions.billing_mode("flexible", shown, world.clock.seconds())
    return subscription


ROUTES = (
    Route("POST", "/v1/subscriptions", starting.create, starting.FIELDS, ("customer", "items")),
    Route(
        "GET",
        "/v1/subscriptions",
        _list,
        {
            "collection_method": fields.one_of("charge_automatically", "send_invoice"),
            "created": fields.range_of_time,
            "customer": fields.text,
            "price": fields.text,
            "status": fields.one_of(*_STATUSES, "all", "ended"),
            "test_clock": fields.text,
        },
        lists=True,
    ),
    Route("GET", "/v1/subscriptions/{id}", _retrieve),
    Route("POST", "/v1/subscriptions/{id}", changes.update, changes.FIELDS),
    Route(
        "DELETE",
        "/v1/subscriptions/{id}",
        _cancel,
        {
            "cancellation_details": changes.CANCELLATION_DETAILS,
            "invoice_now": fields.boolean,
            "prorate": fields.boolean,
        },
    ),
    Route(
        "POST",
        "/v1/subscriptions/{id}/migrate",
        _migrate,
        {
            "billing_mode": fields.fields(
                required=("type",),
                type=fields.one_of("flexible", "flexible"),
                flexible=fields.fields(proration_discounts=fields.one_of("included", "itemized")),
            )
        },
        ("billing_mode",),
    ),
)
