"""A worker that stands still for longer than its lease, while another one takes over; then it goes on."""

from __future__ import annotations

import re
from functools import partial

from tests.crashes.books import Books, books, differences
from tests.crashes.copies import Copy
from tests.crashes.deaths import Sample, Story, chosen, uninterrupted
from tests.crashes.stage import Stage
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.house import watched_billing
from tests.harness.processes import RemoteStripe, result_of, stalled

_OUTSIDE = re.compile(r"(before|after) (GET|POST|DELETE) |after (commit|COMMIT|rollback|ROLLBACK)")
"""Where a process holds no lock of the database: nobody could take over what a transaction has locked."""


def outlive(stage: Stage, story: Story, sample: Sample) -> None:
    """Let a process stand still for a story's pause, at each boundary where it holds no lock, or at some of them.

    Meanwhile another one does what is to be done again. Then the first goes on, and nobody can tell.
    """
    story.prepare(stage)
    copy = Copy(stage.engine)
    ending = uninterrupted(stage, story)
    stops = [number for number, name in enumerate(ending.boundaries, start=1) if _OUTSIDE.match(name)]
    taken = chosen(stops, sample)
    for stop in taken:
        copy.put_back()
        told = differences(ending.books, result_of(stage.stripe, partial(_live, stage, story, stop)))
        where = ending.boundaries[stop - 1]
        assert not told, "\n".join([f"stood still at {stop}, {where}:", *told])
    count("stalls", len(taken))


def _live(stage: Stage, story: Story, stop: int, _remote: RemoteStripe) -> Books:
    stripe = stage.stripe
    begin = stripe.clock.now()

    def take_over() -> None:
        stripe.clock.move_to((begin + story.pause) // 1_000_000)
        result_of(stripe, partial(_again, stage, story))
        coherent(stage.engine)

    stalled(stripe, partial(_stall, stage, story, stop), take_over)
    result_of(stripe, partial(_again, stage, story))
    coherent(stage.engine, stripe if story.told else None)
    return books(stage.engine, stripe, begin=begin, pause=story.pause)


def _stall(stage: Stage, story: Story, stop: int, remote: RemoteStripe) -> None:
    with watched_billing(stage.url, remote, stop, remote.stall, **story.options) as (billing, _):
        story.act(billing, stage)


def _again(stage: Stage, story: Story, remote: RemoteStripe) -> None:
    with watched_billing(stage.url, remote, **story.options) as (billing, _):
        story.again(billing, stage)
