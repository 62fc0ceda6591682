"""Asking a FastAPI dependency outside of an endpoint."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from kernia_billing_asgi.wire import ASGIApp, Message, Receive, Scope, Send

_ANSWER = "kernia_billing.identity"


class AsksDependency:
    """`identify(scope)`, which resolves `dependency` and everything that it depends on, as an endpoint would.

    The routes and the gates ask who is signed in late or never, so `identify` cannot simply be a dependency of every
    endpoint: one that refuses strangers would refuse webhooks and public pages too. Instead an application that has
    nothing but this dependency gets a copy of the request, without its body. `request.app` and dependency overrides are
    those of the real application. It has no path parameters: it is the same for every endpoint.

    A refusal (401, 403, or a credential that is missing) means that nobody is signed in.
    """

    def __init__(self, app: FastAPI, dependency: Callable[..., Any]) -> None:
        async def answer(request: Request, identity: Any = Depends(dependency)) -> Response:  # noqa: B008 - known only here
            request.scope[_ANSWER].append(identity)
            return Response()

        self._asking = FastAPI(openapi_url=None)
        self._asking.add_middleware(_InApp, outer=app)
        for refusal in (HTTPException, RequestValidationError):
            self._asking.add_exception_handler(refusal, _raise)
        route = APIRoute("/", answer, response_model=None, dependency_overrides_provider=app)
        self._asking.router.default = route.app

    async def __call__(self, scope: Scope) -> object:
        """What the dependency gives for the request of `scope`; None where it refuses."""
        found: list[object] = []
        method = scope.get("method", "GET")
        request: dict[str, Any] = {**scope, "type": "http", "method": method, "path_params": {}, _ANSWER: found}
        try:
            await self._asking(request, _empty, _nowhere)
        except RequestValidationError:
            return None
        except HTTPException as refused:
            if refused.status_code in (401, 403):
                return None
            raise
        return found[0]


class _InApp:
    """Makes `request.app` the application that the request was sent to."""

    def __init__(self, app: ASGIApp, outer: FastAPI) -> None:
        self._app = app
        self._outer = outer

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        scope["app"] = self._outer
        return self._app(scope, receive, send)


async def _raise(request: Request, error: Exception) -> NoReturn:
    raise error


async def _empty() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nowhere(message: Message) -> None:
    pass
