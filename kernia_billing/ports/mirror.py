"""What customers have at Stripe, as the core sees our copies of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from ..domain.instants import Instant
from ..domain.invoices import InvoiceRow
from ..domain.payment_methods import PaymentMethodRow
from ..domain.references import Reference
from ..domain.schedules import ScheduleRow
from ..domain.stripe_customers import StripeCustomerRow

Change = Literal["created", "updated", "unchanged"]
Position = tuple[Instant, str]
"""Where a page ended: the instant by which rows are ordered, and the id, of its last row."""


class Invoices(Protocol):
    """billing_invoice."""

    def get(self, invoice_id: str) -> InvoiceRow | None:
        """One invoice, by Stripe's id."""
        ...

    def put(self, row: InvoiceRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        ...

    def of_customer(self, customer_id: str, *, limit: int, after: Position | None) -> Sequence[InvoiceRow]:
        """The invoices of a customer, newest first, from just after the position (created_at, id)."""
        ...

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
        """The invoices that a customer may see, created at start ≤ time < end, newest first, from just after `after`.

        Those that were deleted are left out, and drafts, unless `status` asks for them. With `charged` those whose
        total is not 0, or is.
        """
        ...

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
        """The same of all customers, each with who was billed, in one statement."""
        ...

    def by_payment_intent(self, payment_intent_id: str) -> InvoiceRow | None:
        """The newest invoice that a payment intent pays."""
        ...


class Schedules(Protocol):
    """billing_subscription_schedule."""

    def get(self, schedule_id: str) -> ScheduleRow | None:
        """One schedule, by Stripe's id."""
        ...

    def put(self, row: ScheduleRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        ...

    def of_subscription(self, stripe_subscription_id: str) -> Sequence[ScheduleRow]:
        """The schedules that drive, or drove, a subscription, newest first, deleted ones too."""
        ...


class PaymentMethods(Protocol):
    """billing_payment_method."""

    def get(self, payment_method_id: str) -> PaymentMethodRow | None:
        """One payment method, by Stripe's id."""
        ...

    def put(self, row: PaymentMethodRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        ...

    def of_customer(self, customer_id: str) -> Sequence[PaymentMethodRow]:
        """The payment methods that are attached to a customer, oldest first."""
        ...

    def expiring(
        self, year: int, month: int, *, untold: tuple[str, str], limit: int, after: str
    ) -> Sequence[PaymentMethodRow]:
        """Attached ones that expire with a month, of customers with a live subscription, in the order of their ids.

        So many at most, from just after an id; none of which a notice of this kind and mark was given.
        """
        ...


class StripeCustomers(Protocol):
    """billing_stripe_customer."""

    def get(self, stripe_customer_id: str) -> StripeCustomerRow | None:
        """One Stripe customer."""
        ...

    def get_all(self, stripe_customer_ids: Sequence[str]) -> Mapping[str, StripeCustomerRow]:
        """Those of these Stripe customers that are known, in one statement."""
        ...

    def put(self, row: StripeCustomerRow) -> Change:
        """Insert or overwrite; unchanged where nothing but `updated_at` differs."""
        ...

    def of_customer(self, customer_id: str) -> Sequence[StripeCustomerRow]:
        """Every Stripe customer that one of ours is or was, oldest first, deleted ones too."""
        ...
