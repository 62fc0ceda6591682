"""`Billing`: generated from `_aio.py` by `make facade`. Do not edit."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from . import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from ._drive import iterate_blocking, run_blocking
from ._service import bound
from .compose import wire
from .config import BillingConfig, BillingOptions
from .domain.answers import (
    AuditEntry,
    Balance,
    Checkout,
    Customer,
    Decision,
    Mode,
    Page,
    PlanView,
    Portal,
    Property,
    Receipt,
    Subscription,
    Usage,
    UsageEvent,
    WebhookEvent,
    WebhookHealth,
)
from .domain.catalog import PriceRow, ProductRow
from .domain.endpoints import Endpoint
from .domain.jobs import JobsReport
from .domain.meters import MeterEvent, MeterHealth
from .domain.plans import BillingInterval
from .domain.references import Identity, Ref
from .domain.reports import AdoptionReport, Diagnosis, Finding, Outcome, Progress, Reconciliation, SyncReport, WhoseIs

Function = TypeVar("Function", bound=Callable[..., Any])


class Subscriptions:
    """What references are subscribed to."""

    def __init__(self, inner: _aio.Subscriptions) -> None:
        self._inner = inner

    def get(self, reference: Ref, *, group: str = "default") -> Subscription | None:
        """The live subscription of a plan group, else the one that ended last, None where there never was one."""
        return run_blocking(self._inner.get(reference, group=group))

    def list(self, reference: Ref) -> Sequence[Subscription]:
        """Every subscription that the reference has or had, oldest first."""
        return run_blocking(self._inner.list(reference))

    def upgrade(
        self,
        reference: Ref,
        plan: str,
        *,
        success_url: str,
        cancel_url: str,
        annual: bool = False,
        seats: int | None = None,
        locale: str | None = None,
        metadata: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> Checkout:
        """Open a Stripe Checkout page for a first paid plan: send the browser to `.url`.

        Relative URLs resolve against `base_url`; `{CHECKOUT_SESSION_ID}` in them is replaced by Stripe. The reference
        has at most one open page per plan group: the same request gives the same page again.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), or it has no price for the interval (PRICE_NOT_FOUND).
            AlreadySubscribed: the same plan, interval and number of seats is live, or was paid just now.
            Conflict: another plan of the group is live (SUBSCRIPTION_EXISTS).
            InvalidInput: a value is out of range.
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        return run_blocking(
            self._inner.upgrade(
                reference,
                plan,
                success_url=success_url,
                cancel_url=cancel_url,
                annual=annual,
                seats=seats,
                locale=locale,
                metadata=metadata,
                identity=identity,
            )
        )


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


class Plans:
    """What is sold."""

    def __init__(self, inner: _aio.Plans) -> None:
        self._inner = inner

    def list(self) -> Sequence[PlanView]:
        """The rows of a pricing page, with the imported prices."""
        return run_blocking(self._inner.list())


