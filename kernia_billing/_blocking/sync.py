"""`billing.sync`.

Generated from `_aio/sync.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.references import Ref
from ..domain.reports import AdoptionReport, Outcome, Progress, SyncReport, WhoseIs


class Sync:
    """Making our copies equal to Stripe's objects, whatever news was lost: from Stripe's lists, not from its events.

    Every import goes on after one that fails, and names what failed. One that was cut short is gone on with by the
    next one of the same name. `progress` is called after every page with the kind and how many were seen of it.
    """

    def __init__(self, inner: _aio.Sync) -> None:
        self._inner = inner

    def object(self, kind: str, stripe_id: str) -> Outcome:
        """Bring one object up to date: "applied", "gone" where Stripe has none, "unmatched" where it is nobody's here.

        `kind` is one of subscription, customer, price, product, invoice, schedule, payment_method, checkout.session.

        Raises:
            InvalidInput: there is no such kind, or the id is none.
            Unavailable: Stripe or the database does not answer.
        """
        return run_blocking(self._inner.object(kind, stripe_id))

    def reference(self, reference: Ref) -> SyncReport:
        """Bring everything of one customer up to date: subscriptions, schedules, invoices, payment methods, itself.

        Raises:
            NotFound: the reference was never billed (CUSTOMER_NOT_FOUND).
            Unavailable: Stripe or the database does not answer; what was brought in so far stays.
        """
        return run_blocking(self._inner.reference(reference))

    def all(self, *, progress: Progress | None = None) -> SyncReport:
        """Compare everything that Stripe has with our copies, and bring up to date what differs.

        Raises:
            Unavailable: Stripe or the database does not answer; the next call goes on where this one ended.
        """
        return run_blocking(self._inner.all(progress=progress))

    def catalog(self, *, progress: Progress | None = None) -> SyncReport:
        """The same for products and prices."""
        return run_blocking(self._inner.catalog(progress=progress))

    def customers(
        self, *, mapping: WhoseIs | None = None, dry_run: bool = False, progress: Progress | None = None
    ) -> AdoptionReport:
        """The same for customers and their payment methods, after those were adopted that are at Stripe already.

        Whose a Stripe customer is is said by `mapping`, {Stripe id: reference} or a function of Stripe's object, or
        else by the metadata that Better Auth, Kernia and this library write; its e-mail address says nothing. It is
        linked, its subscriptions come with it, and events that came before are worked on. With `dry_run` nothing is
        written: the report says who would be adopted, and who not and why.

        Raises:
            InvalidInput: `mapping` names something that is no Stripe customer or no reference; nothing was written.
            Unavailable: Stripe or the database does not answer; who was adopted so far stays so.
        """
        return run_blocking(self._inner.customers(mapping=mapping, dry_run=dry_run, progress=progress))

    def subscriptions(self, *, progress: Progress | None = None) -> SyncReport:
        """The same for subscriptions, their schedules and invoices."""
        return run_blocking(self._inner.subscriptions(progress=progress))
