"""The FastAPI extension."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response

from kernia_billing._hosting import Host
from kernia_billing.errors import BillingError
from kernia_billing_asgi import BillingApp, BillingMiddleware
from kernia_billing_asgi.wire import headers_of

from .identity import AsksDependency

if TYPE_CHECKING:
    from kernia_billing import AsyncBilling


class KerniaBilling:
    """Billing for FastAPI applications: `KerniaBilling(billing, identify=identify).init_app(app)`.

    Every route of the library appears under a prefix; `RequiresFeature`, `CurrentReference`, `@requires_feature` and
    `@requires_subscription` work in every endpoint, `def` or `async def`; and one of our errors that an endpoint raises
    is answered: refusals with 402 and JSON, or for people in a browser by a redirect to `paywall_url?reason=…`, others
    by their status as JSON. An exception handler of yours for a more special class, such as `FeatureDenied`, wins.
    Mistakes of the application, such as a feature that does not exist, are raised.

    `identify` is a dependency, plain or asynchronous, and may have its own; it gives who is signed in, an `Identity` or
    None. It is resolved only where somebody must be known, on a copy of the request without body and path parameters,
    at most once a request; where it refuses with 401 or 403, nobody is signed in.

    Raises:
        ConfigError: given a `Billing`, an `identify` that is no function, or a `paywall_url` that is none.
    """

    def __init__(self, billing: AsyncBilling, *, identify: Callable[..., Any], paywall_url: str = "/billing") -> None:
        self._host = Host.of(billing, identify, asynchronous=True, paywall_url=paywall_url)
        self._billing = billing

    def init_app(self, app: FastAPI, *, prefix: str = "/api/auth") -> None:
        """Add everything to an application, before it starts. It still opens and closes `billing` in its lifespan.

        Routes of your own under the same prefix must be added before this.

        Raises:
            ConfigError: the prefix is no plain path, or not the end of the configuration's `base_path`.
        """
        self._host.require_mount(prefix, "prefix")
        identify = AsksDependency(app, self._host.identify)
        app.mount(prefix, BillingApp(self._billing, identify=identify))
        app.add_middleware(
            BillingMiddleware, billing=self._billing, identify=identify, paywall_url=self._host.paywall_url
        )
        app.add_exception_handler(BillingError, self._show)

    async def _show(self, request: Request, error: Exception) -> Response:
        # In the innermost layer, so that the refusal passes through the host's own middleware, CORS for one.
        response = None
        if isinstance(error, BillingError):
            response = self._host.shown(error, request.method, headers_of(request.scope))
        if response is None:
            raise error
        is_head = request.method == "HEAD"
        shown = Response(b"" if is_head else response.body, response.status, dict(response.headers))
        if is_head:
            del shown.headers["content-length"]
        return shown
