"""Entities: members, projects or workspaces of a reference that have balances of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kernia_billing import Billing, Boolean, Credits, Feature, FeatureDenied, InvalidInput, Metered, Plan
from kernia_billing.testing import StripeSimulator
from tests.harness.house import new_engine

START = datetime(2026, 1, 1, tzinfo=UTC)
PLANS = [
    Plan("free", features={"messages": Metered(0), "sso": Boolean(), "credits": Credits(0)}),
    Plan("other", price_id="price_other", features={"seal": Boolean()}),
]
OPTIONS: dict[str, Any] = {
    "plans": PLANS,
    "features": [Feature("images", credit_cost={"credits": 10})],
    "default_plan": "free",
}


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Billing:
    """A shop on SQLite in which the free plan includes nothing of what is counted."""
    return open_billing(**OPTIONS)


@pytest.fixture
def shop_anywhere(engine_url: str) -> Iterator[Billing]:
    """The same on each kind of database, whose books are in order at the end."""
    new_engine(engine_url).dispose()
    with Billing(stripe_client=StripeSimulator(now=START), database=engine_url, **OPTIONS) as billing:
        yield billing
        assert not [each for each in billing.doctor().findings if each.severity == "error"]


def drawn(usage: Any) -> list[int]:
    """What a use drew, bucket by bucket."""
    return [each["amount"] for each in usage.deductions]


def test_the_entitys_own_before_the_customers(shop_anywhere: Billing) -> None:
    """B10: an entity's request draws from its own, then from the customer's, never from another entity's."""
    billing = shop_anywhere
    billing.grant("org", "messages", 100, expires_at=START + timedelta(days=9))
    for entity in ("A", "B"):
        billing.grant("org", "messages", 20, entity=entity)

    usage = billing.consume("org", "messages", 50, entity="A")

    assert [20, 30] == drawn(usage)
    assert (120, 50, 70) == (usage.balance.included, usage.balance.used, usage.balance.remaining)
    assert (70, 90) == (
        billing.check("org", "messages").remaining,
        billing.check("org", "messages", entity="B").remaining,
    )


def test_the_customer_as_such_never_touches_an_entitys(shop_anywhere: Billing) -> None:
    """B11: what entities have is theirs."""
    billing = shop_anywhere
    billing.grant("org", "messages", 70)
    billing.grant("org", "messages", 20, entity="A")

    assert 70 == billing.check("org", "messages").remaining
    assert not billing.check("org", "messages", 71)
    usage = billing.track("org", "messages", 80, mode="cap")

    assert (70, 10, [70]) == (usage.funded, usage.unfunded, drawn(usage))
    assert 20 == billing.check("org", "messages", entity="A").remaining


def test_balances_of_an_entity(shop: Billing) -> None:
    """What it can use: its own and the customer's. Without one, what the customer as such can use."""
    billing = shop
    billing.grant("org", "messages", 5)
    billing.grant("org", "messages", 3, entity="A")
    billing.grant("org", "credits", 25, entity="A")

    assert (5, 0) == tuple(billing.balances("org")[key].remaining for key in ("messages", "images"))
    mine = billing.balances("org", entity="A")
    assert (8, 25, 2) == tuple(mine[key].remaining for key in ("messages", "credits", "images"))
    assert mine["messages"] == billing.check("org", "messages", entity="A").balance
    assert 5 == billing.balances("org", entity="nobody")["messages"].remaining


def test_credits_of_an_entity_pay_for_it_alone(shop: Billing) -> None:
    """A pool is drawn like everything else: the entity's credits, then the customer's."""
    billing = shop
    billing.grant("org", "credits", 30)
    billing.grant("org", "credits", 15, entity="A")

    assert (3, 4) == (billing.check("org", "images").remaining, billing.check("org", "images", entity="A").remaining)
    assert [15, 25] == drawn(billing.consume("org", "images", 4, entity="A"))
    assert 0 == billing.check("org", "images").remaining


def test_a_boolean_feature_of_one_entity(shop: Billing) -> None:
    """Others do not have it, and neither has the customer as such."""
    billing = shop
    billing.grant("org", "seal", 1, entity="A")

    assert billing.check("org", "seal", entity="A")
    assert ["not_entitled", "not_entitled"] == [
        billing.check("org", "seal", entity=entity).reason for entity in (None, "B")
    ]
    assert "seal" not in billing.balances("org")
    assert "seal" in billing.balances("org", entity="A")


def test_what_only_entities_have_denies_the_customer(open_billing: Callable[..., Billing]) -> None:
    """Nothing within reach is nothing held: the reason says so, and a check agrees with a use."""
    billing = open_billing(plans=PLANS)
    billing.grant("org", "messages", 20, entity="A")

    assert "not_entitled" == billing.check("org", "messages").reason
    assert not billing.check("org", "messages", 0)
    with pytest.raises(FeatureDenied):
        billing.consume("org", "messages")
    assert billing.consume("org", "messages", 20, entity="A").funded == 20


def test_giving_back_to_an_entity(shop: Billing) -> None:
    """The customer's, drawn last, come back first; nothing ever comes back to another entity."""
    billing = shop
    billing.grant("org", "messages", 10)
    for entity in ("A", "B"):
        billing.grant("org", "messages", 5, entity=entity)
        billing.consume("org", "messages", 5, entity=entity)
    billing.consume("org", "messages", 4, entity="A")

    assert [4, 3] == drawn(billing.give_back("org", "messages", 7, entity="A"))
    assert (2, 5) == (
        billing.give_back("org", "messages", 9, entity="A").funded,
        billing.give_back("org", "messages", 9, entity="B").funded,
    )


@pytest.mark.parametrize("entity", ["", 5, "a\0b", "x" * 256])
def test_ids_of_entities(shop: Billing, entity: Any) -> None:
    """They have the form of a reference's id; anything else is refused, and changes nothing."""
    for call in (
        lambda: shop.check("org", "messages", entity=entity),
        lambda: shop.balances("org", entity=entity),
        lambda: shop.track("org", "messages", entity=entity),
        lambda: shop.grant("org", "messages", 1, entity=entity),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert "entity" == caught.value.field
    assert () == shop.audit().items
