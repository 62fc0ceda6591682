"""Tools for tests: the Stripe simulator. Needs the `testing` extra for its checks against the official package.

Names are loaded when they are first used: the pytest plugin is imported by every run of pytest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .rewiring import simulated as simulated
    from .rewiring import simulated_async as simulated_async
    from .simulator import AsyncStripeSimulator as AsyncStripeSimulator
    from .simulator import CardDeclined as CardDeclined
    from .simulator import Fault as Fault
    from .simulator import Mishap as Mishap
    from .simulator import SimulatorError as SimulatorError
    from .simulator import StripeSimulator as StripeSimulator

_HOME = {
    "AsyncStripeSimulator": "simulator",
    "CardDeclined": "simulator",
    "Fault": "simulator",
    "Mishap": "simulator",
    "SimulatorError": "simulator",
    "StripeSimulator": "simulator",
    "simulated": "rewiring",
    "simulated_async": "rewiring",
}

__all__ = [*_HOME]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
