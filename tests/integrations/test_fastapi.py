"""The FastAPI extension."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from starlette.middleware.cors import CORSMiddleware

from kernia_billing import FeatureDenied, Identity, InvalidInput, requires_feature
from kernia_billing.domain.answers import Decision
from kernia_billing_fastapi import CurrentReference, KerniaBilling, RequiresFeature
from tests.integrations.sites import BROWSER, USER, Sent, ask, async_billing, fastapi_identity

closed: list[str] = []


def may_act_for(identity: Identity, reference: str, action: str) -> bool:
    """What the host says about references."""
    return reference == "org_1"


async def said() -> str:
    """An endpoint."""
    return "passed"


async def left(decision: Annotated[Decision, Depends(RequiresFeature("projects", 2))], who: CurrentReference) -> Any:
    """An endpoint that uses what its dependencies found out."""
    return [decision.remaining, who]


def left_in_thread(
    decision: Annotated[Decision, Depends(RequiresFeature("projects", 2))], who: CurrentReference
) -> Any:
    """The same, run in a thread."""
    return [decision.remaining, who]


def token(x_token: Annotated[str, Header()]) -> str:
    """A credential that must be there."""
    return x_token


async def session() -> AsyncIterator[str]:
    """A dependency that is closed."""
    try:
        yield "session"
    finally:
        closed.append("session")


def current_user(
    request: Request, key: Annotated[str, Depends(token)], session: Annotated[str, Depends(session)]
) -> str:
    """The user whose token it is, by the state of the application."""
    assert session == "session"
    users: dict[str, str] = request.app.state.users
    if key not in users:
        raise HTTPException(int(key) if key.isdigit() else 401)
    return users[key]


async def identify(user: Annotated[str, Depends(current_user)]) -> Identity | None:
    """The host's own authentication."""
    return Identity(user) if user != "banned" else None


@pytest.mark.anyio
async def test_dependencies() -> None:
    """`RequiresFeature` gives its decision, `CurrentReference` the caller's own, in both kinds of endpoints."""
    billing, _ = async_billing()
    app = FastAPI()
    KerniaBilling(billing, identify=fastapi_identity, paywall_url="/pricing").init_app(app)
    app.get("/left")(left)
    app.get("/left-in-thread")(left_in_thread)
    app.get("/denied", dependencies=[Depends(RequiresFeature("sso"))])(said)

    async with billing:
        for path in ("/left", "/left-in-thread"):
            assert (await ask(app, Sent("GET", path, USER))).json == [3, "user_1"]
            assert (await ask(app, Sent("GET", path))).code == "UNAUTHORIZED"
        denied = await ask(app, Sent("GET", "/denied", USER))
        person = await ask(app, Sent("GET", "/denied", {**USER, **BROWSER}))
    assert (denied.status, denied.code) == (402, "FEATURE_DENIED")
    assert person.headers["location"] == "/pricing?reason=not_entitled"


@pytest.mark.anyio
async def test_a_reference_from_the_request_is_authorised() -> None:
    """A path or query parameter names it; the host says whether the caller may act for it; two names are none."""
    billing, _ = async_billing(authorize_reference=may_act_for)
    app = FastAPI()
    KerniaBilling(billing, identify=fastapi_identity).init_app(app)
    for path in ("/of", "/of/{org}"):
        app.get(path, dependencies=[Depends(RequiresFeature("projects", reference_from="org"))])(said)
    expected = {
        "/of/org_1": 200,
        "/of/org_2": 401,
        "/of/org_1?org=org_2": 200,
        "/of?org=org_1": 200,
        "/of?org=org_2": 401,
        "/of": 400,
        "/of?org=": 400,
        "/of?org=org_1&org=org_1": 400,
    }

    async with billing:
        assert {target: (await ask(app, Sent("GET", target, USER))).status for target in expected} == expected


@pytest.mark.anyio
async def test_identify_is_a_dependency_with_its_own() -> None:
    """Headers, plain and asynchronous and yielding dependencies, `request.app`, overrides; a refusal means nobody."""
    billing, _ = async_billing()
    app = FastAPI()
    app.state.users = {"t1": "user_1", "t2": "banned"}
    KerniaBilling(billing, identify=identify).init_app(app)
    app.get("/gated")(requires_feature("projects")(said))
    closed.clear()

    async def status(key: str | None, path: str, method: str = "GET") -> int:
        return (await ask(app, Sent(method, path, {} if key is None else {"x-token": key}))).status

    async with billing:
        for path in ("/gated", "/api/auth/billing/customer"):
            assert [await status(key, path) for key in ("t1", "t2", "t3", "403", None)] == [200, 401, 401, 401, 401]
        assert len(closed) == 10
        assert await status(None, "/api/auth/billing/plans") == 200
        assert await status("429", "/gated") == 429
        assert await status("429", "/api/auth/billing/customer") == 500
        assert await status("t1", "/api/auth/billing/customer", "HEAD") == 200
        app.dependency_overrides = {current_user: lambda: "user_9"}
        assert await status(None, "/gated") == 200


@pytest.mark.anyio
async def test_a_refusal_passes_through_the_middleware_of_the_application() -> None:
    """CORS headers are on a 402 as on every other response, although the extension was added later."""
    billing, _ = async_billing()
    app = FastAPI()
    app.add_middleware(CORSMiddleware, allow_origins=["https://web.example"])
    KerniaBilling(billing, identify=fastapi_identity).init_app(app)
    app.get("/denied")(requires_feature("sso")(said))

    async with billing:
        answer = await ask(app, Sent("GET", "/denied", {**USER, "origin": "https://web.example"}))
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (402, "https://web.example")


@pytest.mark.anyio
async def test_handlers_and_routes_of_the_application_win() -> None:
    """A handler for a more special error is asked first, and so is a route that was there before."""
    billing, _ = async_billing()
    app = FastAPI()
    app.get("/api/auth/login")(said)
    app.get("/denied")(requires_feature("sso")(said))
    KerniaBilling(billing, identify=fastapi_identity).init_app(app)

    async def own(request: Request, error: Exception) -> Response:
        return Response(status_code=418)

    app.add_exception_handler(FeatureDenied, own)
    async with billing:
        assert (await ask(app, Sent("GET", "/api/auth/login"))).status == 200
        assert (await ask(app, Sent("GET", "/denied", USER))).status == 418


def test_a_gate_with_wrong_values_is_refused_when_it_is_made() -> None:
    """Neither a key that cannot be, nor a number."""
    for feature, required in (("two words", 1), ("projects", -1), ("projects", 10**9 + 1)):
        with pytest.raises(InvalidInput):
            RequiresFeature(feature, required)
