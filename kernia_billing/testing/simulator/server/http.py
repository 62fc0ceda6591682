"""HTTP on a socket, with the standard library: a thread for each connection, limits on size and patience."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from ..api.wire import Reply, Request
from ..world.errors import ConnectionLost

MAX_BODY_BYTES = 1024 * 1024
PATIENCE_SECONDS = 30
"""So long a client may take for its next bytes."""
DRIPS = 1_800
"""Of a body that drips, so many bytes are yet to come, one a second."""

_log = logging.getLogger("kernia_billing.simulator")

Answer = Callable[[Request], Reply]


class HttpServer(ThreadingHTTPServer):
    """A thread for each connection; all end with the process."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], answer: Answer) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.answer = answer
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Bind without asking the network what this machine is called, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is the client's business; anything else is a mistake of ours."""
        _log.debug("a connection broke", exc_info=True)


def listen(host: str, port: int, answer: Answer) -> HttpServer:
    """A server that listens on the address.

    Raises:
        OSError: the port cannot be used.
    """
    return HttpServer((host, port), answer)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, hands it on, and writes the reply."""

    protocol_version = "HTTP/1.1"
    server_version = "kernia-billing-simulator"
    sys_version = ""
    timeout = PATIENCE_SECONDS
    disable_nagle_algorithm = True
    server: HttpServer  # pyright: ignore[reportIncompatibleVariableOverride]  # the only one that makes handlers

    def do_GET(self) -> None:
        """Serve a request of whatever method."""
        body = self._body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            reply = self.server.answer(Request(self.command, path, query, body, headers))
        except ConnectionLost:
            self.close_connection = True  # without an answer: the client sees its connection break
            return
        except Exception:  # noqa: BLE001 - whatever it is, the server goes on
            _log.exception("the simulator failed")
            reply = Reply(500, {"content-type": "text/plain; charset=utf-8"}, b"The simulator failed; see its log.")
        self._write(reply)

    do_POST = do_DELETE = do_HEAD = do_PUT = do_PATCH = do_OPTIONS = do_GET  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the simulator keeps its own log of requests, without keys."""

    def _body(self) -> bytes | None:
        """The body; None when the request was refused because of it."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers:
            self._refuse(411, "Send a content-length.")
        elif not (length.isascii() and length.isdigit()):
            self._refuse(400, "The content-length is no number.")
        elif int(length) > MAX_BODY_BYTES:
            self._refuse(413, f"At most {MAX_BODY_BYTES} bytes are taken.")
        else:
            body = self.rfile.read(int(length))
            if len(body) == int(length):
                return body
            self.close_connection = True  # the client left in the middle
        return None

    def _refuse(self, status: int, message: str) -> None:
        self.close_connection = True
        self._write(Reply(status, {"content-type": "text/plain; charset=utf-8"}, message.encode()))

    def _write(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body) + (DRIPS if reply.drips else 0)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)
            if reply.drips:
                self._drip()

    def _drip(self) -> None:
        """Go on byte by byte until the client gives up; in the end the rest never comes."""
        self.close_connection = True
        with suppress(OSError):
            for _ in range(DRIPS - 1):
                time.sleep(1)
                self.wfile.write(b" ")
