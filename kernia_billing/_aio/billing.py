"""`AsyncBilling`: everything that an application asks of the library."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from .._pending import Pending
from .._service import bound
from ..compose import Wiring, wire
from ..config import BillingConfig, BillingOptions
from ..domain.answers import (
    AuditEntry,
    Balance,
    Checkout,
    Decision,
    Mode,
    Page,
    Portal,
    Property,
    Usage,
    UsageEvent,
)
from ..domain.references import Ref
from ..domain.reports import Diagnosis, Reconciliation
from ..operations import (
    audit,
    balances,
    check,
    doctor,
    portal,
    reconcile,
    sessions,
    track,
    usage,
)
from ..ports.actor import acting_as
from .catalog import Catalog
from .customers import Customers
from .jobs import Jobs
from .meters import Meters
from .plans import Plans
from .subscriptions import Subscriptions
from .sync import Sync
from .webhooks import Webhooks

Function = TypeVar("Function", bound=Callable[..., Any])


class AsyncBilling:
    """Billing for applications that run on asyncio. `Billing` has the same names for those that do not.

    Takes a `BillingConfig`, or its options directly; options override the configuration.

    Raises:
        ConfigError: the configuration is wrong; every mistake at once.
    """

    subscriptions: Subscriptions
    customers: Customers
    plans: Plans
    catalog: Catalog
    webhooks: Webhooks
    meters: Meters
    jobs: Jobs
    sync: Sync

    def __init__(self, config: BillingConfig | None = None, /, **options: Unpack[BillingOptions]) -> None:
        self._open(wire(config, options, asynchronous=True, billing=self))

    def _open(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self.subscriptions = Subscriptions(wiring)
        self.customers = Customers(wiring)
        self.plans = Plans(wiring)
        self.catalog = Catalog(wiring)
        self.webhooks = Webhooks(wiring)
        self.meters = Meters(wiring)
        self.jobs = Jobs(wiring)
        self.sync = Sync(wiring)

    @classmethod
    def over(cls, wiring: Wiring) -> Self:
        """The same operations over another wiring; what `Billing` drives. Not for applications."""
        billing = cls.__new__(cls)
        cls._open(billing, wiring)
        return billing

    @property
    def config(self) -> BillingConfig:
        """What this object was configured with."""
        return self._wiring.config

    def check(
        self, reference: Ref, feature: str, required: int = 1, *, entity: str | None = None, preview: bool = False
    ) -> Pending[Decision]:
        """May the reference use `required` (0 to 10^9) more of a feature? Writes nothing, asks nobody but the database.

        The answer tells why, how much is left and when it resets; `if await billing.check(...)` reads as it should, and
        a forgotten `await` raises instead of opening the gate.

        Raises:
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range.
            Unavailable: the database does not answer.
        """
        return Pending(check.check(self._wiring.core, reference, feature, required, entity=entity, preview=preview))

    async def track(
        self,
        reference: Ref,
        feature: str,
        quantity: int = 1,
        *,
        entity: str | None = None,
        mode: Mode = "record",
        occurred_at: datetime | None = None,
        properties: Mapping[str, Property] | None = None,
        idempotency_key: str | None = None,
        transaction: Any = None,
    ) -> Usage:
        """Count `quantity` (1 to 10^9) of a feature as used, once for every idempotency key.

        `record` stores the whole quantity, because it happened, and draws what balances cover; `require` takes all or
        nothing; `cap` takes what fits. With `transaction` (a SQLAlchemy Connection or Session of the same database) it
        is counted if and only if that transaction commits: do it last, because it locks the customer until then.

        Raises:
            FeatureDenied: mode `require` and not covered; `InsufficientBalance` where too little is left.
            IdempotencyMismatch: the key was used for another request.
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, or `transaction` is not usable.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return await track.track(
            self._wiring.core,
            reference,
            feature,
            quantity,
            mode=mode,
            entity=entity,
            occurred_at=occurred_at,
            properties=properties,
            key=idempotency_key,
            transaction=transaction,
        )

    async def consume(
        self,
        reference: Ref,
        feature: str,
        quantity: int = 1,
        *,
        entity: str | None = None,
        properties: Mapping[str, Property] | None = None,
        idempotency_key: str | None = None,
        transaction: Any = None,
    ) -> Usage:
        """`track` in mode `require`: check and count in one step, all of it or `FeatureDenied`.

        Never beyond the limit, with any number of threads, processes and hosts. Raises what `track` raises.
        """
        return await track.track(
            self._wiring.core,
            reference,
            feature,
            quantity,
            mode="require",
            entity=entity,
            properties=properties,
            key=idempotency_key,
            transaction=transaction,
        )

    async def give_back(
        self,
        reference: Ref,
        feature: str,
        quantity: int = 1,
        *,
        entity: str | None = None,
        idempotency_key: str | None = None,
        transaction: Any = None,
    ) -> Usage:
        """Return what no longer exists, such as a deleted project. Never more than is used: `funded` was restored.

        Raises what `track` raises, but for the refusals.
        """
        return await track.give(
            self._wiring.core,
            reference,
            feature,
            quantity,
            entity=entity,
            key=idempotency_key,
            transaction=transaction,
        )

    async def balances(self, reference: Ref, *, entity: str | None = None) -> Mapping[str, Balance]:
        """The balance of every feature that the reference has now, by key. One read."""
        return await balances.balances(self._wiring.core, reference, entity=entity)

    async def usage(
        self,
        reference: Ref,
        feature: str | None = None,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[UsageEvent]:
        """One page of the recorded uses with start ≤ occurred_at < end, newest first. `limit` is 1 to 200."""
        return await usage.page(self._wiring.core, reference, feature, start=start, end=end, limit=limit, cursor=cursor)

    async def sync_checkout(self, session_id: str) -> Checkout:
        """What became of a checkout that we opened, asked of Stripe now: for the page that the buyer returns to.

        Raises:
            NotFound: not a session of ours (CHECKOUT_NOT_FOUND).
            Unavailable: Stripe or the database does not answer.
        """
        return await sessions.sync_checkout(self._wiring.core, session_id)

    async def portal(
        self, reference: Ref, *, return_url: str, flow: Literal["payment_method", "cancel", "update"] | None = None
    ) -> Portal:
        """Open Stripe's billing portal for the reference's own customer: send the browser to `.url`.

        Raises:
            NotFound: the reference has no Stripe customer (CUSTOMER_NOT_FOUND), or nothing that the flow could change.
            Unavailable: Stripe does not answer.
        """
        target = self._wiring.trusted.absolute(return_url, "return_url")
        return await portal.portal(self._wiring.core, reference, return_url=target, flow=flow)

    async def audit(
        self, reference: Ref | None = None, *, limit: int = 100, cursor: str | None = None
    ) -> Page[AuditEntry]:
        """One page of what was changed and by whom, newest first: for one reference, or for all. `limit` is 1 to 200.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
        """
        return await audit.page(self._wiring.core, reference, limit=limit, cursor=cursor)

    async def reconcile(self, *, dry_run: bool = False) -> Reconciliation:
        """Find what no webhook told of, and bring it up to date: missed events, overdue renewals, lost answers.

        Safe on every replica at once: one of them does the work. With `dry_run` nothing is written: the report says
        what differs between Stripe and here.

        Raises:
            Unavailable: Stripe or the database does not answer; the next run begins where this one stood.
        """
        return await reconcile.reconcile(self._wiring.core, dry_run=dry_run)

    async def doctor(self, *, with_stripe: bool = False) -> Diagnosis:
        """Look for rows that contradict each other, and for a configuration that cannot work. Changes nothing.

        With `with_stripe` every copy is compared with Stripe's object, and the webhook endpoint is looked at.

        Raises:
            Unavailable: the database, or Stripe, does not answer.
        """
        return await doctor.examine(self._wiring.core, with_stripe=with_stripe, wanted=self._wiring.endpoint)

    def acting_as(self, actor: str) -> AbstractContextManager[None]:
        """Name who acts in a `with` block, for the audit log: `with billing.acting_as("user:42"): ...`.

        `actor` is a kind and an id, without spaces; an id and no e-mail address. It counts for this thread or task.

        Raises:
            InvalidInput: it is no such text; raised where the block is entered.
        """
        return acting_as(actor)

    def on(self, *types: str) -> Callable[[Function], Function]:
        """Register a function for events of these types (none: all), called after commit, at least once.

        `@billing.on("subscription.activated")`. The function takes one `Event`; its `id` stays the same when it is
        handed over again.
        """

        def register(function: Function) -> Function:
            self._wiring.core.hooks.add(function, types)
            return function

        return register

    @contextmanager
    def bind(self, reference: Ref) -> Generator[None]:
        """Make a reference the current one for `@requires_feature`, in jobs and tests."""
        with bound(self._wiring, reference):
            yield

    async def aclose(self) -> None:
        """Close the connections that this object opened. The next call opens new ones."""
        await self._wiring.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
