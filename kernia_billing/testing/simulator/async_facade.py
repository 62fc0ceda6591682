"""The simulator for `AsyncBilling`: whatever talks to the library is awaited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .base import SimulatorBase
from .facade import DECLINING, VISA
from .people import actions, money_actions, payment_actions, portal_actions
from .people.drivers import run_async
from .webhooks.receiver import AsyncReceiver
from .world.errors import Json


class AsyncStripeSimulator(SimulatorBase):
    """A stateful Stripe with a clock, for `AsyncBilling`: what talks to the library is awaited."""

    def attach(self, receiver: AsyncReceiver) -> None:
        """As `StripeSimulator.attach`."""
        self._attach(receiver)

    async def pay(self, checkout: object, *, card: str = VISA) -> Any:
        """As `StripeSimulator.pay`."""
        return await run_async(actions.pay(self._state, checkout, card))

    async def decline(self, checkout: object) -> None:
        """As `StripeSimulator.decline`."""
        await run_async(actions.pay(self._state, checkout, DECLINING))

    async def expire(self, checkout: object) -> None:
        """As `StripeSimulator.expire`."""
        await run_async(actions.expire(self._state, checkout))

    async def recover(self, checkout: object) -> str:
        """As `StripeSimulator.recover`."""
        return str(await run_async(payment_actions.recover(self._state, checkout)))

    async def portal(self, opened: object, action: str, *, subscription: str | None = None, **choices: str) -> None:
        """As `StripeSimulator.portal`."""
        await run_async(portal_actions.in_portal(self._state, opened, action, subscription, choices))

    async def settle(self, what: object, *, succeeds: bool | None = None) -> None:
        """As `StripeSimulator.settle`."""
        await run_async(payment_actions.settle(self._state, what, succeeds=succeeds))

    async def authenticate(self, what: object, *, passes: bool = True) -> None:
        """As `StripeSimulator.authenticate`."""
        await run_async(payment_actions.authenticate(self._state, what, passes=passes))

    async def subscribe(self, reference: str, plan: str, *, annual: bool = False, seats: int | None = None) -> Any:
        """As `StripeSimulator.subscribe`."""
        return await run_async(actions.subscribe(self._state, reference, plan, annual=annual, seats=seats))

    async def use_card(self, reference: str, card: str) -> None:
        """As `StripeSimulator.use_card`."""
        await run_async(actions.use_card(self._state, reference, card))

    async def refund(self, reference: str, amount: int | None = None) -> str:
        """As `StripeSimulator.refund`."""
        return str(await run_async(money_actions.refund(self._state, reference, amount)))

    async def dispute(self, reference: str, *, reason: str = "fraudulent") -> str:
        """As `StripeSimulator.dispute`."""
        return str(await run_async(money_actions.dispute(self._state, reference, reason)))

    async def close_dispute(self, dispute: str, *, won: bool) -> None:
        """As `StripeSimulator.close_dispute`."""
        await run_async(money_actions.close_dispute(self._state, dispute, won=won))

    async def give_coupon(self, reference: str, coupon: str) -> None:
        """As `StripeSimulator.give_coupon`."""
        await run_async(money_actions.give_coupon(self._state, reference, coupon))

    async def collect(self, reference: str) -> None:
        """As `StripeSimulator.collect`."""
        await run_async(actions.collect(self._state, reference))

    async def usage(self, reference: str, meter: str) -> int:
        """As `StripeSimulator.usage`."""
        return int(await run_async(actions.usage(self._state, reference, meter)))

    async def advance(self, *, months: int = 0, days: int = 0, hours: int = 0, reference: str | None = None) -> None:
        """As `StripeSimulator.advance`."""
        await run_async(actions.advance(self._state, months=months, days=days, hours=hours, reference=reference))

    async def deliver(self, *event_ids: str) -> None:
        """As `StripeSimulator.deliver`."""
        await run_async(actions.deliver(self._state, event_ids))

    async def flush(self) -> None:
        """As `StripeSimulator.flush`."""
        await run_async(actions.flush(self._state, now=True))

    async def hosted(self, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[int, Json, bytes]:
        """As `StripeSimulator.hosted`."""
        from .pages.hosted import hosted

        answer: tuple[int, Json, bytes] = await run_async(hosted(self._state, method, path, form or {}))
        return answer
