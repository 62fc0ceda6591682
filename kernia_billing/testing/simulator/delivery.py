"""Webhooks: signing as Stripe signs, and the queue of events that the receiver has not taken yet."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from attrs import define, field

from .errors import Json, SimulatorError

if TYPE_CHECKING:
    from .world import World

GIVEN_UP_SECONDS = 3 * 86_400
"""Stripe stops sending an event after three days."""


@define
class Delivery:
    """An event on its way: how often it was offered, and what the receiver last raised."""

    event_id: str
    created: int
    attempts: int = 0
    delivered: bool = False
    error: Exception | None = None


@define
class Outbox:
    """Events since a receiver was attached, each with its delivery."""

    world: World
    deliveries: dict[str, Delivery] = field(factory=dict[str, Delivery], init=False)
    _seen: int = field(default=0, init=False)

    def skip_past(self) -> None:
        """Events up to now are not for the receiver: it was not there yet."""
        self._seen = len(self.world.events.log)

    def pending(self) -> list[str]:
        """The events to offer now, oldest first."""
        self._take_new()
        since = self.world.clock.seconds() - GIVEN_UP_SECONDS
        return [d.event_id for d in self.deliveries.values() if not d.delivered and d.created >= since]

    def note(self, event_id: str, error: Exception | None) -> None:
        """Keep the outcome of offering an event."""
        self._take_new()
        event = self.event(event_id)
        delivery = self.deliveries.setdefault(event_id, Delivery(event_id, event["created"]))
        delivery.attempts += 1
        delivery.error = error
        delivery.delivered = delivery.delivered or error is None

    def event(self, event_id: str) -> Json:
        """The event of that id.

        Raises:
            SimulatorError: there is none.
        """
        for event in self.world.events.log:
            if event["id"] == event_id:
                return event
        raise SimulatorError(f"no event {event_id}")

    def _take_new(self) -> None:
        log = self.world.events.log
        for event in log[self._seen :]:
            self.deliveries[event["id"]] = Delivery(event["id"], event["created"])
        self._seen = len(log)


def body_of(event: Json) -> bytes:
    """The bytes that are sent and signed."""
    return json.dumps(event, indent=2).encode()


def signature(body: bytes, secret: str, seconds: int) -> str:
    """The header `Stripe-Signature` of test mode: `t`, a `v1` that counts, and a `v0` that must be ignored."""
    signed = f"{seconds}.".encode() + body
    v1 = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    v0 = hmac.new(f"v0{secret}".encode(), signed, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={v1},v0={v0}"
