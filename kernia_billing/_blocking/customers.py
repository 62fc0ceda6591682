"""`billing.customers`.

Generated from `_aio/customers.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Iterator

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import iterate_blocking, run_blocking
from ..domain.answers import Customer, Page
from ..domain.references import Ref


class Customers:
    """Who is billed."""

    def __init__(self, inner: _aio.Customers) -> None:
        self._inner = inner

    def get(self, reference: Ref) -> Customer | None:
        """The customer of a reference, None where it was never billed. No call to Stripe."""
        return run_blocking(self._inner.get(reference))

    def ensure(self, reference: Ref, *, email: str | None = None, name: str | None = None) -> Customer:
        """The customer of a reference, with a Stripe customer; both are made where they are missing.

        One row and one Stripe customer, whatever the number of concurrent first calls and lost replies.

        Raises:
            InvalidInput: a value is not a text, or too long.
            Unavailable: Stripe does not answer; the next call goes on.
        """
        return run_blocking(self._inner.ensure(reference, email=email, name=name))

    def link(self, reference: Ref, stripe_customer_id: str) -> Customer:
        """Adopt an existing Stripe customer, with its subscriptions.

        Raises:
            NotFound: Stripe has no such customer (CUSTOMER_NOT_FOUND).
            Conflict: the reference, or the Stripe customer, is linked elsewhere (CUSTOMER_ALREADY_LINKED).
        """
        return run_blocking(self._inner.link(reference, stripe_customer_id))

    def list(self, *, plan: str | None = None, limit: int = 100, cursor: str | None = None) -> Page[Customer]:
        """One page of the customers, in the order in which they were first seen; `plan` keeps those who have it now."""
        return run_blocking(self._inner.list(plan=plan, limit=limit, cursor=cursor))

    def iter(self, *, plan: str | None = None) -> Iterator[Customer]:
        """Every customer, page by page."""
        return iterate_blocking(self._inner.iter(plan=plan))
