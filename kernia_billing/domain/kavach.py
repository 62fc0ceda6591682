"""kavachOS's view of a subscription, and of the answers of its Stripe plugin."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from .answers import Subscription
from .host_columns import HostValue
from .instants import to_datetime_or_none
from .subscriptions import SubscriptionRow, is_live

CUSTOMER_COLUMN = "stripe_customer_id"
"""The column of kavachOS's users that holds Stripe's customer id."""
NO_SIGNATURE = "Missing Stripe-Signature header"
SIGNATURE_FAULTS = {
    "header": "Invalid Stripe-Signature header",
    "time": "Stripe webhook timestamp is too old",
    "digest": "Stripe webhook signature verification failed",
}
"""How kavachOS words what is wrong with a signature."""


@frozen
class SubscriptionInfo:
    """What kavachOS tells of a subscription. `id` and `price_id` are Stripe's, `status` is Stripe's, verbatim."""

    id: str
    status: str
    price_id: str | None
    current_period_end: datetime | None
    cancel_at_period_end: bool


@frozen
class CheckoutSession:
    """A checkout: send the browser to `url`."""

    url: str
    session_id: str


@frozen
class WebhookAnswer:
    """What a webhook request is to be answered: a status, and the members of a JSON object."""

    status: int
    body: Mapping[str, object]


def info_of(subscription: Subscription) -> SubscriptionInfo:
    """A subscription as kavachOS tells of it. One that has ended is not going to be cancelled any more."""
    return SubscriptionInfo(
        id=subscription.stripe_id or "",
        status=subscription.status,
        price_id=subscription.price_id,
        current_period_end=subscription.period_end,
        cancel_at_period_end=subscription.cancel_at_period_end and subscription.status != "canceled",
    )


def columns_of(last: SubscriptionRow | None) -> dict[str, HostValue]:
    """What kavachOS's columns of a user hold, by the subscription that speaks for it.

    Once it has ended, its status stays and the rest is empty.
    """
    live = last if last is not None and is_live(last.status) else None
    end = None if live is None else live.period_end
    return {
        "stripe_subscription_id": None if live is None else live.stripe_subscription_id,
        "stripe_subscription_status": None if last is None else last.status,
        "stripe_price_id": None if live is None else live.price_id,
        "stripe_current_period_end": None if end is None else to_datetime_or_none(end),
        "stripe_cancel_at_period_end": live is not None and live.cancel_at_period_end,
    }
