"""Subscription schedules: what a subscription is to become, phase by phase, and what the clock does about it.

A phase that begins where periods end changes the items before they renew, without prorations; anywhere else it is a
change like any other, with the proration behaviour of the phase. When the last phase is over the schedule lets go of
its subscription or ends it. Source: Stripe, "Subscription schedules".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..invoices import invoice_items, proration
from ..metering import usage
from ..world.errors import Json
from ..world.events import emit, updating
from . import cycle, renewals, selling, starting, subscriptions, transitions
from .selling import Sale
from .subscriptions import Terms
from .transitions import Move

if TYPE_CHECKING:
    from ..world.world import World

EXPIRING_SECONDS = 7 * 86_400
ALIVE = ("not_started", "active")


def plan(world: World, schedule: Json) -> None:
    """Write the phases of a schedule into the agenda."""
    now, id = world.clock.seconds(), schedule["id"]
    if schedule["status"] == "not_started":
        world.agenda.add(schedule["phases"][0]["start_date"], _start, id)
    for phase in schedule["phases"]:
        if phase["end_date"] > now:
            world.agenda.add(phase["end_date"], _tick, id)
    warning = schedule["phases"][-1]["end_date"] - EXPIRING_SECONDS
    if warning > now:
        world.agenda.add(warning, _warn, id)


def begin(world: World, schedule: Json) -> None:
    """Start a schedule: make its subscription and enter the first phase; emits only what the subscription does."""
    phase = schedule["phases"][0]
    customer = world.table("customer").get(schedule["customer"])
    mode: Json = schedule["billing_mode"]
    flexible: Json = mode["flexible"] or {}
    terms = Terms(
        metadata=phase["metadata"],
        description=phase["description"] or schedule["default_settings"]["description"],
        trial_end=phase["trial_end"],
        default_payment_method=phase["default_payment_method"]
        or schedule["default_settings"]["default_payment_method"],
        billing_mode=mode["type"],
        proration_discounts=flexible.get("proration_discounts", "included"),
    )
    subscription = starting.start(world, customer, sales_of(world, phase), terms)
    attach(schedule, subscription)
    schedule |= {"status": "active", "current_phase": _current(phase)}
    emit(world, "customer.subscription.created", subscription)
    cycle.begin(world, subscription)


def attach(schedule: Json, subscription: Json) -> None:
    """Let a schedule manage a subscription."""
    schedule["subscription"], subscription["schedule"] = subscription["id"], schedule["id"]


def sales_of(world: World, phase: Json) -> list[Sale]:
    """What a phase sells."""
    return [
        Sale(world.table("price").get(item["price"]), item.get("quantity"), dict(item["metadata"]))
        for item in phase["items"]
    ]


def phase_at(schedule: Json, at: int) -> Json | None:
    """The phase that holds a moment, in UTC seconds."""
    return next((phase for phase in schedule["phases"] if phase["start_date"] <= at < phase["end_date"]), None)


def step(world: World, subscription: Json, at: int) -> None:
    """Do what the schedule of a subscription has for it up to that second, if it has one."""
    schedule = world.table("subscription_schedule").rows.get(subscription["schedule"] or "")
    while schedule is not None and schedule["status"] == "active" and schedule["current_phase"]["end_date"] <= at:
        following = phase_at(schedule, schedule["current_phase"]["end_date"])
        if following is None:
            _finish(world, schedule, subscription)
            return
        _enter(world, schedule, subscription, following, at)


def change_now(world: World, schedule: Json, behavior: proration.Behavior) -> None:
    """Give the subscription what the current phase says by now."""
    subscription = world.table("subscription").get(schedule["subscription"])
    phase = phase_at(schedule, world.clock.seconds())
    if phase is not None:
        _move(world, subscription, phase, world.clock.seconds(), behavior)


def release(world: World, schedule: Json) -> None:
    """Let the subscription go on without its schedule; emits `subscription_schedule.released`."""
    subscription = world.table("subscription").rows.get(schedule["subscription"] or "")
    schedule |= {
        "status": "released",
        "released_at": world.clock.seconds(),
        "released_subscription": schedule["subscription"],
        "subscription": None,
        "current_phase": None,
    }
    if subscription is not None:
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["schedule"] = None
    emit(world, "subscription_schedule.released", schedule)


def _finish(world: World, schedule: Json, subscription: Json) -> None:
    """The last phase is over."""
    if schedule["end_behavior"] == "release":
        release(world, schedule)
        return
    schedule |= {"status": "completed", "completed_at": world.clock.seconds(), "current_phase": None}
    cycle.bill_last(world, subscription)
    subscriptions.cancel(world, subscription)
    emit(world, "subscription_schedule.completed", schedule)


def _enter(world: World, schedule: Json, subscription: Json, phase: Json, at: int) -> None:
    schedule["current_phase"] = _current(phase)
    _move(world, subscription, phase, at, phase["proration_behavior"])
    emit(world, "subscription_schedule.updated", schedule)


def _move(world: World, subscription: Json, phase: Json, at: int, behavior: proration.Behavior) -> None:
    sales = sales_of(world, phase)
    changes = transitions.replace_items(world, subscription, sales)
    with updating(world, subscription, "customer.subscription.updated"):
        subscription["metadata"] |= phase["metadata"]
        if phase["default_payment_method"]:
            subscription["default_payment_method"] = phase["default_payment_method"]
        if phase["description"]:
            subscription["description"] = phase["description"]
        trial_end: int | None = phase["trial_end"] if phase["trial_end"] and phase["trial_end"] > at else None
        if subscriptions.last_end(world, subscription) <= at and trial_end is None:
            _swap(world, subscription, sales, at, anew=phase["billing_cycle_anchor"] == "phase_start")
            return
    move = Move(at, changes, behavior, phase["billing_cycle_anchor"] == "phase_start", trial_end)
    transitions.told(world, subscription, move, "allow_incomplete")


def _swap(world: World, subscription: Json, sales: Sequence[Sale], at: int, *, anew: bool) -> None:
    """Change the items where their periods end; the renewal that comes next bills them."""
    before = subscriptions.items_of(world, subscription)
    intervals = {selling.interval_of(world.table("price").get(item["price"])) for item in before}
    changes = transitions.replace_items(world, subscription, sales)
    gone = [change.item for change in changes if change.deleted and change.item is not None]
    for line in usage.last_lines(world, subscription, gone):
        invoice_items.keep_line(world, subscription, line)
    for change in changes:
        if change.item is None:
            subscriptions.add_item(world, subscription, change.sale, (at, at))
        elif change.deleted:
            subscription["_items"] = [id for id in subscription["_items"] if id != change.item["id"]]
            del world.table("subscription_item").rows[change.item["id"]]
        else:
            change.item.update(quantity=change.sale.quantity, metadata=dict(change.sale.metadata))
    if anew or {selling.interval_of(sale.price) for sale in sales} != intervals:
        subscription["billing_cycle_anchor"] = at


def _current(phase: Json) -> Json:
    return {"start_date": phase["start_date"], "end_date": phase["end_date"]}


def _start(world: World, id: str) -> None:
    schedule = world.table("subscription_schedule").get(id)
    if schedule["status"] == "not_started" and schedule["phases"][0]["start_date"] <= world.clock.seconds():
        with updating(world, schedule, "subscription_schedule.updated"):
            begin(world, schedule)


def _tick(world: World, id: str) -> None:
    """A phase may be over. Where a period ends too, its end does the same before it renews."""
    schedule = world.table("subscription_schedule").get(id)
    if schedule["status"] != "active":
        return
    subscription = world.table("subscription").get(schedule["subscription"])
    if subscriptions.period_of(world, subscription)[1] <= world.clock.seconds():
        cycle.period_end(world, subscription["id"])
    else:
        step(world, subscription, world.clock.seconds())


def _warn(world: World, id: str) -> None:
    schedule = world.table("subscription_schedule").get(id)
    end = schedule["phases"][-1]["end_date"]
    if schedule["status"] == "active" and end - EXPIRING_SECONDS == world.clock.seconds():
        emit(world, "subscription_schedule.expiring", schedule)


renewals.BEFORE_PERIOD_END.append(step)
