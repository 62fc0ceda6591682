"""What stands in for Stripe gets the requests that are meant for it, and never a live key."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler

import httpx
import pytest
from attrs import define, field

from kernia_billing.errors import GuardError
from kernia_billing.stripe.elsewhere import AsyncElsewhereTransport, ElsewhereTransport
from tests.harness.listening import QuietHandler, listening

ACCOUNT = "https://api.stripe.com/v1/account?expand[0]=x"
TEST, LIVE = {"authorization": "Bearer sk_test_1"}, {"authorization": "Bearer sk_live_1"}


@define
class Stand:
    """A server that notes who asked for what."""

    origin: str = ""
    asked: list[tuple[str, str]] = field(factory=list[tuple[str, str]])


@pytest.fixture
def stand() -> Generator[Stand]:
    """It listens on a free port."""
    kept = Stand()

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kept.asked.append((self.path, self.headers["host"]))
            self.send_response(200)
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    with listening(Handler) as kept.origin:
        yield kept


def test_requests_are_led_there(stand: Stand) -> None:
    """Path and query stay; the host is that of the stand-in."""
    with httpx.Client(transport=ElsewhereTransport(stand.origin)) as client:
        assert client.get(ACCOUNT, headers=TEST).status_code == 200

    assert stand.asked == [("/v1/account?expand[0]=x", stand.origin.removeprefix("http://"))]


def test_every_event_loop_has_its_own_connections(stand: Stand) -> None:
    """One transport serves loops that come and go, as `AsyncBilling` uses it."""
    transport = AsyncElsewhereTransport(stand.origin)

    async def ask() -> int:
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get(ACCOUNT, headers=TEST)).status_code

    assert [asyncio.run(ask()) for _ in range(2)] == [200, 200]
    assert len(stand.asked) == 2


def test_a_live_key_is_never_sent(stand: Stand) -> None:
    """Whatever let it through before: nothing reaches the wire."""
    with (
        httpx.Client(transport=ElsewhereTransport(stand.origin)) as client,
        pytest.raises(GuardError, match="live key"),
    ):
        client.get(ACCOUNT, headers=LIVE)

    assert stand.asked == []
