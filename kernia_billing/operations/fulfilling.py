"""What was paid once is given once: whoever hears of it first, and as often as it is told."""

from __future__ import annotations

from typing import Any

from attrs import evolve, frozen

from ..domain.customers import CustomerRow
from ..domain.purchases import PurchaseRow, PurchaseStatus, kept
from ..domain.reading import id_of, members, whole
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .clawing import take_back
from .core import Core
from .granting import give_top_up
from .intents import intent_key
from .ledger import Books
from .outbox import event
from .projections import Also, Outcome, fetch, store_fetched, sync_object

_FAILED = ("requires_payment_method", "canceled")
"""States of a payment intent in which nothing more comes of a payment that was under way."""
_HELD_BACK = ("needs_response", "under_review", "lost")
"""States of a dispute in which the bank has the money. Inquiries (`warning_…`) take none."""


@frozen
class _State:
    """What a session came to."""

    status: PurchaseStatus
    payment_intent_id: str | None = None
    line_id: str | None = None
    quantity: int = 0
    paid: int = 0


async def sync_purchase(
    core: Core, row: PurchaseRow, session_id: str, *, ticket: int | None = None, also: Also | None = None
) -> Outcome:
    """Bring in what became of a session that sells no plan: what was paid is granted, a saved method is made default.

    The key of a grant is the id of the line that was paid, so that webhook, success page and jobs can do this at once.
    """
    fetched = await fetch(core, "checkout.session", session_id, ticket)
    state = await _state_of(core, row, fetched.body)
    if row.mode == "setup" and state.status == "complete" and row.status != "complete" and fetched.body is not None:
        await _take_method(core, row, fetched.body)
    intent = state.payment_intent_id if state.status == "complete" else None
    # What came back of the payment before it was ours to see is looked for last, and with it the news is done with.
    last = also if intent is None else None
    outcome = await store_fetched(core, fetched, lambda tx: _close(core, tx, row.customer_id, row.id, state), last)
    return outcome if intent is None else await sync_payment(core, intent, also=also)


async def _state_of(core: Core, row: PurchaseRow, session: StripeObject | None) -> _State:
    if session is None or session.get("status") == "expired":
        return _State("expired")
    if session.get("status") != "complete":
        return _State("open")
    if row.mode == "setup":
        return _State("complete")
    intent = id_of(session.get("payment_intent"))
    if session.get("payment_status") == "unpaid":
        return _State(await _unpaid(core, intent), intent)
    page = await core.provider().page(f"/v1/checkout/sessions/{session['id']}/line_items", {})
    line = page.data[0]
    return _State(
        "complete", intent, str(line["id"]), whole(line.get("quantity")) or 0, whole(line.get("amount_total")) or 0
    )


async def _unpaid(core: Core, intent: str | None) -> PurchaseStatus:
    """A payment that takes days is under way until it came or failed, however long ago the page expired."""
    if intent is None:
        return "processing"
    payment = await core.provider().request("GET", f"/v1/payment_intents/{intent}")
    return "failed" if payment.get("status") in _FAILED else "processing"


def _close(core: Core, tx: Transaction, customer_id: str, purchase_id: str, state: _State) -> Outcome:
    # Read once its customer is locked: before, another worker may be about to close it.
    customer = tx.customers.lock(customer_id, core.now())
    row = tx.purchases.by_id(purchase_id)
    if customer is None or row is None:
        return "unmatched"
    # What is open was given up here for the page that took its place.
    if row.status in (state.status, "complete") or state.status == "open":
        return "applied"
    after = evolve(
        row,
        status=state.status,
        payment_intent_id=state.payment_intent_id,
        line_id=state.line_id,
        quantity=state.quantity or row.quantity,
        paid=state.paid,
    )
    tx.purchases.put(after)
    if state.status == "complete" and state.line_id is not None:
        books = Books(tx, core.ids, customer, customer.written_at)
        give_top_up(core, tx, books, kept(after), after.quantity, state.line_id)
    _tell(core, tx, customer, after)
    return "applied"


def _tell(core: Core, tx: Transaction, customer: CustomerRow, row: PurchaseRow) -> None:
    topics = {"complete": "checkout.completed", "expired": "checkout.expired", "failed": "checkout.failed"}
    topic = topics.get(row.status)
    if topic is not None:
        data: dict[str, Any] = {"session_id": row.stripe_session_id, "mode": row.mode}
        if row.mode == "payment":
            data |= {"top_up": row.name, "quantity": row.quantity}
        tx.outbox.add([event(core, customer, topic, core.now(), data=data)])


async def _take_method(core: Core, row: PurchaseRow, session: StripeObject) -> None:
    """Let invoices be paid by the method that was saved, where that was asked for, and bring both in."""
    setup, customer = id_of(session.get("setup_intent")), id_of(session.get("customer"))
    if setup is None or customer is None:
        return
    intent = await core.provider().request("GET", f"/v1/setup_intents/{setup}")
    method = id_of(intent.get("payment_method"))
    if method is None:
        return
    if row.sold["default"]:
        params = {"invoice_settings": {"default_payment_method": method}}
        key = intent_key("default method", row.id)
        await core.provider().request("POST", f"/v1/customers/{customer}", params, idempotency_key=key)
    await sync_object(core, "payment_method", method)
    await sync_object(core, "customer", customer)


async def sync_payment(core: Core, intent_id: str, *, ticket: int | None = None, also: Also | None = None) -> Outcome:
    """Bring what was granted in line with what is left of its payment, after refunds and disputes."""
    fetched = await fetch(core, "payment_intent", intent_id, ticket)
    if fetched.body is None:
        return await store_fetched(core, fetched, lambda _tx: "gone", also)
    returned = await _returned(core, fetched.body)
    return await store_fetched(core, fetched, lambda tx: _align(core, tx, intent_id, returned), also)


async def _returned(core: Core, intent: StripeObject) -> int:
    """How much of a payment is gone, in minor units. A charge that is disputed cannot be refunded beside it."""
    charge = members(intent.get("latest_charge"))
    refunded = whole(charge.get("amount_refunded")) or 0
    if charge.get("disputed") is not True:
        return refunded
    page = await core.provider().page("/v1/disputes", {"payment_intent": intent["id"]})
    return refunded + sum(whole(each.get("amount")) or 0 for each in page.data if each.get("status") in _HELD_BACK)


def _align(core: Core, tx: Transaction, intent_id: str, returned: int) -> Outcome:
    row = tx.purchases.by_payment_intent(intent_id)
    customer = None if row is None or row.line_id is None else tx.customers.lock(row.customer_id, core.now())
    if row is None or row.line_id is None or customer is None:
        return "unmatched"
    books = Books(tx, core.ids, customer, customer.written_at)
    take_back(core, tx, books, row.line_id, paid=row.paid, returned=returned, policy=core.selling.clawback)
    return "applied"
