"""One simulator's parts, put together: the world, its API, the webhook queue and the library it is attached to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from attrs import define

from . import endpoints
from .api.api import Api
from .webhooks.delivery import Outbox
from .webhooks.targets import Secrets, Targets
from .world.clock import DEFAULT_START
from .world.world import World


@define(eq=False)
class State:
    """Everything a simulator holds."""

    world: World
    api: Api
    outbox: Outbox
    delivers: bool = True
    """Whether events are delivered at the end of each action."""
    between_steps: Callable[[], object] | None = None
    """Called while time passes, whenever what fell due was done: a server delivers here."""

    @property
    def receiver(self) -> Any:
        """The library: a `Receiver` or an `AsyncReceiver`; None while nobody is attached."""
        return self.outbox.targets.library

    @property
    def webhook_secret(self) -> str:
        """The newest secret that the library's webhooks are signed with."""
        return self.outbox.targets.attached.current


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
    outbox = Outbox(world, Targets(world, Secrets(secret)))
    return State(world, Api(world, endpoints.router(), key), outbox, delivers)
