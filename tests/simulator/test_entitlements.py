"""Stripe's entitlements: features of products, entitlements of customers, and a summary for each real change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.shop import Shop

SUMMARY = "entitlements.active_entitlement_summary.updated"


def _feature(shop: Shop, key: str) -> str:
    return str(shop.post("/v1/entitlements/features", {"name": key.title(), "lookup_key": key})["id"])


def _product(shop: Shop, price: str, *features: str) -> str:
    """The product of a price, with these features attached."""
    product = str(shop.get(f"/v1/prices/{price}")["product"])
    for feature in features:
        shop.post(f"/v1/products/{product}/features", {"entitlement_feature": feature})
    return product


def _keys(shop: Shop, customer: str) -> set[str]:
    rows = shop.get("/v1/entitlements/active_entitlements", {"customer": customer, "limit": "100"})["data"]
    return {row["lookup_key"] for row in rows}


def _summaries(shop: Shop) -> list[dict[str, Any]]:
    return [dict(event["data"]["object"]) for event in shop.stripe.events if event["type"] == SUMMARY]


def test_a_feature_lives(shop: Shop) -> None:
    """Made, renamed, archived; its lookup key is its own for ever, and lists show either the live or the archived."""
    made = _feature(shop, "sso")
    other = _feature(shop, "audit")
    taken = shop.refused("POST", "/v1/entitlements/features", {"name": "S", "lookup_key": "sso"})
    fixed = shop.refused("POST", f"/v1/entitlements/features/{made}", {"lookup_key": "x"})
    shop.post(f"/v1/entitlements/features/{made}", {"name": "Single sign-on", "metadata[a]": "b"})
    shop.post(f"/v1/entitlements/features/{made}", {"active": "false"})
    archived = shop.get("/v1/entitlements/features", {"archived": "true"})["data"]
    live = shop.get("/v1/entitlements/features")["data"]
    found = shop.get("/v1/entitlements/features", {"lookup_key": "audit"})["data"]

    assert ("lookup_key", "lookup_key") == (taken.param, fixed.param)
    assert [(made, "Single sign-on", {"a": "b"})] == [(row["id"], row["name"], row["metadata"]) for row in archived]
    assert [[other], [other]] == [[row["id"] for row in live], [row["id"] for row in found]]
    assert not shop.types()


def test_features_of_a_product(shop: Shop) -> None:
    """A feature is attached once, shown whole, and detached; an archived one is attached no more."""
    made = _feature(shop, "sso")
    product = _product(shop, shop.price())
    path = f"/v1/products/{product}/features"
    attached = shop.post(path, {"entitlement_feature": made})
    twice = shop.refused("POST", path, {"entitlement_feature": made})
    unknown = shop.refused("POST", path, {"entitlement_feature": "feat_none"})
    listed = shop.get(path)["data"]
    gone = shop.delete(f"{path}/{attached['id']}")
    shop.post(f"/v1/entitlements/features/{made}", {"active": "false"})
    archived = shop.refused("POST", path, {"entitlement_feature": made})

    assert "sso" == attached["entitlement_feature"]["lookup_key"]
    assert [attached] == listed
    assert {"entitlement_feature"} == {twice.param, unknown.param, archived.param}
    assert gone["deleted"] is True
    assert [] == shop.get(path)["data"]
    assert 404 == shop.refused("GET", f"{path}/{attached['id']}").status


def test_entitlements_follow_the_subscription(shop: Shop) -> None:
    """They come with the subscription, outlive a failing payment, and end with it; each change has one summary."""
    price = shop.price()
    _product(shop, price, _feature(shop, "sso"), _feature(shop, "audit"))
    customer = shop.customer()
    bought = shop.buy(price, customer=customer)
    assert {"sso", "audit"} == _keys(shop, customer)
    shop.stripe.advance(months=3, hours=2)
    assert 1 == len(_summaries(shop))
    shop.stripe.use_card(customer, "4000000000000341")
    shop.stripe.advance(months=1)
    assert "past_due" == shop.subscription(bought["id"])["status"]
    assert {"sso", "audit"} == _keys(shop, customer)
    shop.stripe.advance(months=1)

    assert "canceled" == shop.subscription(bought["id"])["status"]
    assert set() == _keys(shop, customer)
    begun, ended = _summaries(shop)
    assert (customer, 2, 0) == (
        begun["customer"],
        len(begun["entitlements"]["data"]),
        len(ended["entitlements"]["data"]),
    )


def test_a_feature_of_two_subscriptions_is_one_entitlement(shop: Shop) -> None:
    """Losing one of two products that give the same feature changes nothing, and is not told."""
    feature = _feature(shop, "sso")
    first, second = shop.price(), shop.price()
    _product(shop, first, feature)
    _product(shop, second, feature)
    customer = shop.customer()
    one = shop.buy(first, customer=customer)
    shop.buy(second, customer=customer)
    shop.delete(f"/v1/subscriptions/{one['id']}")

    assert {"sso"} == _keys(shop, customer)
    assert 1 == len(_summaries(shop))


def test_a_change_of_plan_changes_entitlements(shop: Shop) -> None:
    """An item that moves to a price of another product brings that product's features."""
    basic, pro = shop.price(), shop.price()
    _product(shop, basic, _feature(shop, "basic"))
    _product(shop, pro, _feature(shop, "pro"))
    customer = shop.customer()
    bought = shop.buy(basic, customer=customer)
    item = bought["items"]["data"][0]["id"]
    shop.post(
        f"/v1/subscriptions/{bought['id']}",
        {"items[0][id]": item, "items[0][price]": pro, "proration_behavior": "none"},
    )

    assert {"pro"} == _keys(shop, customer)
    (entitled,) = _summaries(shop)[-1]["entitlements"]["data"]
    assert "pro" == entitled["lookup_key"]
    whole = shop.get(f"/v1/entitlements/active_entitlements/{entitled['id']}", {"expand[0]": "feature"})
    assert "Pro" == whole["feature"]["name"]


