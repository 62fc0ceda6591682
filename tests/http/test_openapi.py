"""The description of the routes says what the routes do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from kernia_billing.http.examples import BODIES
from kernia_billing.http.openapi import document
from kernia_billing.http.routes import KAVACH_ROUTES, ROUTES
from kernia_billing.http.wire import Nothing
from tests.http.support import ORIGIN, Recorder, parsed, send
from tests.http.test_judgement import MINIMAL


def described() -> dict[str, Any]:
    """The document as anybody gets it."""
    found: dict[str, Any] = parsed(send(Recorder(), "GET", "/billing/openapi.json", identity=None))
    return found


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in it."""
    text = json.dumps(value)
    return iter(re.findall(r'"\$ref": "([^"]+)"', text))


def schema_of(content: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    """The schema of a JSON content, looked up."""
    schema: dict[str, Any] = content["content"]["application/json"]["schema"]
    if "$ref" in schema:
        schema = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def test_it_describes_every_route_and_nothing_else() -> None:
    """From the same table that dispatches."""
    found = described()
    operations = {(method.upper(), path) for path, item in found["paths"].items() for method in item}

    assert found["openapi"].startswith("3.1.")
    assert found["servers"] == [{"url": f"{ORIGIN}/api/auth"}]
    assert operations == {(route.method, route.path) for route in ROUTES}
    assert "/stripe/webhook" not in document("x", has_webhook=False)["paths"]


def test_it_is_whole() -> None:
    """Every reference leads somewhere, every operation has its own id and answers."""
    found = described()
    known = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    operations = [operation for item in found["paths"].values() for operation in item.values()]

    assert set(references(found)) <= known
    assert len({each["operationId"] for each in operations}) == len(operations)
    for each in operations:
        assert {"405", "500"} < set(each["responses"])
        assert each["responses"].keys() & {"200", "302"}


def test_it_states_types_and_ranges() -> None:
    """As the routes enforce them."""
    found = described()
    upgrade = found["components"]["schemas"]["Upgrade"]
    usage = {each["name"]: each for each in found["paths"]["/billing/usage"]["get"]["parameters"]}
    track = found["paths"]["/billing/track"]["post"]

    assert upgrade["required"] == ["plan"]
    assert {"minimum": 1, "maximum": 10**9}.items() <= upgrade["properties"]["seats"]["anyOf"][0].items()
    assert list(usage) == ["referenceId", "customerType", "feature", "from", "to", "limit", "cursor"]
    assert usage["limit"]["schema"]["maximum"] == 200
    assert [each["name"] for each in track["parameters"]] == ["referenceId", "customerType", "idempotency-key"]
    assert track["requestBody"]["required"] is True


@pytest.mark.parametrize(
    "route", [each for each in ROUTES if each.answer is not None], ids=lambda route: f"{route.method} {route.path}"
)
def test_answers_have_the_members_that_it_names(route: Any) -> None:
    """Every required member is there, no other one is, and the status is described."""
    found = described()
    service = Recorder()
    service.admin = True
    response = send(
        service,
        route.method,
        route.path,
        MINIMAL.get(route.path, b"{}" if route.action == "signed" else None),
        headers={"stripe-signature": "good"},
    )
    operation = found["paths"][route.path][route.method.lower()]
    schema = schema_of(operation["responses"][str(response.status)], found)
    answer = parsed(response)
    if schema["type"] == "array":
        schema, answer = found["components"]["schemas"]["SubscriptionView"], answer[0]

    assert set(schema.get("required", ())) <= set(answer) <= set(schema.get("properties", answer))


@pytest.mark.parametrize("path", sorted({*BODIES} & {each.path for each in (*ROUTES, *KAVACH_ROUTES)}))
def test_examples_are_answered(path: str) -> None:
    """The request that is shown for a route is one that it takes, and stands in the description."""
    service = Recorder(kavach_routes=True)
    shown = document("x", has_webhook=True, kavach=True)["paths"][path]["post"]["requestBody"]["content"]

    assert send(service, "POST", path, dict(BODIES[path])).status == 200
    assert shown["application/json"]["example"] == BODIES[path]


def test_every_body_has_an_example() -> None:
    """A route that takes members is added with a request that works."""
    takes_members = {
        route.path for route in (*ROUTES, *KAVACH_ROUTES) if route.method == "POST" and route.wire is not Nothing
    }

    assert takes_members <= set(BODIES)


def test_it_says_who_may_call() -> None:
    """A session or a token where somebody must be signed in, nothing elsewhere, and Stripe's signature for webhooks."""
    found = described()
    for route in ROUTES:
        operation = found["paths"][route.path][route.method.lower()]
        assert bool(operation["security"]) is route.needs_session
    assert {name for each in operation_of(found, "/billing/check")["security"] for name in each} == set(
        found["components"]["securitySchemes"]
    )
    assert "Stripe-Signature" in [each["name"] for each in operation_of(found, "/stripe/webhook")["parameters"]]


def operation_of(found: dict[str, Any], path: str) -> dict[str, Any]:
    """The operation of a POST."""
    operation: dict[str, Any] = found["paths"][path]["post"]
    return operation


def test_the_routes_of_kavach_are_described_where_they_are() -> None:
    """With refusals of their own shape."""
    service = Recorder(kavach_routes=True)
    found = parsed(send(service, "GET", "/billing/openapi.json", identity=None))

    refusal = schema_of(operation_of(found, "/auth/stripe/checkout")["responses"]["401"], found)
    assert list(refusal["properties"]) == ["error"]
    assert "/auth/stripe/checkout" not in described()["paths"]


def test_refusals_are_described_as_problems() -> None:
    """One shape."""
    found = described()
    refusal = schema_of(found["paths"]["/billing/check"]["post"]["responses"]["401"], found)

    assert refusal["required"] == ["code", "message", "requestId", "retryable"]
