"""Fixtures of the folders between Stripe and the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from kernia_billing.testing import oracle
from tests.webhooks.shop import Shop, opened

Open = Callable[..., Shop]


@pytest.fixture(autouse=True)
def honest_client() -> Iterator[None]:
    """Every request that the library sent to any simulator is one that the official package would send."""
    before = oracle.totals["refused_requests"]
    yield
    assert oracle.totals["refused_requests"] == before, "a request did not pass the request oracle"


@pytest.fixture
def shop(sqlite_url: str) -> Iterator[Shop]:
    """An application on SQLite to which Stripe delivers at once."""
    with opened(Shop(sqlite_url)) as shop:
        yield shop


@pytest.fixture
def quiet_shop(sqlite_url: str) -> Iterator[Shop]:
    """An application on SQLite that hears from Stripe only what the test delivers."""
    with opened(Shop(sqlite_url, deliver="manual")) as shop:
        yield shop


@pytest.fixture
def each_shop(engine_url: str) -> Iterator[Shop]:
    """An application on each database to which Stripe delivers at once."""
    with opened(Shop(engine_url)) as shop:
        yield shop


@pytest.fixture
def open_shop(sqlite_url: str) -> Iterator[Open]:
    """A function that opens an application on SQLite with other options: `open_shop(deliver="manual", on_event=…)`."""
    with ExitStack() as stack:

        def build(deliver: str = "auto", **options: Any) -> Shop:
            return stack.enter_context(opened(Shop(sqlite_url, deliver=deliver, options=options)))

        yield build
