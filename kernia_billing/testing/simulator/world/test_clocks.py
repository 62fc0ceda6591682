"""Test clocks: customers whose time moves by itself. Their objects are made, renewed and ended by their own clock.

Source: the `TestClock` resource of the official package, and docs.stripe.com/billing/testing/test-clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import deletions
from ..subscriptions.subscriptions import ENDED
from .clock import SimulatedClock, add_interval
from .errors import Json, SimulatorError, invalid
from .events import emit
from .ownership import ACCOUNT, clock_of, owner_of
from .rendering import filler

if TYPE_CHECKING:
    from .world import World

KIND = "test_helpers.test_clock"
KEPT_SECONDS = 30 * 86_400
"""After that Stripe deletes a test clock by itself."""
MOST_CLOCKS = 100
MOST_INTERVALS = 2
"""How far a clock may be advanced at once, in billing intervals of its shortest subscription."""


def of_customer(world: World, customer: Json) -> str:
    """The test clock that a customer lives on; gives one of its own, from now on, to a customer that has none.

    Stripe puts a customer on a clock when it is created and never later. A simulator may, so that a test can move the
    time of a customer that the library created.
    """
    existing: str | None = customer["test_clock"]
    if existing is not None:
        return existing
    made = _new(world, world.account_clock.seconds(), f"for {customer['id']}")
    ids = [id for id in world.agenda.ids() if _owner(world, id) == customer["id"]]
    world.agenda.move(ids, to=made["id"])
    customer["test_clock"] = made["id"]
    return str(made["id"])


def begin(world: World, name: str, target: int) -> None:
    """Say that a clock is on its way to a time: `test_helpers.test_clock.advancing`."""
    row = world.table(KIND).get(name)
    row |= {"status": "advancing", "status_details": {"advancing": {"target_frozen_time": target}}}
    emit(world, "test_helpers.test_clock.advancing", row)


def finish(world: World, name: str) -> None:
    """Say that a clock has arrived: `test_helpers.test_clock.ready`."""
    row = world.table(KIND).rows.get(name)
    if row is not None and row["status"] == "advancing":
        row |= {"status": "ready", "status_details": {}}
        emit(world, "test_helpers.test_clock.ready", row)


def _new(world: World, frozen_time: int, name: str | None) -> Json:
    now = world.account_clock.seconds()
    row: Json = {
        "id": world.ids.new("clock"),
        "object": KIND,
        "created": now,
        "deletes_after": now + KEPT_SECONDS,
        "frozen_time": frozen_time,
        "livemode": False,
        "name": name,
        "status": "ready",
        "status_details": {},
    }
    world.clocks[row["id"]] = SimulatedClock.at(frozen_time)
    world.table(KIND).add(row)
    emit(world, "test_helpers.test_clock.created", row)
    return row


def _owner(world: World, id: str) -> str | None:
    try:
        return owner_of(world, world.find(id))
    except SimulatorError:
        customers = world.table("customer").rows
        return next((text for text in world.usage.told_of(id) if text in customers), None)


@filler(KIND)
def _fill(world: World, shown: Json) -> None:
    if shown["id"] in world.clocks:
        shown["frozen_time"] = world.clocks[shown["id"]].seconds()


def _create(world: World, call: Call) -> Json:
    if len(world.clocks) >= MOST_CLOCKS:
        raise invalid(f"You have reached the limit of {MOST_CLOCKS} test clocks.")
    row = _new(world, call.params["frozen_time"], call.params.get("name"))
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
    begin(world, row["id"], target)
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
    finish(world, name)


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
