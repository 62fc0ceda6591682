"""`billing.customers`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from .._walk import Walk
from ..compose import Wiring
from ..domain.answers import (
    Customer,
    Page,
)
from ..domain.references import Ref
from ..operations import (
    customers,
)


class Customers:
    """Who is billed."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def get(self, reference: Ref) -> Customer | None:
        """The customer of a reference, None where it was never billed. No call to Stripe."""
        return await customers.get(self._wiring.core, reference)

    async def ensure(self, reference: Ref, *, email: str | None = None, name: str | None = None) -> Customer:
        """The customer of a reference, with a Stripe customer; both are made where they are missing.

        One row and one Stripe customer, whatever the number of concurrent first calls and lost replies.

        Raises:
            InvalidInput: a value is not a text, or too long.
            Unavailable: Stripe does not answer; the next call goes on.
        """
        return await customers.ensure(self._wiring.core, reference, email=email, name=name)

    async def link(self, reference: Ref, stripe_customer_id: str) -> Customer:
        """Adopt an existing Stripe customer, with its subscriptions.

        Raises:
            NotFound: Stripe has no such customer (CUSTOMER_NOT_FOUND).
            Conflict: the reference, or the Stripe customer, is linked elsewhere (CUSTOMER_ALREADY_LINKED).
        """
        return await customers.link(self._wiring.core, reference, stripe_customer_id)

    async def list(self, *, plan: str | None = None, limit: int = 100, cursor: str | None = None) -> Page[Customer]:
        """One page of the customers, in the order in which they were first seen; `plan` keeps those who have it now."""
        return await customers.page(self._wiring.core, plan=plan, limit=limit, cursor=cursor)

    def iter(self, *, plan: str | None = None) -> AsyncIterator[Customer]:
        """Every customer, page by page."""
        return Walk(lambda cursor: customers.page(self._wiring.core, plan=plan, cursor=cursor))
