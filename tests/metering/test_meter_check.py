"""The doctor looks at the meters that plans name: one that counts nothing, or wrongly, is found by its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernia_billing import Metered, Plan
from kernia_billing.testing import Fault
from tests.metering.conftest import Shop

METER = {
    "display_name": "pages",
    "event_name": "pages",
    "default_aggregation[formula]": "sum",
    "customer_mapping[type]": "by_id",
    "customer_mapping[event_payload_key]": "stripe_customer_id",
    "value_settings[event_payload_key]": "value",
}
PAGES = [Plan("pro", price_id="price_messages", features={"pages": Metered(5, meter="pages")})]


def told(shop: Shop) -> list[tuple[str, str]]:
    """Severity and title of what is found about meters."""
    findings = shop.billing.doctor(with_stripe=True).findings
    return [(each.severity, each.title) for each in findings if each.check == "meters"]


def remake(shop: Shop, changes: dict[str, str]) -> None:
    """Put another meter in the place of the one that the simulator made up for the plans."""
    shop.stripe.state.world.table("billing.meter").rows.clear()
    shop.post("/v1/billing/meters", {**METER, **changes})


def test_meters_that_count(shop: Shop) -> None:
    """Nothing is wrong with meters that exist, and are billed by a price of the plan where overage is."""
    shop.billing.catalog.sync()
    assert [] == told(shop)
    assert "meters" in shop.billing.doctor(with_stripe=True).checks
    assert "meters" not in shop.billing.doctor().checks


@pytest.mark.parametrize(
    ("changes", "findings"),
    [
        ({}, []),
        ({"default_aggregation[formula]": "count"}, [("error", "the meter pages adds up")]),
        ({"customer_mapping[event_payload_key]": "who"}, [("error", "the meter pages reads our events")]),
        ({"value_settings[event_payload_key]": "amount"}, [("error", "the meter pages reads our events")]),
        ({"event_name": "sites"}, [("error", "the meter pages exists")]),
    ],
)
def test_a_meter_that_counts_wrongly(
    open_shop: Callable[..., Shop], changes: dict[str, str], findings: list[tuple[str, str]]
) -> None:
    """Each property that events rely on is looked at."""
    shop = open_shop(plans=PAGES, default_plan=None)
    remake(shop, changes)
    assert findings == told(shop)


def test_a_deactivated_meter(open_shop: Callable[..., Shop]) -> None:
    """It refuses events, until another one of its name takes its place."""
    shop = open_shop(plans=PAGES, default_plan=None)
    (meter,) = shop.get("/v1/billing/meters")["data"]
    shop.post(f"/v1/billing/meters/{meter['id']}/deactivate")
    assert [("error", "the meter pages is active")] == told(shop)
    shop.post("/v1/billing/meters", METER)
    assert [] == told(shop)


def test_overage_that_nobody_pays(open_shop: Callable[..., Shop]) -> None:
    """The price of the plan bills another meter."""
    pages: Any = Metered(5, overage="billed", meter="pages")
    pro = Plan("pro", price_id="price_messages", metered=True, features={"pages": pages})
    shop = open_shop(plans=[Plan("free"), pro])
    shop.billing.catalog.sync()
    assert [("warning", "pages of the plan pro is billed")] == told(shop)


def test_a_key_that_may_not_see_meters(shop: Shop) -> None:
    """That is said, and is no error."""
    shop.stripe.faults.append(Fault("status", 403, path="/v1/billing/meters", times=None))
    assert [("warning", "meters can be listed")] == told(shop)
