"""The simulators that users hold: blocking for `Billing`, async for `AsyncBilling`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from . import actions, prices, products
from .clock import SimulatedClock, to_micros
from .delivery import Delivery, signature
from .errors import Json, SimulatorError
from .faults import Fault
from .receiver import AsyncReceiver, Receiver
from .state import State, new_state
from .wire import RequestRecord, Violation
from .world import Settings

if TYPE_CHECKING:
    from .transport import AsyncSimulatorTransport, SimulatorTransport

Interval = Literal["month", "year"]
DECLINING = "4000000000000002"
VISA = "4242424242424242"

Outcome: TypeAlias = tuple[Any, Exception | None]
"""What a call into the library answered, or raised."""


class SimulatorBase:
    """What both simulators have: the account, its clock, and logs of everything."""

    def __init__(
        self,
        *,
        now: datetime | None = None,
        deliver: Literal["auto", "manual"] = "auto",
        ticking: bool = False,
        api_key: str | None = None,
        webhook_secret: str | None = None,
    ) -> None:
        """Start an empty account in test mode.

        The clock stands still at `now` (default: a fixed day in the middle of January 2026) until `advance`; with
        `ticking` it runs on from `now` or from the present. `deliver="manual"` leaves every webhook to `deliver()`.
        """
        self._state = new_state(
            now, ticking=ticking, delivers=deliver == "auto", api_key=api_key, webhook_secret=webhook_secret
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.now.isoformat()}>"

    @property
    def state(self) -> State:
        """The parts of the simulator, for tests that look inside."""
        return self._state

    @property
    def now(self) -> datetime:
        """The simulator's time, aware, in UTC."""
        return self.clock.datetime()

    @property
    def clock(self) -> SimulatedClock:
        """The clock that the library reads."""
        return self._state.world.clock

    @property
    def settings(self) -> Settings:
        """What the account has set in its Dashboard; assign to its fields."""
        return self._state.world.settings

    @property
    def api_key(self) -> str:
        """The secret key of the account, `sk_test_…`."""
        return self._state.api.key

    @property
    def webhook_secret(self) -> str:
        """The secret that webhooks are signed with, `whsec_…`."""
        return self._state.webhook_secret

    @property
    def transport(self) -> SimulatorTransport:
        """For `httpx.Client(transport=…)`."""
        from .transport import SimulatorTransport

        return SimulatorTransport(self._state.api)

    @property
    def async_transport(self) -> AsyncSimulatorTransport:
        """For `httpx.AsyncClient(transport=…)`."""
        from .transport import AsyncSimulatorTransport

        return AsyncSimulatorTransport(self._state.api)

    @property
    def events(self) -> Sequence[Mapping[str, Any]]:
        """Every event so far, oldest first, as Stripe's JSON."""
        return tuple(self._state.world.events.log)

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """What became of each event since a receiver was attached."""
        with self._state.world.lock:
            self._state.outbox.pending()
            return tuple(self._state.outbox.deliveries.values())

    @property
    def requests(self) -> Sequence[RequestRecord]:
        """Every request so far, without its key."""
        return tuple(self._state.api.records)

    @property
    def violations(self) -> Sequence[Violation]:
        """Requests that the official package would not have sent."""
        return tuple(self._state.api.violations)

    @property
    def faults(self) -> list[Fault]:
        """Rules by which calls break; append to it, clear it."""
        return self._state.api.faults

    @property
    def oracle_counts(self) -> Mapping[str, int]:
        """How many requests and objects of this simulator were checked by the oracles, and how many requests failed."""
        api = self._state.api
        return {
            "requests": api.requests_checked,
            "objects": self._state.world.objects_checked,
            "violations": len(api.violations),
        }

    @property
    def hosted_base(self) -> str:
        """Where the pages of sessions live; assign an origin that serves `hosted()`."""
        return self.settings.checkout_base

    @hosted_base.setter
    def hosted_base(self, origin: str) -> None:
        self.settings.checkout_base = self.settings.portal_base = origin.rstrip("/")

    def add_product(self, name: str, *, id: str | None = None) -> str:
        """Add a product and answer its id."""
        with self._state.world.lock:
            return str(products.new(self._state.world, name, id=id)["id"])

    def add_price(
        self,
        id: str,
        amount: int,
        currency: str = "usd",
        *,
        interval: Interval | None = "month",
        metered: bool = False,
        product: str | None = None,
    ) -> None:
        """Add a price of `amount` minor units; `interval` None makes it one-time. Replaces a made-up one.

        Raises:
            SimulatorError: the price exists and has an amount of its own.
        """
        with self._state.world.lock:
            existing = self._state.world.table("price").rows.get(id)
            if existing is not None and not existing.get("_made_up"):
                raise SimulatorError(f"price {id} exists already; prices cannot be changed")
            owner = product or (existing["product"] if existing else self.add_product(_title(id)))
            prices.new(self._state.world, owner, amount, currency.lower(), id=id, interval=interval, metered=metered)

    def ensure_price(self, id: str, *, interval: Interval | None = "month", metered: bool = False) -> None:
        """See that a price exists that a configuration names: 10.00 USD, 100.00 a year. Emits no events."""
        world = self._state.world
        with world.lock:
            if id in world.table("price").rows:
                return
            world.events.muted = True
            try:
                product = products.new(world, _title(id))
                amount = 10_000 if interval == "year" else 1_000
                made = prices.new(world, product["id"], amount, "usd", id=id, interval=interval, metered=metered)
                made["_made_up"] = True
            finally:
                world.events.muted = False

    def sign(self, body: bytes, at: datetime | None = None, *, secret: str | None = None) -> str:
        """The header `Stripe-Signature` for a body, signed now or `at` another time."""
        seconds = self.clock.seconds() if at is None else to_micros(at) // 1_000_000
        return signature(body, secret or self.webhook_secret, seconds)

    def checkout_page(self, session_id: str) -> str:
        """The HTML of the checkout page of a session."""
        from .pages import checkout_page

        return checkout_page(self._state, session_id)

    def portal_page(self, session_id: str) -> str:
        """The HTML of the portal page of a portal session."""
        from .pages import portal_page

        return portal_page(self._state, session_id)

    def _attach(self, receiver: Receiver | AsyncReceiver) -> None:
        with self._state.world.lock:
            self._state.receiver = receiver
            self._state.outbox.skip_past()
            self._state.world.has_receiver = True


