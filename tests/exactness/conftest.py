"""A database whose rows are judged after every test, and the Stripe that it is in step with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import coherent
from tests.harness.house import new_engine


@pytest.fixture
def engine(engine_url: str) -> Iterator[Engine]:
    """An engine of the test's own that keeps no connection; afterwards the rows must not contradict each other."""
    engine = new_engine(engine_url)
    yield engine
    coherent(engine)
    engine.dispose()


@pytest.fixture
def stripe() -> StripeSimulator:
    """An empty Stripe account."""
    return StripeSimulator()
