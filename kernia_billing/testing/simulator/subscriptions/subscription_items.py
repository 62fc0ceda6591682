"""The items of a subscription as endpoints of their own. They change it as an update of the subscription would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..invoices import proration
from ..world.errors import Json, invalid
from . import changes, item_changes, subscriptions
from .transitions import ItemChange, Move

if TYPE_CHECKING:
    from ..world.world import World

_MOVE: dict[str, fields.Reader] = {
    "payment_behavior": changes.PAYMENT_BEHAVIOR,
    "proration_behavior": changes.PRORATION,
    "proration_date": fields.timestamp,
}
_MOVE_NAMES = frozenset(_MOVE)


def _list(world: World, call: Call) -> Json:
    subscription = world.table("subscription").get(call.params["subscription"], "subscription")
    return lists.page(subscriptions.items_of(world, subscription), call, kind="subscription item")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("subscription_item").get(call.ids[0], "item", in_path=True)


def _create(world: World, call: Call) -> Json:
    params = call.params
    subscription = world.table("subscription").get(params["subscription"], "subscription")
    if "price" not in params:
        raise invalid("Missing required param: price.", "price", "parameter_missing")
    given = {name: params[name] for name in item_changes.ITEM if name in params}
    before = set(subscription["_items"])
    _make(world, subscription, given, params)
    added = [id for id in subscription["_items"] if id not in before]
    if not added:
        return _waiting(subscription, before)
    return world.table("subscription_item").get(added[0])


def _update(world: World, call: Call) -> Json:
    item = world.table("subscription_item").get(call.ids[0], "item", in_path=True)
    given = {name: value for name, value in call.params.items() if name in item_changes.ITEM}
    subscription = world.table("subscription").get(item["subscription"])
    _make(world, subscription, {"id": item["id"], **given}, call.params)
    return item


def _delete(world: World, call: Call) -> Json:
    item = world.table("subscription_item").get(call.ids[0], "item", in_path=True)
    given: Json = {"id": item["id"], "deleted": True}
    if "clear_usage" in call.params:
        given["clear_usage"] = call.params["clear_usage"]
    _make(world, world.table("subscription").get(item["subscription"]), given, call.params)
    return {"id": item["id"], "object": "subscription_item", "deleted": True}


def _make(world: World, subscription: Json, given: Json, params: Json) -> None:
    """Change one item; raises as an update of the subscription does."""
    names = {"items", *(_MOVE_NAMES & set(params))}
    changes.check_editable(subscription, dict.fromkeys(names) | {"payment_behavior": params.get("payment_behavior")})
    planned: list[ItemChange] = [item_changes.plan_one(world, subscription, given, "")]
    item_changes.check(world, subscription, planned)
    items = subscriptions.items_of(world, subscription)
    at = proration.check_date(params.get("proration_date"), items, world.clock.seconds())
    move = Move(at, planned, params.get("proration_behavior", "create_prorations"))
    changes.make(world, subscription, move, params.get("payment_behavior", "allow_incomplete"))


def _waiting(subscription: Json, before: set[str]) -> Json:
    """The item that waits for its invoice to be paid."""
    rows: list[Json] = subscription["pending_update"]["subscription_items"]
    return next(row for row in rows if row["id"] not in before)


ROUTES = (
    Route(
        "POST",
        "/v1/subscription_items",
        _create,
        {**item_changes.ITEM, **_MOVE, "subscription": fields.text},
        ("subscription",),
    ),
    Route("GET", "/v1/subscription_items", _list, {"subscription": fields.text}, ("subscription",), lists=True),
    Route("GET", "/v1/subscription_items/{id}", _retrieve),
    Route(
        "POST",
        "/v1/subscription_items/{id}",
        _update,
        {**item_changes.ITEM, **_MOVE, "off_session": fields.boolean},
    ),
    Route("DELETE", "/v1/subscription_items/{id}", _delete, {**_MOVE, "clear_usage": fields.boolean}),
)
