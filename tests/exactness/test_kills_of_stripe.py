"""SIGKILL between what the database knows and what Stripe knows: what was begun is finished by the next try, once."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from kernia_billing import Billing
from kernia_billing.domain.answers import Checkout
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import FOREVER, Tables, coherent
from tests.harness.counts import count
from tests.harness.house import open_account, open_billing, sell_untold, watched_billing, webhook
from tests.harness.processes import RemoteStripe, alone, result_of

pytestmark = pytest.mark.one_server

_LEASE = 6 * 60 * 1_000_000
"""Longer than a worker keeps what it took."""


@pytest.fixture(params=[pytest.param(3, id="some"), pytest.param(1, id="all", marks=pytest.mark.full)])
def stride(request: pytest.FixtureRequest) -> int:
    """Of how many places to die at one is taken."""
    chosen: int = request.param
    return chosen


def _lethal(boundaries: list[str], stride: int) -> list[int]:
    """Where to die: before each step, and after the last. After one step is before the next one."""
    before = [number for number, name in enumerate(boundaries, start=1) if name.startswith("before")]
    return [*before[::stride], len(boundaries)]


def test_a_killed_webhook_is_applied_by_the_next(engine: Engine, engine_url: str, stride: int) -> None:
    """Wherever a process dies over a webhook, its repetition or the next job ends where no death would have."""
    stripe = StripeSimulator(deliver="manual")
    kind = "customer.subscription.created"

    def receive(remote: RemoteStripe, who: str, deadly: int | None = None) -> list[str]:
        with watched_billing(engine_url, remote, deadly) as (billing, passed):
            billing.webhooks.receive(*webhook(stripe, kind, who))
            return list(passed)

    def receive_again(remote: RemoteStripe, who: str) -> None:
        with open_billing(engine_url, remote) as billing:
            billing.webhooks.receive(*webhook(stripe, kind, who))
            remote.clock.micros += _LEASE
            billing.jobs.run()

    sell_untold(engine_url, stripe, "first-of-all", "rehearsal")
    result_of(stripe, partial(receive, who="first-of-all"))
    boundaries = result_of(stripe, partial(receive, who="rehearsal"))
    expected = _told(coherent(engine), "rehearsal")
    assert expected["inbox"] == {("processed", None): 1}
    lethal = _lethal(boundaries, stride)
    names = {deadly: f"killed-{deadly}" for deadly in lethal}
    sell_untold(engine_url, stripe, *names.values())
    for deadly, who in names.items():
        assert alone(stripe, partial(receive, who=who, deadly=deadly)).killed
        coherent(engine)
        result_of(stripe, partial(receive_again, who=who))
    tables = coherent(engine, stripe)
    for deadly, who in names.items():
        assert _told(tables, who) == expected, boundaries[deadly - 1]
    count("kills", len(lethal))


def _told(tables: Tables, who: str) -> dict[str, Any]:
    """What a webhook brought about for a reference."""
    customer = tables.customer(who)
    assert customer is not None
    events = [row for row in tables.outbox if row["customer_id"] == customer["id"]]
    taken_in = {json.loads(row["payload"])["data"].get("id") for row in events}
    return {
        "plan": (customer["plan"], customer["plan_until"]),
        "subscriptions": Counter((row["status"], row["plan"]) for row in tables.of(who, tables.subscriptions)),
        "grants": Counter((row["feature_key"], row["amount"]) for row in tables.of(who, tables.entitlements)),
        "inbox": Counter((row["status"], row["note"]) for row in tables.inbox if row["event_id"] in taken_in),
        "outbox": Counter((row["topic"], row["sent_at"] < FOREVER) for row in events),
    }


def test_a_killed_checkout_is_finished_by_the_next(
    engine: Engine, engine_url: str, stripe: StripeSimulator, stride: int
) -> None:
    """Wherever a process dies over a first checkout, the next try ends with one customer and one page to pay."""
    open_account(engine_url, stripe)

    def upgrade(remote: RemoteStripe, who: str, deadly: int | None = None) -> tuple[Checkout, list[str]]:
        with watched_billing(engine_url, remote, deadly) as (billing, passed):
            return _upgrade(billing, who), list(passed)

    _, boundaries = result_of(stripe, partial(upgrade, who="rehearsal"))
    assert sum("POST" in name for name in boundaries) == 4
    lethal = _lethal(boundaries, stride)
    pages: dict[str, Checkout] = {}
    for deadly in lethal:
        who = f"killed-{deadly}"
        assert alone(stripe, partial(upgrade, who=who, deadly=deadly)).killed
        coherent(engine, stripe)
        pages[who], _ = result_of(stripe, partial(upgrade, who=who))
    tables = coherent(engine, stripe)
    for who, page in pages.items():
        (checkout,) = tables.of(who, tables.checkouts)
        assert (checkout["status"], checkout["stripe_session_id"]) == ("open", page.session_id)
    assert len(stripe.state.world.table("customer").rows) == len(tables.customers)
    assert len(stripe.state.world.table("checkout.session").rows) == len(tables.checkouts)
    with open_billing(engine_url, stripe):
        for page in pages.values():
            assert stripe.pay(page).status == "active"
    coherent(engine, stripe)
    count("kills", len(lethal))


def _upgrade(billing: Billing, who: str) -> Checkout:
    return billing.subscriptions.upgrade(who, "pro", success_url="/", cancel_url="/")
