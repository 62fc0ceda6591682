"""Lines of draws, taken apart by units: what a hold settles, and what a refund returns.

Lines stand in the order of drawing. Those of one feature that follow each other make whole units together, though a
unit that a credit pool pays may span several of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from attrs import evolve

from .buckets import Bucket, Draw


def units_of(lines: Iterable[Draw]) -> int:
    """How many units the lines pay."""
    return sum(line.units for line in lines)


def split(lines: Sequence[Draw], units: int) -> tuple[list[Draw], list[Draw]]:
    """The lines of the first `units` units, and those of the rest. Both are lines again: each makes whole units."""
    first: list[Draw] = []
    rest: list[Draw] = []
    for _, group in groupby(lines, lambda line: line.feature):
        together = list(group)
        mine = min(units, units_of(together))
        units -= mine
        taken, left = _cut(together, mine)
        first += taken
        rest += left
    return first, rest


def split_last(lines: Sequence[Draw], units: int) -> tuple[list[Draw], list[Draw]]:
    """The lines of the last `units` units, from the last to the first, and the rest, in the order of drawing."""
    rest, last = split(lines, max(0, units_of(lines) - units))
    return last[::-1], rest


def shift(buckets: Iterable[Bucket], lines: Iterable[Draw], *, used: int = 0, held: int = 0) -> list[Bucket]:
    """The buckets after the lines moved in them: `used` and `held` say how (1, 0 or -1).

    Reserving is `held=1`, releasing `held=-1`, settling `used=1, held=-1`, refunding `used=-1`.
    """
    moved: dict[str, int] = {}
    for line in lines:
        moved[line.bucket_id] = moved.get(line.bucket_id, 0) + line.amount
    return [
        evolve(each, used=each.used + used * moved[each.id], held=each.held + held * moved[each.id])
        if each.id in moved
        else each
        for each in buckets
    ]


def _cut(lines: Sequence[Draw], units: int) -> tuple[list[Draw], list[Draw]]:
    """Cut the lines of one feature after so many units."""
    if units and units == units_of(lines):
        return [*lines], []
    # Where some of it was given back meanwhile, less than was drawn pays for as many units.
    cost = max(1, sum(line.amount for line in lines) // max(1, units_of(lines)))
    left = units * cost
    taken: list[tuple[Draw, int]] = []
    rest: list[tuple[Draw, int]] = []
    for line in lines:
        amount = min(line.amount, left)
        left -= amount
        taken.append((line, amount))
        rest.append((line, line.amount - amount))
    return _counted(taken, cost), _counted(rest, cost)


def _counted(amounts: Iterable[tuple[Draw, int]], cost: int) -> list[Draw]:
    """Lines of these amounts; a unit is counted where it is completed."""
    lines: list[Draw] = []
    before = 0
    for line, amount in amounts:
        if amount:
            units = (before + amount) // cost - before // cost
            lines.append(Draw(line.bucket_id, line.feature, amount, units))
            before += amount
    return lines
