"""A history on tape: what Stripe answered at every moment of it, and the events that it sent, in every version."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import define, field, frozen

from kernia_billing.domain.instants import Instant
from kernia_billing.errors import NotFound
from kernia_billing.operations.event_types import TREATMENTS
from kernia_billing.operations.projections.tickets import EXPAND, PATHS, Kind
from kernia_billing.ports.stripe import StripePage, StripePort
from kernia_billing.testing.simulator.world.events import shown
from tests.convergence.scene import Scene

Version = Literal["2024-04-10", "2025-03-31.basil", "2026-03-25.dahlia", "2026-10-28.endive"]
VERSIONS: tuple[Version, ...] = ("2024-04-10", "2025-03-31.basil", "2026-03-25.dahlia", "2026-10-28.endive")
TABLES: Mapping[Kind, str] = {
    "subscription": "subscription",
    "customer": "customer",
    "price": "price",
    "product": "product",
    "invoice": "invoice",
    "schedule": "subscription_schedule",
    "payment_method": "payment_method",
    "checkout.session": "checkout.session",
}
"""What Stripe calls the kinds that are mirrored."""


@frozen(eq=False)
class Told:
    """An event: its type, the moment from which on it can be delivered, and its bytes by version."""

    type: str
    moment: int
    bodies: Mapping[Version, bytes] = field(repr=False)


@frozen(eq=False)
class Moment:
    """Stripe at one time: the objects by their path, and the time."""

    now: Instant
    objects: Mapping[str, Mapping[str, Any]] = field(repr=False)


@define(eq=False)
class Tape:
    """A Stripe that answers as it did at the moment `at`; its lists are those of the end.

    Also the clock of that moment.
    """

    moments: Sequence[Moment] = field(repr=False)
    live: StripePort = field(repr=False)
    """The simulator, which stands at the end."""
    at: int = 0
    fetched: int = 0
    _pages: dict[str, StripePage] = field(factory=dict[str, StripePage], repr=False)

    def now(self) -> Instant:
        """The time at that moment."""
        return self.moments[self.at].now

    async def request(
        self, method: str, path: str, params: object = None, *, idempotency_key: str | None = None
    ) -> Mapping[str, Any]:
        """The object at a path."""
        assert (method, idempotency_key) == ("GET", None)
        self.fetched += 1
        found = self.moments[self.at].objects.get(path)
        if found is None:
            raise NotFound(f"no {path} at that moment")
        return found

    async def page(self, path: str, params: Mapping[str, Any] | None = None, *, after: str | None = None) -> StripePage:
        """A page of a list, as it is at the end."""
        assert self.at == len(self.moments) - 1
        key = repr((path, sorted((params or {}).items()), after))
        if key not in self._pages:
            self._pages[key] = await self.live.page(path, params, after=after)
        return self._pages[key]

    def in_background(self) -> Tape:
        """The same: nothing is limited."""
        return self

    async def close(self) -> None:
        """Nothing is open."""


def snapshot(scene: Scene) -> Moment:
    """Everything that is mirrored, as Stripe answers at this moment."""
    objects: dict[str, Mapping[str, Any]] = {}
    for kind, table in TABLES.items():
        expand = {f"expand[{number}]": name for number, name in enumerate(EXPAND.get(kind, {}).get("expand", ()))}
        for row in scene.rows(table):
            path = PATHS[kind] + str(row["id"])
            answer = scene.account.send("GET", path, expand)
            if answer.status_code == 200:
                objects[path] = answer.json()
    return Moment(scene.stripe.clock.now(), objects)


def told_since(scene: Scene, count: int, moment: int) -> list[Told]:
    """The events after the first `count` for which something is brought up to date."""
    world = scene.stripe.state.world
    return [
        Told(
            event["type"], moment, {version: json.dumps(shown(world, event, version)).encode() for version in VERSIONS}
        )
        for event in world.events.log[count:]
        if event["type"] in TREATMENTS and TREATMENTS[event["type"]].targets
    ]
