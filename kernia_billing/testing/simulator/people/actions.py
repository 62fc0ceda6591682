"""What a person does, step by step. Written once as generators that yield calls into the library.

The blocking simulator makes each call and sends its result back in, the async one awaits it first. The world's lock is
never held while the library is called, because the library calls the simulator's API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

from ..checkout import checkout, purchases
from ..customers import customers
from ..invoices import collection, invoices
from ..metering import meters
from ..payments import payment_methods
from ..payments.cards import Card
from ..payments.cards import card as card_of_number
from ..state import State
from ..subscriptions import subscriptions
from ..webhooks.delivery import Delivery
from ..webhooks.parcels import Parcel
from ..world import test_clocks
from ..world.clock import add_months
from ..world.errors import CardDeclined, Json, SimulatorError
from ..world.events import updating
from ..world.journeys import Journey
from ..world.ownership import ACCOUNT, clock_of
from ..world.world import World

Step: TypeAlias = Callable[[], Any]
"""A call into the library; what it answers may have to be awaited."""
Script: TypeAlias = Generator[Step, Any, Any]

BUYER = "buyer@example.com"
MOST_YEARS = 100
"""Who moves a clock further at a time has slipped; and far beyond it no date can be told."""
_SESSION_ID = re.compile(r"cs_test_\w+")


def pay(state: State, opened: object, number: str, form: purchases.Form | None = None) -> Script:
    """Pay on the page of a checkout; answers the library's subscription when a library is attached.

    Raises:
        CardDeclined: after the events of the failed attempt were delivered.
    """
    used = card_of_number(number)
    declined: CardDeclined | None = None
    with state.world.lock:
        catch_up(state)
        session = session_of(state, opened)
        try:
            with state.world.on_clock(clock_of(state.world, session)):
                purchases.pay(state.world, session, used, form or purchases.Form(BUYER))
        except CardDeclined as refusal:
            declined = refusal
    yield from after_action(state)
    if declined is not None:
        raise declined
    reference: str | None = session["client_reference_id"] or session["metadata"].get("referenceId")
    receiver = state.receiver
    if receiver is None or reference is None:
        return None
    return (yield lambda: receiver.subscription(reference))


def subscribe(state: State, reference: str, plan: str, *, annual: bool, seats: int | None) -> Script:
    """Upgrade through the library, then pay what it opened."""
    receiver = _attached(state)
    opened = yield lambda: receiver.upgrade(reference, plan, annual=annual, seats=seats)
    if opened.url is None and opened.session_id is None:
        yield from after_action(state)
        return (yield lambda: receiver.subscription(reference))
    yield from pay(state, opened, "4242424242424242")
    return (yield lambda: receiver.subscription(reference))


def expire(state: State, opened: object) -> Script:
    """Let a checkout run out at once."""
    with state.world.lock:
        catch_up(state)
        session = session_of(state, opened)
        if session["status"] != "open":
            raise SimulatorError(f"checkout session {session['id']} is {session['status']}")
        with state.world.on_clock(clock_of(state.world, session)):
            checkout.expire(state.world, session)
    yield from after_action(state)


def use_card(state: State, reference: str, number: str) -> Script:
    """Replace the card that a reference pays with, as in the portal."""
    used = card_of_number(number)
    customer_id = yield from customer_of(state, reference)
    world = state.world
    with world.lock:
        catch_up(state)
        customer = customers.live(world, customer_id)
        with world.on_clock(clock_of(world, customer)):
            _pay_with(world, customer, used)
    yield from after_action(state)


def _pay_with(world: World, customer: Json, used: Card) -> None:
    method = payment_methods.new(world, used, email=customer["email"])
    payment_methods.attach(world, method["id"], customer)
    with updating(world, customer, "customer.updated"):
        customer["invoice_settings"]["default_payment_method"] = method["id"]
    for subscription in subscriptions.live_of(world, customer["id"]):
        with updating(world, subscription, "customer.subscription.updated"):
            subscription["default_payment_method"] = method["id"]


def collect(state: State, reference: str) -> Script:
    """Try the open invoices of a reference again, oldest first."""
    customer_id = yield from customer_of(state, reference)
    with state.world.lock:
        catch_up(state)
        with state.world.on_clock(clock_of(state.world, customers.live(state.world, customer_id))):
            for subscription in subscriptions.live_of(state.world, customer_id):
                for invoice in reversed(invoices.of_subscription(state.world, subscription["id"], "open")):
                    if not collection.is_processing(state.world, invoice):
                        collection.collect(state.world, invoice)
    yield from after_action(state)


def usage(state: State, reference: str, event_name: str) -> Script:
    """What a meter has counted for a reference so far, over all time."""
    customer_id = yield from customer_of(state, reference)
    with state.world.lock:
        catch_up(state)
        meter = meters.of_event(state.world, event_name)
        if meter is None:
            raise SimulatorError(f"no meter has the event name {event_name}")
        return state.world.usage.total(meter, customer_id, 0, 1 << 40)


def advance(state: State, *, months: int, days: int, hours: int, reference: str | None = None) -> Script:
    """Move the clock; what falls due on the way happens at its own time, events and the library's jobs included.

    Without a reference everybody's time passes: the account's clock and each test clock move by the same span. With
    one, only its customer's, which gets a test clock if it lives on none.
    """
    if min(months, days, hours) < 0:
        raise SimulatorError("the clock never goes back")
    if months // 12 + days // 366 + hours // 8_784 > MOST_YEARS:
        raise SimulatorError(f"the clock moves {MOST_YEARS} years at a time at most")
    customer_id = None if reference is None else (yield from customer_of(state, reference))
    yield from after_action(state)  # of the library's own calls, before time passes
    with state.world.lock:
        catch_up(state)
        journey = _journey(
            state.world, customer_id, lambda now: add_months(now, months) + days * 86_400 + hours * 3_600
        )
    while True:
        with state.world.lock:
            arrived = journey.step()
        yield from after_action(state)
        receiver = state.receiver
        if receiver is not None:
            yield receiver.run_jobs
        if state.between_steps is not None:
            yield state.between_steps
        if arrived:
            break
    yield from after_action(state)


def _journey(world: World, customer_id: str | None, target: Callable[[int], int]) -> Journey:
    if customer_id is None:
        now = world.account_clock.seconds()
        return Journey(world, (ACCOUNT, *world.clocks), target(now) - now)
    name = test_clocks.of_customer(world, customers.live(world, customer_id))
    now = world.clocks[name].seconds()
    return Journey(world, (name,), target(now) - now)


def after_action(state: State) -> Script:
    """Deliver what the action caused, unless deliveries are made by hand."""
    if state.delivers:
        yield from flush(state)


def flush(state: State, *, now: bool = False, target: str | None = None) -> Script:
    """Offer every event that is due, each once, and those that come meanwhile; with `now`, all that nobody took.

    With a `target` only what goes to that endpoint.
    """
    offered: set[int] = set()
    while True:
        with state.world.lock:
            catch_up(state)
            arrived = state.outbox.overdue(target)
            pending = state.outbox.pending(now=now, target=target)
            waiting = [delivery for delivery in pending if id(delivery) not in offered]
        if not arrived and not waiting:
            return
        for parcel in arrived:
            yield from _hand_over(parcel)
        for delivery in waiting:
            offered.add(id(delivery))
            yield from offer(state, delivery)


def deliver(state: State, event_ids: Sequence[str]) -> Script:
    """Send these events in this order, again if need be; without ids, everything that nobody took."""
    if not event_ids:
        yield from flush(state, now=True)
    for event_id in event_ids:
        with state.world.lock:
            deliveries = state.outbox.resend(event_id)
        if not deliveries:
            _attached(state)
            raise SimulatorError(f"no endpoint wants {event_id}")
        for delivery in deliveries:
            yield from offer(state, delivery)


def offer(state: State, delivery: Delivery) -> Script:
    """Send one event to one endpoint, signed now; what it raises is kept with the delivery."""
    with state.world.lock:
        parcels = state.outbox.parcels(delivery)
    for parcel in parcels:
        failure: Exception | None = yield from _hand_over(parcel)
        with state.world.lock:
            state.outbox.note(delivery, failure)


def _hand_over(parcel: Parcel) -> Script:
    """Give a parcel to its receiver; answers what it raised, which means that it did not take it."""
    try:
        yield lambda: parcel.target.receiver.receive(parcel.body, parcel.signature)
    except Exception as error:  # noqa: BLE001 - whatever the receiver raises
        return error
    return None


def session_of(state: State, opened: object) -> Json:
    """The checkout session meant by a session id, a URL that holds one, or an answer that has `session_id`.

    Raises:
        SimulatorError: none is meant.
    """
    text = opened if isinstance(opened, str) else getattr(opened, "session_id", None)
    found = _SESSION_ID.search(str(text or ""))
    if found is None or found[0] not in state.world.table("checkout.session").rows:
        raise SimulatorError(f"not a checkout of this simulator: {opened!r}")
    return state.world.table("checkout.session").get(found[0])


def customer_of(state: State, reference: str) -> Script:
    """The Stripe customer of a reference; without a library, or for an unknown reference, an id is taken as it is."""
    if reference in state.world.table("customer").rows:
        return reference
    receiver = _attached(state)
    customer_id = yield lambda: receiver.stripe_customer(reference)
    if customer_id is None:
        raise SimulatorError(f"{reference} has no Stripe customer yet")
    return customer_id


def _attached(state: State) -> Any:
    if state.receiver is None:
        raise SimulatorError("no library is attached: give the simulator to Billing as stripe_client")
    return state.receiver


def catch_up(state: State) -> None:
    """A ticking clock may have passed due work."""
    state.world.run_due(state.world.clock.seconds())
