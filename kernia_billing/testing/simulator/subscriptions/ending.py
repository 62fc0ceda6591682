"""Ending a subscription at once, with credit for its unused time and a last invoice if those are asked for.

Source: Stripe, the description of `DELETE /v1/subscriptions/{id}`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..invoices import collection, invoice_items, invoices, proration
from ..metering import usage
from ..world.errors import Json
from . import subscriptions

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
