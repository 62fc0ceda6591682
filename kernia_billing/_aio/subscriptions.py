"""`billing.subscriptions`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..compose import Wiring
from ..domain.answers import (
    Checkout,
    Subscription,
)
from ..domain.references import Identity, Ref
from ..operations import (
    checkout,
    subscriptions,
)


class Subscriptions:
    """What references are subscribed to."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def get(self, reference: Ref, *, group: str = "default") -> Subscription | None:
        """The live subscription of a plan group, else the one that ended last, None where there never was one."""
        return await subscriptions.get(self._wiring.core, reference, group=group)

    async def list(self, reference: Ref) -> Sequence[Subscription]:
        """Every subscription that the reference has or had, oldest first."""
        return await subscriptions.every(self._wiring.core, reference)

    async def upgrade(
        self,
        reference: Ref,
        plan: str,
        *,
        success_url: str,
        cancel_url: str,
        annual: bool = False,
        seats: int | None = None,
        locale: str | None = None,
        metadata: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> Checkout:
        """Open a Stripe Checkout page for a first paid plan: send the browser to `.url`.

        Relative URLs resolve against `base_url`; `{CHECKOUT_SESSION_ID}` in them is replaced by Stripe. The reference
        has at most one open page per plan group: the same request gives the same page again.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), or it has no price for the interval (PRICE_NOT_FOUND).
            AlreadySubscribed: the same plan, interval and number of seats is live, or was paid just now.
            Conflict: another plan of the group is live (SUBSCRIPTION_EXISTS).
            InvalidInput: a value is out of range.
            Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
        """
        return await checkout.upgrade(
            self._wiring.core,
            reference,
            plan,
            success_url=self._wiring.trusted.absolute(success_url, "success_url"),
            cancel_url=self._wiring.trusted.absolute(cancel_url, "cancel_url"),
            annual=annual,
            seats=seats,
            locale=locale,
            metadata=metadata,
            identity=identity,
        )
