"""Every way in which news can come: walked like a tree, so that what ways have in common is done once."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from attrs import frozen

from tests.convergence.copies import Copy
from tests.convergence.recordings import Recording
from tests.convergence.tape import Told, Version

HAPPENS = "…"
"""In the description of a way: Stripe goes on to its next moment."""


@frozen
class Way:
    """How far one way has come: the moment, what was told by then and is not delivered yet, and what was done."""

    at: int
    left: tuple[Told, ...]
    done: tuple[str, ...] = ()

    def steps(self, end: int) -> list[Told | None]:
        """What can be next: a delivery of what was told, or None for Stripe's next moment."""
        deliveries: list[Told | None] = [each for each in self.left if each.moment <= self.at]
        return deliveries + ([None] if self.at < end else [])

    def after(self, step: Told | None) -> Way:
        """The way after a step."""
        if step is None:
            return Way(self.at + 1, self.left, (*self.done, HAPPENS))
        return Way(self.at, tuple(each for each in self.left if each is not step), (*self.done, step.type))


def every_way(copy: Copy, recording: Recording, version: Version, *, begin: int) -> Iterator[Way]:
    """Go every way from a moment on: each is yielded at its end, when the copy has heard everything.

    From the last moment on these are the orders of the events.
    """
    yield from _walk(copy, recording, version, Way(begin, recording.told), recording.start)


def _walk(copy: Copy, recording: Recording, version: Version, way: Way, contents: object) -> Iterator[Way]:
    if not way.left:
        yield way
        return
    for step in way.steps(recording.end):
        after = way.after(step)
        if step is None:
            yield from _walk(copy, recording, version, after, contents)
            continue
        copy.keeper.put(contents)
        copy.tape.at = way.at
        copy.hear(step, version)
        yield from _walk(copy, recording, version, after, copy.keeper.take() if after.left else None)


def random_way(copy: Copy, recording: Recording, version: Version, random: Random) -> Way:
    """Go one way, drawn by chance, from where the copy stands."""
    way = Way(0, recording.told)
    while way.left:
        step = random.choice(way.steps(recording.end))
        if step is not None:
            copy.tape.at = way.at
            copy.hear(step, version)
        way = way.after(step)
    return way
