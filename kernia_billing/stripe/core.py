"""The request loop of both clients: prepare, send, judge, wait, again; everything but the sending itself."""

from __future__ import annotations

import math
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from itertools import count
from typing import Any

import httpx

from ..domain.secret import Secret
from ..errors import ConfigError, Unavailable
from ..ports.clock import Clock
from ..ports.guard import refuse_inside_unit
from ..ports.pace import Pace
from ..ports.stripe import Method, StripeObject, StripePage
from ..ports.telemetry import SILENT, STRIPE_DURATION, STRIPE_WAIT, Span, Telemetry
from . import quiet
from .budget import RateBudget
from .errors import error_of
from .retry import RetryPolicy, may_have_acted, retry_after
from .templates import template_of
from .versions import user_agent
from .wire import HOST, Call, NoReply, Reply, page_of, page_params, prepare

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
POOL_SECONDS = 5.0
BACKGROUND_PATIENCE = 60.0
"""So long a background request waits for a moment in which nobody else needs Stripe; then its job ends for now."""

last_request_id: ContextVar[str | None] = ContextVar("kernia_billing_stripe_request_id", default=None)
"""The `request-id` of the last answer that this thread or task got from Stripe; None if the last try got none."""

_API_KEY = re.compile(r"(?:sk|rk)_(?:live|test)_[A-Za-z0-9_.-]{1,240}")
_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


class Unusable(Exception):
    """A reply that is too large or compressed: it would be no other the next time."""


