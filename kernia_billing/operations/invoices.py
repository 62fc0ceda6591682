"""Invoices, of one reference and of all: lists from our copies, pages and documents read anew from Stripe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, get_args

from attrs import evolve

from ..domain.answers import Invoice, InvoiceStatus, Page
from ..domain.ids import quantity, stripe_id
from ..domain.instants import to_datetime, to_instant
from ..domain.invoices import InvoiceRow
from ..domain.money import Money
from ..domain.references import Ref, Reference
from ..domain.subscriptions import SubscriptionRow, is_live
from ..errors import InvalidInput, NotFound, StripeRefused
from ..ports.mirror import Position
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .pages import safe_url
from .projections.invoice import invoice_row

MAX_PAGE = 200
Billed = tuple[InvoiceRow, Reference]
"""An invoice, and who was billed."""


async def page(
    core: Core,
    reference: Ref,
    *,
    status: InvoiceStatus | None = None,
    charged: bool | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> Page[Invoice]:
    """One page of the invoices created at start ≤ time < end, newest first; drafts only where `status` asks for them.

    Raises:
        InvalidInput: a value is out of range, or the cursor is not one of ours.
    """
    who = core.reference(reference)
    asked = _asked(status=status, charged=charged, start=start, end=end, limit=limit, cursor=cursor)

    def read(tx: Transaction) -> list[Billed]:
        customer = tx.customers.get(who)
        return [] if customer is None else [(row, who) for row in tx.invoices.listed(customer.id, **asked)]

    return _page(await core.store.read(read), limit)


async def search(
    core: Core,
    *,
    status: InvoiceStatus | None = None,
    charged: bool | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = 20,
    cursor: str | None = None,
) -> Page[Invoice]:
    """The same of all references, for administrators. Raises what `page` raises."""
    asked = _asked(status=status, charged=charged, start=start, end=end, limit=limit, cursor=cursor)
    return _page(await core.store.read(lambda tx: tx.invoices.search(**asked)), limit)


def _asked(
    *,
    status: InvoiceStatus | None,
    charged: bool | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    cursor: str | None,
) -> Mapping[str, Any]:
    """What a list is narrowed by, as the store takes it, with room for one row more than the page has."""
    if status is not None and status not in get_args(InvoiceStatus):
        raise InvalidInput("must be " + " or ".join(map(repr, get_args(InvoiceStatus))), field="status")
    if charged is not None and type(charged) is not bool:
        raise InvalidInput("must be true or false", field="charged")
    return {
        "status": status,
        "charged": charged,
        "start": None if start is None else to_instant(start, field="start"),
        "end": None if end is None else to_instant(end, field="end"),
        "limit": quantity(limit, "limit", maximum=MAX_PAGE) + 1,
        "after": None if cursor is None else _position(cursor),
    }


def _page(rows: Sequence[Billed], limit: int) -> Page[Invoice]:
    shown = rows[:limit]
    following = f"{shown[-1][0].created_at}.{shown[-1][0].id}" if len(rows) > limit else None
    return Page(tuple(_told(row, who, None) for row, who in shown), following)


async def get(core: Core, reference: Ref, invoice_id: str) -> Invoice:
    """One invoice, with the page on which it can be looked at and paid, read from Stripe.

    Raises:
        NotFound: it is not this reference's, or Stripe has it no more (INVOICE_NOT_FOUND).
        Unavailable: Stripe or the database does not answer.
    """
    row, found = await _read(core, reference, invoice_id)
    url = found.get("hosted_invoice_url")
    fresh = invoice_row(found, row.customer_id, core.now())
    return _told(fresh, core.reference(reference), None if url is None else safe_url(core, url))


async def pdf_url(core: Core, reference: Ref, invoice_id: str) -> str:
    """Where the invoice lies as a PDF, read from Stripe.

    Raises:
        NotFound: it is not this reference's, is a draft, or Stripe has it no more (INVOICE_NOT_FOUND).
        Unavailable: Stripe or the database does not answer.
    """
    _, found = await _read(core, reference, invoice_id)
    url = found.get("invoice_pdf")
    if url is None:
        raise _missing()
    return safe_url(core, url)


async def upcoming(core: Core, reference: Ref) -> Invoice | None:
    """The invoice that comes next if nothing changes; None where nothing is going to be billed. Stores nothing.

    Raises:
        Unavailable: Stripe or the database does not answer.
    """
    who = core.reference(reference)
    customer = await core.store.read(lambda tx: tx.customers.get(who))
    if customer is None or customer.stripe_customer_id is None:
        return None
    rows = await core.store.read(lambda tx: tx.subscriptions.of_customer(customer.id))
    live = [row for row in rows if _is_billed_again(row)]
    if not live:
        return None
    params = {"customer": customer.stripe_customer_id, "subscription": live[0].stripe_subscription_id}
    try:
        found = await core.provider().request(
            "POST", "/v1/invoices/create_preview", params, idempotency_key=core.ids.new("preview")
        )
    except NotFound:
        return None  # It ended at Stripe; the webhook that says so is on its way.
    except StripeRefused as refused:
        if refused.stripe_code != "invoice_upcoming_none":
            raise
        return None
    # What Stripe calls a preview meanwhile leads to nothing.
    return _told(evolve(invoice_row({**found, "id": "upcoming"}, customer.id, core.now()), number=None), who, None)


def _is_billed_again(row: SubscriptionRow) -> bool:
    return is_live(row.status) and row.status != "incomplete" and not row.duplicate


async def _read(core: Core, reference: Ref, invoice_id: str) -> tuple[InvoiceRow, StripeObject]:
    who = core.reference(reference)
    try:
        wanted = stripe_id(invoice_id, "in", "invoice_id")
    except InvalidInput:
        raise _missing() from None

    def read(tx: Transaction) -> InvoiceRow | None:
        customer = tx.customers.get(who)
        row = None if customer is None else tx.invoices.get(wanted)
        return row if row is not None and customer is not None and row.customer_id == customer.id else None

    row = await core.store.read(read)
    if row is None or row.deleted:
        raise _missing()
    try:
        return row, await core.provider().request("GET", f"/v1/invoices/{row.id}")
    except NotFound:
        raise _missing() from None


def _missing() -> NotFound:
    return NotFound("Invoice not found", code="INVOICE_NOT_FOUND")


def _position(cursor: str) -> Position:
    when, _, invoice_id = cursor.partition(".")
    if not (when.isascii() and when.isdigit() and len(when) <= 16 and 0 < len(invoice_id) <= 255):
        raise InvalidInput("must be a nextCursor that was given out", field="cursor")
    return int(when), stripe_id(invoice_id, None, "cursor")


def _told(row: InvoiceRow, who: Reference, hosted_url: str | None) -> Invoice:
    def money(amount: int) -> Money:
        return Money(amount, row.currency)

    return Invoice(
        id=row.id,
        number=row.number,
        status=row.status,
        total=money(row.total),
        amount_due=money(row.amount_due),
        created_at=to_datetime(row.created_at),
        hosted_url=hosted_url,
        amount_paid=money(row.amount_paid),
        amount_remaining=money(row.amount_remaining),
        period_start=to_datetime(row.period_start),
        period_end=to_datetime(row.period_end),
        due_at=None if row.due_date is None else to_datetime(row.due_date),
        reference=who,
    )
