"""Active entitlements: the features of the products that a customer's live subscriptions have items of.

They are worked out anew whenever a subscription of the customer, or a product's features, may have changed; a summary
event goes out only when the set of features is another one. Entitlements are boolean: quantities do not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world.errors import Json
from ..world.events import emit, watching
from . import customers

if TYPE_CHECKING:
    from ..world.world import World

ENTITLING = frozenset({"active", "past_due", "trialing"})
"""States of a subscription that entitle its customer. Stripe does not list them: `paused`, `unpaid`, what was never
paid and what has ended are taken not to."""
MOST_IN_SUMMARY = 10
"""How many entitlements a summary holds; the others are to be listed."""


def attached(world: World, product: str) -> list[Json]:
    """The features attached to a product, the newest first."""
    return lists.filtered(world.table("product_feature"), _product=product)


def recompute(world: World, customer: str) -> None:
    """Bring a customer's entitlements up to date, and emit a summary if that changed which features there are."""
    table = world.table("entitlements.active_entitlement")
    if not world.table("product_feature").rows and not table.rows:
        return
    had = {row["feature"]: row for row in _of(world, customer)}
    due = _due(world, customer)
    for feature in had.keys() - due:
        del table.rows[had[feature]["id"]]
    for feature in sorted(due - had.keys()):
        table.add(
            {
                "id": world.ids.new("ent"),
                "object": "entitlements.active_entitlement",
                "feature": feature,
                "livemode": False,
                "lookup_key": world.table("entitlements.feature").get(feature)["lookup_key"],
                "_customer": customer,
            }
        )
    if had.keys() != due:
        before = _summary(world, customer, list(had.values()))["entitlements"]
        now = _summary(world, customer, _of(world, customer))
        emit(world, "entitlements.active_entitlement_summary.updated", now, {"entitlements": before})


def _due(world: World, customer: str) -> set[str]:
    due: set[str] = set()
    for subscription in world.table("subscription"):
        if subscription["customer"] == customer and subscription["status"] in ENTITLING:
            for item in subscription["_items"]:
                price = world.table("price").get(world.table("subscription_item").get(item)["price"])
                due |= {row["entitlement_feature"] for row in attached(world, price["product"])}
    return due


def _of(world: World, customer: str) -> list[Json]:
    return lists.filtered(world.table("entitlements.active_entitlement"), _customer=customer)


def _summary(world: World, customer: str, rows: list[Json]) -> Json:
    shown = [world.render(row) for row in rows]
    url = f"/v1/entitlements/active_entitlements?customer={customer}"
    return {
        "object": "entitlements.active_entitlement_summary",
        "customer": customer,
        "entitlements": {
            "object": "list",
            "data": shown[:MOST_IN_SUMMARY],
            "has_more": len(shown) > MOST_IN_SUMMARY,
            "url": url,
        },
        "livemode": False,
    }


@watching("customer.subscription.")
def _after_change(world: World, subscription: Json) -> None:
    recompute(world, subscription["customer"])


def _list(world: World, call: Call) -> Json:
    customer = customers.live(world, call.params["customer"])
    return lists.page(_of(world, customer["id"]), call, kind="active entitlement")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("entitlements.active_entitlement").get(call.ids[0], in_path=True)


ROUTES = (
    Route(
        "GET",
        "/v1/entitlements/active_entitlements",
        _list,
        {"customer": fields.text},
        ("customer",),
        lists=True,
    ),
    Route("GET", "/v1/entitlements/active_entitlements/{id}", _retrieve),
)
