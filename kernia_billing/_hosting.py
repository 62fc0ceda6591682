"""What every integration needs: the service behind a facade, who asks, and how a refusal is shown."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from attrs import frozen

from ._drive import run_blocking
from ._service import BillingService, service_of
from .domain.references import Identity
from .errors import BillingError, ConfigError, NotFound, Unavailable
from .http.denial import DENIALS, denial_response
from .http.dispatch import refusal
from .http.gate import Binding, Drive
from .http.messages import Response


@frozen
class Host:
    """An application that billing was put into."""

    service: BillingService
    identify: Callable[..., Any]
    paywall_url: str

    @classmethod
    def of(
        cls, billing: object, identify: Callable[..., Any], *, asynchronous: bool, paywall_url: str = "/billing"
    ) -> Self:
        """Check what an integration was given.

        Raises:
            ConfigError: the wrong facade, or an `identify` or `paywall_url` that cannot work.
        """
        problems = [*_problems_of_identify(identify, asynchronous=asynchronous), *_problems_of_url(paywall_url)]
        if problems:
            raise ConfigError(problems)
        return cls(service_of(billing, asynchronous=asynchronous), identify, paywall_url)

    def asks(self, *about: object) -> Callable[[], Awaitable[Identity | None]]:
        """A function that asks who is signed in, which is a plain or an asynchronous function's to say."""

        async def ask() -> Identity | None:
            answer: Any = self.identify(*about)
            identity: Identity | None = await answer if inspect.isawaitable(answer) else answer
            return identity

        return ask

    def binding(self, *about: object, drive: Drive = run_blocking) -> Binding:
        """What the gates of one request go by."""
        return Binding(self.service, identify=self.asks(*about), drive=drive)

    def shown(self, error: BillingError, method: str, headers: Mapping[str, str]) -> Response | None:
        """The response for an error that a view raised, or None: then the application's own handling must see it.

        Refusals of gates are shown as JSON, or to people in a browser as the paywall. Other errors that a client can
        act on become JSON by their status. A feature that does not exist, a gate without a binding and the like are
        mistakes of the application: they are neither a page that is missing nor a refusal.
        """
        if isinstance(error, DENIALS):
            return self._denied(error, method, headers)
        if isinstance(error, NotFound) and error.code == "FEATURE_NOT_FOUND":
            return None
        if error.status >= 500 and not isinstance(error, Unavailable):
            return None
        return refusal(self.service, error)

    def _denied(self, error: BillingError, method: str, headers: Mapping[str, str]) -> Response:
        settings = self.service.settings
        request_id = settings.ids.new("req")
        if isinstance(error.__cause__, Exception):
            settings.report(error.__cause__, request_id)
        return denial_response(method, headers, error, paywall_url=self.paywall_url, request_id=request_id)

    def require_mount(self, prefix: str, option: str) -> None:
        """Check where the routes are mounted.

        Raises:
            ConfigError: not a plain path, or not where `base_path` says: buyers would come back from Checkout to a page
                that does not exist.
        """
        if not prefix.startswith("/") or prefix.endswith("/") or any(each in prefix for each in "<>{}?# "):
            raise ConfigError([f"{option}: must be a path such as '/api/auth': no parameters, no / at its end"])
        base_path = self.service.settings.base_path
        if not base_path.endswith(prefix):
            problem = f"is {base_path!r}, but {option} is {prefix!r}: say what path the routes have on base_url"
            raise ConfigError([f"base_path: {problem}"])


def _problems_of_identify(identify: object, *, asynchronous: bool) -> list[str]:
    if not callable(identify):
        return ["identify: must be a function that gives an Identity, or None where nobody is signed in"]
    if not asynchronous and inspect.iscoroutinefunction(identify):
        return ["identify: Billing cannot await an `async def`; write `def`, or use AsyncBilling"]
    return []


def _problems_of_url(url: object) -> list[str]:
    if isinstance(url, str) and url.startswith(("/", "https://", "http://")) and url.isprintable() and " " not in url:
        return []
    return ["paywall_url: must be a path such as '/billing', or an absolute URL"]
