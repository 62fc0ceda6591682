"""Scenarios of references: for whom a request acts, and who may."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Identity
from kernia_billing.http.routes import ROUTES
from tests.contract.conftest import OpenShop
from tests.contract.support import Shop, scenario

ORG = {"referenceId": "org", "customerType": "organization"}


def code(answer: Any) -> tuple[int, str | None]:
    """Status and code of a refusal."""
    return answer.status, answer.code


@scenario(50, 51)
@pytest.mark.parametrize("members", [{}, {"referenceId": "ann"}, {"referenceId": "ann", "customerType": "user"}])
def test_oneself(open_shop: OpenShop, members: dict[str, str]) -> None:
    """The caller's own id, said or not, needs nobody's leave."""
    shop = open_shop(authorize_reference=None)

    assert shop.upgrade(**members).status == 200
    assert shop.billing.customers.get("ann") is not None


@scenario(52)
def test_another_user_without_a_callback(open_shop: OpenShop) -> None:
    """Nobody acts for others where the host does not say who may."""
    shop = open_shop(authorize_reference=None)

    assert code(shop.upgrade(referenceId="bob")) == (400, "REFERENCE_ID_NOT_ALLOWED")
    assert shop.calls() == []


@scenario(53)
def test_another_user_and_a_no(shop: Shop) -> None:
    """The host said no."""
    assert code(shop.upgrade(referenceId="bob")) == (401, "UNAUTHORIZED")
    assert shop.people.asked == [("ann", "bob", "upgrade-subscription")]
    assert shop.calls() == []


@scenario(54)
def test_another_user_and_a_yes(shop: Shop) -> None:
    """The page is the target's, its metadata say who acted for whom, and what it sells is listed for the target."""
    shop.people.may("ann", "bob")
    page = shop.upgrade(referenceId="bob").json["url"]

    (session,) = shop.stripe.state.world.table("checkout.session").rows.values()
    assert {"userId": "ann", "referenceId": "bob"}.items() <= session["metadata"].items()
    assert session["customer"] == shop.billing.customers.get("bob").stripe_id
    shop.stripe.pay(page)
    assert shop.rows() == []
    (row,) = shop.rows(by="bob")
    assert (row["referenceId"], row["status"]) == ("bob", "active")


@scenario(55)
def test_an_organization_without_a_callback(open_shop: OpenShop) -> None:
    """Organizations need the host's word."""
    shop = open_shop(authorize_reference=None, subscription_for="organization")

    assert code(shop.upgrade(**ORG)) == (400, "AUTHORIZE_REFERENCE_REQUIRED")


@scenario(56)
def test_no_organization_at_all(shop: Shop) -> None:
    """Neither named nor active; Better Auth's name of the code stands beside ours."""
    refused = shop.upgrade(customerType="organization")

    assert code(refused) == (400, "REFERENCE_REQUIRED")
    assert refused.json["alias"] == "ORGANIZATION_REFERENCE_ID_REQUIRED"


@scenario(57)
def test_an_organization_and_a_no(shop: Shop) -> None:
    """The host said no."""
    assert code(shop.upgrade(**ORG)) == (401, "UNAUTHORIZED")


@scenario(58)
def test_organizations_are_off(open_shop: OpenShop) -> None:
    """An application that bills users, and lets nobody act for others, has no organizations."""
    shop = open_shop(authorize_reference=None)

    assert code(shop.upgrade(**ORG)) == (400, "ORGANIZATION_SUBSCRIPTION_NOT_ENABLED")


@scenario(59)
def test_an_organization_and_a_yes(shop: Shop) -> None:
    """What is bought is the organization's, and nobody's who bought it."""
    shop.people.may("ann", "org")
    shop.subscribe(**ORG)

    assert [row["referenceId"] for row in shop.rows(**ORG)] == ["org"]
    assert shop.rows() == []


@scenario(278)
def test_the_active_organization(shop: Shop) -> None:
    """Where no id is named the session's active organization is billed, and asked about."""
    shop.people.known["ann"] = Identity("ann", email="ann@shop.example", organization_id="org")
    shop.people.may("ann", "org")
    shop.subscribe(customerType="organization")

    assert [row["referenceId"] for row in shop.rows(customerType="organization")] == ["org"]
    assert ("ann", "org", "upgrade-subscription") in shop.people.asked


OWN_IDS = [
    (route.path, route.action)
    for route in ROUTES
    if route.path
    in (
        "/subscription/upgrade",
        "/subscription/cancel",
        "/subscription/restore",
        "/stripe/resume-subscription",
        "/subscription/resume",
        "/subscription/pause",
    )
]


@scenario(60, 211)
@pytest.mark.parametrize("path", [path for path, _ in OWN_IDS])
@pytest.mark.parametrize("which", ["id", "stripeSubscriptionId"])
def test_anothers_subscription_by_its_id(shop: Shop, path: str, which: str) -> None:
    """Bob, who knows the id of Ann's subscription, is told that there is none; Stripe hears nothing, her row stays."""
    shop.subscribe()
    (hers,) = shop.rows()
    before = len(shop.calls())
    refused = shop.post(path, {"plan": "starter", "returnUrl": "/", "subscriptionId": hers[which]}, by="bob")

    assert code(refused) in ((404, "SUBSCRIPTION_NOT_FOUND"), (400, "SUBSCRIPTION_NOT_FOUND"))
    assert len(shop.calls()) == before
    assert shop.rows() == [hers]


@scenario(61)
@pytest.mark.parametrize("path", [path for path, _ in OWN_IDS])
def test_the_organization_in_the_query_is_the_one(shop: Shop, path: str) -> None:
    """With one organization in the query and another one active, only the one that was authorized is acted on."""
    shop.people.known["ann"] = Identity("ann", email="ann@shop.example", email_verified=True, organization_id="active")
    shop.people.may("ann", "named", "active")
    for each in ("named", "active"):
        shop.subscribe(referenceId=each, customerType="organization")
    before = shop.rows(referenceId="active", customerType="organization")
    shop.people.asked.clear()
    calls = len(shop.calls())

    shop.post(f"{path}?referenceId=named&customerType=organization", {"plan": "starter", "returnUrl": "/"})
    assert [reference for _, reference, _ in shop.people.asked] == ["named"]
    assert shop.rows(referenceId="active", customerType="organization") == before
    other = before[0]["stripeSubscriptionId"]
    assert not [each for each in shop.calls()[calls:] if other in each.path and each.method != "GET"]


@scenario(62)
@pytest.mark.parametrize(("path", "action"), OWN_IDS)
def test_an_organization_that_the_caller_may_not_manage(shop: Shop, path: str, action: str) -> None:
    """Whoever has no leave is refused under the action's own name, and the organization keeps what it has."""
    shop.people.may("bob", "org")
    shop.subscribe(by="bob", **ORG)
    before = shop.rows(by="bob", **ORG)

    assert code(shop.post(path, {"plan": "starter", "returnUrl": "/", **ORG})) == (401, "UNAUTHORIZED")
    assert shop.people.asked[-1] == ("ann", "org", action)
    assert shop.rows(by="bob", **ORG) == before


@scenario(63)
@pytest.mark.parametrize("member", ["returnUrl", "successUrl", "cancelUrl"])
def test_a_foreign_address_to_return_to(shop: Shop, member: str) -> None:
    """Nobody is sent to another origin; Stripe hears nothing of it."""
    assert code(shop.upgrade(**{member: "https://evil.example/"})) == (403, "INVALID_CALLBACK_URL")
    assert shop.calls() == []
