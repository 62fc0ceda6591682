"""The notice that a trial is about to end: three days before, or at once where a trial is shorter than that."""

from __future__ import annotations

from ..domain.customers import CustomerRow
from ..domain.instants import DAY, Instant
from ..domain.subscriptions import SubscriptionRow
from ..domain.trials import LocalTrial
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .audit import record
from .core import Core
from .outbox import event
from .subscriptions import answer

WILL_END = "trial.will_end"
BEFORE = 3 * DAY
"""When Stripe sends `customer.subscription.trial_will_end`."""


def tell_end_of_trial(
    core: Core,
    tx: Transaction,
    customer: CustomerRow,
    row: SubscriptionRow,
    stripe_object: StripeObject,
    now: Instant,
    *,
    continued: LocalTrial | None = None,
) -> None:
    """Tell of the end of a trial that is near, once for each end, and note in the history that it was told.

    It follows from the state, so that it is told of also where Stripe's own event was lost and something else arrived.
    What was told of a trial without Stripe is not told again of the subscription that it has just `continued` as.
    """
    ends = row.trial_end
    if row.status != "trialing" or row.duplicate or ends is None or not 0 < ends - now <= BEFORE:
        return
    first = tx.notices.add(WILL_END, row.stripe_subscription_id or row.id, str(ends), now=now, until=ends + DAY)
    if first and not (continued is not None and tx.notices.told(WILL_END, continued.id)):
        days_left = -(-(ends - now) // DAY)
        record(tx, core, WILL_END, customer.id, row.id, None, {"trial_end": ends, "days_left": days_left})
        tx.outbox.add(
            [
                event(
                    core,
                    customer,
                    WILL_END,
                    now,
                    data={"days_left": days_left},
                    subscription=answer(core, customer, row, now, tx),
                    stripe_object=stripe_object,
                )
            ]
        )
