"""Refunds: giving back what was used, by the event that used it or, where nobody knows which, in reverse order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from .buckets import Bucket, Draw, Pool, burn_order
from .drawing import split, split_last, units_of


@frozen
class Place:
    """Where what a line drew can be given back now: the bucket itself, or the one that its usage was carried to.

    `used` is what can come back at most: less than the line where units were given back without naming an event, or
    forgiven. `is_open` is false where the units are written back for the record only.
    """

    bucket_id: str
    used: int
    is_open: bool = True


@frozen
class Refund:
    """What is given back. `units` are of the feature that was used, of which `restored` ones can be spent again.

    The `lapsed` rest was drawn from buckets that are closed, or had come back before; credits that do not pay a whole
    unit count as lapsed.
    """

    draws: Sequence[Draw]
    units: int
    restored: int

    @property
    def lapsed(self) -> int:
        """Units that count as given back and that nobody can spend."""
        return self.units - self.restored


def refund(
    lines: Sequence[Draw], funded: int, quantity: int | None, places: Mapping[str, Place], *, refunded: int = 0
) -> Refund:
    """Give back up to `quantity` units (None: all) of one use, from its last line to its first.

    `lines` are what the use drew, `funded` how many units that paid (some of them at no cost, without a line), and
    `refunded` how many came back by earlier refunds of this use: all refunds together never exceed what was funded.
    `places` are by the bucket of a line; several may lead to one bucket.

    Raises:
        ValueError: the quantity is negative.
    """
    if quantity is not None and quantity < 0:
        raise ValueError("a negative quantity is not refunded")
    units = max(0, funded - refunded if quantity is None else min(quantity, funded - refunded))
    # What cost nothing was drawn last: it comes back first, without a line.
    free = funded - units_of(lines)
    gone = max(0, refunded - free)
    left = split(lines, units_of(lines) - gone)[0]
    costless = min(units, max(0, free - refunded))
    back = split_last(left, units - costless)[0]
    draws, restored = _place(back, places)
    return Refund(draws, units, costless + restored)


def anonymous(
    buckets: Iterable[Bucket],
    feature: str,
    quantity: int,
    *,
    entity: str = "",
    pools: Sequence[Pool] = (),
    drawn: Mapping[str, int] | None = None,
) -> Refund:
    """Give back up to `quantity` units without naming a use, in the reverse of the order of drawing: overage first.

    Never more than is used. A pool pays for several features: `drawn` says how many credits of each of its buckets
    this one drew and has not got back, and no more than that comes back.
    """
    live = [each for each in buckets if not each.entity or each.entity == entity]
    draws: list[Draw] = []
    left = quantity
    for overage in (True, False):
        for pool in (*reversed(pools), Pool(feature, 1)) if quantity > 0 else ():
            # A unit may have been paid with credits and the overage beyond them: what is left of both makes one again.
            stage = [each for each in live if each.feature == pool.feature and (each.kind == "overage" or not overage)]
            used = {each.id: each.used for each in stage}
            if pool.feature != feature:
                used = {name: min(most, (drawn or {}).get(name, 0)) for name, most in used.items()}
            for each in draws:
                used[each.bucket_id] = used.get(each.bucket_id, 0) - each.amount
            back = _back(stage, pool.cost, left, used)
            left -= units_of(back)
            draws += back
    return Refund(draws, quantity - left, quantity - left)


def _place(lines: Sequence[Draw], places: Mapping[str, Place]) -> tuple[list[Draw], int]:
    """The lines brought to their places, and how many units can be bought again with what can be spent of them."""
    room = {place.bucket_id: place.used for place in places.values()}
    draws: list[Draw] = []
    spendable: dict[str, int] = {}
    for line in lines:
        place = places[line.bucket_id]
        amount = min(line.amount, room[place.bucket_id])
        room[place.bucket_id] -= amount
        if amount:
            draws.append(evolve(line, bucket_id=place.bucket_id, amount=amount))
        if place.is_open:
            spendable[line.feature] = spendable.get(line.feature, 0) + amount
    return draws, sum(amount // _cost(lines, feature) for feature, amount in spendable.items())


def _cost(lines: Sequence[Draw], feature: str) -> int:
    """How much one unit cost that the lines of a feature paid."""
    mine = [line for line in lines if line.feature == feature]
    return sum(line.amount for line in mine) // units_of(mine)


def _back(stage: Iterable[Bucket], cost: int, wanted: int, used: Mapping[str, int]) -> list[Draw]:
    """Up to `wanted` whole units at `cost` out of what is `used` of one stage, the last in the order first."""
    if cost == 0:
        return []
    ordered = sorted(stage, key=burn_order, reverse=True)
    most = [used[each.id] for each in ordered]
    left = min(wanted, sum(most) // cost) * cost
    draws: list[Draw] = []
    before = 0
    for each, usable in zip(ordered, most, strict=True):
        amount = min(usable, left)
        if amount > 0:
            left -= amount
            draws.append(Draw(each.id, each.feature, amount, (before + amount) // cost - before // cost))
            before += amount
    return draws
