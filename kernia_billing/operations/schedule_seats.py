"""Seats of a change that is planned: they follow the members together with those of the current phase."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..domain.phases import item_as_sent, phase_as_sent
from ..domain.plans import Plan
from ..domain.reading import Json, listed, members, own_id, whole
from ..domain.references import Reference
from ..domain.seats import follows_members, wanted_seats
from ..domain.shapes import items_of_phase, price_of, quantity_of
from ..domain.subscriptions import read_subscription
from ..ports.stripe import StripeObject
from .core import Core
from .projections import sync_object


async def follow_seats(core: Core, subscription: StripeObject, reference: Reference, count: int, key: str) -> None:
    """Make the phases of a subscription's schedule, from the current one on, charge for so many members.

    Nothing is prorated: what is sold now was changed at the subscription itself.
    """
    schedule_id = read_subscription(subscription).schedule_id
    if schedule_id is None:
        return
    schedule = await core.provider().request("GET", f"/v1/subscription_schedules/{schedule_id}")
    if schedule.get("status") not in ("active", "not_started"):
        return
    phases = _phases(core, schedule, reference, count)
    if phases is None:
        return
    params = {"phases": phases, "end_behavior": schedule.get("end_behavior"), "proration_behavior": "none"}
    path = f"/v1/subscription_schedules/{own_id(schedule)}"
    await core.provider().request("POST", path, params, idempotency_key=f"{key}-phases")
    # Else the change that is to come would be shown with the seats of before, until the news arrives.
    await sync_object(core, "schedule", schedule_id)


def _phases(core: Core, schedule: Json, reference: Reference, count: int) -> list[dict[str, Any]] | None:
    """The phases that are not over as Stripe takes them, with the seats of so many members; None where nothing differs.

    A planned phase says all that is sold in it: what Stripe shows of it is given back as it is.
    """
    begun = whole(members(schedule.get("current_phase")).get("start_date")) or 0
    phases = [phase for phase in listed(schedule.get("phases")) if (whole(phase.get("start_date")) or 0) >= begun]
    seats = _seat_prices(core, reference)
    changed = False
    made: list[dict[str, Any]] = []
    for phase in phases:
        items: list[dict[str, Any]] = []
        for item in items_of_phase(phase):
            price, quantity = price_of(item) or "", quantity_of(item)
            plan = seats.get(price)
            if plan is not None and quantity is not None:
                wanted = wanted_seats(plan, count, quantity, core.seat_change_behavior)
                changed, quantity = changed or wanted != quantity, wanted
            items.append({**item_as_sent(item), "price": price, "quantity": quantity})
        made.append({**phase_as_sent(phase), "items": items})
    return made if changed else None


def _seat_prices(core: Core, reference: Reference) -> Mapping[str, Plan]:
    """The prices whose quantity is the number of members, with their plans."""
    found: dict[str, Plan] = {}
    for plan in core.offer.plans.values():
        if follows_members(plan, reference):
            for price in (plan.seat_price_id,) if plan.seat_price_id else (plan.price_id, plan.annual_price_id):
                if price is not None:
                    found[price] = plan
    return found
