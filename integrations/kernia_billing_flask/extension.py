"""The Flask extension."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Blueprint, Flask, Response, request
from werkzeug.routing import BaseConverter, Map

from kernia_billing import _hosting
from kernia_billing._bound_body import bound_body, bound_start
from kernia_billing._drive import run_blocking
from kernia_billing.errors import BillingError
from kernia_billing.http import messages
from kernia_billing.http.dispatch import dispatch
from kernia_billing.http.environ import headers_of, path_of
from kernia_billing.http.gate import bind

from .body import read_body

if TYPE_CHECKING:
    from kernia_billing import Billing, Identity

_CONVERTER = "kernia_billing_rest"


class KerniaBilling:
    """Billing for Flask applications: `KerniaBilling(billing, identify=identify).init_app(app)`.

    Every route of the library appears under a prefix, `@requires_feature` and `@requires_subscription` work in every
    view, plain or `async def`, and one of our errors that a view raises is answered: refusals with 402 and JSON, or for
    people in a browser by a redirect to `paywall_url?reason=…`, others by their status as JSON. An error handler of
    yours for a more special class, such as `FeatureDenied`, wins. Mistakes of the application, such as a feature that
    does not exist, go to Flask's own handling.

    `identify()` gives who is signed in, an `Identity` or None. It is called in the request's context, and only where
    somebody must be known.

    Raises:
        ConfigError: given an `AsyncBilling`, an `identify` that is no plain function, or a `paywall_url` that is none.
    """

    def __init__(
        self, billing: Billing, *, identify: Callable[[], Identity | None], paywall_url: str = "/billing"
    ) -> None:
        self._host = _hosting.Host.of(billing, identify, asynchronous=False, paywall_url=paywall_url)

    def init_app(self, app: Flask, *, url_prefix: str = "/api/auth") -> None:
        """Add everything to an application; any number of applications can share one extension.

        The routes read the raw body, take no part in CSRFProtect of Flask-WTF (they judge the origin themselves), and
        have limits of their own in place of MAX_CONTENT_LENGTH.

        Raises:
            ConfigError: the prefix is no plain path, or not the end of the configuration's `base_path`.
        """
        self._host.require_mount(url_prefix, "url_prefix")
        blueprint = self._blueprint(url_prefix)
        app.register_blueprint(blueprint)
        app.register_error_handler(BillingError, self._show)
        # Flask's own documentation wraps an application in this way; mypy takes the attribute for a method.
        app.wsgi_app = _Bound(app.wsgi_app, self._host)  # type: ignore[method-assign]  # how Flask's documents have middleware put in
        app.before_request_funcs.setdefault(None, []).insert(0, lambda: _exempt(app, blueprint))
        _exempt(app, blueprint)
        app.extensions["kernia_billing"] = self

    def _blueprint(self, prefix: str) -> Blueprint:
        blueprint = Blueprint("kernia_billing", __name__)

        def answer(rest: str) -> Response:
            # `rest` is decoded; what was sent is read from the environment.
            return self._answer(prefix)

        @blueprint.record
        def register(state: Any) -> None:
            app: Flask = state.app
            app.url_map.converters[_CONVERTER] = _Rest
            endpoint = f"{blueprint.name}.answer"
            # Flask's own way would list the methods, and answer the others and OPTIONS itself.
            rule = app.url_rule_class(f"{prefix}/<{_CONVERTER}:rest>", endpoint=endpoint)
            app.url_map.add(rule)
            app.view_functions[endpoint] = answer

        return blueprint

    def _answer(self, prefix: str) -> Response:
        asked = messages.Request(
            method=request.method,
            path=path_of(request.environ, prefix),
            query=request.environ.get("QUERY_STRING", ""),
            headers=headers_of(request.environ),
            read_body=read_body,
            identify=self._host.asks(),
        )
        return _flask_response(run_blocking(dispatch(self._host.service, asked)))

    def _show(self, error: BillingError) -> Response:
        response = self._host.shown(error, request.method, headers_of(request.environ))
        if response is None:
            raise error
        return _flask_response(response)


class _Bound:
    """The application, with a binding for each of its requests."""

    def __init__(self, app: WSGIApplication, host: _hosting.Host) -> None:
        self._app = app
        self._host = host

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        binding = self._host.binding()
        with bind(binding):
            body = self._app(environ, bound_start(start_response, binding))
        return bound_body(body, binding, environ)


class _Rest(BaseConverter):
    """The rest of a path, whatever it looks like: our own 404 is JSON, and nothing is redirected to a cleaner path."""

    regex = r"[\s\S]*?"
    part_isolating = False

    def __init__(self, map: Map) -> None:
        super().__init__(map)


def _flask_response(response: messages.Response) -> Response:
    made = Response(response.body, response.status, dict(response.headers))
    if "content-type" not in response.headers:
        del made.headers["content-type"]
    if request.method == "HEAD":
        made.automatically_set_content_length = False
    return made


def _exempt(app: Flask, blueprint: Blueprint) -> None:
    protection: Any = app.extensions.get("csrf")
    if hasattr(protection, "exempt"):
        protection.exempt(blueprint)
