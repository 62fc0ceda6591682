"""Events: written in the order in which Stripe emits them, with a snapshot of their object, kept for 30 days."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from attrs import define, field, frozen

from ..versions import CURRENT_VERSION, as_of
from .errors import Json

if TYPE_CHECKING:
    from .world import World

KEPT_SECONDS = 30 * 86_400
"""How long `GET /v1/events` remembers."""


@frozen
class Cause:
    """The request that an event comes from; empty for Stripe's own automation and for what people do on its pages."""

    request_id: str | None = None
    idempotency_key: str | None = None


class Audience(Protocol):
    """Those whom events are sent to."""

    def accept(self, event: Json) -> int:
        """Take a new event; answers to how many endpoints it goes."""
        ...

    def versions(self) -> set[str]:
        """The API versions that endpoints ask for."""
        ...


@define
class EventLog:
    """All events ever emitted, oldest first, in the current version whatever their `api_version` says."""

    log: list[Json] = field(factory=list[Json], init=False)
    cause: Cause = Cause()
    muted: bool = False
    audience: Audience | None = field(default=None, init=False, repr=False)
    older: dict[tuple[str, str], Json] = field(factory=dict[tuple[str, str], Json], init=False, repr=False)
    """Events in older versions, by id and version: how they looked when they were emitted."""
    shuffler: random.Random = field(factory=lambda: random.Random(0), init=False, repr=False)  # noqa: S311 - hides nothing
    """Decides how what is emitted together is shuffled."""
    _by_id: dict[str, Json] = field(factory=dict[str, Json], init=False, repr=False)
    _batch: list[Json] | None = field(default=None, init=False)

    def write(self, event: Json) -> None:
        """Append an event and send it, or hold it back while a batch collects."""
        if self._batch is not None:
            self._batch.append(event)
        else:
            self._publish(event)

    def find(self, id: str) -> Json | None:
        """The event of that id."""
        return self._by_id.get(id)

    def in_order(self, order: Sequence[str]) -> AbstractContextManager[None]:
        """Collect what is emitted inside, then write it in the order of the types in `order`; others come last."""
        rank = {type: index for index, type in enumerate(order)}
        return self._arranged(lambda batch: batch.sort(key=lambda event: rank.get(event["type"], len(rank))))

    def shuffled(self) -> AbstractContextManager[None]:
        """Collect what is emitted inside, then write it in any order, which `shuffler` decides."""
        return self._arranged(self.shuffler.shuffle)

    @contextmanager
    def _arranged(self, arrange: Callable[[list[Json]], None]) -> Generator[None]:
        if self._batch is not None:
            yield
            return
        batch: list[Json] = []
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None
        arrange(batch)
        for event in batch:
            self._publish(event)

    def _publish(self, event: Json) -> None:
        self.log.append(event)
        self._by_id[event["id"]] = event
        if self.audience is not None:
            event["pending_webhooks"] = self.audience.accept(event)


Watcher: TypeAlias = "Callable[[World, Json], None]"
"""Takes the world and the stored object that an event was written about."""

_WATCHERS: list[tuple[str, Watcher]] = []


def watching(prefix: str) -> Callable[[Watcher], Watcher]:
    """Register what is called after each event whose type begins so."""

    def register(watcher: Watcher) -> Watcher:
        _WATCHERS.append((prefix, watcher))
        return watcher

    return register


def emit(world: World, type: str, stored: Json, previous: Json | None = None) -> None:
    """Write an event about an object as it is now; `previous` are the former values of what an update changed."""
    if world.events.muted:
        return
    cause = world.events.cause
    data: Json = {"object": world.render(stored)}
    if previous is not None:
        data["previous_attributes"] = previous
    event: Json = {
        "id": world.ids.new("evt"),
        "object": "event",
        "api_version": world.event_version,
        "created": world.account_clock.seconds(),
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
        "type": type,
    }
    world.check_event(event)
    asked = world.events.audience.versions() if world.events.audience is not None else set[str]()
    for version in {world.event_version, *asked} - {CURRENT_VERSION}:
        world.events.older[event["id"], version] = _older(world, event, version)
    world.events.write(event)
    for prefix, watcher in _WATCHERS:
        if type.startswith(prefix):
            watcher(world, stored)


def shown(world: World, event: Json, version: str) -> Json:
    """An event as one gets it whose API version is that: the shape of the object and of what changed in it."""
    if version == CURRENT_VERSION:
        return {**event, "api_version": version}
    key = event["id"], version
    if key not in world.events.older:
        world.events.older[key] = _older(world, event, version)
    return {**world.events.older[key], "pending_webhooks": event["pending_webhooks"]}


def _older(world: World, event: Json, version: str) -> Json:
    """The event in an older version. What an update changed is told by comparing both states in that version."""
    made = deepcopy(event)
    if "previous_attributes" in made["data"]:
        before = as_of(world, _merged(made["data"]["object"], made["data"]["previous_attributes"]), version)
        after = as_of(world, deepcopy(made["data"]["object"]), version)
        made["data"]["previous_attributes"] = _difference(before, after)
    return as_of(world, made, version) | {"api_version": version}


def _merged(after: Json, previous: Json) -> Json:
    """The former state of an object: what it is now, with the former values of what changed."""
    before = deepcopy(after)
    for name in previous:
        old, now = previous[name], before.get(name)
        nested = isinstance(old, dict) and isinstance(now, dict) and "object" not in old
        before[name] = _merged(_map(now), _map(old)) if nested else deepcopy(previous[name])
    return before


@contextmanager
def updating(world: World, stored: Json, type: str) -> Generator[Json]:
    """Emit `type` with `previous_attributes` when the block changed how the object looks; nothing otherwise."""
    before = world.render(stored)
    yield stored
    previous = _difference(before, world.render(stored))
    if previous:
        emit(world, type, stored, previous)


def _difference(before: Json, after: Json) -> Json:
    previous: Json = {}
    for name in [*before, *(name for name in after if name not in before)]:
        old, new = before.get(name), after.get(name)
        if old != new:
            nested = isinstance(old, dict) and isinstance(new, dict) and "object" not in old
            previous[name] = _difference(_map(old), _map(new)) if nested else old
    return previous


def _map(value: Any) -> Json:
    found: Json = value
    return found
