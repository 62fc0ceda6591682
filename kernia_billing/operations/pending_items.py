"""How often Stripe bills what waits for an invoice: prorations of a yearly plan wait for a year, unless it is told.

Stripe takes `pending_invoice_item_interval` with a page, and with a subscription; not with a phase of a schedule, nor
beside a change that is made only when it is paid (Stripe, "Pending updates").
"""

from __future__ import annotations

from typing import Any

from ..domain.plans import BillingInterval
from ..domain.reading import members
from ..ports.stripe import StripeObject
from .core import Core

_NAME = "pending_invoice_item_interval"


def wanted_interval(core: Core, interval: BillingInterval) -> dict[str, Any]:
    """What a new subscription of that interval is to be told; nothing without the option, and for a month."""
    every = core.plan_change.pending_invoice_item_interval
    return {} if every is None or interval != "year" else {_NAME: {"interval": every, "interval_count": 1}}


def other_interval(core: Core, interval: BillingInterval, theirs: StripeObject) -> dict[str, Any]:
    """What a subscription, of which that interval is sold from now on, has to be told; nothing where it knows.

    One that became monthly is told that nothing is billed apart any more; what somebody else told it stays.
    """
    there = members(theirs.get(_NAME))
    wanted = wanted_interval(core, interval).get(_NAME)
    if wanted is not None:
        return {} if _said(there) == _said(wanted) else {_NAME: wanted}
    ours = wanted_interval(core, "year").get(_NAME)
    return {_NAME: ""} if ours is not None and _said(there) == _said(ours) else {}


def _said(interval: StripeObject) -> tuple[object, object]:
    return interval.get("interval"), interval.get("interval_count")
