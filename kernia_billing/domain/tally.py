"""What one process counts of a lease, in memory and exactly."""

from __future__ import annotations

from attrs import define

from .instants import Instant


@define
class Tally:
    """Units that may be used without asking anybody, and those that were used and are not stored yet.

    Units are given until `until`, and not while it is `frozen`: from the moment at which what was used is to be stored
    until it is known that it was. Not safe for threads: its owner takes turns.
    """

    left: int = 0
    used: int = 0
    until: Instant = 0
    frozen: bool = False

    def has(self, units: int, now: Instant) -> bool:
        """Whether so many units are there now."""
        return units <= self.left and now < self.until and not self.frozen

    def take(self, units: int, now: Instant) -> bool:
        """Use so many units, all of them or none."""
        if not self.has(units, now):
            return False
        self.left -= units
        self.used += units
        return True

    def freeze(self) -> int:
        """Give nothing from now on; says what was used."""
        self.frozen = True
        return self.used

    def thaw(self) -> None:
        """Go on: nothing was stored."""
        self.frozen = False

    def begin(self, units: int, until: Instant) -> None:
        """Begin anew with so many units: what was used is stored."""
        self.left, self.used, self.until, self.frozen = units, 0, until, False
