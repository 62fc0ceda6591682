"""Events: written in the order in which Stripe emits them, with a snapshot of their object, kept for 30 days."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen

from . import fields, lists
from .errors import Json, missing
from .router import Call, Route

if TYPE_CHECKING:
    from .world import World

KEPT_SECONDS = 30 * 86_400
"""How long `GET /v1/events` remembers."""


@frozen
class Cause:
    """The request that an event comes from; empty for Stripe's own automation and for what people do on its pages."""

    request_id: str | None = None
    idempotency_key: str | None = None


@define
class EventLog:
    """All events ever emitted, oldest first, and those that no receiver was offered yet."""

    log: list[Json] = field(factory=list[Json], init=False)
    cause: Cause = Cause()
    muted: bool = False
    _batch: list[Json] | None = field(default=None, init=False)

    def write(self, event: Json) -> None:
        """Append an event, or hold it back while a batch collects."""
        if self._batch is not None:
            self._batch.append(event)
        else:
            self.log.append(event)

    @contextmanager
    def in_order(self, order: Sequence[str]) -> Generator[None]:
        """Collect what is emitted inside, then write it in the order of the types in `order`; others come last."""
        if self._batch is not None:
            yield
            return
        batch: list[Json] = []
        self._batch = batch
        try:
            yield
        finally:
            self._batch = None
        rank = {type: index for index, type in enumerate(order)}
        self.log.extend(sorted(batch, key=lambda event: rank.get(event["type"], len(rank))))


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
        "created": world.clock.seconds(),
        "data": data,
        "livemode": False,
        "pending_webhooks": 1 if world.has_receiver else 0,
        "request": {"id": cause.request_id, "idempotency_key": cause.idempotency_key},
        "type": type,
    }
    world.check_event(event)
    world.events.write(event)


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


def _live(world: World) -> list[Json]:
    since = world.clock.seconds() - KEPT_SECONDS
    return [event for event in reversed(world.events.log) if event["created"] >= since]


def _retrieve(world: World, call: Call) -> Json:
    for event in _live(world):
        if event["id"] == call.ids[0]:
            return event
    raise missing("event", call.ids[0], in_path=True)


def _list(world: World, call: Call) -> Json:
    params = call.params
    types = set(params.get("types", [])) | ({params["type"]} if "type" in params else set[str]())
    found = [
        event
        for event in _live(world)
        if (not types or any(_matches(event["type"], type) for type in types))
        and fields.in_range(event["created"], params.get("created"))
    ]
    return lists.page(found, call)


def _matches(type: str, wanted: str) -> bool:
    return type == wanted or (wanted.endswith("*") and type.startswith(wanted[:-1]))


ROUTES = (
    Route("GET", "/v1/events/{id}", _retrieve),
    Route(
        "GET",
        "/v1/events",
        _list,
        {
            "type": fields.text,
            "types": fields.list_of(fields.text, 20),
            "created": fields.range_of_time,
        },
        lists=True,
    ),
)
