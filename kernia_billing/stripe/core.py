"""The request loop of both clients: prepare, send, judge, wait, again; everything but the sending itself."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from itertools import count
from typing import Any

import httpx

from ..domain.secret import Secret
from ..errors import ConfigError
from ..ports.clock import Clock
from ..ports.guard import refuse_inside_unit
from ..ports.pace import Pace
from ..ports.stripe import Method, StripeObject, StripePage
from . import quiet
from .errors import error_of
from .retry import RetryPolicy, may_have_acted, retry_after
from .versions import user_agent
from .wire import Call, NoReply, Reply, page_of, page_params, prepare

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
POOL_SECONDS = 5.0

last_request_id: ContextVar[str | None] = ContextVar("kernia_billing_stripe_request_id", default=None)
"""The `request-id` of the last answer that this thread or task got from Stripe; None if the last try got none."""

_log = logging.getLogger("kernia_billing.stripe")
_API_KEY = re.compile(r"(?:sk|rk)_(live|test)_[A-Za-z0-9_.-]{1,240}")
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
        self, key: Secret, *, clock: Clock, pace: Pace, policy: RetryPolicy, monotonic: Callable[[], float]
    ) -> None:
        mode = _API_KEY.fullmatch(key.reveal())
        if mode is None:
            raise ConfigError(
                ["stripe_key: must be a secret or restricted key: sk_live_…, sk_test_…, rk_live_…, rk_test_…"]
            )
        self._key = key
        self._livemode = mode[1] == "live"
        self._clock = clock
        self._pace = pace
        self._policy = policy
        self._monotonic = monotonic
        quiet.hush()
        user_agent()  # Reads the package's metadata from disk once: here, and not on an event loop later.

    @property
    def livemode(self) -> bool:
        """Whether the key moves real money."""
        return self._livemode

    async def request(
        self,
        method: Method,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> StripeObject:
        """Send one request, again where that may help, and give the decoded object.

        `path` is `/v1/…`; the ids in it must have been checked. A POST needs an `idempotency_key` of 1 to 255 visible
        ASCII characters, the same for every attempt at one logical operation; for GET and DELETE none is sent.

        Raises:
            GuardError: called inside a unit of work, a path that is none, a POST without a key.
            InvalidInput: a parameter that cannot be sent; `field` names it.
            PaymentFailed, NotFound, Conflict, StripeRefused: Stripe said no; see `errors` of this package.
            Unavailable: no answer, a busy Stripe or a failing one, after the retries.
        """
        refuse_inside_unit("a Stripe call")
        call = prepare(method, path, params, idempotency_key)
        deadline = self._monotonic() + self._policy.budget
        acted = False
        for attempt in count(1):
            outcome, cause = await self._attempt(call, deadline)
            if isinstance(outcome, Reply) and outcome.good and outcome.json is not None:
                return outcome.json
            acted = may_have_acted(method, outcome, before=acted)
            delay = self._policy.delay(outcome, attempt, jitter=self._pace.jitter(), now=self._clock.now())
            if delay is None or self._monotonic() + delay >= deadline:
                advice = retry_after(outcome, self._clock.now()) if isinstance(outcome, Reply) else None
                raise error_of(outcome, outcome_unknown=acted, retry_after=advice) from cause
            await self._pace.sleep(delay)
        raise AssertionError("unreachable")  # pragma: no cover

    async def page(self, path: str, params: Mapping[str, Any] | None = None, *, after: str | None = None) -> StripePage:
        """Read one page (100 objects) of a list, from the first one or behind the object with the id `after`.

        Raises:
            Unavailable: what came is no list, or as `request`.
        """
        return page_of(await self.request("GET", path, page_params(params, after)))

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
            outcome, cause = NoReply(sent=False), error
        except (httpx.RequestError, TimeoutError) as error:
            outcome, cause = NoReply(sent=True), error
        except Unusable as error:
            outcome, cause = NoReply(sent=True, again=False), error
        self._note(call, outcome)
        return outcome, cause

    def _note(self, call: Call, outcome: Reply | NoReply) -> None:
        if isinstance(outcome, Reply):
            last_request_id.set(outcome.request_id)
            level = logging.DEBUG if outcome.status < 500 else logging.WARNING
            _log.log(level, "Stripe %s %s: %d (%s)", call.method, call.path, outcome.status, outcome.request_id)
        else:
            last_request_id.set(None)
            _log.warning("Stripe %s %s: no usable answer", call.method, call.path)

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
