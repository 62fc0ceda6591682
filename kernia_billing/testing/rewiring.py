"""Putting a simulated Stripe behind a billing object that an application imported long ago, and back again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..compose import rewired
from .simulator import AsyncStripeSimulator, StripeSimulator

if TYPE_CHECKING:
    from .. import AsyncBilling, Billing


@contextmanager
def simulated(
    billing: Billing, *, database: Any = "sqlite://", now: datetime | None = None
) -> Generator[StripeSimulator]:
    """Let `billing` work on a simulated Stripe and another database, as it is everywhere in the application.

    `database` is empty by default and lives in memory. At the end everything is as it was before; hooks registered
    with `billing.on` stay on throughout.
    """
    simulator = StripeSimulator(now=now)
    with rewired(billing, **_options(simulator, database)):
        yield simulator
        billing.close()


@asynccontextmanager
async def simulated_async(
    billing: AsyncBilling, *, database: Any = "sqlite://", now: datetime | None = None
) -> AsyncGenerator[AsyncStripeSimulator]:
    """`simulated`, for an `AsyncBilling`."""
    simulator = AsyncStripeSimulator(now=now)
    with rewired(billing, **_options(simulator, database)):
        yield simulator
        await billing.aclose()


def _options(simulator: object, database: Any) -> dict[str, Any]:
    stripe = {"stripe_client": simulator, "stripe_key": None, "stripe_api_base": None, "stripe_webhook_secrets": ()}
    return {**stripe, "database": database, "event_bus": None}
