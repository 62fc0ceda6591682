"""The database as the core sees it: units of work over the nouns that are stored.

A unit is a plain function of a `Transaction`. It cannot wait, so nothing but the database can happen inside of it. The
store runs it whole, repeats it whole after a serialization failure, or runs it once inside the host's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Generic, Literal, Protocol, TypeVar

from attrs import frozen

from ..domain.catalog import PriceMapping, PriceRow, ProductRow
from ..domain.customers import CustomerRow
from ..domain.grants import BucketRow, Entry, Grant, Holding, LedgerLine, Movement, Source, UsageRow
from ..domain.ids import Property
from ..domain.instants import Instant
from ..domain.limits import Window
from ..domain.plan_items import PlanVersion
from ..domain.plans import Feature, FeatureKind
from ..domain.references import Reference
from ..domain.subscriptions import SubscriptionRow
from .alerts import Alerts
from .exchange import BusEvents, Inbox, Intents, Objects, Outbox
from .history import History
from .holds import Holds
from .horizons import Horizons
from .inspection import Inspection
from .limits import Limits
from .measures import Measures
from .mirror import Change, Invoices, PaymentMethods, Schedules, StripeCustomers
from .notices import Notices
from .seats import HostColumns, Seats
from .selling import Checkouts, Purchases, Trials
from .upkeep import Audit, Leases, MeterEvents, Syncs

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Held = tuple[Grant, BucketRow | None]
"""A grant and its stored bucket of the period at the instant asked about, if there is one."""
Left = tuple[Sequence[Holding], Mapping[str, int]]
"""Holdings as a unit left them, and what balances of credits may not fall below, by feature."""
Lapse = tuple[str, Instant, int]
"""What a hold whose time has come holds on paper: of which bucket, when it was free again, and how much."""


@frozen
class Earlier:
    """What is written down of earlier periods: the last bucket of each grant that is over, by its id, and lapses."""

    last: Mapping[str, BucketRow]
    lapses: Sequence[Lapse]


@frozen
class Standing:
    """What one read tells of a reference; None is what was not asked for, and a customer who is not known."""

    customer: CustomerRow | None
    held: Sequence[Held]
    windows: Sequence[Window] | None = None
    earlier: Earlier | None = None


@frozen
class Needs:
    """What a unit reads and changes: the books of one customer, for some features, and what a key was used for.

    Units that say so may share a transaction or a read with others; each still runs as if it were alone. `now` is an
    instant that is not after the one that the unit works at.
    """

    reference: Reference
    features: tuple[str, ...]
    key: str | None
    now: Instant


class Rollback(Exception, Generic[T]):
    """Raised by a unit to undo everything it wrote and still answer: `transaction()` returns `value`."""

    def __init__(self, value: T) -> None:
        super().__init__()
        self.value = value


class DuplicateKey(Exception):
    """An insert met a unique key. Everything the unit wrote is undone before it reaches the caller."""


class Customers(Protocol):
    """billing_customer."""

    def get(self, reference: Reference) -> CustomerRow | None:
        """The customer of a reference."""
        ...

    def by_id(self, customer_id: str) -> CustomerRow | None:
        """The customer with this local id."""
        ...

    def by_stripe_id(self, stripe_customer_id: str) -> CustomerRow | None:
        """The customer that is this one at Stripe."""
        ...

    def by_stripe_ids(self, stripe_customer_ids: Sequence[str]) -> Mapping[str, CustomerRow]:
        """Those of our customers that are these at Stripe, by Stripe's id, in one statement."""
        ...

    def add(self, row: CustomerRow) -> bool:
        """Insert unless the reference has a row already; says whether it was inserted."""
        ...

    def lock(self, customer_id: str, now: Instant | None = None) -> CustomerRow | None:
        """Raise `ledger_seq` by one and give the row after it. Holds the row until the end of the transaction.

        With `now` its `written_at` becomes its `time(now)`, which is what the write then counts by.
        """
        ...

    def lock_reference(self, reference: Reference, now: Instant | None = None) -> CustomerRow | None:
        """`lock`, by reference."""
        ...

    def link(self, customer_id: str, stripe_customer_id: str) -> bool:
        """Set the Stripe id where there is none; says whether the row has this id now."""
        ...

    def unlink(self, customer_id: str, stripe_customer_id: str) -> bool:
        """Take the Stripe id away where it is this one; says whether it was."""
        ...

    def describe(self, customer_id: str, *, email: str | None, name: str | None) -> None:
        """Set e-mail and name; None leaves what is there."""
        ...

    def anonymise(self, customer_id: str, reference_id: str) -> None:
        """Take away who it is: another reference id, no name, no address, no Stripe customer. What it had stays."""
        ...

    def set_plan(self, customer_id: str, plan: str | None, until: Instant) -> None:
        """Set the plan that is live, and raise `config_epoch`."""
        ...

    def page(self, *, plan: str | None, limit: int, after: str | None) -> Sequence[CustomerRow]:
        """Customers in the order of their ids."""
        ...


