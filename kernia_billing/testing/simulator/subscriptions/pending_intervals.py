"""How often a subscription is billed for the invoice items that wait for it: `pending_invoice_item_interval`.

Stripe says that it is as if an invoice was created for the subscription at that interval, and when approximately the
next one comes; not from when it counts: here it counts from the billing cycle anchor. Not modelled: an interval that is
not shorter than that of every price, of which Stripe says nothing. Source: Stripe, "Create a subscription".
"""

from __future__ import annotations

from collections.abc import Iterable

from ..api import fields
from ..world.clock import add_interval, period_after
from ..world.errors import Json, invalid, not_modelled
from .selling import interval_of

_MOST = {"day": 365, "week": 52, "month": 12, "year": 1}
"""Stripe allows a year at most."""
PARAM = fields.fields(required=("interval",), interval=fields.one_of(*_MOST), interval_count=fields.integer(1, 365))


def check(given: Json | None, prices: Iterable[Json], now: int, param: str = "pending_invoice_item_interval") -> None:
    """See that an interval can be had by a subscription that sells these prices.

    Raises:
        ApiError: it is longer than a year, or no shorter than that of a price.
    """
    if not given:
        return
    every, count = _parts(given)
    if count > _MOST[every]:
        raise invalid("The maximum of one year interval is exceeded: 1 year, 12 months, or 52 weeks.", param)
    recurring = [price for price in prices if price["type"] == "recurring"]
    if any(add_interval(now, every, count) >= add_interval(now, *interval_of(price)) for price in recurring):
        raise not_modelled("an interval for pending invoice items that is not shorter than the subscription's", param)


def write(subscription: Json, given: Json | None, now: int) -> None:
    """Set the interval of a subscription, or that it has none, and when what waits is billed next."""
    subscription["pending_invoice_item_interval"] = None
    if given:
        every, count = _parts(given)
        subscription["pending_invoice_item_interval"] = {"interval": every, "interval_count": count}
    move_on(subscription, now)


def move_on(subscription: Json, now: int) -> int | None:
    """Set when what waits is billed next, and answer when the current interval has begun."""
    given: Json | None = subscription["pending_invoice_item_interval"]
    begun, ends = period_after(subscription["billing_cycle_anchor"], *_parts(given), now) if given else (None, None)
    subscription["next_pending_invoice_item_invoice"] = ends
    return begun


def _parts(given: Json) -> tuple[str, int]:
    return given["interval"], given.get("interval_count", 1)
