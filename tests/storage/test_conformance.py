"""The conformance suite on every database, blocking and asynchronous."""

from __future__ import annotations

import pytest

from kernia_billing.testing.conformance.harness import DrivenStore
from kernia_billing.testing.conformance.store import StoreConformance


class TestBlocking(StoreConformance):
    """BlockingStore on the databases of `engine_name`."""

    @pytest.fixture
    def store(self, blocking_store: DrivenStore) -> DrivenStore:
        """The store under test."""
        return blocking_store


class TestBlockingInMemory(StoreConformance):
    """BlockingStore on SQLite in memory."""

    @pytest.fixture
    def store(self, memory_store: DrivenStore) -> DrivenStore:
        """The store under test."""
        return memory_store


class TestAsync(StoreConformance):
    """AsyncStore on the databases of `engine_name`."""

    @pytest.fixture
    def store(self, async_store: DrivenStore) -> DrivenStore:
        """The store under test."""
        return async_store


class TestAsyncInMemory(StoreConformance):
    """AsyncStore on SQLite in memory."""

    @pytest.fixture
    def store(self, async_memory_store: DrivenStore) -> DrivenStore:
        """The store under test."""
        return async_memory_store
