"""What the description of the routes says is what they do: requests that schemathesis makes of it, right and wrong."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from starlette.applications import Starlette
from starlette.routing import Mount

from kernia_billing import Identity
from kernia_billing.http.openapi import document
from kernia_billing.http.routes import KAVACH_ROUTES, ROUTES
from kernia_billing_asgi import BillingApp
from kernia_billing_flask import KerniaBilling as FlaskBilling
from tests.integrations.sites import ADMIN, ORIGIN, PREFIX, async_billing, blocking_billing, from_flask, from_scope
from tests.strictness import missing

LABELS = sorted(f"{route.method} {route.path}" for route in (*ROUTES, *KAVACH_ROUTES))
EXAMPLES = 2
APPS = ("asgi", "flask")
WITHOUT_MEMBERS = {"GET /billing/plans", "GET /billing/openapi.json"}
"""Nothing can be wrong about a request of these."""
BEYOND_A_SCHEMA = ("metadata", "properties", "cursor", "tz", "from", "occurredAt", "referenceId")
"""Members with rules that JSON Schema cannot say, such as that a time zone is a name that the machine knows."""
BEYOND_IN_WORDS = (
    "expected integer, received number",  # To JSON Schema 1.0 is an integer; a count is never rounded.
    "differs from the body",  # A member that stands in two places says the same in both.
    "Invalid JSON in request body: ",  # JSON that some databases or parsers cannot take: long integers, NUL, depth.
)
"""How refusals begin that JSON Schema cannot foretell."""


def _schemathesis() -> Any:
    try:
        return importlib.import_module("schemathesis")
    except ImportError as error:
        missing(f"schemathesis is not installed: {error}")


Operations = dict[str, Any]


def known(found: Identity | None) -> Identity | None:
    """Nobody but the administrator is known: what schemathesis makes up as a token or a session is nobody's."""
    return found if found is not None and found.user_id == "admin" else None


@pytest.fixture(scope="module", params=APPS)
def app(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A running application with all routes."""
    if request.param == "flask":
        billing, _ = blocking_billing(kavach_routes=True)
        with billing:
            site = Flask("shop")
            FlaskBilling(billing, identify=lambda: known(from_flask())).init_app(site)
            yield site
    else:
        awaited, _ = async_billing(kavach_routes=True)
        yield Starlette(routes=[Mount(PREFIX, BillingApp(awaited, identify=lambda scope: known(from_scope(scope))))])
        asyncio.run(awaited.aclose())


@pytest.fixture(scope="module")
def operations(app: Any) -> Operations:
    """The operations that the description of the application tells of, by method and path."""
    return described(app, document(ORIGIN + PREFIX, has_webhook=True, kavach=True))


def described(app: Any, told: Mapping[str, Any]) -> Operations:
    """The operations that a description tells of, to be played against an application."""
    schema = _schemathesis().openapi.from_dict(json.loads(json.dumps(told)))
    schema.app = app
    return {found.ok().label: found.ok() for found in schema.get_all_operations()}


def judge(case: Any, *, fitting: bool) -> None:
    """Send a request and check everything about the answer that the description says.

    One check of schemathesis is replaced by what stands below it: `positive_data_acceptance` takes every 400 for a
    schema that is too wide, and ours has codes of its own for what no schema knows, such as that a reference is
    somebody else's. `ignored_auth` is left out, because of two ways to sign in it makes one wrong and leaves the
    other; that nobody is let in without either is what `tests/http/test_judgement.py` checks on every route.
    """
    checks: Any = importlib.import_module("schemathesis.specs.openapi.checks")
    case.headers = {**(case.headers or {}), **{name.title(): value for name, value in ADMIN.items()}}
    response = case.call_and_validate(excluded_checks=[checks.positive_data_acceptance, checks.ignored_auth])
    if fitting and response.status_code == 400 and "code" in (refusal := json.loads(response.content)):
        field = str(refusal.get("field", "")).partition(".")[0]
        is_beyond = field in BEYOND_A_SCHEMA or any(each in refusal["message"] for each in BEYOND_IN_WORDS)
        assert refusal["code"] not in ("BAD_REQUEST", "VALIDATION_ERROR") or is_beyond, refusal


def play(operations: Operations, label: str, mode: str, examples: int) -> None:
    """Make requests of one kind, "positive" or "negative", for an operation, and judge each."""
    schemathesis = _schemathesis()
    cases = operations[label].as_strategy(generation_mode=schemathesis.GenerationMode(mode))

    @given(cases)
    def run(case: Any) -> None:
        judge(case, fitting=mode == "positive")

    # schemathesis shows a request as it failed; making it smaller takes minutes and says no more.
    kept = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        phases=[Phase.explicit, Phase.generate],
    )
    kept(run)()


def test_it_tells_of_every_route(operations: Operations) -> None:
    """Of each of ours, and of nothing else."""
    assert sorted(operations) == LABELS


@pytest.mark.parametrize("label", LABELS)
def test_requests_that_fit(operations: Operations, label: str) -> None:
    """They are answered with a status, a type, headers and members that are described, and none is malformed."""
    play(operations, label, "positive", EXAMPLES)


@pytest.mark.parametrize("label", sorted({*LABELS} - WITHOUT_MEMBERS))
def test_requests_that_do_not_fit(operations: Operations, label: str) -> None:
    """They are refused with a status and members that are described, and never with an error of the server."""
    play(operations, label, "negative", EXAMPLES)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("label", sorted({*LABELS} - WITHOUT_MEMBERS))
def test_many_requests(operations: Operations, label: str, mode: str) -> None:
    """The same with a hundred of each kind."""
    play(operations, label, mode, 100)


def test_a_wrong_description_is_noticed(app: Any) -> None:
    """A route that answers a status that is not described fails: the requests are really judged."""
    told = json.loads(json.dumps(document(ORIGIN + PREFIX, has_webhook=True, kavach=True)))
    del told["paths"]["/billing/plans"]["get"]["responses"]["200"]

    with pytest.raises(BaseException, match="Undocumented"):
        play(described(app, told), "GET /billing/plans", "positive", 1)
