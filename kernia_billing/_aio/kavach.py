"""`billing.kavach`."""

from __future__ import annotations

from collections.abc import Mapping

from ..compose import Wiring
from ..domain.answers import (
    Portal,
)
from ..domain.kavach import (
    CheckoutSession,
    SubscriptionInfo,
    WebhookAnswer,
)
from ..domain.references import Reference
from ..operations import (
    customers,
    kavach,
    portal,
)


class Kavach:
    """The functions of kavachOS's Stripe plugin, for code that was written for it. Users only."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def create_customer(self, user_id: str, email: str, name: str | None = None) -> str:
        """Stripe's id of a user's customer, which is made where there is none; one that is there stays the user's.

        Raises:
            InvalidInput: a value is not a text, or too long.
            Unavailable: Stripe or the database does not answer.
        """
        made = await customers.ensure(self._wiring.core, Reference(user_id, "user"), email=email, name=name)
        return str(made.stripe_id)

    async def get_customer_id(self, user_id: str) -> str | None:
        """Stripe's id of a user's customer, None where there is none. No call to Stripe."""
        return await kavach.get_customer_id(self._wiring.core, Reference(user_id, "user"))

    async def create_checkout_session(
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
        return await kavach.create_checkout_session(
            self._wiring.core,
            Reference(user_id, "user"),
            price_id,
            success_url=self._wiring.trusted.absolute(success_url, "success_url"),
            cancel_url=self._wiring.trusted.absolute(cancel_url, "cancel_url"),
            metadata=metadata,
            auto_create=self._wiring.config.auto_create_customer,
        )

    async def create_portal_session(self, user_id: str, return_url: str) -> Portal:
        """Open the billing portal for a user; nobody is made a customer by that.

        Raises:
            NotFound: the user has no customer (CUSTOMER_NOT_FOUND).
            Unavailable: Stripe does not answer.
        """
        back = self._wiring.trusted.absolute(return_url, "return_url")
        return await portal.portal(self._wiring.core, Reference(user_id, "user"), return_url=back)

    async def get_subscription(self, user_id: str) -> SubscriptionInfo | None:
        """What a user is subscribed to, None where nothing is, or where it has ended. No call to Stripe."""
        return await kavach.get_subscription(self._wiring.core, Reference(user_id, "user"))

    async def handle_webhook(self, body: bytes, signature: str | None) -> WebhookAnswer:
        """Take in a webhook: the raw bytes, and the header `Stripe-Signature`. What goes wrong is an answer too."""
        return await kavach.handle_webhook(self._wiring.core, body, signature)
