"""billing_payment_method: payment methods as mirrored from Stripe."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import exists

from ..domain.payment_methods import PaymentMethodRow
from ..ports.mirror import Change
from .copies import Copies
from .db import Noun, Shape
from .overdue import is_live
from .tables import notice, subscription
from .tables import payment_method as t
from .types import number_param, text_param

_SHAPE = Shape(PaymentMethodRow, t, flags=("detached",), type="method_type")
_COPIES = Copies(_SHAPE, t)
_OF_CUSTOMER = (
    _SHAPE.select().where(t.c.customer_id == text_param("customer"), t.c.detached == 0).order_by(t.c.created_at, t.c.id)
)
_EXPIRING = (
    _SHAPE.select()
    .where(
        t.c.exp_year == number_param("year"),
        t.c.exp_month == number_param("month"),
        t.c.id > text_param("after"),
        t.c.detached == 0,
        exists().where(subscription.c.customer_id == t.c.customer_id, is_live(subscription.c.status)),
        ~exists().where(
            notice.c.kind == text_param("kind"), notice.c.subject == t.c.id, notice.c.mark == text_param("mark")
        ),
    )
    .order_by(t.c.id)
    .limit(number_param("limit"))
)


class PaymentMethods(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, payment_method_id: str) -> PaymentMethodRow | None:
        """One payment method, by Stripe's id."""
        return _COPIES.get(self._db, payment_method_id)

    def put(self, row: PaymentMethodRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        return _COPIES.put(self._db, row)

    def of_customer(self, customer_id: str) -> Sequence[PaymentMethodRow]:
        """The payment methods that are attached to a customer, oldest first."""
        return _SHAPE.read_all(self._db.all(_OF_CUSTOMER, {"customer": customer_id}))

    def expiring(
        self, year: int, month: int, *, untold: tuple[str, str], limit: int, after: str
    ) -> Sequence[PaymentMethodRow]:
        """Attached ones that expire with a month, of customers with a live subscription, in the order of their ids."""
        kind, mark = untold
        values = {"year": year, "month": month, "kind": kind, "mark": mark, "limit": limit, "after": after}
        return _SHAPE.read_all(self._db.all(_EXPIRING, values))