class Catalog(Protocol):
    """billing_product, billing_price, billing_plan_price, billing_feature."""

    def put_product(self, row: ProductRow) -> Change:
        """Insert or overwrite a product."""
        ...

    def put_price(self, row: PriceRow) -> Change:
        """Insert or overwrite a price."""
        ...

    def mark_deleted(self, kind: Literal["product", "price"], stripe_id: str) -> None:
        """Note that Stripe no longer has the object; nothing where there is no row."""
        ...

    def product(self, product_id: str) -> ProductRow | None:
        """One product."""
        ...

    def price(self, price_id: str) -> PriceRow | None:
        """One price."""
        ...

    def price_by_lookup_key(self, lookup_key: str) -> PriceRow | None:
        """The active price that has this lookup key now."""
        ...

    def products(self, *, active: bool | None, limit: int, after: str | None) -> Sequence[ProductRow]:
        """Products in the order of their ids."""
        ...

    def prices(
        self, *, active: bool | None, product_id: str | None, limit: int, after: str | None
    ) -> Sequence[PriceRow]:
        """Prices in the order of their ids."""
        ...

    def map_price(self, mapping: PriceMapping) -> None:
        """Insert or overwrite the mapping of a price."""
        ...

    def mapping(self, price_id: str) -> PriceMapping | None:
        """What a price is mapped to."""
        ...

    def mappings(self) -> Sequence[PriceMapping]:
        """Every mapping, in the order of price ids."""
        ...

    def put_feature(self, feature: Feature, kind: FeatureKind) -> None:
        """Insert or overwrite a feature."""
        ...


class Plans(Protocol):
    """billing_plan and billing_plan_feature."""

    def current(self, key: str) -> PlanVersion | None:
        """The newest version of a plan."""
        ...

    def by_content(self, key: str, content_hash: str) -> PlanVersion | None:
        """The version with this content."""
        ...

    def by_id(self, plan_version_id: str) -> PlanVersion | None:
        """One version."""
        ...

    def add(self, version: PlanVersion, *, title: str | None, now: Instant) -> None:
        """Insert a version with its items. Raises `DuplicateKey` where another process was first."""
        ...


class Subscriptions(Protocol):
    """billing_subscription."""

    def by_stripe_id(self, stripe_subscription_id: str) -> SubscriptionRow | None:
        """The row of a Stripe subscription."""
        ...

    def of_customer(self, customer_id: str) -> Sequence[SubscriptionRow]:
        """Every subscription a customer ever had, oldest first."""
        ...

    def overdue(self, before: Instant, now: Instant, limit: int) -> Sequence[str]:
        """The Stripe ids of live ones whose period, trial, pause or time should have ended before an instant.

        Those that were looked at since come again after as long a time as they were overdue then, a day at most.
        """
        ...

    def put(self, row: SubscriptionRow) -> None:
        """Insert or overwrite by local id."""
        ...


