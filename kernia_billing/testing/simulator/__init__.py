"""A stateful Stripe with a clock, in process, stricter than the code that is tested against it."""

from __future__ import annotations

from .async_facade import AsyncStripeSimulator
from .errors import CardDeclined, SimulatorBug, SimulatorError
from .facade import StripeSimulator
from .faults import Fault
from .mishaps import Mishap
from .receiver import AsyncReceiver, Receiver

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
