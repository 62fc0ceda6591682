"""The billing routes as a WSGI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIEnvironment

from kernia_billing._drive import run_blocking
from kernia_billing._hosting import Host
from kernia_billing.http.dispatch import dispatch
from kernia_billing.http.environ import body_reader, headers_of, path_of
from kernia_billing.http.messages import Request

from .wire import start

if TYPE_CHECKING:
    from kernia_billing import Billing


class BillingApp:
    """Every route of the library. Mount it where `base_path` says, with `DispatcherMiddleware` or a server's own means.

    `identify(environ)` gives who is signed in, an `Identity` or None. It is asked only for routes that need it.

    How long a client may take to send a body is the server's to limit: with few worker threads, put a server or a proxy
    in front that collects requests first, as gunicorn's documentation asks for too.

    Raises:
        ConfigError: given an `AsyncBilling`, or an `identify` that is no plain function.
    """

    def __init__(self, billing: Billing, *, identify: Callable[[Any], Any]) -> None:
        self._host = Host.of(billing, identify, asynchronous=False)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        request = Request(
            method=environ["REQUEST_METHOD"],
            path=path_of(environ),
            query=environ.get("QUERY_STRING", ""),
            headers=headers_of(environ),
            read_body=body_reader(environ),
            identify=self._host.asks(environ),
        )
        response = run_blocking(dispatch(self._host.service, request))
        return start(start_response, request.method, response)
