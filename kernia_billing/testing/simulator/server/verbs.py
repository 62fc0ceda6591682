"""What people and banks do, and what a test sets, at a simulator that runs as a server: the verbs of the control API.

A function's name is its verb, and its keyword arguments are the members of the JSON object that is posted. What it
answers is the body of the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_type_hints

from attrs import asdict

from ..api.faults import Fault
from ..facade import VISA, StripeSimulator
from ..goods import Interval
from ..webhooks.delivery import Order
from ..webhooks.mishaps import Mishap
from ..webhooks.targets import ATTACHED
from ..world.errors import Json, SimulatorError
from ..world.world import Settings
from .arguments import arguments, converted, refuse_unknown

Verb = Callable[..., Json]


def advance(
    simulator: StripeSimulator, /, *, months: int = 0, days: int = 0, hours: int = 0, customer: str | None = None
) -> Json:
    """Let time pass, for all or for one customer."""
    simulator.advance(months=months, days=days, hours=hours, reference=customer and _customer(simulator, customer))
    return {}


def pay(simulator: StripeSimulator, /, *, checkout: str, card: str = VISA) -> Json:
    """Pay a checkout without a browser."""
    simulator.pay(checkout, card=card)
    return {}


def expire(simulator: StripeSimulator, /, *, checkout: str) -> Json:
    """Let a checkout run out."""
    simulator.expire(checkout)
    return {}


def recover(simulator: StripeSimulator, /, *, checkout: str) -> Json:
    """Follow the recovery link of an expired checkout."""
    return {"id": simulator.recover(checkout)}


def portal(
    simulator: StripeSimulator, /, *, session: str, action: str, subscription: str | None = None, **choices: str
) -> Json:
    """Do what a customer would do in the portal."""
    simulator.portal(session, action, subscription=subscription, **choices)
    return {}


def settle(simulator: StripeSimulator, /, *, of: str, succeeds: bool | None = None) -> Json:
    """End bank debits."""
    simulator.settle(of, succeeds=succeeds)
    return {}


def authenticate(simulator: StripeSimulator, /, *, of: str, passes: bool = True) -> Json:
    """Answer a 3D Secure challenge."""
    simulator.authenticate(of, passes=passes)
    return {}


def use_card(simulator: StripeSimulator, /, *, customer: str, card: str) -> Json:
    """Replace the card."""
    simulator.use_card(_customer(simulator, customer), card)
    return {}


def collect(simulator: StripeSimulator, /, *, customer: str) -> Json:
    """Try open invoices again."""
    simulator.collect(_customer(simulator, customer))
    return {}


def dispute(simulator: StripeSimulator, /, *, of: str, reason: str = "fraudulent") -> Json:
    """Have the bank take a payment back. Refunds need no verb: they are in Stripe's API."""
    return {"id": simulator.dispute(of, reason=reason)}


def close_dispute(simulator: StripeSimulator, /, *, dispute: str, won: bool) -> Json:
    """Let the bank decide a dispute."""
    simulator.close_dispute(dispute, won=won)
    return {}


def usage(simulator: StripeSimulator, /, *, customer: str, meter: str) -> Json:
    """Tell what a meter has counted so far."""
    return {"value": simulator.usage(_customer(simulator, customer), meter)}


def products(simulator: StripeSimulator, /, *, name: str, id: str | None = None) -> Json:
    """Add a product."""
    return {"id": simulator.add_product(name, id=id)}


def prices(
    simulator: StripeSimulator,
    /,
    *,
    id: str,
    amount: int,
    currency: str = "usd",
    interval: Interval | None = "month",
    metered: bool = False,
    meter: str | None = None,
    product: str | None = None,
) -> Json:
    """Add a price of that id, which Stripe's API would make up."""
    simulator.add_price(id, amount, currency, interval=interval, metered=metered, meter=meter, product=product)
    return {"id": id}


def deliver(simulator: StripeSimulator, /, *, events: tuple[str, ...] = ()) -> Json:
    """Send these events again, or all that wait."""
    simulator.deliver(*events)
    return {}


def delivery(
    simulator: StripeSimulator,
    /,
    *,
    order: Order | None = None,
    retries: Literal["live", "sandbox"] | None = None,
    seed: int | None = None,
) -> Json:
    """Set how webhooks are delivered."""
    outbox = simulator.delivery
    if seed is not None:
        outbox.seed(seed)
    outbox.order, outbox.retries = order or outbox.order, retries or outbox.retries
    return {"order": outbox.order, "retries": outbox.retries}


def roll_secret(simulator: StripeSimulator, /, *, endpoint: str = ATTACHED, hours: int = 24) -> Json:
    """Give a webhook endpoint a new secret; for so many hours the old one signs too."""
    return {"secret": simulator.delivery.roll_secret(endpoint, hours=hours)}


def faults(simulator: StripeSimulator, /, **rule: Any) -> Json:
    """Break calls."""
    simulator.faults.append(Fault(**arguments(Fault, rule)))
    return {"faults": len(simulator.faults)}


def mishaps(simulator: StripeSimulator, /, **rule: Any) -> Json:
    """Break webhooks."""
    simulator.delivery.mishaps.append(Mishap(**arguments(Mishap, rule)))
    return {"mishaps": len(simulator.delivery.mishaps)}


def settings(simulator: StripeSimulator, /, **assigned: Any) -> Json:
    """Assign to what the account has set in its Dashboard, and to `event_version`."""
    hints: Json = {**get_type_hints(Settings), "event_version": str}
    refuse_unknown(assigned, hints)
    fitting = {name: converted(name, value, hints[name]) for name, value in assigned.items()}
    if "event_version" in fitting:
        simulator.event_version = fitting.pop("event_version")
    for name, value in fitting.items():
        setattr(simulator.settings, name, value)
    return {**asdict(simulator.settings), "event_version": simulator.event_version}


VERBS: dict[str, Verb] = {
    each.__name__: each
    for each in (
        *(advance, pay, expire, recover, portal, settle, authenticate, use_card, collect, dispute, close_dispute),
        *(usage, products, prices, deliver, delivery, roll_secret, faults, mishaps, settings),
    )
}
TAKES_ANY = frozenset(("faults", "mishaps", "settings"))
"""The verbs that read their arguments themselves, against the fields of a class."""


def _customer(simulator: StripeSimulator, id: str) -> str:
    if id not in simulator.state.world.table("customer").rows:
        raise SimulatorError(f"customer: no such customer {id}; give the id that Stripe's API gave")
    return id
