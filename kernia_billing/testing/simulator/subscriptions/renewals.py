"""Renewing: the items whose period is over move to their next one, and an invoice bills it.

Licensed prices are billed ahead, usage of the past period behind. Items of different intervals have periods of their
own; those that end together are billed together, with the invoice items that wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, TypeAlias

from ..catalog import prices
from ..invoices import invoice_items, invoice_lines, invoices, proration
from ..invoices.invoice_shape import Reason
from ..metering import usage
from ..world.errors import Json
from ..world.rehearsal import rehearsal
from . import subscriptions

if TYPE_CHECKING:
    from ..world.world import World

DRAFT_SECONDS = 3_600

Step: TypeAlias = "Callable[[World, Json, int], None]"

BEFORE_PERIOD_END: list[Step] = []
"""What is done to a subscription first when a period of it ends at a second: the phases of its schedule, and so on."""


def move_on(world: World, subscription: Json, at: int) -> list[Json]:
    """Move the items whose period is over at that second to their next one; answers the lines that bill them."""
    trialed = subscription["status"] == "trialing"
    due = [item for item in subscriptions.items_of(world, subscription) if item["current_period_end"] <= at]
    return [_next(world, subscription, item, at, trialed=trialed) for item in due]


def draft(
    world: World,
    subscription: Json,
    lines: list[Json],
    past: tuple[int, int],
    reason: Reason = "subscription_cycle",
    waiting: Sequence[Json] | None = None,
) -> Json:
    """Draft the invoice of a renewal. It is finalised an hour later, unless the subscription is not collected.

    It bills the invoice items that are `waiting`; None for all that do.
    """
    pausing: Json = subscription["pause_collection"] or {}
    stays = subscription["status"] == "unpaid" or pausing.get("behavior") == "keep_as_draft"
    at = None if stays else world.clock.seconds() + DRAFT_SECONDS
    return invoices.draft(
        world,
        subscription,
        reason,
        lines,
        pending=invoice_items.pending(world, subscription) if waiting is None else waiting,
        auto_advance=at is not None,
        automatically_finalizes_at=at,
        next_payment_attempt=_first_try(subscription, at),
        period_start=past[0],
        period_end=past[1],
    )


def upcoming(world: World, subscription: Json) -> Json | None:
    """How the next renewal's invoice would look by what is known now; None when there will be none."""
    with rehearsal(world):
        return foresee(world, subscription)


def foresee(world: World, subscription: Json) -> Json | None:
    """`upcoming`, inside of a rehearsal whose changes count too."""
    past = subscriptions.period_of(world, subscription)
    for step in BEFORE_PERIOD_END:
        step(world, subscription, past[1])
    ends = subscription["cancel_at"] is not None and subscription["cancel_at"] <= past[1]
    waiting = invoice_items.pending(world, subscription)
    if subscription["status"] in (*subscriptions.ENDED, "paused", "incomplete") or (ends and not waiting):
        return None
    lines = [] if ends else move_on(world, subscription, past[1])
    invoice = invoices.draft(
        world,
        subscription,
        "upcoming",
        lines,
        pending=waiting,
        created=past[1],
        next_payment_attempt=_first_try(subscription, past[1] + DRAFT_SECONDS),
        period_start=past[0],
        period_end=past[1],
    )
    return as_preview(invoice)


def as_preview(invoice: Json) -> Json:
    """A copy of a draft under an id that no invoice has."""
    shown = deepcopy(invoice)
    shown["id"] = f"upcoming_{invoice['id']}"
    shown["lines"]["url"] = f"/v1/invoices/{shown['id']}/lines"
    shown |= {"billing_reason": "upcoming", "automatically_finalizes_at": None}
    for line in shown["lines"]["data"]:
        line["invoice"] = None
    return shown


def _first_try(subscription: Json, at: int | None) -> int | None:
    """When the invoice of a renewal is first charged; one that is sent never is."""
    return at if subscription["collection_method"] == "charge_automatically" else None


def _next(world: World, subscription: Json, item: Json, at: int, *, trialed: bool) -> Json:
    price = world.table("price").get(item["price"])
    past = item["current_period_start"], item["current_period_end"]
    whole = subscriptions.next_period(subscription, price, at)
    end = whole[1] if subscription["cancel_at"] is None else max(at, min(whole[1], subscription["cancel_at"]))
    period = (max(whole[0], past[1]), end)
    item |= {"current_period_start": period[0], "current_period_end": period[1]}
    if item["quantity"] is None:
        line = invoice_lines.free_line if trialed else usage.line_for
        return line(world, subscription, item, past)
    if period == whole:
        return invoice_lines.line(world, subscription, item, item["quantity"], period)
    amount = prices.cost(price, item["quantity"])
    part = proration.share(amount, whole, period[0]) - proration.share(amount, whole, period[1])
    return invoice_lines.partial_line(world, subscription, item, period, part)
