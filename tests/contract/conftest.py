"""The shop of the contract's scenarios: two ways in, each on two databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast
from zlib import crc32

import pytest
from sqlalchemy import create_engine

from kernia_billing.testing import oracle
from tests.contract.support import Front, Shop, opened
from tests.harness.tables import make_tables

_OF_SO_MANY = 6
OpenShop = Callable[..., Shop]
_COMBINATIONS = (
    pytest.param(("asgi", "sqlite"), id="asgi-sqlite", marks=pytest.mark.sqlite),
    pytest.param(("flask", "postgresql"), id="flask-postgresql", marks=pytest.mark.postgresql),
    pytest.param(("asgi", "postgresql"), id="asgi-postgresql", marks=[pytest.mark.postgresql, pytest.mark.full]),
    pytest.param(("flask", "sqlite"), id="flask-sqlite", marks=[pytest.mark.sqlite, pytest.mark.full]),
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the scenarios on Flask and PostgreSQL an ordinary run plays one in six, and always the same ones."""
    for item in items:
        here = item.path.parent == Path(__file__).parent and "flask-postgresql" in item.name
        if here and crc32(item.nodeid.encode()) % _OF_SO_MANY:
            item.add_marker(pytest.mark.full)


@pytest.fixture(params=_COMBINATIONS)
def open_shop(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> Iterator[OpenShop]:
    """A function that opens a shop with other options: `open_shop(plans=[…], on_subscription_update=…)`."""
    front, database = cast("tuple[Front, str]", request.param)
    before = oracle.totals["refused_requests"]
    with ExitStack() as stack:

        def build(**options: Any) -> Shop:
            url = make_database(database)
            engine = create_engine(url)
            make_tables(engine)
            engine.dispose()
            return opened(front, url, stack, **options)

        yield build
    assert oracle.totals["refused_requests"] == before, "a request did not pass the request oracle"


@pytest.fixture
def shop(open_shop: OpenShop) -> Shop:
    """A shop that sells `PLANS`, to which Stripe delivers at once."""
    return open_shop()
