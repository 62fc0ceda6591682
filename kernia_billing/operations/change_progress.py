"""A change of plan at once that is under way: written down before Stripe is asked, so that the same call can finish it.

What Stripe made without our hearing of it looks like what was there before: only this tells the one from the other.
There is one a subscription, since a subscription is changed by one caller at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from attrs import frozen

from ..domain.outbound import IntentRow
from ..domain.subscriptions import SubscriptionRow
from ..ports.store import Transaction
from .audit import record
from .core import Core
from .intents import intent_key
from .plans import Sold
from .switches import Switch, facts, facts_before

Facts = Mapping[str, Any]


@frozen
class Progress:
    """A change that was begun: plan, interval and seats `before` and `after`, and what caused it."""

    before: Facts
    after: Facts
    cause: str

    def leads_to(self, sold: Sold | None) -> bool:
        """Whether a subscription sells what it is to sell after the change."""
        told = None if sold is None else {"plan": sold.plan.key, "interval": sold.interval, "seats": sold.seats}
        return told == self.after


async def begin(core: Core, switch: Switch, cause: str) -> Progress:
    """Note that Stripe is about to be asked for a change, in the place of one that came to nothing."""
    made = Progress(facts_before(switch), facts(switch), cause)
    row, key = switch.row, _key(switch.row)
    params = {"before": made.before, "after": made.after, "cause": cause}
    path = f"/v1/subscriptions/{row.stripe_subscription_id}"
    # It is no request to be looked for at Stripe or sent again: nothing of it is left to be done by itself.
    note = IntentRow(key, "change", row.customer_id, path, params, "done", row.stripe_subscription_id, core.now())

    def unit(tx: Transaction) -> None:
        tx.intents.remove(key)
        tx.intents.add(note)

    await core.store.transaction(unit)
    return made


async def under_way(core: Core, row: SubscriptionRow) -> Progress | None:
    """The change of a subscription that was begun and not ended, if there is one."""
    note = await core.store.read(lambda tx: tx.intents.get(_key(row)))
    if note is None:
        return None
    told = note.params
    return Progress(cast("Facts", told["before"]), cast("Facts", told["after"]), str(told["cause"]))


async def end(core: Core, row: SubscriptionRow, progress: Progress, action: str, **told: str | None) -> None:
    """Note in the log what became of a change, and that nothing of it is left to do."""

    def unit(tx: Transaction) -> None:
        after = {**progress.after, "cause": progress.cause, **told}
        record(tx, core, action, row.customer_id, row.id, progress.before, after)
        forget(tx, row)

    await core.store.transaction(unit)


def forget(tx: Transaction, row: SubscriptionRow) -> None:
    """Nothing is left to be done of a change that was begun: it came to nothing, or something else was asked for."""
    tx.intents.remove(_key(row))


def _key(row: SubscriptionRow) -> str:
    return intent_key("change-under-way", row.stripe_subscription_id)
