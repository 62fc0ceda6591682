"""Plan grants: what a customer's subscriptions give, brought into the books."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from ..domain.customers import CustomerRow
from ..domain.grants import Grant, Holding, holding
from ..domain.history import PlanState
from ..domain.instants import FOREVER, Instant
from ..domain.plan_change import policy_for
from ..domain.plan_items import PlanItem, PlanVersion
from ..domain.plans import SEATS
from ..domain.seats import follows_members
from ..domain.subscriptions import SubscriptionRow, entitled_until
from ..domain.terms import moves_on
from ..ports.store import Held, Transaction
from .core import Core
from .due import catch_up, open_until_the_end
from .holdings import given_holdings, grants_of, same_thing
from .ledger import Books
from .local_trials import Running, running_trials
from .opening import is_rolled, may_be_due
from .replacing import room
from .succession import Successor, resized, take_over


@frozen
class _Wanted:
    """A grant that a subscription gives now, with the allowance that it comes from."""

    grant: Grant
    item: PlanItem
    trial: Grant | None
    """What it includes instead while the subscription is trialing."""
    continued: str = ""
    """The id of the trial without Stripe that the subscription is, "" where it is none."""

    def is_tried(self, now: Instant) -> bool:
        """Whether the trial still runs."""
        return self.trial is not None and self.trial.expires_at > now


def apply_plans(core: Core, tx: Transaction, books: Books, subscriptions: Sequence[SubscriptionRow]) -> Running:
    """Make the customer's plan grants those that its subscriptions give now.

    The result depends on the subscriptions and the configuration, not on the order in which news of them came: a grant
    is named by subscription, item, plan version and billing anchor, so that giving it again, also after a visit to
    another plan, finds the old one. What was used moves along to the grant that takes another's place. A trial without
    Stripe gives its plan until its end, or until a subscription of its group gives one. Says what became of those.
    """
    now = books.customer.time(core.now())
    wanted: list[_Wanted] = []
    plan: str | None = None
    until: Instant = 0
    sold = [(row, 0 if row.duplicate else entitled_until(row, core.grace, core.while_paused)) for row in subscriptions]
    takers = {row.group: row for row, ends in sold if ends > now and row.plan is not None}
    running = running_trials(core, tx, books.customer, takers, now)
    for row, ends in [*running.trials, *sold]:
        version = tx.plans.by_id(row.plan_version_id) if row.plan_version_id is not None and ends > now else None
        if version is not None:
            trial = running.bought.get(row.id)
            given = _given(row, version, ends, _seat_room(core, books.customer, row))
            wanted.extend(given if trial is None else [evolve(each, continued=trial.id) for each in given])
            if ends > until:
                plan, until = row.plan, ends
    _reconcile(core, tx, books, wanted, now)
    if (plan, until) != (books.customer.plan, books.customer.plan_until):
        tx.customers.set_plan(books.customer.id, plan, until)
        tx.history.put_plan(PlanState(books.customer.id, books.customer.ledger_seq, now, plan, until))
    if plan is None and books.customer.plan is not None:
        _begin_default(core, tx, books, now)
    return running


def _begin_default(core: Core, tx: Transaction, books: Books, now: Instant) -> None:
    """Open what the default plan gives from now on where an earlier period could have left something.

    None has: the default plan's periods wait while another plan counts.
    """
    without = evolve(books.customer, plan=None, plan_until=0)
    features = list(core.offer.features)
    held = tx.entitlements.of_customer(without.id, features, now)
    for each in given_holdings(core.offer, without, held, features, now):
        if each.grant.source_type == "default" and may_be_due(each):
            # What was used under the plan that ended is moved when something is used next.
            books.open(evolve(each, bucket=evolve(each.bucket, amount=each.grant.amount, used=0, held=0)))


def _seat_room(core: Core, customer: CustomerRow, row: SubscriptionRow) -> PlanItem | None:
    """The allowance of seats where they follow the members, so that what is paid for is no limit; None elsewhere."""
    plan = None if row.plan is None else core.offer.plans.get(row.plan)
    if plan is None or not follows_members(plan, customer.reference):
        return None
    return PlanItem(SEATS, "seat", plan.max_seats)


def _given(
    row: SubscriptionRow, version: PlanVersion, expires_at: Instant, seat_room: PlanItem | None
) -> list[_Wanted]:
    anchor = row.billing_cycle_anchor or row.period_start or row.created_at
    return [
        _Wanted(grant, item, _trial_of(row, item, grant))
        for item in (seat_room if seat_room is not None and each.feature == SEATS else each for each in version.items)
        for grant in grants_of(
            item,
            customer_id=row.customer_id,
            source_type="plan",
            source_id=f"{row.stripe_subscription_id or row.id}:{row.item_id}:{version.id}:{anchor}",
            category=1,
            seats=row.seats or 1,
            given_at=row.trial_start or min(row.period_start or row.created_at, row.created_at),
            billing_anchor=anchor,
            expires_at=expires_at,
        )
    ]


def _trial_of(row: SubscriptionRow, item: PlanItem, grant: Grant) -> Grant | None:
    """What a grant of a plan includes instead until the trial ends, None where that is nothing else.

    Stripe ends a trial by time alone, so the plan's own amount counts from that instant on, however late the news of it
    is. A subscription that ends with its trial is never paid for: its trial lasts until Stripe says that it is over.
    """
    if row.status != "trialing" or item.trial is None or grant.kind != "grant":
        return None
    ends = FOREVER if row.trial_end is None or _ends_with_trial(row, row.trial_end) else row.trial_end
    return evolve(
        grant,
        id="",
        source_type="trial",
        amount=item.trial * (row.seats or 1) if item.per_seat else item.trial,
        expires_at=min(grant.expires_at, ends),
        interval=None,
        anchor_at=grant.effective_at,
        meter=None,
        terms=None,
    )


def _ends_with_trial(row: SubscriptionRow, trial_end: Instant) -> bool:
    return row.cancel_at_period_end or (row.cancel_at is not None and row.cancel_at <= trial_end)


def _reconcile(core: Core, tx: Transaction, books: Books, wanted: Sequence[_Wanted], now: Instant) -> None:
    known = tx.entitlements.grants(books.customer.id, "plan")
    features = [*core.offer.features, *(each.feature for each in known), *(each.grant.feature for each in wanted)]
    for grant in known:
        if _ended_unnoticed(grant, now) and any(same_thing(grant, each.grant) for each in wanted):
            open_until_the_end(core.offer, tx, books, grant)
    held = catch_up(core.offer, tx, books, list(dict.fromkeys(features)), now)
    before = held
    if _try(tx, books, held, wanted, now):
        held = list(tx.entitlements.of_customer(books.customer.id, None, now))
    current = _given_now(tx, books, known, wanted, held, now)
    # The default plan's grants wait while another plan counts.
    replaced = ("plan",) if books.customer.has_plan(now) else ("plan", "default")
    for grant, bucket in held:
        if grant.source_type in replaced and grant.id not in current:
            old = holding(grant, bucket, now)
            _replace(books, evolve(old, instead=room(grant, before, now)), current, held, now)
    for each in current.values():
        _begin(books, each.holding, known)
    for grant, _ in held:
        if grant.source_type == "carry" and grant.expires_at <= now:
            # Nobody has to read it any more.
            books.put(evolve(grant, closed_at=grant.expires_at))


def _try(tx: Transaction, books: Books, held: Sequence[Held], wanted: Sequence[_Wanted], now: Instant) -> bool:
    """Make the trials those that the subscriptions are in; says whether there are or were any."""
    trials = [each.trial for each in wanted if each.trial is not None and each.is_tried(now)]
    running = [grant for grant, _ in held if grant.source_type == "trial"]
    if not trials and not running:
        return False
    known = tx.entitlements.grants(books.customer.id, "trial")
    for trial in trials:
        old = next((each for each in known if same_thing(each, trial)), None)
        if old is None:
            books.give(trial)
        else:
            _put(books, old, evolve(old, amount=trial.amount, expires_at=trial.expires_at, closed_at=FOREVER))
    for old in running:
        if not any(same_thing(old, each) for each in trials):
            books.put(evolve(old, closed_at=min(old.expires_at, now)))
    return True


def _ended_unnoticed(grant: Grant, now: Instant) -> bool:
    """Whether a grant has ended by time alone, with periods that nobody may have opened."""
    return grant.expires_at <= now < grant.closed_at and grant.kind == "grant" and moves_on(grant.terms)


def _given_now(
    tx: Transaction,
    books: Books,
    known: Sequence[Grant],
    wanted: Sequence[_Wanted],
    held: Sequence[Held],
    now: Instant,
) -> dict[str, Successor]:
    """Store what is given, or bring what is stored up to date; gives it by grant."""
    given: dict[str, tuple[Grant, _Wanted, Grant | None]] = {}
    for each in wanted:
        old = next((grant for grant in known if same_thing(grant, each.grant)), None)
        grant = books.give(each.grant) if old is None else _renewed(tx, books, old, each.grant, now)
        given[grant.id] = grant, each, old
    if any(old is not None and old.closed_at <= now for _, _, old in given.values()):
        held = tx.entitlements.of_customer(books.customer.id, None, now)
    buckets = {grant.id: bucket for grant, bucket in held}
    found: dict[str, Successor] = {}
    for grant, each, old in given.values():
        current = evolve(holding(grant, buckets.get(grant.id), now), instead=room(grant, held, now))
        if old is not None:
            current = resized(books, current, old, each.item, now)
        found[grant.id] = Successor(
            current, each.item, is_new=old is None, is_tried=each.is_tried(now), continued=each.continued
        )
    return found


def _renewed(tx: Transaction, books: Books, old: Grant, wanted: Grant, now: Instant) -> Grant:
    renewed = evolve(wanted, id=old.id, created_seq=old.created_seq, effective_at=old.effective_at)
    if renewed != old:
        books.put(renewed)
    if old.closed_at <= now:
        tx.entitlements.reopen(old.id, now)
    return renewed


def _begin(books: Books, current: Holding, known: Sequence[Grant]) -> None:
    """Let a grant count from now on, where it did not at the beginning of its running period."""
    before = next((grant for grant in known if grant.id == current.grant.id), None)
    if current.bucket.heir_id:
        current = books.change(current, "amend", heir_id="")
    ended = 0 if before is None else min(before.expires_at, before.closed_at)
    if ended <= current.bucket.period_start and current.grant.kind == "grant" and moves_on(current.grant.terms):
        # No period before this one counted to its end: none has left anything.
        books.open(current)


def _replace(books: Books, old: Holding, current: dict[str, Successor], held: Sequence[Held], now: Instant) -> None:
    """End a grant that is given no more; what takes its place takes over what its policy says."""
    new = _successor(old.grant, current)
    if new is not None:
        old, current[new.holding.grant.id] = take_over(books, old, new, now)
    if old.grant.source_type != "plan":
        return
    if new is None:
        # It lapses, and may come back.
        _put(books, old.grant, evolve(old.grant, expires_at=min(old.grant.expires_at, now)))
        return
    if old.opened:
        books.change(old, "amend", closed_at=now)
    _put(books, old.grant, evolve(old.grant, closed_at=now))
    moves = new.follows(old.grant)
    moves = moves and policy_for(new.item.kind, new.item.on_plan_change) != "reset"
    for grant, _ in held:
        if is_rolled(grant) and grant.parent == old.grant.id:
            heir = f"{new.holding.grant.id}:{_origin(grant)}"
            _put(books, grant, evolve(grant, source_id=heir) if moves else evolve(grant, closed_at=now))


def _successor(old: Grant, current: dict[str, Successor]) -> Successor | None:
    found = [each for each in current.values() if _is_same_kind(old, each.holding.grant)]
    own = [each for each in found if each.follows(old)]
    best = own or found
    return best[-1] if best else None


def _is_same_kind(old: Grant, new: Grant) -> bool:
    return (old.feature, old.kind) == (new.feature, new.kind)


def _origin(unit: Grant) -> str:
    """The grant and the period that rollover units come from, whoever has them now."""
    parent, _, rest = unit.source_id.partition(":")
    return rest if ":" in rest else f"{parent}:{rest}"


def _put(books: Books, old: Grant, new: Grant) -> None:
    if new != old:
        books.put(new)
