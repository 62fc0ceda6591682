"""What is to be bought in a checkout: a request that was judged, with its prices looked up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from attrs import frozen

from ..domain.instants import Instant
from ..domain.metadata import client_metadata
from ..domain.plans import BillingInterval, Plan
from ..domain.references import Identity, Reference
from ..domain.selling import is_locale
from ..errors import InvalidInput, NotFound
from ..ports.store import Transaction
from .core import Core
from .plans import mapped_prices, price_of
from .seats import members_to_pay_for

LONGEST_TRIAL = 730
"""Stripe's limit for `trial_period_days`."""


@frozen
class Order:
    """What is to be bought. `lines` are prices and their quantities, None for a metered price, which has none.

    `trial_end` is where a trial that runs already ends, to which the plan is free; None where `trial_days` count.
    """

    plan: Plan
    interval: BillingInterval
    seats: int
    lines: tuple[tuple[str, int | None], ...]
    success_url: str
    cancel_url: str
    locale: str | None
    metadata: Mapping[str, str]
    user_id: str | None
    trial_days: int
    trial_end: Instant | None = None

    @property
    def fingerprint(self) -> str:
        """Equal for orders that one page can serve."""
        told = [self.plan.key, self.interval, self.seats, self.lines, self.success_url, self.cancel_url, self.locale]
        text = json.dumps(
            [*told, dict(self.metadata), self.user_id, self.trial_days, self.trial_end],
            sort_keys=True,
            separators=(",", ":"),
        )
        return hashlib.sha256(text.encode()).hexdigest()


async def order_of(
    core: Core,
    plan_name: str,
    *,
    annual: bool,
    seats: int | None,
    locale: str | None,
    metadata: Mapping[str, str] | None,
    identity: Identity | None,
    success_url: str,
    cancel_url: str,
    trial_days: int | None = None,
    skip_trial: bool = False,
    reference: Reference | None = None,
) -> Order:
    """The order that a request stands for. An organization whose seats follow its members buys one for each.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND), or no price for it (PRICE_NOT_FOUND).
        InvalidInput: a value is out of range.
        Conflict: the plan has no room for so many members (SEAT_LIMIT_REACHED).
        Unavailable: Stripe or the database does not answer.
    """
    interval = _interval(annual=annual)
    if not isinstance(plan_name, str):
        raise InvalidInput("must be a text", field="plan")
    if locale is not None and not is_locale(locale):
        raise InvalidInput("must be a language tag such as 'de' or 'pt-BR'", field="locale")
    plan = core.offer.plan(plan_name)
    members = None if reference is None else await members_to_pay_for(core, reference, plan)
    count = seats_of(plan, seats) if members is None else members
    return Order(
        plan=plan,
        interval=interval,
        seats=count,
        lines=await lines_of(core, plan, interval, count),
        success_url=success_url,
        cancel_url=cancel_url,
        locale=locale,
        metadata=client_metadata(metadata, "metadata"),
        user_id=None if identity is None else identity.user_id,
        trial_days=0 if skip_trial else plan.trial_days if trial_days is None else _trial_days(trial_days),
    )


def _trial_days(days: int) -> int:
    if type(days) is not int or not 0 <= days <= LONGEST_TRIAL:
        raise InvalidInput(f"must be an integer between 0 and {LONGEST_TRIAL}", field="trial_days")
    return days


def _interval(*, annual: bool) -> BillingInterval:
    if type(annual) is not bool:
        raise InvalidInput("must be true or false", field="annual")
    return "year" if annual else "month"


def seats_of(plan: Plan, seats: int | None) -> int:
    """The number of seats to buy. A plan without seats is bought once, or so many times over as asked.

    Raises:
        InvalidInput: more than the plan has room for, or no number of seats.
    """
    limit = plan.max_seats if plan.max_seats is not None else 10_000
    if seats is None:
        return plan.min_seats
    if type(seats) is not int or not 1 <= seats <= limit:
        raise InvalidInput(f"must be an integer between 1 and {limit}", field="seats")
    return max(seats, plan.min_seats)


async def lines_of(core: Core, plan: Plan, interval: BillingInterval, seats: int) -> tuple[tuple[str, int | None], ...]:
    """The prices that sell a plan, its own first, and how many of each; None for one that has no quantity.

    Raises:
        InvalidInput: the plan is free.
        NotFound: it has no price for the interval (PRICE_NOT_FOUND).
        Unavailable: Stripe does not answer.
    """
    if plan.is_free:
        raise InvalidInput("names a free plan: there is nothing to pay", field="plan")
    base = await _price_id(core, plan, interval)
    further = tuple(plan.line_items.items())
    if plan.seat_price_id is None or plan.seat_price_id == base:
        return ((base, None if plan.metered else seats), *further)
    return ((base, None if plan.metered else 1), (plan.seat_price_id, seats), *further)


async def _price_id(core: Core, plan: Plan, interval: BillingInterval) -> str:
    """The price to charge: never the one of another interval. An imported lookup key counts, else Stripe is asked."""
    lookup_key = plan.lookup_key_for(interval)
    if lookup_key is None and plan.price_for(interval) is not None:
        return str(plan.price_for(interval))

    def read(tx: Transaction) -> str | None:
        price = price_of(tx, plan, interval, mapped_prices(tx))
        return None if price is None or not price.active else price.id

    known = await core.store.read(read)
    if known is None and lookup_key is not None:
        page = await core.provider().page("/v1/prices", {"lookup_keys": [lookup_key], "active": True})
        known = str(page.data[0]["id"]) if page.data else None
    if known is None:
        raise NotFound("Price ID not found for the selected plan", code="PRICE_NOT_FOUND")
    return known
