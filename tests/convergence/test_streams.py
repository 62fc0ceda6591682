"""After news that came late, twice or never, one resync makes everything equal to what Stripe has."""

from __future__ import annotations

from random import Random

import pytest

from tests.convergence.conftest import Record
from tests.convergence.copies import Copy, State, told_apart
from tests.convergence.histories import A_YEAR, HISTORIES, History
from tests.convergence.recordings import Recording
from tests.convergence.scene import REFERENCE
from tests.convergence.streams import LENGTH, play_stream, stream, told
from tests.harness.counts import count

EVERY = (*HISTORIES, A_YEAR)
CATALOGUE = ("product", "price", "plan_price")
SOME, MANY = 24, 200


def heal(copy: Copy, *, everything: bool) -> None:
    """Compare with Stripe: everything, or everything of the one customer."""
    sync = copy.billing.sync
    report = sync.all() if everything else sync.reference(REFERENCE)
    assert report.ok, report.failures


def _healed(state: State, *, everything: bool) -> State:
    """What is equal afterwards: not the catalogue, which is nobody's, where one customer was healed."""
    return state if everything else {name: rows for name, rows in state.items() if name not in CATALOGUE}


def play_streams(recording: Recording, copy: Copy, start: object, number: int, seed: str) -> int:
    """Play so many streams, each drawn by a number of its own; heal in two ways in turn.

    Answers how many of them lost something that mattered.
    """
    missing = 0
    for each in range(number):
        arrivals = stream(recording, Random(f"{seed} {each}"))
        copy.keeper.put(start)
        play_stream(copy, recording, arrivals)
        missing += recording.state(copy) != recording.imported
        heal(copy, everything=each % 2 == 0)
        found, wanted = (_healed(it, everything=each % 2 == 0) for it in (recording.state(copy), recording.imported))
        assert found == wanted, (each, told(arrivals), told_apart(found, wanted))
    count(f"convergence: random streams of {LENGTH} deliveries, then a resync", number)
    count("convergence: streams that the resync had to mend", missing)
    count("convergence: deliveries", copy.delivered)
    return missing


@pytest.mark.parametrize("history", EVERY, ids=lambda history: history.name)
def test_random_streams_and_a_resync_end_where_an_import_ends(record: Record, history: History) -> None:
    """Thirty deliveries with duplicates, losses and delays, in mixed versions, and a resync."""
    recording = record(history)
    with recording.copy() as copy:
        assert play_streams(recording, copy, recording.start, SOME, history.name)


@pytest.mark.full
@pytest.mark.parametrize("history", EVERY, ids=lambda history: history.name)
def test_many_random_streams_and_a_resync_end_where_an_import_ends(record: Record, history: History) -> None:
    """The same, 200 times for each of eleven histories."""
    recording = record(history)
    with recording.copy() as copy:
        assert play_streams(recording, copy, recording.start, MANY, f"many {history.name}")


def test_a_resync_of_nothing_but_whose_it_is_equals_an_import_one_by_one(record: Record) -> None:
    """The import that everything is compared with comes out of Stripe's lists too."""
    for history in EVERY:
        recording = record(history)
        with recording.copy() as copy:
            copy.keeper.put(recording.linked)
            copy.tape.at = recording.end
            heal(copy, everything=True)
            found, wanted = (_listed(state) for state in (recording.state(copy), recording.imported))
            assert found == wanted, told_apart(found, wanted)


def _listed(state: State) -> State:
    """What lists can show: not the payment methods of a customer that was deleted."""
    deleted = any(row[1] for row in state["stripe_customer"])
    return {name: rows for name, rows in state.items() if name != "payment_method" or not deleted}
