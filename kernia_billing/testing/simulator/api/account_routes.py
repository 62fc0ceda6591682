"""Asking which account the key belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..world import account
from ..world.errors import Json
from .router import Call, Route

if TYPE_CHECKING:
    from ..world.world import World


def _retrieve(world: World, _call: Call) -> Json:
    return account.of(world)


ROUTES = (Route("GET", "/v1/account", _retrieve),)
