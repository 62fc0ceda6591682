"""Changing the plan of a live subscription, by us: upwards at once, downwards at the end of the period."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from attrs import astuple

from ..domain.answers import ChangePreview, Subscription
from ..domain.customers import CustomerRow
from ..domain.item_moves import update_params
from ..domain.plan_change import Wanted
from ..domain.plans import Plan, ProrationBehavior
from ..domain.preview_tokens import Shown, read
from ..domain.reading import id_of, listed, members, text
from ..domain.references import Ref
from ..domain.subscriptions import SubscriptionRow, read_subscription
from ..errors import AlreadySubscribed, NotFound, PaymentFailed, StripeRefused, Unavailable
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .change_keys import is_repeated, note, request_key
from .change_previews import behavior_of, held_to
from .change_progress import Progress, begin, end, forget, under_way
from .core import Core
from .intents import intent_key
from .outbox import dispatch
from .pending_items import other_interval
from .plans import sold_by
from .projections import sync_subscription
from .scheduling import drop, schedule
from .subscriptions import answer
from .switches import (
    Switch,
    busy,
    find_row,
    fresh,
    one_at_a_time,
    plan_of,
    switch_of,
)

T = TypeVar("T")
_ATTEMPTS = 3


async def change(
    core: Core,
    reference: Ref,
    wanted: Wanted,
    *,
    preview: ChangePreview | str | None = None,
    idempotency_key: str | None = None,
) -> Subscription:
    """Change the plan, interval or seats of a live subscription.

    "auto" is now for what ranks higher (by the plan's rank, then a year before a month, then more seats), or is equal,
    and the end of the period for what ranks lower, unless the option `plan_change.pairs` says otherwise. What was to
    change later is replaced, once the change is made. A cancellation that is pending stays: the new plan ends then, and
    a change that would come only then is refused. `preview` has it charge exactly what was shown, or refuse.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND), no price of it for the interval (PRICE_NOT_FOUND), nothing to change
            (SUBSCRIPTION_NOT_FOUND).
        AlreadySubscribed: the same plan, interval and number of seats is what there is.
        PreviewStale: it would cost something else than was shown.
        PaymentFailed: the old plan stays. `hosted_url`, where there is one, is a page on which the customer can confirm
            the payment, by which the change is made after all.
        Conflict: it cannot be changed (SUBSCRIPTION_NOT_ACTIVE, SUBSCRIPTION_CANCELS, SCHEDULE_NOT_OURS), or another
            change takes place (CHANGE_IN_PROGRESS, retryable).
        IdempotencyMismatch: the key was used for another change.
        InvalidInput: a value is out of range.
        Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
    """
    target = plan_of(core, wanted.plan)
    asked = [target.key, *astuple(wanted)[1:]]
    key = None if idempotency_key is None else request_key(core, reference, idempotency_key)
    if key is not None and await is_repeated(core, key, asked):
        customer, row = await find_row(core, reference, group=target.group, subscription_id=wanted.subscription_id)
        return await core.store.read(lambda tx: answer(core, customer, row, core.now(), tx))
    shown = None if preview is None else await _shown(core, reference, target, preview)
    if shown is not None:
        wanted = _as_shown(wanted, shown)
    customer, row = await find_row(core, reference, group=target.group, subscription_id=wanted.subscription_id)

    async def work(core: Core) -> None:
        try:
            switch = await switch_of(core, reference, wanted)
        except AlreadySubscribed:
            if not await went_on(core, row):
                raise
        else:
            date = None if preview is None else await held_to(core, switch, shown)
            if switch.when == "period_end":
                await schedule(core, switch)
            else:
                await change_now(core, switch, behavior_of(core, switch), date=date)
        if key is not None:
            await note(core, key, asked, row)

    await finished(core, row, work)
    return await current(core, customer, row)


async def finished(core: Core, row: SubscriptionRow, work: Callable[[Core], Awaitable[T]]) -> T:
    """Change a subscription while nobody else does, and hand over what there is to tell of it."""
    try:
        made = await one_at_a_time(core, row, work)
    except PaymentFailed:
        await dispatch(core)
        raise
    await dispatch(core)
    return made


async def _shown(core: Core, reference: Ref, target: Plan, preview: ChangePreview | str) -> Shown | None:
    """What was shown to this reference of this plan; None where it was something else."""
    shown = read(preview.token if isinstance(preview, ChangePreview) else preview, core.signing_key)
    if shown is None or shown.plan != target.key:
        return None
    with suppress(NotFound):
        await find_row(core, reference, subscription_id=shown.subscription)
        return shown
    return None


def _as_shown(wanted: Wanted, shown: Shown) -> Wanted:
    """What is wanted, with what was shown where nothing is said."""
    return Wanted(
        wanted.plan,
        when=shown.when if wanted.when == "auto" else wanted.when,
        annual=shown.interval == "year" if wanted.annual is None else wanted.annual,
        seats=shown.seats if wanted.seats is None else wanted.seats,
        subscription_id=wanted.subscription_id or shown.subscription,
        proration_behavior=wanted.proration_behavior or shown.proration,
    )


async def change_now(
    core: Core, switch: Switch, behavior: ProrationBehavior, *, date: int | None = None, cause: str = "change"
) -> None:
    """Make a change at once: with `date`, in UTC seconds, as if it were made then.

    What was to change later goes only when this change is made, or waits for the customer alone.

    Raises:
        PaymentFailed: it could not be paid; the old plan stays.
        StripeRefused, NotFound: Stripe does not take the change.
        Unavailable: Stripe or the database does not answer.
    """
    progress = await begin(core, switch, cause)
    params = _params(core, switch, behavior, date)
    try:
        after = await _made(core, switch, params)
    except (StripeRefused, NotFound):
        await core.store.transaction(lambda tx: forget(tx, switch.row))
        raise
    if after.get("pending_update") is not None:
        await _give_up(core, switch, after, progress)
    await _settle(core, switch.row, after, progress)


async def went_on(core: Core, row: SubscriptionRow) -> bool:
    """Finish the change of a subscription that was begun before and came no further than Stripe; whether one was."""
    progress = await under_way(core, row)
    if progress is None:
        return False
    after = await fresh(core, row)
    if not progress.leads_to(await core.store.read(lambda tx: sold_by(core, tx, read_subscription(after)))):
        return False
    await _settle(core, row, after, progress)
    return True


async def _settle(core: Core, row: SubscriptionRow, after: StripeObject, progress: Progress) -> None:
    """Do what is left once Stripe has made a change: `after` is the subscription as it is then."""
    stripe_id = row.stripe_subscription_id
    await drop(core, stripe_id, text(after.get("schedule")))
    apart = other_interval(core, progress.after["interval"], after)
    if apart:
        key = core.ids.new("interval")
        await core.provider().request("POST", f"/v1/subscriptions/{stripe_id}", apart, idempotency_key=key)
    await sync_subscription(core, stripe_id)
    await _name_plan(core, stripe_id, progress.after["plan"])
    await end(core, row, progress, "change.made")


def _params(core: Core, switch: Switch, behavior: ProrationBehavior, date: int | None) -> dict[str, Any]:
    params: dict[str, Any] = {"items": update_params(switch.moves), "proration_behavior": behavior}
    if date is not None:
        params["proration_date"] = date
    method = core.plan_change.collection_method
    if method is not None and method != switch.body.get("collection_method"):
        params |= {"collection_method": method, "days_until_due": core.plan_change.days_until_due}
    elif method == "send_invoice":
        params["days_until_due"] = core.plan_change.days_until_due
    elif switch.body.get("collection_method") != "send_invoice":
        # Stripe makes the change only when it is paid, and takes nothing but the change with it ("Pending updates").
        params["payment_behavior"] = "pending_if_incomplete"
    return params


async def _made(core: Core, switch: Switch, params: Mapping[str, Any]) -> StripeObject:
    """The subscription after the change, made or waiting for its payment."""
    for attempt in range(_ATTEMPTS):
        after = await _sent(core, switch, params, attempt)
        if after is not None:
            return after
    raise busy()


async def _sent(core: Core, switch: Switch, params: Mapping[str, Any], attempt: int) -> StripeObject | None:
    """The subscription after the change, made or waiting for its payment; None where it is neither.

    Two that want the same change of the same state send the same key, and it is made once. Where that state was there
    before, Stripe gives the answer of that time: then it is asked once more, by another key.
    """
    path = f"/v1/subscriptions/{switch.theirs.id}"
    key = _key(switch, params, attempt)
    try:
        await core.provider().request("POST", path, params, idempotency_key=key)
    except Unavailable as failure:
        if not failure.outcome_unknown:
            raise
        after = await fresh(core, switch.row)
        if not _is_made(switch, after) and after.get("pending_update") is None:
            raise
        return after
    except (StripeRefused, NotFound):
        if read_subscription(await fresh(core, switch.row)).items != switch.theirs.items:
            raise busy() from None
        raise
    after = await fresh(core, switch.row)
    return after if _is_made(switch, after) or after.get("pending_update") is not None else None


def _key(switch: Switch, params: Mapping[str, Any], attempt: int) -> str:
    before = [[each.id, each.price_id, each.quantity] for each in switch.theirs.items]
    told = [before, id_of(switch.body.get("latest_invoice")), params, attempt]
    text = json.dumps(told, sort_keys=True, separators=(",", ":"))
    return intent_key("change", switch.theirs.id, hashlib.sha256(text.encode()).hexdigest())


def _is_made(switch: Switch, after: StripeObject) -> bool:
    """Whether the subscription sells what it was to sell."""
    there = {(each.price_id, each.quantity) for each in read_subscription(after).items}
    prices = {price for price, _ in there}
    wanted = [each for each in switch.moves if not each.deleted]
    gone = {each.price_id for each in switch.moves if each.deleted} - {each.price_id for each in wanted}
    return not gone & prices and all(
        each.price_id in prices if each.quantity is None else (each.price_id, each.quantity) in there for each in wanted
    )


async def _give_up(core: Core, switch: Switch, after: StripeObject, progress: Progress) -> None:
    """The change waits for a payment that failed: take it back, unless the customer can confirm the payment.

    Then it takes the place of what was to change later, which would undo it once it is confirmed.

    Raises:
        PaymentFailed: always.
    """
    invoice_id = id_of(after.get("latest_invoice"))
    path = f"/v1/invoices/{invoice_id}"
    invoice = await core.provider().request("GET", path, {"expand": ["payments.data.payment.payment_intent"]})
    failure = PaymentFailed("The payment was declined: the plan stays as it was")
    if _needs_person(invoice):
        await drop(core, switch.theirs.id, switch.theirs.schedule_id)
        url = text(invoice.get("hosted_invoice_url"))
        failure = PaymentFailed(
            "The payment needs to be confirmed: the plan stays as it was until then", hosted_url=url
        )
    else:
        try:
            await core.provider().request(
                "POST", f"{path}/void", {}, idempotency_key=intent_key("void", str(invoice_id))
            )
        except (StripeRefused, NotFound):
            if (await fresh(core, switch.row)).get("pending_update") is not None:
                raise
    await sync_subscription(core, switch.theirs.id)
    await end(core, switch.row, progress, "change.failed", cause="payment", invoice=invoice_id)
    raise failure


def _needs_person(invoice: StripeObject) -> bool:
    intents = [members(members(each.get("payment")).get("payment_intent")) for each in listed(invoice.get("payments"))]
    return any(each.get("status") == "requires_action" for each in intents)


async def _name_plan(core: Core, stripe_id: str, plan: str) -> None:
    """Say which plan it is where several share the price: the metadata decides, and it names the one before."""
    row = await core.store.read(lambda tx: tx.subscriptions.by_stripe_id(stripe_id))
    if row is None or row.plan == plan:
        return
    params = {"metadata": {"plan": plan}}
    key = intent_key("plan", stripe_id, plan, str(row.updated_at))
    await core.provider().request("POST", f"/v1/subscriptions/{stripe_id}", params, idempotency_key=key)
    await sync_subscription(core, stripe_id)


async def current(core: Core, customer: CustomerRow, changed: SubscriptionRow) -> Subscription:
    """A subscription that was changed, as it is stored now."""

    def unit(tx: Transaction) -> Subscription:
        row = tx.subscriptions.by_stripe_id(changed.stripe_subscription_id) or changed
        return answer(core, customer, row, core.now(), tx)

    return await core.store.read(unit)
