"""Gates in the views of a WSGI application."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from kernia_billing._bound_body import bound_body, bound_start
from kernia_billing._hosting import Host
from kernia_billing.errors import BillingError
from kernia_billing.http.environ import headers_of
from kernia_billing.http.gate import bind

from .wire import start

if TYPE_CHECKING:
    from kernia_billing import Billing


class BillingMiddleware:
    """Makes `@requires_feature` and `@requires_subscription` work in the views of `app`, and shows their refusals.

    A view that raises `FeatureDenied` or another of our errors, from a gate or from `consume`, is answered with 402
    (401, 409, 503 …) and JSON, or for people in a browser by a redirect to `paywall_url?reason=…`. Mistakes of the
    application, such as a feature that does not exist, are raised.

    `identify(environ)` gives who is signed in, an `Identity` or None. It is asked only when a gate runs, at most once a
    request.

    Raises:
        ConfigError: given an `AsyncBilling`, an `identify` that is no plain function, or a `paywall_url` that is none.
    """

    def __init__(
        self, app: WSGIApplication, billing: Billing, *, identify: Callable[[Any], Any], paywall_url: str = "/billing"
    ) -> None:
        self._app = app
        self._host = Host.of(billing, identify, asynchronous=False, paywall_url=paywall_url)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application with a binding for this request."""

        def refuse(error: BillingError) -> Iterable[bytes]:
            method: str = environ["REQUEST_METHOD"]
            response = self._host.shown(error, method, headers_of(environ))
            if response is None:
                raise error
            return start(starts, method, response, sys.exc_info())

        binding = self._host.binding(environ)
        starts = bound_start(start_response, binding)
        try:
            with bind(binding):
                body = self._app(environ, starts)
        except BillingError as error:
            return refuse(error)
        return bound_body(body, binding, environ, refuse=refuse)
