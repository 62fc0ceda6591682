"""Credit notes: less to pay for an open invoice, money or credit back for a paid one.

A note first reduces what is left to pay, and what is more than that goes back as its request says. A note of an
`amount` has no lines. Not modelled: shipping, credits before tax, and payments that Stripe does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..api import fields, lists
from ..api.router import Call, Route
from ..customers import balance, customers
from ..payments import charges, refunds
from ..world.errors import Json, invalid
from ..world.events import emit, updating
from . import collection, invoices
from .credit_note_lines import LINES, lines_of, sums

if TYPE_CHECKING:
    from ..world.world import World

_AMOUNT = fields.integer(0, 99_999_999)


def _read(world: World, params: Json) -> tuple[Json, Json]:
    """The invoice of a request and the note that it asks for, whose effects are not made.

    Raises:
        ApiError: the invoice cannot be credited so, or the parts do not add up.
    """
    invoice = world.table("invoice").get(params["invoice"], "invoice")
    if invoice["status"] not in ("open", "paid"):
        raise invalid("Credit notes can only be created for open or paid invoices.", "invoice")
    if ("amount" in params) == ("lines" in params):
        raise invalid("You must pass exactly one of `amount` and `lines`.", "amount")
    lines = lines_of(world, invoice, params.get("lines", []))
    summed = sums(lines) if lines else _plain_sums(params["amount"])
    total: int = summed["total"]
    left = invoice["total"] - invoice["pre_payment_credit_notes_amount"] - invoice["post_payment_credit_notes_amount"]
    if total <= 0 or total > left:
        raise invalid(f"The credit note amount ({total}) must be positive and at most what is left ({left}).", "amount")
    before = min(total, invoice["amount_remaining"])
    _check_parts(world, invoice, params, total - before)
    return invoice, _blank(world, invoice, params, lines, summed, before)


def _plain_sums(amount: int) -> Json:
    return {
        "discount_amount": 0,
        "discount_amounts": [],
        "pretax_credit_amounts": [],
        "subtotal": amount,
        "subtotal_excluding_tax": amount,
        "total": amount,
        "total_excluding_tax": amount,
        "total_taxes": [],
    }


def _check_parts(world: World, invoice: Json, params: Json, after: int) -> None:
    linked = _linked(world, invoice, params)
    names = ("refund_amount", "credit_amount", "out_of_band_amount")
    given = sum(params.get(name, 0) for name in names) + sum(row["amount_refunded"] for row in linked)
    if given != after:
        raise invalid(
            f"The sum of refunds, customer balance credit and out of band amounts ({given}) must equal the "
            f"post-payment amount ({after}).",
            "refund_amount",
        )
    if params.get("credit_amount"):
        customers.live(world, invoice["customer"])
    if params.get("refund_amount"):
        refunds.check(_charge(world, invoice), params["refund_amount"], "refund_amount")


def _linked(world: World, invoice: Json, params: Json) -> list[Json]:
    """The refunds that were made before and that a note now explains."""
    rows: list[Json] = []
    for index, given in enumerate(params.get("refunds", [])):
        at = f"refunds[{index}]"
        refund = world.table("refund").get(given["refund"], f"{at}[refund]")
        amount = given.get("amount_refunded", refund["amount"])
        if refund["charge"] != _charge(world, invoice)["id"] or amount > refund["amount"]:
            raise invalid("This refund does not belong to the invoice, or is smaller.", f"{at}[refund]")
        rows.append(_refund_row(refund["id"], amount))
    return rows


def _charge(world: World, invoice: Json) -> Json:
    if invoices.payment_of(world, invoice) is None:
        raise invalid("This invoice has no payment that could be refunded.", "refund_amount")
    return charges.of_intent(world, invoices.intent_of(world, invoice), "refund_amount")


def _refund_row(refund: str, amount: int) -> Json:
    return {"amount_refunded": amount, "payment_record_refund": None, "refund": refund, "type": "refund"}


def _blank(world: World, invoice: Json, params: Json, lines: list[Json], summed: Json, before: int) -> Json:
    id = world.ids.new("cn")
    after: int = summed["total"] - before
    number = 1 + len(lists.filtered(world.table("credit_note"), invoice=invoice["id"]))
    return {
        "id": id,
        "object": "credit_note",
        "amount": summed["total"],
        "amount_shipping": 0,
        "created": world.clock.seconds(),
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "customer_account": None,
        "customer_balance_transaction": None,
        "effective_at": params.get("effective_at", world.clock.seconds()),
        "invoice": invoice["id"],
        "lines": lists.embedded(lines, f"/v1/credit_notes/{id}/lines"),
        "livemode": False,
        "memo": params.get("memo"),
        "metadata": fields.merge_metadata({}, params.get("metadata")),
        "number": f"{invoice['number']}-CN-{number:02d}",
        "out_of_band_amount": params.get("out_of_band_amount"),
        "pdf": f"https://pay.stripe.com/credit_notes/{world.account_id}/test_{id}/pdf",
        "post_payment_amount": after,
        "pre_payment_amount": before,
        "reason": params.get("reason"),
        "refunds": _linked(world, invoice, params),
        "shipping_cost": None,
        "status": "issued",
        "type": "mixed" if before and after else "post_payment" if after else "pre_payment",
        "voided_at": None,
        **summed,
    }


def _create(world: World, call: Call) -> Json:
    params = call.params
    invoice, note = _read(world, params)
    if params.get("refund_amount"):
        made = refunds.refund(world, _charge(world, invoice), params["refund_amount"], reason="requested_by_customer")
        note["refunds"] = [*note["refunds"], _refund_row(made["id"], made["amount"])]
    if params.get("credit_amount"):
        amount, more = -params["credit_amount"], {"credit_note": note["id"]}
        entry = balance.move(world, invoice["customer"], amount, "credit_note", invoice["currency"], **more)
        note["customer_balance_transaction"] = entry["id"]
    world.table("credit_note").add(note)
    emit(world, "credit_note.created", note)
    with updating(world, invoice, "invoice.updated"):
        invoice["post_payment_credit_notes_amount"] += note["post_payment_amount"]
        _reduce(world, invoice, note["pre_payment_amount"])
    if invoice["status"] == "open" and invoice["amount_remaining"] == 0:
        collection.paid(world, invoice, out_of_band=True)
    return note


def _reduce(world: World, invoice: Json, amount: int) -> None:
    """Take `amount` off what is left to pay; a negative one puts it back."""
    invoice["pre_payment_credit_notes_amount"] += amount
    invoice["amount_due"] -= amount
    invoice["amount_remaining"] -= amount
    payment = invoices.payment_of(world, invoice)
    if payment is not None and payment["status"] == "open" and invoice["amount_remaining"]:
        payment["amount_requested"] = invoice["amount_due"]
        invoices.intent_of(world, invoice)["amount"] = invoice["amount_due"]


def _void(world: World, call: Call) -> Json:
    note = world.table("credit_note").get(call.ids[0], in_path=True)
    invoice = world.table("invoice").get(note["invoice"])
    if note["status"] == "void" or note["post_payment_amount"] or invoice["status"] != "open":
        raise invalid("Only issued credit notes of open invoices can be voided.")
    with updating(world, invoice, "invoice.updated"):
        _reduce(world, invoice, -note["pre_payment_amount"])
    note |= {"status": "void", "voided_at": world.clock.seconds()}
    emit(world, "credit_note.voided", note)
    return note


def _preview(world: World, call: Call) -> Json:
    return _read(world, call.params)[1]


def _preview_lines(world: World, call: Call) -> Json:
    return lists.page(_read(world, call.params)[1]["lines"]["data"], call, kind="credit note line item")


def _update(world: World, call: Call) -> Json:
    note = world.table("credit_note").get(call.ids[0], in_path=True)
    metadata = fields.merge_metadata(note["metadata"], call.params.get("metadata"))
    with updating(world, note, "credit_note.updated"):
        note |= {"metadata": metadata, "memo": call.params.get("memo", note["memo"])}
    return note


def _retrieve(world: World, call: Call) -> Json:
    return world.table("credit_note").get(call.ids[0], in_path=True)


def _lines(world: World, call: Call) -> Json:
    note = world.table("credit_note").get(call.ids[0], in_path=True)
    return lists.page(note["lines"]["data"], call, kind="credit note line item")


def _list(world: World, call: Call) -> Json:
    names = ("customer", "invoice")
    found = lists.filtered(world.table("credit_note"), **{name: call.params.get(name) for name in names})
    return lists.page(lists.created_in(found, call.params), call, kind="credit note")


_FIELDS: dict[str, fields.Reader] = {
    "amount": _AMOUNT,
    "credit_amount": _AMOUNT,
    "effective_at": fields.timestamp,
    "email_type": fields.one_of("credit_note", "none"),
    "invoice": fields.text,
    "lines": LINES,
    "memo": fields.text,
    "metadata": fields.metadata,
    "out_of_band_amount": _AMOUNT,
    "reason": fields.one_of("duplicate", "fraudulent", "order_change", "product_unsatisfactory"),
    "refund_amount": _AMOUNT,
    "refunds": fields.list_of(fields.fields(required=("refund",), amount_refunded=_AMOUNT, refund=fields.text)),
}

ROUTES = (
    Route("POST", "/v1/credit_notes", _create, _FIELDS, ("invoice",)),
    Route(
        "GET",
        "/v1/credit_notes",
        _list,
        {"created": fields.range_of_time, "customer": fields.text, "invoice": fields.text},
        lists=True,
    ),
    Route("GET", "/v1/credit_notes/preview", _preview, _FIELDS, ("invoice",)),
    Route("GET", "/v1/credit_notes/preview/lines", _preview_lines, _FIELDS, ("invoice",), lists=True),
    Route("GET", "/v1/credit_notes/{id}", _retrieve),
    Route("POST", "/v1/credit_notes/{id}", _update, {"memo": fields.text, "metadata": fields.metadata}),
    Route("GET", "/v1/credit_notes/{id}/lines", _lines, lists=True),
    Route("POST", "/v1/credit_notes/{id}/void", _void),
)
