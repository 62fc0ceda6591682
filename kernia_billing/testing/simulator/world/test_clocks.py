"""Test clocks: customers whose time moves by itself. Their objects are made, renewed and ended by their own clock.

Source: the `TestClock` resource of the official package, and docs.stripe.com/billing/testing/test-clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .clock import SimulatedClock
from .errors import Json, SimulatorError
from .events import emit
from .ownership import owner_of
from .rendering import filler

if TYPE_CHECKING:
    from .world import World

KIND = "test_helpers.test_clock"
KEPT_SECONDS = 30 * 86_400
"""After that Stripe deletes a test clock by itself."""


def of_customer(world: World, customer: Json) -> str:
    """The test clock that a customer lives on; gives one of its own, from now on, to a customer that has none.

    Stripe puts a customer on a clock when it is created and never later. A simulator may, so that a test can move the
    time of a customer that the library created.
    """
    existing: str | None = customer["test_clock"]
    if existing is not None:
        return existing
    made = new(world, world.account_clock.seconds(), f"for {customer['id']}")
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


def new(world: World, frozen_time: int, name: str | None) -> Json:
    """Make a clock that stands at that UTC second, and emit `test_helpers.test_clock.created`."""
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
