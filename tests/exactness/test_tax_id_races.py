"""Processes tell Stripe of the same tax id at once: it is there once."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import Engine

from kernia_billing import Billing, Conflict
from kernia_billing.testing import StripeSimulator
from tests.harness.house import open_account, open_billing
from tests.harness.processes import RemoteStripe, together

ROME = ("eu_vat", "IT12345678901")
PROCESSES = 8


def _is_told(billing: Billing) -> bool:
    try:
        billing.customers.update("ann", tax_id=ROME)
    except Conflict as refused:
        if not refused.retryable:
            raise
        return False
    return True


def _tells(url: str, remote: RemoteStripe) -> None:
    with open_billing(url, remote) as billing:
        billing.customers.get("ann")
        remote.ready()
        while not _is_told(billing):
            pass


@pytest.mark.full
def test_many_processes_add_one(engine_url: str, engine: Engine, stripe: StripeSimulator) -> None:
    """Whoever is told that another is at it tries again, and finds it there: one is sent, and one stays."""
    assert engine is not None
    open_account(engine_url, stripe)
    with open_billing(engine_url, stripe) as billing:
        billing.customers.ensure("ann")
    together(stripe, [partial(_tells, engine_url)] * PROCESSES)

    assert [ROME] == [(each["type"], each["value"]) for each in stripe.state.world.table("tax_id").rows.values()]
    assert 1 == len([each for each in stripe.requests if each.method == "POST" and each.path.endswith("/tax_ids")])
