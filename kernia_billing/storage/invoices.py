"""billing_invoice: invoices as mirrored from Stripe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, literal, select

from ..domain.instants import FOREVER, Instant
from ..domain.invoices import InvoiceRow
from ..domain.references import Reference
from ..ports.mirror import Change, Position
from .copies import Copies
from .db import Noun, Shape
from .dialects import AnySelect
from .pages import Pages, before, joined
from .tables import customer
from .tables import invoice as t
from .types import Id, number_param, text_param

_SHAPE = Shape(InvoiceRow, t, flags=("auto_advance", "deleted"))
_COPIES = Copies(_SHAPE, t)
_NEWEST = (t.c.created_at.desc(), t.c.id.desc())
_OF_CUSTOMER = (
    _SHAPE.select()
    .where(t.c.customer_id == text_param("customer"), before(t.c.created_at, t.c.id))
    .order_by(*_NEWEST)
    .limit(number_param("limit"))
)


def _pages(rows: AnySelect, status: ColumnElement[str]) -> Pages:
    """What may be listed of these rows, newest first; `status` is that of an invoice."""
    return Pages(
        rows.where(
            t.c.deleted == 0,
            t.c.created_at >= number_param("start"),
            before(t.c.created_at, t.c.id),
        ).order_by(*_NEWEST),
        status=status == text_param("status"),
        finalized=status != literal("draft", Id()),
        charged=t.c.total != 0,
        free=t.c.total == 0,
    )


_LISTED = _pages(
    _SHAPE.select().where(t.c.customer_id == text_param("customer")),
    # By an index on the status SQLite would look through the invoices of everybody.
    func.coalesce(t.c.status, literal("", Id())),
)
_SEARCHED = _pages(
    select(customer.c.reference_id, customer.c.customer_type, *_SHAPE.columns)
    .select_from(t.outerjoin(customer, customer.c.id == t.c.customer_id))
    .where(joined(customer.c.id) != ""),
    t.c.status,
)
_BY_PAYMENT = _SHAPE.select().where(t.c.payment_intent_id == text_param("payment")).order_by(*_NEWEST).limit(1)


class Invoices(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, invoice_id: str) -> InvoiceRow | None:
        """One invoice, by Stripe's id."""
        return _COPIES.get(self._db, invoice_id)

    def put(self, row: InvoiceRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        return _COPIES.put(self._db, row)

    def of_customer(self, customer_id: str, *, limit: int, after: Position | None) -> Sequence[InvoiceRow]:
        """The invoices of a customer, newest first, from just after the position (created_at, id)."""
        at, id_ = after or (FOREVER, "")
        values = {"customer": customer_id, "limit": limit, "before": at, "before_id": id_}
        return _SHAPE.read_all(self._db.all(_OF_CUSTOMER, values))

    def listed(
        self,
        customer_id: str,
        *,
        status: str | None,
        charged: bool | None,
        start: Instant | None,
        end: Instant | None,
        limit: int,
        after: Position | None,
    ) -> Sequence[InvoiceRow]:
        """The invoices that a customer may see, newest first, from just after the position (created_at, id)."""
        values = {**_span(start, end, after), "customer": customer_id, "status": status, "limit": limit}
        return _SHAPE.read_all(self._db.all(_given(_LISTED, status, charged=charged), values))

    def search(
        self,
        *,
        status: str | None,
        charged: bool | None,
        start: Instant | None,
        end: Instant | None,
        limit: int,
        after: Position | None,
    ) -> Sequence[tuple[InvoiceRow, Reference]]:
        """The same of all customers, each with who was billed."""
        values = {**_span(start, end, after), "status": status, "limit": limit}
        rows = self._db.all(_given(_SEARCHED, status, charged=charged), values)
        return [(_SHAPE.read(row[2:]), Reference(row[0], row[1])) for row in rows]

    def by_payment_intent(self, payment_intent_id: str) -> InvoiceRow | None:
        """The newest invoice that a payment intent pays."""
        return _SHAPE.read_or_none(self._db.one(_BY_PAYMENT, {"payment": payment_intent_id}))


def _span(start: Instant | None, end: Instant | None, after: Position | None) -> Mapping[str, Any]:
    at, id_ = min((FOREVER if end is None else end, ""), after or (FOREVER, ""))
    return {"start": -FOREVER if start is None else start, "before": at, "before_id": id_}


def _given(pages: Pages, status: str | None, *, charged: bool | None) -> AnySelect:
    return pages.given(
        status=status,
        finalized=True if status is None else None,
        charged=charged or None,
        free=True if charged is False else None,
    )
