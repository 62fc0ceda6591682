"""Refusals that only the HTTP surface knows, and what codes say in words. Gates raise them too, without any wire."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import BillingError

TEXTS: Mapping[str, str] = {
    "ALREADY_SUBSCRIBED_PLAN": "You're already subscribed to this plan",
    "AUTHORIZE_REFERENCE_REQUIRED": "Organization subscriptions require authorizeReference callback to be configured",
    "CUSTOMER_NOT_FOUND": "Stripe customer not found for this user",
    "EMAIL_VERIFICATION_REQUIRED": "Email verification is required before you can subscribe to a plan",
    "FAILED_TO_FETCH_PLANS": "Failed to fetch plans",
    "INTERNAL": "Something went wrong",
    "ORGANIZATION_NOT_FOUND": "Organization not found",
    "ORGANIZATION_SUBSCRIPTION_NOT_ENABLED": "Organization subscription is not enabled",
    "PORTAL_NOT_CONFIGURED": "The billing portal is not configured",
    "PLAN_NOT_FOUND": "Subscription plan not found",
    "REFERENCE_ID_NOT_ALLOWED": "Reference id is not allowed",
    "REFERENCE_REQUIRED": "Reference ID is required. Provide referenceId or set activeOrganizationId in session",
    "STRIPE_REFUSED": "Stripe refused the request",
    "SUBSCRIPTION_NOT_ACTIVE": "Subscription is not active",
    "SUBSCRIPTION_NOT_FOUND": "Subscription not found",
    "SUBSCRIPTION_NOT_PENDING_CHANGE": "Subscription has no pending cancellation or scheduled plan change",
    "UNABLE_TO_CREATE_BILLING_PORTAL": "Unable to create billing portal session",
    "UNABLE_TO_CREATE_CUSTOMER": "Unable to create customer",
}
"""The text of each code that has one: those that Better Auth's client exports are word for word its own."""


class RequestError(BillingError):
    """A request that is wrong before any operation sees it. `members` are further members of the answer."""

    status = 400

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        alias: str | None = None,
        members: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, status=status, alias=alias)
        self.members = dict(members or {})
        self.headers = dict(headers or {})

    def details(self) -> Mapping[str, object]:
        """The further members."""
        return self.members


class ReferenceRefused(RequestError):
    """The reference of a request cannot be used, because of how the application is configured."""

    def __init__(self, code: str) -> None:
        super().__init__(TEXTS[code], code=code)
