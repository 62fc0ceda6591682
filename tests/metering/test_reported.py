"""Which units are reported, when, and that a renewal bills them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernia_billing import Metered, Plan
from tests.harness.ears import hearing
from tests.metering.conftest import Shop


def test_billed_overage_is_reported(shop: Shop) -> None:
    """What is included is paid for already; what is beyond it is reported, with the id of the use."""
    ada = shop.sold()
    shop.billing.track(ada, "messages", 8)
    over = shop.billing.track(ada, "messages", 5)

    (waiting,) = shop.billing.meters.list().items
    assert (over.event_id, "messages", 3, "waiting") == (
        waiting.identifier,
        waiting.meter,
        waiting.value,
        waiting.state,
    )
    assert 3 == shop.counted()
    assert {"sent": 1} == shop.states()


@pytest.mark.parametrize(
    ("plan", "feature", "meter", "uses", "reported"),
    [
        ("payg", "messages", "tokens", (4, 3), 7),
        ("pro", "calls", "calls", (4, 3), 7),
        ("pro", "api", "api", (3, 4), 7),
        ("pro", "api", "api", (3, 9), 10),
    ],
)
def test_which_units_are_reported(
    shop: Shop, plan: str, feature: str, meter: str, uses: tuple[int, ...], reported: int
) -> None:
    """Where nothing is included everything is; with a meter and no billed overage, everything that a plan covers."""
    ada = shop.sold(plan)
    for each in uses:
        shop.billing.track(ada, feature, each)

    assert reported == shop.counted(meter=meter)


def test_nothing_without_a_meter(shop: Shop) -> None:
    """A feature without a meter is nobody's business."""
    ada = shop.sold()
    shop.billing.track(ada, "files", 9)

    assert {} == shop.states()


def test_a_use_without_a_meter_costs_nothing_more(shop: Shop) -> None:
    """No statement is about meters where a feature has none, and there is one where it has."""
    ada = shop.sold()
    said: list[str] = []

    with hearing(said.append):
        shop.billing.track(ada, "files", 1)
        shop.billing.track(ada, "files", 1)
        shop.billing.give_back(ada, "files", 1)
        without = [each for each in said if "meter_event" in each]
        shop.billing.track(ada, "calls", 1)

    assert [] == without
    assert 1 == len([each for each in said if "meter_event" in each])


def test_two_plans_two_meters(open_shop: Callable[..., Shop]) -> None:
    """Where two plans give a feature, each part of a use is reported to the meter of the plan that it is drawn from."""
    plans = [
        Plan(name, price_id=f"price_{name}", group=name, features={"messages": Metered(3, meter=name)})
        for name in ("one", "two")
    ]
    shop = open_shop(plans=plans, default_plan=None)
    for plan in plans:
        shop.sold(plan.name)
    used = shop.billing.track("ada", "messages", 5)

    assert sorted([used.event_id, f"{used.event_id}:1"]) == [each.identifier for each in shop.billing.meters.list()]
    assert [2, 3] == sorted([shop.counted(meter="one"), shop.counted(meter="two")])
    shop.billing.give_back("ada", "messages", 5)
    assert [0, 0] == [shop.counted(meter="one"), shop.counted(meter="two")]


def test_a_renewal_bills_what_was_reported(shop: Shop) -> None:
    """The invoice of the past period bills the overage of it, to the unit."""
    shop.stripe.add_price("price_messages", 3, metered=True)
    ada = shop.sold()
    shop.billing.track(ada, "messages", 17)
    shop.stripe.advance(days=20)
    shop.billing.give_back(ada, "messages", 2)
    shop.stripe.advance(months=1)

    invoices = shop.get("/v1/invoices")["data"]
    assert 15 == sum(each["amount_paid"] for each in invoices)