class Catalog:
    """Stripe's products and prices."""

    def __init__(self, inner: _aio.Catalog) -> None:
        self._inner = inner

    def sync(self) -> Mapping[str, int]:
        """Import every product and price, inactive ones too; the mapping of prices to plans is never touched.

        Gives the counts `products`, `prices`, `created`, `updated` and `deactivated`.
        """
        return run_blocking(self._inner.sync())

    def map_price(self, price_id: str, plan: str, interval: BillingInterval) -> None:
        """Say that an imported price sells a plan. Where the configuration names the price too, the configuration wins.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), or the price was not imported (PRICE_NOT_FOUND).
            InvalidInput: the price is not billed in this interval, or is inactive.
        """
        run_blocking(self._inner.map_price(price_id, plan, interval))

    def products(self, *, active: bool | None = None, limit: int = 100, cursor: str | None = None) -> Page[ProductRow]:
        """One page of the imported products."""
        return run_blocking(self._inner.products(active=active, limit=limit, cursor=cursor))

    def prices(
        self, *, active: bool | None = None, product_id: str | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[PriceRow]:
        """One page of the imported prices."""
        return run_blocking(self._inner.prices(active=active, product_id=product_id, limit=limit, cursor=cursor))


class Webhooks:
    """What Stripe tells us."""

    def __init__(self, inner: _aio.Webhooks) -> None:
        self._inner = inner

    def receive(self, body: bytes, signature: str) -> Receipt:
        """Take in one webhook request: the raw bytes, and the `Stripe-Signature` header.

        Stored before anything else happens, so that a crash loses nothing; applied once, however often it comes.

        Raises:
            InvalidSignature: none of the secrets signed these bytes recently. Nothing was stored.
            Unavailable: answer 500 or 503, and Stripe will repeat the event.
        """
        return run_blocking(self._inner.receive(body, signature))

    def replay(self, event_id: str) -> Receipt:
        """Work on one stored event once more, now. Its object is fetched anew; hooks hear of changes only.

        Raises:
            NotFound: no such event is stored (EVENT_NOT_FOUND).
            Unavailable: Stripe or the database does not answer; the event stays stored, and is tried again.
        """
        return run_blocking(self._inner.replay(event_id))

    def replay_range(
        self,
        *,
        types: Sequence[str] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        status: str | None = None,
    ) -> int:
        """Put stored events back into the queue, for `jobs.run()` to work on; says how many.

        Those received with since ≤ received_at < until, of these types ("invoice.*" stands for all that begin so), with
        this status; all where nothing is said. What waits or is worked on is left as it is.

        Raises:
            InvalidInput: a value is out of range; nothing was changed.
        """
        return run_blocking(self._inner.replay_range(types=types, since=since, until=until, status=status))

    def retry(self, event_id: str | None = None) -> int:
        """Put what failed, dead or not, back into the queue, for `jobs.run()`: one event, or all; says how many.

        Raises:
            NotFound: no such event is stored (EVENT_NOT_FOUND).
        """
        return run_blocking(self._inner.retry(event_id))

    def list(
        self,
        *,
        status: str | None = None,
        type: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[WebhookEvent]:
        """One page of the stored events with since ≤ received_at < until, newest first. `limit` is 1 to 200.

        `status` is one of received, processing, processed, ignored, unmatched, failed, dead; a `type` such as
        "invoice.*" stands for all that begin so.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
        """
        return run_blocking(
            self._inner.list(status=status, type=type, since=since, until=until, limit=limit, cursor=cursor)
        )

    def health(self) -> WebhookHealth:
        """How webhooks are doing: what waits and for how long, and what failed. One look at the database."""
        return run_blocking(self._inner.health())

    def create_endpoint(self, url: str | None = None) -> Endpoint:
        """Make an endpoint at Stripe that sends all that is handled to `url`, unless there is one that sends there.

        Without a `url` it is the route of this library on `base_url`. The answer has the signing secret only where the
        endpoint was made now: Stripe tells it once.

        Raises:
            StripeRefused: Stripe takes no such URL.
            Unavailable: Stripe does not answer; the next call finds what this one made.
        """
        return run_blocking(self._inner.create_endpoint(url))

    def check_endpoint(self) -> Sequence[Finding]:
        """What is wrong with the endpoints at Stripe that send to `base_url`; nothing where all is well.

        Raises:
            Unavailable: Stripe does not answer.
        """
        return run_blocking(self._inner.check_endpoint())


class Meters:
    """Usage that is reported to Stripe's meters."""

    def __init__(self, inner: _aio.Meters) -> None:
        self._inner = inner

    def list(self, *, state: str | None = None, limit: int = 100, cursor: str | None = None) -> Page[MeterEvent]:
        """One page of the events that were made for meters, in the order in which they were. `limit` is 1 to 200.

        `state` is one of waiting, sending, sent, rejected, quarantined, canceled.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
        """
        return run_blocking(self._inner.list(state=state, limit=limit, cursor=cursor))

    def health(self) -> MeterHealth:
        """How reporting is doing: how many events are in each state, and since when the oldest waits."""
        return run_blocking(self._inner.health())

    def retry(self, identifier: str, *, not_counted: bool = False) -> MeterEvent:
        """Send again what Stripe did not count, as a new event of the same time and value; gives the new event.

        Of a quarantined event nobody knows whether Stripe counted it: look at the meter's event summaries, and say
        `not_counted=True` where it is missing there.

        Raises:
            NotFound: there is no such event (METER_EVENT_NOT_FOUND).
            Conflict: it did not fail (METER_EVENT_NOT_FAILED), nobody knows whether it was counted
                (METER_EVENT_IN_DOUBT), or it is more than 35 days old (METER_EVENT_TOO_OLD).
        """
        return run_blocking(self._inner.retry(identifier, not_counted=not_counted))


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


class Jobs:
    """What runs by itself."""

    def __init__(self, inner: _aio.Jobs) -> None:
        self._inner = inner

    def run(self) -> JobsReport:
        """Everything that is due, once: waiting webhooks, events that hooks have not received, upkeep.

        Safe on every replica at once; call it from cron, a task queue or a loop. A job that fails does not keep the
        others from being done: it is named in `failed`, and tried again by the next run.
        """
        return run_blocking(self._inner.run())

    def forever(self, stopping: Callable[[], bool], told: Callable[[JobsReport], object] | None = None) -> None:
        """Do what is due for as long as `stopping()` is false; `threading.Event().is_set` is such a function.

        While there is work it goes on at once, else it looks every few seconds. It ends after the item that it is at;
        what it had taken and not begun is given back. `told` hears of every run that did something or failed.
        """
        run_blocking(self._inner.forever(stopping, told))


class Billing:
    """Billing for applications that do not run on asyncio. `AsyncBilling` has the same names for those that do.

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
        wiring = wire(config, options, asynchronous=False, billing=self)
        self._wiring = wiring
        self._inner = _aio.AsyncBilling.over(wiring)
        self.subscriptions = Subscriptions(self._inner.subscriptions)
        self.customers = Customers(self._inner.customers)
        self.plans = Plans(self._inner.plans)
        self.catalog = Catalog(self._inner.catalog)
        self.webhooks = Webhooks(self._inner.webhooks)
        self.meters = Meters(self._inner.meters)
        self.jobs = Jobs(self._inner.jobs)
        self.sync = Sync(self._inner.sync)

    @property
    def config(self) -> BillingConfig:
        """What this object was configured with."""
        return self._inner.config

    def check(
        self, reference: Ref, feature: str, required: int = 1, *, entity: str | None = None, preview: bool = False
    ) -> Decision:
        """May the reference use `required` (0 to 10^9) more of a feature? Writes nothing, asks nobody but the database.

        The answer tells why, how much is left and when it resets; `if billing.check(...)` reads as it should.

        Raises:
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range.
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.check(reference, feature, required, entity=entity, preview=preview))

    def track(
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
        return run_blocking(
            self._inner.track(
                reference,
                feature,
                quantity,
                entity=entity,
                mode=mode,
                occurred_at=occurred_at,
                properties=properties,
                idempotency_key=idempotency_key,
                transaction=transaction,
            )
        )

    def consume(
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
        return run_blocking(
            self._inner.consume(
                reference,
                feature,
                quantity,
                entity=entity,
                properties=properties,
                idempotency_key=idempotency_key,
                transaction=transaction,
            )
        )

    def give_back(
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
        return run_blocking(
            self._inner.give_back(
                reference, feature, quantity, entity=entity, idempotency_key=idempotency_key, transaction=transaction
            )
        )

    def balances(self, reference: Ref, *, entity: str | None = None) -> Mapping[str, Balance]:
        """The balance of every feature that the reference has now, by key. One read."""
        return run_blocking(self._inner.balances(reference, entity=entity))

    def usage(
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
        return run_blocking(self._inner.usage(reference, feature, start=start, end=end, limit=limit, cursor=cursor))

    def sync_checkout(self, session_id: str) -> Checkout:
        """What became of a checkout that we opened, asked of Stripe now: for the page that the buyer returns to.

        Raises:
            NotFound: not a session of ours (CHECKOUT_NOT_FOUND).
            Unavailable: Stripe or the database does not answer.
        """
        return run_blocking(self._inner.sync_checkout(session_id))

    def portal(
        self, reference: Ref, *, return_url: str, flow: Literal["payment_method", "cancel", "update"] | None = None
    ) -> Portal:
        """Open Stripe's billing portal for the reference's own customer: send the browser to `.url`.

        Raises:
            NotFound: the reference has no Stripe customer (CUSTOMER_NOT_FOUND), or nothing that the flow could change.
            Unavailable: Stripe does not answer.
        """
        return run_blocking(self._inner.portal(reference, return_url=return_url, flow=flow))

    def audit(self, reference: Ref | None = None, *, limit: int = 100, cursor: str | None = None) -> Page[AuditEntry]:
        """One page of what was changed and by whom, newest first: for one reference, or for all. `limit` is 1 to 200.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
        """
        return run_blocking(self._inner.audit(reference, limit=limit, cursor=cursor))

    def reconcile(self, *, dry_run: bool = False) -> Reconciliation:
        """Find what no webhook told of, and bring it up to date: missed events, overdue renewals, lost answers.

        Safe on every replica at once: one of them does the work. With `dry_run` nothing is written: the report says
        what differs between Stripe and here.

        Raises:
            Unavailable: Stripe or the database does not answer; the next run begins where this one stood.
        """
        return run_blocking(self._inner.reconcile(dry_run=dry_run))

    def doctor(self, *, with_stripe: bool = False) -> Diagnosis:
        """Look for rows that contradict each other, and for a configuration that cannot work. Changes nothing.

        With `with_stripe` every copy is compared with Stripe's object, and the webhook endpoint is looked at.

        Raises:
            Unavailable: the database, or Stripe, does not answer.
        """
        return run_blocking(self._inner.doctor(with_stripe=with_stripe))

    def acting_as(self, actor: str) -> AbstractContextManager[None]:
        """Name who acts in a `with` block, for the audit log: `with billing.acting_as("user:42"): ...`.

        `actor` is a kind and an id, without spaces; an id and no e-mail address. It counts for this thread or task.

        Raises:
            InvalidInput: it is no such text; raised where the block is entered.
        """
        return self._inner.acting_as(actor)

    def on(self, *types: str) -> Callable[[Function], Function]:
        """Register a function for events of these types (none: all), called after commit, at least once.

        `@billing.on("subscription.activated")`. The function takes one `Event`; its `id` stays the same when it is
        handed over again.
        """
        return self._inner.on(*types)

    @contextmanager
    def bind(self, reference: Ref) -> Generator[None]:
        """Make a reference the current one for `@requires_feature`, in jobs and tests."""
        with bound(self._wiring, reference):
            yield

    def close(self) -> None:
        """Close the connections that this object opened. The next call opens new ones."""
        run_blocking(self._inner.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
