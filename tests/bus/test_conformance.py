"""The conformance suite on every bus, blocking and asynchronous, over real servers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernia_billing.bus.lanes import Patience
from kernia_billing.ports.bus import Bus
from kernia_billing.testing.conformance.bus import BusConformance, Connect

Maker = Callable[[Patience], Bus]
Driven = Callable[[Maker], Connect]


class TestMemory(BusConformance):
    """MemoryBus."""

    @pytest.fixture
    def connect(self, driven: Driven, memory_bus: Maker) -> Connect:
        """One more consumer."""
        return driven(memory_bus)


class TestRedis(BusConformance):
    """RedisBus."""

    @pytest.fixture
    def connect(self, driven: Driven, redis_bus: Maker) -> Connect:
        """One more consumer."""
        return driven(redis_bus)


class TestNats(BusConformance):
    """NatsBus."""

    @pytest.fixture
    def connect(self, driven: Driven, nats_bus: Maker) -> Connect:
        """One more consumer."""
        return driven(nats_bus)


class TestPostgreSQL(BusConformance):
    """PostgreSQLBus."""

    @pytest.fixture
    def connect(self, driven: Driven, postgresql_bus: Maker) -> Connect:
        """One more consumer."""
        return driven(postgresql_bus)
