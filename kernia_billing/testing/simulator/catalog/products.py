"""Products."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import ApiError, Json, invalid
from ..world.events import emit, updating

if TYPE_CHECKING:
    from ..world.world import World

_FIELDS: dict[str, fields.Reader] = {
    "active": fields.boolean,
    "description": fields.clearable(fields.text),
    "images": fields.list_of(fields.url, 8),
    "marketing_features": fields.list_of(fields.fields(required=("name",), name=fields.text_up_to(80)), 15),
    "metadata": fields.metadata,
    "name": fields.text,
    "statement_descriptor": fields.text_up_to(22),
    "tax_code": fields.clearable(fields.text),
    "unit_label": fields.clearable(fields.text_up_to(12)),
    "url": fields.clearable(fields.url),
}


def new(world: World, name: str, *, id: str | None = None) -> Json:
    """Make a product and emit `product.created`."""
    product = world.table("product").add(_blank(world, name))
    if id is not None:
        del world.table("product").rows[product["id"]]
        product["id"] = id
        world.table("product").add(product)
    emit(world, "product.created", product)
    return product


def _blank(world: World, name: str) -> Json:
    now = world.clock.seconds()
    return {
        "id": world.ids.new("prod", 14),
        "object": "product",
        "active": True,
        "created": now,
        "default_price": None,
        "description": None,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": now,
        "url": None,
    }


def _create(world: World, call: Call) -> Json:
    params = call.params
    if params.get("id") in world.table("product").rows:
        raise ApiError("Product already exists.", code="resource_already_exists", param="id")
    changes = _read(world, {"metadata": {}}, params)
    product = world.table("product").add({**_blank(world, params["name"]), **changes})
    emit(world, "product.created", product)
    return product


def _update(world: World, call: Call) -> Json:
    product = world.table("product").get(call.ids[0], in_path=True)
    changes = _read(world, product, call.params)
    if "default_price" in changes:
        price = world.table("price").get(changes["default_price"], "default_price")
        if price["product"] != product["id"]:
            raise invalid("The default price must belong to the product.", "default_price")
    with updating(world, product, "product.updated"):
        product.update(changes, updated=world.clock.seconds())
    return product


def _read(world: World, product: Json, params: Json) -> Json:
    changes = dict(params)
    for name in ("description", "tax_code", "unit_label", "url"):
        if name in changes:
            changes[name] = changes[name] or None
    changes["metadata"] = fields.merge_metadata(product["metadata"], params.get("metadata"))
    return changes


def _retrieve(world: World, call: Call) -> Json:
    return world.table("product").get(call.ids[0], in_path=True)


def _delete(world: World, call: Call) -> Json:
    product = world.table("product").get(call.ids[0], in_path=True)
    if any(price["product"] == product["id"] for price in world.table("price")):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    emit(world, "product.deleted", product)
    del world.table("product").rows[product["id"]]
    return {"id": product["id"], "object": "product", "deleted": True}


def _list(world: World, call: Call) -> Json:
    params = call.params
    found = lists.filtered(world.table("product"), active=params.get("active"), url=params.get("url"))
    if "ids" in params:
        found = [product for product in found if product["id"] in params["ids"]]
    return lists.page(lists.created_in(found, params), call, kind="product")


ROUTES = (
    Route("POST", "/v1/products", _create, {**_FIELDS, "id": fields.text}, ("name",)),
    Route(
        "GET",
        "/v1/products",
        _list,
        {
            "active": fields.boolean,
            "created": fields.range_of_time,
            "ids": fields.list_of(fields.text, 100),
            "url": fields.url,
        },
        lists=True,
    ),
    Route("GET", "/v1/products/{id}", _retrieve),
    Route("POST", "/v1/products/{id}", _update, {**_FIELDS, "default_price": fields.text}),
    Route("DELETE", "/v1/products/{id}", _delete),
)
