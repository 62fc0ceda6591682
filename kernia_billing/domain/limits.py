"""Usage limits: at most so many units in a window of time, whatever balances there are.

A limit has an anchor of its own, so that a change of plan does not refill it. What counts is what was drawn or set
aside within the window; what was recorded beyond every balance counts nowhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from .ids import Property
from .instants import Instant
from .period import Period, Rhythm


def _anything() -> dict[str, Property]:
    return {}


@frozen
class Limit:
    """At most `maximum` units of a feature (or credits of a pool) in every window of `rhythm`.

    `entity` "" counts the use of the whole customer; with `per_entity` every entity is counted by itself, and use
    without one is not limited; an entity's name limits that one. `where` are properties that a use must have to be
    counted, all of them.
    """

    id: str
    feature: str
    maximum: int
    rhythm: Rhythm
    entity: str = ""
    per_entity: bool = False
    where: Mapping[str, Property] = field(factory=_anything)

    def concerns(self, feature: str, entity: str, properties: Mapping[str, Property]) -> bool:
        """Whether a use is counted."""
        if feature != self.feature or (self.per_entity and not entity):
            return False
        # 1 and True are different properties, though Python takes them for equal.
        matches = all(
            name in properties and (type(properties[name]), properties[name]) == (type(value), value)
            for name, value in self.where.items()
        )
        return matches and self.entity in ("", entity)

    def window(self, now: Instant) -> Period:
        """The window that `now` lies in."""
        return self.rhythm.period(now)


@frozen(order=True)
class Drawn:
    """When something was drawn or set aside: at an instant, by the customer's write of this number.

    Writes of one instant, which a clock that lags behind another one makes, are told apart by their numbers.
    """

    at: Instant
    seq: int = 0


@frozen
class Window:
    """How much of a limit one window has used. `entity` is "" where the limit is not counted by entity.

    `begun` is when it was counted in first: what was drawn before, while there was no such limit, is not in it.
    """

    limit_id: str
    entity: str
    start: Instant
    used: int = 0
    begun: Drawn = Drawn(0)

    @property
    def key(self) -> tuple[str, str, Instant]:
        """What makes it the only one of its kind for a customer."""
        return self.limit_id, self.entity, self.start

    def at(self, used: int) -> Window:
        """The window when so much of it is used."""
        return Window(self.limit_id, self.entity, self.start, used, self.begun)


@frozen
class Meter:
    """A limit with the window that a use falls into."""

    limit: Limit
    window: Window
    resets_at: Instant

    @property
    def headroom(self) -> int:
        """What the limit leaves: 0 where it was lowered below what is used."""
        return max(0, self.limit.maximum - self.window.used)

    def added(self, amount: int) -> Meter:
        """After so much more was drawn or set aside."""
        return Meter(self.limit, self.window.at(self.window.used + amount), self.resets_at)

    def returned(self, amount: int, drawn: Drawn) -> Meter:
        """After so much of what was drawn then was refunded or released: only the running window falls.

        What was drawn in an earlier window, or before there was the limit, does not make room in this one.
        """
        if drawn < self.window.begun or not self.window.start <= drawn.at < self.resets_at:
            return self
        return Meter(self.limit, self.window.at(max(0, self.window.used - amount)), self.resets_at)


def meters(
    limits: Iterable[Limit],
    windows: Iterable[Window],
    feature: str,
    now: Instant,
    *,
    entity: str = "",
    properties: Mapping[str, Property] | None = None,
    seq: int = 0,
) -> list[Meter]:
    """The limits that concern a use of `feature`, with their windows at `now`; a window that is missing is empty.

    For what a credit pool pays, `feature` is the pool's. `seq` is the number of the write that counts in them.
    """
    known = {window.key: window for window in windows}
    found: list[Meter] = []
    for limit in limits:
        if limit.concerns(feature, entity, properties or {}):
            period = limit.window(now)
            empty = Window(limit.id, entity if limit.per_entity else "", period.start, begun=Drawn(now, seq))
            found.append(Meter(limit, known.get(empty.key, empty), period.end))
    return found


def headroom(found: Iterable[Meter]) -> int | None:
    """What the narrowest of several limits leaves; None where there is no limit."""
    return min((each.headroom for each in found), default=None)
