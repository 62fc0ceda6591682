"""Streams of news as the network makes them: late, repeated, in any order and version, and with some of it lost."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from attrs import frozen

from tests.convergence.copies import Copy
from tests.convergence.recordings import Recording
from tests.convergence.tape import VERSIONS, Told, Version

LENGTH = 30
_MOST_LOST = 0.8
_LATE = 0.5


@frozen
class Arrival:
    """One delivery: what, in which version, and how far Stripe has gone on by then."""

    told: Told
    version: Version
    at: int


def stream(recording: Recording, random: Random) -> list[Arrival]:
    """Thirty deliveries of a history's events: some are lost, the others come once or several times.

    None to most of the events are lost. Half of the deliveries are late: at any moment after theirs.
    """
    lost = random.uniform(0, _MOST_LOST)
    arriving = [each for each in recording.all_told if random.random() >= lost] or [random.choice(recording.all_told)]
    drawn = random.sample(arriving, min(LENGTH, len(arriving)))
    drawn += random.choices(arriving, k=LENGTH - len(drawn))
    arrivals = list(_arrivals(recording, drawn, random))
    random.shuffle(arrivals)
    return sorted(arrivals, key=lambda each: each.at)


def _arrivals(recording: Recording, drawn: list[Told], random: Random) -> Iterator[Arrival]:
    for each in drawn:
        at = random.randint(each.moment, recording.end) if random.random() < _LATE else each.moment
        yield Arrival(each, random.choice(VERSIONS), at)


def play_stream(copy: Copy, recording: Recording, arrivals: list[Arrival]) -> None:
    """Let a copy hear all of it, and stand at the end."""
    for each in arrivals:
        copy.tape.at = each.at
        copy.hear(each.told, each.version)
    copy.tape.at = recording.end


def told(arrivals: list[Arrival]) -> str:
    """A stream in words."""
    return ", ".join(f"{each.told.type} of {each.told.moment} at {each.at} in {each.version}" for each in arrivals)
