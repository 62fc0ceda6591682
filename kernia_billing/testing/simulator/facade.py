"""The simulators that users hold: blocking for `Billing`, async for `AsyncBilling`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from . import (
    actions,
    coupons,
    meters,
    money_actions,
    payment_actions,
    portal_actions,
    prices,
    products,
    promotion_codes,
)
from .clock import SimulatedClock, to_micros
from .delivery import Delivery, Outbox
from .errors import ApiError, Json, SimulatorError
from .events import shown
from .faults import Fault
from .receiver import AsyncReceiver, Receiver
from .signing import signature
from .state import State, new_state
from .versions import VERSIONS
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
        return self._state.world.account_clock

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
        world = self._state.world
        with world.lock:
            return tuple(shown(world, event, event["api_version"]) for event in world.events.log)

    @property
    def deliveries(self) -> Sequence[Delivery]:
        """What became of each event since a receiver was attached."""
        with self._state.world.lock:
            return tuple(self._state.outbox.deliveries.values())

    @property
    def delivery(self) -> Outbox:
        """How webhooks are delivered: their order, their retries, their secrets, and what goes wrong on the way."""
        return self._state.outbox

    @property
    def event_version(self) -> str:
        """The API version of the account: of events for endpoints that name none, and of calls that name none."""
        return self._state.world.event_version

    @event_version.setter
    def event_version(self, version: str) -> None:
        if version not in VERSIONS:
            raise SimulatorError(f"no API version {version}: {', '.join(VERSIONS)}")
        self._state.world.event_version = version

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
        origin = origin.rstrip("/")
        self.settings.checkout_base = self.settings.portal_base = self.settings.invoice_base = origin

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
        meter: str | None = None,
        product: str | None = None,
    ) -> None:
        """Add a price of `amount` minor units; `interval` None makes it one-time. Replaces a made-up one.

        A `metered` price bills the usage of the meter whose event name is `meter`, by default the price's id without
        `price_`; the meter is made if there is none.

        Raises:
            SimulatorError: the price exists and has an amount of its own.
        """
        with self._state.world.lock:
            existing = self._state.world.table("price").rows.get(id)
            if existing is not None and not existing.get("_made_up"):
                raise SimulatorError(f"price {id} exists already; prices cannot be changed")
            owner = product or (existing["product"] if existing else self.add_product(_title(id)))
            prices.new(
                self._state.world,
                owner,
                amount,
                currency.lower(),
                id=id,
                interval=interval,
                metered=metered,
                meter=meter,
            )

    def add_coupon(
        self,
        id: str,
        *,
        percent_off: float | None = None,
        amount_off: int | None = None,
        currency: str = "usd",
        duration: Literal["once", "repeating", "forever"] = "once",
        months: int | None = None,
        code: str | None = None,
    ) -> None:
        """Add a coupon of either `percent_off` or `amount_off` minor units; `months` go with the duration "repeating".

        With a `code` people can type it where promotion codes are allowed.

        Raises:
            SimulatorError: the coupon exists, or what it takes off is not clear.
        """
        amounts = {"percent_off": percent_off, "amount_off": amount_off, "duration_in_months": months}
        params: Json = {name: value for name, value in amounts.items() if value is not None}
        if amount_off is not None:
            params["currency"] = currency
        with self._state.world.lock:
            try:
                coupons.new(self._state.world, {"id": id, "duration": duration, **params})
                if code is not None:
                    promotion = {"type": "coupon", "coupon": id}
                    promotion_codes.new(self._state.world, {"code": code, "promotion": promotion})
            except ApiError as refusal:
                raise SimulatorError(f"coupon {id}: {refusal}") from refusal

    def add_meter(self, event_name: str, *, formula: Literal["count", "last", "sum"] = "sum") -> str:
        """Add a meter for usage events of that name and answer its id.

        Raises:
            SimulatorError: an active meter has that event name.
        """
        with self._state.world.lock:
            existing = meters.of_event(self._state.world, event_name)
            if existing is not None and existing["status"] == "active":
                raise SimulatorError(f"meter {existing['id']} has the event name {event_name}")
            return str(meters.new(self._state.world, event_name, formula=formula)["id"])

    def ensure_meter(self, event_name: str) -> None:
        """See that a meter exists that a configuration names: it adds up. Emits no events."""
        world = self._state.world
        with world.lock:
            world.events.muted = True
            try:
                meters.ensure(world, event_name)
            finally:
                world.events.muted = False

    def ensure_price(self, id: str, *, interval: Interval | None = "month", metered: bool = False) -> None:
        """See that a price exists that a configuration names: 10.00 USD, 100.00 a year. Emits no events.

        A metered one bills the meter that `add_price` would give it.
        """
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
        from .checkout_page import checkout_page

        return checkout_page(self._state, session_id)

    def portal_page(self, session_id: str) -> str:
        """The HTML of the portal page of a portal session."""
        from .portal_page import portal_page

        return portal_page(self._state, session_id)

    def _attach(self, receiver: Receiver | AsyncReceiver) -> None:
        with self._state.world.lock:
            self._state.outbox.targets.library = receiver


class StripeSimulator(SimulatorBase):
    """A stateful Stripe with a clock, for `Billing`; refuses what Stripe refuses."""

    def attach(self, receiver: Receiver) -> None:
        """Join a library: from now on its webhooks are delivered to it."""
        self._attach(receiver)

    def pay(self, checkout: object, *, card: str = VISA) -> Any:
        """Be the person who pays: `checkout` is an answer of upgrade, a session id or its URL.

        `card` is the number of a test card, the name of a ready-made payment method (`pm_card_…`), or a test bank
        account, whose payment is on its way for four days (`settle`).

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

    def recover(self, checkout: object) -> str:
        """Follow the recovery link of an expired checkout; answers the id of the new session.

        Raises:
            SimulatorError: the session has no recovery, or it is over.
        """
        return str(_run(payment_actions.recover(self._state, checkout)))

    def portal(self, opened: object, action: str, *, subscription: str | None = None, **choices: str) -> None:
        """Be the customer in the portal: `opened` is an answer of `billing.portal`, a session id or its URL.

        `action` is cancel (choices feedback, comment, offer="accept"), renew, update (price, quantity), pause
        (duration), resume, payment_method (card) or customer (email, name, phone, line1, city, …). Of several
        subscriptions name one.

        Raises:
            CardDeclined: the new card was refused.
            SimulatorError: the portal's configuration does not allow it, or Stripe refuses it.
        """
        _run(portal_actions.in_portal(self._state, opened, action, subscription, choices))

    def settle(self, what: object, *, succeeds: bool | None = None) -> None:
        """Let bank debits come to their end, which otherwise takes four days: of a reference, a checkout or an intent.

        How they end is in the account number; `succeeds` decides otherwise.

        Raises:
            SimulatorError: nothing is on its way.
        """
        _run(payment_actions.settle(self._state, what, succeeds=succeeds))

    def authenticate(self, what: object, *, passes: bool = True) -> None:
        """Pass, or fail, the 3D Secure challenge that a reference's payment waits for.

        Raises:
            SimulatorError: none is waited for.
        """
        _run(payment_actions.authenticate(self._state, what, passes=passes))

    def subscribe(self, reference: str, plan: str, *, annual: bool = False, seats: int | None = None) -> Any:
        """Upgrade through the library and pay; answers its subscription."""
        return _run(actions.subscribe(self._state, reference, plan, annual=annual, seats=seats))

    def use_card(self, reference: str, card: str) -> None:
        """Pay with this test card from now on; `reference` may be a Stripe customer id."""
        _run(actions.use_card(self._state, reference, card))

    def refund(self, reference: str, amount: int | None = None) -> str:
        """Give a payment back, all that is left or `amount` minor units; answers the id of the refund.

        `reference` means the newest payment of a customer that was neither refunded in full nor disputed; it may also
        be a Stripe customer id, a payment intent or a charge.

        Raises:
            SimulatorError: there is no such payment, or less is left of it.
        """
        return str(_run(money_actions.refund(self._state, reference, amount)))

    def dispute(self, reference: str, *, reason: str = "fraudulent") -> str:
        """Have the bank take a payment back; answers the id of the dispute. `reference` is as for `refund`.

        The subscription lives on unless `settings.after_dispute` is `"cancel"`.

        Raises:
            SimulatorError: there is no such payment, or it was refunded or disputed before.
        """
        return str(_run(money_actions.dispute(self._state, reference, reason)))

    def close_dispute(self, dispute: str, *, won: bool) -> None:
        """Let the bank decide a dispute, by its id: the money comes back if it is `won`.

        Raises:
            SimulatorError: no such dispute is open.
        """
        _run(money_actions.close_dispute(self._state, dispute, won=won))

    def give_coupon(self, reference: str, coupon: str) -> None:
        """Give a customer a coupon by its id, as in the Dashboard: it reduces invoices without discounts of their own.

        Raises:
            SimulatorError: there is no such coupon, or it cannot be used any more.
        """
        _run(money_actions.give_coupon(self._state, reference, coupon))

    def collect(self, reference: str) -> None:
        """Try the open invoices again, now."""
        _run(actions.collect(self._state, reference))

    def usage(self, reference: str, meter: str) -> int:
        """What the meter of that event name has counted for a reference so far; `reference` may be a customer id.

        Events that were only received do not count yet: `settings.meter_delay` seconds pass first.

        Raises:
            SimulatorError: there is no such meter, or the reference has no Stripe customer.
        """
        return int(_run(actions.usage(self._state, reference, meter)))

    def advance(self, *, months: int = 0, days: int = 0, hours: int = 0, reference: str | None = None) -> None:
        """Move the clock: renews, retries, ends trials, expires sessions, runs the library's jobs, in order of time.

        With a `reference` (or a Stripe customer id) only that customer's time moves: it lives on a test clock from now
        on, if it did not before, and the library's own clock stands still. Without one, everybody's moves.
        """
        _run(actions.advance(self._state, months=months, days=days, hours=hours, reference=reference))

    def deliver(self, *event_ids: str) -> None:
        """Deliver these events in this order, again if need be; without ids, everything that waits."""
        _run(actions.deliver(self._state, event_ids))

    def flush(self) -> None:
        """Deliver what waits, for example events of the library's own API calls."""
        _run(actions.flush(self._state, now=True))

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

    async def recover(self, checkout: object) -> str:
        """As `StripeSimulator.recover`."""
        return str(await _run_async(payment_actions.recover(self._state, checkout)))

    async def portal(self, opened: object, action: str, *, subscription: str | None = None, **choices: str) -> None:
        """As `StripeSimulator.portal`."""
        await _run_async(portal_actions.in_portal(self._state, opened, action, subscription, choices))

    async def settle(self, what: object, *, succeeds: bool | None = None) -> None:
        """As `StripeSimulator.settle`."""
        await _run_async(payment_actions.settle(self._state, what, succeeds=succeeds))

    async def authenticate(self, what: object, *, passes: bool = True) -> None:
        """As `StripeSimulator.authenticate`."""
        await _run_async(payment_actions.authenticate(self._state, what, passes=passes))

    async def subscribe(self, reference: str, plan: str, *, annual: bool = False, seats: int | None = None) -> Any:
        """As `StripeSimulator.subscribe`."""
        return await _run_async(actions.subscribe(self._state, reference, plan, annual=annual, seats=seats))

    async def use_card(self, reference: str, card: str) -> None:
        """As `StripeSimulator.use_card`."""
        await _run_async(actions.use_card(self._state, reference, card))

    async def refund(self, reference: str, amount: int | None = None) -> str:
        """As `StripeSimulator.refund`."""
        return str(await _run_async(money_actions.refund(self._state, reference, amount)))

    async def dispute(self, reference: str, *, reason: str = "fraudulent") -> str:
        """As `StripeSimulator.dispute`."""
        return str(await _run_async(money_actions.dispute(self._state, reference, reason)))

    async def close_dispute(self, dispute: str, *, won: bool) -> None:
        """As `StripeSimulator.close_dispute`."""
        await _run_async(money_actions.close_dispute(self._state, dispute, won=won))

    async def give_coupon(self, reference: str, coupon: str) -> None:
        """As `StripeSimulator.give_coupon`."""
        await _run_async(money_actions.give_coupon(self._state, reference, coupon))

    async def collect(self, reference: str) -> None:
        """As `StripeSimulator.collect`."""
        await _run_async(actions.collect(self._state, reference))

    async def usage(self, reference: str, meter: str) -> int:
        """As `StripeSimulator.usage`."""
        return int(await _run_async(actions.usage(self._state, reference, meter)))

    async def advance(self, *, months: int = 0, days: int = 0, hours: int = 0, reference: str | None = None) -> None:
        """As `StripeSimulator.advance`."""
        await _run_async(actions.advance(self._state, months=months, days=days, hours=hours, reference=reference))

    async def deliver(self, *event_ids: str) -> None:
        """As `StripeSimulator.deliver`."""
        await _run_async(actions.deliver(self._state, event_ids))

    async def flush(self) -> None:
        """As `StripeSimulator.flush`."""
        await _run_async(actions.flush(self._state, now=True))

    async def hosted(self, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[int, Json, bytes]:
        """As `StripeSimulator.hosted`."""
        from .hosted import hosted

        answer: tuple[int, Json, bytes] = await _run_async(hosted(self._state, method, path, form or {}))
        return answer


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
