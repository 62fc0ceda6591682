"""What a person does, step by step. Written once as generators that yield calls into the library.

The blocking simulator makes each call and sends its result back in, the async one awaits it first. The world's lock is
never held while the library is called, because the library calls the simulator's API.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from . import checkout, collection, customers, invoices, payment_methods, purchases, subscriptions
from .cards import card as card_of_number
from .clock import add_months
from .delivery import body_of, signature
from .errors import CardDeclined, Json, SimulatorError
from .events import updating
from .state import State

Step: TypeAlias = Callable[[], Any]
"""A call into the library; what it answers may have to be awaited."""
Script: TypeAlias = Generator[Step, Any, Any]

BUYER = "buyer@example.com"
_SESSION_ID = re.compile(r"cs_test_\w+")


def pay(state: State, opened: object, number: str) -> Script:
    """Pay on the page of a checkout; answers the library's subscription when a library is attached.

    Raises:
        CardDeclined: after the events of the failed attempt were delivered.
    """
    used = card_of_number(number)
    declined: CardDeclined | None = None
    with state.world.lock:
        _catch_up(state)
        session = session_of(state, opened)
        try:
            purchases.pay(state.world, session, used, BUYER)
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
        _catch_up(state)
        session = session_of(state, opened)
        if session["status"] != "open":
            raise SimulatorError(f"checkout session {session['id']} is {session['status']}")
        checkout.expire(state.world, session)
    yield from after_action(state)


def use_card(state: State, reference: str, number: str) -> Script:
    """Replace the card that a reference pays with, as in the portal."""
    used = card_of_number(number)
    customer_id = yield from _customer_of(state, reference)
    world = state.world
    with world.lock:
        _catch_up(state)
        customer = customers.live(world, customer_id)
        method = payment_methods.new(world, used, email=customer["email"])
        payment_methods.attach(world, method["id"], customer)
        with updating(world, customer, "customer.updated"):
            customer["invoice_settings"]["default_payment_method"] = method["id"]
        for subscription in subscriptions.live_of(world, customer_id):
            with updating(world, subscription, "customer.subscription.updated"):
                subscription["default_payment_method"] = method["id"]
    yield from after_action(state)


def collect(state: State, reference: str) -> Script:
    """Try the open invoices of a reference again, oldest first."""
    customer_id = yield from _customer_of(state, reference)
    with state.world.lock:
        _catch_up(state)
        for subscription in subscriptions.live_of(state.world, customer_id):
            for invoice in reversed(invoices.of_subscription(state.world, subscription["id"], "open")):
                collection.collect(state.world, invoice)
    yield from after_action(state)


def advance(state: State, *, months: int, days: int, hours: int) -> Script:
    """Move the clock; what falls due on the way happens at its own time, events and the library's jobs included."""
    if min(months, days, hours) < 0:
        raise SimulatorError("the clock never goes back")
    world = state.world
    target = add_months(world.clock.seconds(), months) + days * 86_400 + hours * 3_600
    while True:
        with world.lock:
            due = world.agenda.next_at()
            stop = target if due is None else min(max(due, world.clock.seconds()), target)
            world.run_due(stop)
        yield from after_action(state)
        receiver = state.receiver
        if receiver is not None:
            yield receiver.run_jobs
        if stop == target:
            break
    yield from after_action(state)


def after_action(state: State) -> Script:
    """Deliver what the action caused, unless deliveries are made by hand."""
    if state.delivers:
        yield from flush(state)


def flush(state: State) -> Script:
    """Offer every event that the receiver has not taken, each once, those that come meanwhile included."""
    offered: set[str] = set()
    while state.receiver is not None:
        with state.world.lock:
            _catch_up(state)
            waiting = [id for id in state.outbox.pending() if id not in offered]
        if not waiting:
            return
        for id in waiting:
            offered.add(id)
            yield from offer(state, id)


def offer(state: State, event_id: str) -> Script:
    """Send one event to the receiver, signed now; what it raises is kept with the delivery."""
    receiver = _attached(state)
    with state.world.lock:
        body = body_of(state.outbox.event(event_id))
        header = signature(body, state.webhook_secret, state.world.clock.seconds())
    failure: Exception | None = None
    try:
        yield lambda: receiver.receive(body, header)
    except Exception as error:  # noqa: BLE001 - whatever the receiver raises means that it did not take the event
        failure = error
    with state.world.lock:
        state.outbox.note(event_id, failure)


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


def _customer_of(state: State, reference: str) -> Script:
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


def _catch_up(state: State) -> None:
    """A ticking clock may have passed due work."""
    state.world.run_due(state.world.clock.seconds())
