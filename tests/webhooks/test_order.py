"""Whatever order, repetition or delay events come in, what is stored at the end is what Stripe has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import Billing
from tests.harness.counts import count
from tests.webhooks.shop import Shop, copied, opened, rows_of, state

FIRST = (
    "checkout.session.completed",
    "customer.subscription.created",
    "customer.subscription.updated",
    "invoice.paid",
)


class Replay:
    """A purchase of which nothing was heard, to be heard of in any order: each time on a copy of the database."""

    def __init__(self, shop: Shop, folder: Path) -> None:
        self.shop = shop
        self._folder = folder
        self._number = 0
        self.session = self._buy()
        self.events = [shop.event_ids(type)[0] for type in FIRST]
        shop.billing.close()

    def _buy(self) -> str:
        opened = self.shop.upgrade()
        self.shop.stripe.pay(opened)
        session = self.shop.account.get(f"/v1/checkout/sessions/{opened.session_id}")
        self.shop.account.post(f"/v1/subscriptions/{session['subscription']}", {"cancel_at_period_end": "true"})
        return str(opened.session_id)

    def start(self) -> tuple[str, Billing]:
        """A new copy."""
        self._number += 1
        url = copied(self.shop.url, self._folder, f"copy{self._number}")
        return url, self.shop.open(url)

    def heard(self, order: Sequence[str]) -> object:
        """What a database holds that heard of the purchase in this order."""
        url, billing = self.start()
        self.shop.stripe.deliver(*order)
        billing.close()
        return state(rows_of(url))

    def asked(self) -> object:
        """What a database holds that asked Stripe itself."""
        url, billing = self.start()
        assert billing.sync_checkout(self.session).subscription is not None
        billing.close()
        return state(rows_of(url))


@pytest.fixture
def replay(quiet_shop: Shop, tmp_path: Path) -> Replay:
    """A purchase, and a cancellation at the end of the period."""
    return Replay(quiet_shop, tmp_path)


def test_every_order_of_the_first_events_ends_where_a_direct_sync_ends(replay: Replay) -> None:
    """All orders of the four first events, once and with each of them repeated at the end, end in the same state."""
    expected = replay.asked()
    orders = list(permutations(replay.events))
    for order in orders:
        assert replay.heard(order) == expected, order
    for order in orders[::6]:
        for again in order:
            assert replay.heard([*order, again, again]) == expected
    count("webhooks: orders of the first events", len(orders) + len(orders[::6]) * 4)


def test_some_of_the_first_events_are_enough_once_the_subscription_is_named(replay: Replay) -> None:
    """The subscription is the same whichever single event is heard of it; only the page stays open without its own."""
    expected = replay.asked()
    for event in replay.events[1:]:
        heard = replay.heard([event])
        assert isinstance(heard, dict)
        assert isinstance(expected, dict)
        assert heard["subscription"] == expected["subscription"]
        assert heard["entitlement"] == expected["entitlement"]
    assert replay.heard(replay.events[:1]) == expected


def test_the_newest_news_first_on_every_database(make_database: Callable[[str], str], engine_name: str) -> None:
    """A purchase and a change, heard of backwards and twice, end where a direct look ends, whatever the database."""
    shop = Shop(make_database(engine_name), deliver="manual")
    with opened(shop):
        page = shop.upgrade()
        shop.stripe.pay(page)
        bought = shop.objects("subscription")[0]["id"]
        shop.account.post(f"/v1/subscriptions/{bought}", {"cancel_at_period_end": "true"})
        shop.stripe.deliver(*reversed(shop.event_ids()), *shop.event_ids())
        heard = state(shop.rows())
        assert shop.billing.sync_checkout(str(page.session_id)).subscription == shop.subscription()
        assert state(shop.rows()) == heard
        assert shop.subscription().display_state == "cancel_pending"


STEPS = ("cancel_later", "keep", "team", "pro", "unmapped", "more", "cancel_now", "month")


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data(), steps=st.lists(st.sampled_from(STEPS), max_size=5))
def test_a_history_shuffled_repeated_and_late_ends_in_stripes_state(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, steps: list[str]
) -> None:
    """Any history, its events shuffled, repeated and delivered between the changes, ends as a direct look does."""
    folder = tmp_path_factory.mktemp("history")
    shop = Shop(f"sqlite:///{folder}/heard.sqlite", deliver="manual")
    with opened(shop):
        shop.stripe.pay(shop.upgrade())
        (subscription,) = [str(each["id"]) for each in shop.objects("subscription")]
        for step in steps:
            _take(shop, subscription, step)
            late = data.draw(st.lists(st.sampled_from(shop.event_ids()), max_size=3))
            shop.stripe.deliver(*late)
        waiting = [each for each in shop.event_ids() for _ in range(data.draw(st.integers(1, 2)))]
        shop.stripe.deliver(*data.draw(st.permutations(waiting)))
        heard = state(shop.rows())
        fresh = shop.open(f"sqlite:///{folder}/asked.sqlite")
        fresh.customers.link("ann", shop.customer())
        given_here = {key: each.included for key, each in shop.billing.balances("ann").items()}
        assert given_here == {key: each.included for key, each in fresh.balances("ann").items()}
        asked = state(rows_of(f"sqlite:///{folder}/asked.sqlite"))
    local = {"customer_id", "email", "updated_at", "created_at", "effective_at", "past_due_since"}
    for table in ("subscription",):
        ours, theirs = (
            [{k: v for k, v in row.items() if k not in local} for row in each[table]] for each in (heard, asked)
        )
        assert ours == theirs or _kept_history(ours, theirs)
    assert [row["plan"] for row in heard["customer"]] == [row["plan"] for row in asked["customer"]]
    count("webhooks: random histories")


def _kept_history(ours: list[dict[str, object]], theirs: list[dict[str, object]]) -> bool:
    """A subscription that ended keeps what is known of it."""
    return all(
        mine["status"] == "canceled" and all(mine[name] == value or value is None for name, value in other.items())
        for mine, other in zip(ours, theirs, strict=True)
    )


def _take(shop: Shop, subscription: str, step: str) -> None:
    if shop.account.subscription(subscription)["status"] == "canceled":
        return
    path = f"/v1/subscriptions/{subscription}"
    if step in ("cancel_later", "keep"):
        shop.account.post(path, {"cancel_at_period_end": str(step == "cancel_later").lower()})
    elif step == "cancel_now":
        shop.account.delete(path)
    elif step == "month":
        shop.stripe.advance(months=1)
    elif step == "more":
        (item,) = shop.account.subscription(subscription)["items"]["data"]
        shop.account.post(path, {"items[0][id]": item["id"], "items[0][quantity]": str(item["quantity"] + 1)})
    else:
        price = {"team": "price_team", "pro": "price_pro", "unmapped": "price_unmapped"}[step]
        shop.stripe.ensure_price(price)
        shop.change_price(subscription, price)
