"""A stage on each database, and at how many boundaries of a story somebody dies on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

import pytest

from tests.crashes.deaths import Sample
from tests.crashes.stage import Stage
from tests.harness.coherent import coherent
from tests.harness.house import new_engine

_SAMPLES = {"sqlite": 4, "postgresql": 1, "mariadb": 1}
_SERVERS = ("postgresql", "mariadb")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tell each story on SQLite and on one of the servers, unless --full: to prepare one takes longer than to die."""
    if config.getoption("--full"):
        return
    ours = [item for item in items if item.path.parent == Path(__file__).parent]
    left_out = {item for item in ours if _engine(item) not in ("sqlite", _server(item))}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _engine(item: pytest.Item) -> str:
    return next((engine for engine in _SERVERS if item.get_closest_marker(engine)), "sqlite")


def _server(item: pytest.Item) -> str:
    story = item.nodeid.replace(_engine(item), "")
    return _SERVERS[crc32(story.encode()) % len(_SERVERS)]


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
