"""The burn-down: which buckets a quantity is drawn from, and which get it back.

A *bucket* is one period of one grant. `allocate` is the one planner: `check` runs it dry, `track`, `consume` and
`reserve` write what it says, so a check can never disagree with the write that follows on the same state.

All quantities are integers in the feature's smallest unit; nothing is rounded anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from attrs import evolve, frozen

from .instants import FOREVER, Instant
from .values import value

Mode = Literal["require", "cap", "record"]
"""`require`: all or nothing. `cap`: what fits. `record`: what fits is drawn, the rest is reported as unfunded."""

Kind = Literal["grant", "overage", "rollover"]


@value
class Bucket:
    """One period of one grant, as it stands.

    `amount` None means no cap. `entity` "" is the customer's own level. `lose_at` is the instant at which unused units
    are lost (`FOREVER`: never). `category` is 0 for free and 1 for paid units.
    """

    id: str
    grant_id: str
    feature: str
    entity: str = ""
    amount: int | None = None
    used: int = 0
    held: int = 0
    priority: int = 50
    lose_at: Instant = FOREVER
    category: int = 1
    kind: Kind = "grant"
    effective_at: Instant = 0
    seq: int = 0

    @property
    def available(self) -> int | None:
        """Units that can still be drawn; None where there is no cap."""
        return None if self.amount is None else self.amount - self.used - self.held


@frozen
class Pool:
    """A credit feature that pays for another one: `cost` credits for one unit, at the credit feature's scale.

    `headroom` is how many credits the usage limits on the pool itself, and what has to be kept of it, leave; None where
    there is nothing such.
    """

    feature: str
    cost: int
    headroom: int | None = None


@value
class Draw:
    """What moves in one bucket: `amount` in units of the bucket's own feature, `units` of the feature asked for.

    For a direct bucket the two are equal. A unit that spans several buckets of a pool is counted where it is
    completed, so `units` may be 0. Both are positive, for drawing and for giving back.
    """

    bucket_id: str
    feature: str
    amount: int
    units: int


@value
class Allocation:
    """What a request gets: `funded + unfunded == requested`, always.

    `fundable` is how many units could be funded: more than `funded` only when `require` refused. `overage_units` are
    those of the funded units that overage buckets pay for.
    """

    requested: int
    funded: int
    unfunded: int
    draws: Sequence[Draw]
    overage_units: int
    fundable: int

    @property
    def allowed(self) -> bool:
        """Whether the whole quantity is funded."""
        return self.unfunded == 0


def burn_order(bucket: Bucket) -> tuple[bool, bool, bool, int, Instant, int, Instant, int, str]:
    """The sort key of the total order in which one feature's buckets are drawn.

    Included units before overage; the entity's own before the customer's; uncapped before capped; priority ascending;
    the earliest deadline; free before paid; the oldest; the sequence, and last the id, so that no two are equal.
    Earliest deadline first never lets a unit expire that another order would have used.
    """
    return (
        bucket.kind == "overage",
        bucket.entity == "",
        bucket.amount is not None,
        bucket.priority,
        bucket.lose_at,
        bucket.category,
        bucket.effective_at,
        bucket.seq,
        bucket.id,
    )


def allocate(
    buckets: Iterable[Bucket],
    feature: str,
    quantity: int,
    mode: Mode,
    *,
    entity: str = "",
    pools: Sequence[Pool] = (),
    headroom: int | None = None,
    earlier: Sequence[Bucket] = (),
) -> Allocation:
    """Plan the drawing of `quantity` units of `feature`. Nothing is changed.

    `buckets` are the customer's live buckets of the feature and of its pools, in any order; those of other features
    and other entities are passed over. A request with an `entity` draws from that entity's buckets and then from the
    customer's; one without never touches an entity's. Direct buckets come first, then the pools in their order (a unit
    may span buckets of one pool, never two pools), then overage, direct before pools. A pool of cost 0 funds everything
    as long as the customer holds a bucket of it. Credits that are too few for a unit pay one together with the overage
    of their pool. `headroom` is what usage limits, and what has to be kept, leave: it clamps the quantity first; the
    `headroom` of a pool clamps what that pool pays. `earlier` are buckets of the past period that a late use
    happened in: what is included in them is drawn before everything else.

    Raises:
        ValueError: the quantity is negative; what was used is returned by `give_back`.
    """
    if quantity < 0:
        raise ValueError("a negative quantity is not drawn: use give_back")
    live = buckets if isinstance(buckets, (list, tuple)) else list(buckets)
    wanted = left = quantity if headroom is None else max(0, min(quantity, headroom))
    draws: list[Draw] = []
    overage_units = 0
    included, overage = _own(live, feature, entity)
    if earlier:
        left -= _draw(_own(earlier, feature, entity)[0], left, draws)
    left -= _draw(included, left, draws)
    if left and (pools or overage):
        spent: dict[str, int] = {}
        for stage, pool, is_overage in _further_stages(live, overage, entity, pools, draws):
            if pool is None:
                units = _draw(stage, left, draws)
            else:
                units = _spend(stage, pool.cost, _payable(pool, spent, left), draws)
                spent[pool.feature] = spent.get(pool.feature, 0) + units * pool.cost
            left -= units
            if is_overage:
                overage_units += units
    fundable = wanted - left
    if mode == "require" and fundable < quantity:
        return Allocation(quantity, 0, quantity, (), 0, fundable)
    return Allocation(quantity, fundable, quantity - fundable, draws, overage_units, fundable)


def give_back(
    buckets: Iterable[Bucket], quantity: int, *, entity: str = "", feature: str | None = None
) -> Sequence[Draw]:
    """Which buckets get `quantity` used units back, in the reverse of the order of drawing: overage first.

    Never more than a bucket's `used`, and never to another entity; held units stay. The sum of the amounts is what
    could be given back. `buckets` are those of one feature, or of several with `feature` naming the one.
    """
    draws: list[Draw] = []
    mine = [b for b in buckets if (feature is None or b.feature == feature) and (not b.entity or b.entity == entity)]
    mine.sort(key=burn_order, reverse=True)
    for bucket in mine:
        if quantity <= 0:
            break
        amount = min(bucket.used, quantity)
        if amount > 0:
            draws.append(Draw(bucket.id, bucket.feature, amount, amount))
            quantity -= amount
    return draws


def apply(buckets: Iterable[Bucket], draws: Iterable[Draw]) -> list[Bucket]:
    """The buckets after the draws of an allocation."""
    return _move(buckets, draws, 1)


def restore(buckets: Iterable[Bucket], draws: Iterable[Draw]) -> list[Bucket]:
    """The buckets after the draws of a `give_back`."""
    return _move(buckets, draws, -1)


def carry_usage(old_used: int, new_amount: int | None) -> int:
    """What counts as used of the new plan's amount when usage is carried over: the excess over it is forgiven."""
    return old_used if new_amount is None else min(old_used, new_amount)


