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
    """What was used under a plan without a meter is carried on, and giving it back is worth nothing at Stripe."""
    small = Plan("small", price_id="price_s", features={"messages": Metered(10)})
    big = Plan("big", price_id="price_m", metered=True, features={"messages": Metered(20, meter="messages")})
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


# ── Refunds: it is known which use it was ────────────────────────────────────────────────────────────────────────────


def test_a_refunded_use_is_lowered_itself(shop: Shop, ada: str) -> None:
    """Not the last one, while it waits."""
    first = shop.billing.track(ada, "messages", 4)
    shop.billing.track(ada, "messages", 3)
    shop.billing.refund(ada, first.event_id, 3)
    assert [("waiting", 1), ("waiting", 3)] == values(shop)
    shop.billing.refund(ada, first.event_id)

    assert [("canceled", 0), ("waiting", 3)] == values(shop)
    assert 3 == shop.counted()


def test_a_refunded_use_is_taken_back_itself(shop: Shop, ada: str) -> None:
    """Whole, soon after it was sent; and its parts by negative values of the time of the use."""
    first = shop.billing.track(ada, "messages", 4)
    second = shop.billing.track(ada, "messages", 3)
    assert 7 == shop.counted()
    shop.billing.refund(ada, first.event_id)
    shop.billing.refund(ada, second.event_id, 1)

    assert 2 == shop.counted()
    events = {each.identifier: each for each in shop.billing.meters.list()}
    assert -4 == events[f"cancel:{first.event_id}"].value
    (part,) = (each for name, each in events.items() if each.value == -1 and not name.startswith("cancel:"))
    assert events[second.event_id].occurred_at == part.occurred_at


def test_included_and_reported_units_of_one_use(shop: Shop) -> None:
    """What is refunded of a use comes from its overage first, and only that was reported."""
    shop.sold()
    use = shop.billing.track("ada", "messages", 14)
    assert 4 == shop.counted()

    counted: list[int] = []
    for quantity in (3, 3, None):
        shop.billing.refund("ada", use.event_id, quantity)
        counted.append(shop.counted())
    assert [1, 0, 0] == counted


def test_a_use_that_was_given_back_already(shop: Shop, ada: str) -> None:
    """What came back without naming a use is corrected once: the count never falls below what is used."""
    use = shop.billing.track(ada, "messages", 4)
    shop.billing.give_back(ada, "messages", 4)
    shop.billing.refund(ada, use.event_id)
    assert 0 == shop.counted()
    shop.billing.track(ada, "messages", 2)

    assert 2 == shop.counted()


def test_a_use_of_a_period_that_is_over(shop: Shop, ada: str) -> None:
    """It is corrected where it was counted, and nothing of the running period is lowered."""
    use = shop.billing.track(ada, "messages", 4)
    used_at = shop.stripe.now
    assert 4 == shop.counted()
    shop.stripe.advance(days=31)
    shop.billing.track(ada, "messages", 13)
    back = shop.billing.refund(ada, use.event_id)

    assert (4, 0, 4) == (back.funded, back.restored, back.lapsed)
    waiting = {each.value: each.occurred_at for each in shop.billing.meters.list(state="waiting")}
    assert {3, -4} == set(waiting)
    assert used_at == waiting[-4]


def test_a_use_that_is_too_old_to_be_corrected(shop: Shop, ada: str) -> None:
    """Stripe takes nothing that is more than 35 days old: nothing is sent, and the books are right all the same."""
    use = shop.billing.track(ada, "messages", 4)
    assert 4 == shop.counted()
    shop.stripe.advance(days=40)

    assert 4 == shop.billing.refund(ada, use.event_id).lapsed
    assert {"sent": 1} == shop.states()


def test_what_a_hold_reported_is_refunded(shop: Shop, ada: str) -> None:
    """A settled use is a use."""
    use = shop.billing.reserve(ada, "messages", 5).settle(3)
    shop.billing.refund(ada, use.event_id, 2)

    assert [("waiting", 1)] == values(shop)


def test_a_level_that_falls_is_not_billed(shop: Shop, ada: str) -> None:
    """What `set_usage` takes away was reported before."""
    shop.billing.set_usage(ada, "messages", 17)
    assert 7 == shop.counted()
    shop.billing.set_usage(ada, "messages", 12)

    assert 2 == shop.counted()
