"""For whom a request may act."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve

from kernia_billing.domain.references import Identity, Reference
from kernia_billing.errors import Unavailable
from kernia_billing.http.routes import ROUTES
from tests.http.support import USER, Recorder, outcome, parsed, send
from tests.http.test_judgement import MINIMAL

SCOPED = [route for route in ROUTES if route.scoped]


def call(service: Recorder, identity: Identity = USER, **members: Any) -> tuple[int, str | None]:
    """Ask for a check with these members."""
    return outcome(send(service, "POST", "/billing/check", {"feature": "projects", **members}, identity=identity))


def reached(service: Recorder) -> Reference:
    """The reference that the operation got."""
    ((_, values),) = service.calls
    found: Reference = values[0]
    return found


@pytest.mark.parametrize("members", [{}, {"referenceId": "user_1"}, {"referenceId": None}, {"customerType": "user"}])
def test_a_user_acts_for_themselves_without_asking(members: dict[str, Any]) -> None:
    """No id, or the caller's own."""
    service = Recorder()
    service.has_authorize = False

    assert call(service, **members) == (200, None)
    assert reached(service) == Reference("user_1", "user")
    assert service.asked == []


def test_another_user_needs_the_callback() -> None:
    """Without one, 400; with a no, 401; with a yes, the operation gets exactly that reference."""
    service = Recorder()
    service.has_authorize = False
    assert call(service, referenceId="user_2") == (400, "REFERENCE_ID_NOT_ALLOWED")

    service.has_authorize, service.allows = True, False
    assert call(service, referenceId="user_2") == (401, "UNAUTHORIZED")
    assert service.calls == []

    service.allows = True
    assert call(service, referenceId="user_2") == (200, None)
    assert reached(service) == Reference("user_2", "user")
    assert service.asked[-1] == ("user_1", "user_2", "check-feature")


def test_an_organization_needs_everything() -> None:
    """Organizations switched on, a callback, an id or an active organization, and a yes."""
    service = Recorder(organizations_enabled=False)
    assert call(service, customerType="organization") == (400, "ORGANIZATION_SUBSCRIPTION_NOT_ENABLED")

    service = Recorder()
    service.has_authorize = False
    assert call(service, customerType="organization") == (400, "AUTHORIZE_REFERENCE_REQUIRED")

    service.has_authorize = True
    nowhere = evolve(USER, organization_id=None)
    assert call(service, nowhere, customerType="organization") == (400, "REFERENCE_REQUIRED")

    service.allows = False
    assert call(service, customerType="organization", referenceId="org_2") == (401, "UNAUTHORIZED")
    assert service.calls == []

    service.allows = True
    assert call(service, customerType="organization", referenceId="org_2") == (200, None)
    assert reached(service) == Reference("org_2", "organization")


def test_the_active_organization_is_the_default_and_is_asked_about() -> None:
    """The identity is the host's, but what it may do there is for the callback to say."""
    service = Recorder(subscription_for="organization")

    assert call(service) == (200, None)
    assert reached(service) == Reference("org_1", "organization")
    assert service.asked == [("user_1", "org_1", "check-feature")]

    service.allows = False
    assert call(service) == (401, "UNAUTHORIZED")


def test_the_other_name_of_a_code_stands_beside_it() -> None:
    """Better Auth calls a missing reference something else."""
    response = send(
        Recorder(), "GET", "/billing/customer", query="customerType=organization", identity=Identity("user_1")
    )

    assert parsed(response)["code"] == "REFERENCE_REQUIRED"
    assert parsed(response)["alias"] == "ORGANIZATION_REFERENCE_ID_REQUIRED"


@pytest.mark.parametrize("answer", [False, None, 0, 1, "yes", "deny", [True], RuntimeError("x"), Unavailable()])
def test_only_true_is_a_yes(answer: object) -> None:
    """A truthy text, a number and an exception refuse; the exception is reported."""
    service = Recorder()
    service.allows = answer

    assert call(service, referenceId="user_2") == (401, "UNAUTHORIZED")
    assert service.calls == []
    assert [error for error, _ in service.unexpected] == ([answer] if isinstance(answer, Exception) else [])


@pytest.mark.parametrize("route", SCOPED, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_about_a_reference_asks_under_its_own_name(route: Any) -> None:
    """And does nothing when the answer is no."""
    service = Recorder()
    service.allows = False
    named = {"query": "referenceId=user_2"} if route.method == "GET" else {}
    body = None if route.method == "GET" else {**MINIMAL.get(route.path, {}), "referenceId": "user_2"}

    assert outcome(send(service, route.method, route.path, body, **named)) == (401, "UNAUTHORIZED")
    assert service.asked == [("user_1", "user_2", route.action)]
    assert service.calls == []


@pytest.mark.parametrize("route", SCOPED, ids=lambda route: f"{route.method} {route.path}")
def test_a_reference_may_stand_in_the_query_of_any_method(route: Any) -> None:
    """The client puts it there with `query`, also on a POST."""
    service = Recorder()
    body = None if route.method == "GET" else MINIMAL.get(route.path, {})
    response = send(
        service,
        route.method,
        route.path,
        body,
        query="referenceId=a%20b%26c%3Dd%2F%C3%A9&customerType=organization&x=1",
    )

    assert response.status in (200, 302)
    assert service.calls[0][1][0] == Reference("a b&c=d/é", "organization")


@pytest.mark.parametrize(
    ("body", "query"),
    [
        ({"referenceId": "user_1"}, "referenceId=user_2"),
        ({"customerType": "user"}, "customerType=organization"),
        ({}, "referenceId=user_1&referenceId=user_2"),
        ({}, "referenceId=user_1&referenceId=user_1"),
        ({}, "customerType=user&customerType=organization"),
        ({}, "referenceId="),
        ({}, "referenceId=%00"),
        ({}, "referenceId=%ff"),
        ({}, "referenceId=%ED%A0%80"),
        ({}, "customerType=team"),
        ({}, "&".join(f"a{number}=1" for number in range(101))),
        ({"referenceId": ""}, ""),
        ({"referenceId": 5}, ""),
        ({"referenceId": ["user_1"]}, ""),
        ({"referenceId": "x" * 256}, ""),
        ({"referenceId": "a\nb"}, ""),
        ({"customerType": "Organization"}, ""),
    ],
)
def test_a_reference_in_doubt_is_a_400(body: dict[str, Any], query: str) -> None:
    """Two values, a repeated member, or one that cannot be: nobody is asked and nothing is done."""
    service = Recorder()
    response = send(service, "POST", "/billing/check", {"feature": "projects", **body}, query=query)

    assert response.status == 400
    assert (service.asked, service.calls) == ([], [])


def test_the_same_value_twice_is_no_contradiction() -> None:
    """Body and query may agree."""
    service = Recorder()
    response = send(
        service, "POST", "/billing/check", {"feature": "projects", "referenceId": "org_2"}, query="referenceId=org_2"
    )

    assert response.status == 200


def test_a_member_that_is_repeated_in_the_body_is_refused() -> None:
    """Parsers disagree on which of the two counts."""
    raw = b'{"feature":"projects","referenceId":"user_1","referenceId":"user_2"}'
    headers = {"content-type": "application/json"}

    assert outcome(send(Recorder(), "POST", "/billing/check", raw, headers=headers)) == (400, "BAD_REQUEST")
    assert json.loads(raw)["referenceId"] == "user_2"
