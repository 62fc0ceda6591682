"""Holds: units set aside for work that has begun, and what becomes of them when it ends.

A hold is planned like a use that must be covered in full, and its draws become its lines: they raise `held` instead of
`used`. When the work ends, what it took moves from held to used along the lines, and the rest is free again. A hold
counts until its time has come, whether or not anybody has written down that it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from attrs import evolve, frozen

from .buckets import Bucket, Draw
from .drawing import shift, split
from .instants import Instant
from .limits import Drawn

Status = Literal["open", "settled", "released", "expired"]


@frozen
class Hold:
    """Units of a feature that are set aside until `expires_at`.

    `quantity` is what was reserved, `left` how much of it is neither settled nor released. `lines` are the draws that
    are still held, in the order of drawing; units that a pool pays at no cost have none, and count last.
    """

    id: str
    feature: str
    quantity: int
    left: int
    expires_at: Instant
    lines: Sequence[Draw] = ()
    entity: str = ""
    status: Status = "open"
    created_at: Instant = 0
    created_seq: int = 0

    @property
    def drawn(self) -> Drawn:
        """When it was made, which is when usage limits counted it."""
        return Drawn(self.created_at, self.created_seq)

    def is_active(self, now: Instant) -> bool:
        """Whether its units are set aside at `now`."""
        return self.status == "open" and now < self.expires_at

    def has_lapsed(self, now: Instant) -> bool:
        """Whether its time has come and nobody has written that down: its units are free, the next writer says so."""
        return self.status == "open" and now >= self.expires_at


@frozen
class HoldRow:
    """One hold, as stored. Its lines are stored apart, and only while they are held: a hold that has ended has none.

    `created_seq` is the write that made it, 0 where nobody noted it. `ended_at` is `FOREVER` while it is open.
    """

    id: str
    customer_id: str
    feature: str
    entity: str
    quantity: int
    left: int
    status: Status
    expires_at: Instant
    created_at: Instant
    created_seq: int
    ended_at: Instant
    idempotency_key: str
    fingerprint: str

    def with_lines(self, lines: Sequence[Draw]) -> Hold:
        """What settling, releasing and expiry work on."""
        return Hold(
            id=self.id,
            feature=self.feature,
            quantity=self.quantity,
            left=self.left,
            expires_at=self.expires_at,
            lines=tuple(lines),
            entity=self.entity,
            status=self.status,
            created_at=self.created_at,
            created_seq=self.created_seq,
        )


@frozen
class Settlement:
    """What the end of a hold, or a part of it, moves; `hold` is what becomes of it.

    `used` moves from held to used and pays `units`; `released` is no longer held and frees `freed` units. `excess`
    units are covered by nothing held: they are to be recorded like any other use, flagged where the hold was `late`.
    """

    hold: Hold
    units: int
    freed: int
    used: Sequence[Draw] = ()
    released: Sequence[Draw] = ()
    excess: int = 0
    late: bool = False


def reserve(id: str, feature: str, quantity: int, lines: Sequence[Draw], expires_at: Instant, entity: str = "") -> Hold:
    """The hold of an allocation in the mode `require` that is allowed; `lines` are its draws."""
    return Hold(id, feature, quantity, quantity, expires_at, tuple(lines), entity)


def settle(hold: Hold, actual: int, now: Instant) -> Settlement:
    """End a hold after `actual` units were used, those of earlier parts not counted.

    Up to what is held they are taken along the lines, the rest is released; what is beyond is excess. After the hold
    has expired everything is excess: its units may have gone to others, and what is still held of them is released.

    Raises:
        ValueError: the quantity is negative, or the hold was settled or released already.
    """
    if actual < 0:
        raise ValueError("a hold is settled with what was used: never less than nothing")
    if hold.status in ("settled", "released"):
        raise ValueError(f"the hold is {hold.status} already")
    ended = evolve(hold, left=0, lines=(), status="settled")
    if not hold.is_active(now):
        return Settlement(ended, 0, hold.left, released=hold.lines, excess=actual, late=True)
    units = min(actual, hold.left)
    used, released = split(hold.lines, units)
    return Settlement(ended, units, hold.left - units, used, released, actual - units)


def settle_part(hold: Hold, units: int, now: Instant) -> Settlement:
    """Take `units` of what a lease holds, and leave the rest held: a hold that is settled bit by bit never over-spends.

    Raises:
        ValueError: the lease has ended, or holds less than that.
    """
    if not hold.is_active(now):
        raise ValueError("the lease has ended")
    if not 0 <= units <= hold.left:
        raise ValueError("a lease gives no more than it holds")
    used, rest = split(hold.lines, units)
    return Settlement(evolve(hold, left=hold.left - units, lines=tuple(rest)), units, 0, used)


def release(hold: Hold, now: Instant) -> Settlement:
    """End a hold of which nothing more was used. Where it is over already, nothing moves."""
    if hold.status != "open":
        return Settlement(hold, 0, 0)
    ended = evolve(hold, left=0, lines=(), status="released" if hold.is_active(now) else "expired")
    return Settlement(ended, 0, hold.left, released=hold.lines)


def expire(holds: Iterable[Hold], now: Instant) -> list[Settlement]:
    """What a writer does first: release every hold whose time has come."""
    return [release(hold, now) for hold in holds if hold.has_lapsed(now)]


def as_of(buckets: Iterable[Bucket], holds: Iterable[Hold], now: Instant) -> list[Bucket]:
    """What a reader sees: the buckets without the units of holds whose time has come. Writes nothing."""
    lapsed = [line for hold in holds if hold.has_lapsed(now) for line in hold.lines]
    return shift(buckets, lapsed, held=-1)
