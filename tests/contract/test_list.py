"""Scenarios of `GET /subscription/list`."""

from __future__ import annotations

from attrs import evolve

from kernia_billing import Plan
from tests.contract.conftest import OpenShop
from tests.contract.support import PLANS, Shop, scenario
from tests.simulator.shop import Shop as Account


@scenario(94)
def test_only_what_was_paid_is_listed(shop: Shop) -> None:
    """Nothing before an upgrade, nothing while its page is open, and the subscription once it is paid."""
    assert shop.rows() == []

    page = shop.upgrade().json["url"]
    assert shop.rows() == []

    shop.stripe.pay(page)
    assert [(row["plan"], row["status"]) for row in shop.rows()] == [("pro", "active")]


@scenario(97)
def test_limits_come_back_as_they_were_given(shop: Shop) -> None:
    """Numbers, arrays and nested objects of a plan's limits are in its row unchanged."""
    shop.subscribe("pro")

    (row,) = shop.rows()
    assert row["limits"] == dict(PLANS[2].limits)


@scenario(95, 96)
def test_the_price_is_that_of_the_interval(open_shop: OpenShop) -> None:
    """A year has the annual price and a month the monthly one, and the row says which it is."""
    shop = open_shop()
    shop.subscribe("pro", annual=True)
    shop.subscribe("pro", by="bob")

    (year,), (month,) = shop.rows(), shop.rows(by="bob")
    assert (year["billingInterval"], year["priceId"]) == ("year", "price_pro_y")
    assert (month["billingInterval"], month["priceId"]) == ("month", "price_pro")


@scenario(98, 99)
def test_users_and_organizations_have_lists_of_their_own(shop: Shop) -> None:
    """What an organization bought is in its list only, also where it has the id of a user."""
    shop.people.may("ann", "ann", "org_1")
    for id in ("ann", "org_1"):
        assert shop.rows(referenceId=id, customerType="organization") == []
    shop.subscribe("starter")
    shop.subscribe("pro", referenceId="org_1", customerType="organization")

    assert [row["plan"] for row in shop.rows()] == ["starter"]
    (row,) = shop.rows(referenceId="org_1", customerType="organization")
    assert (row["plan"], row["referenceId"]) == ("pro", "org_1")
    assert shop.rows(referenceId="ann", customerType="organization") == []


@scenario(210)
def test_nobody_reads_the_list_of_somebody_else(open_shop: OpenShop) -> None:
    """Without `authorize_reference` and without its consent a foreign reference is refused."""
    shop = open_shop()
    shop.subscribe()
    assert shop.get("/subscription/list", {"referenceId": "ann"}, by="bob").json["code"] == "UNAUTHORIZED"
    assert shop.people.asked[-1] == ("bob", "ann", "list-subscription")
    alone = open_shop(authorize_reference=None)
    alone.subscribe()
    answer = alone.get("/subscription/list", {"referenceId": "ann"}, by="bob")
    assert (answer.status, answer.json["code"]) == (400, "REFERENCE_ID_NOT_ALLOWED")


@scenario(237)
def test_what_is_overdue_unpaid_or_paused_can_be_seen(shop: Shop) -> None:
    """By default the client gets what is active; `status=live` adds what has not ended, `status=all` everything."""
    for name in ("ann", "bob", "eve"):
        shop.subscribe(by=name)
    shop.billing.subscriptions.cancel("eve", when="now")
    sold = shop.stripe.state.world.table("subscription").rows
    for name, status in (("ann", "past_due"), ("bob", "unpaid")):
        bought = shop.billing.subscriptions.get(name)
        sold[bought.stripe_id]["status"] = status
        shop.billing.subscriptions.cancel(name)

    def seen(name: str, **query: object) -> list[str]:
        return [row["status"] for row in shop.rows(by=name, **query)]

    assert [seen(each) for each in ("ann", "bob", "eve")] == [[], [], []]
    assert [seen(each, status="live") for each in ("ann", "bob", "eve")] == [["past_due"], ["unpaid"], []]
    assert [seen(each, status="all") for each in ("ann", "bob", "eve")] == [["past_due"], ["unpaid"], ["canceled"]]
    answer = shop.get("/subscription/list", {"status": "everything"})
    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")


@scenario(249)
def test_a_plan_that_is_gone_stays_in_the_list(open_shop: OpenShop) -> None:
    """Who bought a plan that is sold no more still sees it, without limits."""
    shop = open_shop()
    shop.subscribe("pro")
    wiring = (shop.billing._behind if shop.front == "asgi" else shop.billing)._wiring
    kept = wiring.core
    wiring.core = evolve(kept, offer=wiring.config.replace(plans=PLANS[:2]).offer())

    (row,) = shop.rows()

    assert (row["plan"], row["priceId"], row["status"]) == ("pro", "price_pro", "active")
    assert "limits" not in row
    wiring.core = kept


@scenario(250)
def test_the_price_of_a_lookup_key_is_told(open_shop: OpenShop) -> None:
    """A plan that names its price by a lookup key shows the price that was bought."""
    shop = open_shop(plans=(*PLANS, Plan("keyed", lookup_key="keyed_month")))
    product = shop.stripe.add_product("Keyed")
    params = {"product": product, "currency": "usd", "unit_amount": "1000", "lookup_key": "keyed_month"}
    price = Account(shop.stripe).post("/v1/prices", {**params, "recurring[interval]": "month"})
    shop.billing.catalog.sync()
    shop.subscribe("keyed")

    (row,) = shop.rows()
    assert (row["plan"], row["priceId"]) == ("keyed", price["id"])
