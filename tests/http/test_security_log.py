"""What an operator can look up afterwards: who was refused, and who acted as an administrator."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Identity
from kernia_billing.errors import Forbidden, IdempotencyMismatch
from kernia_billing.ports.telemetry import Attributes, Level, NullTelemetry
from tests.http.support import Recorder, send


class Told(NullTelemetry):
    """Keeps events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def log(self, level: Level, event: str, fields: Attributes | None = None) -> None:
        """Keep one."""
        self.events.append((level, event, dict(fields or {})))


@pytest.fixture
def told() -> Told:
    """What was logged."""
    return Told()


def test_a_refused_reference_is_noted(told: Told) -> None:
    """With the route, who asked, and the code; nothing of what was sent."""
    service = Recorder(telemetry=told)
    service.allows = False
    response = send(service, "GET", "/subscription/list", query="referenceId=org_of_others&customerType=organization")

    assert response.status in (401, 403)
    (event,) = told.events
    assert event[:2] == ("info", "http.refused")
    assert event[2]["route"] == "GET /subscription/list"
    assert event[2]["actor"] == "user:user_1"
    assert "org_of_others" not in repr(event)


def test_administrators_are_noted_whether_they_are_or_not(told: Told) -> None:
    """Who may is noted before anything is done, who may not is refused; an address as an id is hashed."""
    service = Recorder(telemetry=told)
    send(service, "POST", "/stripe/catalog/sync", {}, identity=Identity("jane@example.com"))
    service.admin = True
    send(service, "POST", "/stripe/catalog/sync", {}, identity=Identity("root"))

    assert [(level, event) for level, event, _ in told.events] == [("info", "http.refused"), ("info", "http.admin")]
    assert told.events[0][2]["actor"].startswith("user:sha256-")
    assert told.events[1][2] == {"route": "POST /stripe/catalog/sync", "actor": "user:root", "code": None}
    assert "jane" not in repr(told.events)


@pytest.mark.parametrize("failure", [Forbidden(), IdempotencyMismatch("another request")])
def test_refusals_of_operations_are_noted(told: Told, failure: Exception) -> None:
    """A key used for another request, and what an operation itself forbids."""
    service = Recorder(telemetry=told)
    service.fails = failure
    send(service, "GET", "/subscription/list")

    assert [(event, fields["code"]) for _, event, fields in told.events] == [("http.refused", failure.code)]  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] - a recorder stands there


def test_what_is_allowed_is_not_noted(told: Told) -> None:
    """An ordinary request leaves nothing."""
    send(Recorder(telemetry=told), "GET", "/subscription/list")

    assert told.events == []
