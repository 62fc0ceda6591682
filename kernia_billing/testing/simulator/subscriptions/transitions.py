"""Changing what a subscription sells and when it bills: the items, the trial and the anchor, and the money of it.

A change leaves prorations for the next invoice, bills them at once, or does nothing, as its behaviour says. A change of
interval, from free to paid, of the anchor, and the start or end of a trial begin a new period at once and bill it.
Source: Stripe, "Prorations", "Set the billing cycle date" and the description of `POST /v1/subscriptions/{id}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from ..catalog import prices
from ..invoices import collection, invoice_items, invoice_lines, invoices, proration
from ..metering import usage
from ..world.errors import Decline, Json
from ..world.events import updating
from . import cycle, deductions, selling, subscriptions
from .deductions import Deductions
from .selling import Sale

if TYPE_CHECKING:
    from ..world.world import World

_DISCARDED = ("customer.subscription.pending_update_expired", "payment_intent.canceled", "invoice.voided")
_BILLED = (
    "customer.updated",
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
    "invoice.sent",
    "invoice_payment.paid",
)
_CHANGED = (
    "customer.subscription.pending_update_applied",
    "customer.subscription.trial_will_end",
    "customer.subscription.updated",
)
UPDATE_ORDER = (*_DISCARDED, *_BILLED, *_CHANGED, "invoiceitem.created")
"""The order in which a change is told: the subscription after its invoice, the invoice items last."""
WAIT_ORDER = (*_DISCARDED, *_CHANGED, *_BILLED, "invoiceitem.created")
"""The order in which a change is told that waits to be paid: first the subscription says so."""


@frozen
class ItemChange:
    """What becomes of one item: another sale in its place, a new one, or none."""

    item: Json | None
    sale: Sale
    deleted: bool = False
    deductions: Deductions = field(factory=Deductions)
    id: str | None = None
    """The id that a new item gets, where it is known before."""
    clear_usage: bool = False


@frozen
class Move:
    """A change of what is sold or when it is billed; prorations count from `at`, in UTC seconds."""

    at: int
    items: Sequence[ItemChange] = ()
    behavior: proration.Behavior = "create_prorations"
    anchor_now: bool = False
    trial_end: int | None = None
    """A trial until then, in UTC seconds; not later than now for the end of the trial."""
    extras: Sequence[Sale] = ()
    """One-time prices to put on the next invoice."""


def perform(world: World, subscription: Json, move: Move) -> Json | None:
    """Change the subscription; answers the draft that has to be paid for it now, if one has.

    The caller emits `customer.subscription.updated`, and bills the draft by `charge`.
    """
    now = world.clock.seconds()
    trialed, free = subscription["status"] == "trialing", subscriptions.is_free(world, subscription)
    before = {item["id"]: proration.held(item) for item in subscriptions.items_of(world, subscription)}
    over = _usage_before(world, subscription, move)
    other_interval = _new_interval(world, subscription, move)
    touched = _apply_items(world, subscription, move)
    starts_trial = move.trial_end is not None and move.trial_end > now
    ends_trial = trialed and move.trial_end is not None and not starts_trial
    paid_now = free and not trialed and not subscriptions.is_free(world, subscription)
    resets = ends_trial or (not trialed and (starts_trial or move.anchor_now or paid_now or other_interval))
    prorates = move.behavior != "none" and not trialed
    made: list[Json | None] = []
    if prorates:
        changed = [held for id, held in before.items() if resets or id in touched]
        made += [proration.credit(world, subscription, held, move.at) for held in changed]
    if starts_trial and trialed:
        _extend_trial(world, subscription, move.trial_end or now)
    lines = over
    if resets:
        lines = [*over, *_begin_anew(world, subscription, move.trial_end if starts_trial else None)]
    elif prorates:
        changed = [
            proration.held(item) for item in subscriptions.items_of(world, subscription) if item["id"] in touched
        ]
        made += [proration.debit(world, subscription, held, move.at) for held in changed]
    for sale in move.extras:
        _wait(world, subscription, sale)
    cycle.plan(world, subscription)
    if not (resets or lines or (move.behavior == "always_invoice" and any(made))):
        return None
    waiting = invoice_items.pending(world, subscription)
    return invoices.draft(world, subscription, "subscription_update", lines, pending=waiting)


def charge(world: World, subscription: Json, invoice: Json, payment_behavior: str) -> Decline | None:
    """Finalise the invoice of a change and try to be paid for it, unless the client confirms the payment itself."""
    attempt = payment_behavior != "default_incomplete"
    refusal = collection.open_up(world, invoice, attempt=attempt)
    waits = invoice["status"] == "open" and invoice["collection_method"] == "charge_automatically"
    if not attempt and waits and subscription["status"] == "active":
        subscription["status"] = "past_due"
    return refusal


def replace_items(world: World, subscription: Json, sales: Sequence[Sale]) -> list[ItemChange]:
    """The changes that lead from the items there are to these sales: the same price keeps its item."""
    items = {item["price"]: item for item in subscriptions.items_of(world, subscription)}
    changes = [ItemChange(items.pop(sale.price["id"], None), sale) for sale in sales]
    gone = [
        ItemChange(item, Sale(world.table("price").get(item["price"]), None), deleted=True) for item in items.values()
    ]
    return [*changes, *gone]


def _wait(world: World, subscription: Json, sale: Sale) -> None:
    item = invoice_items.new(
        world,
        subscription["customer"],
        subscription["currency"],
        prices.cost(sale.price, sale.quantity or 1),
        description=world.table("product").get(sale.price["product"])["name"],
        price=sale.price,
        quantity=sale.quantity or 1,
        period=subscriptions.period_of(world, subscription),
        subscription=subscription["id"],
        metadata=sale.metadata,
    )
    invoice_items.keep(world, item)


def _usage_before(world: World, subscription: Json, move: Move) -> list[Json]:
    """The lines for usage of metered items that go away or change their price, which nobody could bill later."""
    gone = [
        change.item
        for change in move.items
        if change.item is not None
        and not change.clear_usage
        and (change.deleted or change.sale.price["id"] != change.item["price"])
        and subscription["status"] != "trialing"
    ]
    return usage.last_lines(world, subscription, gone)


def _apply_items(world: World, subscription: Json, move: Move) -> set[str]:
    """Write the changes to the items; answers the ids of those whose cost they may have changed."""
    now, touched = world.clock.seconds(), set[str]()
    trial_end = subscription["trial_end"] if subscription["status"] == "trialing" else None
    for change in move.items:
        item = change.item
        if item is None:
            start, end = subscriptions.next_period(subscription, change.sale.price, now)
            period = (now, trial_end) if trial_end is not None else (start, end)
            item = subscriptions.add_item(world, subscription, change.sale, period, id=change.id)
            touched.add(item["id"])
        elif change.deleted:
            subscription["_items"] = [id for id in subscription["_items"] if id != item["id"]]
            del world.table("subscription_item").rows[item["id"]]
            touched.add(item["id"])
            continue
        else:
            if (item["price"], item["quantity"]) != (change.sale.price["id"], change.sale.quantity):
                touched.add(item["id"])
            if item["price"] != change.sale.price["id"]:
                usage.changed_price(world, item)
            item.update(
                price=change.sale.price["id"], quantity=change.sale.quantity, metadata=dict(change.sale.metadata)
            )
        deductions.apply(world, change.deductions, subscription, item)
    return touched


def _new_interval(world: World, subscription: Json, move: Move) -> bool:
    """Whether an item changes from one interval to another; ask before the items change.

    A single item that is replaced by another one changes it too; in a mixture items may come and go.
    """
    before = {
        selling.interval_of(world.table("price").get(item["price"]))
        for item in subscriptions.items_of(world, subscription)
    }
    after = {selling.interval_of(change.sale.price) for change in move.items if not change.deleted}
    kept = [
        change
        for change in move.items
        if change.item is not None
        and not change.deleted
        and selling.interval_of(change.sale.price)
        != selling.interval_of(world.table("price").get(change.item["price"]))
    ]
    gone = {change.item["id"] for change in move.items if change.item is not None and change.deleted}
    replaced = gone >= set(subscription["_items"]) and bool(after) and after != before
    return bool(kept) or replaced


def _extend_trial(world: World, subscription: Json, end: int) -> None:
    subscription |= {"trial_end": end, "billing_cycle_anchor": end}
    for item in subscriptions.items_of(world, subscription):
        item["current_period_end"] = end


def _begin_anew(world: World, subscription: Json, trial_end: int | None) -> list[Json]:
    """Begin new periods for all items now, a trial or paid ones; answers the lines that bill them."""
    now = world.clock.seconds()
    past = {item["id"]: item["current_period_start"] for item in subscriptions.items_of(world, subscription)}
    trialed = subscription["status"] == "trialing"
    if trial_end is not None:
        subscription |= {"status": "trialing", "trial_start": now, "trial_end": trial_end}
    elif trialed:
        subscription |= {"status": "active", "trial_end": now}
    subscription["billing_cycle_anchor"] = trial_end or now
    lines: list[Json] = []
    for item in subscriptions.items_of(world, subscription):
        price = world.table("price").get(item["price"])
        end = trial_end or subscriptions.next_period(subscription, price, now)[1]
        item |= {"current_period_start": now, "current_period_end": end}
        if prices.is_metered(price):
            used = (past[item["id"]], now)
            lines.append(
                invoice_lines.free_line(world, subscription, item, (now, end))
                if trialed or used[0] >= now
                else usage.line_for(world, subscription, item, used)
            )
        elif trial_end is not None:
            lines.append(invoice_lines.free_line(world, subscription, item, (now, end)))
        else:
            lines.append(invoice_lines.line(world, subscription, item, item["quantity"], (now, end)))
    return lines


def told(world: World, subscription: Json, move: Move, payment_behavior: str) -> Json | None:
    """Perform a move that comes from nobody's request, bill it, and emit what happened; answers its invoice."""
    with world.events.in_order(UPDATE_ORDER), updating(world, subscription, "customer.subscription.updated"):
        invoice = perform(world, subscription, move)
        if invoice is not None:
            charge(world, subscription, invoice, payment_behavior)
    return invoice