def test_a_product_change_reaches_who_has_it(shop: Shop) -> None:
    """Attaching and detaching a feature changes the entitlements of those who have the product now."""
    price = shop.price()
    product = _product(shop, price)
    customer, stranger = shop.customer(), shop.customer()
    shop.buy(price, customer=customer)
    attached = shop.post(f"/v1/products/{product}/features", {"entitlement_feature": _feature(shop, "sso")})
    assert ({"sso"}, set()) == (_keys(shop, customer), _keys(shop, stranger))
    shop.delete(f"/v1/products/{product}/features/{attached['id']}")

    assert set() == _keys(shop, customer)
    assert 2 == len(_summaries(shop))


@pytest.mark.parametrize(("number", "more"), [(10, False), (12, True)])
def test_a_summary_holds_ten(shop: Shop, number: int, *, more: bool) -> None:
    """The summary's list stops at ten and says so; the list endpoint has all."""
    price = shop.price()
    _product(shop, price, *(_feature(shop, f"f{index}") for index in range(number)))
    customer = shop.customer()
    shop.buy(price, customer=customer)

    shown = _summaries(shop)[-1]["entitlements"]
    assert (10, more) == (len(shown["data"]), shown["has_more"])
    assert number == len(_keys(shop, customer))


def test_an_unpaid_beginning_entitles_to_nothing(shop: Shop) -> None:
    """An incomplete subscription gives nothing until its first invoice is paid; a trial does."""
    price = shop.price()
    _product(shop, price, _feature(shop, "sso"))
    waiting, trying = shop.customer(), shop.customer()
    shop.post(
        "/v1/subscriptions",
        {"customer": waiting, "items[0][price]": price, "payment_behavior": "default_incomplete"},
    )
    shop.post("/v1/subscriptions", {"customer": trying, "items[0][price]": price, "trial_period_days": "7"})

    assert (set(), {"sso"}) == (_keys(shop, waiting), _keys(shop, trying))
