"""What may be ordered, and what exactly is asked of Stripe for it."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Identity, InvalidInput, NotFound, Reference
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import ORIGIN, Shop

SESSIONS = "/v1/checkout/sessions"


def _items(shop: Shop) -> list[dict[str, Any]]:
    return list(shop.called("POST", SESSIONS)[-1].params["line_items"].values())


@pytest.mark.parametrize(
    ("plan", "options", "items"),
    [
        ("pro", {}, [{"price": "price_pro", "quantity": "1"}]),
        ("PRO", {"annual": True}, [{"price": "price_pro_year", "quantity": "1"}]),
        ("pro", {"seats": 4}, [{"price": "price_pro", "quantity": "4"}]),
        ("desk", {"seats": 3}, [{"price": "price_desk", "quantity": "3"}]),
        (
            "crew",
            {"seats": 5},
            [{"price": "price_crew", "quantity": "1"}, {"price": "price_crew_seat", "quantity": "5"}],
        ),
        (
            "crew",
            {"seats": 1},
            [{"price": "price_crew", "quantity": "1"}, {"price": "price_crew_seat", "quantity": "2"}],
        ),
        ("crew", {}, [{"price": "price_crew", "quantity": "1"}, {"price": "price_crew_seat", "quantity": "2"}]),
        ("metered", {}, [{"price": "price_metered"}]),
    ],
)
def test_lines_of_an_order(shop: Shop, plan: str, options: dict[str, Any], items: list[dict[str, Any]]) -> None:
    """Base price, seat price and quantities; a metered price has none, because Stripe refuses it."""
    opened = shop.upgrade("ann", plan, **options)
    assert _items(shop) == items
    shop.stripe.pay(opened)
    bought = shop.subscription()
    assert bought.plan == plan.lower()
    seats = {"crew": max(options.get("seats", 2), 2)}.get(plan, options.get("seats", 1))
    assert bought.seats == seats
    if plan == "crew":
        assert shop.billing.check("ann", "seats", seats)
        assert not shop.billing.check("ann", "seats", seats + 1)


@pytest.mark.parametrize("plan", ["team", "crew", "metered"])
def test_annual_without_an_annual_price_is_never_the_monthly_one(shop: Shop, plan: str) -> None:
    """A plan that is not sold by the year is PRICE_NOT_FOUND, and nothing is asked of Stripe that could sell it."""
    with pytest.raises(NotFound) as missing:
        shop.upgrade("ann", plan, annual=True)
    assert missing.value.code == "PRICE_NOT_FOUND"
    assert not shop.called("POST", SESSIONS)


@pytest.mark.parametrize("imported", [True, False])
@pytest.mark.parametrize(("annual", "price"), [(False, "keyed_month"), (True, "keyed_year")])
def test_lookup_keys_find_the_price_of_the_interval(shop: Shop, imported: bool, annual: bool, price: str) -> None:
    """The price with the key now is charged, from the import or asked of Stripe, and its subscription has the plan."""
    made = {key: _price(shop, key, interval) for key, interval in (("keyed_month", "month"), ("keyed_year", "year"))}
    shop.stripe.flush()
    if imported:
        shop.billing.catalog.sync()
    shop.stripe.pay(shop.upgrade("ann", "keyed", annual=annual))
    assert _items(shop) == [{"price": made[price], "quantity": "1"}]
    bought = shop.subscription()
    assert (bought.plan, bought.interval) == ("keyed", "year" if annual else "month")
    assert shop.billing.check("ann", "projects", 7)


def _price(shop: Shop, key: str, interval: str, **more: str) -> str:
    product = shop.stripe.add_product("Keyed")
    params = {
        "product": product,
        "currency": "usd",
        "unit_amount": "1500",
        "recurring[interval]": interval,
        "lookup_key": key,
        **more,
    }
    return str(shop.account.post("/v1/prices", params)["id"])


def test_a_lookup_key_that_moved_is_followed(shop: Shop) -> None:
    """The key was given to a new price: the new one is charged."""
    _price(shop, "keyed_month", "month")
    shop.billing.catalog.sync()
    newer = _price(shop, "keyed_month", "month", transfer_lookup_key="true")
    shop.stripe.flush()
    shop.upgrade("bob", "keyed")
    assert _items(shop) == [{"price": newer, "quantity": "1"}]


def test_a_lookup_key_that_nobody_has_is_no_price(shop: Shop) -> None:
    """Neither the import nor Stripe knows the key: PRICE_NOT_FOUND."""
    with pytest.raises(NotFound) as missing:
        shop.upgrade("ann", "keyed")
    assert missing.value.code == "PRICE_NOT_FOUND"


def test_a_mapped_price_of_an_unpriced_plan_is_not_sold(shop: Shop) -> None:
    """A plan without a configured price is free by configuration: it is shown, granted, and not sold."""
    with pytest.raises(InvalidInput) as refusal:
        shop.upgrade("ann", "free")
    assert refusal.value.field == "plan"


def test_a_trial_is_given_once(shop: Shop) -> None:
    """A reference has one trial ever: after it neither the same nor another plan gets one, and others still do."""
    opened = shop.upgrade("ann", "trial")
    assert shop.called("POST", SESSIONS)[-1].params["subscription_data"]["trial_period_days"] == "14"
    assert shop.stripe.pay(opened).status == "trialing"
    shop.account.delete(f"/v1/subscriptions/{shop.subscription().stripe_id}")
    shop.stripe.flush()
    again = shop.upgrade("ann", "trial")
    assert "trial_period_days" not in shop.called("POST", SESSIONS)[-1].params["subscription_data"]
    assert shop.stripe.pay(again).status == "active"
    shop.upgrade("bob", "trial")
    assert shop.called("POST", SESSIONS)[-1].params["subscription_data"]["trial_period_days"] == "14"


def test_a_trial_that_ended_unheard_of_counts_too(quiet_shop: Shop) -> None:
    """The trial was had and its end was heard of; linking the customer to a new database knows of it as well."""
    shop = quiet_shop
    customer = str(shop.billing.customers.ensure("ann").stripe_id)
    had = shop.account.buy("price_pro", customer=customer, **{"subscription_data[trial_period_days]": "7"})
    shop.stripe.deliver(*shop.event_ids("customer.subscription.created"))
    shop.account.delete(f"/v1/subscriptions/{had['id']}")
    shop.upgrade("ann", "trial")
    assert "trial_period_days" not in shop.called("POST", SESSIONS)[-1].params["subscription_data"]


@pytest.mark.parametrize(
    "key",
    [
        "userId",
        "referenceId",
        "subscriptionid",
        "CUSTOMERTYPE",
        "organizationId",
        "kernia_intent",
        "__proto__",
        "a b",
        "",
    ],
)
def test_reserved_metadata_is_refused(shop: Shop, key: str) -> None:
    """A client cannot name our members in any case, nor names that break readers; nothing is asked of Stripe."""
    with pytest.raises(InvalidInput) as refusal:
        shop.upgrade("ann", "pro", metadata={key: "x"})
    assert refusal.value.field.startswith("metadata")
    assert not shop.stripe.requests


def test_the_plan_in_the_metadata_is_ours(shop: Shop) -> None:
    """`plan` is what was ordered, whatever the client wrote under that name."""
    shop.upgrade("ann", "pro", metadata={"plan": "team", "PLAN": "team", "note": "x"})
    metadata = shop.called("POST", SESSIONS)[-1].params["metadata"]
    assert (metadata["plan"], metadata["note"]) == ("pro", "x")
    assert "PLAN" not in metadata


BAD = [
    ({"plan": "nosuch"}, NotFound, "PLAN_NOT_FOUND"),
    ({"plan": ""}, NotFound, "PLAN_NOT_FOUND"),
    ({"plan": 5}, InvalidInput, "plan"),
    ({"seats": 0}, InvalidInput, "seats"),
    ({"seats": -1}, InvalidInput, "seats"),
    ({"seats": True}, InvalidInput, "seats"),
    ({"seats": 1.0}, InvalidInput, "seats"),
    ({"seats": 10_001}, InvalidInput, "seats"),
    ({"plan": "crew", "seats": 21}, InvalidInput, "seats"),
    ({"annual": 1}, InvalidInput, "annual"),
    ({"annual": "yes"}, InvalidInput, "annual"),
    ({"locale": ""}, InvalidInput, "locale"),
    ({"locale": "x" * 21}, InvalidInput, "locale"),
    ({"locale": "dé"}, InvalidInput, "locale"),
    ({"metadata": [("a", "b")]}, InvalidInput, "metadata"),
    ({"metadata": {"a": 1}}, InvalidInput, "metadata.a"),
    ({"metadata": {"a": "x" * 501}}, InvalidInput, "metadata.a"),
    ({"metadata": {str(number): "x" for number in range(21)}}, InvalidInput, "metadata"),
    ({"success_url": "javascript:alert(1)"}, InvalidInput, "success_url"),
    ({"success_url": ""}, InvalidInput, "success_url"),
    ({"cancel_url": "//evil.example"}, InvalidInput, "cancel_url"),
    ({"cancel_url": None}, InvalidInput, "cancel_url"),
    ({"reference": ""}, InvalidInput, "reference"),
    ({"reference": "x" * 256}, InvalidInput, "reference"),
    ({"reference": "a\x00b"}, InvalidInput, "reference"),
    ({"reference": None}, InvalidInput, "reference"),
]


@pytest.mark.parametrize(("wrong", "error", "what"), BAD)
def test_bad_input_is_told_by_name_and_changes_nothing(
    shop: Shop, wrong: dict[str, Any], error: type[Exception], what: str
) -> None:
    """Every argument out of its range gives a typed error before anything is stored or sent."""
    shop.billing.jobs.run()
    before = shop.rows()
    options = {"reference": "ann", "plan": "pro", **wrong}
    with pytest.raises(error) as refusal:
        shop.upgrade(**options)
    assert what in (getattr(refusal.value, "code", None), getattr(refusal.value, "field", None))
    assert (shop.rows(), list(shop.stripe.requests)) == (before, [])


def test_relative_addresses_become_absolute(shop: Shop) -> None:
    """Stripe wants absolute addresses: relative ones are of the application's own origin, and its template is kept."""
    shop.upgrade(success_url="/a?b=c&s={CHECKOUT_SESSION_ID}", cancel_url=f"{ORIGIN}/plans#x")
    params = shop.called("POST", SESSIONS)[-1].params
    assert params["success_url"] == f"{ORIGIN}/a?b=c&s={{CHECKOUT_SESSION_ID}}"
    assert params["cancel_url"] == f"{ORIGIN}/plans#x"


