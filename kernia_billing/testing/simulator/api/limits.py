"""Rate limits and locks, for who turns them on: `simulator.settings.rate_limits = True`.

Source: Stripe, "Rate limits" (2026): 25 requests a second in a sandbox and 100 in live mode for an account, 25 for an
endpoint, 20 searches; meter events have a limit of their own in live mode; a subscription takes 10 new invoices a
minute, 20 a day, and 200 changes of quantities an hour. Two writers on one customer or subscription do not wait for
each other: the second is refused with `lock_timeout`. All is counted on the simulator's clock, so that a client which
waits must let it run.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from attrs import define, field, frozen

from ..world.errors import ApiError

if TYPE_CHECKING:
    from ..world.world import World
    from .router import Call, Route

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND


@frozen
class Limit:
    """At most so many in so many microseconds."""

    most: int
    within: int


ACCOUNT = {False: Limit(25, SECOND), True: Limit(100, SECOND)}
"""By whether the account has the rates of live mode."""
ENDPOINT = Limit(25, SECOND)
SEARCH = Limit(20, SECOND)
METER_EVENTS = Limit(1_000, SECOND)
QUANTITIES = Limit(200, HOUR)
INVOICES = (Limit(10, MINUTE), Limit(20, DAY))

_METER_EVENTS = "/v1/billing/meter_events"


@define(eq=False)
class Limits:
    """Counts the requests of an account and holds what they write to."""

    world: World
    _seen: dict[str, deque[int]] = field(factory=dict[str, "deque[int]"], init=False)
    _held: set[str] = field(factory=set[str], init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def count(self, route: Route, call: Call) -> None:
        """Count a request; one that is refused counts too.

        Raises:
            ApiError: 429 rate_limit.
        """
        settings = self.world.settings
        if not settings.rate_limits:
            return
        over = [
            name for name, limit in self._buckets(route, call, live=settings.live_rates) if not self._fits(name, limit)
        ]
        if over or self._invoices_are_too_many(route, call):
            raise ApiError("Request rate limit exceeded.", status=429, code="rate_limit")

    @contextmanager
    def holding(self, route: Route, call: Call) -> Generator[None]:
        """Hold the customers and subscriptions that a request writes to while it runs.

        Raises:
            ApiError: 429 lock_timeout, because another request holds one of them.
        """
        writes = route.method != "GET" and self.world.settings.rate_limits
        wanted = set(_owners(call)) if writes else set[str]()
        with self._lock:
            taken = wanted & self._held
            if not taken:
                self._held |= wanted
        if taken:
            message = (
                "This object cannot be accessed right now because another API request or Stripe process is currently "
                "accessing it. If you see this error intermittently, retry the request."
            )
            raise ApiError(message, status=429, code="lock_timeout")
        try:
            yield
        finally:
            with self._lock:
                self._held -= wanted

    def _buckets(self, route: Route, call: Call, *, live: bool) -> Iterator[tuple[str, Limit]]:
        if route.template == _METER_EVENTS and live:
            yield route.template, METER_EVENTS
            return
        yield "account", ACCOUNT[live]
        is_search = route.template.endswith("/search")
        yield f"{route.method} {route.template}", SEARCH if is_search else ENDPOINT
        if route.method == "POST" and _changes_quantities(call):
            for id in self._subscriptions(call):
                yield f"quantities of {id}", QUANTITIES

    def _fits(self, name: str, limit: Limit) -> bool:
        now, seen = self.world.account_clock.now(), self._seen.setdefault(name, deque())
        while seen and seen[0] <= now - limit.within:
            seen.popleft()
        fits = len(seen) < limit.most
        if fits:
            seen.append(now)
        return fits

    def _invoices_are_too_many(self, route: Route, call: Call) -> bool:
        """Whether a request that bills a subscription at once comes after too many invoices of it."""
        bills = route.template == "/v1/invoices" or call.params.get("proration_behavior") == "always_invoice"
        if route.method != "POST" or not bills:
            return False
        now = self.world.clock.seconds()
        for id in self._subscriptions(call):
            made = [row["created"] for row in self.world.table("invoice") if row.get("_subscription") == id]
            if any(sum(at > now - limit.within // SECOND for at in made) >= limit.most for limit in INVOICES):
                return True
        return False

    def _subscriptions(self, call: Call) -> set[str]:
        """The subscriptions that a request names, by themselves or by one of their items."""
        named = {*call.ids, *_texts(call.params, "subscription")}
        items = self.world.table("subscription_item").rows
        return {id for id in named if id.startswith("sub_")} | {
            items[id]["subscription"] for id in named & items.keys()
        }


def _changes_quantities(call: Call) -> bool:
    items: list[Mapping[str, Any]] = call.params.get("items") or []
    of_items = isinstance(items, list) and any("quantity" in item for item in items)
    return of_items or "quantity" in call.params


def _owners(call: Call) -> Iterator[str]:
    named = {*call.ids, *_texts(call.params, "customer"), *_texts(call.params, "subscription")}
    return (id for id in named if id.startswith(("cus_", "sub_")))


def _texts(params: Mapping[str, Any], name: str) -> list[str]:
    found = cast("object", params.get(name))
    return [found] if isinstance(found, str) else []
