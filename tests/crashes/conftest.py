"""A stage on each database, and at how many boundaries of a story somebody dies on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crashes.deaths import Sample
from tests.crashes.stage import Stage
from tests.harness.coherent import coherent
from tests.harness.house import new_engine

_SAMPLES = {"sqlite": 2, "postgresql": 1, "mariadb": 1}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tell each story on SQLite and on one of the servers, unless --full: to prepare one takes longer than to die."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("one_server")


@pytest.fixture(params=[pytest.param(False, id="some"), pytest.param(True, id="all", marks=pytest.mark.full)])
def sample(request: pytest.FixtureRequest, engine_name: str) -> Sample:
    """At how many boundaries of a story something happens."""
    return None if request.param else _SAMPLES[engine_name]


@pytest.fixture
def stage(engine_url: str) -> Iterator[Stage]:
    """An empty account and an empty database; afterwards the rows must not contradict each other."""
    engine = new_engine(engine_url)
    stage = Stage(engine, engine_url)
    yield stage
    coherent(engine)
    stage.close()
    engine.dispose()
