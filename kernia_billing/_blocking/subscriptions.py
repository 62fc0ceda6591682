"""`billing.subscriptions`.

Generated from `_aio/subscriptions.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import Checkout, Subscription
from ..domain.references import Identity, Ref


class Subscriptions:
    """What references are subscribed to."""

    def __init__(self, inner: _aio.Subscriptions) -> None:
        self._inner = inner

    def get(self, reference: Ref, *, group: str = "default") -> Subscription | None:
        """The live subscription of a plan group, else the one that ended last, None where there never was one."""
        return run_blocking(self._inner.get(reference, group=group))

    def list(self, reference: Ref) -> Sequence[Subscription]:
        """Every subscription that the reference has or had, oldest first."""
        return run_blocking(self._inner.list(reference))

    def upgrade(
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
        return run_blocking(
            self._inner.upgrade(
                reference,
                plan,
                success_url=success_url,
                cancel_url=cancel_url,
                annual=annual,
                seats=seats,
                locale=locale,
                metadata=metadata,
                identity=identity,
            )
        )
