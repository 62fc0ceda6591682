"""A request that is held up while the simulator carries it out."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from attrs import define, field

from kernia_billing.testing.simulator.api import search
from kernia_billing.testing.simulator.customers import customers
from kernia_billing.testing.simulator.world.world import World


@define
class Held:
    """Writing a customer waits: `entered` says that somebody is at it, `leave` lets everybody go on."""

    entered: Event = field(factory=Event)
    leave: Event = field(factory=Event)

    @classmethod
    def put_up(cls, monkeypatch: pytest.MonkeyPatch) -> Held:
        """From now on, who writes a customer waits."""
        held, remember = cls(), search.remember

        def slow(world: World, stored: dict[str, Any]) -> None:
            held.entered.set()
            assert held.leave.wait(10)
            remember(world, stored)

        monkeypatch.setattr(customers, "remember", slow)
        return held
