"""`AsyncBilling`: the source that `Billing` is generated from (`make facade`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from ._pending import Pending
from ._service import bound
from ._walk import Walk
from .compose import Wiring, wire
from .config import BillingConfig, BillingOptions
from .configuration.settings import BASE_URL
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
from .operations import (
    adopt,
    audit,
    balances,
    catalog,
    check,
    checkout,
    customers,
    doctor,
    endpoint,
    endpoint_making,
    inbox,
    jobs,
    meters,
    plans,
    portal,
    reconcile,
    replays,
    resync,
    subscriptions,
    track,
    usage,
)
from .operations.endpoint import Wanted
from .ports.actor import acting_as
from .stripe.versions import STRIPE_API_VERSION

Function = TypeVar("Function", bound=Callable[..., Any])


class Subscriptions:
    """What references are subscribed to."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def get(self, reference: Ref, *, group: str = "default") -> Subscription | None:
        """The live subscription of a plan group, else the one that ended last, None where there never was one."""
        return await subscriptions.get(self._wiring.core, reference, group=group)

    async def list(self, reference: Ref) -> Sequence[Subscription]:
        """Every subscription that the reference has or had, oldest first."""
        return await subscriptions.every(self._wiring.core, reference)

    async def upgrade(
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
        return await checkout.upgrade(
            self._wiring.core,
            reference,
            plan,
            success_url=self._wiring.trusted.absolute(success_url, "success_url"),
            cancel_url=self._wiring.trusted.absolute(cancel_url, "cancel_url"),
            annual=annual,
            seats=seats,
            locale=locale,
            metadata=metadata,
            identity=identity,
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


class Plans:
    """What is sold."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def list(self) -> Sequence[PlanView]:
        """The rows of a pricing page, with the imported prices."""
        return await plans.views(self._wiring.core)


class Catalog:
    """Stripe's products and prices."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def sync(self) -> Mapping[str, int]:
        """Import every product and price, inactive ones too; the mapping of prices to plans is never touched.

        Gives the counts `products`, `prices`, `created`, `updated` and `deactivated`.
        """
        return await catalog.sync(self._wiring.core)

    async def map_price(self, price_id: str, plan: str, interval: BillingInterval) -> None:
        """Say that an imported price sells a plan. Where the configuration names the price too, the configuration wins.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), or the price was not imported (PRICE_NOT_FOUND).
            InvalidInput: the price is not billed in this interval, or is inactive.
        """
        await plans.map_price(self._wiring.core, price_id, plan, interval)

    async def products(
        self, *, active: bool | None = None, limit: int = 100, cursor: str | None = None
    ) -> Page[ProductRow]:
        """One page of the imported products."""
        return await catalog.products(self._wiring.core, active=active, limit=limit, cursor=cursor)

    async def prices(
        self,
        *,
        active: bool | None = None,
        product_id: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[PriceRow]:
        """One page of the imported prices."""
        return await catalog.prices(self._wiring.core, active=active, product_id=product_id, limit=limit, cursor=cursor)


class Webhooks:
    """What Stripe tells us."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def receive(self, body: bytes, signature: str) -> Receipt:
        """Take in one webhook request: the raw bytes, and the `Stripe-Signature` header.

        Stored before anything else happens, so that a crash loses nothing; applied once, however often it comes.

        Raises:
            InvalidSignature: none of the secrets signed these bytes recently. Nothing was stored.
            Unavailable: answer 500 or 503, and Stripe will repeat the event.
        """
        return await inbox.receive(self._wiring.core, body, signature)

    async def replay(self, event_id: str) -> Receipt:
        """Work on one stored event once more, now. Its object is fetched anew; hooks hear of changes only.

        Raises:
            NotFound: no such event is stored (EVENT_NOT_FOUND).
            Unavailable: Stripe or the database does not answer; the event stays stored, and is tried again.
        """
        return await replays.replay(self._wiring.core, event_id)

    async def replay_range(
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
        return await replays.replay_range(self._wiring.core, types=types, since=since, until=until, status=status)

    async def retry(self, event_id: str | None = None) -> int:
        """Put what failed, dead or not, back into the queue, for `jobs.run()`: one event, or all; says how many.

        Raises:
            NotFound: no such event is stored (EVENT_NOT_FOUND).
        """
        return await replays.retry(self._wiring.core, event_id)

    async def list(
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
        return await replays.page(
            self._wiring.core, status=status, type=type, since=since, until=until, limit=limit, cursor=cursor
        )

    async def health(self) -> WebhookHealth:
        """How webhooks are doing: what waits and for how long, and what failed. One look at the database."""
        return await replays.health(self._wiring.core)

    async def create_endpoint(self, url: str | None = None) -> Endpoint:
        """Make an endpoint at Stripe that sends all that is handled to `url`, unless there is one that sends there.

        Without a `url` it is the route of this library on `base_url`. The answer has the signing secret only where the
        endpoint was made now: Stripe tells it once.

        Raises:
            StripeRefused: Stripe takes no such URL.
            Unavailable: Stripe does not answer; the next call finds what this one made.
        """
        config = self._wiring.config
        target = f"{config.base_url}{config.base_path}/stripe/webhook" if url is None else url
        return await endpoint_making.make(self._wiring.core, target, STRIPE_API_VERSION)

    async def check_endpoint(self) -> Sequence[Finding]:
        """What is wrong with the endpoints at Stripe that send to `base_url`; nothing where all is well.

        Raises:
            Unavailable: Stripe does not answer.
        """
        return await endpoint.look_at(self._wiring.core, _wanted(self._wiring.config))


class Meters:
    """Usage that is reported to Stripe's meters."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def list(self, *, state: str | None = None, limit: int = 100, cursor: str | None = None) -> Page[MeterEvent]:
        """One page of the events that were made for meters, in the order in which they were. `limit` is 1 to 200.

        `state` is one of waiting, sending, sent, rejected, quarantined, canceled.

        Raises:
            InvalidInput: a value is out of range, or the cursor is not one of ours.
        """
        return await meters.page(self._wiring.core, state=state, limit=limit, cursor=cursor)

    async def health(self) -> MeterHealth:
        """How reporting is doing: how many events are in each state, and since when the oldest waits."""
        return await meters.health(self._wiring.core)

    async def retry(self, identifier: str, *, not_counted: bool = False) -> MeterEvent:
        """Send again what Stripe did not count, as a new event of the same time and value; gives the new event.

        Of a quarantined event nobody knows whether Stripe counted it: look at the meter's event summaries, and say
        `not_counted=True` where it is missing there.

        Raises:
            NotFound: there is no such event (METER_EVENT_NOT_FOUND).
            Conflict: it did not fail (METER_EVENT_NOT_FAILED), nobody knows whether it was counted
                (METER_EVENT_IN_DOUBT), or it is more than 35 days old (METER_EVENT_TOO_OLD).
        """
        return await meters.retry(self._wiring.core, identifier, not_counted=not_counted)


class Sync:
    """Making our copies equal to Stripe's objects, whatever news was lost: from Stripe's lists, not from its events.

    Every import goes on after one that fails, and names what failed. One that was cut short is gone on with by the
    next one of the same name. `progress` is called after every page with the kind and how many were seen of it.
    """

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def object(self, kind: str, stripe_id: str) -> Outcome:
        """Bring one object up to date: "applied", "gone" where Stripe has none, "unmatched" where it is nobody's here.

        `kind` is one of subscription, customer, price, product, invoice, schedule, payment_method, checkout.session.

        Raises:
            InvalidInput: there is no such kind, or the id is none.
            Unavailable: Stripe or the database does not answer.
        """
        return await resync.one(self._wiring.core, kind, stripe_id)

    async def reference(self, reference: Ref) -> SyncReport:
        """Bring everything of one customer up to date: subscriptions, schedules, invoices, payment methods, itself.

        Raises:
            NotFound: the reference was never billed (CUSTOMER_NOT_FOUND).
            Unavailable: Stripe or the database does not answer; what was brought in so far stays.
        """
        return await resync.reference(self._wiring.core, reference)

    async def all(self, *, progress: Progress | None = None) -> SyncReport:
        """Compare everything that Stripe has with our copies, and bring up to date what differs.

        Raises:
            Unavailable: Stripe or the database does not answer; the next call goes on where this one ended.
        """
        return await resync.run(self._wiring.core, "all", progress=progress)

    async def catalog(self, *, progress: Progress | None = None) -> SyncReport:
        """The same for products and prices."""
        return await resync.run(self._wiring.core, "catalog", progress=progress)

    async def customers(
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
        return await adopt.customers(self._wiring.core, mapping=mapping, dry_run=dry_run, progress=progress)

    async def subscriptions(self, *, progress: Progress | None = None) -> SyncReport:
        """The same for subscriptions, their schedules and invoices."""
        return await resync.run(self._wiring.core, "subscriptions", progress=progress)


class Jobs:
    """What runs by itself."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def run(self) -> JobsReport:
        """Everything that is due, once: waiting webhooks, events that hooks have not received, upkeep.

        Safe on every replica at once; call it from cron, a task queue or a loop. A job that fails does not keep the
        others from being done: it is named in `failed`, and tried again by the next run.
        """
        return await jobs.run(self._wiring.core)

    async def forever(self, stopping: Callable[[], bool], told: Callable[[JobsReport], object] | None = None) -> None:
        """Do what is due for as long as `stopping()` is false; `threading.Event().is_set` is such a function.

        While there is work it goes on at once, else it looks every few seconds. It ends after the item that it is at;
        what it had taken and not begun is given back. `told` hears of every run that did something or failed.
        """
        await jobs.forever(self._wiring.core, stopping, told)


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
        return await checkout.sync_checkout(self._wiring.core, session_id)

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
        wanted = _wanted(self._wiring.config)
        return await doctor.examine(self._wiring.core, with_stripe=with_stripe, wanted=wanted)

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


def _wanted(config: BillingConfig) -> Wanted:
    """What the webhook endpoint should be: at our origin, unless nobody said which that is."""
    return Wanted(None if config.base_url == BASE_URL else config.base_url, STRIPE_API_VERSION)
