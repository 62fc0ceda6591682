"""Serves the hosted pages without any web framework: method, path and form in, status, headers and body out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlencode

from ..checkout import checkout, purchases
from ..invoices import collection, invoices
from ..payments import payment_methods, payments
from ..payments.cards import UNAUTHENTICATED
from ..payments.cards import card as card_of_number
from ..people import actions, payment_actions, portal_actions
from ..state import State
from ..world.errors import ApiError, CardDeclined, Json, SimulatorError
from ..world.ownership import clock_of
from ..world.tables import nested
from . import pages
from .checkout_page import checkout_page, path_of
from .invoice_page import invoice_page
from .portal_page import action_page, done_page, portal_page
from .portal_page import path_of as portal_path

Form: TypeAlias = Mapping[str, str]
Answer: TypeAlias = tuple[int, Json, bytes]

_HTML = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
_CARRIED = ("card", "expiry", "cvc", "email", "terms", "promotions")


def hosted(state: State, method: str, path: str, form: Form) -> actions.Script:
    """A script that answers `(status, headers, body)`.

    `/c/pay/<session>` is the checkout page, which pays and sends the browser on; `/r/<session>` recovers an expired
    one. `/p/session/<id>` is the portal with its pages, `/i/<account>/test_<invoice>` an invoice, and
    `/authenticate/<intent>` a bank's 3D Secure challenge.
    """
    bare = path.partition("?")[0]
    for pattern, show, post in _PAGES:
        found = pattern.fullmatch(bare)
        if found is None:
            continue
        reads = method in ("GET", "HEAD")
        if not reads and (method != "POST" or post is None):
            return _html(405, pages.error_page(state, "This page does not take such a request."))
        try:
            serve = show if reads or post is None else post
            return (yield from serve(state, found.groups(), form))
        except ApiError as refusal:
            return _html(404, pages.error_page(state, str(refusal)))
        except SimulatorError as refusal:
            return _html(400, pages.error_page(state, str(refusal)))
    return _html(404, pages.error_page(state, "There is no such page."))
    yield  # pragma: no cover - a generator even where nothing is called


def _show_checkout(state: State, ids: tuple[str, ...], _form: Form) -> actions.Script:
    return _html(200, checkout_page(state, ids[0]))
    yield


def _pay(state: State, ids: tuple[str, ...], form: Form) -> actions.Script:
    session = state.world.table("checkout.session").get(ids[0])
    if "promotion_code" in form or "remove_code" in form:
        return _enter_code(state, session, form)
    try:
        if session["status"] != "complete":  # a second click on the button leads where the first one did
            card = form.get("card", pages.CARD)
            if session["status"] == "open" and _asks(state, card, form):
                return _html(200, pages.challenge(state.world, path_of(session), _carried(form)))
            yield from actions.pay(state, ids[0], card, _filled_in(form))
    except CardDeclined as declined:
        return _html(402, checkout_page(state, ids[0], error=str(declined), given=form))
    except SimulatorError as refusal:
        return _html(400, checkout_page(state, ids[0], error=str(refusal), given=form))
    target = session["success_url"] or session["return_url"]
    if target is None:
        return _html(200, checkout_page(state, ids[0]))
    return _redirect(str(target).replace("{CHECKOUT_SESSION_ID}", ids[0]))


def _enter_code(state: State, session: Json, form: Form) -> Answer:
    try:
        with state.world.lock, state.world.on_clock(clock_of(state.world, session)):
            if "remove_code" in form:
                checkout.remove_promotion_code(state.world, session)
            else:
                checkout.apply_promotion_code(state.world, session, form["promotion_code"])
    except ApiError as refusal:
        return _html(400, checkout_page(state, session["id"], error=str(refusal)))
    return _redirect(path_of(session))


def _filled_in(form: Form) -> purchases.Form:
    fields = {name.removeprefix("field_"): value for name, value in form.items() if name.startswith("field_")}
    passes = None if "authenticate" not in form else form["authenticate"] == "pass"
    return purchases.Form(
        form.get("email") or actions.BUYER,
        custom_fields=fields,
        promotions=bool(form.get("promotions")),
        terms=bool(form.get("terms")),
        passes=passes,
    )


def _carried(form: Form) -> list[tuple[str, str]]:
    return [(name, value) for name, value in form.items() if name in _CARRIED or name.startswith("field_")]


def _asks(state: State, card: str, form: Form) -> bool:
    """Whether the bank asks the person now, who has not answered yet and for whom nobody has decided it."""
    undecided = "authenticate" not in form and state.world.settings.authenticate
    return undecided and card_of_number(card).challenge != "never"


def _recover(state: State, ids: tuple[str, ...], _form: Form) -> actions.Script:
    made = yield from payment_actions.recover(state, ids[0])
    return _redirect(f"/c/pay/{made}")


def _show_invoice(state: State, ids: tuple[str, ...], _form: Form) -> actions.Script:
    return _html(200, invoice_page(state, ids[0]))
    yield


def _pay_invoice(state: State, ids: tuple[str, ...], form: Form) -> actions.Script:
    world, card = state.world, form.get("card", "")
    invoice = world.table("invoice").get(ids[0])
    try:
        if invoice["status"] in ("open", "uncollectible"):
            if _asks(state, card, form):
                return _html(200, pages.challenge(world, _path_of_invoice(invoice), _carried(form)))
            with world.lock, world.on_clock(clock_of(world, invoice)):
                declined = _charge_invoice(state, invoice, card, passes=form.get("authenticate") != "fail")
            yield from actions.after_action(state)
            if declined is not None:
                raise declined
    except CardDeclined as declined:
        return _html(402, invoice_page(state, ids[0], error=str(declined), card=card))
    except SimulatorError as refusal:
        return _html(400, invoice_page(state, ids[0], error=str(refusal), card=card))
    return _redirect(_path_of_invoice(invoice))


def _charge_invoice(state: State, invoice: Json, card: str, *, passes: bool) -> CardDeclined | None:
    """A person pays an invoice on its page. The card is the customer's from then on, but no default."""
    world, used = state.world, card_of_number(card)
    if used.delayed:
        raise SimulatorError("This page takes cards only.")
    customer = world.table("customer").get(invoice["customer"])
    refusal = used.refusal(charging=True, present=True, passes=passes and world.settings.authenticate)
    method = payment_methods.new(world, used, email=customer.get("email"), set_up=refusal is None)
    intent = invoices.intent_of(world, invoice)
    payments.charge(world, intent, method, refusal)
    if refusal is not None:
        collection.failed(world, invoice, refusal)
        return CardDeclined(refusal)
    payment_methods.attach(world, method["id"], customer)
    collection.paid(world, invoice)
    return None


