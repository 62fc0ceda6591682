"""How stored objects become JSON that leaves the simulator: embedded objects filled in, expansions, the API version.

Objects are stored in the shape of the newest version; `versions` knows the way from it to the older ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

from attrs import frozen

from ..versions import CURRENT_VERSION, VERSIONS, as_of
from .errors import ApiError, Json
from .ownership import clock_of

if TYPE_CHECKING:
    from .world import World

MAX_DEPTH = 4

_EXPANDABLE: dict[str, frozenset[str]] = {
    "billing.credit_balance_summary": frozenset({"customer"}),
    "billing.credit_balance_transaction": frozenset({"credit_grant", "invoice"}),
    "billing.credit_grant": frozenset({"customer"}),
    "billing_portal.session": frozenset({"configuration"}),
    "charge": frozenset({"customer", "payment_intent"}),
    "checkout.session": frozenset(
        {"coupon", "customer", "invoice", "payment_intent", "promotion_code", "setup_intent", "subscription"}
    ),
    "credit_note": frozenset({"customer", "customer_balance_transaction", "discount", "invoice", "refund"}),
    "customer": frozenset({"default_payment_method"}),
    "customer_balance_transaction": frozenset({"checkout_session", "credit_note", "customer", "invoice"}),
    "discount": frozenset({"coupon", "customer", "promotion_code"}),
    "dispute": frozenset({"charge", "payment_intent"}),
    "entitlements.active_entitlement": frozenset({"feature"}),
    "invoice": frozenset(
        {"credit_balance_transaction", "customer", "default_payment_method", "discount", "discounts", "subscription"}
    ),
    "invoice_payment": frozenset({"charge", "invoice", "payment_intent"}),
    "invoiceitem": frozenset({"customer", "discounts", "invoice", "price"}),
    "line_item": frozenset({"credit_balance_transaction", "discount", "discounts", "price", "subscription"}),
    "payment_intent": frozenset({"customer", "latest_charge", "payment_method"}),
    "payment_method": frozenset({"customer"}),
    "price": frozenset({"product"}),
    "plan": frozenset({"product"}),
    "product": frozenset({"default_price"}),
    "promotion_code": frozenset({"coupon", "customer"}),
    "refund": frozenset({"charge", "payment_intent"}),
    "setup_intent": frozenset({"customer", "payment_method"}),
    "subscription": frozenset(
        {"customer", "default_payment_method", "discounts", "latest_invoice", "pending_setup_intent", "schedule"}
    ),
    "subscription_item": frozenset({"discounts"}),
    "subscription_schedule": frozenset({"customer", "default_payment_method", "price", "subscription"}),
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
    """The JSON of a stored object in that version, nothing expanded. The stored object stays as it is."""
    shown = deepcopy(stored)
    if "test_clock" in shown:
        shown["test_clock"] = clock_of(world, stored) or None
    fill = _FILLERS.get(str(stored.get("object")))
    if fill is not None:
        fill(world, shown)
    return as_of(world, {name: value for name, value in shown.items() if not name.startswith("_")}, version)


def expand(world: World, shown: Json, paths: Sequence[str], version: str = CURRENT_VERSION) -> Json:
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
        _Expansion(world, version, path).walk(shown, str(shown.get("object")), steps)
    return shown


@frozen
class _Expansion:
    """The expansion of one path in objects that were rendered in a version."""

    world: World
    version: str
    path: str

    def walk(self, node: Any, kind: str, steps: list[str]) -> None:
        """Expand the path in a map, or in each map of a list."""
        if isinstance(node, list):
            for item in cast("list[Any]", node):
                self.walk(item, kind, steps)
        elif isinstance(node, dict) and steps:
            found = cast("Json", node)
            kind = str(found.get("object", kind))
            self.walk(self._step(found, kind, steps[0]), kind, steps[1:])

    def _step(self, node: Json, kind: str, name: str) -> Any:
        if (kind, name) in _INCLUDABLE and not self._is_newer(kind, name):
            if name not in node:
                made = _INCLUDABLE[kind, name](self.world, self.world.find(node["id"]))
                node[name] = as_of(self.world, cast("Json", made), self.version) if isinstance(made, dict) else made
            return node[name]
        value, expandable = node.get(name), self._expands(kind, name)
        if isinstance(value, list) and expandable:
            node[name] = [self._expanded(item) for item in cast("list[Any]", value)]
        elif isinstance(value, str) and expandable:
            node[name] = self._expanded(value)
        elif not isinstance(value, dict | list) and not (expandable and _may_lack(node, name)):
            raise _cannot(self.path)
        return node.get(name)

    def _expanded(self, value: Any) -> Any:
        return render(self.world, self.world.find(value), self.version) if isinstance(value, str) else value

    def _expands(self, kind: str, name: str) -> bool:
        before = any(name in step.expandable.get(kind, ()) for step in VERSIONS[self.version])
        return before or name in _EXPANDABLE.get(kind, ())

    def _is_newer(self, kind: str, name: str) -> bool:
        return any(name in step.removed.get(kind, ()) for step in VERSIONS[self.version])


def _may_lack(node: Json, name: str) -> bool:
    """Whether the field is there, or belongs to a nested map that may do without it."""
    return name in node or "object" not in node or bool(node.get("deleted"))


def _cannot(path: str, hint: str = "") -> ApiError:
    return ApiError(
        f"This property cannot be expanded ({path}). {hint}".strip(), code="property_forbidden", param="expand"
    )
