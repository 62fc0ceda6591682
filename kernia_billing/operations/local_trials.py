"""Trials without Stripe, as far as they are part of what a customer has: what runs, and how it ends."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from attrs import evolve

from ..domain.customers import CustomerRow
from ..domain.instants import FOREVER, Instant
from ..domain.subscriptions import SubscriptionRow
from ..domain.trials import LocalTrial
from ..ports.store import Transaction
from .audit import record_subscription
from .core import Core
from .outbox import event
from .subscriptions import answer


def running_trials(
    core: Core, tx: Transaction, customer: CustomerRow, taken: Collection[str], now: Instant
) -> list[tuple[SubscriptionRow, Instant]]:
    """The trials that give something at `now`, each with its end. One whose group is `taken` ends by that."""
    found: list[tuple[SubscriptionRow, Instant]] = []
    for trial in tx.trials.local(customer.id):
        if trial.runs(now):
            if trial.group in taken:
                end_trial(core, tx, customer, trial, now, now)
            else:
                found.append((trial.as_row(now), trial.ends_at))
    return found


def end_trial(
    core: Core, tx: Transaction, customer: CustomerRow, trial: LocalTrial, ended_at: Instant, now: Instant
) -> None:
    """Write down that a trial is over, and tell of it: bought where it did not run to its end, else expired."""
    after = evolve(trial, ended_at=ended_at, due_at=FOREVER)
    tx.trials.put_local(after)
    bought = ended_at < trial.ends_at
    # It has ended already for whoever looks, so how it was is read before that.
    before = trial.as_row(trial.started_at)
    tell_of_trial(
        core,
        tx,
        customer,
        "trial.ended" if bought else "trial.expired",
        before,
        after.as_row(now),
        now,
        {"converted": True} if bought else None,
    )


def tell_of_trial(
    core: Core,
    tx: Transaction,
    customer: CustomerRow,
    kind: str,
    before: SubscriptionRow | None,
    after: SubscriptionRow,
    now: Instant,
    data: Mapping[str, Any] | None = None,
) -> None:
    """Note in the history, and tell hooks, what became of a trial."""
    record_subscription(tx, core, before, after)
    previous = None if before is None else answer(core, customer, before, now, tx)
    current = answer(core, customer, after, now, tx)
    tx.outbox.add([event(core, customer, kind, now, data=data, subscription=current, previous=previous)])
