"""Scenarios 1 to 28: what the plugin brings, and the metadata that it writes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from attrs import frozen

from kernia_billing import ConfigError, Identity, NotFound, Plan, Reference
from kernia_billing._drive import run_blocking
from kernia_billing.domain.metadata import merge
from tests.contract.conftest import OpenShop
from tests.contract.support import PLANS, Shop, scenario
from tests.integrations.sites import blocking_billing
from tests.simulator.shop import Shop as Account


def account(shop: Shop) -> Account:
    """The shop's account at Stripe, for requests that are not the library's."""
    return Account(shop.stripe._behind if shop.front == "asgi" else shop.stripe)


@scenario(1)
def test_the_webhook_is_there_without_anything_to_sell(open_shop: OpenShop) -> None:
    """Stripe is answered although nothing is sold; subscriptions themselves cannot be switched off."""
    shop = open_shop(plans=())
    with pytest.raises(ConfigError, match="cannot be switched off"):
        blocking_billing(subscription={"enabled": False})

    assert shop.ask("POST", "/stripe/webhook", b"{}", by=None).json["code"] == "INVALID_SIGNATURE"
    assert shop.upgrade("pro").json["code"] == "PLAN_NOT_FOUND"


ROUTES = {
    "/subscription/upgrade": "POST",
    "/subscription/cancel": "POST",
    "/subscription/restore": "POST",
    "/subscription/list": "GET",
    "/subscription/success": "GET",
    "/subscription/billing-portal": "POST",
}


@scenario(2)
@pytest.mark.parametrize("path", ROUTES)
def test_the_routes_of_subscriptions_are_there(shop: Shop, path: str) -> None:
    """By their own method; by the other one they say which it is."""
    method, other = (ROUTES[path], "GET" if ROUTES[path] == "POST" else "POST")
    refused = shop.ask(other, path, by=None)

    assert shop.ask(method, path, {} if method == "POST" else None, by=None).status in (302, 401)
    assert refused.status == 405
    assert method in refused.headers["allow"]


@scenario(3)
def test_who_is_billed_has_a_stripe_customer(shop: Shop) -> None:
    """The id is null before somebody was billed, and there afterwards."""
    assert shop.get("/billing/customer").json["stripeCustomerId"] is None
    made = shop.billing.customers.ensure("ann", email="ann@shop.example")

    assert made.stripe_id.startswith("cus_")
    assert shop.get("/billing/customer").json["stripeCustomerId"] == made.stripe_id


@frozen
class Member(Identity):
    """A host's identity with a field of its own."""

    nickname: str = ""


@scenario(4)
def test_the_hosts_own_fields_stay(open_shop: OpenShop) -> None:
    """Next to what the host knows of a user, which its own functions get as it gave it."""
    seen: list[object] = []

    def authorize(identity: Identity, reference: str, action: str) -> bool:
        seen.append((identity, reference, action))
        return True

    shop = open_shop(authorize_reference=authorize)
    ann = Member("ann", email="ann@shop.example", email_verified=True, nickname="A")
    shop.people.known["ann"] = ann
    shop.subscribe()

    assert shop.get("/billing/customer").json["stripeCustomerId"].startswith("cus_")
    assert shop.get("/billing/customer", {"referenceId": "bob"}).status == 200
    assert seen == [(ann, "bob", "read-customer")]


@scenario(5, 6, 7, 8)
@pytest.mark.parametrize("id", ['a"b', "plain", 'a"b"c"', 'a\\"b\\', "a' OR metadata['x']:'y"])
def test_nothing_that_is_searched_for_can_be_more_than_a_value(shop: Shop, id: str) -> None:
    """Nobody is looked for by a search query, so that nothing has to be escaped: ids arrive at Stripe as they are."""
    made = shop.billing.customers.ensure(Reference(id, "user"), email="ann@shop.example")

    assert not [each for each in shop.calls() if "search" in each.path]
    (sent,) = shop.calls("POST", "/v1/customers")
    assert account(shop).get(f"/v1/customers/{made.stripe_id}")["metadata"]["userId"] == id
    assert sent.path == "/v1/customers"
    assert shop.billing.customers.get(Reference(id, "user")).stripe_id == made.stripe_id
    assert shop.billing.customers.get("ann") is None


ITEMS = {
    "one item of a plan": (["price_pro"], "pro"),
    "one item of no plan": (["price_unknown"], None),
    "several, one of them of a plan": (["price_unknown", "price_starter"], "starter"),
    "several of no plan": (["price_unknown", "price_unknown_too"], None),
    "an item whose lookup key is a plan's": (["price_keyed"], "keyed"),
}


@scenario(9, 11, 12, 13, 14)
@pytest.mark.parametrize("name", ITEMS)
def test_which_plan_the_items_of_a_subscription_sell(open_shop: OpenShop, name: str) -> None:
    """That of the item whose price, or lookup key, is a plan's; none where there is no such item."""
    prices, plan = ITEMS[name]
    shop = open_shop(plans=(*PLANS, Plan("keyed", lookup_key="keyed_month")))
    stripe = account(shop)
    product = stripe.post("/v1/products", {"name": "Other"})["id"]
    named = {
        each: stripe.post(
            "/v1/prices",
            {
                "product": product,
                "currency": "usd",
                "unit_amount": 500,
                "recurring[interval]": "month",
                **({"lookup_key": "keyed_month"} if each == "price_keyed" else {}),
            },
        )["id"]
        for each in ("price_unknown", "price_unknown_too", "price_keyed")
    }
    customer = shop.billing.customers.ensure("ann").stripe_id
    items = {f"items[{index}][price]": named.get(each, each) for index, each in enumerate(prices)}
    made = stripe.post(
        "/v1/subscriptions",
        {"customer": customer, "collection_method": "send_invoice", "days_until_due": 30, **items},
    )

    shop.billing.sync.reference("ann")
    (found,) = shop.billing.subscriptions.list("ann")
    assert (found.stripe_id, found.plan, found.status) == (made["id"], plan, "active")


