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
    def text(self) -> str:
        """The form text that holds the parameters: the query of GET and DELETE, else the body."""
        return self.query if self.method in ("GET", "DELETE") else self.body.decode("utf-8")


@frozen
class Reply:
    """A reply: status, headers and bytes."""

    status: int
    headers: Mapping[str, str]
    body: bytes

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
