"""Checkout sessions: opened by the API, paid or left by a person; expired ones may be recovered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..catalog import promotion_codes, tax_rates
from ..customers import customers
from ..invoices import discounts, quotes
from ..invoices.discounts import Wanted
from ..subscriptions.selling import Sale
from ..world.errors import Json, SimulatorError, invalid
from ..world.events import emit
from ..world.rendering import filler, includable
from ..world.tables import nested
from . import session_fields, session_lines, session_rules, session_sales, session_shape, session_totals

if TYPE_CHECKING:
    from ..world.world import World

RECOVERY_SECONDS = 30 * 86_400
"""So long the way back to an expired session stays open."""


def apply_promotion_code(world: World, session: Json, code: str) -> None:
    """A person enters a promotion code on the page of an open session; it takes the place of the one before.

    Raises:
        ApiError: nobody may enter one there, there is no such active code, or it does not apply to this purchase.
    """
    if session["status"] != "open" or not session["allow_promotion_codes"]:
        raise invalid("Promotion codes cannot be entered here.", "promotion_code")
    found = promotion_codes.typed(world, code, session["customer"])
    if found is None:
        raise invalid("This code is invalid.", "promotion_code")
    session["_wanted"] = session_totals.checked(world, session, [{"promotion_code": found["id"]}])
    session_sales.settle(world, session)


def remove_promotion_code(world: World, session: Json) -> None:
    """A person takes back the promotion code that they entered."""
    if session["status"] == "open" and session["allow_promotion_codes"]:
        session["_wanted"] = []
        session_sales.settle(world, session)


def expire(world: World, session: Json) -> None:
    """End an open session and emit `checkout.session.expired`; where recovery is on, a way back to it is opened."""
    session["status"] = "expired"
    recovery = nested(session, "after_expiration", "recovery")
    if recovery.get("enabled"):
        recovery |= {
            "expires_at": world.clock.seconds() + RECOVERY_SECONDS,
            "url": f"{world.settings.checkout_base}/r/{session['id']}",
        }
    emit(world, "checkout.session.expired", session)


def recover(world: World, session: Json) -> Json:
    """A person follows the recovery link of an expired session: a new one, the same in everything, with its own id.

    Raises:
        SimulatorError: the session has no such link, or it is over.
    """
    recovery = nested(session, "after_expiration", "recovery")
    until: int | None = recovery.get("expires_at")
    if until is None or until <= world.clock.seconds():
        raise SimulatorError(f"checkout session {session['id']} cannot be recovered")
    expires_at = world.clock.seconds() + session_rules.LONGEST_SECONDS
    codes = recovery["allow_promotion_codes"] or session["allow_promotion_codes"]
    return _open(
        world,
        {
            **session,
            "id": world.ids.new("cs_test", 60),
            "allow_promotion_codes": codes,
            "created": world.clock.seconds(),
            "expires_at": expires_at,
            "recovered_from": session["id"],
            "status": "open",
            "after_expiration": session_shape.after_expiration({"recovery": recovery}),
            "_attempted_intent": None,
        },
    )


def _expire_when_due(world: World, id: str) -> None:
    session = world.table("checkout.session").get(id)
    if session["status"] == "open" and session["expires_at"] <= world.clock.seconds():
        expire(world, session)


def _create(world: World, call: Call) -> Json:
    params = call.params
    session_rules.check_mode(params)
    session_rules.check_page(params)
    session_rules.check_custom_fields(params)
    customer = session_rules.check_customer(world, params)
    expires_at = session_rules.check_expiry(world, params)
    mode = params["mode"]
    with session_lines.priced(world, params) as sales:
        currency = params["currency"] if mode == "setup" else session_lines.currency_of(sales, mode)
        session_rules.check_subscription_data(world, params, sales)
        if customer is not None:
            customers.settle_currency(customer, currency, "line_items")
        wanted = _check_discounts(world, params, customer, sales) if sales else []
        session = session_shape.blank(world, params, customer, currency, expires_at)
    session["_lines"] = [
        {
            "id": world.ids.new("li"),
            "price": sale.price["id"],
            "quantity": sale.quantity,
            "adjustable_quantity": line.get("adjustable_quantity"),
            "tax_rates": sale.tax_rates,
        }
        for sale, line in zip(sales, params.get("line_items", []), strict=True)
    ]
    session["_wanted"] = wanted
    return _open(world, session)


def _open(world: World, session: Json) -> Json:
    session_sales.settle(world, session)
    world.table("checkout.session").add(session)
    world.agenda.add(session["expires_at"], _expire_when_due, session["id"])
    return session


def _check_discounts(world: World, params: Json, customer: Json | None, sales: list[Sale]) -> list[Wanted]:
    if params.get("discounts") and "allow_promotion_codes" in params:
        raise invalid(
            "You may only specify one of these parameters: allow_promotion_codes, discounts.", "allow_promotion_codes"
        )
    tax_rates.named(world, params.get("subscription_data", {}).get("default_tax_rates"), session_shape.DEFAULT_RATES)
    return discounts.read(
        world,
        params.get("discounts"),
        customer=customer["id"] if customer else None,
        currency=sales[0].price["currency"],
        amount=quotes.at_start(world, sales)["subtotal"],
    )


@filler("checkout.session")
def _fill(world: World, shown: Json) -> None:
    if shown["status"] == "open" and shown["ui_mode"] == "hosted_page":
        shown["url"] = f"{world.settings.checkout_base}/c/pay/{shown['id']}"


@includable("checkout.session", "line_items")
def _line_items(world: World, session: Json) -> Json:
    return lists.embedded(session_totals.rows_of(world, session), f"/v1/checkout/sessions/{session['id']}/line_items")


def _retrieve(world: World, call: Call) -> Json:
    return world.table("checkout.session").get(call.ids[0], "session", in_path=True)


def _expire(world: World, call: Call) -> Json:
    session = world.table("checkout.session").get(call.ids[0], "session", in_path=True)
    if session["status"] != "open":
        raise invalid(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"`{session['status']}`."
        )
    expire(world, session)
    return session


def _list(world: World, call: Call) -> Json:
    params = call.params
    if "customer" in params:
        world.table("customer").get(params["customer"], "customer")
    names = ("customer", "payment_intent", "status", "subscription")
    found = lists.filtered(world.table("checkout.session"), **{name: params.get(name) for name in names})
    if "customer_details" in params:
        email = params["customer_details"]["email"]
        found = [row for row in found if row["customer_details"] and row["customer_details"]["email"] == email]
    return lists.page(lists.created_in(found, params), call, kind="checkout.session")


def _list_line_items(world: World, call: Call) -> Json:
    session = world.table("checkout.session").get(call.ids[0], "session", in_path=True)
    return lists.page(session_totals.rows_of(world, session), call, kind="line item")


ROUTES = (
    Route("POST", "/v1/checkout/sessions", _create, session_fields.CREATE, ("mode",)),
    Route(
        "GET",
        "/v1/checkout/sessions",
        _list,
        {
            "created": fields.range_of_time,
            "customer": fields.text,
            "customer_details": fields.fields(required=("email",), email=fields.email),
            "payment_intent": fields.text,
            "status": fields.one_of("complete", "expired", "open"),
            "subscription": fields.text,
        },
        lists=True,
    ),
    Route("GET", "/v1/checkout/sessions/{id}", _retrieve),
    Route("GET", "/v1/checkout/sessions/{id}/line_items", _list_line_items, lists=True),
    Route("POST", "/v1/checkout/sessions/{id}/expire", _expire),
)
