"""`billing.kavach`.

Generated from `_aio/kavach.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import Portal
from ..domain.kavach import CheckoutSession, SubscriptionInfo, WebhookAnswer


class Kavach:
    """The functions of kavachOS's Stripe plugin, for code that was written for it. Users only."""

    def __init__(self, inner: _aio.Kavach) -> None:
        self._inner = inner

    def create_customer(self, user_id: str, email: str, name: str | None = None) -> str:
        """Stripe's id of a user's customer, which is made where there is none; one that is there stays the user's.

        Raises:
            InvalidInput: a value is not a text, or too long.
            Unavailable: Stripe or the database does not answer.
        """
        return run_blocking(self._inner.create_customer(user_id, email, name))

    def get_customer_id(self, user_id: str) -> str | None:
        """Stripe's id of a user's customer, None where there is none. No call to Stripe."""
        return run_blocking(self._inner.get_customer_id(user_id))

    def create_checkout_session(
        self,
        user_id: str,
        price_id: str,
        *,
        success_url: str = "/",
        cancel_url: str = "/",
        metadata: Mapping[str, str] | None = None,
    ) -> CheckoutSession:
        """Open a page on which a user buys the plan that a price sells. How long a trial is, the plan says.

        Raises:
            NotFound: the price sells no plan here (PRICE_NOT_FOUND), or the user has no customer and the option
                `auto_create_customer` is off (NO_CUSTOMER).
            Conflict: a plan of the group is live already (SUBSCRIPTION_EXISTS, ALREADY_SUBSCRIBED_PLAN).
            InvalidInput: a value is out of range.
            Unavailable: Stripe or the database does not answer.
        """
        return run_blocking(
            self._inner.create_checkout_session(
                user_id, price_id, success_url=success_url, cancel_url=cancel_url, metadata=metadata
            )
        )

    def create_portal_session(self, user_id: str, return_url: str) -> Portal:
        """Open the billing portal for a user; nobody is made a customer by that.

        Raises:
            NotFound: the user has no customer (CUSTOMER_NOT_FOUND).
            Unavailable: Stripe does not answer.
        """
        return run_blocking(self._inner.create_portal_session(user_id, return_url))

    def get_subscription(self, user_id: str) -> SubscriptionInfo | None:
        """What a user is subscribed to, None where nothing is, or where it has ended. No call to Stripe."""
        return run_blocking(self._inner.get_subscription(user_id))

    def handle_webhook(self, body: bytes, signature: str | None) -> WebhookAnswer:
        """Take in a webhook: the raw bytes, and the header `Stripe-Signature`. What goes wrong is an answer too."""
        return run_blocking(self._inner.handle_webhook(body, signature))
