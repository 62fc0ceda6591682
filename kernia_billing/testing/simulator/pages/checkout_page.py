"""The page of a checkout session: what is bought, promotion codes, fields to fill in, a card or a bank account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..checkout import session_sales, session_totals
from . import pages

if TYPE_CHECKING:
    from ..state import State
    from ..world.errors import Json
    from ..world.world import World

_TITLES = {"payment": "Pay for", "subscription": "Subscribe to"}


def checkout_page(state: State, session_id: str, *, error: str | None = None, given: Mapping[str, str] = {}) -> str:
    """The page of an open session, with a message when there is one and what was `given` before still filled in.

    Raises:
        ApiError: no such session.
    """
    world = state.world
    with world.lock:
        session = world.table("checkout.session").get(session_id)
        back = pages.link(session["cancel_url"], "Back to the shop")
        if session["status"] != "open":
            return pages.frame(world, "Checkout", f"<p>This checkout session is {session['status']}.</p>{back}")
        content = _order(world, session) + _codes(session) + pages.alert(error) + _form(world, session, given) + back
        return pages.frame(world, _title(world, session), content)


def path_of(session: Json) -> str:
    """Where the page is."""
    return f"/c/pay/{session['id']}"


def _title(world: World, session: Json) -> str:
    if session["mode"] == "setup":
        return "Save a payment method"
    sales = session_totals.sales_of(world, session)
    names = (str(world.table("product").get(sale.price["product"])["name"]) for sale in sales)
    return f"{_TITLES[session['mode']]} {', '.join(names)}"


def _order(world: World, session: Json) -> str:
    if session["mode"] == "setup":
        return ""
    rows = [pages.sale_row(world, sale) for sale in session_totals.sales_of(world, session)]
    details = session["total_details"]
    for name, amount in (("Discount", -details["amount_discount"]), ("Tax", details["amount_tax"])):
        if amount:
            rows.append(pages.row(name, pages.money(amount, session["currency"])))
    due = pages.money(session_sales.due(world, session), session["currency"])
    return pages.table("Order", rows, ("Due today", due)) + _trial(world, session)


def _trial(world: World, session: Json) -> str:
    end = session_totals.trial_end_of(world, session)
    return "" if end is None else f"<p>Free trial for {(end - world.clock.seconds()) // 86_400} days.</p>"


def _codes(session: Json) -> str:
    if not session["allow_promotion_codes"]:
        return ""
    if session["_wanted"]:
        return pages.form(path_of(session), "", "Remove promotion code", quiet=True, name="remove_code", value="on")
    content = pages.text_field("promotion_code", "Promotion code")
    return pages.form(path_of(session), content, "Apply", quiet=True)


def _form(world: World, session: Json, given: Mapping[str, str]) -> str:
    due = session_sales.due(world, session)
    asks = due or session["mode"] == "setup" or session["payment_method_collection"] == "always"
    content = "" if session["customer"] or session["customer_email"] else _email(given)
    content += "".join(_custom_field(row, given) for row in session["custom_fields"])
    content += _method(session, given) if asks else ""
    content += _consent(session, given)
    verb = f"Pay {pages.money(due, session['currency'])}" if due else "Save" if session["mode"] == "setup" else "Start"
    return pages.form(path_of(session), content, verb)


def _email(given: Mapping[str, str]) -> str:
    return pages.text_field("email", "Email", given.get("email", "buyer@example.com"), hint="email", mode="email")


def _method(session: Json, given: Mapping[str, str]) -> str:
    kinds = session["payment_method_types"]
    if "card" not in kinds:
        account = given.get("card", "000123456789")
        return pages.text_field("card", "Bank account number", account, mode="numeric")
    extra = "<p>A test bank account may be given in place of a card: 000123456789.</p>" if len(kinds) > 1 else ""
    return pages.card_fields(given.get("card", pages.CARD)) + extra


def _custom_field(row: Json, given: Mapping[str, str]) -> str:
    name, label, kind = f"field_{row['key']}", row["label"]["custom"], row["type"]
    label = f"{label} (optional)" if row["optional"] else label
    value = given.get(name, row[kind]["default_value"] or "")
    if kind == "dropdown":
        options = [("", "–"), *((option["value"], option["label"]) for option in row[kind]["options"])]
        return pages.choice(name, label, options, value)
    mode = "numeric" if kind == "numeric" else "text"
    return pages.text_field(name, label, value, mode=mode, required=not row["optional"])


def _consent(session: Json, given: Mapping[str, str]) -> str:
    wanted: Json = session["consent_collection"] or {}
    boxes = ""
    if wanted.get("terms_of_service") == "required":
        boxes += pages.tick("terms", "I agree to the terms of service", on="terms" in given)
    if wanted.get("promotions") == "auto":
        boxes += pages.tick("promotions", "Send me news and offers", on="promotions" in given)
    return boxes
