"""Trials without Stripe: begun by the host, ended by time, by a purchase, or by whoever wants no more of it.

They are rows of their own, no subscriptions under an id of ours. Every row of billing_subscription is a copy of
something that Stripe has: it is stored under a ticket, compared with Stripe's lists, looked for at Stripe when it is
overdue or a page is opened, and ended when Stripe does not know it. Each of these would need an exception for rows that
Stripe never had. What reads a customer's subscriptions to show them, or to give what they give, sees a trial as a row
like any other, derived from its own at that instant (`LocalTrial.as_row`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve

from ..domain.answers import Subscription
from ..domain.customers import CustomerRow
from ..domain.instants import DAY, FOREVER, Instant
from ..domain.plans import Plan
from ..domain.references import Identity, Ref
from ..domain.subscriptions import CancelFeedback, CancelWhen, is_live
from ..domain.trials import LocalTrial
from ..errors import AlreadySubscribed, Conflict, InvalidInput
from ..ports.store import DuplicateKey, Rollback, Transaction
from .core import Core
from .customers import lock_or_add
from .grants import apply_plans
from .ledger import Books
from .local_trials import put_trial
from .orders import LONGEST_TRIAL, seats_of
from .outbox import dispatch
from .plans import publish
from .seats import members_to_pay_for
from .steering import Choice
from .subscriptions import all_of, answer, entitling
from .switches import not_active, not_found, not_pending
from .trial_news import BEFORE, tell_end_of_trial
from .trials import claim_at_once, note_trial

_BATCH = 100


async def start_trial(
    core: Core, reference: Ref, plan: str, *, days: int | None = None, identity: Identity | None = None
) -> Subscription:
    """Give the features of a plan for so many days (default: the plan's own), without Stripe and without a card.

    The same plan again, while its trial runs, gives that trial: nothing is begun or prolonged.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND).
        AlreadySubscribed: a subscription to the plan is live.
        Conflict: somebody of the scopes of `trial_once_per` had a trial, or has a page open that gives one
            (TRIAL_ALREADY_USED), or another plan of the group is live or tried (SUBSCRIPTION_EXISTS).
        InvalidInput: `days` is out of range, or the plan has none of its own.
        Unavailable: the database does not answer; the same call goes on.
    """
    who = core.reference(reference)
    wanted = core.offer.plan(plan)
    length = _length(wanted, days)
    members = await members_to_pay_for(core, who, wanted)
    seats = seats_of(wanted, None) if members is None else members

    def unit(tx: Transaction) -> Subscription:
        customer = lock_or_add(core, tx, who, core.now())
        now = customer.written_at
        running = _running(tx, customer, wanted, now)
        if running is not None:
            return answer(core, customer, running.as_row(now), now, tx)
        _refuse_second(tx, customer, wanted)
        ends = now + length
        trial = LocalTrial(
            id=core.ids.new("sub"),
            customer_id=customer.id,
            group=wanted.group,
            plan=wanted.key,
            plan_version_id=publish(core, tx, wanted).id,
            seats=max(seats, 1),
            started_at=now,
            ends_at=ends,
            ended_at=None,
            due_at=ends - BEFORE if length > BEFORE else ends,
        )
        if not claim_at_once(core, tx, customer, trial.id, wanted, identity, now):
            raise Conflict("The trial was had already", code="TRIAL_ALREADY_USED")
        row = trial.as_row(now)
        note_trial(core, tx, customer, row)
        put_trial(core, tx, customer, None, trial, now, "trial.started")
        tell_end_of_trial(core, tx, customer, row, {}, now)
        _apply(core, tx, customer, now)
        return answer(core, customer, row, now, tx)

    try:
        begun = await core.store.transaction(unit)
    except DuplicateKey:
        # Another process stored this version of the plan at the same instant.
        begun = await core.store.transaction(unit)
    await dispatch(core)
    return begun


def _length(plan: Plan, days: int | None) -> int:
    told = plan.trial_days if days is None else days
    if type(told) is not int or not 1 <= told <= LONGEST_TRIAL:
        raise InvalidInput(f"must be an integer between 1 and {LONGEST_TRIAL}, or the plan's own", field="days")
    return told * DAY


def _running(tx: Transaction, customer: CustomerRow, plan: Plan, now: Instant) -> LocalTrial | None:
    found = (each for each in tx.trials.local(customer.id) if each.group == plan.group and each.runs(now))
    running = next(found, None)
    if running is not None and running.plan != plan.key:
        raise Conflict("Another plan of the group is being tried", code="SUBSCRIPTION_EXISTS")
    return running


def _refuse_second(tx: Transaction, customer: CustomerRow, plan: Plan) -> None:
    rows = tx.subscriptions.of_customer(customer.id)
    live = [row for row in rows if row.group == plan.group and row.plan is not None and is_live(row.status)]
    if any(row.plan == plan.key for row in live):
        raise AlreadySubscribed
    if live:
        raise Conflict("The reference has a subscription already: change it", code="SUBSCRIPTION_EXISTS")


def _apply(core: Core, tx: Transaction, customer: CustomerRow, now: Instant) -> None:
    books = Books(tx, core.ids, customer, now)
    apply_plans(core, tx, books, tx.subscriptions.of_customer(customer.id))
    books.close()


async def find_trial(
    core: Core, reference: Ref, subscription_id: str | None, choose: Choice = entitling
) -> LocalTrial | None:
    """The trial without Stripe that is meant: of this id, else where `choose` takes one of all that the reference has.

    None where something else is meant, or nothing.
    """
    who = core.reference(reference)

    def read(tx: Transaction) -> LocalTrial | None:
        customer = tx.customers.get(who)
        tried = () if customer is None else tx.trials.local(customer.id)
        if customer is None or not tried:
            return None
        chosen = choose(all_of(tx, customer.id, core.now())) if subscription_id is None else None
        wanted = subscription_id if chosen is None else chosen.id
        return next((each for each in tried if each.id == wanted), None)

    return await core.store.read(read)


async def cancel_trial(
    core: Core, trial: LocalTrial, when: CancelWhen, feedback: CancelFeedback | None = None
) -> Subscription:
    """End a trial now, or let it run to its end as one that was cancelled; what is over stays as it is."""
    return await _change(
        core,
        trial,
        lambda known, now: known.canceled(when, feedback, now),
        "trial.canceled" if when == "now" else "trial.cancel_scheduled",
    )


async def keep_trial(core: Core, trial: LocalTrial) -> Subscription:
    """Take the cancellation of a trial back.

    Raises:
        Conflict: it is over (SUBSCRIPTION_NOT_ACTIVE), or was not cancelled (SUBSCRIPTION_NOT_PENDING_CHANGE).
    """

    def keep(known: LocalTrial, now: Instant) -> LocalTrial:
        if not known.runs(now):
            raise not_active("canceled")
        if known.canceled_at is None:
            raise not_pending()
        return known.kept()

    return await _change(core, trial, keep, "trial.restored")


async def _change(
    core: Core, trial: LocalTrial, change: Callable[[LocalTrial, Instant], LocalTrial], kind: str
) -> Subscription:
    """Change a trial, and hand over what there is to tell of it."""

    def unit(tx: Transaction) -> Subscription:
        customer = tx.customers.lock(trial.customer_id, core.now())
        if customer is None:
            raise not_found()
        now = customer.written_at
        known = next(each for each in tx.trials.local(customer.id) if each.id == trial.id)
        after = change(known, now)
        if after != known:
            put_trial(core, tx, customer, known, after, now, kind)
            _apply(core, tx, customer, now)
        return answer(core, customer, after.as_row(now), now, tx)

    changed = await core.store.transaction(unit)
    await dispatch(core)
    return changed


async def tell_due(core: Core) -> int:
    """Tell of trials that are about to end, or have ended; says of how many customers.

    Nobody waits for it: a trial gives nothing from its end on, whether or not this was done.
    """
    customers = await core.store.read(lambda tx: tx.trials.due(core.now(), _BATCH))
    number = 0
    for customer_id in customers:
        if core.stopping():
            break
        number += await core.store.transaction(partial(_tell, core, customer_id))
    return number


def _tell(core: Core, customer_id: str, tx: Transaction) -> int:
    customer = tx.customers.lock(customer_id, core.now())
    if customer is None:
        raise Rollback(0)
    now = customer.written_at
    due = [each for each in tx.trials.local(customer_id) if each.due_at <= now]
    if not due:
        raise Rollback(0)
    for trial in due:
        if trial.runs(now):
            tell_end_of_trial(core, tx, customer, trial.as_row(now), {}, now)
            tx.trials.put_local(evolve(trial, due_at=trial.ends_at))
        elif trial.ended_at is None:
            put_trial(core, tx, customer, trial, trial.ended(trial.ends_at), now, "trial.expired")
        else:
            tx.trials.put_local(evolve(trial, due_at=FOREVER))
    _apply(core, tx, customer, now)
    return 1
