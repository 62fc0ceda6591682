"""After any history Stripe counts what the ledger says: uses, givings back, lost requests, dead workers, reports."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kernia_billing.testing import Fault
from tests.metering.conftest import Shop
from tests.metering.test_sending import ADJUSTMENTS, EVENTS, FAULTS, later

INCLUDED = 10
CHECKS = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
AMOUNTS = st.integers(1, 9)


class Metering(RuleBasedStateMachine):
    """One customer within one billing period; time passes in minutes and hours, a day and a half in all at most."""

    shop: Shop

    def __init__(self) -> None:
        super().__init__()
        self.stripe = self.shop.stripe
        self.reference = f"ada{len(self.stripe.events)}"
        self.stripe.subscribe(self.reference, "pro")
        self.used = 0
        self.hours = 0.0

    @rule(amount=AMOUNTS)
    def use(self, amount: int) -> None:
        """Something is used."""
        self.shop.billing.track(self.reference, "messages", amount)
        self.used += amount

    @rule(amount=AMOUNTS)
    def give_back(self, amount: int) -> None:
        """Something is given back."""
        self.used -= self.shop.billing.give_back(self.reference, "messages", amount).funded

    @rule(how=st.sampled_from(sorted(FAULTS)), path=st.sampled_from([EVENTS, ADJUSTMENTS]), times=st.integers(1, 4))
    def something_breaks(self, how: str, path: str, times: int) -> None:
        """Some of the next requests go wrong."""
        self.stripe.faults.append(Fault(**FAULTS[how], method="POST", path=path, times=times))

    @rule()
    def send(self) -> None:
        """A worker runs."""
        self.shop.billing.jobs.run()

    @rule(survives=st.integers(0, 2), arrives=st.booleans())
    def a_worker_dies(self, survives: int, arrives: bool) -> None:
        """A worker is killed in the midst of its work."""
        self.shop.die(survives, arrives=arrives)

    @precondition(lambda self: self.hours < 20)
    @rule(hours=st.sampled_from([0.1, 1, 5]))
    def time_passes(self, hours: float) -> None:
        """No worker runs for a while."""
        later(self.shop, hours)
        self.hours += hours

    @invariant()
    def what_is_written_down_is_right(self) -> None:
        """The events add up to the overage of the ledger, at every moment."""
        events = [each for each in self.shop.billing.meters.list(limit=200) if each.state != "canceled"]
        mine = [each for each in events if each.reference and each.reference.id == self.reference]
        balance = self.shop.billing.balances(self.reference)["messages"]
        assert max(0, self.used - INCLUDED) == balance.overage_used == sum(each.value for each in mine)

    def teardown(self) -> None:
        """When everything works again everything arrives: once."""
        self.stripe.faults.clear()
        for _ in range(3):
            later(self.shop, 1.1)
            self.shop.billing.jobs.run()
        self.stripe.advance(hours=1)
        assert max(0, self.used - INCLUDED) == self.stripe.usage(self.reference, "messages")
        assert {"sent", "canceled"} >= self.shop.states().keys()


def test_any_history(open_shop: Callable[..., Shop]) -> None:
    """Stripe's count is the ledger's overage after every history of a day."""
    Metering.shop = open_shop()
    run_state_machine_as_test(
        Metering,
        settings=settings(max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=CHECKS),
    )


@pytest.mark.full
def test_many_histories(open_shop: Callable[..., Shop]) -> None:
    """The same, for longer."""
    Metering.shop = open_shop()
    run_state_machine_as_test(
        Metering,
        settings=settings(max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=CHECKS),
    )
