"""The life of a subscription by the clock: trial warnings and ends, renewals, cancellation at the end of a period.

A renewal moves the items to their next period at once and leaves its invoice a draft for an hour; only then is it
finalised and charged, so that a subscription is active and unpaid in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import collection, invoices, prices, subscriptions
from .clock import period_after
from .errors import Json
from .events import emit, updating

if TYPE_CHECKING:
    from .world import World

DRAFT_SECONDS = 3_600
WARNING_SECONDS = 3 * 86_400
INCOMPLETE_SECONDS = 23 * 3_600


def begin(world: World, subscription: Json) -> None:
    """Write what will happen to a new subscription into the agenda."""
    id = subscription["id"]
    world.agenda.add(subscriptions.period_of(world, subscription)[1], period_end, id)
    if subscription["status"] == "incomplete":
        world.agenda.add(world.clock.seconds() + INCOMPLETE_SECONDS, collection.expire_incomplete, id)
    if subscription["trial_end"] is not None:
        warning = subscription["trial_end"] - WARNING_SECONDS
        if warning <= world.clock.seconds():
            _warn(world, id)
        else:
            world.agenda.add(warning, _warn, id)


def period_end(world: World, id: str) -> None:
    """The end of a subscription's period, or the moment for which its end was set."""
    subscription = world.table("subscription").get(id)
    now = world.clock.seconds()
    if subscription["status"] in (*subscriptions.ENDED, "incomplete", "paused"):
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
        subscriptions.cancel(world, subscription)
    elif subscriptions.period_of(world, subscription)[1] <= now:
        if subscription["status"] == "trialing":
            _end_trial(world, subscription)
        else:
            _renew(world, subscription)


def first_lines(world: World, subscription: Json, sales: list[subscriptions.Sale]) -> list[Json]:
    """The lines of the invoice that a subscription begins with."""
    period = subscriptions.period_of(world, subscription)
    free = subscription["status"] == "trialing"
    lines = [
        invoices.one_time_line(world, subscription, sale.price, sale.quantity or 1)
        for sale in sales
        if sale.price["type"] == "one_time"
    ]
    for item in subscriptions.items_of(world, subscription):
        if free or item["quantity"] is None:
            lines.append(invoices.free_line(world, subscription, item, period))
        else:
            lines.append(invoices.line(world, subscription, item, item["quantity"], period))
    return lines


def due_at_start(sales: list[subscriptions.Sale], *, trial: bool) -> int:
    """What a sale costs today, in minor units: one-time prices always, recurring ones unless a trial begins."""
    due = [sale for sale in sales if not prices.is_metered(sale.price)]
    charged = [sale for sale in due if sale.price["type"] == "one_time" or not trial]
    return sum(prices.cost(sale.price, sale.quantity or 1) for sale in charged)


def _warn(world: World, id: str) -> None:
    subscription = world.table("subscription").get(id)
    if subscription["status"] == "trialing":
        emit(world, "customer.subscription.trial_will_end", subscription)


def _end_trial(world: World, subscription: Json) -> None:
    ending = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    if ending == "create_invoice" or collection.default_method(world, subscription) is not None:
        _renew(world, subscription)
    elif ending == "cancel":
        subscriptions.cancel(world, subscription)
    else:
        _pause(world, subscription)


def _pause(world: World, subscription: Json) -> None:
    with updating(world, subscription, "customer.subscription.updated"):
        paused = {
            "subscription": {"type": "trial_end_without_payment_method"},
            "transitioned_at": world.clock.seconds(),
            "type": "subscription",
        }
        subscription |= {"status": "paused", "status_details": {"paused": paused}}
    emit(world, "customer.subscription.paused", subscription)


def _renew(world: World, subscription: Json) -> None:
    """Move to the next period and bill it: licensed prices ahead, usage of the past period."""
    past = subscriptions.period_of(world, subscription)
    items = subscriptions.items_of(world, subscription)
    recurring = world.table("price").get(items[0]["price"])["recurring"]
    anchor = subscription["billing_cycle_anchor"]
    period = period_after(anchor, recurring["interval"], recurring["interval_count"], world.clock.seconds())
    with updating(world, subscription, "customer.subscription.updated"):
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        for item in items:
            item |= {"current_period_start": period[0], "current_period_end": period[1]}
        lines = [
            invoices.free_line(world, subscription, item, past)
            if item["quantity"] is None
            else invoices.line(world, subscription, item, item["quantity"], period)
            for item in items
        ]
        _bill(world, subscription, lines, past)
    world.agenda.add(period[1], period_end, subscription["id"])


def _bill(world: World, subscription: Json, lines: list[Json], past: tuple[int, int]) -> None:
    at = None if subscription["status"] == "unpaid" else world.clock.seconds() + DRAFT_SECONDS
    invoice = invoices.draft(
        world,
        subscription,
        "subscription_cycle",
        lines,
        auto_advance=at is not None,
        automatically_finalizes_at=at,
        next_payment_attempt=at,
        period_start=past[0],
        period_end=past[1],
    )
    if at is not None:
        world.agenda.add(at, collection.finalize_draft, invoice["id"])
