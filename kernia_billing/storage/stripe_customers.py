"""billing_stripe_customer: how our customers look at Stripe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..domain.stripe_customers import StripeCustomerRow
from ..ports.mirror import Change
from .copies import Copies
from .db import Noun, Shape
from .tables import stripe_customer as t
from .types import text_param

_SHAPE = Shape(StripeCustomerRow, t, flags=("deleted", "delinquent"))
_COPIES = Copies(_SHAPE, t)
_OF_CUSTOMER = _SHAPE.select().where(t.c.customer_id == text_param("customer")).order_by(t.c.created_at, t.c.id)


class StripeCustomers(Noun):
    """The port of the same name."""

    __slots__ = ()

    def get(self, stripe_customer_id: str) -> StripeCustomerRow | None:
        """One Stripe customer."""
        return _COPIES.get(self._db, stripe_customer_id)

    def get_all(self, stripe_customer_ids: Sequence[str]) -> Mapping[str, StripeCustomerRow]:
        """Those of these Stripe customers that are known, in one statement."""
        return _COPIES.get_all(self._db, stripe_customer_ids)

    def put(self, row: StripeCustomerRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        return _COPIES.put(self._db, row)

    def of_customer(self, customer_id: str) -> Sequence[StripeCustomerRow]:
        """Every Stripe customer that one of ours is or was, oldest first, deleted ones too."""
        return _SHAPE.read_all(self._db.all(_OF_CUSTOMER, {"customer": customer_id}))
