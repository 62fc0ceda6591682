"""The checkout sessions that we opened, and who has tried what, as the core sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from ..domain.checkouts import CheckoutRow
from ..domain.instants import Instant
from ..domain.purchases import PurchaseRow
from ..domain.trials import LocalTrial, TrialRow

Row = TypeVar("Row", CheckoutRow, PurchaseRow)


class CheckoutSessions(Protocol[Row]):
    """Checkout sessions of one kind that we opened; a customer has at most one open one for each slot."""

    def open(self, customer_id: str, slot: str) -> Row | None:
        """The open one of a customer for a slot."""
        ...

    def by_id(self, our_id: str) -> Row | None:
        """One of them by our id."""
        ...

    def by_session(self, stripe_session_id: str) -> Row | None:
        """The one that has this Stripe session."""
        ...

    def overdue(self, before: Instant, now: Instant, limit: int) -> Sequence[str]:
        """The Stripe sessions of unfinished ones that should have expired before an instant.

        Those that were looked at since come again after as long a time as they were overdue then, a day at most.
        """
        ...

    def unfinished(self, limit: int, after: str | None) -> Sequence[str]:
        """The Stripe sessions of those that are open or wait for a payment, in the order of their ids."""
        ...

    def add(self, row: Row) -> None:
        """Insert. Raises `DuplicateKey` where the customer has an open one of the slot."""
        ...

    def put(self, row: Row) -> None:
        """Overwrite by id."""
        ...


class Checkouts(CheckoutSessions[CheckoutRow], Protocol):
    """billing_checkout_session: those that sell a plan. The slot is its group."""

    def by_subscription(self, subscription_id: str) -> CheckoutRow | None:
        """The checkout whose subscription has this local id."""
        ...


class Purchases(CheckoutSessions[PurchaseRow], Protocol):
    """billing_purchase: those that sell no plan."""

    def open_ones(self, customer_id: str) -> Sequence[PurchaseRow]:
        """Every open one of a customer."""
        ...

    def by_payment_intent(self, payment_intent_id: str) -> PurchaseRow | None:
        """The one that was paid by this payment intent."""
        ...


class Trials(Protocol):
    """billing_trial: who has, or had, a trial. One row a scope is what makes a second trial impossible.

    billing_local_trial: trials without Stripe.
    """

    def get(self, scope_key: str) -> TrialRow | None:
        """Whose the trial of a scope is."""
        ...

    def of_holder(self, holder: str) -> Sequence[TrialRow]:
        """What a checkout, or a subscription, holds."""
        ...

    def add(self, row: TrialRow) -> bool:
        """Insert unless the scope has its trial; says whether it had none."""
        ...

    def put(self, row: TrialRow) -> None:
        """Insert, or overwrite by key."""
        ...

    def release(self, holder: str) -> int:
        """Delete what a checkout claimed and nobody began; how many."""
        ...

    def local(self, customer_id: str) -> Sequence[LocalTrial]:
        """Every trial without Stripe that a customer ever had, oldest first."""
        ...

    def put_local(self, row: LocalTrial) -> None:
        """Insert, or overwrite by id."""
        ...

    def due(self, now: Instant, limit: int) -> Sequence[str]:
        """The customers of trials without Stripe whose `due_at` has come."""
        ...
