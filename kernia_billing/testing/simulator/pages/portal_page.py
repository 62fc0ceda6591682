"""The pages of the portal: what a customer has, and a page for each thing that can be done to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from ..customers import customers
from ..people import portal_actions
from ..people.portal_actions import ADDRESS, features_of
from ..subscriptions import selling, subscriptions
from ..world.tables import nested
from . import pages

if TYPE_CHECKING:
    from ..state import State
    from ..world.errors import Json
    from ..world.world import World

_Part: TypeAlias = "Callable[[World, Json, str], str]"

FLOWS = {
    "payment_method_update": "payment_method",
    "subscription_cancel": "cancel",
    "subscription_update": "update",
    "subscription_update_confirm": "update",
    "subscription_pause": "pause",
    "customer_update": "customer",
}
"""The action that a flow leads to."""
_REASONS = {
    "too_expensive": "It's too expensive",
    "missing_features": "Some features are missing",
    "switched_service": "I found an alternative",
    "unused": "I no longer need it",
    "customer_service": "Customer service was less than expected",
    "too_complex": "Ease of use was less than expected",
    "low_quality": "Quality was less than expected",
    "other": "Other reason",
}
_TITLES = {
    "cancel": "Cancel subscription",
    "update": "Update subscription",
    "pause": "Pause subscription",
    "payment_method": "Payment method",
    "customer": "Billing information",
}


def portal_page(state: State, session_id: str, *, error: str | None = None) -> str:
    """The first page: subscriptions, payment methods, billing information and invoices; a flow begins at its own page.

    Raises:
        ApiError: no such session.
    """
    world = state.world
    with world.lock:
        session = world.table("billing_portal.session").get(session_id)
        flow: Json | None = session["flow"]
        if flow is not None and "_done" not in session:
            return action_page(state, session_id, FLOWS[flow["type"]], None, error=error)
        back = pages.link(session["return_url"], "Return to the site")
        rows = [_subscription(world, session, row) for row in subscriptions.live_of(world, session["customer"])]
        content = "".join(rows) or "<p>No subscription.</p>"
        content += _methods(world, session) + _person(world, session) + _invoices(world, session)
        return pages.frame(world, "Your subscriptions", pages.alert(error) + content + back)


def action_page(state: State, session_id: str, action: str, subscription: str | None, *, error: str | None) -> str:
    """The page on which something is done.

    Raises:
        ApiError: no such session.
        SimulatorError: it is not allowed.
    """
    world = state.world
    with world.lock:
        session = world.table("billing_portal.session").get(session_id)
        portal_actions.allowed(world, session, action)
        id = (
            ""
            if action in ("payment_method", "customer")
            else portal_actions.subscription_of(world, session, subscription)
        )
        content = pages.alert(error) + _PARTS[action](world, session, id)
        back = pages.link(session["return_url"], "Return to the site")
        return pages.frame(world, _TITLES[action], content + back)


def done_page(state: State, session: Json) -> str:
    """The confirmation after a flow, in the application's words if it gave some."""
    own: str | None = nested(session, "flow", "after_completion", "hosted_confirmation").get("custom_message")
    content = pages.table("Done", [pages.row("Status", own or "Your change was saved.")])
    return pages.frame(state.world, "Done", content + pages.link(session["return_url"], "Return to the site"))


def path_of(session: Json, action: str = "", subscription: str = "") -> str:
    """Where a page of a session is."""
    return "/".join(part for part in (f"/p/session/{session['id']}", action, subscription) if part)


def _subscription(world: World, session: Json, subscription: Json) -> str:
    items = subscriptions.items_of(world, subscription)
    sales = [selling.Sale(world.table("price").get(item["price"]), item["quantity"]) for item in items]
    rows = [pages.sale_row(world, sale) for sale in sales]
    rows.append(pages.row("Status", str(subscription["status"]).replace("_", " ")))
    ends: int | None = subscription["cancel_at"]
    rows.append(pages.row("Ends" if ends else "Period ends", pages.day(ends or items[0]["current_period_end"])))
    return pages.table("Subscription", rows) + _buttons(world, session, subscription)


def _buttons(world: World, session: Json, subscription: Json) -> str:
    features, id = features_of(world, session), subscription["id"]
    made = ""
    if features["subscription_update"]["enabled"] and subscription["status"] in ("active", "trialing"):
        made += pages.link(path_of(session, "update", id), "Update plan")
    if features["subscription_cancel"]["enabled"]:
        if subscription["cancel_at"] is not None:
            made += pages.form(path_of(session, "renew", id), "", "Don't cancel", quiet=True)
        else:
            made += pages.link(path_of(session, "cancel", id), "Cancel plan")
    if features["subscription_pause"]["enabled"]:
        if subscription["status"] == "paused":
            made += pages.form(path_of(session, "resume", id), "", "Resume", quiet=True)
        elif subscription["status"] == "active":
            made += pages.link(path_of(session, "pause", id), "Pause plan")
    return made


