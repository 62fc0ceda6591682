"""billing_invoice: invoices as mirrored from Stripe."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import literal

from ..domain.instants import FOREVER, Instant
from ..domain.invoices import InvoiceRow
from ..ports.mirror import Change, Position
from .copies import Copies
from .db import Noun, Shape
from .pages import Pages, before
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
_LISTED = Pages(
    _SHAPE.select()
    .where(
        t.c.customer_id == text_param("customer"),
        t.c.deleted == 0,
        t.c.created_at >= number_param("start"),
        before(t.c.created_at, t.c.id),
    )
    .order_by(*_NEWEST),
    status=t.c.status == text_param("status"),
    finalized=t.c.status != literal("draft", Id()),
    charged=t.c.total != 0,
    free=t.c.total == 0,
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
        at, id_ = min((FOREVER if end is None else end, ""), after or (FOREVER, ""))
        values = {
            "customer": customer_id,
            "status": status,
            "start": -FOREVER if start is None else start,
            "limit": limit,
            "before": at,
            "before_id": id_,
        }
        statement = _LISTED.given(
            status=status,
            finalized=True if status is None else None,
            charged=charged or None,
            free=True if charged is False else None,
        )
        return _SHAPE.read_all(self._db.all(statement, values))

    def by_payment_intent(self, payment_intent_id: str) -> InvoiceRow | None:
        """The newest invoice that a payment intent pays."""
        return _SHAPE.read_or_none(self._db.one(_BY_PAYMENT, {"payment": payment_intent_id}))
