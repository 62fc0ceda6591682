"""What answers at the simulator's origin: Stripe's API, the hosted pages, and the control API."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl

from ..api.wire import Reply, Request
from ..facade import StripeSimulator
from ..webhooks import webhook_endpoints
from ..world.errors import SimulatorError
from .control import PREFIX, control
from .http import HttpServer, listen
from .posting import PostingReceiver
from .pump import Pump


class SimulatorServer:
    """Serves a simulator over HTTP until it is closed.

        with SimulatorServer(StripeSimulator(), webhook_urls=["http://127.0.0.1:8000/webhook"]) as server:
            server.serve()

    `port=0` takes a free one; `url` tells which. Each of `webhook_urls` becomes a webhook endpoint for all events,
    signed with the simulator's `webhook_secret`. Those that an application makes through the API are served too.

    Raises:
        OSError: the port cannot be used.
        ApiError: there are more than 16 endpoints.
    """

    def __init__(
        self, simulator: StripeSimulator, *, host: str = "127.0.0.1", port: int = 0, webhook_urls: Iterable[str] = ()
    ) -> None:
        self.simulator = simulator
        self._http: HttpServer = listen(host, port, self.answer)
        try:
            _add_endpoints(simulator, webhook_urls)
        except BaseException:
            self._http.server_close()
            raise
        self.url = f"http://{_reachable(host)}:{self._http.server_address[1]}"
        simulator.hosted_base = self.url
        self._pump = Pump(simulator)
        simulator.state.delivers = False  # the pump does it, so that no request waits for a receiver
        simulator.state.between_steps = self._pump.settle
        self._receivers: list[PostingReceiver] = []
        self._thread: threading.Thread | None = None
        outbox = simulator.state.outbox
        # A receiver refuses what was not signed in its own present, from which the simulator's clock may be far away.
        outbox.signing_clock = lambda: int(time.time())
        outbox.targets.post = self._receiver_at
        self._pump.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def serve(self) -> None:
        """Serve on this thread until `stop` is called on another one, or an exception (Ctrl-C) ends it."""
        self._http.serve_forever(poll_interval=0.1)

    def serve_in_background(self) -> None:
        """Serve on a thread of its own, which `close` ends."""
        self._thread = threading.Thread(target=self.serve, name="simulator-http", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let `serve` return."""
        self._http.shutdown()

    def close(self) -> None:
        """Stop serving, listening and delivering, and close all connections."""
        if self._thread is not None:
            # A thread that goes on with a closed socket asks for it without rest.
            self.stop()
            self._thread.join()
            self._thread = None
        self._http.server_close()
        self._pump.stop()
        for receiver in self._receivers:
            receiver.close()

    def answer(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            ConnectionLost: a fault rule cut the connection.
        """
        if request.path.startswith(("/v1/", "/v2/")):
            try:
                return self.simulator.state.api.handle(request)
            finally:
                self._pump.wake()
        if request.path.startswith(PREFIX) or request.path == PREFIX.rstrip("/"):
            return control(self.simulator, request, self._pump.settle)
        reply = self._page(request)
        if request.method == "POST":
            self._pump.settle()  # Stripe, too, lets a receiver hear of a payment before it sends the buyer back
        return reply

    def _receiver_at(self, url: str) -> PostingReceiver:
        made = PostingReceiver(url)
        self._receivers.append(made)
        return made

    def _page(self, request: Request) -> Reply:
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        try:
            status, headers, body = self.simulator.hosted(request.method, request.url, form)
        except SimulatorError as refusal:
            return Reply(400, {"content-type": "text/plain; charset=utf-8"}, str(refusal).encode())
        return Reply(status, headers, body)


def _add_endpoints(simulator: StripeSimulator, urls: Iterable[str]) -> None:
    world = simulator.state.world
    with world.lock:
        for url in urls:
            webhook_endpoints.new(world, {"url": url, "enabled_events": ["*"]}, secret=simulator.webhook_secret)


def _reachable(host: str) -> str:
    """A name of this machine under which what listens on `host` is reached."""
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not listened on
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
