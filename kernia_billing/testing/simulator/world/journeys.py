"""Time passing on one clock or on several at once: they move by the same span, step by step, from due to due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define, field

from . import test_clocks
from .ownership import ACCOUNT

if TYPE_CHECKING:
    from .world import World


@define
class Journey:
    """A span of time in seconds that these clocks go through; each step does what is due next, on whichever clock."""

    world: World
    clocks: Sequence[str]
    span: int
    _starts: dict[str, int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._starts = {name: self._clock_seconds(name) for name in self.clocks}
        for name, start in self._starts.items():
            if name != ACCOUNT and self.span:
                test_clocks.begin(self.world, name, start + self.span)

    def step(self) -> bool:
        """Move all clocks to where the next thing is due, and do it; answers whether the journey is over."""
        gone = min([max(self._passed(name), self._next(name)) for name in self._left()] or [self.span])
        gone = min(gone, self.span)
        for name in self.clocks:
            if name in self._left():
                with self.world.on_clock(name):
                    self.world.run_due(self._starts[name] + gone)
        if gone == self.span:
            for name in self._left():
                if name != ACCOUNT:
                    test_clocks.finish(self.world, name)
        return gone == self.span

    def _left(self) -> list[str]:
        """The clocks that nobody has deleted on the way."""
        return [name for name in self.clocks if name == ACCOUNT or name in self.world.clocks]

    def _passed(self, name: str) -> int:
        return self._clock_seconds(name) - self._starts[name]

    def _next(self, name: str) -> int:
        due = self.world.agenda.next_at(name)
        return self.span if due is None else due - self._starts[name]

    def _clock_seconds(self, name: str) -> int:
        with self.world.on_clock(name):
            return self.world.clock.seconds()
