"""What a change of plan does to each item of a Stripe subscription."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from attrs import frozen

from .subscriptions import SubscriptionItem

PlanLine = tuple[str, int | None]
"""A price and how many of it; None for a metered price, and where the number is to stay as it is."""


@frozen
class Move:
    """What becomes of one item: `item_id` is None for one that is added. `changed` says whether anything happens."""

    item_id: str | None
    price_id: str
    quantity: int | None
    changed: bool
    deleted: bool = False
    price_changed: bool = True


def moves(
    items: Sequence[SubscriptionItem],
    lines: Sequence[PlanLine],
    *,
    base: str | None,
    seat_price: str | None = None,
    new_seat_price: str | None = None,
    owned: Collection[str] = (),
) -> tuple[Move, ...]:
    """The moves that make these items sell these lines, of which the first is the plan's own price.

    `base` is the item that sells the old plan, `seat_price` and `new_seat_price` are the prices of a seat beside it,
    and `owned` are the prices that belong to the old plan: what of them is not wanted any more goes. Everything else
    stays as it is, such as an add-on that somebody else put there; what is there already is not added once more.
    """
    left = {each.id: each for each in items}
    wanted = {price for price, _ in lines}
    made: list[Move] = []
    for number, (price, count) in enumerate(lines):
        found = left.get(base or "") if number == 0 else _of_price(left.values(), price)
        if found is None and price == new_seat_price and seat_price not in wanted:
            found = _of_price(left.values(), seat_price)
        if found is None:
            made.append(Move(None, price, count, changed=True))
            continue
        del left[found.id]
        same = found.price_id == price
        kept = count is None and same
        quantity = found.quantity if kept else count
        made.append(
            Move(found.id, price, quantity, changed=not (same and quantity == found.quantity), price_changed=not same)
        )
    for each in left.values():
        gone = each.price_id in owned or each.price_id in wanted
        made.append(Move(each.id, each.price_id, each.quantity, changed=gone, deleted=gone, price_changed=False))
    return tuple(made)


def _of_price(items: Collection[SubscriptionItem], price: str | None) -> SubscriptionItem | None:
    return next((each for each in items if each.price_id == price), None)


def update_params(made: Sequence[Move]) -> list[dict[str, Any]]:
    """The moves as `items` of Stripe's "Update a subscription": only what changes is named."""
    return [_param(each) for each in made if each.changed]


def _param(move: Move) -> dict[str, Any]:
    if move.deleted:
        return {"id": move.item_id, "deleted": True}
    told: dict[str, Any] = {} if move.item_id is None else {"id": move.item_id}
    if move.price_changed:
        told["price"] = move.price_id
    if move.quantity is not None:
        told["quantity"] = move.quantity
    return told


def phase_params(made: Sequence[Move]) -> list[dict[str, Any]]:
    """The moves as `items` of a phase of a subscription schedule, which names everything that is sold in it."""
    return [
        {"price": each.price_id} if each.quantity is None else {"price": each.price_id, "quantity": each.quantity}
        for each in made
        if not each.deleted
    ]
