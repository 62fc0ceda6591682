"""Whose an object is: its customer, and by the customer the clock that it lives on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

from .errors import Json

if TYPE_CHECKING:
    from .world import World

ACCOUNT = ""
"""The name of the account's own clock; test clocks are named by their ids."""

_LINKS = ("customer", "subscription", "_subscription", "invoice", "payment_intent", "charge")
"""Fields that lead from an object to its customer, the shortest way first."""


def owner_of(world: World, row: Mapping[str, Any]) -> str | None:
    """The id of the customer that a stored object belongs to, if it belongs to one."""
    if row.get("object") == "customer":
        return str(row["id"])
    for name in _LINKS:
        link = row.get(name)
        if isinstance(link, str):
            linked = link if name == "customer" else _owner_of_id(world, link)
            if linked is not None:
                return linked
    return None


def clock_of(world: World, row: Mapping[str, Any]) -> str:
    """The name of the clock that a stored object lives on."""
    if row.get("object") == "test_helpers.test_clock":
        return str(row["id"])
    if not world.clocks:
        return ACCOUNT
    owner = owner_of(world, row)
    customer = world.table("customer").rows.get(owner or "", {})
    return str(customer.get("test_clock") or ACCOUNT)


def clock_named(world: World, values: object) -> str:
    """The clock of the first object that is named anywhere in a request's ids and parameters."""
    if not world.clocks:
        return ACCOUNT
    for text in _texts(values):
        row = _find(world, text)
        name = ACCOUNT if row is None else clock_of(world, row)
        if name in world.clocks:
            return name
    return ACCOUNT


def _owner_of_id(world: World, id: str) -> str | None:
    row = _find(world, id)
    return None if row is None else owner_of(world, row)


def _find(world: World, id: str) -> Json | None:
    for table in world.tables.values():
        if id in table.rows:
            return table.rows[id]
    return None


def _texts(values: object) -> Iterator[str]:
    """Every text in nested maps and lists, but for metadata, which is the application's own."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for name, value in cast("Mapping[str, object]", values).items():
            if name != "metadata":
                yield from _texts(value)
    elif isinstance(values, list | tuple):
        for value in cast("list[object]", values):
            yield from _texts(value)
