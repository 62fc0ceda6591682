"""What if these had been the plans: recorded uses are drawn once more, in thought, and nothing is written.

Every use is judged by the planner that judges real ones, over the grants that the customer's plan would have given,
and as long as it was tried, over what its trial would have included.
Periods begin with those that the range begins in; things that exist are there from the beginning. Uses that were
refused are recorded nowhere, so that nobody can tell what more generous plans would have let through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime

from attrs import define, evolve, field

from ..domain.answers import Mode
from ..domain.catalog import PriceRow
from ..domain.customers import CustomerRow
from ..domain.grants import UsageRow
from ..domain.history import PlanState, state_at
from ..domain.instants import FOREVER, Instant, to_datetime, to_instant
from ..domain.money import Money
from ..domain.offer import FeatureSpec, Offer
from ..domain.plan_items import PlanItem, items_of
from ..domain.plans import BillingInterval, Plan
from ..domain.pricing import CustomerPricing, PricingReport
from ..domain.replaying import Replay, Trial
from ..domain.subscriptions import SubscriptionRow, first_live
from ..errors import InvalidInput
from ..ports.store import Transaction
from .core import Core
from .holdings import grants_of
from .past import AsOf
from .plans import mapped_prices, price_of

_CUSTOMERS = 50
_USES = 500
_NOT_YET = ""
_KEPT = ("quantity", "seat")
"""Kinds of features that count things which exist: what is used of them never starts anew."""


@define(eq=False)
class _Sums:
    """What is added up over all customers."""

    looked_at: int = 0
    uses: int = 0
    denied_uses: int = 0
    denied: Counter[str] = field(factory=Counter[str])
    overage: Counter[str] = field(factory=Counter[str])
    revenue: Counter[str] = field(factory=Counter[str])
    customers: list[CustomerPricing] = field(factory=list[CustomerPricing])
    unknown: list[str] = field(factory=list[str])

    def cannot_tell(self, what: str) -> None:
        """Note what nobody can tell."""
        if what not in self.unknown:
            self.unknown.append(what)

    def add(self, told: CustomerPricing) -> None:
        """Count one customer."""
        self.looked_at += 1
        self.uses += told.uses
        self.denied_uses += told.denied_uses
        self.denied.update(told.denied)
        self.overage.update(told.overage)
        before, after = told.yearly_before, told.yearly_after
        if before is not None and after is not None and before.currency == after.currency:
            self.revenue[before.currency] += after.amount - before.amount
        if told.denied_uses or told.overage or before != after:
            self.customers.append(told)


async def simulate(core: Core, offer: Offer, *, start: datetime, end: datetime | None = None) -> PricingReport:
    """Replay what was recorded with start ≤ time < end (None: now) under the plans of another offer.

    Raises:
        InvalidInput: the range is empty.
        Unavailable: the database does not answer.
    """
    since = to_instant(start, field="start")
    until = core.now() + 1 if end is None else to_instant(end, field="end")
    if until <= since:
        raise InvalidInput("must be after start", field="end")
    sums = _Sums()
    mapped = await core.store.read(mapped_prices)
    after: str | None = None
    while True:
        rows = await core.store.read(_page(after))
        for row in rows:
            replay = _Simulated(core, offer, row, since, until, mapped, sums)
            sums.add(await core.store.read(replay.run))
        if len(rows) < _CUSTOMERS or core.stopping():
            break
        after = rows[-1].id
    return PricingReport(
        start=to_datetime(since),
        end=to_datetime(until),
        looked_at=sums.looked_at,
        uses=sums.uses,
        denied_customers=sum(1 for each in sums.customers if each.denied_uses),
        denied_uses=sums.denied_uses,
        denied=dict(sums.denied),
        overage_customers=sum(1 for each in sums.customers if each.overage),
        overage=dict(sums.overage),
        revenue={currency: Money(amount, currency) for currency, amount in sums.revenue.items()},
        customers=tuple(sums.customers),
        unknown=tuple(sums.unknown),
    )


def _page(after: str | None) -> Callable[[Transaction], Sequence[CustomerRow]]:
    return lambda tx: tx.customers.page(plan=None, limit=_CUSTOMERS, after=after)


@define(eq=False)
class _Simulated:
    """One customer under other plans."""

    core: Core
    offer: Offer
    row: CustomerRow
    since: Instant
    until: Instant
    mapped: Mapping[tuple[str, str], str]
    sums: _Sums
    _replay: Replay = field(init=False, factory=Replay)
    _subscription: SubscriptionRow | None = field(init=False, default=None)
    _giver: SubscriptionRow | None = field(init=False, default=None)
    """The subscription, or the trial without Stripe where there never was one."""
    _sold: list[SubscriptionRow] = field(init=False, factory=list[SubscriptionRow])
    """All of both."""
    _billed: set[str] = field(init=False, factory=set[str])
    _uses: int = field(init=False, default=0)
    _denied_uses: int = field(init=False, default=0)
    _denied: Counter[str] = field(init=False, factory=Counter[str])
    _overage: Counter[str] = field(init=False, factory=Counter[str])

    def run(self, tx: Transaction) -> CustomerPricing:
        """Draw every use of the range once more."""
        rows = tx.subscriptions.of_customer(self.row.id)
        self._subscription = first_live(rows) or (rows[-1] if rows else None)
        tried = [trial.as_row(self.until) for trial in tx.trials.local(self.row.id)]
        self._giver = self._subscription or (tried[-1] if tried else None)
        self._sold = [*rows, *tried]
        plans = tx.history.plan_states(self.row.id)
        seq, used = self._begin(tx)
        key: str | None = _NOT_YET
        for use in self._recorded(tx, seq):
            current = self._key(plans, use.seq, use.received_at)
            if current != key:
                key, used = current, self._change(current, used, use.received_at)
            self._count(use)
        plan = self._plan(self._key(plans, self.row.ledger_seq, self.core.now()))
        before, after = self._prices(tx, plan)
        return CustomerPricing(
            reference=self.row.reference,
            plan=None if plan is None else plan.name,
            uses=self._uses,
            denied_uses=self._denied_uses,
            denied=dict(self._denied),
            overage=dict(self._overage),
            yearly_before=before,
            yearly_after=after,
        )

    # ── what there is ────────────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, tx: Transaction) -> tuple[int, Mapping[str, int]]:
        """Begin with what no plan gave; says after which write the range begins, and which things exist by then."""
        before = self.since - 1
        then = AsOf(self.core, tx, before)
        features = list(dict.fromkeys([*self.core.offer.features, *self.offer.features]))
        _, held = then.of_reference(self.row.reference, features, before)
        used: Counter[str] = Counter()
        left: dict[str, int | None] = {}
        for grant, bucket in held:
            if bucket is not None and grant.source_type in ("manual", "top_up"):
                left[grant.id] = None if bucket.amount is None else bucket.amount - bucket.used
            elif bucket is not None and grant.kind == "grant":
                used[grant.feature] += bucket.used
        kept = [
            grant for grant in tx.history.grants(self.row.id, features) if grant.source_type in ("manual", "top_up")
        ]
        self._replay.give((evolve(each, amount=left.get(each.id, each.amount)) for each in kept), self.since, {})
        return then.seq, used

    def _recorded(self, tx: Transaction, seq: int) -> Iterator[UsageRow]:
        while rows := tx.history.next_uses(self.row.id, seq, _USES):
            # What a refund took back is not counted of the use that it refunds.
            yield from (each for each in rows if self.since <= each.received_at < self.until and not each.refund_of)
            seq = rows[-1].seq
            if len(rows) < _USES or rows[-1].received_at >= self.until:
                break

    def _key(self, plans: Sequence[PlanState], seq: int, at: Instant) -> str | None:
        """The key of the plan that was live after a write, None for the default plan."""
        state = state_at(plans, seq)
        plan, until = (state.plan, state.plan_until) if state is not None else (None, 0)
        if not plans:
            plan, until = self.row.plan, self.row.plan_until
        return plan if at < until else None

    def _plan(self, key: str | None) -> Plan | None:
        plan = self.offer.default_plan if key is None else self.offer.plans.get(key)
        if plan is None and key is not None:
            self.sums.cannot_tell(
                f"what customers of the plan {key} would have had: these plans have none of that name"
            )
        return plan

    def _change(self, key: str | None, used: Mapping[str, int], at: Instant) -> Mapping[str, int]:
        """Put the other set's plan in the place of what the one before gave. Things that exist go on existing."""
        exist = {**used, **self._replay.end("plan"), **self._replay.end("default")}
        plan, row = self._plan(key), self._giver
        if plan is None:
            return exist
        seats = plan.min_seats if row is None or key is None else row.seats or 1
        for item in items_of(plan):
            anchor = self.row.created_at if row is None else row.billing_cycle_anchor or row.created_at
            grants = grants_of(
                item,
                customer_id=self.row.id,
                source_type="default" if key is None else "plan",
                source_id=plan.key,
                category=0 if key is None else 1,
                seats=seats,
                given_at=min(at, self.since),
                billing_anchor=anchor,
                expires_at=FOREVER,
            )
            self._billed |= {each.id for each in grants if each.kind == "overage" and item.overage == "billed"}
            self._replay.give(grants, at, exist if item.kind in _KEPT else {}, trial=self._trial(key, item, seats))
        return exist

    def _trial(self, key: str | None, item: PlanItem, seats: int) -> Trial | None:
        """What an item of a plan includes while that is tried, None where it is the same."""
        if key is None or item.trial is None:
            return None
        # Whoever has another plan by now may have changed it within the trial.
        has_left = all(row.plan != key for row in self._sold)
        spans = [
            (row.trial_start, min(row.trial_end, row.ended_at or FOREVER))
            for row in self._sold
            if row.trial_start is not None and row.trial_end is not None and (has_left or row.plan == key)
        ]
        return Trial(item.trial * seats if item.per_seat else item.trial, spans)

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _count(self, use: UsageRow) -> None:
        self._uses += 1
        if use.quantity < 0:
            self._replay.give_back(use.feature, -use.quantity, use.received_at, entity=use.entity)
            return
        feature = self.offer.features.get(use.feature) or FeatureSpec(use.feature, "metered")
        mode: Mode = "require" if use.mode == "require" else "cap" if use.mode == "cap" else "record"
        quantity = use.quantity - use.refunded
        got = self._replay.use(feature, quantity, use.received_at, mode, entity=use.entity, properties=use.properties)
        if got.unfunded:
            self._denied_uses += 1
            self._denied[use.feature] += got.unfunded
        for draw in got.draws:
            if draw.bucket_id in self._billed:
                self._overage[draw.feature] += draw.amount

    # ── what it costs ────────────────────────────────────────────────────────────────────────────────────────────────

    def _prices(self, tx: Transaction, plan: Plan | None) -> tuple[Money | None, Money | None]:
        """What the plan costs a year: by the price that is paid, and by the price of the other set."""
        row = self._subscription
        if row is None or row.plan is None or not self.row.has_plan(self.core.now()):
            return None, None
        known = self.core.offer.plans.get(row.plan)
        interval: BillingInterval = row.interval or "month"
        paid = None if row.price_id is None else tx.catalog.price(row.price_id)
        before = self._yearly(tx, known, paid, interval)
        other = None if plan is None else price_of(tx, plan, interval, self.mapped)
        return before, self._yearly(tx, plan, other, interval)

    def _yearly(
        self, tx: Transaction, plan: Plan | None, price: PriceRow | None, interval: BillingInterval
    ) -> Money | None:
        if plan is None or plan.is_free:
            return None
        row = self._subscription
        seats = 1 if row is None else row.seats or 1
        seat = None if plan.seat_price_id is None else tx.catalog.price(plan.seat_price_id)
        if price is None or price.unit_amount is None or (plan.seat_price_id is not None and seat is None):
            named = plan.price_for(interval) or plan.lookup_key_for(interval) or plan.name
            self.sums.cannot_tell(
                f"what the plan {plan.name} costs: the price {named} was never imported, or has tiers"
            )
            return None
        amount = price.unit_amount
        if plan.seats:
            amount = amount * seats if seat is None or seat.id == price.id else amount + (seat.unit_amount or 0) * seats
        return Money(amount * (1 if interval == "year" else 12), price.currency)
