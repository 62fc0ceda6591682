"""Trials without Stripe, as far as they are part of what a customer has: what runs, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import field, frozen

from ..domain.customers import CustomerRow
from ..domain.instants import Instant
from ..domain.plans import Plan
from ..domain.subscriptions import SubscriptionRow
from ..domain.trials import LocalTrial
from ..ports.store import Transaction
from .audit import record_subscription
from .core import Core
from .outbox import event
from .subscriptions import answer


@frozen
class Running:
    """The trials that give something, each with its end, and those that go on as a subscription, by its id."""

    trials: Sequence[tuple[SubscriptionRow, Instant]]
    bought: Mapping[str, LocalTrial] = field(factory=dict[str, LocalTrial])


def running_trials(
    core: Core, tx: Transaction, customer: CustomerRow, sold: Mapping[str, SubscriptionRow], now: Instant
) -> Running:
    """The trials that run at `now`. One of whose group a subscription is `sold` is over by that, or goes on as it."""
    running: list[tuple[SubscriptionRow, Instant]] = []
    bought: dict[str, LocalTrial] = {}
    for trial in tx.trials.local(customer.id):
        if not trial.runs(now):
            continue
        taker = sold.get(trial.group)
        if taker is None:
            running.append((trial.as_row(now), trial.ends_at))
        elif trial.goes_on_as(taker):
            bought[taker.id] = trial
            # It is not over for whoever has it: what became of it is told of the subscription.
            put_trial(core, tx, customer, trial, trial.kept().ended(now), now, None)
        else:
            put_trial(core, tx, customer, trial, trial.kept().ended(now), now, "trial.ended", {"converted": True})
    return Running(running, bought)


def put_trial(
    core: Core,
    tx: Transaction,
    customer: CustomerRow,
    before: LocalTrial | None,
    after: LocalTrial,
    now: Instant,
    kind: str | None,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Store what became of a trial, with a line in the history; hooks hear of it as an event of this `kind`."""
    tx.trials.put_local(after)
    # It may have ended already for whoever looks, so how it was is read before that.
    was, row = None if before is None else before.as_row(before.started_at), after.as_row(now)
    record_subscription(tx, core, was, row)
    if kind is not None:
        previous = None if was is None else answer(core, customer, was, now, tx)
        current = answer(core, customer, row, now, tx)
        tx.outbox.add([event(core, customer, kind, now, data=data, subscription=current, previous=previous)])


async def rest_of_trial(core: Core, customer: CustomerRow, plan: Plan) -> Instant | None:
    """Until when the trial of a plan goes on where the plan is bought now; None where what is bought begins at once."""
    if core.selling.trials.when_bought == "end":
        return None

    def read(tx: Transaction) -> Instant | None:
        now = core.now()
        found = (each for each in tx.trials.local(customer.id) if each.plan == plan.key and each.can_go_on(now))
        trial = next(found, None)
        return None if trial is None else trial.promised_until

    return await core.store.read(read)
