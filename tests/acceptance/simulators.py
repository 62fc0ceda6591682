"""A simulator that serves, and a server of an application that takes its webhooks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import stripe
from attrs import define, field, frozen

from kernia_billing.testing import StripeSimulator
from kernia_billing.testing.simulator.server import SimulatorServer
from tests.acceptance.support import serving
from tests.harness.listening import QuietHandler, listening


@define
class Inbox:
    """A server of an application, which takes webhooks and keeps them."""

    received: list[tuple[bytes, str]] = field(factory=list[tuple[bytes, str]])
    answers: list[int] = field(factory=list[int])
    """What it answers next; 200 when there is nothing."""
    on_arrival: Callable[[], object] = lambda: None
    """Called for each webhook before it is answered."""
    arrived: threading.Condition = field(factory=threading.Condition)
    url: str = ""

    def take(self, body: bytes, header: str) -> int:
        """Keep a webhook and answer its status."""
        self.on_arrival()
        with self.arrived:
            status = self.answers.pop(0) if self.answers else 200
            self.received.append((body, header))
            self.arrived.notify_all()
            return status

    @property
    def types(self) -> list[str]:
        """The types of what came, in its order."""
        with self.arrived:
            return [json.loads(body)["type"] for body, _ in self.received]

    def wait_for(self, type: str) -> tuple[bytes, str]:
        """The first webhook of a type."""

        def found() -> tuple[bytes, str] | None:
            return next((row for row in self.received if json.loads(row[0])["type"] == type), None)

        with self.arrived:
            self.arrived.wait_for(lambda: found() is not None, timeout=30)
            row = found()
        assert row is not None, f"no {type} among {[json.loads(body)['type'] for body, _ in self.received]}"
        return row


@contextmanager
def receiving() -> Generator[Inbox]:
    """A receiving server on a free port."""
    kept = Inbox()

    class Handler(QuietHandler, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(kept.take(body, self.headers["stripe-signature"]))
            self.send_header("content-length", "0")
            self.end_headers()

    with listening(Handler) as origin:
        kept.url = f"{origin}/webhook"
        yield kept


@frozen
class Simulator:
    """A running `kernia-billing simulator`."""

    url: str
    api_key: str
    webhook_secret: str
    process: Any

    def control(self, verb: str, expected: int = 200, /, **arguments: object) -> dict[str, Any]:
        """Say something to the control API."""
        response = httpx.post(f"{self.url}/_simulator/{verb}", json=arguments, timeout=60)
        assert response.status_code == expected, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def summary(self) -> dict[str, Any]:
        """How things stand."""
        answer: dict[str, Any] = httpx.get(f"{self.url}/_simulator/").raise_for_status().json()
        return answer

    @contextmanager
    def client(self) -> Generator[Any]:
        """The official client, as an application in Python would make it."""
        http = stripe.RequestsClient()
        yield stripe.StripeClient(self.api_key, base_addresses={"api": self.url}, http_client=http)
        http.close()  # type: ignore[no-untyped-call]  # of the official package


@contextmanager
def running(*options: str) -> Generator[Simulator]:
    """The command, ended by SIGTERM."""
    with serving("kernia_billing.cli", "simulator", "--port", "0", "--json", *options) as (process, first):
        told = json.loads(first)
        yield Simulator(told["url"], told["api_key"], told["webhook_secret"], process)


@contextmanager
def at_hand(made: StripeSimulator, *webhook_urls: str) -> Generator[Simulator]:
    """A simulator of this process that serves over real sockets."""
    with SimulatorServer(made, webhook_urls=webhook_urls) as server:
        server.serve_in_background()
        yield Simulator(server.url, made.api_key, made.webhook_secret, None)
        server.stop()