def test_an_organization_is_sold_to_by_a_person(open_shop: Open) -> None:
    """The buyer's id stands in the metadata; the customer is the organization's, without the buyer's e-mail or name."""
    shop = open_shop(subscription_for="organization")
    identity = Identity("ann", email="ann@example.com", organization_id="org_1")
    shop.stripe.pay(shop.upgrade("org_1", "pro", identity=identity))
    params = shop.called("POST", SESSIONS)[-1].params
    assert (params["metadata"]["userId"], params["metadata"]["customerType"]) == ("ann", "organization")
    assert params["customer_update"] == {"address": "auto"}
    assert shop.objects("customer")[0]["metadata"]["organizationId"] == "org_1"
    assert shop.subscription("org_1").reference == Reference("org_1", "organization")


@pytest.mark.parametrize("reference", ["user 1", "a/b?c=d&e", "ümläut-ß-日本", "x" * 255, "'; DROP TABLE x; --"])
def test_any_reference_can_buy(shop: Shop, reference: str) -> None:
    """References are the host's own texts: whatever they look like, they reach Stripe whole and come back."""
    bought = shop.buy(reference, "pro")
    assert bought.reference.id == reference
    params = shop.called("POST", SESSIONS)[-1].params
    assert params["metadata"]["referenceId"] == reference
    assert params.get("client_reference_id") == (reference if len(reference) <= 200 else None)