class StripeCore(ABC):
    """What both clients share: everything but sending and waiting."""

    def __init__(
        self,
        key: Secret,
        *,
        clock: Clock,
        pace: Pace,
        policy: RetryPolicy,
        monotonic: Callable[[], float],
        budget: RateBudget | None,
        telemetry: Telemetry = SILENT,
    ) -> None:
        if not _API_KEY.fullmatch(key.reveal()):
            raise ConfigError(
                ["stripe_key: must be a secret or restricted key: sk_live_…, sk_test_…, rk_live_…, rk_test_…"]
            )
        self._key = key
        self._clock = clock
        self._pace = pace
        self._policy = policy
        self._monotonic = monotonic
        self._budget = budget
        self._telemetry = telemetry
        quiet.hush()
        user_agent()  # Reads the package's metadata from disk once: here, and not on an event loop later.

    async def request(
        self,
        method: Method,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> StripeObject:
        """Send one request, again where that may help, and give the decoded object.

        `path` is `/v1/…`, or `/v2/core/events/…`; the ids in it must have been checked. A POST needs an
        `idempotency_key` of 1 to 255 visible ASCII characters, the same for every attempt at one logical operation;
        for GET and DELETE none is sent.

        Raises:
            GuardError: called inside a unit of work, a path that is none, a POST without a key.
            InvalidInput: a parameter that cannot be sent; `field` names it.
            PaymentFailed, NotFound, Conflict, StripeRefused: Stripe said no; see `errors` of this package.
            Unavailable: no answer, a busy Stripe or a failing one, after the retries.
        """
        return await self._send(method, path, params, idempotency_key, background=False)

    def in_background(self) -> BackgroundStripe:
        """The same client for work that nobody waits for: within the rate budget its requests never delay others."""
        return BackgroundStripe(self)

    async def page(self, path: str, params: Mapping[str, Any] | None = None, *, after: str | None = None) -> StripePage:
        """Read one page (100 objects) of a list, from the first one or behind the object with the id `after`.

        Raises:
            Unavailable: what came is no list, or as `request`.
        """
        return page_of(await self.request("GET", path, page_params(params, after)))

    async def _send(
        self,
        method: Method,
        path: str,
        params: Mapping[str, Any] | None,
        idempotency_key: str | None,
        *,
        background: bool,
    ) -> StripeObject:
        refuse_inside_unit("a Stripe call")
        call = prepare(method, path, params, idempotency_key)
        template = template_of(path)
        told = {"http.request.method": method, "url.template": template, "server.address": HOST}
        with self._telemetry.span(f"{method} {template}", told, kind="client", measure=STRIPE_DURATION) as span:
            return await self._repeat(call, template, span, background=background)

    async def _repeat(self, call: Call, template: str, span: Span, *, background: bool) -> StripeObject:
        """Send until an answer is good or final, or patience ends."""
        begun = self._monotonic()
        deadline = begun + self._policy.budget
        acted = False
        for attempt in count(1):
            deadline += await self._turn(deadline, acted=acted, background=background)
            outcome, cause = await self._attempt(call, deadline)
            acted = may_have_acted(call.method, outcome, before=acted)
            delay = self._delay(outcome, attempt, deadline)
            if delay is not None:
                self._telemetry.log("info", "stripe.retry", {"operation": f"{call.method} {template}", "after": delay})
                await self._pace.sleep(delay)
                continue
            self._note(call, template, span, outcome, attempt, self._monotonic() - begun)
            if isinstance(outcome, Reply) and outcome.good and outcome.json is not None:
                return outcome.json
            advice = retry_after(outcome, self._clock.now()) if isinstance(outcome, Reply) else None
            raise error_of(outcome, outcome_unknown=acted, retry_after=advice) from cause
        raise AssertionError("unreachable")  # pragma: no cover

    def _delay(self, outcome: Reply | NoReply, attempt: int, deadline: float) -> float | None:
        """How long to wait before the next attempt; None if there is to be none."""
        if isinstance(outcome, Reply) and outcome.good:
            return None
        delay = self._policy.delay(outcome, attempt, jitter=self._pace.jitter(), now=self._clock.now())
        return None if delay is None or self._monotonic() + delay >= deadline else delay

    async def _turn(self, deadline: float, *, acted: bool, background: bool) -> float:
        """Wait until the rate budget lets a request go; gives the seconds that do not count as the request's own."""
        if self._budget is None:
            return 0.0
        if background:
            waited = await self._spare_turn(self._budget, acted=acted)
        else:
            now = self._monotonic()
            # Half of the time is kept for the request itself.
            wait = self._budget.claim(now, (deadline - now) / 2)
            if wait is None:
                raise _busy(self._policy.budget, acted=acted)
            if wait > 0:
                await self._pace.sleep(wait)
            waited = wait
        self._telemetry.record(STRIPE_WAIT, waited, {"kernia_billing.background": background})
        return waited if background else 0.0

    async def _spare_turn(self, budget: RateBudget, *, acted: bool) -> float:
        begun = self._monotonic()
        while (wait := budget.claim_spare(self._monotonic())) > 0:
            if self._monotonic() + wait - begun > BACKGROUND_PATIENCE:
                raise _busy(BACKGROUND_PATIENCE, acted=acted)
            await self._pace.sleep(wait)
        return self._monotonic() - begun

    @abstractmethod
    async def close(self) -> None:
        """Close the connections that this client opened; an httpx client that was given stays open."""

    @abstractmethod
    async def _exchange(self, call: Call, deadline: float) -> Reply:
        """Send `call` once and read the reply; raise what httpx raises, `TimeoutError` or `Unusable`."""

    async def _attempt(self, call: Call, deadline: float) -> tuple[Reply | NoReply, Exception | None]:
        cause: Exception | None = None
        try:
            with quiet.ours():
                outcome: Reply | NoReply = await self._exchange(call, deadline)
        except _NEVER_SENT as error:
            outcome, cause = NoReply(sent=False, again=not _is_impostor(error)), error
        except (httpx.RequestError, TimeoutError) as error:
            outcome, cause = NoReply(sent=True), error
        except Unusable as error:
            outcome, cause = NoReply(sent=True, again=False), error
        last_request_id.set(outcome.request_id if isinstance(outcome, Reply) else None)
        return outcome, cause

    def _note(
        self, call: Call, template: str, span: Span, outcome: Reply | NoReply, attempts: int, seconds: float
    ) -> None:
        """Tell of a finished request: what kind it was and how it went, not what was in it."""
        reply = outcome if isinstance(outcome, Reply) else None
        status = None if reply is None else reply.status
        request_id = None if reply is None else reply.request_id
        span.set("http.response.status_code", status)
        span.identify("http.request.resend_count", attempts - 1 or None)
        span.identify("stripe.request_id", request_id)
        self._telemetry.log(
            "warning" if status is None or status >= 500 else "debug",
            "stripe.request",
            {
                "operation": f"{call.method} {template}",
                "status": status,
                "attempts": attempts,
                "seconds": round(seconds, 6),
                "request_id": request_id,
            },
        )

    def _request(self, call: Call, deadline: float) -> httpx.Request:
        left = max(0.0, deadline - self._monotonic())
        read = min(READ_SECONDS, left)
        timeout = httpx.Timeout(connect=min(CONNECT_SECONDS, left), read=read, write=read, pool=min(POOL_SECONDS, left))
        # Not by the client's `build_request`: an application's default headers, cookies and query stay its own.
        return httpx.Request(
            call.method,
            call.url,
            headers=call.headers(self._key),
            content=call.body,
            extensions={"timeout": timeout.as_dict()},
        )


class BackgroundStripe:
    """A client for work that nobody waits for. It shares the connections of the client that made it."""

    def __init__(self, stripe: StripeCore) -> None:
        self._stripe = stripe

    async def request(
        self,
        method: Method,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> StripeObject:
        """As `StripeCore.request`, once the rate budget is full; `Unavailable` where that takes over a minute."""
        return await self._stripe._send(method, path, params, idempotency_key, background=True)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the other half of one thing

    async def page(self, path: str, params: Mapping[str, Any] | None = None, *, after: str | None = None) -> StripePage:
        """As `StripeCore.page`, in the background."""
        return page_of(await self.request("GET", path, page_params(params, after)))

    def in_background(self) -> BackgroundStripe:
        """The same."""
        return self

    async def close(self) -> None:
        """Nothing: the connections belong to the client that made this one."""


def _is_impostor(error: BaseException | None) -> bool:
    """Whether the other side could not prove that it is Stripe: it would not the next time either."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _busy(seconds: float, *, acted: bool) -> Unavailable:
    return Unavailable(
        "Too many requests to Stripe are under way",
        code="STRIPE_BUSY",
        retry_after=math.ceil(seconds),
        outcome_unknown=acted,
    )
