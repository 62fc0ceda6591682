"""Dying in the middle of a story, at any boundary, and living on: in the end nobody can tell.

Every death has a world of its own: a process that was forked from the test and so owns a copy of Stripe, and the
database as it was when the story began. In it a process dies, another one goes on, and both sides are compared to the
letter with a world in which nobody died.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen

from kernia_billing import Billing
from tests.crashes.books import Books, books, differences
from tests.crashes.copies import Copy
from tests.crashes.stage import Stage
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.house import open_billing, watched_billing
from tests.harness.processes import RemoteStripe, alone, result_of

MINUTE = 60_000_000
LEASE = 6 * MINUTE
"""Longer than a worker keeps what it took."""
Sample = int | None
"""About how many boundaries of a story are taken; None for every one."""

Act = Callable[[Billing, Stage], None]


@frozen
class Story:
    """Something that a process does, and that another one goes on with after its death.

    `prepare` brings the stage to where the story begins. `again` is what is done after a restart, `pause` microseconds
    later; by default the same once more. `told` says that in the end we know of every subscription at Stripe. `tell`
    gives what must be equal in the end: by default every row, but for what is chance.
    """

    prepare: Callable[[Stage], None]
    act: Act
    again: Act
    pause: int = 0
    told: bool = True
    options: Mapping[str, Any] = field(factory=dict[str, Any])
    tell: Callable[[Stage], Books] | None = None


@frozen
class Ending:
    """The boundaries that the first process passed, how many were killed, and what both sides have in the end."""

    boundaries: list[str]
    killed: int
    books: Books


def survive(stage: Stage, story: Story, sample: Sample) -> Books:
    """Tell a story with a death at every boundary, or at some; gives how it ends.

    After a boundary is before the next one, so to die before each, and after the last, is to die everywhere. Where
    every one is taken, some die a second time in what is left to do.
    """
    story.prepare(stage)
    copy = Copy(stage.engine)
    ending = uninterrupted(stage, story)
    lethal = [number for number, name in enumerate(ending.boundaries, start=1) if name.startswith("before")]
    lethal.append(len(ending.boundaries))
    deaths: list[tuple[int, ...]] = [(first,) for first in chosen(lethal, sample)]
    if sample is None:
        deaths += [(first, random.choice(lethal)) for first in chosen(lethal, 10)]
    for each in deaths:
        count("kills", _die(stage, story, copy, ending, each))
    return ending.books


def chosen(numbers: Sequence[int], sample: Sample) -> Sequence[int]:
    """All of them, or about so many at equal distances; which ones depends on the seed of the run."""
    step = 1 if sample is None else max(1, len(numbers) // sample)
    return numbers[random.randrange(step) :: step]


def uninterrupted(stage: Stage, story: Story) -> Ending:
    """How a story ends in which nothing happens to anybody."""
    return result_of(stage.stripe, partial(_live, stage, story, ()))


def _die(stage: Stage, story: Story, copy: Copy, expected: Ending, deaths: tuple[int, ...]) -> int:
    """Die once or twice, and compare; says how many were killed."""
    copy.put_back()
    ending = result_of(stage.stripe, partial(_live, stage, story, deaths))
    told = differences(expected.books, ending.books)
    assert not told, "\n".join([f"died at {deaths}, {expected.boundaries[deaths[0] - 1]}:", *told])
    return ending.killed


def _live(stage: Stage, story: Story, deaths: Sequence[int], _remote: RemoteStripe) -> Ending:
    """One world, from the beginning to the end."""
    stripe = stage.stripe
    begin = stripe.clock.now()
    passed: list[str] = []
    killed = 0
    for number, deadly in enumerate(deaths or [None]):
        act = story.act if number == 0 else story.again
        ended = alone(stripe, partial(_act, stage, story, act, deadly))
        # The second death may be due after the end of what was left to do.
        assert ended.killed or deadly is None or number > 0
        killed += ended.killed
        passed = ended.value or passed
        coherent(stage.engine)
    stripe.clock.move_to((begin + story.pause) // 1_000_000)
    with open_billing(stage.url, stripe, **story.options) as billing:
        story.again(billing, stage)
        assert not (found := billing.doctor().findings), found
    coherent(stage.engine, stripe if story.told else None)
    assert not stripe.violations
    told = books(stage.engine, stripe, begin=begin, pause=story.pause) if story.tell is None else story.tell(stage)
    return Ending(passed, killed, told)


def _act(stage: Stage, story: Story, act: Act, deadly: int | None, remote: RemoteStripe) -> list[str]:
    with watched_billing(stage.url, remote, deadly, **story.options) as (billing, passed):
        act(billing, stage)
        return list(passed)
