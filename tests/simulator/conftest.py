"""One shop per test, whose client never broke a rule that the test did not mean to break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.simulator.shop import Shop


@pytest.fixture
def shop() -> Iterator[Shop]:
    """A shop on an empty account."""
    opened = Shop()
    yield opened
    opened.http.close()
