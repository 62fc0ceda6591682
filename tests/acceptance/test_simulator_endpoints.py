"""A served simulator and several endpoints: each gets its webhooks in order, in its own time."""

from __future__ import annotations

import json
import threading

from kernia_billing.testing import StripeSimulator
from tests.acceptance.simulators import Inbox, at_hand, receiving


def _ids(inbox: Inbox) -> list[str]:
    return [json.loads(body)["id"] for body, _ in inbox.received]


def test_an_endpoint_that_hangs_delays_no_other() -> None:
    """What one does not answer the others have long had; it gets the same, in the same order, when it goes on."""
    freed = threading.Event()
    made = StripeSimulator()
    with receiving() as slow, receiving() as quick:
        slow.on_arrival = lambda: freed.wait(8)
        with at_hand(made, slow.url, quick.url) as simulator:
            with simulator.client() as client:
                for number in range(3):
                    client.v1.products.create({"name": f"n{number}"})
                client.v1.customers.create({"name": "Ann"})
            quick.wait_for("customer.created")
            assert [] == slow.types
            freed.set()
            slow.wait_for("customer.created")
            assert ["product.created"] * 3 + ["customer.created"] == slow.types == quick.types
            assert _ids(slow) == _ids(quick)


def test_an_endpoint_that_is_made_later_is_served() -> None:
    """One that an application makes gets what happens from then on."""
    made = StripeSimulator()
    with (
        receiving() as first,
        receiving() as second,
        at_hand(made, first.url) as simulator,
        simulator.client() as client,
    ):
        client.v1.customers.create({"name": "Ann"})
        first.wait_for("customer.created")
        client.v1.webhook_endpoints.create({"url": second.url, "enabled_events": ["product.created"]})
        client.v1.products.create({"name": "n"})
        second.wait_for("product.created")
        first.wait_for("product.created")
        assert ["product.created"] == second.types
