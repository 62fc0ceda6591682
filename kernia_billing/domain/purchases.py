"""What is sold beside plans: a checkout session of ours that is paid once, or that saves a payment method."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal

from attrs import frozen

from .instants import Instant
from .plans import TopUp

PurchaseMode = Literal["payment", "setup"]
PurchaseStatus = Literal["open", "processing", "complete", "expired", "failed"]


@frozen
class PurchaseRow:
    """One row a Stripe checkout session; a customer has at most one open one per top-up, and one in setup mode.

    `sold` is what was promised when the page was opened, so that a change of the configuration changes no purchase:
    what one unit grants of each feature (`grants`) and for how many microseconds (`length`, None: for ever); in setup
    mode whether the method becomes the default one (`default`). `line_id` and `payment_intent_id` are Stripe's ids of
    what was paid, None before, and `paid` is in minor units.
    """

    id: str
    customer_id: str
    mode: PurchaseMode
    name: str
    quantity: int
    sold: Mapping[str, Any]
    fingerprint: str
    status: PurchaseStatus
    stripe_session_id: str | None
    url: str | None
    line_id: str | None
    payment_intent_id: str | None
    paid: int
    expires_at: Instant
    created_at: Instant

    @property
    def slot(self) -> str:
        """What there is one open page of: the top-up, or saving a payment method."""
        return f"{self.mode}:{self.name}"


def promised(top_up: TopUp) -> dict[str, Any]:
    """What a top-up grants, as it is kept with a purchase."""
    length = top_up.expires_after
    return {
        "grants": dict(top_up.grants),
        "length": None if length is None else length // timedelta(microseconds=1),
    }


def kept(row: PurchaseRow) -> TopUp:
    """The top-up that a purchase was made of, as it was then."""
    length = row.sold["length"]
    after = None if length is None else timedelta(microseconds=length)
    return TopUp(row.name, price_id="", grants=row.sold["grants"], expires_after=after)
