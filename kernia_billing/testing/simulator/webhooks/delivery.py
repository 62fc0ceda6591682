"""Webhooks on their way: who is to get which event, when it is tried again, and what goes wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from attrs import define, field

from ..world.errors import Json, SimulatorError
from ..world.ownership import ACCOUNT
from .mishaps import Mishap
from .parcels import Parcel, body_of
from .signing import signature
from .targets import ATTACHED, Target, Targets

if TYPE_CHECKING:
    from ..world.world import World

GIVEN_UP_SECONDS = 3 * 86_400
"""How long live mode goes on sending an event that nobody takes."""
Order = Literal["in order", "within a second", "shuffled"]
PLANS: dict[str, tuple[int, ...]] = {
    "live": (60, 300, 1_800, 7_200, 18_000, *(36_000,) * 6),
    "sandbox": (3_600, 7_200),
}
"""Seconds from one failed try to the next. Stripe says: in live mode for up to three days with growing pauses, in a
sandbox three times in a few hours; the pauses themselves are not published."""


@define
class Delivery:
    """An event on its way to one endpoint: how often it was offered, and what the receiver last raised."""

    event_id: str
    created: int
    target: str = ATTACHED
    attempts: int = 0
    delivered: bool = False
    error: Exception | None = None
    next_at: int | None = 0
    """When it is offered next; None when it was taken, given up or dropped."""
    mishaps: Sequence[Mishap] = field(default=(), repr=False)

    @property
    def dropped(self) -> bool:
        """Whether a rule keeps it from ever being sent by itself."""
        return any(each.kind == "drop" for each in self.mishaps)

    @property
    def copies(self) -> int:
        """How often it is sent at a time."""
        return 1 + sum(each.copies for each in self.mishaps if each.kind == "repeat")


@define(eq=False)
class Outbox:
    """All deliveries, and how they are made: assign to `order`, `seed` and `retries`, append to `mishaps`."""

    world: World
    targets: Targets
    order: Order = "in order"
    """`within a second`: events of one second come in any order. `shuffled`: all that wait do."""
    retries: Literal["live", "sandbox"] = "live"
    signing_clock: Callable[[], int] | None = None
    """Tells the UTC second to sign with, where the receiver lives in another time than the simulator."""
    mishaps: list[Mishap] = field(factory=list[Mishap], init=False)
    deliveries: dict[tuple[str, str], Delivery] = field(factory=dict[tuple[str, str], Delivery], init=False)
    """By event and target."""
    _waiting: dict[tuple[str, str], Delivery] = field(factory=dict[tuple[str, str], Delivery], init=False)
    _held: list[tuple[int, Parcel]] = field(factory=list[tuple[int, Parcel]], init=False)
    _random: random.Random = field(factory=lambda: random.Random(0), init=False)  # noqa: S311 - shuffles, hides nothing

    def __attrs_post_init__(self) -> None:
        self.world.events.audience = self

    def seed(self, seed: int) -> None:
        """Begin the shuffling anew, of deliveries and of purchases, so that a test can be repeated."""
        self._random = random.Random(seed)  # noqa: S311 - shuffles, hides nothing
        self.world.events.shuffler.seed(seed)

    def roll_secret(self, target: str = ATTACHED, *, hours: int = 24) -> str:
        """Give an endpoint, or else the library, a new secret, and answer it; both sign for so many hours."""
        fresh = f"whsec_{self.world.ids.letters(32)}"
        self.targets.secrets_of(target).roll(fresh, self._now() + hours * 3_600)
        return fresh

    def serve(self, endpoint: str, receiver: object) -> None:
        """Deliver to `receiver.receive(body, signature)` what goes to a webhook endpoint or event destination.

        Raises:
            SimulatorError: the account has no such endpoint.
        """
        tables = (self.world.table("webhook_endpoint"), self.world.table("v2.core.event_destination"))
        if not any(endpoint in table.rows for table in tables):
            raise SimulatorError(f"no webhook endpoint {endpoint}")
        self.targets.served[endpoint] = receiver

    def versions(self) -> set[str]:
        """The API versions of the endpoints."""
        return {target.version for target in self.targets.all() if target.version is not None}

    def accept(self, event: Json) -> int:
        """Take a new event for everybody who wants it; answers to how many it goes."""
        wanting = [target for target in self.targets.all() if target.wants(event)]
        for target in wanting:
            struck = [mishap for mishap in self.mishaps if mishap.matches(event)]
            delay = sum(mishap.seconds for mishap in struck if mishap.kind == "delay")
            made = Delivery(event["id"], self._now(), target.name, mishaps=struck)
            made.next_at = None if made.dropped else self._now() + delay
            self.deliveries[event["id"], target.name] = made
            if not made.dropped:
                self._waiting[event["id"], target.name] = made
                if delay:
                    self._wake(self._now() + delay)
        if not wanting:
            self._told(event)
        return len(wanting)

    def pending(self, *, now: bool = False, target: str | None = None) -> list[Delivery]:
        """The deliveries to make: those that are due, or with `now` all that nobody took; as `order` says.

        With a `target` those to that endpoint.
        """
        rows = [each for each in self._waiting.values() if target in (None, each.target)]
        moment = self._now()
        if now:
            return self._arranged([each for each in rows if each.created >= moment - GIVEN_UP_SECONDS])
        return self._arranged([each for each in rows if each.next_at is not None and each.next_at <= moment])

    def parcels(self, delivery: Delivery) -> list[Parcel]:
        """What one offering of an event sends, each signed for itself. A rule may have the network hold it."""
        target = self._target(delivery.target)
        if target is None:
            self.note(delivery, SimulatorError(f"nobody serves {delivery.target} any more"))
            return []
        parcels = [self._parcel(target, delivery) for _ in range(delivery.copies)]
        late = next((each for each in delivery.mishaps if each.kind == "late"), None)
        if late is None or delivery.attempts:
            return parcels
        at = self._now() + late.seconds
        self._held += [(at, parcel) for parcel in parcels]
        self._wake(at)
        self.note(delivery, SimulatorError("the endpoint did not answer in time"))
        return []

    def overdue(self, target: str | None = None) -> list[Parcel]:
        """What the network held until now, for one endpoint or for all; each is given out once."""
        moment = self._now()
        arrived = [each for each in self._held if each[0] <= moment and target in (None, each[1].target.name)]
        self._held = [each for each in self._held if each not in arrived]
        return [parcel for _, parcel in arrived]

    def resend(self, event_id: str) -> list[Delivery]:
        """The deliveries of an event to send again, whatever became of them, to all who want it now.

        Raises:
            SimulatorError: there is no such event.
        """
        event = self.event(event_id)
        names = [target.name for target in self.targets.all() if target.wants(event)]
        for name in names:
            fresh = Delivery(event_id, self._now(), name, next_at=None)
            self.deliveries.setdefault((event_id, name), fresh)
        return [self.deliveries[event_id, name] for name in names]

    def note(self, delivery: Delivery, error: Exception | None) -> None:
        """Keep the outcome of offering an event."""
        delivery.attempts += 1
        delivery.error = error
        if error is None and not delivery.delivered:
            delivery.delivered = True
            self._waiting.pop((delivery.event_id, delivery.target), None)
            self._taken(delivery.event_id)
        delivery.next_at = None if delivery.delivered else self._next_try(delivery)
        if delivery.next_at is not None:
            self._wake(delivery.next_at)

    def event(self, event_id: str) -> Json:
        """The event of that id, in the current version.

        Raises:
            SimulatorError: there is none.
        """
        found = self.world.events.find(event_id)
        thin = (event for event in self.world.thin_events if event["id"] == event_id)
        event = found or next(thin, None)
        if event is None:
            raise SimulatorError(f"no event {event_id}")
        return event

    def _parcel(self, target: Target, delivery: Delivery) -> Parcel:
        now = self._now()
        body = body_of(self.world, self.event(delivery.event_id), target, delivery.mishaps)
        secret, *older = target.secrets.active(now)
        at = self.signing_clock() if self.signing_clock is not None else now
        return Parcel(target, body, signature(body, secret, at, older))

    def _next_try(self, delivery: Delivery) -> int | None:
        pauses = PLANS[self.retries]
        if delivery.attempts > len(pauses):
            return None
        at = self._now() + pauses[delivery.attempts - 1]
        return at if at <= delivery.created + GIVEN_UP_SECONDS else None

    def _taken(self, event_id: str) -> None:
        """Note in the event that one endpoint fewer waits."""
        event = self.event(event_id)
        if event["object"] == "event":
            event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
            if event["pending_webhooks"] == 0:
                self._told(event)

    def _told(self, event: Json) -> None:
        """Note in a new invoice that nobody has still to hear of it."""
        if event["type"] == "invoice.created":
            invoice = self.world.table("invoice").rows.get(event["data"]["object"]["id"], {})
            invoice["webhooks_delivered_at"] = self.world.clock.seconds()

    def _arranged(self, rows: list[Delivery]) -> list[Delivery]:
        if self.order != "in order":
            self._random.shuffle(rows)
        return sorted(rows, key=lambda row: row.created) if self.order == "within a second" else rows

    def _target(self, name: str) -> Target | None:
        return next((target for target in self.targets.all() if target.name == name), None)

    def _now(self) -> int:
        return self.world.account_clock.seconds()

    def _wake(self, at: int) -> None:
        """See that the clock stops there, so that the event is offered at its time."""
        with self.world.on_clock(ACCOUNT):
            self.world.agenda.add(at, _nothing, "")


def _nothing(world: World, id: str) -> None:
    """The clock has stopped; deliveries are made after each stop."""