class Entitlements(Protocol):
    """billing_entitlement and billing_bucket."""

    def of_reference(
        self, reference: Reference, features: Sequence[str] | None, now: Instant
    ) -> tuple[CustomerRow | None, Sequence[Held]]:
        """One read: the customer, and the open grants of these features (None: all) with their current buckets.

        Holds that end at `now` or before hold nothing any more, whether or not that is written down.
        """
        ...

    def standing(
        self, reference: Reference, features: Sequence[str] | None, now: Instant, *, entity: str | None, earlier: bool
    ) -> Standing:
        """`of_reference` with what else a reader may have to know of these features, still in one read.

        With an `entity` ("" for none) it is the running windows of usage limits, the customer's own and its; with
        `earlier` the last buckets of all these grants that are over, and the lapses of all these buckets.
        """
        ...

    def of_customer(self, customer_id: str, features: Sequence[str] | None, now: Instant) -> Sequence[Held]:
        """The same for a customer whose row is locked; a locking read where the engine needs one to see the truth.

        It tells what is written down: units of holds that have lapsed are among those held.
        """
        ...

    def of_buckets(self, customer_id: str, bucket_ids: Sequence[str]) -> Mapping[str, Holding]:
        """These buckets with their grants, by the bucket's id, whatever became of them; locking like `of_customer`."""
        ...

    def last_buckets(self, grant_ids: Sequence[str], now: Instant, *, locked: bool) -> Mapping[str, BucketRow]:
        """The bucket of the last period of each grant that is over at `now` and was opened, by the grant's id."""
        ...

    def lapses(self, customer_id: str, now: Instant, *, locked: bool) -> Sequence[Lapse]:
        """What holds whose time has come at `now` hold on paper: bucket, when it was free again, and how much."""
        ...

    def reopen(self, grant_id: str, now: Instant) -> None:
        """Let the bucket of the period at `now` count again, if there is one."""
        ...

    def grants(self, customer_id: str, source_type: str) -> Sequence[Grant]:
        """Every grant of a source, closed ones too, in the order of their creation."""
        ...

    def of_source(self, customer_id: str, source_type: str, source_id: str, *, locked: bool) -> Sequence[Grant]:
        """What one source has given, closed grants too: what is found where the same thing is given again."""
        ...

    def by_id(self, customer_id: str, grant_id: str) -> Grant | None:
        """A grant of a customer whose row is locked, None where it has no such one."""
        ...

    def add_grant(self, grant: Grant) -> bool:
        """Insert unless the same thing was given already; says whether it was inserted."""
        ...

    def put_grant(self, grant: Grant) -> None:
        """Overwrite amount, priority, expiry, closing, anchor, meter, terms and source by id."""
        ...

    def add_bucket(self, bucket: BucketRow) -> None:
        """Insert the bucket of a period."""
        ...

    def left(self, customer_id: str, feature: str, entity: str, now: Instant) -> Left | None:
        """What the unit before, which shares the transaction, said that it left; None where nothing is known."""
        ...

    def leave(self, customer_id: str, feature: str, entity: str, now: Instant, left: Left) -> None:
        """Say what a unit leaves that writes no more: all that a request for a feature and an entity may touch."""
        ...

    def put_bucket(self, bucket: BucketRow) -> None:
        """Overwrite amount, used, held, closing, heir, debt and own amount by id."""
        ...


class UsageEvents(Protocol):
    """billing_usage_event and billing_ledger."""

    def by_key(self, reference: Reference, idempotency_key: str) -> UsageRow | None:
        """The event that a key was used for: a plain read that takes no lock."""
        ...

    def by_key_locked(self, customer_id: str, idempotency_key: str) -> UsageRow | None:
        """The same by a locking read, which sees what an older snapshot hides."""
        ...

    def by_id(self, customer_id: str, event_id: str) -> UsageRow | None:
        """An event of a customer whose row is locked."""
        ...

    def lines(self, customer_id: str, seq: int) -> Sequence[LedgerLine]:
        """The ledger lines of one number of a customer whose row is locked, in their order."""
        ...

    def drawn(self, customer_id: str, feature: str, since: Instant) -> Mapping[str, int]:
        """What uses of a feature moved in each bucket, less what came back, by events with occurred_at ≥ `since`."""
        ...

    def add(self, event: UsageRow, lines: Sequence[LedgerLine]) -> None:
        """Insert an event and its ledger lines. Raises `DuplicateKey` where the key was used."""
        ...

    def put_refunded(self, event_id: str, refunded: int) -> None:
        """Overwrite how much of an event came back by refunds."""
        ...

    def add_lines(self, lines: Sequence[LedgerLine]) -> None:
        """Insert ledger lines that no event caused."""
        ...

    def page(
        self,
        customer_id: str,
        *,
        feature: str | None,
        properties: Mapping[str, Property] | None,
        start: Instant | None,
        end: Instant | None,
        limit: int,
        before: tuple[Instant, str] | None,
    ) -> Sequence[UsageRow]:
        """Events with start ≤ occurred_at < end, newest first, from just after the position `before`.

        With `properties`, those that have all of these.
        """
        ...

    def movements(
        self,
        customer_id: str,
        *,
        feature: str | None,
        source: Source | None,
        entry: Entry | None,
        properties: Mapping[str, Property] | None,
        first: int,
        before: tuple[int, int],
        limit: int,
    ) -> Sequence[Movement]:
        """Lines of the ledger after the write `first`, newest first, from just after the position (write, line).

        `feature` is that of the bucket; with `properties`, lines of uses that have all of these.
        """
        ...