def _path_of_invoice(invoice: Json) -> str:
    from .invoice_page import path_of as invoice_path

    return invoice_path(invoice)


def _show_challenge(state: State, ids: tuple[str, ...], _form: Form) -> actions.Script:
    intent = _intent(state, ids[0])
    if intent["status"] != "requires_action":
        return _html(200, pages.frame(state.world, "3D Secure authentication", "<p>There is nothing to do.</p>"))
    return _html(200, pages.challenge(state.world, f"/authenticate/{ids[0]}"))
    yield


def _answer_challenge(state: State, ids: tuple[str, ...], form: Form) -> actions.Script:
    passes = form.get("authenticate") == "pass"
    intent = _intent(state, ids[0])
    if intent["status"] == "requires_action":
        yield from payment_actions.authenticate(state, ids[0], passes=passes)
    if not intent["_return_url"]:
        words = "succeeded" if passes else UNAUTHENTICATED.message
        return _html(200, pages.frame(state.world, "3D Secure authentication", f"<p>{words}</p>"))
    kind = intent["object"]
    query = urlencode(
        {
            kind: ids[0],
            f"{kind}_client_secret": intent["client_secret"],
            "redirect_status": "failed" if intent["status"] == "requires_payment_method" else "succeeded",
        }
    )
    return _redirect(f"{intent['_return_url']}{'&' if '?' in intent['_return_url'] else '?'}{query}")


def _intent(state: State, id: str) -> Json:
    kind = "setup_intent" if id.startswith("seti_") else "payment_intent"
    return state.world.table(kind).get(id)


def _show_portal(state: State, ids: tuple[str, ...], _form: Form) -> actions.Script:
    return _html(200, portal_page(state, ids[0]))
    yield


def _show_action(state: State, ids: tuple[str, ...], _form: Form) -> actions.Script:
    return _html(200, action_page(state, ids[0], ids[1], ids[2], error=None))
    yield


def _act(state: State, ids: tuple[str, ...], form: Form) -> actions.Script:
    session_id, action, subscription = ids
    session = state.world.table("billing_portal.session").get(session_id)
    try:
        if action == "payment_method" and _asks(state, form.get("card", ""), form):
            return _html(200, pages.challenge(state.world, portal_path(session, action), _carried(form)))
        yield from portal_actions.act(state, session_id, action, subscription, form)
    except CardDeclined as declined:
        return _html(402, action_page(state, session_id, action, subscription, error=str(declined)))
    except SimulatorError as refusal:
        if action not in ("cancel", "update", "pause", "payment_method", "customer"):
            raise
        return _html(400, action_page(state, session_id, action, subscription, error=str(refusal)))
    return _after(state, session)


def _after(state: State, session: Json) -> Answer:
    """Where a flow leads when it is done: back to the application, to a confirmation, or to the portal's first page."""
    after = nested(session, "flow", "after_completion")
    kind = after.get("type")
    if kind == "redirect":
        return _redirect(after["redirect"]["return_url"])
    if kind == "hosted_confirmation":
        return _html(200, done_page(state, session))
    return _redirect(portal_path(session))


def _html(status: int, page: str) -> Answer:
    return status, dict(_HTML), page.encode()


def _redirect(target: str) -> Answer:
    return 303, {"location": target, "cache-control": "no-store"}, b""


_Serve: TypeAlias = "Callable[[State, tuple[str, ...], Form], actions.Script]"
_PORTAL = r"/p/session/(bps_\w+)"
_PAGES: tuple[tuple[re.Pattern[str], _Serve, _Serve | None], ...] = (
    (re.compile(r"/c/pay/(cs_test_\w+)"), _show_checkout, _pay),
    (re.compile(r"/r/(cs_test_\w+)"), _recover, None),
    (re.compile(r"/i/acct_\w+/test_(in_\w+)"), _show_invoice, _pay_invoice),
    (re.compile(r"/authenticate/((?:pi|seti)_\w+)"), _show_challenge, _answer_challenge),
    (re.compile(_PORTAL), _show_portal, None),
    (re.compile(rf"{_PORTAL}/([a-z_]+)(?:/(sub_\w+))?"), _show_action, _act),
)
