"""The life of a subscription by the clock: trial warnings and ends, renewals, cancellation at the end of a period.

A renewal moves the items to their next period at once and leaves its invoice a draft for an hour; only then is it
finalised and charged, so that a subscription is active and unpaid in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..catalog import prices
from ..invoices import collection, invoice_items, invoice_lines, proration
from ..invoices.invoice_shape import Reason
from ..metering import usage
from ..world.errors import Json
from ..world.events import emit, updating
from . import pending_intervals, renewals, selling, subscriptions

if TYPE_CHECKING:
    from ..world.world import World

WARNING_SECONDS = 3 * 86_400
INCOMPLETE_SECONDS = 23 * 3_600
_AT_REST = (*subscriptions.ENDED, "incomplete", "paused")


def begin(world: World, subscription: Json) -> None:
    """Write what will happen to a new subscription into the agenda."""
    if subscription["status"] == "incomplete":
        world.agenda.add(world.clock.seconds() + INCOMPLETE_SECONDS, collection.expire_incomplete, subscription["id"])
    plan(world, subscription)


def plan(world: World, subscription: Json) -> None:
    """Write the ends of the current periods, and what is told ahead of them, into the agenda."""
    now, id = world.clock.seconds(), subscription["id"]
    for end in {item["current_period_end"] for item in subscriptions.items_of(world, subscription)}:
        world.agenda.add(end, period_end, id)
        days = world.settings.upcoming_days
        if days is not None and end - days * 86_400 > now:
            world.agenda.add(end - days * 86_400, _announce, id)
    if subscription["next_pending_invoice_item_invoice"] is not None:
        world.agenda.add(subscription["next_pending_invoice_item_invoice"], _bill_waiting, id)
    if subscription["status"] == "trialing":
        warning = subscription["trial_end"] - WARNING_SECONDS
        if warning <= now:
            _warn(world, id)
        else:
            world.agenda.add(warning, _warn, id)


def period_end(world: World, id: str) -> None:
    """The end of a period of a subscription, or the moment for which its end was set."""
    subscription = world.table("subscription").get(id)
    if subscription["status"] in _AT_REST or not _ends(world, subscription):
        return
    now = world.clock.seconds()
    for step in renewals.BEFORE_PERIOD_END:
        step(world, subscription, now)
    if subscription["status"] in _AT_REST or not _ends(world, subscription):
        return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= now:
        bill_last(world, subscription)
        subscriptions.cancel(world, subscription)
    elif subscription["status"] == "trialing":
        _end_trial(world, subscription)
    else:
        _renew(world, subscription)


def first_lines(world: World, subscription: Json, sales: list[selling.Sale]) -> list[Json]:
    """The lines of the invoice that a subscription begins with."""
    free = subscription["status"] == "trialing"
    lines = [
        invoice_lines.one_time_line(world, subscription, sale.price, sale.quantity or 1)
        | {"_tax_rates": list(sale.tax_rates) or None}
        for sale in sales
        if sale.price["type"] == "one_time"
    ]
    for item in subscriptions.items_of(world, subscription):
        period = item["current_period_start"], item["current_period_end"]
        if free or item["quantity"] is None:
            lines.append(invoice_lines.free_line(world, subscription, item, period))
        else:
            lines.append(_first_line(world, subscription, item, period))
    return lines


def bill_last(world: World, subscription: Json) -> None:
    """Draft the last invoice of a subscription that ends now: its usage and what waits for it, if there is any."""
    now = world.clock.seconds()
    lines = usage.last_lines(world, subscription, subscriptions.items_of(world, subscription))
    if not lines and not invoice_items.pending(world, subscription):
        return
    past = subscriptions.period_of(world, subscription)[0], now
    draft_for_later(world, subscription, lines, past)["_final"] = True


def draft_for_later(
    world: World,
    subscription: Json,
    lines: list[Json],
    past: tuple[int, int],
    reason: Reason = "subscription_cycle",
    waiting: Sequence[Json] | None = None,
) -> Json:
    """Draft an invoice as a renewal does and finalise it an hour later."""
    invoice = renewals.draft(world, subscription, lines, past, reason, waiting)
    if invoice["automatically_finalizes_at"] is not None:
        world.agenda.add(invoice["automatically_finalizes_at"], collection.finalize_draft, invoice["id"])
    return invoice


def _first_line(world: World, subscription: Json, item: Json, period: tuple[int, int]) -> Json:
    price = world.table("price").get(item["price"])
    whole = subscriptions.next_period(subscription, price, period[0])
    if whole == period:
        return invoice_lines.line(world, subscription, item, item["quantity"], period)
    amount = proration.share(prices.cost(price, item["quantity"]), whole, period[0])
    if subscription["_first_period_free"]:
        amount = 0
    return invoice_lines.partial_line(world, subscription, item, period, amount)


def _bill_waiting(world: World, id: str) -> None:
    """Bill what waits for an invoice of a subscription, where it has an interval for that and nothing else bills it."""
    subscription = world.table("subscription").get(id)
    now, due = world.clock.seconds(), subscription["next_pending_invoice_item_invoice"]
    if due is None or due > now or subscription["status"] in subscriptions.ENDED:
        return
    with updating(world, subscription, "customer.subscription.updated"):
        begun = pending_intervals.move_on(subscription, due - 1)
        pending_intervals.move_on(subscription, now)
        waiting = [item for item in invoice_items.pending(world, subscription) if item["_subscription"]]
        # What ends at this moment bills it itself.
        if waiting and subscription["status"] not in _AT_REST and not _ends(world, subscription):
            past = (begun or due, due)
            draft_for_later(world, subscription, [], past, "automatic_pending_invoice_item_invoice", waiting)
    plan(world, subscription)


def _ends(world: World, subscription: Json) -> bool:
    now = world.clock.seconds()
    ends: int | None = subscription["cancel_at"]
    return (ends is not None and ends <= now) or subscriptions.period_of(world, subscription)[1] <= now


def _warn(world: World, id: str) -> None:
    """Tell, once for each end that a trial is given, that it comes."""
    subscription = world.table("subscription").get(id)
    end = subscription["trial_end"]
    near = end is not None and end - WARNING_SECONDS <= world.clock.seconds()
    if subscription["status"] == "trialing" and near and subscription.get("_warned_of") != end:
        subscription["_warned_of"] = end
        emit(world, "customer.subscription.trial_will_end", subscription)


def _announce(world: World, id: str) -> None:
    """Tell of the invoice of the next renewal; nobody is told where no payment is collected by itself."""
    subscription = world.table("subscription").get(id)
    collected = subscription["collection_method"] == "charge_automatically" and not subscription["pause_collection"]
    if subscription["status"] not in ("active", "trialing", "past_due") or not collected:
        return
    end = subscriptions.period_of(world, subscription)[1]
    near = end - (world.settings.upcoming_days or 0) * 86_400 <= world.clock.seconds()
    ends = subscription["cancel_at"] is not None and subscription["cancel_at"] <= end
    if not near or ends or subscription.get("_announced") == end:
        return
    subscription["_announced"] = end
    invoice = renewals.upcoming(world, subscription)
    if invoice is not None:
        emit(world, "invoice.upcoming", invoice)


def _end_trial(world: World, subscription: Json) -> None:
    ending = subscription["trial_settings"]["end_behavior"]["missing_payment_method"]
    charged = subscription["collection_method"] == "charge_automatically"
    if not charged or ending == "create_invoice" or collection.default_method(world, subscription) is not None:
        _renew(world, subscription)
    elif ending == "cancel":
        subscriptions.cancel(world, subscription)
    else:
        subscriptions.pause(world, subscription, "trial_end_without_payment_method")


def _renew(world: World, subscription: Json) -> None:
    past = subscriptions.period_of(world, subscription)
    with updating(world, subscription, "customer.subscription.updated"):
        lines = renewals.move_on(world, subscription, world.clock.seconds())
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        draft_for_later(world, subscription, lines, past)
    plan(world, subscription)
