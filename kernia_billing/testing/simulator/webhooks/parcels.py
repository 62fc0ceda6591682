"""What is handed to a receiver: the bytes of an event as its endpoint gets it, and their signature."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import field, frozen

from ..world.errors import Json
from ..world.events import shown
from . import thin
from .mishaps import Mishap
from .targets import Target

if TYPE_CHECKING:
    from ..world.world import World


@frozen
class Parcel:
    """One webhook on its way."""

    target: Target
    body: bytes = field(repr=False)
    signature: str = field(repr=False)


def body_of(world: World, event: Json, target: Target, mishaps: Sequence[Mishap] = ()) -> bytes:
    """The bytes of an event for an endpoint: thin or whole, in its version, and what rules make of it."""
    if target.thin:
        made = thin.notification(world, event)
    else:
        version = next((each.version for each in mishaps if each.kind == "stale_version"), target.version)
        made = shown(world, event, version or event["api_version"])
    for mishap in mishaps:
        if mishap.kind == "wrong_livemode":
            made = {**made, "livemode": True}
        elif mishap.kind == "foreign_account":
            made = {**made, "account": mishap.account}
    return json.dumps(made, indent=2).encode()
