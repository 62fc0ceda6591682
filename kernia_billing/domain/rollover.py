"""Rollover: what a period that closes leaves to the ones that follow.

Unused units move on as rollover units, within a cap and for so many periods; units that were used beyond what was
included may be owed by the next period. Nothing here depends on when it is evaluated: periods that nobody opened count
as periods in which nothing was used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from attrs import evolve, frozen

from .instants import FOREVER, Instant
from .period import Rhythm

DebtMode = Literal["forgive", "carry"]
"""What happens to free overage when its period closes: nothing, or the next period starts with it as used."""


@frozen
class Rule:
    """How unused units move on: at most `cap` of them at a time, each for `periods` periods (None: for ever)."""

    cap: int
    periods: int | None = None

    def expiry(self, rhythm: Rhythm, origin: int) -> Instant:
        """When the units left over from period `origin` are lost."""
        return FOREVER if self.periods is None else rhythm.start(origin + 1 + self.periods)


@frozen
class Rolled:
    """Units left over from period `origin` that can still be drawn. Held ones are not among them."""

    origin: int
    left: int
    expires_at: Instant


@frozen
class Closing:
    """The last period of a grant that was opened, at its end.

    `unused` are the units neither used nor held; `debt` what its free overage bucket has used; `rolled` the rollover
    units of the grant that are left.
    """

    number: int
    unused: int
    debt: int = 0
    rolled: Sequence[Rolled] = ()


@frozen
class Freed:
    """Rollover units that a hold gave back when its time came, `at` an instant after the period had closed."""

    at: Instant
    units: Rolled


@frozen
class Opening:
    """What a period starts with: units `used` already because they are owed, and the rollover units alive in it.

    `forgiven` is what was owed beyond the amount of one period.
    """

    used: int
    rolled: Sequence[Rolled]
    forgiven: int = 0


Most = Callable[[int], "int | None"]
"""What a period, by its number, may leave at most; None where only its amount limits that."""


def unused(amount: int | None, used: int, held: int) -> int:
    """The units of a closing bucket that move on: what is held stays, and a bucket without cap leaves nothing."""
    return 0 if amount is None else max(0, amount - used - held)


def least(amount: int | None, most: Most | None, number: int) -> int | None:
    """What a period of `amount` units may leave at most, before anything of it is used; None where it has no cap."""
    limit = None if most is None else most(number)
    return amount if amount is None or limit is None else min(amount, limit)


def lose_at(rhythm: Rhythm, number: int, rule: Rule | None, expires_at: Instant = FOREVER) -> Instant:
    """When unused units of period `number` are lost: at its end, or when they would be lost after rolling over.

    Never later than `expires_at`, with which the whole grant ends.
    """
    end = rhythm.start(number + 1) if rule is None else rule.expiry(rhythm, number)
    return min(end, expires_at)


def step(rolled: Sequence[Rolled], new: Rolled, at: Instant, cap: int) -> list[Rolled]:
    """The rollover units after one period has closed `at`: expired ones go, `new` ones come, the cap trims.

    What is lost first is trimmed first, and of that the oldest. They come in this order.
    """
    alive = sorted((each for each in [*rolled, new] if each.left > 0 and each.expires_at > at), key=_order)
    excess = sum(each.left for each in alive) - cap
    kept: list[Rolled] = []
    for each in alive:
        trimmed = min(max(excess, 0), each.left)
        excess -= trimmed
        if each.left > trimmed:
            kept.append(evolve(each, left=each.left - trimmed))
    return kept


def opening(
    closing: Closing,
    number: int,
    amount: int | None,
    rhythm: Rhythm,
    *,
    rule: Rule | None = None,
    debt: DebtMode = "forgive",
    most: Most | None = None,
) -> Opening:
    """What period `number` starts with, where `closing` is the last one before it that was opened.

    `amount` is what every period of the grant includes. Periods in between were never opened: each leaves its whole
    amount, the first of them less what was owed. Only as many of them are looked at as can matter, which the cap and
    the life of rolled units bound. Where `most` is given no period leaves more of its amount than that.

    Raises:
        ValueError: the period does not come after the closing one.
    """
    if number <= closing.number:
        raise ValueError("a period opens after the one that closes")
    owed = closing.debt if debt == "carry" and amount is not None else 0
    paid = 0 if amount is None else min(owed, amount)
    starts_used = paid if number == closing.number + 1 else 0
    start = rhythm.start(number)
    rolled = list(closing.rolled)
    if rule is None or amount is None:
        # Nothing more moves on. What did under the terms before, or under another plan, goes on expiring.
        return Opening(starts_used, tuple(each for each in rolled if each.expires_at > start), owed - paid)
    for origin in [closing.number, *_missed(closing.number, number, amount, rule, most)]:
        left = closing.unused if origin == closing.number else least(amount, most, origin) or 0
        if origin == closing.number + 1:
            left -= paid
        new = Rolled(origin, left, rule.expiry(rhythm, origin))
        rolled = step(rolled, new, rhythm.start(origin + 1), rule.cap)
    # A grant that includes nothing any more has no periods that matter, and what it left before goes on expiring.
    return Opening(starts_used, [each for each in rolled if each.expires_at > start], owed - paid)


def opening_after(
    closing: Closing,
    freed: Sequence[Freed],
    number: int,
    amount: int | None,
    rhythm: Rhythm,
    *,
    rule: Rule | None = None,
    debt: DebtMode = "forgive",
    most: Most | None = None,
) -> Opening:
    """`opening`, where rollover units came back in between without anybody writing that down.

    A unit that comes back at the end of a period is there when that period closes.
    """
    found: Opening | None = None
    forgiven = 0
    for each in sorted(freed, key=lambda each: each.at):
        period = rhythm.period(each.at - 1).number
        if period > closing.number:
            found = opening(closing, period, amount, rhythm, rule=rule, debt=debt, most=most)
            forgiven += found.forgiven
            closing = Closing(period, unused(least(amount, most, period), found.used, 0), 0, found.rolled)
        closing = evolve(closing, rolled=_with(closing.rolled, each.units))
    if found is not None and closing.number == number:
        return evolve(found, rolled=closing.rolled, forgiven=forgiven)
    found = opening(closing, number, amount, rhythm, rule=rule, debt=debt, most=most)
    return evolve(found, forgiven=forgiven + found.forgiven)


def _with(rolled: Sequence[Rolled], units: Rolled) -> list[Rolled]:
    rest = [each for each in rolled if each.origin != units.origin]
    left = sum(each.left for each in rolled if each.origin == units.origin)
    return sorted([*rest, evolve(units, left=units.left + left)], key=_order)


def _missed(closed: int, number: int, amount: int, rule: Rule, most: Most | None) -> range:
    """The periods after the closed one that were never opened and can matter to period `number`.

    A period leaves units for `rule.periods` periods, and enough full periods fill the cap whatever came before them.
    """
    matter = number - closed - 1
    if rule.periods is not None:
        matter = min(matter, rule.periods)
    if amount <= 0:
        matter = 0
    elif most is None:
        matter = min(matter, -(-rule.cap // amount))
    return range(number - matter, number)


def _order(rolled: Rolled) -> tuple[Instant, int]:
    return rolled.expires_at, rolled.origin
