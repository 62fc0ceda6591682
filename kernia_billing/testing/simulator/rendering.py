"""How stored objects become JSON that leaves the simulator: embedded objects filled in, expansions, the API version.

Objects are stored in the shape of the newest version. Older versions are to be reached from it by a chain of changes
in `VERSIONS`, which is the only place that knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

from .errors import ApiError, Json

if TYPE_CHECKING:
    from .world import World

CURRENT_VERSION = "2026-10-28.endive"

VERSIONS: dict[str, tuple[Callable[[Json], Json], ...]] = {CURRENT_VERSION: ()}
"""Each version with the changes that lead to it from the current one."""

MAX_DEPTH = 4

_EXPANDABLE: dict[str, frozenset[str]] = {
    "billing_portal.session": frozenset({"configuration"}),
    "charge": frozenset({"customer", "payment_intent"}),
    "checkout.session": frozenset({"customer", "invoice", "payment_intent", "setup_intent", "subscription"}),
    "customer": frozenset({"default_payment_method"}),
    "invoice": frozenset({"customer", "default_payment_method", "subscription"}),
    "invoice_payment": frozenset({"charge", "invoice", "payment_intent"}),
    "line_item": frozenset({"price", "subscription"}),
    "payment_intent": frozenset({"customer", "latest_charge", "payment_method"}),
    "payment_method": frozenset({"customer"}),
    "price": frozenset({"product"}),
    "plan": frozenset({"product"}),
    "product": frozenset({"default_price"}),
    "setup_intent": frozenset({"customer", "payment_method"}),
    "subscription": frozenset(
        {"customer", "default_payment_method", "latest_invoice", "pending_setup_intent", "schedule"}
    ),
}
"""Fields that hold an id and may be expanded, per kind of object; those of nested maps belong to the object."""

_INCLUDABLE: dict[tuple[str, str], Callable[[World, Json], Any]] = {}
"""Fields that are left out unless they are asked for, with what makes them."""

_FILLERS: dict[str, Callable[[World, Json], None]] = {}
"""What completes an object of a kind after it was copied, for example embeds the prices of its items."""


def includable(kind: str, name: str) -> Callable[[Callable[[World, Json], Any]], Callable[[World, Json], Any]]:
    """Register the maker of a field that is shown only when expanded. It gets the stored object."""

    def register(maker: Callable[[World, Json], Any]) -> Callable[[World, Json], Any]:
        _INCLUDABLE[kind, name] = maker
        return maker

    return register


def filler(kind: str) -> Callable[[Callable[[World, Json], None]], Callable[[World, Json], None]]:
    """Register what completes the copies of stored objects of a kind, in place, before they are shown."""

    def register(fill: Callable[[World, Json], None]) -> Callable[[World, Json], None]:
        _FILLERS[kind] = fill
        return fill

    return register


def render(world: World, stored: Json, version: str = CURRENT_VERSION) -> Json:
    """The JSON of a stored object, nothing expanded."""
    shown = deepcopy(stored)
    fill = _FILLERS.get(str(stored.get("object")))
    if fill is not None:
        fill(world, shown)
    shown = {name: value for name, value in shown.items() if not name.startswith("_")}
    for change in VERSIONS[version]:
        shown = change(shown)
    return shown


def expand(world: World, shown: Json, paths: Sequence[str]) -> Json:
    """Expand a rendered object, or a list object by paths that begin with `data.`, in place.

    Raises:
        ApiError: too deep, or a property that cannot be expanded.
    """
    for path in paths:
        steps = path.split(".")
        if len([step for step in steps if step != "data"]) > MAX_DEPTH:
            message = f"You cannot expand more than {MAX_DEPTH} levels of a property. Property: {path}"
            raise ApiError(message, param="expand")
        if shown.get("object") in ("list", "search_result") and steps[0] != "data":
            raise _cannot(path, f"You may want to try expanding 'data.{path}'.")
        _walk(world, shown, str(shown.get("object")), steps, path)
    return shown


def _walk(world: World, node: Any, kind: str, steps: list[str], path: str) -> None:
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            _walk(world, item, kind, steps, path)
    elif isinstance(node, dict) and steps:
        found = cast("Json", node)
        kind = str(found.get("object", kind))
        value = _step(world, found, kind, steps[0], path)
        _walk(world, value, kind, steps[1:], path)


def _step(world: World, node: Json, kind: str, name: str, path: str) -> Any:
    if (kind, name) in _INCLUDABLE:
        if name not in node:
            node[name] = _INCLUDABLE[kind, name](world, world.find(node["id"]))
        return node[name]
    value = node.get(name)
    if isinstance(value, dict | list):
        return cast("Any", value)
    if name not in _EXPANDABLE.get(kind, ()):
        raise _cannot(path)
    if isinstance(value, str):
        node[name] = render(world, world.find(value))
    return node.get(name)


def _cannot(path: str, hint: str = "") -> ApiError:
    return ApiError(
        f"This property cannot be expanded ({path}). {hint}".strip(), code="property_forbidden", param="expand"
    )
