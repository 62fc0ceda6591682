"""Entitlement features, and which product gives which. A feature's lookup key never changes.

Source: Stripe, "Entitlements": an archived feature cannot be attached to further products; products keep it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import entitlements
from ..world.errors import ApiError, Json, invalid, missing
from ..world.events import updating
from ..world.rendering import filler, render

if TYPE_CHECKING:
    from ..world.world import World


def _create(world: World, call: Call) -> Json:
    params = call.params
    key: str = params["lookup_key"]
    if any(feature["lookup_key"] == key for feature in world.table("entitlements.feature")):
        raise ApiError(
            f"A feature with the lookup key {key} already exists.", code="resource_already_exists", param="lookup_key"
        )
    feature: Json = {
        "id": world.ids.new("feat"),
        "object": "entitlements.feature",
        "active": True,
        "livemode": False,
        "lookup_key": key,
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "name": params["name"],
    }
    return world.table("entitlements.feature").add(feature)


def _update(world: World, call: Call) -> Json:
    feature = world.table("entitlements.feature").get(call.ids[0], in_path=True)
    params = call.params
    metadata = fields.merge_metadata(feature["metadata"], params.get("metadata"))
    feature |= {**params, "metadata": metadata}
    return feature


def _retrieve(world: World, call: Call) -> Json:
    return world.table("entitlements.feature").get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    active = not params.get("archived", False)
    found = lists.filtered(world.table("entitlements.feature"), active=active, lookup_key=params.get("lookup_key"))
    return lists.page(found, call, kind="feature")


def _attach(world: World, call: Call) -> Json:
    product = world.table("product").get(call.ids[0], "product", in_path=True)
    feature = world.table("entitlements.feature").get(call.params["entitlement_feature"], "entitlement_feature")
    if not feature["active"]:
        raise invalid(f"The feature {feature['id']} is archived.", "entitlement_feature")
    if any(row["entitlement_feature"] == feature["id"] for row in entitlements.attached(world, product["id"])):
        raise invalid("This feature is attached to the product already.", "entitlement_feature")
    attachment: Json = {
        "id": world.ids.new("prodft"),
        "object": "product_feature",
        "entitlement_feature": feature["id"],
        "livemode": False,
        "_product": product["id"],
    }
    world.table("product_feature").add(attachment)
    _touch(world, product)
    return attachment


def _detach(world: World, call: Call) -> Json:
    attachment = _own(world, call)
    del world.table("product_feature").rows[attachment["id"]]
    _touch(world, world.table("product").get(call.ids[0]))
    return {"id": attachment["id"], "object": "product_feature", "deleted": True, "livemode": False}


def _touch(world: World, product: Json) -> None:
    """A product was given a feature, or lost one: who has the product is entitled anew."""
    with updating(world, product, "product.updated"):
        product["updated"] = world.clock.seconds()
    for customer in list(world.table("customer").rows):
        entitlements.recompute(world, customer)


def _own(world: World, call: Call) -> Json:
    product = world.table("product").get(call.ids[0], "product", in_path=True)
    attachment = world.table("product_feature").get(call.ids[1], in_path=True)
    if attachment["_product"] != product["id"]:
        raise missing("product feature", call.ids[1], in_path=True)
    return attachment


def _attachment(world: World, call: Call) -> Json:
    return _own(world, call)


def _attachments(world: World, call: Call) -> Json:
    product = world.table("product").get(call.ids[0], "product", in_path=True)
    return lists.page(entitlements.attached(world, product["id"]), call, kind="product feature")


@filler("product_feature")
def _show_feature(world: World, shown: Json) -> None:
    """A product's feature is shown whole."""
    if "entitlement_feature" in shown:
        feature = world.table("entitlements.feature").get(shown["entitlement_feature"])
        shown["entitlement_feature"] = render(world, feature)


ROUTES = (
    Route(
        "POST",
        "/v1/entitlements/features",
        _create,
        {"lookup_key": fields.text_up_to(80), "metadata": fields.metadata, "name": fields.text_up_to(80)},
        ("lookup_key", "name"),
    ),
    Route(
        "GET",
        "/v1/entitlements/features",
        _list,
        {"archived": fields.boolean, "lookup_key": fields.text_up_to(80)},
        lists=True,
    ),
    Route("GET", "/v1/entitlements/features/{id}", _retrieve),
    Route(
        "POST",
        "/v1/entitlements/features/{id}",
        _update,
        {"active": fields.boolean, "metadata": fields.metadata, "name": fields.text_up_to(80)},
    ),
    Route(
        "POST",
        "/v1/products/{product}/features",
        _attach,
        {"entitlement_feature": fields.text},
        ("entitlement_feature",),
    ),
    Route("GET", "/v1/products/{product}/features", _attachments, lists=True),
    Route("GET", "/v1/products/{product}/features/{id}", _attachment),
    Route("DELETE", "/v1/products/{product}/features/{id}", _detach),
)
