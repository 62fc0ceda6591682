"""Drivers beside the ones that we choose: a host may have its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from kernia_billing.storage.aio import AsyncStore
from kernia_billing.testing.conformance.harness import DrivenStore
from kernia_billing.testing.conformance.store import StoreConformance
from tests.servers import async_url
from tests.storage.conftest import AsyncPace


def _async(url: str, driver: str) -> Iterator[DrivenStore]:
    with asyncio.Runner() as runner:
        store = AsyncStore.open(async_url(url, driver), pace=AsyncPace())
        yield DrivenStore(store, runner.run)
        runner.run(store.close())


@pytest.mark.postgresql
class TestAsyncpg(StoreConformance):
    """asyncpg."""

    @pytest.fixture
    def store(self, migrated: object) -> Iterator[DrivenStore]:
        """The store under test."""
        yield from _async(migrated("postgresql"), "asyncpg")  # type: ignore[operator]  # the fixture is an object


@pytest.mark.mariadb
class TestAsyncmy(StoreConformance):
    """asyncmy."""

    @pytest.fixture
    def store(self, migrated: object) -> Iterator[DrivenStore]:
        """The store under test."""
        yield from _async(migrated("mariadb"), "asyncmy")  # type: ignore[operator]  # the fixture is an object
