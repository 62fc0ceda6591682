"""Test clocks as the API makes, advances and deletes them: with a clock go its customers and what they subscribe to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..world import test_clocks
from ..world.clock import add_interval
from ..world.errors import Json, invalid
from ..world.events import emit
from ..world.ownership import ACCOUNT, clock_of
from ..world.test_clocks import KIND
from . import deletions
from .subscriptions import ENDED

if TYPE_CHECKING:
    from ..world.world import World

MOST_CLOCKS = 100
MOST_INTERVALS = 2
"""How far a clock may be advanced at once, in billing intervals of its shortest subscription."""


def _create(world: World, call: Call) -> Json:
    if len(world.clocks) >= MOST_CLOCKS:
        raise invalid(f"You have reached the limit of {MOST_CLOCKS} test clocks.")
    row = test_clocks.new(world, call.params["frozen_time"], call.params.get("name"))
    world.agenda.add(row["deletes_after"], _delete_when_due, row["id"])
    return row


def _advance(world: World, call: Call) -> Json:
    row = world.table(KIND).get(call.ids[0], in_path=True)
    target: int = call.params["frozen_time"]
    clock = world.clocks[row["id"]]
    if row["status"] != "ready":
        raise invalid(f"The test clock is {row['status']}; wait until it is ready.")
    if target <= clock.seconds():
        raise invalid("The `frozen_time` must be after the current frozen time of the test clock.", "frozen_time")
    if target > _furthest(world, row["id"], clock.seconds()):
        raise invalid(
            f"A test clock cannot be advanced by more than {MOST_INTERVALS} intervals of its shortest subscription, or "
            "two years without one, at a time.",
            "frozen_time",
        )
    test_clocks.begin(world, row["id"], target)
    with world.on_clock(ACCOUNT):
        world.agenda.add(world.clock.seconds(), _arrive, row["id"])
    return row


def _furthest(world: World, name: str, now: int) -> int:
    live = [row for row in world.table("subscription") if row["status"] not in ENDED and clock_of(world, row) == name]
    items = [world.table("subscription_item").get(id) for row in live for id in row["_items"]]
    terms = [world.table("price").get(item["price"])["recurring"] for item in items]
    ends = [add_interval(now, each["interval"], MOST_INTERVALS * each["interval_count"]) for each in terms]
    return min(ends, default=add_interval(now, "year", 2))


def _arrive(world: World, name: str) -> None:
    """Do what falls due on the way. It happens after the request was answered, as at Stripe."""
    row = world.table(KIND).rows.get(name)
    if row is None or row["status"] != "advancing":
        return
    with world.on_clock(name):
        world.run_due(row["status_details"]["advancing"]["target_frozen_time"])
    test_clocks.finish(world, name)


def _delete(world: World, call: Call) -> Json:
    row = world.table(KIND).get(call.ids[0], in_path=True)
    return _remove(world, row)


def _delete_when_due(world: World, name: str) -> None:
    row = world.table(KIND).rows.get(name)
    if row is not None:
        _remove(world, row)


def _remove(world: World, row: Json) -> Json:
    """Delete a clock with its customers, whose subscriptions end."""
    name = row["id"]
    with world.on_clock(name):
        for customer in list(world.table("customer")):
            if customer.get("test_clock") == name:
                deletions.delete(world, customer)
    emit(world, "test_helpers.test_clock.deleted", row)
    del world.table(KIND).rows[name], world.clocks[name]
    world.agenda.drop(name)
    return {"id": name, "object": KIND, "deleted": True}


def _retrieve(world: World, call: Call) -> Json:
    return world.table(KIND).get(call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    return lists.page(world.table(KIND), call, kind="testclock")


_PATH = "/v1/test_helpers/test_clocks"

ROUTES = (
    Route(
        "POST",
        _PATH,
        _create,
        {"frozen_time": fields.timestamp, "name": fields.text_up_to(300)},
        ("frozen_time",),
    ),
    Route("GET", _PATH, _list, lists=True),
    Route("GET", f"{_PATH}/{{id}}", _retrieve),
    Route("DELETE", f"{_PATH}/{{id}}", _delete),
    Route("POST", f"{_PATH}/{{id}}/advance", _advance, {"frozen_time": fields.timestamp}, ("frozen_time",)),
)
