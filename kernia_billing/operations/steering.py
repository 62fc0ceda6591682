"""Changing a subscription at Stripe: which one is meant, what it is now, one call, and what it is after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from ..domain.answers import Subscription
from ..domain.customers import CustomerRow
from ..domain.references import Ref
from ..domain.subscriptions import SubscriptionRow, first_live
from ..ports.store import Transaction
from .core import Core
from .intents import intent_key
from .outbox import dispatch
from .projections import sync_subscription
from .subscriptions import answer, entitling
from .switches import not_found


@frozen
class Steered:
    """A subscription that was just looked at: `is_known` says whether Stripe has it, `ticket` which look it was."""

    customer: CustomerRow
    row: SubscriptionRow
    is_known: bool
    ticket: int

    def key(self, what: str, params: Mapping[str, Any]) -> str:
        """The idempotency key of a change: of what is asked for, and of the state in which it was.

        The same change may be wanted again after it was taken back, so that its name alone would be too little.
        """
        asked = json.dumps(params, sort_keys=True)
        return intent_key(what, self.row.stripe_subscription_id, str(self.ticket), asked)

    async def now_is(self, core: Core) -> Subscription:
        """The subscription as it is stored now, once hooks have heard of what happened to it."""
        await dispatch(core)

        def read(tx: Transaction) -> Subscription:
            row = tx.subscriptions.by_stripe_id(self.row.stripe_subscription_id)
            return answer(core, self.customer, row or self.row, core.now(), tx)

        return await core.store.read(read)


Choice = Callable[[Sequence[SubscriptionRow]], SubscriptionRow | None]
"""Which of a reference's subscriptions is meant where nobody names one."""


async def look(core: Core, reference: Ref, subscription_id: str | None, choose: Choice = entitling) -> Steered:
    """Find the subscription that is meant, by our id or Stripe's, and bring in what it is now.

    Without an id it is the one that `choose` takes, by default the live one, else the one that ended last.

    Raises:
        NotFound: the reference never had it (SUBSCRIPTION_NOT_FOUND).
        Unavailable: Stripe or the database does not answer.
    """
    who = core.reference(reference)

    def find(tx: Transaction) -> tuple[CustomerRow, SubscriptionRow]:
        customer = tx.customers.get(who)
        rows = () if customer is None else tx.subscriptions.of_customer(customer.id)
        if subscription_id is None:
            row = choose(rows)
        else:
            row = next((row for row in rows if subscription_id in (row.id, row.stripe_subscription_id)), None)
        if customer is None or row is None:
            raise not_found()
        return customer, row

    customer, row = await core.store.read(find)
    stripe_id = row.stripe_subscription_id
    outcome = await sync_subscription(core, stripe_id)

    def again(tx: Transaction) -> tuple[SubscriptionRow, int]:
        return tx.subscriptions.by_stripe_id(stripe_id) or row, tx.objects.applied("subscription", stripe_id)

    fresh, ticket = await core.store.read(again)
    return Steered(customer, fresh, outcome != "gone", ticket)


async def change(core: Core, found: Steered, what: str, params: Mapping[str, Any], verb: str = "") -> None:
    """Change a subscription at Stripe, and bring in what became of it. `verb` is a further part of the path."""
    path = f"/v1/subscriptions/{found.row.stripe_subscription_id}{verb}"
    await core.provider().request("POST", path, params, idempotency_key=found.key(what, params))
    await sync_subscription(core, found.row.stripe_subscription_id)


def live(rows: Sequence[SubscriptionRow]) -> SubscriptionRow | None:
    """The subscription that counts, as long as it has not ended."""
    return first_live(rows)
