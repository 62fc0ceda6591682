"""A step from one version of the API to the one before: fields to take out, and changes to make, by kind of object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from attrs import field, frozen

from ..world.errors import Json

if TYPE_CHECKING:
    from ..world.world import World


@frozen
class Target:
    """Where a step leads to, and the account, in which a change may look up what the older shape embeds."""

    world: World
    version: str

    def find(self, id: object) -> Json | None:
        """The stored object of that id; None for None and for what is not stored."""
        tables = self.world.tables.values()
        return next((table.rows[id] for table in tables if id in table.rows), None) if isinstance(id, str) else None

    def embed(self, stored: Json | None) -> Json | None:
        """A stored object as the older shape embeds it."""
        return None if stored is None else self.world.render(stored, self.version)


Change: TypeAlias = Callable[[Target, Json], None]
"""Gives a rendered object the older shape, in place. Any field may be missing: deleted objects have hardly one. What
it embeds is walked through afterwards, so that done twice it must do no harm."""


@frozen
class Step:
    """One step back."""

    leads_to: str
    removed: Mapping[str, Sequence[str]]
    """What the newer version added, as dotted paths by kind of object; lists on the way are gone through."""
    changes: Mapping[str, Change]
    """What the newer version moved, by kind of object. It runs before the removal."""
    expandable: Mapping[str, Collection[str]] = field(factory=dict[str, Collection[str]])
    """Fields that could be expanded in the older version and are gone from the newer, by kind of object."""

    def take(self, target: Target, node: Any) -> None:
        """Change every object in `node`, the outer ones first: they still find what the inner ones lose."""
        if isinstance(node, list):
            for item in cast("list[Any]", node):
                self.take(target, item)
        elif isinstance(node, dict):
            shown = cast("Json", node)
            kind = str(shown.get("object"))
            if kind in self.changes:
                self.changes[kind](target, shown)
            for path in self.removed.get(kind, ()):
                remove(shown, path.split("."))
            for value in list(shown.values()):
                self.take(target, value)


def remove(node: Any, steps: Sequence[str]) -> None:
    """Take a field out of a map, or out of each map of a list."""
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            remove(item, steps)
    elif isinstance(node, dict):
        found = cast("Json", node)
        if len(steps) == 1:
            found.pop(steps[0], None)
        else:
            remove(found.get(steps[0]), steps[1:])


def id_of(value: Any) -> Any:
    """The id of what is an id or, expanded, an object."""
    return cast("Json", value)["id"] if isinstance(value, dict) else value


def part(node: Json, *names: str) -> Json:
    """The map at that place of an object; an empty one when there is none."""
    for name in names:
        found = node.get(name)
        node = cast("Json", found) if isinstance(found, dict) else {}
    return node
