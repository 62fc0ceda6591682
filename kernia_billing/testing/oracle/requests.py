"""Would the official `stripe` package have sent this request?

Given a request that a library is about to send (method, path, form body, JSON body or query string), decide whether
the endpoint exists, every parameter is known, every value has an accepted type and the required ones are there.

The parameters' TypedDicts of the installed package are resolved and walked together with the decoded request. Form
values are text, so "12" counts as an int only where an int is expected, "true" and "false" as a bool only where a bool
is, and "" only where the type allows it (Stripe's way to unset a field) or where any text goes. Since stripe 15.4 every
request enum is typed `Literal[...] | str`; such a union is held to its literals.

    report = RequestOracle().check_http("POST", "/v1/customers", body="email=a%40b.c")
    assert report.ok, report
"""

from __future__ import annotations

import importlib
import re
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field

from .endpoints import REMOVED, Endpoint, Endpoints
from .forms import decode_form, decode_json
from .values import check_params


@define
class Report:
    """What is wrong with one request; `ok` when nothing is."""

    method: str
    path: str
    endpoint: Endpoint | None
    errors: list[str] = field(factory=list[str])
    warnings: list[str] = field(factory=list[str])

    @property
    def ok(self) -> bool:
        """True when the request would have been sent so."""
        return not self.errors

    def __str__(self) -> str:
        what = (self.endpoint.params or "no params") if self.endpoint else "UNKNOWN ENDPOINT"
        lines = [f"{self.method} {self.path} -> {what}"]
        return "\n".join([*lines, *(f"  error: {e}" for e in self.errors), *(f"  warning: {w}" for w in self.warnings)])


class RequestOracle:
    """Judges requests by the installed `stripe` package. Raises `ImportError` where it is not installed."""

    def __init__(self) -> None:
        self._stripe = importlib.import_module("stripe")
        self.version: str = importlib.import_module("stripe._version").VERSION
        self.api_version: str = importlib.import_module("stripe._api_version")._ApiVersion.CURRENT  # noqa: SLF001 - its only home
        self.endpoints = Endpoints(Path(str(self._stripe.__file__)).resolve().parent)
        self._hints: dict[type, dict[str, Any]] = {}

    def find(self, method: str, path: str) -> Endpoint | None:
        """The endpoint that serves `path`; of several the one with fewest placeholders."""
        path = urlsplit(path).path.rstrip("/") or "/"
        fitting = [e for e in self.endpoints.matching(path) if e.method == method.upper()]
        return min(fitting, key=lambda endpoint: endpoint.template.count("{"), default=None)

    def methods_for(self, path: str) -> list[str]:
        """The methods that exist for `path`."""
        return sorted({endpoint.method for endpoint in self.endpoints.matching(urlsplit(path).path)})

    def check(self, method: str, path: str, params: Mapping[str, Any] | None = None, *, form: bool = True) -> Report:
        """Judge decoded, nested parameters; with `form` their leaves may be text, else they have their JSON types."""
        report = Report(method.upper(), path, self.find(method, path))
        bare = urlsplit(path).path
        removed = [why for pattern, why in REMOVED if pattern.match(bare)]
        if removed:
            report.endpoint = None
            report.errors.append(f"no such endpoint: {removed[0]}")
        elif report.endpoint is None:
            others = ", ".join(self.methods_for(path))
            report.errors.append("no such endpoint" + (f" (path exists for {others})" if others else ""))
        else:
            report.errors.extend(self._check_params(report.endpoint, dict(params or {}), form=form))
        return report

    def check_http(
        self,
        method: str,
        url: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Report:
        """Judge a request as it goes over the wire, its headers too if they are given."""
        parts = urlsplit(url)
        misplaced: list[str] = []
        form = not (parts.path.startswith("/v2/") and method.upper() not in ("GET", "DELETE"))
        try:
            params = _decode(method.upper(), parts.query, body, misplaced, form=form)
        except ValueError as error:
            return Report(method.upper(), parts.path, self.find(method, parts.path), [f"body: {error}"])
        report = self.check(method, parts.path, params, form=form)
        report.errors[:0] = misplaced
        if headers is not None:
            self._check_headers(report, body, {name.lower(): value for name, value in headers.items()})
        return report

    def _check_params(self, endpoint: Endpoint, params: dict[str, Any], *, form: bool) -> list[str]:
        typed_dict = self._params_type(endpoint)
        if endpoint.method == "GET" and endpoint.template.startswith("/v2/"):
            params.pop("page", None)  # the URL of a next page has it, which the package takes as it is
        if typed_dict is not None:
            return check_params(typed_dict, params, hints=self._hints_of, form=form)
        return [f"endpoint takes no parameters, got {sorted(params)}"] if params else []

    def _params_type(self, endpoint: Endpoint) -> type | None:
        if not endpoint.params:
            return None
        module = importlib.import_module(endpoint.params_module or "stripe.params")
        found: type = getattr(module, endpoint.params)
        return found

    def _check_headers(self, report: Report, body: str | bytes | None, headers: Mapping[str, str]) -> None:
        if not re.match(r"^(Bearer|Basic) \S+", headers.get("authorization", "")):
            report.errors.append("header Authorization: missing or not Bearer/Basic")
        if report.method == "POST":
            self._check_post_headers(report, body, headers)
        version = headers.get("stripe-version")
        if version is None:
            report.warnings.append("no Stripe-Version header: the account's default version applies")
        elif version != self.api_version:
            report.warnings.append(f"Stripe-Version {version}, oracle knows {self.api_version}")

    def _check_post_headers(self, report: Report, body: str | bytes | None, headers: Mapping[str, str]) -> None:
        given = headers.get("content-type", "")
        wanted = "application/json" if report.path.startswith("/v2/") else "application/x-www-form-urlencoded"
        if body and not given.startswith((wanted, "multipart/form-data")):
            report.errors.append(f"header Content-Type: {given!r}, expected {wanted}")
        key = headers.get("idempotency-key")
        if key is None:
            report.warnings.append("POST without Idempotency-Key")
        elif len(key) > 255:
            report.errors.append("header Idempotency-Key: longer than 255 characters")

    def _hints_of(self, typed_dict: type) -> dict[str, Any]:
        if typed_dict not in self._hints:
            self._hints[typed_dict] = _resolve_hints(typed_dict)
        return self._hints[typed_dict]


def _decode(method: str, query: str, body: str | bytes | None, misplaced: list[str], *, form: bool) -> dict[str, Any]:
    if method in ("GET", "DELETE"):
        if body:
            misplaced.append(f"{method} carries a body; parameters belong in the query string")
        return decode_form(query)
    if query:
        misplaced.append(f"POST parameters in the query string: {query}")
    if form:
        return decode_form(body or "")
    return decode_json(body or "")


def _resolve_hints(typed_dict: type) -> dict[str, Any]:
    import typing_extensions

    # StripeContext is imported for type checkers only, so that it cannot be resolved at run time.
    names = {"StripeContext": str, **vars(typing), **vars(sys.modules[typed_dict.__module__])}
    hints: dict[str, Any] = typing_extensions.get_type_hints(typed_dict, names, None)
    bases = getattr(typed_dict, "__orig_bases__", ())
    if any(getattr(base, "__name__", "") == "RequestOptions" for base in bases):
        # These classes also name keyword arguments of the Python client (api_key …), which are never on the wire.
        options = importlib.import_module("stripe._request_options").RequestOptions
        return {name: hint for name, hint in hints.items() if name not in options.__annotations__}
    return hints
