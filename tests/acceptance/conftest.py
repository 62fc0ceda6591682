"""What the acceptance tests share."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from kernia_billing.cli import main as upgrade_tables
from tests.acceptance.browsing import serving_pages
from tests.acceptance.simulators import Inbox, Simulator, receiving, running
from tests.acceptance.support import Shop, install_client, shop
from tests.servers import ServerMissing, Servers
from tests.strictness import missing


@pytest.fixture(scope="module")
def database(request: pytest.FixtureRequest, servers: Servers) -> Generator[str]:
    """The URL of a database with the billing tables, on the engine of the parameter."""
    try:
        url = servers.create_database(request.param)
    except ServerMissing as error:
        missing(str(error))
    upgrade_tables(["db", "upgrade", "--database", url], standalone_mode=False)
    yield url
    servers.drop_database(url)


@pytest.fixture(scope="session")
def pages(installed_client: str) -> Generator[str]:
    """The origin of a server of pages that hold the official client."""
    with serving_pages(installed_client) as origin:
        yield origin


@pytest.fixture(scope="module")
def asgi_shop(database: str, pages: str) -> Generator[Shop]:
    """`AsyncBilling` in a Starlette application under uvicorn, which trusts the server of pages."""
    with shop("asgi", database, pages) as running:
        yield running


@pytest.fixture(scope="session")
def installed_client(node: str, npm: str) -> str:
    """The path of Node, once the official client is installed."""
    install_client(npm)
    return node


@pytest.fixture
def inbox() -> Generator[Inbox]:
    """A server of an application that keeps the webhooks that it takes."""
    with receiving() as kept:
        yield kept


@pytest.fixture
def simulator(inbox: Inbox) -> Generator[Simulator]:
    """The command `kernia-billing simulator`, with webhooks to the inbox."""
    with running("--webhook-url", inbox.url) as found:
        yield found
