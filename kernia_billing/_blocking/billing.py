"""`Billing`: everything that an application asks of the library.

Generated from `_aio/billing.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, Unpack

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from .._service import bound
from ..compose import wire
from ..config import BillingConfig, BillingOptions
from ..domain.answers import (
    AuditEntry,
    Balance,
    Checkout,
    Decision,
    Grant,
    LedgerEntry,
    Mode,
    Page,
    Portal,
    PortalConfiguration,
    Usage,
    UsageEvent,
    UsagePoint,
    UsageRecord,
    Use,
)
from ..domain.bins import Bin
from ..domain.explanations import Explanation
from ..domain.grants import Entry, Source
from ..domain.ids import Property
from ..domain.references import Identity, Ref
from ..domain.reports import Diagnosis, Reconciliation
from .bus import Bus
from .catalog import Catalog
from .customers import Customers
from .holding import Hold
from .invoices import Invoices
from .jobs import Jobs
from .kavach import Kavach
from .leasing import Lease
from .meters import Meters
from .overrides import Overrides
from .plans import Plans
from .subscriptions import Subscriptions
from .sync import Sync
from .webhooks import Webhooks

Function = TypeVar("Function", bound=Callable[..., Any])


class Billing:
    """Billing for applications that do not run on asyncio. `AsyncBilling` has the same names for those that do.

    Takes a `BillingConfig`, or its options directly; options override the configuration.

    Raises:
        ConfigError: the configuration is wrong; every mistake at once.
    """

    subscriptions: Subscriptions
    customers: Customers
    invoices: Invoices
    plans: Plans
    catalog: Catalog
    webhooks: Webhooks
    meters: Meters
    overrides: Overrides
    jobs: Jobs
    sync: Sync
    kavach: Kavach
    bus: Bus

    def __init__(self, config: BillingConfig | None = None, /, **options: Unpack[BillingOptions]) -> None:
        wiring = wire(config, options, asynchronous=False, billing=self)
        self._wiring = wiring
        self._inner = _aio.AsyncBilling.over(wiring)
        self.subscriptions = Subscriptions(self._inner.subscriptions)
        self.customers = Customers(self._inner.customers)
        self.invoices = Invoices(self._inner.invoices)
        self.plans = Plans(self._inner.plans)
        self.catalog = Catalog(self._inner.catalog)
        self.webhooks = Webhooks(self._inner.webhooks)
        self.meters = Meters(self._inner.meters)
        self.overrides = Overrides(self._inner.overrides)
        self.jobs = Jobs(self._inner.jobs)
        self.sync = Sync(self._inner.sync)
        self.kavach = Kavach(self._inner.kavach)
        self.bus = Bus(self._inner.bus)

    @property
    def config(self) -> BillingConfig:
        """What this object was configured with."""
        return self._inner.config

    def check(
        self, reference: Ref, feature: str, required: int = 1, *, entity: str | None = None, preview: bool = False
    ) -> Decision:
        """May the reference use `required` (0 to 10^9) more of a feature? Writes nothing, asks nobody but the database.

        With the option `snapshot_max_age` an answer may be as old as that; `as_of` says when it was true. What this
        object wrote is in it, and `consume` never goes by it.

        The answer tells why, how much is left and when it resets; `if billing.check(...)` reads as it should.

        With `preview` a refusal has `offers`: the names of the plans, then of the top-ups, that would allow it, by what
        a month of them or so many of them cost, as imported from Stripe.

        Statements: 1, on an index; where nothing is held 2, to say why.

        Raises:
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range.
            Unavailable: the database does not answer.
        """
        snapshots = None if preview else self._wiring.core.snapshots
        known = None if snapshots is None else snapshots.find(reference, feature, required, entity)
        if known is not None:
            return known
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

        Of a feature with an `aggregation` the quantity is the value reported, and that of the receipt by how much the
        level rose; a lower latest value gives back (`restored` is not None then). Different values ("unique") are told
        by the property `value`.

        Statements, once a period has begun: 5, with an idempotency key 7; under usage limits 3 more, on MySQL 1 more,
        on PostgreSQL 2 fewer.

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

        Statements, once a period has begun: 5, with an idempotency key 7; under usage limits 3 more, on MySQL 1 more,
        on PostgreSQL 2 fewer.
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

    def reserve(
        self,
        reference: Ref,
        feature: str,
        quantity: int = 1,
        *,
        entity: str | None = None,
        ttl: timedelta | int = 60,
        idempotency_key: str | None = None,
    ) -> Hold:
        """Set `quantity` (1 to 10^9) of a feature aside for work that begins, all of it or `FeatureDenied`.

        `with` the hold, or settle or release it by hand; what is neither is free again after `ttl`, a timedelta or
        seconds: 1 second to 7 days. Under a key that was used before the same hold is given again, in any process.

        Statements, once a period has begun: 6, with an idempotency key 8; under usage limits 3 more, on MySQL 1 more.

        Raises:
            FeatureDenied: not covered; `InsufficientBalance` where too little is left.
            IdempotencyMismatch: the key was used for another hold.
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, or uses of the feature do not add up.
            Unavailable: the database does not answer, or stays busy.
        """
        return Hold(
            run_blocking(
                self._inner.reserve(
                    reference, feature, quantity, entity=entity, ttl=ttl, idempotency_key=idempotency_key
                )
            )
        )

    def lease(
        self,
        reference: Ref,
        feature: str,
        quantity: int = 1000,
        *,
        entity: str | None = None,
        ttl: timedelta | int = 60,
    ) -> Lease:
        """Take units of a feature `quantity` (1 to 10^9) at a time, to use them without asking the database for each.

        For one customer that is used very often: `with` the lease, and `consume` of it. It takes what is there where
        that is less, and one unit at the least; what it has taken nobody else can use before it ends. What is neither
        stored nor renewed is free again after `ttl`, a timedelta or seconds: 1 second to 7 days.

        Raises:
            FeatureDenied: nothing is left; `InsufficientBalance` where there was something.
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, or uses of the feature do not add up.
            Unavailable: the database does not answer, or stays busy.
        """
        return Lease(run_blocking(self._inner.lease(reference, feature, quantity, entity=entity, ttl=ttl)))

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

        `quantity` is 1 to 10^9. What was drawn last comes back first; a pool of credits gets back what this feature
        drew of its running period. Raises what `track` raises, but for the refusals.

        Statements, once a period has begun: 5, with an idempotency key 7; under usage limits 3 more, on MySQL 1 more,
        on PostgreSQL 1 fewer.
        """
        return run_blocking(
            self._inner.give_back(
                reference, feature, quantity, entity=entity, idempotency_key=idempotency_key, transaction=transaction
            )
        )

    def refund(
        self,
        reference: Ref,
        event_id: str,
        quantity: int | None = None,
        *,
        idempotency_key: str | None = None,
        transaction: Any = None,
    ) -> Usage:
        """Take back `quantity` (1 to 10^9, None for all that is left) of one use, by the `event_id` of its receipt.

        All refunds of a use together never exceed what it drew. `funded` of the receipt is what came back and
        `restored` the part of it that can be used again; the rest, `lapsed`, was drawn from a period that is over.

        Statements: 9, with an idempotency key 11; under usage limits 3 more, on MySQL 1 more, on PostgreSQL 1 fewer.

        Raises:
            NotFound: the reference has no such event (USAGE_EVENT_NOT_FOUND).
            Conflict: the event is no use but gave back, or set a level (USAGE_EVENT_NOT_REFUNDABLE).
            IdempotencyMismatch: the key was used for another request.
            InvalidInput: a value is out of range, or `transaction` is not usable.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(
            self._inner.refund(reference, event_id, quantity, idempotency_key=idempotency_key, transaction=transaction)
        )

    def set_usage(
        self,
        reference: Ref,
        feature: str,
        used: int,
        *,
        entity: str | None = None,
        idempotency_key: str | None = None,
        transaction: Any = None,
    ) -> Usage:
        """Make `used` (0 to 10^9) what is used of a feature, such as projects that were counted anew.

        The difference is drawn as `track` does it, or given back. Raises what `track` raises, but for the refusals.

        Statements, once a period has begun: 5, with an idempotency key 7; under usage limits 3 more, on MySQL 1 more,
        on PostgreSQL 1 fewer.
        """
        return run_blocking(
            self._inner.set_usage(
                reference, feature, used, entity=entity, idempotency_key=idempotency_key, transaction=transaction
            )
        )

    def track_many(self, uses: Iterable[Use], *, transaction: Any = None) -> Sequence[Usage]:
        """Count up to 1,000 uses of any references in one transaction: all or none of them; receipts in their order.

        A key counts once, also where it stands twice. The customers are locked until the last use is written.

        Statements: for each use those of `track`, on PostgreSQL 1 more.

        Raises:
            InvalidInput: a use is wrong, or there are too many; every mistake is named, as in `uses[3].quantity`.
            IdempotencyMismatch: a key was used for another request.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(self._inner.track_many(uses, transaction=transaction))

    def grant(
        self,
        reference: Ref,
        feature: str,
        amount: int,
        *,
        entity: str | None = None,
        expires_at: datetime | None = None,
        note: str | None = None,
        idempotency_key: str | None = None,
        transaction: Any = None,
    ) -> Grant:
        """Give `amount` (1 to 10^9) of a feature beside what plans include; a boolean feature is given by 1.

        It is drawn on until it is used, expires or is revoked, and never starts anew. With an `entity` it is for that
        one alone. Under a key that was used before the first grant is given again, also where the note or the time of
        expiry, which is mostly told from now on, is another. The audit log keeps the note, of at most 500 characters.

        Credits repay first what is overdrawn; see `set_credit_min`.

        Statements: 7, with an idempotency key 11; on MySQL 1 more; for credits 1 more, to repay 5 more.

        Raises:
            IdempotencyMismatch: the key was used for another grant.
            NotFound: there is no such feature (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, `expires_at` is no time to come, or `transaction` is not usable.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(
            self._inner.grant(
                reference,
                feature,
                amount,
                entity=entity,
                expires_at=expires_at,
                note=note,
                idempotency_key=idempotency_key,
                transaction=transaction,
            )
        )

    def revoke(self, reference: Ref, grant_id: str, *, transaction: Any = None) -> Grant:
        """End a grant now, by the id that `grant` gave: what is used of it stays used, the rest is gone.

        A second time changes nothing, and gives the same answer.

        Statements: 6; on MySQL 1 more.

        Raises:
            NotFound: the reference was not given it beside its plans (GRANT_NOT_FOUND).
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(self._inner.revoke(reference, grant_id, transaction=transaction))

    def set_credit_min(
        self, reference: Ref, feature: str, minimum: int, *, note: str | None = None, transaction: Any = None
    ) -> Balance:
        """Let no use bring a reference's balance of credits below `minimum` (-10^9 to 10^9, at first 0).

        Above 0 it is a balance to keep. Below 0 so much may be overdrawn, as overage: the reference is postpaid. What
        it is given later, by hand or by a top-up, repays what is overdrawn before it can be used. A higher minimum
        than the balance takes nothing away: nothing more can be drawn until the balance is back. The same again
        changes nothing. Gives what there is of the credits from now on.

        Statements: 7, where something was overdrawn 3 more; on MySQL 1 more.

        Raises:
            NotFound: there is no such feature (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, the feature is no credits, or `transaction` is not usable.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(self._inner.set_credit_min(reference, feature, minimum, note=note, transaction=transaction))

    def overdraft_used(
        self, reference: Ref, feature: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> int:
        """How many credits uses drew below zero with start ≤ recorded < end, less what was given back of them then.

        What was repaid since counts still: the sums of all months are what was ever overdrawn.

        Statements: 2.

        Raises:
            NotFound: there is no such feature (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range.
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.overdraft_used(reference, feature, start=start, end=end))

    def balances(self, reference: Ref, *, entity: str | None = None) -> Mapping[str, Balance]:
        """The balance of every feature that the reference can use now, by key.

        What credits would pay for counts as remaining. With an `entity` it is what that one can use: its own, and the
        customer's.

        Statements: 1, on an index.
        """
        return run_blocking(self._inner.balances(reference, entity=entity))

    def usage(
        self,
        reference: Ref,
        feature: str | None = None,
        *,
        properties: Mapping[str, Property] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[UsageEvent]:
        """One page of the recorded uses with start ≤ occurred_at < end, newest first. `limit` is 1 to 200.

        With `properties`, those uses that have all of these, of the same types.

        Statements: 2.

        Raises:
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, or the cursor is not one of ours.
            Unavailable: the database does not answer.
        """
        return run_blocking(
            self._inner.usage(
                reference, feature, properties=properties, start=start, end=end, limit=limit, cursor=cursor
            )
        )

    def ledger(
        self,
        reference: Ref,
        feature: str | None = None,
        *,
        source: Source | None = None,
        entry: Entry | None = None,
        properties: Mapping[str, Property] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[LedgerEntry]:
        """One page of what moved in the books with start ≤ at < end, newest first: every use, hold, refund and change.

        Each entry tells its `source`, what gave the grant that it moved, and its `entry`, why it moved; both narrow the
        list, as does the feature that was drawn from. With `properties`, entries of uses that have all of these.
        `limit` is 1 to 200. New entries never move those of other pages. What does not match is passed over within
        the time asked for, so a rare thing is found faster with `start`.

        Statements: 2, and with `start` and `end` about log₂ of the number of writes more each.

        Raises:
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, or the cursor is not one of ours.
            Unavailable: the database does not answer.
        """
        return run_blocking(
            self._inner.ledger(
                reference,
                feature,
                source=source,
                entry=entry,
                properties=properties,
                start=start,
                end=end,
                limit=limit,
                cursor=cursor,
            )
        )

    def usage_series(
        self,
        reference: Ref,
        feature: str,
        *,
        bin: Bin = "day",
        start: datetime | None = None,
        end: datetime | None = None,
        tz: str = "UTC",
        group_by: str | None = None,
    ) -> Sequence[UsagePoint]:
        """What was used with start ≤ occurred_at < end, oldest first, by "hour", "day" or "month" of a time zone.

        Net of what was refunded and given back, and 0 where nothing was used. `end` is now if it is not given, `start`
        a day, 30 days or a year before. With `group_by`, the name of a property, there is a point for each of its
        values, at most 1,000, and for None where uses have none; 10,000 pieces of time at most.

        Statements: 3.

        Raises:
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, or asks for too much.
            Unavailable: the database does not answer.
        """
        return run_blocking(
            self._inner.usage_series(reference, feature, bin=bin, start=start, end=end, tz=tz, group_by=group_by)
        )

    def export_usage(
        self,
        reference: Ref | None = None,
        *,
        feature: str | None = None,
        properties: Mapping[str, Property] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        limit: int = 1000,
        cursor: str | None = None,
    ) -> Page[UsageRecord]:
        """One page of everything that is recorded of uses with start ≤ occurred_at < end: of one reference, or of all.

        Each customer's come together, in the order in which they were recorded. `limit` is 1 to 5,000.
        With `properties`, those uses that have all of these, of the same types.

        Statements: 2.

        Raises:
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, or the cursor is not one of ours.
            Unavailable: the database does not answer.
        """
        return run_blocking(
            self._inner.export_usage(
                reference, feature=feature, properties=properties, start=start, end=end, limit=limit, cursor=cursor
            )
        )

    def explain(
        self, reference: Ref, feature: str, *, entity: str | None = None, at: datetime | None = None
    ) -> Explanation:
        """Say in plain words why one unit of a feature may be used or not: now, or as `check` answered it at `at`.

        The text is a `str` with the parts that it is made of: `.decision` is that answer.

        Raises:
            NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, or `at` lies in the future.
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.explain(reference, feature, entity=entity, at=at))

    def top_up(
        self,
        reference: Ref,
        name: str,
        quantity: int = 1,
        *,
        success_url: str,
        cancel_url: str,
        identity: Identity | None = None,
    ) -> Checkout:
        """Open a Stripe Checkout page on which a top-up is bought `quantity` times: send the browser to `.url`.

        What was paid is granted once, as soon as Stripe's webhook, `sync_checkout` or the jobs hear of it; a payment
        method that takes days grants when the money came. At most one page of a top-up is open for a reference: the
        same order gives the same page again.

        Raises:
            NotFound: no such top-up (TOP_UP_NOT_FOUND).
            InvalidInput: the quantity is not within `min_quantity` and `max_quantity`.
            UntrustedUrl: an address leads to an origin that is not trusted.
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        return run_blocking(
            self._inner.top_up(
                reference, name, quantity, success_url=success_url, cancel_url=cancel_url, identity=identity
            )
        )

    def setup_payment_method(
        self,
        reference: Ref,
        *,
        success_url: str,
        cancel_url: str,
        default: bool = True,
        identity: Identity | None = None,
    ) -> Checkout:
        """Open a Stripe Checkout page on which a payment method is saved, and nothing paid.

        With `default` invoices are paid by it from then on.

        Raises:
            InvalidInput: a value is out of range.
            UntrustedUrl: an address leads to an origin that is not trusted.
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        return run_blocking(
            self._inner.setup_payment_method(
                reference, success_url=success_url, cancel_url=cancel_url, default=default, identity=identity
            )
        )

    def sync_checkout(self, session_id: str) -> Checkout:
        """What became of a checkout that we opened, asked of Stripe now: for the page that the buyer returns to.

        Raises:
            NotFound: not a session of ours (CHECKOUT_NOT_FOUND).
            Unavailable: Stripe or the database does not answer.
        """
        return run_blocking(self._inner.sync_checkout(session_id))

    def portal(
        self,
        reference: Ref,
        *,
        return_url: str,
        flow: Literal["payment_method", "cancel", "update"] | None = None,
        subscription_id: str | None = None,
    ) -> Portal:
        """Open Stripe's billing portal for the reference's own customer: send the browser to `.url`.

        `flow` goes straight to one task; `cancel` and `update` are about the live subscription, or the one of
        `subscription_id`, ours or Stripe's.

        Raises:
            NotFound: the reference has no Stripe customer (CUSTOMER_NOT_FOUND), or nothing that the flow could change.
            PortalNotConfigured: the portal was never set up, or forbids the flow: `configure_portal` sets it up.
            StripeRefused: Stripe does not open it for another reason (UNABLE_TO_CREATE_BILLING_PORTAL).
            Unavailable: Stripe does not answer.
        """
        return run_blocking(
            self._inner.portal(reference, return_url=return_url, flow=flow, subscription_id=subscription_id)
        )

    def configure_portal(
        self,
        *,
        return_url: str | None = None,
        headline: str | None = None,
        cancel: Literal["period_end", "now"] | None = "period_end",
        change: bool = True,
    ) -> PortalConfiguration:
        """Say what customers may do in Stripe's billing portal, and open it so from now on. Again it changes that.

        They can change their payment method and addresses and see their invoices; with `cancel` they can cancel, then
        or at once, and with `change` they can change to every plan that has a price.

        Raises:
            InvalidInput: a value is wrong; nothing was made.
            ConfigError: `change`, and no plan has a price, or they are of more than ten products.
            StripeRefused: Stripe does not take it.
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        return run_blocking(
            self._inner.configure_portal(return_url=return_url, headline=headline, cancel=cancel, change=change)
        )

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

    def publish(
        self, topic: str, data: Mapping[str, Any], *, idempotency_key: str | None = None, transaction: Any = None
    ) -> str:
        """Tell of a change of your own, such as "organization.member.added"; gives the id of the event.

        It is written down at once, with `transaction` if and only if that commits, and goes where every event goes: to
        hooks and to the bus. What this library does about its topics it does before this returns, where there is no bus
        and no `transaction`; else, and where Stripe does not answer now, the worker does it. A key that was used before
        publishes nothing again.

        Raises:
            InvalidInput: the topic is one of the library's own, or `data` has not the shape that its topic asks for.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.publish(topic, data, idempotency_key=idempotency_key, transaction=transaction))

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
