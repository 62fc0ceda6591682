"""Changing a subscription through the API: what it sells, its trial, anchor, payment, collection and cancellation.

Not modelled: prorations of a `cancel_at` within a period, prebilling, trial offers and inline prices.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..api import fields
from ..api.router import Call
from ..catalog import tax_rates
from ..invoices import automatic_tax, collection, discounts, proration
from ..payments import payment_methods
from ..world.errors import Json, invalid, not_modelled
from ..world.events import updating
from . import cycle, deductions, ending, item_changes, pending_intervals, pending_updates, subscriptions, transitions
from .transitions import UPDATE_ORDER, WAIT_ORDER, Move

if TYPE_CHECKING:
    from ..world.world import World

CANCELLATION_DETAILS = fields.fields(
    comment=fields.clearable(fields.text),
    feedback=fields.clearable(
        fields.one_of(
            "customer_service",
            "low_quality",
            "missing_features",
            "other",
            "switched_service",
            "too_complex",
            "too_expensive",
            "unused",
        )
    ),
)


def moment_or(*words: str) -> fields.Reader:
    """A timestamp, or one of these words."""

    def read(raw: Any, at: str) -> int | str:
        return str(raw) if raw in words else fields.timestamp(raw, at)

    return read


ANCHOR = fields.fields(required=("type",), type=fields.one_of("now", "unchanged"))
CANCEL_AT = moment_or("max_period_end", "min_period_end")
DAYS = fields.integer(0, 365)
METHOD = fields.one_of("charge_automatically", "send_invoice")
PRORATION = fields.one_of("create_prorations", "none", "always_invoice")
PAYMENT_BEHAVIOR = fields.one_of(
    "allow_incomplete", "default_incomplete", "error_if_incomplete", "pending_if_incomplete"
)
PAYMENT_SETTINGS = fields.fields(save_default_payment_method=fields.one_of("off", "on_subscription"))
TRIAL_SETTINGS = fields.fields(
    required=("end_behavior",),
    end_behavior=fields.fields(
        required=("missing_payment_method",), missing_payment_method=fields.one_of("cancel", "create_invoice", "pause")
    ),
)
MOVE_FIELDS: dict[str, fields.Reader] = {
    "add_invoice_items": item_changes.EXTRAS,
    "billing_cycle_anchor": ANCHOR,
    "items": item_changes.ITEMS,
    "proration_behavior": PRORATION,
    "proration_date": fields.timestamp,
    "trial_end": moment_or("now"),
}
FIELDS: dict[str, fields.Reader] = {
    **MOVE_FIELDS,
    "automatic_tax": tax_rates.AUTOMATIC,
    "cancel_at": fields.clearable(CANCEL_AT),
    "cancel_at_period_end": fields.boolean,
    "cancellation_details": CANCELLATION_DETAILS,
    "collection_method": METHOD,
    "days_until_due": DAYS,
    "default_payment_method": fields.text,
    "default_tax_rates": tax_rates.IDS,
    "description": fields.clearable(fields.text_up_to(500)),
    "discounts": discounts.PARAM,
    "metadata": fields.metadata,
    "off_session": fields.boolean,
    "pause_collection": fields.clearable(
        fields.fields(
            required=("behavior",),
            behavior=fields.one_of("keep_as_draft", "mark_uncollectible", "void"),
            resumes_at=fields.timestamp,
        )
    ),
    "payment_behavior": PAYMENT_BEHAVIOR,
    "payment_settings": PAYMENT_SETTINGS,
    "pending_invoice_item_interval": fields.clearable(pending_intervals.PARAM),
    "trial_settings": TRIAL_SETTINGS,
}
_ALWAYS_EDITABLE = {"cancellation_details", "metadata"}
_MAY_WAIT = {*MOVE_FIELDS, "off_session", "payment_behavior"}
"""What a change that is made only when it is paid may touch. Source: Stripe, "Pending updates"."""


def update(world: World, call: Call) -> Json:
    """Serve `POST /v1/subscriptions/{id}`."""
    subscription = world.table("subscription").get(call.ids[0], in_path=True)
    params = call.params
    check_editable(subscription, params)
    automatic_tax.check(world.table("customer").get(subscription["customer"]), params)
    _check_settings(world, subscription, params)
    move = read_move(world, subscription, params)
    _check_interval(world, subscription, move, params)
    owner, currency, has = subscription["customer"], subscription["currency"], deductions.ancestors(world, subscription)
    deducted = deductions.plan(world, params, customer=owner, currency=currency, has=has)
    metadata = fields.merge_metadata(subscription["metadata"], params.get("metadata"))

    def settings() -> None:
        subscription["metadata"] = metadata
        deductions.apply(world, deducted, subscription)
        _apply_settings(world, subscription, params)

    make(world, subscription, move, params.get("payment_behavior", "allow_incomplete"), settings)
    return subscription


def check_editable(subscription: Json, params: Json) -> None:
    """See that what a request wants to change can be changed in the state that the subscription is in.

    Raises:
        ApiError: it cannot.
    """
    status = subscription["status"]
    if status in subscriptions.ENDED and set(params) - _ALWAYS_EDITABLE:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    if status == "incomplete" and set(params) - {"metadata", "default_payment_method"}:
        raise invalid("This subscription is incomplete: only its metadata and payment method can be updated.")
    if status == "paused" and set(params) & {"items", "billing_cycle_anchor", "trial_end"}:
        raise not_modelled("changes of what a paused subscription sells and when it bills")
    if subscription["schedule"] is not None and {"cancel_at", "cancel_at_period_end"} & set(params):
        raise invalid(
            f"The subscription is managed by the subscription schedule `{subscription['schedule']}`, and updating any "
            "cancelation behavior directly is not allowed. Please update the schedule instead."
        )
    others = set(params) - _MAY_WAIT
    if params.get("payment_behavior") == "pending_if_incomplete" and others:
        name = min(others)
        message = f"When `payment_behavior` is set to `pending_if_incomplete`, you cannot pass `{name}`."
        raise invalid(message, name)


def make(
    world: World,
    subscription: Json,
    move: Move | None,
    payment_behavior: str,
    settings: Callable[[], None] = lambda: None,
) -> None:
    """Make a change and bill it as the payment behaviour says; emits what happens.

    Raises:
        ApiError: error_if_incomplete, and it could not be paid; nothing has changed.
    """
    if move is not None and payment_behavior in ("error_if_incomplete", "pending_if_incomplete"):
        chosen = move

        def rehearsed() -> Json | None:
            settings()
            return transitions.perform(world, subscription, chosen)

        planned = pending_updates.forecast(world, subscription, rehearsed)
        if planned.due and planned.refusal is not None:
            if payment_behavior == "error_if_incomplete":
                raise collection.card_error(planned.refusal)
            _wait(world, subscription, move, planned)
            return
    with world.events.in_order(UPDATE_ORDER), updating(world, subscription, "customer.subscription.updated"):
        settings()
        if move is not None:
            pending_updates.discard(world, subscription)
            invoice = transitions.perform(world, subscription, move)
            if invoice is not None:
                transitions.charge(world, subscription, invoice, payment_behavior)


def read_move(world: World, subscription: Json, params: Json) -> Move | None:
    """What a request changes of items, trial and anchor; None when it changes none of them.

    Raises:
        ApiError: as `item_changes.plan`, or dates that cannot be.
    """
    now = world.clock.seconds()
    items = item_changes.plan(world, subscription, params.get("items", ()))
    extras = item_changes.extras(world, params.get("add_invoice_items", ()), subscription["currency"])
    at = proration.check_date(params.get("proration_date"), subscriptions.items_of(world, subscription), now)
    trial_end: int | None = now if params.get("trial_end") == "now" else params.get("trial_end")
    trialing = subscription["status"] == "trialing"
    if trial_end is not None and trial_end < now:
        raise invalid("The `trial_end` must be in the future, or `now`.", "trial_end")
    if trial_end is not None and trial_end > now + 730 * 86_400:
        raise invalid("Trials can last two years at most.", "trial_end")
    anchor_now = params.get("billing_cycle_anchor", {}).get("type") == "now"
    if anchor_now and (trialing or trial_end is not None):
        raise not_modelled("a new anchor of a subscription on trial", "billing_cycle_anchor")
    if trial_end == now and not trialing:
        trial_end = None
    if not (items or extras or anchor_now or trial_end is not None):
        return None
    behavior = params.get("proration_behavior", "create_prorations")
    return Move(at, items, behavior, anchor_now, trial_end, extras)


def check_collection(params: Json, method: str, days: int | None) -> None:
    """See that days until due are given with invoices that are sent, and with no others.

    Raises:
        ApiError: they are missing, or there although invoices are charged.
    """
    if method == "send_invoice" and days is None:
        message = "You must specify `days_until_due` if `collection_method` is `send_invoice`."
        raise invalid(message, "days_until_due", "parameter_missing")
    if method == "charge_automatically" and "days_until_due" in params:
        raise invalid("`days_until_due` needs `collection_method=send_invoice`.", "days_until_due")


def _wait(world: World, subscription: Json, move: Move, planned: pending_updates.Forecast) -> None:
    shown: Json = {"subscription_items": planned.items if move.items else None}
    if move.trial_end is not None:
        shown["trial_end"] = move.trial_end
    if planned.fields["billing_cycle_anchor"] != subscription["billing_cycle_anchor"]:
        shown["billing_cycle_anchor"] = planned.fields["billing_cycle_anchor"]
    with world.events.in_order(WAIT_ORDER), updating(world, subscription, "customer.subscription.updated"):
        pending_updates.discard(world, subscription)
        invoice = pending_updates.wait(world, subscription, planned, shown)
        collection.collect(world, invoice)


def _check_settings(world: World, subscription: Json, params: Json) -> None:
    now = world.clock.seconds()
    if "default_payment_method" in params:
        id = params["default_payment_method"]
        payment_methods.of_customer(world, id, subscription["customer"], "default_payment_method")
    if "cancel_at" in params and "cancel_at_period_end" in params:
        raise invalid("`cancel_at` and `cancel_at_period_end` are exclusive.", "cancel_at", "parameters_exclusive")
    if params.get("cancel_at"):
        ending.cancel_moment(world, subscription, params["cancel_at"])
    mixed = subscriptions.period_of(world, subscription)[1] != subscriptions.last_end(world, subscription)
    if params.get("cancel_at_period_end") and mixed:
        what = "cancel_at_period_end where periods differ; use cancel_at with min_period_end or max_period_end"
        raise not_modelled(what, "cancel_at_period_end")
    pausing: Json = params.get("pause_collection") or {}
    if pausing.get("resumes_at", now + 1) <= now:
        raise invalid("`resumes_at` must be in the future.", "pause_collection[resumes_at]")
    method: str = params.get("collection_method") or subscription["collection_method"]
    days = params.get("days_until_due", subscription["days_until_due"])
    if {"collection_method", "days_until_due"} & set(params):
        check_collection(params, method, days)


def _check_interval(world: World, subscription: Json, move: Move | None, params: Json) -> None:
    """See that an interval for what waits is shorter than what is sold, before the change and after it."""
    sold = [world.table("price").get(item["price"]) for item in subscriptions.items_of(world, subscription)]
    sold += [change.sale.price for change in move.items] if move else []
    pending_intervals.check(params.get("pending_invoice_item_interval"), sold, world.clock.seconds())


def _apply_settings(world: World, subscription: Json, params: Json) -> None:
    for name in ("collection_method", "days_until_due", "default_payment_method"):
        if name in params:
            subscription[name] = params[name]
    if subscription["collection_method"] == "charge_automatically":
        subscription["days_until_due"] = None
    if "description" in params:
        subscription["description"] = params["description"] or None
    if "cancellation_details" in params:
        given = {name: value or None for name, value in params["cancellation_details"].items()}
        subscription["cancellation_details"] |= given
    subscription["payment_settings"] |= params.get("payment_settings", {})
    if "trial_settings" in params:
        subscription["trial_settings"]["end_behavior"] |= params["trial_settings"]["end_behavior"]
    if "automatic_tax" in params:
        subscription["automatic_tax"] = automatic_tax.of_subscription(enabled=params["automatic_tax"]["enabled"])
    if "pause_collection" in params:
        _pause_collection(world, subscription, params["pause_collection"] or None)
    if "pending_invoice_item_interval" in params:
        pending_intervals.write(subscription, params["pending_invoice_item_interval"], world.clock.seconds())
        cycle.plan(world, subscription)
    ending.set_end(world, subscription, params)


def _pause_collection(world: World, subscription: Json, given: Json | None) -> None:
    resumes_at: int | None = given.get("resumes_at") if given else None
    subscription["pause_collection"] = {"behavior": given["behavior"], "resumes_at": resumes_at} if given else None
    if resumes_at is not None:
        world.agenda.add(resumes_at, _resume_collection, subscription["id"])


def _resume_collection(world: World, id: str) -> None:
    """Collect again, if the pause that ends now is still on."""
    subscription = world.table("subscription").get(id)
    pausing: Json = subscription["pause_collection"] or {}
    resumes_at: int | None = pausing.get("resumes_at")
    over = resumes_at is not None and resumes_at <= world.clock.seconds()
    if over and subscription["status"] not in subscriptions.ENDED:
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["pause_collection"] = None
