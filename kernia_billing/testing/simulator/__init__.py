"""A stateful Stripe with a clock, in process, stricter than the code that is tested against it."""

from __future__ import annotations

from .api.faults import Fault
from .async_facade import AsyncStripeSimulator
from .facade import StripeSimulator
from .webhooks.mishaps import Mishap
from .webhooks.receiver import AsyncReceiver, Receiver
from .world.errors import CardDeclined, SimulatorBug, SimulatorError

__all__ = [
    "AsyncReceiver",
    "AsyncStripeSimulator",
    "CardDeclined",
    "Fault",
    "Mishap",
    "Receiver",
    "SimulatorBug",
    "SimulatorError",
    "StripeSimulator",
]
