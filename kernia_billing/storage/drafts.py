"""The transaction that a unit sees which shares one with others: what was read for all, and what is to be written.

A unit that asks for anything that is not here is `Alone`: it has to be run in a transaction of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from attrs import define, field, frozen

from ..domain.alerts import Threshold
from ..domain.customers import CustomerRow
from ..domain.grants import BucketRow, Grant, Holding, LedgerLine, UsageRow
from ..domain.history import GrantState
from ..domain.holds import Hold
from ..domain.instants import FOREVER, Instant
from ..domain.limits import Meter, Window
from ..domain.outbound import OutboxRow
from ..domain.references import Reference
from ..domain.subscriptions import SubscriptionRow
from ..domain.upkeep import MeterEventRow
from ..ports.store import DuplicateKey, Held, Left, Needs
from . import customers, entitlements, usage
from .transaction import SqlTransaction

Fired = tuple[str, str, str, Instant]
"""Customer, feature, entity and period that alerts fire in."""
Alert = tuple[Threshold, Instant, Instant]
"""What fires in a period, when it does, and when the period ends."""
Counted = dict[tuple[str, str, Instant], Meter]
"""Windows of usage limits of a customer, by their keys."""
Known = tuple[tuple[str, str, Instant], Left]
"""The feature, the entity and the time that a unit asked for, and what it left of that."""
Asked = tuple[str, Sequence[str], str, Instant]
"""Customer, features, entity and time that windows were asked for by."""


class Alone(Exception):
    """Raised inside of a unit that cannot share a transaction."""


class Changes:
    """What is to be written.

    `buckets` has the running bucket of each grant that has another one, or another state of it, by the grant's id.
    `left` is what a unit leaves of what it asked for.
    """

    __slots__ = (
        "alerts",
        "buckets",
        "customers",
        "events",
        "grants",
        "left",
        "lines",
        "meter_events",
        "opened",
        "outbox",
        "states",
        "windows",
    )

    def __init__(self) -> None:
        # Every unit has one: factories of attrs take ten times as long.
        self.customers: dict[Reference, CustomerRow] = {}
        self.grants: dict[str, Grant] = {}
        self.states: list[GrantState] = []
        self.buckets: dict[str, BucketRow] = {}
        self.opened: set[str] = set()
        self.events: list[UsageRow] = []
        self.lines: list[LedgerLine] = []
        self.windows: dict[str, Counted] = {}
        self.alerts: dict[Fired, list[Alert]] = {}
        self.outbox: list[OutboxRow] = []
        self.meter_events: list[MeterEventRow] = []
        self.left: Known | None = None

    def add(self, later: Changes) -> None:
        """Take over what was done after it."""
        self.customers.update(later.customers)
        self.buckets.update(later.buckets)
        self.events += later.events
        self.lines += later.lines
        self.outbox += later.outbox
        self.meter_events += later.meter_events
        for customer_id, counted in later.windows.items():
            self.windows.setdefault(customer_id, {}).update(counted)
        if later.grants or later.states or later.opened:
            self.grants.update(later.grants)
            self.states += later.states
            self.opened |= later.opened
        for fired, thresholds in later.alerts.items():
            self.alerts.setdefault(fired, []).extend(thresholds)

    def write(self, tx: SqlTransaction, numbered: Iterable[CustomerRow]) -> None:
        """Write it all down, and of the customers those that have another number."""
        for grant in self.grants.values():
            if not tx.entitlements.add_grant(grant):
                # It was given before, and taken away: more has to be read than was.
                raise DuplicateKey
        for state in self.states:
            tx.history.put_grant(state)
        opened = [each for each in self.buckets.values() if each.id in self.opened]
        tx.entitlements.add_buckets(opened)
        changed = [each for each in self.buckets.values() if each.id not in self.opened]
        usage_added = usage.added(self.events, self.lines)
        tx.run_all((customers.numbered(numbered), entitlements.changed(changed), *usage_added))
        tx.meter_events.add(self.meter_events)
        for customer_id, counted in self.windows.items():
            for meter in counted.values():
                tx.limits.put(customer_id, meter)
        for fired, thresholds in self.alerts.items():
            for threshold, now, period_end in thresholds:
                tx.alerts.add(*fired, [threshold], now, period_end)
        tx.outbox.add(self.outbox)


@frozen
class _Account:
    """What a customer holds of some features, read at `read_at`: the same grants and periods run `until` then."""

    grants: dict[str, Held]
    features: frozenset[str]
    read_at: Instant
    until: Instant

    @classmethod
    def of(cls, held: Iterable[Held], features: Iterable[str], now: Instant) -> _Account:
        wanted = frozenset(features)
        grants: dict[str, Held] = {}
        until = FOREVER
        for grant, bucket in held:
            if grant.feature in wanted:
                grants[grant.id] = grant, bucket
                until = min(until, grant.period(now).end, FOREVER if bucket is None else bucket.period_end)
        return cls(grants, wanted, now, until)


@define(eq=False)
class Shared:
    """What was read for all the units, and what those that succeeded want written.

    `customers` are as they are after the last unit. `locked` are those whom somebody else holds.
    """

    tx: SqlTransaction
    customers: dict[Reference, CustomerRow]
    locked: frozenset[Reference]
    accounts: Mapping[str, _Account]
    events: dict[tuple[str, str], UsageRow]
    fired: dict[Fired, set[Threshold]] = field(factory=dict[Fired, set[Threshold]])
    running: dict[Asked, Sequence[Window]] = field(factory=dict[Asked, Sequence[Window]])
    lasting: set[tuple[str, Instant]] = field(factory=set[tuple[str, Instant]])
    """Customers of whose holds none has lapsed at an instant."""
    left: dict[str, Known | None] = field(factory=dict[str, Known | None])
    """What the last unit of each customer left."""
    changes: Changes = field(factory=Changes)
    _numbers: Mapping[str, int] = field(init=False)
    """The sequences of the customers as they are in the database."""

    def __attrs_post_init__(self) -> None:
        # Who locks a customer has raised the sequence, for the first unit that will succeed.
        self._numbers = {each.id: each.ledger_seq for each in self.customers.values()}
        for reference, each in self.customers.items():
            self.customers[reference] = each.at(each.ledger_seq - 1)

    @classmethod
    def read(cls, tx: SqlTransaction, needs: Sequence[Needs], *, wait: bool) -> Shared:
        """Lock the customers, and read what the units need of them."""
        now = max(each.now for each in needs)
        references = {each.reference for each in needs}
        customers = {each.reference: each for each in tx.customers.lock_all(references, now, wait=wait)}
        locked = frozenset(tx.customers.existing(references - customers.keys()))
        features: dict[str, set[str]] = {}
        keys: set[tuple[str, str]] = set()
        for each in needs:
            customer = customers.get(each.reference)
            if customer is not None:
                features.setdefault(customer.id, set()).update(each.features)
                if each.key is not None:
                    keys.add((customer.id, each.key))
        held = tx.entitlements.of_customers(features, now)
        accounts = {id_: _Account.of(held.get(id_, ()), wanted, now) for id_, wanted in features.items()}
        events = {(row.customer_id, row.idempotency_key): row for row in tx.usage.by_keys(keys)}
        return cls(tx, customers, locked, accounts, events)

    def keep(self, draft: Draft) -> None:
        """Take over what a unit did."""
        changes = draft.changes
        self.changes.add(changes)
        self.customers.update(changes.customers)
        self.left[draft.customer.id] = changes.left
        for grant in changes.grants.values():
            self.accounts[grant.customer_id].grants[grant.id] = grant, None
        for event in changes.events:
            self.events[event.customer_id, event.idempotency_key] = event

    def write(self) -> bool:
        """Write what the units did; says whether there was anything."""
        if not self.changes.customers:
            return False
        numbered = [each for each in self.customers.values() if each.ledger_seq != self._numbers[each.id]]
        self.changes.write(self.tx, numbered)
        return True


class Draft:
    """The transaction that one unit after the other sees: what is shared, and over it what that unit has done so far.

    `changes` are those of the unit that began last, and `needs` what it said; `customer` is whom it writes for, as the
    unit has left the row, and `account` what that customer held before.
    """

    changes: Changes
    needs: Needs
    customer: CustomerRow
    account: _Account

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        for name, noun in _NOUNS.items():
            setattr(self, name, noun(self))

    def begin(self, needs: Needs) -> None:
        """Let another unit see what is shared, and nothing of what is not."""
        self.needs = needs
        self.changes = Changes()
        self.customer = self.shared.customers[needs.reference]
        self.account = self.shared.accounts[self.customer.id]

    def __getattr__(self, name: str) -> Any:
        raise Alone


class _Noun:
    """A noun of which a unit may ask no more than what is defined for it."""

    __slots__ = ("_draft", "_shared")

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._shared = draft.shared

    @property
    def _changes(self) -> Changes:
        return self._draft.changes

    def __getattr__(self, name: str) -> Any:
        raise Alone


class _Customers(_Noun):
    __slots__ = ()

    def lock_reference(self, reference: Reference, now: Instant | None = None) -> CustomerRow:
        # What is shared was read at one time, which is that of all the units.
        draft = self._draft
        if reference is not draft.needs.reference and reference != draft.needs.reference:
            raise Alone
        after = draft.customer = draft.customer.at(draft.customer.ledger_seq + 1)
        draft.changes.customers[reference] = after
        return after


class _Usage(_Noun):
    __slots__ = ()

    def by_key(self, reference: Reference, idempotency_key: str) -> UsageRow | None:
        draft = self._draft
        if (reference, idempotency_key) != (draft.needs.reference, draft.needs.key):
            raise Alone
        return self._shared.events.get((draft.customer.id, idempotency_key))

    def add(self, event: UsageRow, lines: Sequence[LedgerLine]) -> None:
        self._draft.changes.events.append(event)
        self.add_lines(lines)

    def add_lines(self, lines: Sequence[LedgerLine]) -> None:
        self._draft.changes.lines.extend(lines)


class _Entitlements(_Noun):
    __slots__ = ()

    def of_customer(self, customer_id: str, features: Sequence[str] | None, now: Instant) -> Sequence[Held]:
        account = self._account(customer_id)
        if features is None or not account.features.issuperset(features):
            raise Alone
        if not account.read_at <= now < account.until:
            raise Alone
        changes = self._draft.changes
        stored_or_given: Iterable[Held] = account.grants.values()
        if changes.grants:
            stored_or_given = chain(stored_or_given, ((grant, None) for grant in changes.grants.values()))
        held: list[Held] = []
        for grant, stored in stored_or_given:
            if grant.feature in features and grant.closed_at > now:
                bucket = self._bucket(grant.id, stored)
                if bucket is not None and bucket.period_end <= now:
                    raise Alone
                held.append((grant, bucket if bucket is None or bucket.closed_at > now else None))
        return held

    def left(self, customer_id: str, feature: str, entity: str, now: Instant) -> Left | None:
        known = self._shared.left.get(customer_id)
        if known is None or known[0] != (feature, entity, now) or self._changes.buckets:
            return None
        return known[1]

    def leave(self, customer_id: str, feature: str, entity: str, now: Instant, left: Left) -> None:
        self._account(customer_id)
        changes = self._changes
        # What was opened has become what is stored, which the next one reads.
        if not (changes.grants or changes.opened):
            changes.left = (feature, entity, now), left

    def of_buckets(self, customer_id: str, bucket_ids: Sequence[str]) -> Mapping[str, Holding]:
        self._account(customer_id)
        if bucket_ids:
            raise Alone
        return {}

    def add_grant(self, grant: Grant) -> bool:
        self._account(grant.customer_id)
        self._changes.grants[grant.id] = grant
        return True

    def add_bucket(self, bucket: BucketRow) -> None:
        self.put_bucket(bucket)
        self._changes.opened.add(bucket.id)

    def put_bucket(self, bucket: BucketRow) -> None:
        grant_id, account = bucket.grant_id, self._account(bucket.customer_id)
        if grant_id in account.grants:
            known = self._bucket(grant_id, account.grants[grant_id][1])
            if known is not None and known.id != bucket.id:
                # Of each grant one period is kept in memory.
                raise Alone
        elif grant_id not in self._changes.grants:
            raise Alone
        self._changes.buckets[grant_id] = bucket

    def _account(self, customer_id: str) -> _Account:
        if customer_id != self._draft.customer.id:
            raise Alone
        return self._draft.account

    def _bucket(self, grant_id: str, stored: BucketRow | None) -> BucketRow | None:
        return self._changes.buckets.get(grant_id) or self._shared.changes.buckets.get(grant_id) or stored


class _History(_Noun):
    __slots__ = ()

    def put_grant(self, state: GrantState) -> None:
        self._changes.states.append(state)


class _Holds(_Noun):
    __slots__ = ()

    def lapsed(self, customer_id: str, until: Instant) -> Sequence[Hold]:
        asked, shared = (customer_id, until), self._shared
        if asked not in shared.lasting:
            if shared.tx.holds.lapsed(customer_id, until):
                raise Alone
            shared.lasting.add(asked)
        return ()


class _Limits(_Noun):
    __slots__ = ()

    def running_locked(self, customer_id: str, features: Sequence[str], entity: str, now: Instant) -> Sequence[Window]:
        asked, shared = (customer_id, tuple(features), entity, now), self._shared
        if asked not in shared.running:
            shared.running[asked] = shared.tx.limits.running_locked(customer_id, features, entity, now)
        found = {window.key: window for window in shared.running[asked]}
        for changes in (shared.changes, self._changes):
            for key, meter in changes.windows.get(customer_id, {}).items():
                if meter.window.start <= now < meter.resets_at:
                    found[key] = meter.window
        return list(found.values())

    def put(self, customer_id: str, meter: Meter) -> None:
        self._changes.windows.setdefault(customer_id, {})[meter.window.key] = meter


class _Alerts(_Noun):
    __slots__ = ()

    def fired(self, customer_id: str, feature: str, entity: str, period_start: Instant) -> set[Threshold]:
        fired, shared = (customer_id, feature, entity, period_start), self._shared
        if fired not in shared.fired:
            shared.fired[fired] = shared.tx.alerts.fired(*fired)
        new = (*shared.changes.alerts.get(fired, ()), *self._changes.alerts.get(fired, ()))
        return shared.fired[fired].union(threshold for threshold, *_ in new)

    def add(
        self,
        customer_id: str,
        feature: str,
        entity: str,
        period_start: Instant,
        thresholds: Iterable[Threshold],
        now: Instant,
        period_end: Instant,
    ) -> None:
        fired = (customer_id, feature, entity, period_start)
        self._changes.alerts.setdefault(fired, []).extend((each, now, period_end) for each in thresholds)


class _Outbox(_Noun):
    __slots__ = ()

    def add(self, rows: Iterable[OutboxRow]) -> None:
        self._changes.outbox.extend(rows)


class _MeterEvents(_Noun):
    __slots__ = ()

    def add(self, rows: Sequence[MeterEventRow]) -> None:
        self._changes.meter_events.extend(rows)


class _Subscriptions(_Noun):
    __slots__ = ()

    def of_customer(self, customer_id: str) -> Sequence[SubscriptionRow]:
        return self._shared.tx.subscriptions.of_customer(customer_id)


_NOUNS: Mapping[str, type[_Noun]] = {
    "customers": _Customers,
    "usage": _Usage,
    "entitlements": _Entitlements,
    "history": _History,
    "holds": _Holds,
    "limits": _Limits,
    "alerts": _Alerts,
    "outbox": _Outbox,
    "meter_events": _MeterEvents,
    "subscriptions": _Subscriptions,
}