@scenario(10)
def test_a_subscription_without_items_sells_nothing() -> None:
    """Stripe has none such, but an event may be cut."""
    from kernia_billing.domain.subscriptions import StripeSubscription
    from kernia_billing.operations.plans import sold_by

    billing, _ = blocking_billing()
    with billing:
        core = billing._wiring.core
        empty: Any = StripeSubscription.__new__(StripeSubscription)
        object.__setattr__(empty, "items", ())
        object.__setattr__(empty, "metadata", {})
        assert run_blocking(core.store.read(lambda tx: sold_by(core, tx, empty))) is None


INTERNAL = {"userId": "u1", "customerType": "user", "subscriptionId": "s1", "referenceId": "r1"}


@scenario(15, 16, 17, 18, 19, 21)
def test_metadata_of_others_never_passes_for_ours() -> None:
    """Names that corrupt objects are dropped, ours win in any case, and everything else stays."""
    theirs = {
        "__proto__": "x",
        "constructor": "x",
        "prototype": "x",
        "userId": "evil",
        "USERID": "evil",
        "customerType": "organization",
        "subscriptionId": "evil",
        "referenceId": "evil",
        "team": "kept",
    }

    assert merge(theirs, INTERNAL) == {**INTERNAL, "team": "kept"}
    assert merge({"team": "kept"}, {}) == {"team": "kept"}
    assert not hasattr(type("", (), {})(), "polluted")


@scenario(15, 16, 17, 18)
@pytest.mark.parametrize("key", ["__proto__", "constructor", "prototype", "userId", "referenceId", "kernia_intent"])
def test_a_client_cannot_send_such_names(shop: Shop, key: str) -> None:
    """They are refused with their name, before Stripe is asked for a page."""
    answer = shop.ask("POST", "/subscription/upgrade", f'{{"plan": "pro", "metadata": {{"{key}": "x"}}}}'.encode())

    assert (answer.status, answer.json["code"]) == (400, "VALIDATION_ERROR")
    assert answer.json["field"] == f"metadata.{key}"
    assert not shop.calls("POST")


@scenario(19, 20, 23)
def test_the_metadata_of_a_customer(shop: Shop) -> None:
    """Its e-mail and whose it is, and nothing else beside the name of the request that made it."""
    shop.subscribe("pro", metadata={"team": "red"})

    (sent,) = shop.calls("POST", "/v1/customers")
    found = account(shop).get(f"/v1/customers/{shop.get('/billing/customer').json['stripeCustomerId']}")
    ours = {name: value for name, value in found["metadata"].items() if not name.startswith("kernia_")}
    assert found["email"] == "ann@shop.example"
    assert {"userId": "ann", "customerType": "user"}.items() <= ours.items()
    assert set(ours) <= {"userId", "organizationId", "customerType", "referenceId"}
    assert sent.path == "/v1/customers"


@scenario(21, 22, 24)
def test_the_metadata_of_a_subscription(shop: Shop) -> None:
    """A checkout has a URL and our customer; the subscription it makes says whose it is, beside the client's own."""
    opened = shop.upgrade("pro", metadata={"team": "red"}).json
    shop.stripe.pay(opened["url"])

    session = account(shop).get(f"/v1/checkout/sessions/{opened['id']}")
    subscription = account(shop).get(f"/v1/subscriptions/{session['subscription']}")
    (row,) = shop.rows()
    assert opened["url"].startswith("https://checkout.stripe.com/")
    assert session["customer"] == subscription["customer"] == row["stripeCustomerId"]
    wanted = {"userId": "ann", "referenceId": "ann", "subscriptionId": row["id"], "team": "red"}
    assert wanted.items() <= subscription["metadata"].items()


@scenario(25)
def test_a_subscription_that_stripe_does_not_know(shop: Shop) -> None:
    """The client of the REST API says 404, as an error that names what is missing."""
    core = shop.billing._wiring.core
    if shop.front == "asgi":
        with asyncio.Runner() as runner, pytest.raises(NotFound) as caught:
            runner.run(core.provider().request("GET", "/v1/subscriptions/sub_nothing"))
    else:
        with pytest.raises(NotFound) as caught:
            run_blocking(core.provider().request("GET", "/v1/subscriptions/sub_nothing"))

    assert (caught.value.status, caught.value.code) == (404, "RESOURCE_MISSING")


@scenario(26, 27, 28)
def test_signatures(open_shop: OpenShop) -> None:
    """A good one passes; a wrong MAC and a time outside of the tolerance, in both directions, have one answer."""
    shop = open_shop(deliver="manual")
    shop.upgrade()
    event = next(iter(shop.stripe.events))
    body = json.dumps(event).encode()
    stamp, _, digest = shop.stripe.sign(body).partition(",v1=")
    at = int(stamp.removeprefix("t="))
    for signature in (
        f"{stamp},v1={'0' * 64}",
        f"t={at - 301},v1={digest}",
        shop.stripe.sign(body, shop.stripe.now.replace(year=2020)),
        shop.stripe.sign(body, shop.stripe.now.replace(year=2040)),
    ):
        refused = shop.webhook(event, signature=signature)
        assert (refused.status, refused.json["code"]) == (400, "INVALID_SIGNATURE")
        assert refused.json["message"] == "The webhook signature could not be verified"
    assert shop.webhook(event).json == {"received": True}
