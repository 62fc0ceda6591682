"""What paying a checkout session would make of it: the terms of its subscription, and the sums that follow."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from ..customers import customers
from ..invoices import invoice_items, invoices
from ..subscriptions import cycle, subscriptions
from ..world.errors import Json
from ..world.rehearsal import rehearsal
from . import session_totals

if TYPE_CHECKING:
    from ..world.world import World


def settle(world: World, session: Json) -> None:
    """Compute what a session comes to, and write it down."""
    if session["mode"] == "setup":
        session |= {"amount_subtotal": None, "amount_total": None}
        return
    session_totals.settle(world, session)
    if _anchored(session):
        invoice = _rehearsed(world, session)
        session |= {"amount_subtotal": invoice["subtotal"], "amount_total": invoice["total"]}


def due(world: World, session: Json) -> int:
    """What is to be paid now, in minor units."""
    if session["mode"] == "setup":
        return 0
    if _anchored(session):
        return int(_rehearsed(world, session)["amount_due"])
    return int(session_totals.quote_of(world, session)["amount_due"])


def begin(world: World, session: Json, customer: Json, method: Json | None) -> tuple[Json, Json]:
    """Make the subscription of a session and the draft of its first invoice."""
    data: Json = session["_subscription_data"]
    sales = session_totals.sales_of(world, session)
    subscription = subscriptions.build(world, customer, sales, _terms(world, session, method))
    subscription["payment_settings"]["save_default_payment_method"] = "off"
    subscription["_first_period_free"] = data.get("proration_behavior") == "none"
    lines = cycle.first_lines(world, subscription, sales)
    invoice = invoices.draft(world, subscription, "subscription_create", lines)
    invoice_items.keep_sold(world, subscription, invoice)
    return subscription, invoice


def _terms(world: World, session: Json, method: Json | None) -> subscriptions.Terms:
    data: Json = session["_subscription_data"]
    ending: Json = data.get("trial_settings", {}).get("end_behavior", {})
    return subscriptions.Terms(
        metadata=data["metadata"],
        description=data.get("description"),
        trial_end=session_totals.trial_end_of(world, session),
        missing_payment_method=ending.get("missing_payment_method", "create_invoice"),
        default_payment_method=method["id"] if method else None,
        billing_mode=data.get("billing_mode", {}).get("type", "flexible"),
        anchor=data.get("billing_cycle_anchor"),
        default_tax_rates=session["_default_tax_rates"],
        discounts=session["_wanted"],
        automatic_tax=session["automatic_tax"]["enabled"],
        checkout_session=session["id"],
        pending_interval=data.get("pending_invoice_item_interval"),
    )


def _anchored(session: Json) -> bool:
    return "billing_cycle_anchor" in session["_subscription_data"]


def _rehearsed(world: World, session: Json) -> Json:
    """The first invoice of a session whose first period is cut by an anchor."""
    with rehearsal(world):
        known = session["customer"] is not None
        customer = customers.live(world, session["customer"]) if known else customers.new(world)
        return deepcopy(begin(world, session, customer, None)[1])
