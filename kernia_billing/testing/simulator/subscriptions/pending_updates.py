"""Changes that wait for their invoice to be paid: `pending_if_incomplete`, and the resumption of a paused subscription.

The change is rehearsed, its invoice is made, and what the subscription would be is kept until the invoice is paid; when
the time runs out the invoice is void and the change forgotten. Source: Stripe, "Pending updates" and "Pause
subscriptions".
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from ..invoices import collection, invoice_items, invoices
from ..world.errors import Decline, Json
from ..world.events import emit, updating
from ..world.rehearsal import rehearsal
from . import cycle, renewals, subscriptions

if TYPE_CHECKING:
    from ..world.world import World

EXPIRES_SECONDS = 23 * 3_600
_FIELDS = ("_items", "billing_cycle_anchor", "status", "status_details", "trial_end", "trial_start")
_APPLIED_ORDER = (
    "customer.subscription.pending_update_applied",
    "customer.subscription.resumed",
    "customer.subscription.updated",
)


@frozen
class Forecast:
    """What a change would come to: its invoice, if it needs one, and the subscription after it."""

    invoice: Json | None
    fields: Json
    items: list[Json]
    waiting: list[Json]
    """The invoice items of the invoice."""
    refusal: Decline | None
    """Why paying would fail, if it would."""

    @property
    def due(self) -> int:
        """What would have to be paid at once, in minor units."""
        return int(self.invoice["amount_due"]) if self.invoice else 0


def forecast(world: World, subscription: Json, change: Callable[[], Json | None]) -> Forecast:
    """Rehearse a change that answers its draft."""
    with rehearsal(world):
        invoice = change()
        rows = [row for row in world.table("invoiceitem") if invoice is not None and row["invoice"] == invoice["id"]]
        return Forecast(
            deepcopy(invoice),
            {name: deepcopy(subscription[name]) for name in _FIELDS},
            deepcopy(subscriptions.items_of(world, subscription)),
            deepcopy(rows[::-1]),
            _refusal(world, subscription),
        )


def wait(
    world: World,
    subscription: Json,
    planned: Forecast,
    shown: Json,
    *,
    seconds: int = EXPIRES_SECONDS,
    kind: Literal["update", "resume"] = "update",
    fails: bool = False,
) -> Json:
    """Make the invoice of a change and keep the change until it is paid; answers the open invoice.

    A resumption that `fails` takes place when paying for it fails too, and the subscription is past due.
    """
    expires_at = world.clock.seconds() + seconds
    invoice = invoices.draft(
        world,
        subscription,
        "subscription_update",
        _own_lines(planned),
        pending=[_kept(world, row) for row in planned.waiting],
    )
    subscription["pending_update"] = {
        **dict.fromkeys(("billing_cycle_anchor", "discounts", "subscription_items", "trial_end", "trial_from_plan")),
        "expires_at": expires_at,
        **shown,
    }
    subscription["_pending"] = {
        "kind": kind,
        "fails": fails,
        "invoice": invoice["id"],
        "fields": planned.fields,
        "items": planned.items,
        "expires_at": expires_at,
    }
    invoices.finalize(world, invoice)
    world.agenda.add(expires_at, _expire, subscription["id"])
    return invoice


def waits_for(subscription: Json, invoice: Json, *kinds: str) -> bool:
    """Whether a change of a subscription, of one of these kinds if any are named, waits for this invoice."""
    pending: Json | None = subscription["_pending"]
    return pending is not None and pending["invoice"] == invoice["id"] and (not kinds or pending["kind"] in kinds)


def apply(world: World, subscription: Json, invoice: Json) -> None:
    """The invoice is paid: the change takes place."""
    pending: Json | None = subscription["_pending"]
    if pending is None or pending["invoice"] != invoice["id"]:
        return
    event = "resumed" if pending["kind"] == "resume" else "pending_update_applied"
    with (
        world.events.in_order(_APPLIED_ORDER),
        updating(world, subscription, "customer.subscription.updated"),
    ):
        subscription |= {"pending_update": None, "_pending": None}
        write(world, subscription, pending)
        emit(world, f"customer.subscription.{event}", subscription)
    cycle.plan(world, subscription)


def write(world: World, subscription: Json, planned: Json) -> None:
    """Let the subscription and its items be as they were rehearsed: `fields` and `items`."""
    rows = world.table("subscription_item").rows
    for id in subscription["_items"]:
        if id not in planned["fields"]["_items"]:
            del rows[id]
    for item in planned["items"]:
        rows.setdefault(item["id"], item).update(item)
    subscription |= planned["fields"]


def discard(world: World, subscription: Json) -> None:
    """Forget a change that waits; emits `customer.subscription.pending_update_expired`, and voids its invoice."""
    pending: Json | None = subscription["_pending"]
    if pending is None:
        return
    with updating(world, subscription, "customer.subscription.pending_update_expired"):
        subscription |= {"pending_update": None, "_pending": None}
    invoice = world.table("invoice").get(pending["invoice"])
    if invoice["status"] == "open":
        invoices.void(world, invoice)


def _refusal(world: World, subscription: Json) -> Decline | None:
    if subscription["collection_method"] != "charge_automatically" or subscription["pause_collection"]:
        return None
    method = collection.default_method(world, subscription)
    return collection.NO_METHOD if method is None else collection.refusal_of(world, method)


def _fail(world: World, subscription: Json, invoice: Json) -> None:
    """A try to pay for a resumption that counts by the attempt: the subscription is past due, no longer paused."""
    pending: Json | None = subscription["_pending"]
    if pending is None or pending["invoice"] != invoice["id"] or not pending["fails"]:
        return
    with (
        world.events.in_order(_APPLIED_ORDER),
        updating(world, subscription, "customer.subscription.updated"),
    ):
        subscription |= {"pending_update": None, "_pending": None}
        write(world, subscription, pending)
        subscription["status"] = "past_due"
        emit(world, "customer.subscription.resumed", subscription)
    cycle.plan(world, subscription)


def _expire(world: World, id: str) -> None:
    subscription = world.table("subscription").get(id)
    pending: Json | None = subscription["_pending"]
    if pending is not None and pending["expires_at"] <= world.clock.seconds():
        discard(world, subscription)


def _discard_before(world: World, subscription: Json, at: int) -> None:
    """A change that waits does not outlive the period in which it was wanted."""
    if subscriptions.period_of(world, subscription)[1] <= at:
        discard(world, subscription)


def _own_lines(planned: Forecast) -> list[Json]:
    """The lines that come from no invoice item."""
    lines: list[Json] = planned.invoice["lines"]["data"] if planned.invoice else []
    items = {row["id"] for row in planned.waiting}
    return [line for line in lines if _item_of(line) not in items]


def _item_of(line: Json) -> str | None:
    details: Json = line["parent"]["subscription_item_details"] or line["parent"]["invoice_item_details"]
    item: str | None = details["invoice_item"]
    return item


def _kept(world: World, row: Json) -> Json:
    """The invoice item as it is kept; one that was only rehearsed is kept from now on."""
    found: Json | None = world.table("invoiceitem").rows.get(row["id"])
    return found if found is not None else invoice_items.keep(world, {**row, "invoice": None})


collection.WHEN_SETTLED.append(apply)
collection.WHEN_FAILED.append(_fail)
renewals.BEFORE_PERIOD_END.append(_discard_before)
