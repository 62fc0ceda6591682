"""The fixtures of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.convergence.histories import History
from tests.convergence.recordings import Recording, play
from tests.webhooks.fixtures import honest_client, shop

__all__ = ["honest_client", "shop"]
Record = Callable[[History], Recording]


@pytest.fixture(scope="session")
def record() -> Iterator[Record]:
    """A function: the recording of a history, which is played once."""
    played: dict[str, Recording] = {}

    def recorded(history: History) -> Recording:
        if history.name not in played:
            played[history.name] = play(history)
        return played[history.name]

    yield recorded
    for recording in played.values():
        recording.scene.close()