class StripeSimulator(SimulatorBase):
    """A stateful Stripe with a clock, for `Billing`; refuses what Stripe refuses."""

    def attach(self, receiver: Receiver) -> None:
        """Join a library: from now on its webhooks are delivered to it."""
        self._attach(receiver)

    def pay(self, checkout: object, *, card: str = VISA) -> Any:
        """Be the person who pays: `checkout` is an answer of upgrade, a session id or its URL.

        Answers the library's subscription, None without a library.

        Raises:
            CardDeclined: the card is refused; the session stays open.
            SimulatorError: the session is not open.
        """
        return _run(actions.pay(self._state, checkout, card))

    def decline(self, checkout: object) -> None:
        """Pay with a card that is declined: always raises `CardDeclined`."""
        _run(actions.pay(self._state, checkout, DECLINING))

    def expire(self, checkout: object) -> None:
        """Let an open checkout run out."""
        _run(actions.expire(self._state, checkout))

    def subscribe(self, reference: str, plan: str, *, annual: bool = False, seats: int | None = None) -> Any:
        """Upgrade through the library and pay; answers its subscription."""
        return _run(actions.subscribe(self._state, reference, plan, annual=annual, seats=seats))

    def use_card(self, reference: str, card: str) -> None:
        """Pay with this test card from now on; `reference` may be a Stripe customer id."""
        _run(actions.use_card(self._state, reference, card))

    def collect(self, reference: str) -> None:
        """Try the open invoices again, now."""
        _run(actions.collect(self._state, reference))

    def advance(self, *, months: int = 0, days: int = 0, hours: int = 0) -> None:
        """Move the clock: renews, retries, ends trials, expires sessions, runs the library's jobs, in order of time."""
        _run(actions.advance(self._state, months=months, days=days, hours=hours))

    def deliver(self, *event_ids: str) -> None:
        """Deliver these events in this order, again if need be; without ids, everything that waits."""
        _run(_deliver(self._state, event_ids))

    def flush(self) -> None:
        """Deliver what waits, for example events of the library's own API calls."""
        _run(actions.flush(self._state))

    def hosted(self, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[int, Json, bytes]:
        """Serve the hosted pages: status, headers and body for `/c/pay/<session>` and `/p/session/<id>`."""
        from .hosted import hosted

        answer: tuple[int, Json, bytes] = _run(hosted(self._state, method, path, form or {}))
        return answer


class AsyncStripeSimulator(SimulatorBase):
    """A stateful Stripe with a clock, for `AsyncBilling`: what talks to the library is awaited."""

    def attach(self, receiver: AsyncReceiver) -> None:
        """As `StripeSimulator.attach`."""
        self._attach(receiver)

    async def pay(self, checkout: object, *, card: str = VISA) -> Any:
        """As `StripeSimulator.pay`."""
        return await _run_async(actions.pay(self._state, checkout, card))

    async def decline(self, checkout: object) -> None:
        """As `StripeSimulator.decline`."""
        await _run_async(actions.pay(self._state, checkout, DECLINING))

    async def expire(self, checkout: object) -> None:
        """As `StripeSimulator.expire`."""
        await _run_async(actions.expire(self._state, checkout))

    async def subscribe(self, reference: str, plan: str, *, annual: bool = False, seats: int | None = None) -> Any:
        """As `StripeSimulator.subscribe`."""
        return await _run_async(actions.subscribe(self._state, reference, plan, annual=annual, seats=seats))

    async def use_card(self, reference: str, card: str) -> None:
        """As `StripeSimulator.use_card`."""
        await _run_async(actions.use_card(self._state, reference, card))

    async def collect(self, reference: str) -> None:
        """As `StripeSimulator.collect`."""
        await _run_async(actions.collect(self._state, reference))

    async def advance(self, *, months: int = 0, days: int = 0, hours: int = 0) -> None:
        """As `StripeSimulator.advance`."""
        await _run_async(actions.advance(self._state, months=months, days=days, hours=hours))

    async def deliver(self, *event_ids: str) -> None:
        """As `StripeSimulator.deliver`."""
        await _run_async(_deliver(self._state, event_ids))

    async def flush(self) -> None:
        """As `StripeSimulator.flush`."""
        await _run_async(actions.flush(self._state))

    async def hosted(self, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[int, Json, bytes]:
        """As `StripeSimulator.hosted`."""
        from .hosted import hosted

        answer: tuple[int, Json, bytes] = await _run_async(hosted(self._state, method, path, form or {}))
        return answer


def _deliver(state: State, event_ids: Sequence[str]) -> actions.Script:
    if not event_ids:
        yield from actions.flush(state)
    for event_id in event_ids:
        yield from actions.offer(state, event_id)


def _run(script: actions.Script) -> Any:
    """Make every call of a script on this thread."""
    given: Outcome = (None, None)
    while True:
        try:
            step = _resume(script, given)
        except StopIteration as end:
            return end.value
        try:
            given = (_blocking(step()), None)
        except Exception as error:  # noqa: BLE001 - the script decides what to do about it
            given = (None, error)


def _blocking(answer: Any) -> Any:
    if inspect.isawaitable(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise SimulatorError("StripeSimulator serves Billing; give AsyncBilling an AsyncStripeSimulator")
    return answer


async def _run_async(script: actions.Script) -> Any:
    """Await every call of a script."""
    given: Outcome = (None, None)
    while True:
        try:
            step = _resume(script, given)
        except StopIteration as end:
            return end.value
        try:
            given = (await _awaitable(step()), None)
        except Exception as error:  # noqa: BLE001 - the script decides what to do about it
            given = (None, error)


def _awaitable(answer: Any) -> Awaitable[Any]:
    if not inspect.isawaitable(answer):
        raise SimulatorError("AsyncStripeSimulator serves AsyncBilling; give Billing a StripeSimulator")
    return answer


def _resume(script: actions.Script, given: Outcome) -> actions.Step:
    answer, error = given
    return script.send(answer) if error is None else script.throw(error)


def _title(price_id: str) -> str:
    return price_id.removeprefix("price_").replace("_", " ").capitalize() or price_id