def rescale(amount: int | None, used: int, held: int) -> int | None:
    """The amount of a running period after a change of quantity (seats): never below what is used and held."""
    return None if amount is None else max(amount, used + held)


def _further_stages(
    buckets: Sequence[Bucket], overage: list[Bucket], entity: str, pools: Sequence[Pool], draws: Sequence[Draw]
) -> Iterator[tuple[Sequence[Bucket], Pool | None, bool]]:
    """What follows the direct included buckets: groups of buckets, each with its pool and whether it is overage.

    `draws` are those that were planned by the time a group is asked for.
    """
    paying = [(pool, *_own(buckets, pool.feature, entity)) for pool in pools]
    for pool, included, extra in paying:
        # At no cost nothing is drawn, and a bucket of any kind shows that the customer holds the pool.
        yield (included if pool.cost else included + extra), pool, False
    yield overage, None, True
    for pool, included, extra in paying:
        if pool.cost and extra:
            yield [*apply(included, draws), *extra], pool, True


def _payable(pool: Pool, spent: dict[str, int], wanted: int) -> int:
    """How many of the units wanted the limits on a pool let it pay for, after what it paid already."""
    if pool.headroom is None or pool.cost == 0:
        return wanted
    return min(wanted, max(0, pool.headroom - spent.get(pool.feature, 0)) // pool.cost)


def _own(buckets: Sequence[Bucket], feature: str, entity: str) -> tuple[list[Bucket], list[Bucket]]:
    """The included and the overage buckets of a feature that a request may touch, each in burn order."""
    included: list[Bucket] = []
    overage: list[Bucket] = []
    for bucket in buckets:
        if bucket.feature == feature and (not bucket.entity or bucket.entity == entity):
            (overage if bucket.kind == "overage" else included).append(bucket)
    if len(included) > 1:
        included.sort(key=burn_order)
    if len(overage) > 1:
        overage.sort(key=burn_order)
    return included, overage


def _draw(stage: Sequence[Bucket], wanted: int, draws: list[Draw]) -> int:
    """Draw up to `wanted` units from buckets of the feature itself, and say how many were funded."""
    left = wanted
    for bucket in stage:
        if not left:
            break
        room = left if bucket.amount is None else bucket.amount - bucket.used - bucket.held
        if room > 0:
            amount = min(room, left)
            draws.append(Draw(bucket.id, bucket.feature, amount, amount))
            left -= amount
    return wanted - left


def _spend(stage: Sequence[Bucket], cost: int, wanted: int, draws: list[Draw]) -> int:
    """Draw up to `wanted` units at `cost` each from the buckets of one stage, and say how many were funded."""
    if cost == 0:
        return wanted if stage else 0
    credits: list[Draw] = []
    paid = _draw(stage, wanted * cost, credits)
    units = paid // cost
    left, before = units * cost, 0
    for each in credits:
        # What does not add up to a whole unit stays where it is: in the last buckets of the order.
        amount = min(each.amount, left)
        if amount > 0:
            left -= amount
            draws.append(Draw(each.bucket_id, each.feature, amount, (before + amount) // cost - before // cost))
            before += amount
    return units


def _move(buckets: Iterable[Bucket], draws: Iterable[Draw], sign: int) -> list[Bucket]:
    moved: dict[str, int] = {}
    for draw in draws:
        moved[draw.bucket_id] = moved.get(draw.bucket_id, 0) + sign * draw.amount
    return [evolve(each, used=each.used + moved[each.id]) if each.id in moved else each for each in buckets]
