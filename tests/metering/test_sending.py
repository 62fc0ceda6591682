"""Every use is counted once, whatever happens to the requests, and what nobody can know is not sent again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, get_args

import pytest
from attrs import evolve
from sqlalchemy import create_engine

from kernia_billing import Billing
from kernia_billing.testing import Fault
from kernia_billing.testing.simulator.world.world import RepeatedUsage
from tests.metering.conftest import Shop

EVENTS = "/v1/billing/meter_events"
ADJUSTMENTS = "/v1/billing/meter_event_adjustments"
FAULTS: dict[str, dict[str, Any]] = {
    "no connection": {"kind": "refuse_connect"},
    "lost on the way there": {"kind": "timeout_before"},
    "lost on the way back": {"kind": "timeout_after"},
    "reset before": {"kind": "reset_before"},
    "reset after": {"kind": "reset_after"},
    "half an answer, not done": {"kind": "torn_before"},
    "half an answer, done": {"kind": "torn_after"},
    "drips, not done": {"kind": "drip_before"},
    "drips, done": {"kind": "drip_after"},
    "a proxy's page": {"kind": "html_502"},
    "a proxy's refusal": {"kind": "html", "status": 404},
    "a proxy's refusal, done": {"kind": "html", "status": 413, "apply": True},
    "a redirect": {"kind": "redirect"},
    "a 500": {"kind": "status", "status": 500},
    "a 500 that is kept": {"kind": "status", "status": 500, "sticky": True},
    "a 500 that did it": {"kind": "status", "status": 500, "sticky": True, "apply": True},
    "too many requests": {"kind": "status", "status": 429},
    "a key that is not accepted": {"kind": "status", "status": 401},
    "another request holds the key": {"kind": "status", "status": 409},
}
NEVER_ARRIVED = {"no connection", "too many requests", "a key that is not accepted"}


def later(shop: Shop, hours: float) -> None:
    """Let time pass in which no job runs."""
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + int(hours * 3_600))


def overdrawn(shop: Shop, *values: int) -> None:
    """Have a customer use more than is included."""
    shop.sold()
    shop.billing.track("ada", "messages", 10)
    for value in values:
        shop.billing.track("ada", "messages", value)


@pytest.mark.parametrize("how", FAULTS)
def test_counted_once(shop: Shop, how: str) -> None:
    """A use whose report goes wrong, several times over, is counted once, and so is the one after it."""
    overdrawn(shop, 3, 4)
    shop.stripe.faults.append(Fault(**FAULTS[how], method="POST", path=EVENTS, times=7))
    for _ in range(9):
        shop.billing.jobs.run()
        later(shop, 1.1)

    assert 7 == shop.counted()
    assert {"sent": 2} == shop.states()
    assert [] == shop.told


@pytest.mark.parametrize("answer", get_args(RepeatedUsage))
def test_however_stripe_answers_a_repeated_identifier(shop: Shop, answer: RepeatedUsage) -> None:
    """A use whose answer was lost is counted once and known to have arrived, whether the next is refused or dropped."""
    shop.stripe.settings.repeated_usage = answer
    overdrawn(shop, 3)
    shop.stripe.faults.append(Fault("timeout_after", method="POST", path=EVENTS))
    shop.stripe.faults.append(Fault("timeout_before", method="POST", path=EVENTS, times=2))
    shop.billing.jobs.run()
    assert {"waiting": 1} == shop.states()
    later(shop, 0.1)

    assert 3 == shop.counted()
    assert {"sent": 1} == shop.states()
    assert [] == shop.told


def test_a_refused_identifier_that_was_never_sent_before(shop: Shop) -> None:
    """Where nothing can have arrived, a refusal of the identifier is a refusal, and somebody hears of it."""
    overdrawn(shop, 3)
    shop.stripe.settings.repeated_usage = "refused_by_param"
    (event,) = shop.billing.meters.list()
    form = {"event_name": event.meter, "identifier": event.identifier, "payload[value]": "1"}
    known = shop.billing.customers.get("ada")
    assert known is not None
    shop.post(EVENTS, {**form, "payload[stripe_customer_id]": known.stripe_id or ""})
    shop.billing.jobs.run()

    assert {"rejected": 1} == shop.states()
    assert ["meter.rejected"] == [each.type for each in shop.told]


@pytest.mark.parametrize("how", FAULTS)
def test_taken_back_once(shop: Shop, how: str) -> None:
    """The same for a use that is taken back whole."""
    overdrawn(shop, 3, 4)
    assert 7 == shop.counted()
    shop.billing.give_back("ada", "messages", 4)
    shop.stripe.faults.append(Fault(**FAULTS[how], method="POST", path=ADJUSTMENTS, times=7))
    for _ in range(9):
        shop.billing.jobs.run()
        later(shop, 1.1)

    assert 3 == shop.counted()
    assert {"sent": 3} == shop.states()


@pytest.mark.parametrize("hours", [22, 23, 25, 36, 24 * 34, 24 * 36])
@pytest.mark.parametrize("how", ["no connection", "lost on the way there", "lost on the way back"])
def test_the_clock_jumps(shop: Shop, how: str, hours: int) -> None:
    """A report whose outcome is unknown is not sent after 23 hours; one that never left is, for 35 days."""
    overdrawn(shop, 3)
    shop.stripe.faults.append(Fault(**FAULTS[how], method="POST", path=EVENTS, times=3))
    shop.billing.jobs.run()
    later(shop, hours)
    counted = shop.counted()

    unknown = how != "no connection"
    lost = hours > (23 if unknown else 24 * 35)
    state, reason = ("quarantined", "outcome_unknown" if unknown else "too_old") if lost else ("sent", None)
    (event,) = shop.billing.meters.list()
    assert (state, reason) == (event.state, event.reason)
    assert (3 if not lost or how == "lost on the way back" else 0) == counted
    assert [f"meter.{state}"] * lost == [each.type for each in shop.told]
    for _ in range(3):
        later(shop, 1)
        assert counted == shop.counted()


@pytest.mark.parametrize("arrives", [False, True])
def test_a_lost_sender(shop: Shop, arrives: bool) -> None:
    """A sender that dies between taking an event and sending it, or before it notes the answer, loses nothing."""
    overdrawn(shop, 3, 4)
    shop.die(1, arrives=arrives)
    shop.billing.jobs.run()
    assert {"sending": 2} == shop.states()
    later(shop, 0.1)

    assert 7 == shop.counted()
    assert {"sent": 2} == shop.states()


def test_one_failure_stops_the_run(shop: Shop) -> None:
    """While Stripe does not answer, each run tries one event, and the others keep their place and their freshness."""
    overdrawn(shop, *[1] * 5)
    shop.stripe.faults.append(Fault("refuse_connect", method="POST", path=EVENTS, times=3))
    shop.billing.jobs.run()

    assert {"waiting": 5} == shop.states()
    shop.billing.give_back("ada", "messages", 2)
    later(shop, 0.1)
    assert 3 == shop.counted()


def test_until_the_customer_is_known(shop: Shop) -> None:
    """What somebody uses whom Stripe does not know yet waits until it does."""
    paid = shop.billing.config.plans[1]
    plans = [evolve(paid, name="free", price_id=None, metered=False)]
    with Billing(
        stripe_client=shop.stripe, database=shop.billing.config.database, plans=plans, default_plan="free"
    ) as billing:
        billing.track("eve", "messages", 12)
        later(shop, 48)
        billing.jobs.run()
        assert {"waiting": 1} == shop.states()
        billing.customers.ensure("eve")
        billing.jobs.run()
        assert {"sent": 1} == shop.states()
        assert 2 == shop.counted("eve")


def test_in_the_hosts_transaction(shop: Shop) -> None:
    """What the host rolls back is not reported."""
    overdrawn(shop)
    engine = create_engine(shop.billing.config.database)
    with engine.connect() as connection:
        shop.billing.track("ada", "messages", 5, transaction=connection)
        connection.rollback()
        shop.billing.track("ada", "messages", 2, transaction=connection)
        connection.commit()
    engine.dispose()

    assert 2 == shop.counted()


def test_a_use_in_the_near_future_waits(shop: Shop) -> None:
    """A use that the caller's clock puts a little ahead is sent when it has happened."""
    overdrawn(shop)
    shop.billing.track("ada", "messages", 2, occurred_at=shop.stripe.now + timedelta(minutes=4))
    shop.billing.jobs.run()

    assert {"waiting": 1} == shop.states()
    assert 0 == shop.counted()
    assert 2 == shop.counted()
