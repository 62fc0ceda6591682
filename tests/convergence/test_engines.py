"""The same on database servers: some orders, some interleavings and some streams of every history."""

from __future__ import annotations

from random import Random

import pytest

from tests.convergence.conftest import Record
from tests.convergence.copies import Copy, told_apart
from tests.convergence.histories import HISTORIES
from tests.convergence.tape import VERSIONS
from tests.convergence.test_streams import play_streams
from tests.convergence.walks import random_way
from tests.harness.counts import count

STREAMS = 3


@pytest.mark.parametrize(
    "server", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]
)
def test_a_sample_on_servers_ends_where_an_import_ends(
    record: Record, server: str, request: pytest.FixtureRequest
) -> None:
    """What was imported on SQLite is what is heard of there, whatever the way."""
    url = request.getfixturevalue(f"{server}_url")
    random = Random(server)
    for number, history in enumerate(HISTORIES):
        recording = record(history)
        with Copy.of(recording.scene, recording.tape, url) as copy:
            for version in VERSIONS[number % 2 :: 2]:
                copy.keeper.put(recording.rows)
                way = random_way(copy, recording, version, random)
                found = recording.state(copy)
                assert found == recording.imported, (way.done, told_apart(found, recording.imported))
        count(f"convergence: random interleavings on {server}", len(VERSIONS) // 2)
    _streams(record, url, server)


def _streams(record: Record, url: str, server: str) -> None:
    for history in HISTORIES[:3]:
        recording = record(history)
        with Copy.of(recording.scene, recording.tape, url) as copy:
            play_streams(recording, copy, recording.rows, STREAMS, server)
