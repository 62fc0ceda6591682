"""Ending a subscription: at once, with credit for its unused time and a last invoice if asked for; or when it is set.

Source: Stripe, the descriptions of `DELETE` and `POST /v1/subscriptions/{id}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..invoices import collection, invoice_items, invoices, proration
from ..metering import usage
from ..world.errors import Json, invalid
from . import cycle, subscriptions

if TYPE_CHECKING:
    from ..world.world import World


def end_now(world: World, subscription: Json, *, prorate: bool, invoice_now: bool, details: Json | None = None) -> None:
    """Cancel a subscription.

    `prorate` credits unused time, `invoice_now` bills usage and what waits for it. Without either of them the
    prorations that wait are dropped, and usage is never billed.
    """
    if prorate and subscription["status"] != "trialing":
        for item in subscriptions.items_of(world, subscription):
            proration.credit(world, subscription, proration.held(item), world.clock.seconds())
    invoice = bill_now(world, subscription) if invoice_now else None
    if not prorate and not invoice_now:
        for item in invoice_items.pending(world, subscription):
            if item["proration"]:
                invoice_items.drop(world, item)
    subscriptions.cancel(world, subscription, details=details)
    if invoice is not None:
        collection.open_up(world, invoice)


def bill_now(world: World, subscription: Json) -> Json | None:
    """Draft what a subscription still has to pay for; None when that is nothing."""
    items = subscriptions.items_of(world, subscription)
    lines = usage.last_lines(world, subscription, items) if subscription["status"] != "trialing" else []
    waiting = invoice_items.pending(world, subscription)
    if not lines and not waiting:
        return None
    invoice = invoices.draft(world, subscription, "subscription_update", lines, pending=waiting)
    invoice["_final"] = True
    return invoice


def end_at_period_end(world: World, subscription: Json, *, wanted: bool) -> None:
    """Set or take back the cancellation at the end of the period."""
    end = subscriptions.period_of(world, subscription)[1] if wanted else None
    end_at(world, subscription, end)
    subscription["cancel_at_period_end"] = wanted


def end_at(world: World, subscription: Json, moment: int | None) -> None:
    """Set when a subscription ends by itself, in UTC seconds, or that it does not."""
    now = world.clock.seconds()
    subscription |= {
        "cancel_at": moment,
        "cancel_at_period_end": False,
        "canceled_at": now if moment is not None else None,
    }
    subscription["cancellation_details"] |= {"reason": "cancellation_requested" if moment is not None else None}
    if moment is not None:
        world.agenda.add(moment, cycle.period_end, subscription["id"])


def set_end(world: World, subscription: Json, params: Json) -> None:
    """Set when a subscription ends as `cancel_at_period_end` or `cancel_at` want it, which were checked."""
    if "cancel_at_period_end" in params:
        end_at_period_end(world, subscription, wanted=params["cancel_at_period_end"])
    elif "cancel_at" in params:
        moment = cancel_moment(world, subscription, params["cancel_at"]) if params["cancel_at"] else None
        end_at(world, subscription, moment)


def cancel_moment(world: World, subscription: Json, wanted: int | str) -> int:
    """The moment that `cancel_at` names, in UTC seconds.

    Raises:
        ApiError: it is not in the future.
    """
    if wanted == "min_period_end":
        return subscriptions.period_of(world, subscription)[1]
    if wanted == "max_period_end":
        return subscriptions.last_end(world, subscription)
    moment = int(wanted)
    if moment <= world.clock.seconds():
        raise invalid("`cancel_at` must be in the future.", "cancel_at")
    return moment
