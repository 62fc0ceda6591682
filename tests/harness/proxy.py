"""A proxy between a driver and its database, on unix sockets: it cuts the line at the message that the test chose."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from sqlalchemy import make_url

Cut = Literal["the message", "its answer"]
_COMMIT = (b"COMMIT\0", b"\x03COMMIT")
"""How PostgreSQL's and MariaDB's protocol end and begin a message that commits."""
_POSTGRESQL_FILE = ".s.PGSQL.5432"


class Proxy:
    """Listens at `url`, which leads to the database of another URL. Use it as a context manager.

    `arm` chooses: the line is cut at the first COMMIT after an INSERT of a usage event, or at the n-th message that
    follows; either before the message is passed on, or after it was carried out and before its answer is.
    """

    def __init__(self, url: str, folder: Path) -> None:
        parts = make_url(url)
        option = "host" if parts.get_backend_name() == "postgresql" else "unix_socket"
        server = Path(str(parts.query[option]))
        self._target = server / _POSTGRESQL_FILE if option == "host" else server
        self._path = folder / (_POSTGRESQL_FILE if option == "host" else "s")
        place = str(folder if option == "host" else self._path)
        self.url = parts.update_query_dict({option: place}).render_as_string(hide_password=False)
        self.cuts = 0
        self.messages = 0
        self._cut: Cut | None = None
        self._at: int | None = None
        self._seen_insert = False
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(self._path))
        self._door.listen(16)
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._door.close()
        self._path.unlink()

    def arm(self, cut: Cut, at: int | None = None) -> None:
        """Cut the line once: at the n-th message from now, or (None) at the COMMIT of a use."""
        self._cut, self._at = cut, at
        self._seen_insert = False
        self.messages = 0

    def disarm(self) -> None:
        """Let everything pass."""
        self._cut = None

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._relay, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _relay(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server, selectors.DefaultSelector() as selector:
            server.connect(str(self._target))
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            while True:
                for key, _ in selector.select():
                    source, target = key.fileobj, key.data
                    assert isinstance(source, socket.socket)
                    try:
                        data = source.recv(1 << 16)
                        if not data or (source is client and self._is_end(data, server)):
                            return
                        target.sendall(data)
                    except OSError:
                        return

    def _is_end(self, data: bytes, server: socket.socket) -> bool:
        """Whether the line ends at this message."""
        self.messages += 1
        self._seen_insert = self._seen_insert or b"INSERT INTO billing_usage_event" in data
        if self._cut is None:
            return False
        commits = self._seen_insert and any(mark in data for mark in _COMMIT)
        if not (commits if self._at is None else self.messages == self._at):
            return False
        if self._cut == "its answer":
            server.sendall(data)
            server.recv(1 << 16)
        self._cut = None
        self.cuts += 1
        return True
