"""What is given back is not billed: before it was sent, soon after, and later; and never more than was reported."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kernia_billing import Metered, Plan
from tests.metering.conftest import Shop


@pytest.fixture
def ada(shop: Shop) -> str:
    """A customer who has used up what is included."""
    shop.sold()
    shop.billing.track("ada", "messages", 10)
    return "ada"


def values(shop: Shop) -> list[tuple[str, int]]:
    """State and value of each event, in the order in which they were made."""
    rows = sorted(shop.billing.meters.list().items, key=lambda each: each.identifier.removeprefix("cancel:"))
    return [(each.state, each.value) for each in rows]


def test_before_it_was_sent(shop: Shop, ada: str) -> None:
    """The last uses that wait are lowered or canceled, and nothing else is sent."""
    shop.billing.track(ada, "messages", 4)
    shop.billing.track(ada, "messages", 3)
    shop.billing.give_back(ada, "messages", 5)

    assert [("waiting", 2), ("canceled", 0)] == values(shop)
    assert 2 == shop.counted()


def test_soon_after_it_was_sent(shop: Shop, ada: str) -> None:
    """A use that is given back whole is taken back whole, once; a part of one by a negative value."""
    shop.billing.track(ada, "messages", 4)
    shop.billing.track(ada, "messages", 3)
    assert 7 == shop.counted()
    shop.billing.give_back(ada, "messages", 5)
    assert 2 == shop.counted()
    shop.billing.give_back(ada, "messages", 2)

    assert 0 == shop.counted()
    found = {each.identifier.partition(":")[0]: each.value for each in shop.billing.meters.list() if each.value < 0}
    assert {-3, -2} == set(found.values())
    assert -3 == found["cancel"]
    assert {"sent": 5} == shop.states()


@pytest.mark.parametrize("hours", [22, 23, 24, 30])
def test_long_after_it_was_sent(shop: Shop, ada: str, hours: int) -> None:
    """After a day Stripe takes nothing back: a negative value corrects it, also where the job ran too late."""
    shop.billing.track(ada, "messages", 4)
    assert 4 == shop.counted()
    shop.stripe.advance(hours=hours - 1)
    shop.billing.give_back(ada, "messages", 4)
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 3_600)

    assert 0 == shop.counted()
    whole = [each for each in shop.billing.meters.list() if each.identifier.startswith("cancel:")]
    assert (hours < 23) is bool(whole)


def test_taking_back_late(shop: Shop, ada: str) -> None:
    """What was to be taken back whole, and could not be sent in time, is corrected by a negative value."""
    shop.billing.track(ada, "messages", 4)
    assert 4 == shop.counted()
    shop.billing.give_back(ada, "messages", 4)
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 30 * 3_600)

    assert 0 == shop.counted()
    assert {"sent": 2} == shop.states()


def test_included_units_change_nothing(shop: Shop, ada: str) -> None:
    """What is given back beyond the overage was never reported."""
    shop.billing.track(ada, "messages", 4)
    shop.billing.give_back(ada, "messages", 9)

    assert 0 == shop.counted()
    shop.billing.track(ada, "messages", 6)
    assert 1 == shop.counted()


def test_what_was_never_reported_is_not_corrected(open_shop: Callable[..., Shop]) -> None:
    """Overage that was free under the plan before counts as used, and giving it back is worth nothing at Stripe."""
    small = Plan("small", price_id="price_s", features={"messages": Metered(2, overage="free")})
    big = Plan(
        "big", price_id="price_m", metered=True, features={"messages": Metered(2, meter="messages", overage="billed")}
    )
    shop = open_shop(plans=[small, big], default_plan=None)
    shop.stripe.subscribe("ada", "small")
    shop.billing.track("ada", "messages", 7)
    item = shop.get("/v1/subscriptions")["data"][0]
    shop.post(f"/v1/subscriptions/{item['id']}", change_to(item, "price_m"))
    shop.stripe.flush()
    shop.billing.track("ada", "messages", 3)
    shop.billing.give_back("ada", "messages", 5)

    assert 0 == shop.counted()
    shop.billing.track("ada", "messages", 1)
    assert 1 == shop.counted()


def change_to(subscription: dict[str, object], price: str) -> dict[str, str]:
    """The parameters of a change to a metered price."""
    items = subscription["items"]
    assert isinstance(items, dict)
    return {"items[0][id]": items["data"][0]["id"], "items[0][deleted]": "true", "items[1][price]": price}