class Settings(Protocol):
    """billing_setting: facts about this database."""

    def get(self, name: str) -> str | None:
        """One fact."""
        ...

    def add(self, name: str, value: str) -> str:
        """Record a fact unless it is recorded already, and give what is recorded."""
        ...


class Transaction(Protocol):
    """Everything that a unit can read and write, by noun."""

    @property
    def customers(self) -> Customers:
        """Who is billed."""
        ...

    @property
    def catalog(self) -> Catalog:
        """Products, prices, features."""
        ...

    @property
    def plans(self) -> Plans:
        """Versions of plans."""
        ...

    @property
    def subscriptions(self) -> Subscriptions:
        """Mirrored subscriptions."""
        ...

    @property
    def checkouts(self) -> Checkouts:
        """Checkout sessions of ours."""
        ...

    @property
    def purchases(self) -> Purchases:
        """What is sold beside plans."""
        ...

    @property
    def trials(self) -> Trials:
        """Who has tried what."""
        ...

    @property
    def entitlements(self) -> Entitlements:
        """Grants and buckets."""
        ...

    @property
    def usage(self) -> UsageEvents:
        """Usage events and the ledger."""
        ...

    @property
    def history(self) -> History:
        """How grants and plans were."""
        ...

    @property
    def holds(self) -> Holds:
        """What is set aside."""
        ...

    @property
    def horizons(self) -> Horizons:
        """How far back books are whole."""
        ...

    @property
    def limits(self) -> Limits:
        """How much of each usage limit is used."""
        ...

    @property
    def alerts(self) -> Alerts:
        """Which alerts have fired."""
        ...

    @property
    def notices(self) -> Notices:
        """What hooks were told of once."""
        ...

    @property
    def measures(self) -> Measures:
        """Maxima, latest values, different values."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Received webhooks."""
        ...

    @property
    def objects(self) -> Objects:
        """Tickets."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Events to hand over."""
        ...

    @property
    def bus(self) -> BusEvents:
        """Events to put on the bus."""
        ...

    @property
    def intents(self) -> Intents:
        """Calls to Stripe."""
        ...

    @property
    def settings(self) -> Settings:
        """Facts about the database."""
        ...

    @property
    def invoices(self) -> Invoices:
        """Mirrored invoices."""
        ...

    @property
    def schedules(self) -> Schedules:
        """Mirrored subscription schedules."""
        ...

    @property
    def payment_methods(self) -> PaymentMethods:
        """Mirrored payment methods."""
        ...

    @property
    def stripe_customers(self) -> StripeCustomers:
        """How our customers look at Stripe."""
        ...

    @property
    def host_columns(self) -> HostColumns:
        """Columns of the host's own tables."""
        ...

    @property
    def seats(self) -> Seats:
        """Members of organizations."""
        ...

    @property
    def leases(self) -> Leases:
        """Work that one process does at a time."""
        ...

    @property
    def syncs(self) -> Syncs:
        """How far imports are."""
        ...

    @property
    def audit(self) -> Audit:
        """Who changed what."""
        ...

    @property
    def inspection(self) -> Inspection:
        """Rows that contradict each other."""
        ...

    @property
    def meter_events(self) -> MeterEvents:
        """Usage to report to Stripe."""
        ...


Unit = Callable[[Transaction], T]


class Store(Protocol):
    """Runs units of work."""

    async def transaction(self, unit: Unit[T], *, host: object | None = None, needs: Needs | None = None) -> T:
        """Run `unit` in a transaction of its own, in one with other units that say what they need, or in the host's.

        An own transaction commits when the unit returns, rolls back when it raises, and is repeated whole after a
        serialization failure, a deadlock, a lock timeout or a busy database. In the host's transaction the unit runs
        once, inside a savepoint, and the host decides what becomes of it.

        Raises:
            DuplicateKey: the unit met a unique key; nothing of it is left.
            TransactionConflict: the host's transaction met another one.
            Unavailable: the database does not answer, or stays busy.
            InvalidInput: `host` is not a transaction on this database (field "transaction").
        """
        ...

    def read(self, unit: Unit[T], *, needs: Needs | None = None) -> Coroutine[Any, Any, T]:
        """Run a unit that only reads, outside of any transaction.

        One whose `needs` are all that it reads by `of_reference` may be answered together with others. What it reads
        beside that costs it a second run.
        """
        ...

    async def close(self) -> None:
        """Close the connections that the store opened."""
        ...
