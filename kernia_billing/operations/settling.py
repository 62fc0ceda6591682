"""What has to follow at Stripe once a trial was bought: its end, and a card that has had one."""

from __future__ import annotations

from ..domain.reading import members, text
from ..domain.subscriptions import SubscriptionRow
from ..domain.trials import TrialRow, card_key
from ..ports.store import Transaction
from .core import Core
from .intents import intent_key
from .outbox import event
from .projections import sync_subscription
from .trials import secret_of


async def settle_trial(core: Core, stripe_id: str) -> None:
    """Carry out the policy for a subscription whose checkout was just paid.

    It is repeated until the checkout is noted as complete, under the same keys: Stripe does each of it once.

    Raises:
        Unavailable: Stripe or the database does not answer.
    """
    policy = core.selling.trials
    row = await core.store.read(lambda tx: tx.subscriptions.by_stripe_id(stripe_id))
    if row is None or row.status != "trialing":
        return
    if policy.after == "cancel" and row.cancel_at is None and not row.cancel_at_period_end:
        await _write(core, row, "after trial", {"cancel_at_period_end": True})
    if "card" in policy.once_per and not await _has_own_card(core, row):
        await _repeated(core, row)


async def _repeated(core: Core, row: SubscriptionRow) -> None:
    match core.selling.trials.repeated_card:
        case "cancel":
            path = f"/v1/subscriptions/{row.stripe_subscription_id}"
            key = intent_key("repeated card", row.stripe_subscription_id)
            await core.provider().request("DELETE", path, {}, idempotency_key=key)
            await sync_subscription(core, row.stripe_subscription_id)
        case "end":
            await _write(core, row, "repeated card", {"trial_end": "now"})
        case "record":
            pass


async def _write(core: Core, row: SubscriptionRow, why: str, params: dict[str, object]) -> None:
    path = f"/v1/subscriptions/{row.stripe_subscription_id}"
    key = intent_key(why, row.stripe_subscription_id)
    await core.provider().request("POST", path, params, idempotency_key=key)
    await sync_subscription(core, row.stripe_subscription_id)


async def _has_own_card(core: Core, row: SubscriptionRow) -> bool:
    """Whether the card that a trial was begun with had none before; one without a fingerprint cannot be told apart."""
    path = f"/v1/subscriptions/{row.stripe_subscription_id}"
    theirs = await core.provider().request("GET", path, {"expand": ["default_payment_method"]})
    method = members(theirs.get("default_payment_method"))
    fingerprint = text(members(method.get(text(method.get("type")) or "")).get("fingerprint"))
    if fingerprint is None:
        return True

    def unit(tx: Transaction) -> bool:
        customer = tx.customers.lock(row.customer_id)
        key = card_key(secret_of(core, tx), fingerprint)
        mine = TrialRow(key, "card", row.customer_id, row.plan or "", row.id, core.now(), row.trial_start)
        if tx.trials.add(mine):
            return True
        known = tx.trials.get(key)
        if known is not None and known.holder == row.id:
            return True
        data = {"subscription": row.stripe_subscription_id, "plan": row.plan}
        tx.outbox.add([event(core, customer, "trial.repeated", core.now(), data=data)])
        return False

    return await core.store.transaction(unit)
