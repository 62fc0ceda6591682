"""Pausing and resuming a whole subscription, which stops service and billing.

A pause may credit unused time and bill usage, at once or with the next invoice. A resumption that costs something waits
for its invoice (`pending_updates`). Not modelled: pausing from a schedule, and prorations as of another moment.
Source: Stripe, "Pause subscriptions" and the description of `POST /v1/subscriptions/{id}/resume`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields
from ..api.router import Call, Route
from ..catalog import prices
from ..invoices import collection, invoice_items, invoice_lines, invoices, proration
from ..metering import usage
from ..world.errors import Json, invalid
from ..world.events import emit, updating
from . import cycle, pending_updates, subscriptions

if TYPE_CHECKING:
    from ..world.world import World

_YEAR = 365 * 86_400
ORDER = (
    "customer.subscription.pending_update_expired",
    "payment_intent.canceled",
    "invoice.voided",
    "invoiceitem.created",
    "invoice.created",
    "invoice.finalized",
    "payment_intent.created",
    "charge.failed",
    "payment_intent.payment_failed",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "charge.succeeded",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_failed",
    "invoice.payment_action_required",
    "invoice_payment.paid",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "customer.subscription.updated",
)


def _pause(world: World, call: Call) -> Json:
    subscription = world.table("subscription").get(call.ids[0], in_path=True)
    _check_pausable(subscription)
    pause(world, subscription, call.params)
    return subscription


def pause(world: World, subscription: Json, params: Json) -> None:
    """Pause a subscription that can be: `bill_for` and `invoicing_behavior` as the endpoint takes them."""
    with world.events.in_order(ORDER):
        pending_updates.discard(world, subscription)
        invoice = bill_pause(world, subscription, params)
        with updating(world, subscription, "customer.subscription.updated"):
            for item in subscriptions.items_of(world, subscription):
                item["current_period_end"] = world.clock.seconds()
            subscriptions.mark_paused(world, subscription, "pause_requested")
        emit(world, "customer.subscription.paused", subscription)
        if invoice is not None:
            collection.open_up(world, invoice)


def bill_pause(world: World, subscription: Json, params: Json) -> Json | None:
    """Credit and bill what a pause does; answers the draft, if it is billed at once and there is anything to bill."""
    bill_for: Json = params.get("bill_for", {})
    unused = bill_for.get("unused_time_from", {"type": "now"})["type"]
    outstanding = bill_for.get("outstanding_usage_through", {"type": "now"})["type"]
    now, items = world.clock.seconds(), subscriptions.items_of(world, subscription)
    if unused != "none":
        for item in items:
            since = item["current_period_start"] if unused == "item_current_period_start" else now
            proration.credit(world, subscription, proration.held(item), since)
    lines = usage.last_lines(world, subscription, items) if outstanding == "now" else []
    if params.get("invoicing_behavior") != "invoice":
        for line in lines:
            invoice_items.keep_line(world, subscription, line)
        return None
    waiting = invoice_items.pending(world, subscription)
    if not lines and not waiting:
        return None
    return invoices.draft(world, subscription, "subscription_update", lines, pending=waiting)


def bill_checked_pause(world: World, subscription: Json, params: Json) -> Json | None:
    """What `bill_pause` answers for a subscription that can be paused; raises `ApiError` for any other."""
    _check_pausable(subscription)
    return bill_pause(world, subscription, params)


def _check_pausable(subscription: Json) -> None:
    status = subscription["status"]
    if subscription["billing_mode"]["type"] != "flexible":
        raise invalid("Only subscriptions with `billing_mode` flexible can be paused.")
    if subscription["collection_method"] != "charge_automatically":
        raise invalid("Subscriptions with `collection_method=send_invoice` cannot be paused.")
    if subscription["schedule"] is not None:
        raise invalid("Subscriptions with an attached schedule cannot be paused.")
    if not subscriptions.can_pause(subscription):
        raise invalid(f"Subscriptions with status `{status}` cannot be paused.")


def _resume(world: World, call: Call) -> Json:
    subscription = world.table("subscription").get(call.ids[0], in_path=True)
    params = call.params
    by_success = params.get("payment_behavior") == "resume_on_payment_success"
    check_resumable(world, subscription, by_success=by_success)
    with world.events.in_order(ORDER):
        invoice = _begin_resumption(world, subscription, params, by_success=by_success)
        if invoice is not None and by_success:
            collection.collect(world, invoice, automatic=True)
    return subscription


def come_back(world: World, subscription: Json) -> None:
    """Resume a subscription whose pause is over: what that costs is charged, and it is past due if that fails."""
    with world.events.in_order(ORDER):
        invoice = _begin_resumption(world, subscription, {}, by_success=False)
        if invoice is not None:
            collection.collect(world, invoice, automatic=True)


def _begin_resumption(world: World, subscription: Json, params: Json, *, by_success: bool) -> Json | None:
    """Resume at once what costs nothing; anything else waits for the invoice that is answered."""

    def change() -> Json | None:
        return resume(world, subscription, params)

    planned = pending_updates.forecast(world, subscription, change)
    if planned.due:
        shown = {"billing_cycle_anchor": planned.fields["billing_cycle_anchor"]}
        seconds = _YEAR if by_success else pending_updates.EXPIRES_SECONDS
        with updating(world, subscription, "customer.subscription.updated"):
            return pending_updates.wait(
                world, subscription, planned, shown, seconds=seconds, kind="resume", fails=not by_success
            )
    with updating(world, subscription, "customer.subscription.updated"):
        free = change()
        if free is not None:
            collection.open_up(world, free)
    emit(world, "customer.subscription.resumed", subscription)
    cycle.plan(world, subscription)
    return None


def resume(world: World, subscription: Json, params: Json) -> Json | None:
    """Let a paused subscription be active; answers the draft that bills it, if anything is billed at once."""
    now = world.clock.seconds()
    anew = params.get("billing_cycle_anchor", {"type": "now"})["type"] == "now"
    behavior = "always_invoice" if anew else params.get("proration_behavior", "create_prorations")
    subscription |= {"status": "active", "status_details": None}
    if anew:
        subscription["billing_cycle_anchor"] = now
    lines: list[Json] = []
    for item in subscriptions.items_of(world, subscription):
        price = world.table("price").get(item["price"])
        whole = subscriptions.next_period(subscription, price, now)
        item |= {"current_period_start": whole[0], "current_period_end": whole[1]}
        if not anew and behavior != "none":
            proration.debit(world, subscription, proration.held(item), now)
        elif anew and prices.is_metered(price):
            lines.append(invoice_lines.free_line(world, subscription, item, whole))
        elif anew:
            lines.append(invoice_lines.line(world, subscription, item, item["quantity"], whole))
    waiting = invoice_items.pending(world, subscription)
    if behavior != "always_invoice" or not (lines or waiting):
        return None
    return invoices.draft(world, subscription, "subscription_update", lines, pending=waiting)


def check_resumable(world: World, subscription: Json, *, by_success: bool) -> None:
    """See that a subscription can be resumed; raises `ApiError`."""
    if subscription["status"] != "paused":
        raise invalid(f"Only paused subscriptions can be resumed; this one is `{subscription['status']}`.")
    if subscription["collection_method"] != "charge_automatically":
        raise invalid("Only subscriptions with `collection_method=charge_automatically` can be resumed.")
    if subscription["_pending"] is not None:
        raise invalid("This subscription is being resumed already: its invoice waits to be paid.")
    if by_success:
        if subscription["billing_mode"]["type"] != "flexible":
            message = "`resume_on_payment_success` is only available with `billing_mode` flexible."
            raise invalid(message, "payment_behavior")
        if collection.default_method(world, subscription) is None:
            message = "This customer has no attached payment source or default payment method."
            raise invalid(message, None, "resource_missing")


PAUSE_PARAMS: dict[str, fields.Reader] = {
    "bill_for": fields.fields(
        outstanding_usage_through=fields.fields(required=("type",), type=fields.one_of("none", "now")),
        unused_time_from=fields.fields(
            required=("type",), type=fields.one_of("item_current_period_start", "none", "now")
        ),
    ),
    "invoicing_behavior": fields.one_of("invoice", "pending_invoice_item"),
    "type": fields.one_of("subscription", "subscription"),
}
ROUTES = (
    Route("POST", "/v1/subscriptions/{id}/pause", _pause, PAUSE_PARAMS),
    Route(
        "POST",
        "/v1/subscriptions/{id}/resume",
        _resume,
        {
            "billing_cycle_anchor": fields.fields(required=("type",), type=fields.one_of("now", "unchanged")),
            "payment_behavior": fields.one_of("resume_on_payment_attempt", "resume_on_payment_success"),
            "proration_behavior": fields.one_of("always_invoice", "create_prorations", "none"),
        },
    ),
)
