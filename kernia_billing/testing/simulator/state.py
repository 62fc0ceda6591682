"""One simulator's parts, put together: the world, its API, the webhook queue and the library it is attached to."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from attrs import define, field

from . import endpoints
from .api import Api
from .clock import DEFAULT_START
from .delivery import Outbox
from .world import World


@define(eq=False)
class State:
    """Everything a simulator holds."""

    world: World
    api: Api
    outbox: Outbox
    webhook_secret: str = field(repr=False)
    delivers: bool = True
    """Whether events are delivered at the end of each action."""
    receiver: Any = field(default=None, repr=False)
    """A `Receiver` or an `AsyncReceiver`."""


def new_state(
    now: datetime | None,
    *,
    ticking: bool = False,
    delivers: bool = True,
    api_key: str | None = None,
    webhook_secret: str | None = None,
) -> State:
    """An empty account that nobody is attached to."""
    start = now or (datetime.now().astimezone() if ticking else DEFAULT_START)
    world = World.at(start, ticking=ticking)
    key = api_key or f"sk_test_{world.ids.letters(32)}"
    if not key.startswith("sk_test_"):
        raise ValueError("api_key: a simulator is in test mode, its key begins with sk_test_")
    secret = webhook_secret or f"whsec_{world.ids.letters(32)}"
    return State(world, Api(world, endpoints.router(), key), Outbox(world), secret, delivers)
