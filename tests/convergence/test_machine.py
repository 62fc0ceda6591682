"""Random lives of a customer: the model, Stripe and the database agree after every step."""

from __future__ import annotations

import pytest

from tests.convergence.machine import BillingMachine
from tests.harness.counts import count
from tests.harness.lives import live, prepare


def test_random_lives_agree_with_the_model() -> None:
    """Twenty-five lives of up to twenty-five steps."""
    live(BillingMachine, 25, 25)


@pytest.mark.full
def test_many_random_lives_agree_with_the_model() -> None:
    """Five hundred lives of up to fifty steps."""
    live(BillingMachine, 500, 50)


@pytest.mark.parametrize(
    "server", [pytest.param(each, marks=getattr(pytest.mark, each)) for each in ("postgresql", "mariadb")]
)
def test_random_lives_agree_with_the_model_on_servers(server: str, request: pytest.FixtureRequest) -> None:
    """Four lives on each database server."""
    url = request.getfixturevalue(f"{server}_url")
    prepare(url)

    class OnServer(BillingMachine):
        server = url

    live(OnServer, 4, 20)
    count(f"convergence: lives on {server}", 4)
