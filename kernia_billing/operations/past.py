"""The rows of a customer as they were at an instant, read back from the history and the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from attrs import Factory, define, evolve, field

from ..domain.buckets import rescale
from ..domain.customers import CustomerRow
from ..domain.grants import BucketRow, Grant, UsageRow
from ..domain.history import GrantState, PlanState, bucket_at, state_at
from ..domain.holds import HoldRow
from ..domain.instants import Instant, to_datetime
from ..domain.limits import Limit, Window
from ..domain.plan_items import items_of
from ..domain.references import Reference
from ..domain.subscriptions import SubscriptionRow
from ..domain.terms import limits_of
from ..errors import InvalidInput
from ..ports.store import Held, Standing, Transaction
from .core import Core
from .writes import last_write

_PAGE = 200
_NO_LIMITS = ("default", "override")
"""The limits of these are told by others: by the items of the default plan, and by what an override changes."""
_GONE = "older books were thrown away"


@define(eq=False)
class PastSubscriptions:
    """`Subscriptions.of_customer`, as the audit log tells it: of each row what says why there is nothing."""

    _past: AsOf

    def of_customer(self, customer_id: str) -> Sequence[SubscriptionRow]:
        """The subscriptions that a customer had then."""
        past = self._past
        rows = past.tx.subscriptions.of_customer(customer_id)
        if past.at is None:
            return rows
        at = past.at
        noted = dict(self._noted(customer_id, at, [row.id for row in rows]))
        found: list[SubscriptionRow] = []
        for row in rows:
            facts = noted.get(row.id)
            if facts is not None:
                found.append(evolve(row, status=str(facts["status"]), plan=cast("str | None", facts["plan"])))
            elif row.updated_at <= at:
                found.append(row)
            elif row.created_at <= at and past.core.audit_retention is not None:
                past.cannot_tell("in which state the subscription was: the audit log of then is gone")
        return found

    def _noted(
        self, customer_id: str, at: Instant, wanted: Iterable[str]
    ) -> Iterator[tuple[str, Mapping[str, object]]]:
        """The last noted state of each subscription by an instant."""
        missing = set(wanted)
        before: tuple[Instant, str] | None = (at, "\x7f")
        while missing and before is not None:
            page = self._past.tx.audit.page(customer_id=customer_id, limit=_PAGE, before=before)
            for row in page:
                if row.action == "subscription.changed" and row.subject in missing and row.after is not None:
                    missing.discard(row.subject)
                    yield row.subject, row.after
            before = (page[-1].at, page[-1].id) if len(page) == _PAGE else None


@define(eq=False)
class AsOf:
    """The nouns that a reader asks, answering with what was there at an instant.

    It stands in for the transaction of a reader, so that an old answer is found by the very code that gave it. `at`
    None is now: everything that is written counts. `unknown` collects what nobody can tell any more, in sentences;
    `given` says by the grant's id when each was given; `seq` is the last write that counts, and `known` whose it is.
    """

    core: Core
    tx: Transaction
    at: Instant | None
    unknown: list[str] = field(factory=list[str])
    given: dict[str, Instant] = field(factory=dict[str, Instant])
    seq: int = 0
    known: CustomerRow | None = None
    _grants: list[Grant] = field(init=False, factory=list[Grant])
    _states: dict[str, list[GrantState]] = field(init=False, factory=dict[str, list[GrantState]])
    _plans: Sequence[PlanState] = field(init=False, default=())
    entitlements: AsOf = field(init=False, default=Factory(lambda self: self, takes_self=True))
    limits: AsOf = field(init=False, default=Factory(lambda self: self, takes_self=True))
    subscriptions: PastSubscriptions = field(init=False, default=Factory(PastSubscriptions, takes_self=True))

    def as_transaction(self) -> Transaction:
        """Itself, for the functions of readers: it has the nouns that they ask, and no others."""
        return cast("Transaction", self)

    def cannot_tell(self, what: str) -> None:
        """Note what nobody can tell any more."""
        if what not in self.unknown:
            self.unknown.append(what)

    # ── entitlements ─────────────────────────────────────────────────────────────────────────────────────────────────

    def of_reference(
        self, reference: Reference, features: Sequence[str] | None, now: Instant
    ) -> tuple[CustomerRow | None, Sequence[Held]]:
        """`Entitlements.of_reference`."""
        row = self.tx.customers.get(reference)
        if row is None or row.created_at > now:
            return None, ()
        self._states.clear()
        horizon = self.tx.horizons.get(row.id)
        if horizon is not None and self.at is not None and self.at < horizon.kept_from:
            raise InvalidInput(f"lies before {to_datetime(horizon.kept_from):%Y-%m-%d %H:%MZ}: {_GONE}", field="at")
        states = self.tx.history.grant_states(row.id)
        plans = self.tx.history.plan_states(row.id)
        self.seq = row.ledger_seq if self.at is None else self._seq_at(row, self.at, [*states, *plans])
        self._plans = plans
        for state in states:
            self._states.setdefault(state.grant_id, []).append(state)
        self.known = self._customer(row)
        wanted = list(self.core.offer.features) if features is None else features
        return self.known, self._held(self.known, wanted, now)

    def standing(
        self, reference: Reference, features: Sequence[str], now: Instant, *, entity: str | None, earlier: bool
    ) -> Standing:
        """`Entitlements.standing`, without what is asked for afterwards where it matters."""
        customer, held = self.of_reference(reference, features, now)
        if customer is None or entity is None:
            return Standing(customer, held)
        return Standing(customer, held, self.running(customer.id, features, entity, now))

    def last_buckets(self, grant_ids: Sequence[str], now: Instant, *, locked: bool) -> Mapping[str, BucketRow]:
        """`Entitlements.last_buckets`."""
        rows = self.tx.entitlements.last_buckets(grant_ids, now, locked=locked)
        found = {grant: self._bucket(row) for grant, row in rows.items()}
        return {grant: bucket for grant, bucket in found.items() if bucket is not None}

    def lapses(self, customer_id: str, now: Instant, *, locked: bool) -> Sequence[tuple[str, Instant, int]]:
        """`Entitlements.lapses`: nothing of a reader is `locked`."""
        return self.tx.history.lapses(customer_id, now)

    def _seq_at(self, customer: CustomerRow, at: Instant, states: Sequence[GrantState | PlanState]) -> int:
        """The last write that had happened by an instant."""
        noted = [state for state in states if state.changed_at]
        begun = max((state.seq for state in states if not state.changed_at), default=0)
        found = max([last_write(self.tx, customer, at), *(state.seq for state in noted if state.changed_at <= at)])
        if found < begun:
            self.cannot_tell("what was before history began to be kept: shown is how things stood then")
        return max(found, begun)

    def _customer(self, row: CustomerRow) -> CustomerRow:
        if self.at is not None:
            # Later writes are still to come.
            row = evolve(row, written_at=0)
        state = state_at(self._plans, self.seq)
        if state is not None:
            return evolve(row, plan=state.plan, plan_until=state.plan_until)
        # A customer whose plan was never noted has the one of now: it did not change since history is kept.
        return evolve(row, plan=None, plan_until=0) if self._plans else row

    def _held(self, customer: CustomerRow, features: Sequence[str], now: Instant) -> Sequence[Held]:
        self._grants = [
            self._grant(grant, self._states.get(grant.id, ()))
            for grant in self.tx.history.grants(customer.id, features)
            if grant.created_seq <= self.seq
        ]
        current = [grant for grant in self._grants if grant.closed_at > now]
        buckets = self._buckets(customer, [grant.id for grant in current], now)
        return [(grant, buckets.get(grant.id)) for grant in current]

    def _grant(self, grant: Grant, states: Sequence[GrantState]) -> Grant:
        if states and states[0].seq == grant.created_seq and states[0].changed_at:
            self.given[grant.id] = states[0].changed_at
        state = state_at(states, self.seq)
        if state is None and states:
            self.cannot_tell("how what was given before history began to be kept was changed")
        return grant if state is None else state.applied(grant)

    def _buckets(self, customer: CustomerRow, grants: Sequence[str], now: Instant) -> Mapping[str, BucketRow]:
        found: dict[str, BucketRow] = {}
        for row in self.tx.history.buckets(grants, now):
            bucket = self._bucket(row)
            if bucket is None:
                continue
            # After a change of the anchor two periods may overlap: the later one counts.
            earlier = found.get(row.grant_id)
            if earlier is None or bucket.period_start > earlier.period_start:
                found[row.grant_id] = bucket
        return self._without_lapsed(customer, found, now) if any(each.held for each in found.values()) else found

    def _bucket(self, row: BucketRow) -> BucketRow | None:
        """A bucket as it was, None where it was not opened yet."""
        line = self.tx.history.last_line(row.customer_id, row.id, self.seq)
        if line is None:
            return None
        bucket = bucket_at(row, line, self.tx.history.bucket_states(row.id))
        # The ledger did not always tell what a bucket included.
        return bucket if line.moved_at else evolve(bucket, amount=rescale(row.amount, bucket.used, bucket.held))

    def _without_lapsed(
        self, customer: CustomerRow, buckets: Mapping[str, BucketRow], now: Instant
    ) -> Mapping[str, BucketRow]:
        """The buckets without what was held of them by holds whose time had come."""
        if now < self.core.now() - self.core.event_retention:
            self.cannot_tell("which holds had ended by then: what they held counts as held")
        heirs = {each.id: each for each in buckets.values()}
        lapsed: dict[str, int] = {}
        for bucket_id, _, held in self.tx.history.lapses(customer.id, now):
            place = self._heir(bucket_id, heirs)
            lapsed[place] = lapsed.get(place, 0) + held
        return {
            grant: evolve(bucket, held=max(0, bucket.held - lapsed.get(bucket.id, 0)))
            for grant, bucket in buckets.items()
        }

    def _heir(self, bucket_id: str, known: Mapping[str, BucketRow]) -> str:
        """The bucket that what was held of another one had moved to."""
        seen: set[str] = set()
        while bucket_id not in known and bucket_id not in seen and self.known is not None:
            seen.add(bucket_id)
            found = self.tx.entitlements.of_buckets(self.known.id, [bucket_id]).get(bucket_id)
            bucket_id = bucket_id if found is None else found.bucket.heir_id or bucket_id
        return bucket_id

    # ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def running(self, customer_id: str, features: Sequence[str], entity: str, now: Instant) -> Sequence[Window]:
        """`Limits.running`, of the limits that count every use: a check tells of no properties."""
        limits = {
            limit.id: limit
            for grant in self._grants
            for limit in limits_of(grant.terms, grant.feature)
            if not limit.where and (entity or not limit.per_entity) and limit.feature in features
        }
        return [self._window(customer_id, limit, entity if limit.per_entity else "", now) for limit in limits.values()]

    def _window(self, customer_id: str, limit: Limit, entity: str, now: Instant) -> Window:
        """The window of a limit: as the receipt of the last use in it says, and what was set aside since then."""
        start = limit.window(now).start
        last, used = self._last_count(customer_id, limit, entity, start, now)
        for each in self.tx.history.set_aside(customer_id, limit.feature, start, now):
            hold = each.hold
            # What was not counted when it was set aside is not taken out again either.
            if entity not in ("", hold.entity) or not self._was_limited(limit, hold):
                continue
            if _is_after(last, hold.created_at, each.made_by):
                used += each.amount
            over = min(hold.expires_at, hold.ended_at)
            if over <= now and _is_after(last, over, each.released_by):
                used -= each.amount
        return Window(limit.id, entity, start, max(0, used))

    def _was_limited(self, limit: Limit, hold: HoldRow) -> bool:
        """Whether a limit counted when a hold was made: it begins to with the plan that it is of."""
        default, at = self.core.offer.default_plan, hold.created_at
        plan = max((each for each in self._plans if _is_before(each, hold)), key=lambda each: each.seq, default=None)
        items = items_of(default) if default is not None and (plan is None or plan.plan_until <= at) else ()
        given = [(item.terms, item.feature) for item in items]
        for grant in self._grants:
            states = [each for each in self._states.get(grant.id, ()) if _is_before(each, hold)]
            if states and (then := states[-1].applied(grant)).is_live(at) and then.source_type not in _NO_LIMITS:
                given.append((then.terms, then.feature))
        return any(limit.id == each.id for terms, feature in given for each in limits_of(terms, feature))

    def _last_count(
        self, customer_id: str, limit: Limit, entity: str, start: Instant, now: Instant
    ) -> tuple[UsageRow | None, int]:
        for use in self._uses(customer_id, limit.feature, start, now):
            told = cast("Sequence[Mapping[str, Any]]", use.result.get("limits", ()))
            for each in told:
                if (each["id"], each["entityId"] or "", each["startedAt"]) == (limit.id, entity, start):
                    return use, int(each["used"])
        return None, 0

    def _uses(self, customer_id: str, feature: str, start: Instant, now: Instant) -> Iterator[UsageRow]:
        """The uses that drew on a feature, newest first, back to an instant."""
        seq, features = self.seq, drawing_on(self.core, feature)
        while rows := self.tx.history.last_uses(customer_id, features, seq, now, _PAGE):
            yield from (row for row in rows if row.received_at >= start)
            if rows[-1].received_at < start:
                break
            seq = rows[-1].seq - 1


def _is_before(state: GrantState | PlanState, hold: HoldRow) -> bool:
    """Whether a state was there when a hold was made."""
    return state.seq <= hold.created_seq if hold.created_seq else state.changed_at <= hold.created_at


def _is_after(last: UsageRow | None, at: Instant, seq: int | None) -> bool:
    """Whether something happened after a use."""
    if last is None:
        return True
    return last.received_at < at if seq is None else last.seq < seq


def drawing_on(core: Core, feature: str) -> Sequence[str]:
    """The features whose uses draw on the holdings of one: itself, and those that it pays for."""
    return [
        key
        for key, spec in core.offer.features.items()
        if key == feature or any(pool.feature == feature for pool in spec.pools)
    ]
