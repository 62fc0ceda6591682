"""What a person asks for on a pricing page: a first purchase, or a change of what is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..domain.answers import Checkout
from ..domain.item_moves import Move
from ..domain.plan_change import Wanted
from ..domain.references import Identity, Ref
from ..errors import AlreadySubscribed, Conflict, StripeRefused
from ..ports.store import Transaction
from . import checkout
from .changing import change_now, current, finished, went_on
from .core import Core
from .pages import page_url
from .projections import adopt_subscriptions
from .scheduling import drop, schedule
from .switches import CHANGEABLE, Switch, find_row, plan_of, proration_of, switch_of


async def upgrade(
    core: Core,
    reference: Ref,
    plan: str,
    *,
    success_url: str,
    cancel_url: str,
    return_url: str | None = None,
    annual: bool = False,
    seats: int | None = None,
    subscription_id: str | None = None,
    schedule_at_period_end: bool = False,
    locale: str | None = None,
    metadata: Mapping[str, str] | None = None,
    identity: Identity | None = None,
    trial_days: int | None = None,
    skip_trial: bool = False,
) -> Checkout:
    """Lead a person to the page on which a plan is bought, or changed to. The URLs are absolute already.

    Without a live subscription of the plan's group it is a checkout page. With one it is Stripe's page on which the
    customer confirms the change, or, where Stripe has no such page for it, the change itself: where several items
    change, where the option `plan_change.direct` says so, and where it is to take place at the end of the period, as
    asked for or as the option `plan_change.pairs` says of the two plans. Then `status` is "complete", and `url` is
    `return_url` (default: `success_url`).

    Raises:
        What `checkout.upgrade` raises for a first purchase, and `change` for a change.
        Conflict: the portal of the account does not offer the change (PORTAL_NOT_CONFIGURED).
    """
    group = plan_of(core, plan).group
    if subscription_id is not None or await _is_subscribed(core, reference, group):
        customer, row = await find_row(core, reference, group=group, subscription_id=subscription_id)
        back = return_url or success_url

        async def work(core: Core) -> Checkout:
            try:
                wanted = Wanted(plan, annual=annual, seats=seats, subscription_id=subscription_id)
                switch = await switch_of(core, reference, wanted)
            except AlreadySubscribed:
                if not await went_on(core, row):
                    raise
            else:
                if schedule_at_period_end or _waits(switch):
                    await schedule(core, switch, cause="upgrade")
                elif core.plan_change.direct or _needs_us(switch):
                    behavior = proration_of(switch, switch.plan.proration_behavior or "create_prorations")
                    await change_now(core, switch, behavior, cause="upgrade")
                else:
                    return await _confirmation(core, switch, back, locale)
            return Checkout(back, None, "complete", await current(core, customer, row))

        return await finished(core, row, work)
    return await checkout.upgrade(
        core,
        reference,
        plan,
        success_url=success_url,
        cancel_url=cancel_url,
        annual=annual,
        seats=seats,
        locale=locale,
        metadata=metadata,
        identity=identity,
        trial_days=trial_days,
        skip_trial=skip_trial,
    )


async def _is_subscribed(core: Core, reference: Ref, group: str) -> bool:
    """Whether the reference has a subscription of the group that can be changed, as Stripe knows it now."""
    who = core.reference(reference)
    customer = await core.store.read(lambda tx: tx.customers.get(who))
    if customer is None or customer.stripe_customer_id is None:
        return False
    await adopt_subscriptions(core, customer)

    def read(tx: Transaction) -> bool:
        rows = tx.subscriptions.of_customer(customer.id)
        return any(row.group == group and row.plan is not None and row.status in CHANGEABLE for row in rows)

    return await core.store.read(read)


def _waits(switch: Switch) -> bool:
    """Whether changes between the two plans are to wait for the end of the period, whoever asks for them."""
    return switch.pair is not None and switch.pair.when == "period_end"


def _needs_us(switch: Switch) -> bool:
    """Whether the change is none of one item: Stripe's page changes nothing else."""
    return len(switch.theirs.items) > 1 or _changed(switch)[1:] != [] or any(each.deleted for each in switch.moves)


def _changed(switch: Switch) -> list[Move]:
    return [each for each in switch.moves if each.changed]


async def _confirmation(core: Core, switch: Switch, back: str, locale: str | None) -> Checkout:
    """Stripe's page on which the customer sees what the change costs, and confirms it."""
    await drop(core, switch.theirs.id, switch.theirs.schedule_id)
    (move,) = _changed(switch)
    item: dict[str, Any] = {"id": move.item_id, "price": move.price_id, "quantity": move.quantity}
    params: dict[str, Any] = {
        "customer": switch.theirs.customer_id,
        "return_url": back,
        "locale": locale,
        "flow_data": {
            "type": "subscription_update_confirm",
            "after_completion": {"type": "redirect", "redirect": {"return_url": back}},
            "subscription_update_confirm": {"subscription": switch.theirs.id, "items": [item]},
        },
    }
    key = core.ids.new("portal")
    try:
        session = await core.provider().request("POST", "/v1/billing_portal/sessions", params, idempotency_key=key)
    except StripeRefused as refused:
        if not (refused.param or "").startswith("flow_data"):
            raise
        text = "The customer portal does not offer this change: enable it there, or set plan_change.direct"
        raise Conflict(text, code="PORTAL_NOT_CONFIGURED") from refused
    return Checkout(page_url(core, session), None, "open", await current(core, switch.customer, switch.row))
