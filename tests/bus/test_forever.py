"""A worker that lives with a bus: it is woken, and does what others publish."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kernia_billing import Billing
from kernia_billing.bus.memory import MemoryBus
from kernia_billing.testing import StripeSimulator
from tests.harness.house import open_billing
from tests.harness.tables import make_tables

_PATIENCE = 60.0


@pytest.fixture(params=["memory", "redis", "nats", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def options(
    request: pytest.FixtureRequest, make_database: Callable[[str], str], broker_url: Callable[[str], str]
) -> dict[str, Any]:
    """Where the database and the bus are."""
    from sqlalchemy import create_engine

    kind: str = request.param
    url = make_database("postgresql" if kind == "postgresql" else "sqlite")
    engine = create_engine(url)
    make_tables(engine)
    engine.dispose()
    bus = {"memory": MemoryBus(), "postgresql": "postgresql"}.get(kind)
    return {"database": url, "event_bus": bus or broker_url(kind)}


def test_worker(options: dict[str, Any]) -> None:
    """A worker that is at rest does what another process publishes, and stops when it is told to."""
    stripe, over = StripeSimulator(), threading.Event()
    ran = threading.Event()

    def is_over() -> bool:
        ran.set()
        return over.is_set()

    def work(billing: Billing) -> None:
        billing.jobs.forever(is_over)

    with (
        open_billing(options["database"], stripe, event_bus=options["event_bus"]) as worker,
        open_billing(options["database"], stripe, event_bus=options["event_bus"]) as shop,
    ):
        thread = threading.Thread(target=work, args=(worker,))
        thread.start()
        try:
            assert ran.wait(_PATIENCE)
            shop.publish("user.created", {"id": "ann", "email": "ann@shop.example"})
            made = stripe.state.world.table("customer").rows
            tick = threading.Event()
            for _ in range(int(_PATIENCE * 10)):
                if made:
                    break
                tick.wait(0.1)
        finally:
            over.set()
            thread.join(_PATIENCE)

    assert not thread.is_alive()
    assert ["ann@shop.example"] == [each["email"] for each in made.values()]