def _methods(world: World, session: Json) -> str:
    if not features_of(world, session)["payment_method_update"]["enabled"]:
        return ""
    default = customers.live(world, session["customer"])["invoice_settings"]["default_payment_method"]
    rows: list[str] = []
    for method in world.table("payment_method"):
        if method["customer"] == session["customer"]:
            details = method[method["type"]]
            name = f"{details.get('brand') or 'bank account'} •••• {details['last4']}"
            rows.append(pages.row(name, "default" if method["id"] == default else ""))
    return (
        "<h2>Payment methods</h2>"
        + (pages.table("Payment methods", rows) if rows else "")
        + pages.link(path_of(session, "payment_method"), "Add payment method")
    )


def _person(world: World, session: Json) -> str:
    if not features_of(world, session)["customer_update"]["enabled"]:
        return ""
    customer = customers.live(world, session["customer"])
    rows = [pages.row(label, str(customer[name] or "–")) for name, label in (("name", "Name"), ("email", "Email"))]
    update = pages.link(path_of(session, "customer"), "Update information")
    return "<h2>Billing information</h2>" + pages.table("Billing information", rows) + update


def _invoices(world: World, session: Json) -> str:
    if not features_of(world, session)["invoice_history"]["enabled"]:
        return ""
    shown = ""
    for invoice in world.table("invoice"):
        if invoice["customer"] == session["customer"] and invoice["hosted_invoice_url"]:
            total = pages.money(invoice["total"], invoice["currency"])
            words = f"{pages.day(invoice['created'])}: {total}, {invoice['status']}"
            shown += pages.link(invoice["hosted_invoice_url"], words)
    return f"<h2>Invoice history</h2>{shown}" if shown else ""


def _cancel(world: World, session: Json, id: str) -> str:
    feature = features_of(world, session)["subscription_cancel"]
    subscription = world.table("subscription").get(id)
    at_once = feature["mode"] == "immediately"
    end = subscriptions.period_of(world, subscription)[1]
    words = "It ends at once." if at_once else f"It stays until {pages.day(end)}."
    content, path = "", path_of(session, "cancel", id)
    coupon = portal_actions.retention_of(session)
    offer = ""
    if coupon is not None:
        name = str(world.table("coupon").get(coupon)["name"] or coupon)
        rows = pages.table("Offer", [pages.row("Stay, and get", name)])
        offer = pages.form(path, rows, "Accept offer", name="offer", value="accept")
    if feature["cancellation_reason"]["enabled"]:
        options = [("", "–"), *((name, _REASONS[name]) for name in feature["cancellation_reason"]["options"])]
        content += pages.choice("feedback", "Reason", options)
        content += pages.text_field("comment", "Comment (optional)", required=False)
    return f"{offer}<p>{words}</p>{pages.form(path, content, 'Cancel subscription')}"


def _update(world: World, session: Json, id: str) -> str:
    subscription = world.table("subscription").get(id)
    item = subscriptions.items_of(world, subscription)[0]
    details = nested(session, "flow", "subscription_update_confirm")
    wanted: Json = details["items"][0] if details else {}
    price, quantity = wanted.get("price") or item["price"], wanted.get("quantity") or item["quantity"] or 1
    if details:
        chosen = world.table("price").get(price)
        rows = [pages.sale_row(world, selling.Sale(chosen, quantity))]
        sent = pages.hidden([("price", price), ("quantity", str(quantity))])
        return pages.form(path_of(session, "update", id), pages.table("New plan", rows) + sent, "Confirm")
    offered = {
        each["id"]: each for each in (world.table("price").get(item["price"]), *portal_actions.offers(world, session))
    }
    options = [
        (key, f"{world.table('product').get(each['product'])['name']}, {pages.price_text(each)}")
        for key, each in offered.items()
    ]
    content = pages.choice("price", "Plan", options, price)
    if "quantity" in features_of(world, session)["subscription_update"]["default_allowed_updates"]:
        content += pages.text_field("quantity", "Quantity", str(quantity), mode="numeric")
    return pages.form(path_of(session, "update", id), content, "Confirm")


def _pause(world: World, session: Json, id: str) -> str:
    duration = features_of(world, session)["subscription_pause"]["duration"]
    options = [
        (str(index), f"{option['interval_count']} {option['interval']}")
        for index, option in enumerate(duration["interval_options"])
    ]
    content = pages.choice("duration", "For how long", options) if options else "<p>Until you resume it.</p>"
    return pages.form(path_of(session, "pause", id), content, "Pause subscription")


def _method(_world: World, session: Json, _id: str) -> str:
    return pages.form(path_of(session, "payment_method"), pages.card_fields(), "Save card")


def _customer(world: World, session: Json, _id: str) -> str:
    customer = customers.live(world, session["customer"])
    names = features_of(world, session)["customer_update"]["allowed_updates"]
    content = ""
    for name, label in (("name", "Name"), ("email", "Email"), ("phone", "Phone")):
        if name in names:
            content += pages.text_field(name, label, customer[name] or "", hint=name, required=False)
    if "address" in names:
        for name in ADDRESS:
            value: str = nested(customer, "address").get(name) or ""
            content += pages.text_field(name, name.replace("_", " ").capitalize(), value, required=False)
    return pages.form(path_of(session, "customer"), content, "Save")


_PARTS: dict[str, _Part] = {
    "cancel": _cancel,
    "update": _update,
    "pause": _pause,
    "payment_method": _method,
    "customer": _customer,
}
