"""What a change of plan would cost, asked of Stripe, and whether that still holds."""

from __future__ import annotations

from typing import Any

from ..domain.answers import Balance, ChangePreview
from ..domain.instants import SECOND, Instant, to_datetime
from ..domain.item_moves import update_params
from ..domain.money import Money
from ..domain.plan_change import Wanted
from ..domain.plans import ProrationBehavior
from ..domain.preview_tokens import Shown, sign
from ..domain.reading import listed
from ..domain.references import Ref
from ..errors import PreviewStale, StripeRefused
from ..ports.stripe import StripeObject
from .core import Core
from .previewing import preview as preview_balances
from .switches import Switch, proration_of, switch_of


async def preview_change(core: Core, reference: Ref, wanted: Wanted) -> ChangePreview:
    """What `change` would cost and give; nothing is changed.

    Raises:
        As `change` does where it would refuse the change itself.
    """
    return await preview_of(core, await switch_of(core, reference, wanted))


def behavior_of(core: Core, switch: Switch) -> ProrationBehavior:
    """What Stripe does with the unused time of a change that is made at once."""
    option = core.plan_change.immediate_proration_behavior
    return proration_of(switch, switch.plan.proration_behavior or option)


async def preview_of(core: Core, switch: Switch, date: int | None = None) -> ChangePreview:
    """The preview of a change that can be made, with unused time counted as of `date`, in UTC seconds."""
    date = max(core.now(), switch.theirs.period_start or 0) // SECOND if date is None else date
    at_once = _is_charged(core, switch)
    if at_once:
        invoice = await _invoice(core, switch, behavior_of(core, switch), date)
        due, following = invoice, await _invoice(core, switch, "none", None)
    else:
        behavior = behavior_of(core, switch) if switch.when == "now" else "none"
        due, following = None, await _invoice(core, switch, behavior, None if behavior == "none" else date)
    currency = str(following["currency"])
    lines = [] if due is None else [(str(each.get("description") or ""), each) for each in _lines(due)]
    effective = core.now() if switch.when == "now" else switch.theirs.period_end or core.now()
    amount = 0 if due is None else int(due["amount_due"])
    second = date if switch.when == "now" else effective // SECOND
    shown = _shown(switch, date=second, amount=amount, currency=currency, issued=core.now())
    return ChangePreview(
        plan=switch.plan.name,
        effective_at=to_datetime(effective),
        amount_due=Money(amount, currency),
        credit=Money(sum(min(0, int(each["amount"])) for _, each in lines), currency),
        next_amount=Money(int(following["total"]), currency),
        lines=tuple((text, Money(int(each["amount"]), currency)) for text, each in lines),
        features=await _features(core, switch),
        token=sign(shown, core.signing_key),
    )


def _is_charged(core: Core, switch: Switch) -> bool:
    """Whether Stripe makes an invoice at once: a new interval begins at once, too, and a trial goes on."""
    if switch.when != "now" or switch.theirs.status == "trialing":
        return False
    new_interval = switch.sold is None or switch.sold.interval != switch.interval
    return new_interval or behavior_of(core, switch) == "always_invoice"


async def _invoice(core: Core, switch: Switch, behavior: ProrationBehavior, date: int | None) -> StripeObject:
    params: dict[str, Any] = {
        "customer": switch.theirs.customer_id,
        "subscription": switch.theirs.id,
        "subscription_details": {
            "items": update_params(switch.moves),
            "proration_behavior": behavior,
            "proration_date": date,
        },
    }
    key = core.ids.new("preview")
    return await core.provider().request("POST", "/v1/invoices/create_preview", params, idempotency_key=key)


def _lines(invoice: StripeObject) -> list[StripeObject]:
    return list(listed(invoice.get("lines")))


async def _features(core: Core, switch: Switch) -> dict[str, tuple[Balance | None, Balance | None]]:
    told = await preview_balances(
        core, switch.customer.reference, switch.plan.name, seats=switch.seats, subscription_id=switch.row.id
    )
    names = sorted({*told.before, *told.after})
    return {name: (told.before.get(name), told.after.get(name)) for name in names}


async def held_to(core: Core, switch: Switch, shown: Shown | None) -> int | None:
    """The second as of which unused time is to be counted so that the change costs what was shown.

    None where nothing is charged at once.

    Raises:
        PreviewStale: it was not shown by us, not lately, or for another change; or it costs something else by now.
    """
    if shown is not None and shown.is_fresh(core.now()) and _is_same(switch, shown):
        if switch.when == "period_end":
            return None
        try:
            now = await preview_of(core, switch, shown.date)
        except StripeRefused:
            # The date is not within the period any more.
            raise PreviewStale(await preview_of(core, switch)) from None
        if now.amount_due == Money(shown.amount, shown.currency):
            return shown.date if _is_charged(core, switch) else None
    raise PreviewStale(await preview_of(core, switch))


def _is_same(switch: Switch, shown: Shown) -> bool:
    ends = (switch.theirs.period_end or 0) // SECOND
    date = shown.date if switch.when == "now" else ends
    return shown == _shown(switch, date=date, amount=shown.amount, currency=shown.currency, issued=shown.issued)


def _shown(switch: Switch, *, date: int, amount: int, currency: str, issued: Instant) -> Shown:
    """What a preview of the change stands for, at that price."""
    return Shown(
        subscription=switch.theirs.id,
        plan=switch.plan.key,
        interval=switch.interval,
        seats=switch.seats,
        when=switch.when,
        proration=switch.proration,
        date=date,
        amount=amount,
        currency=currency,
        issued=issued,
    )
