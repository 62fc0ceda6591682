"""Random lives of a subscription, driven by the public API: the model, Stripe and the application always agree."""

from __future__ import annotations

import pytest

from tests.harness.counts import count
from tests.harness.lives import live, prepare
from tests.lifecycle.machine import LifeMachine


def test_whole_lives_agree_with_the_model() -> None:
    """Ten lives of up to twenty steps: each costs a second or two, with all that is compared."""
    live(LifeMachine, 10, 20)


@pytest.mark.full
def test_many_whole_lives_agree_with_the_model() -> None:
    """Four hundred lives of up to forty steps."""
    live(LifeMachine, 400, 40)


@pytest.mark.parametrize(
    "server", [pytest.param(each, marks=getattr(pytest.mark, each)) for each in ("postgresql", "mariadb")]
)
def test_whole_lives_agree_with_the_model_on_servers(server: str, request: pytest.FixtureRequest) -> None:
    """Two lives on each database server."""
    url = request.getfixturevalue(f"{server}_url")
    prepare(url)

    class OnServer(LifeMachine):
        server = url

    live(OnServer, 2, 20)
    count(f"lifecycle: lives on {server}", 2)
