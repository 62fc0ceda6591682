"""Requests and replies as plain values, independent of any HTTP client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen


@frozen
class Request:
    """A request as it came over the wire. Header names are lower case."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(factory=dict[str, str])

    @property
    def url(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def has_json(self) -> bool:
        """Whether the parameters are JSON and no form: those that the v2 API takes in bodies."""
        return self.path.startswith("/v2/") and self.method not in ("GET", "DELETE")

    @property
    def key(self) -> str | None:
        """The idempotency key, where the method takes one: POST, and DELETE of the v2 API."""
        keyed = self.method == "POST" or (self.method == "DELETE" and self.path.startswith("/v2/"))
        return (self.headers.get("idempotency-key") or None) if keyed else None

    @property
    def text(self) -> str:
        """The text that holds the parameters: the query of GET and DELETE, else the body."""
        return self.query if self.method in ("GET", "DELETE") else self.body.decode("utf-8")


@frozen
class Reply:
    """A reply: status, headers and bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    drips: bool = False
    """Whether the rest of the body comes so slowly that the client gives up."""

    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


@frozen
class RequestRecord:
    """One line of the simulator's log of requests. The headers are without the key."""

    method: str
    path: str
    params: Mapping[str, Any]
    headers: Mapping[str, str]
    status: int | None
    """None when a fault cut the connection."""
    request_id: str


@frozen
class Violation:
    """A request that the official package would not have sent."""

    method: str
    path: str
    errors: tuple[str, ...]
