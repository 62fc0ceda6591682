"""What is sold beside plans, and who has tried what, as the core sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.instants import Instant
from ..domain.purchases import PurchaseRow
from ..domain.trials import LocalTrial, TrialRow


class Purchases(Protocol):
    """billing_purchase: checkout sessions that sell no plan."""

    def open(self, customer_id: str, slot: str) -> PurchaseRow | None:
        """The open one of a customer for a slot."""
        ...

    def open_ones(self, customer_id: str) -> Sequence[PurchaseRow]:
        """Every open one of a customer."""
        ...

    def by_id(self, purchase_id: str) -> PurchaseRow | None:
        """One purchase."""
        ...

    def by_session(self, stripe_session_id: str) -> PurchaseRow | None:
        """The one that has this Stripe session."""
        ...

    def by_payment_intent(self, payment_intent_id: str) -> PurchaseRow | None:
        """The one that was paid by this payment intent."""
        ...

    def overdue(self, before: Instant, now: Instant, limit: int) -> Sequence[str]:
        """The Stripe sessions of unfinished ones that should have expired before an instant, as of checkouts."""
        ...

    def unfinished(self, limit: int, after: str | None) -> Sequence[str]:
        """The Stripe sessions of those that are open or wait for a payment, in the order of their ids."""
        ...

    def add(self, row: PurchaseRow) -> None:
        """Insert. Raises `DuplicateKey` where the customer has an open one of the slot."""
        ...

    def put(self, row: PurchaseRow) -> None:
        """Overwrite by id."""
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
