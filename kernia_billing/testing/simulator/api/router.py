"""Routes: method and path template to a handler, with the parameters that it takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from attrs import field, frozen

from ..world.errors import ApiError, Json
from . import lists
from .fields import Reader, list_of, read_params, text

if TYPE_CHECKING:
    from ..world.world import World


@frozen
class Call:
    """A request that a handler serves: the ids of its path, and its parameters, typed and checked one by one."""

    path: str
    ids: tuple[str, ...]
    params: Json
    expand: Sequence[str] = ()


Handler: TypeAlias = "Callable[[World, Call], Json]"
"""Answers a stored object, or a list object of stored objects; raises `ApiError` before it changes anything."""


@frozen(slots=False)
class Route:
    """One endpoint. `lists` adds limit, starting_after and ending_before; `expand` is taken everywhere."""

    method: str
    template: str
    handler: Handler
    params: Mapping[str, Reader] = field(factory=dict[str, Reader])
    required: Sequence[str] = ()
    lists: bool = field(default=False, kw_only=True)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a concrete path; its groups are the ids."""
        return re.compile(f"^{re.sub(r'{[^{}]*}', '([^/]+)', self.template)}$")

    def call(self, path: str, raw: Mapping[str, object]) -> Call:
        """Read the request's parameters.

        Raises:
            ApiError: one of them is unknown, missing or malformed.
        """
        readers = {**self.params, **(lists.PARAMS if self.lists else {}), "expand": list_of(text)}
        params = read_params(raw, readers, self.required)
        found = self.pattern.match(path)
        return Call(path, found.groups() if found else (), params, params.pop("expand", ()))


class Router:
    """Finds the route of a request; of several the one with fewest placeholders."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = sorted(routes, key=lambda route: route.template.count("{"))

    def find(self, method: str, path: str) -> Route:
        """The route of a request.

        Raises:
            ApiError: Stripe, or at least this simulator, has no such endpoint.
        """
        for route in self._routes:
            if route.method == method and route.pattern.match(path):
                return route
        raise ApiError(
            f"Unrecognized request URL ({method}: {path}). The simulator serves no such endpoint.", status=404
        )
