"""Scenarios of customers: sign-up, reuse by address, what hosts add, changes."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Conflict, Identity, InvalidInput, NotFound, Reference
from kernia_billing.testing import Fault
from tests.contract.conftest import OpenShop
from tests.contract.dashboard import dashboard, hurried
from tests.contract.support import Shop, scenario

ANN = Identity("ann", email="ann@shop.example", email_verified=True)
ORG = Reference("org", "organization")


def stripes(shop: Shop) -> list[dict[str, Any]]:
    """The customers that Stripe has."""
    return list(shop.stripe.state.world.table("customer").rows.values())


def existing(shop: Shop, email: str = "ann@shop.example", **metadata: str) -> str:
    """A customer that Stripe has had for so long that a search shows it; its id."""
    params = {"email": email, **{f"metadata[{key}]": value for key, value in metadata.items()}}
    made = dashboard(shop, "POST", "/v1/customers", params)
    shop.stripe.advance(hours=1)
    return str(made["id"])


def sign_up(shop: Shop, identity: Identity = ANN, **more: Any) -> str | None:
    """Somebody signs up; the Stripe customer."""
    customer = shop.billing.customers.signed_up(identity, **more)
    return None if customer is None else customer.stripe_id


@scenario(29, 35, 37, 47)
def test_sign_up_makes_a_customer(shop: Shop) -> None:
    """Stripe is searched, then has a customer with address, name and whose it is, and our row names it."""
    stripe_id = sign_up(shop, name="Ann")

    (theirs,) = stripes(shop)
    assert (theirs["id"], theirs["email"], theirs["name"]) == (stripe_id, "ann@shop.example", "Ann")
    assert {"userId": "ann", "customerType": "user"}.items() <= theirs["metadata"].items()
    assert shop.billing.customers.get("ann").stripe_id == stripe_id
    search, made = shop.calls(path="/v1/customers")
    assert (search.path, made.method) == ("/v1/customers/search", "POST")
    assert set(made.params) == {"email", "name", "metadata"}


@scenario(30)
def test_sign_up_then_upgrade(shop: Shop) -> None:
    """The upgrade uses the customer of the sign-up."""
    stripe_id = sign_up(shop)
    shop.subscribe()

    assert [each["id"] for each in stripes(shop)] == [stripe_id]


@scenario(31)
def test_a_new_address(shop: Shop) -> None:
    """Another address goes to Stripe, once; the same address again is no change."""
    sign_up(shop, name="Ann")
    for _ in range(2):
        shop.billing.customers.update("ann", email="new@shop.example")

    (theirs,) = stripes(shop)
    assert (theirs["email"], theirs["name"]) == ("new@shop.example", "Ann")
    assert shop.billing.customers.get("ann").email == "new@shop.example"
    changes = list(shop.calls("POST", "/v1/customers/"))
    assert [dict(each.params) for each in changes] == [{"email": "new@shop.example"}]


@scenario(32, 33, 34)
def test_what_the_host_adds(open_shop: OpenShop) -> None:
    """Its function gets the user and the context; what it gives is sent whole, under what is ours."""
    seen: list[Any] = []

    def params(new: Any, context: Any) -> dict[str, Any]:
        seen.append((new.reference.id, new.email, new.name, context))
        metadata = {"userId": "eve", "customerType": "organization", "team": "red"}
        return {"address": {"city": "Rome", "country": "IT"}, "phone": "+39 1", "email": "x@x", "metadata": metadata}

    shop = open_shop(get_customer_create_params=params)
    sign_up(shop, name="Ann", context={"ip": "1.2.3.4"})

    assert seen == [("ann", "ann@shop.example", "Ann", {"ip": "1.2.3.4"})]
    (theirs,) = stripes(shop)
    assert (theirs["email"], theirs["phone"]) == ("ann@shop.example", "+39 1")
    assert (theirs["address"]["city"], theirs["address"]["country"]) == ("Rome", "IT")
    assert {"userId": "ann", "customerType": "user", "team": "red"}.items() <= theirs["metadata"].items()


@scenario(36, 45)
@pytest.mark.parametrize("way", ["sign-up", "upgrade"])
def test_a_customer_with_the_verified_address(shop: Shop, way: str) -> None:
    """A Stripe customer that nobody owns is taken over with its verified address, and says since whose it is."""
    known = existing(shop)
    sign_up(shop) if way == "sign-up" else shop.upgrade()

    (theirs,) = stripes(shop)
    assert theirs["id"] == known == shop.billing.customers.get("ann").stripe_id
    assert theirs["metadata"]["userId"] == "ann"


@scenario(48)
def test_checkout_uses_what_search_finds(shop: Shop) -> None:
    """The page belongs to the customer that was there, and its subscription is the reference's."""
    known = existing(shop)
    shop.subscribe()

    assert shop.billing.subscriptions.get("ann").stripe_customer_id == known


@scenario(38)
def test_an_organization_has_the_address(shop: Shop) -> None:
    """A user never gets the customer of an organization; the search leaves those out."""
    theirs = existing(shop, organizationId="org", customerType="organization")

    assert sign_up(shop) not in (None, theirs)
    (search,) = shop.calls("GET", "/v1/customers/search")
    assert '-metadata["customerType"]:"organization"' in search.params["query"]


@scenario(39)
def test_both_have_the_address(shop: Shop) -> None:
    """Of a user's and an organization's customer the user's is linked."""
    existing(shop, organizationId="org", customerType="organization")
    mine = existing(shop, customerType="user")

    assert sign_up(shop) == mine


@scenario(40)
def test_an_organizations_customer(open_shop: OpenShop) -> None:
    """It says that it is an organization's, and of which."""
    shop = open_shop(organization_name={"org": "Org & Sons"}.get)
    shop.people.may("ann", "org")
    shop.upgrade(referenceId="org", customerType="organization")

    (theirs,) = stripes(shop)
    assert {"organizationId": "org", "customerType": "organization"}.items() <= theirs["metadata"].items()
    assert (theirs["name"], theirs["email"]) == ("Org & Sons", None)


@scenario(41, 42)
@pytest.mark.parametrize("way", ["sign-up", "upgrade"])
def test_no_search_in_the_region(shop: Shop, way: str) -> None:
    """Where Stripe refuses to search, one page of the customers with that address is read."""
    known = existing(shop)
    existing(shop, "other@shop.example")
    shop.stripe.faults.append(Fault("status", 400, method="GET", path="/v1/customers/search"))
    sign_up(shop) if way == "sign-up" else shop.upgrade()

    assert shop.billing.customers.get("ann").stripe_id == known
    lists = [each for each in shop.calls("GET", "/v1/customers") if each.path == "/v1/customers"]
    assert [each.params["email"] for each in lists] == ["ann@shop.example"]


@scenario(43, 46, 225)
@pytest.mark.parametrize("way", ["sign-up", "upgrade"])
@pytest.mark.parametrize("owner", ["userId", "referenceId"])
def test_a_customer_of_another_user(shop: Shop, way: str, owner: str) -> None:
    """A customer that says it is somebody else's is left alone."""
    theirs = existing(shop, **{owner: "eve"})
    sign_up(shop) if way == "sign-up" else shop.upgrade()

    assert shop.billing.customers.get("ann").stripe_id not in (None, theirs)


@scenario(225)
def test_a_customer_that_is_linked_here(shop: Shop) -> None:
    """A customer of which our table says that it is another's is left alone, whatever Stripe says of it."""
    theirs = existing(shop)
    shop.billing.customers.link("eve", theirs)

    assert sign_up(shop) not in (None, theirs)


@scenario(44, 225)
@pytest.mark.parametrize("way", ["sign-up", "upgrade"])
def test_an_address_that_nobody_verified(shop: Shop, way: str) -> None:
    """Whoever merely claims an address gets an own customer."""
    theirs = existing(shop)
    shop.people.known["ann"] = Identity("ann", email="ann@shop.example")
    sign_up(shop, shop.people.known["ann"]) if way == "sign-up" else shop.upgrade()

    assert shop.billing.customers.get("ann").stripe_id not in (None, theirs)
    assert shop.calls("GET", "/v1/customers/search") == []


@scenario(36)
def test_reuse_can_be_switched_off(open_shop: OpenShop) -> None:
    """With `reuse_customers_by_email=False` nobody is looked for."""
    shop = open_shop(reuse_customers_by_email=False)
    theirs = existing(shop)

    assert sign_up(shop) not in (None, theirs)


@scenario(49)
@pytest.mark.parametrize("raises", [False, True], ids=["well", "raises"])
def test_the_host_hears_of_a_new_customer(open_shop: OpenShop, raises: bool) -> None:
    """Once, with our customer and Stripe's, whose metadata say whose it is; what it raises stops nobody."""
    told: list[Any] = []

    def created(customer: Any, theirs: Any) -> None:
        told.append((customer.reference.id, customer.stripe_id == theirs["id"], theirs["metadata"]["userId"]))
        if raises:
            raise LookupError("the host's own affair")

    shop = open_shop(on_customer_create=created)
    for _ in range(2):
        assert shop.upgrade().status == 200

    assert told == [("ann", True, "ann")]


@scenario(224)
@pytest.mark.parametrize(("status", "answered"), [(400, 400), (500, 503)])
def test_stripe_makes_no_customer(shop: Shop, status: int, answered: int) -> None:
    """Refused it is a 400, unavailable a 503 that may be repeated; nothing was sold, and later it works."""
    hurried(shop)
    times = 1 if status == 400 else 3
    shop.stripe.faults.append(Fault("status", status, method="POST", path="/v1/customers", times=times))

    refused = shop.upgrade()
    assert (refused.status, refused.json["code"]) == (answered, "UNABLE_TO_CREATE_CUSTOMER")
    assert shop.rows() == []
    assert shop.upgrade().status == 200
    assert len(stripes(shop)) == 1


@scenario(226)
def test_sign_up_while_stripe_is_down(shop: Shop) -> None:
    """The sign-up goes on, and the first purchase makes the customer."""
    hurried(shop)
    shop.stripe.faults.append(Fault("timeout_before", path="/v1/customers*", times=100))
    assert sign_up(shop) is None

    shop.stripe.faults.clear()
    shop.subscribe()
    assert [each["email"] for each in stripes(shop)] == ["ann@shop.example"]


def test_no_customer_on_sign_up(open_shop: OpenShop) -> None:
    """With the option off, Stripe hears of nobody before they buy."""
    shop = open_shop(create_customer_on_sign_up=False)

    assert sign_up(shop) is None
    assert shop.calls() == []


def test_phone_and_address(shop: Shop) -> None:
    """Members of an address change one by one; None empties one."""
    sign_up(shop)
    shop.billing.customers.update("ann", phone="+39 1", address={"city": "Rome", "country": "IT"})
    shop.billing.customers.update("ann", address={"city": None})

    (theirs,) = stripes(shop)
    assert theirs["phone"] == "+39 1"
    assert (theirs["address"]["city"], theirs["address"]["country"]) == (None, "IT")


def test_changes_that_cannot_be(shop: Shop) -> None:
    """Nobody who was never billed is changed, and nothing that is no address is sent."""
    with pytest.raises(NotFound):
        shop.billing.customers.update("ann", name="Ann")
    sign_up(shop)
    for wrong in ({"address": {"planet": "Mars"}}, {"address": "Rome"}, {"phone": "1" * 21}, {"email": ""}):
        with pytest.raises(InvalidInput):
            shop.billing.customers.update("ann", **wrong)


@scenario(279)
@pytest.mark.parametrize("policy", ["refuse", "cancel"])
def test_a_user_with_a_subscription_goes(shop: Shop, policy: str) -> None:
    """By the policy it is refused, with the reasons, or everything ends; the records stay and say of whom no more."""
    shop.subscribe()
    blockers = shop.billing.customers.deletion_blockers("ann")
    assert [each.kind for each in blockers] == ["subscription"]

    if policy == "refuse":
        with pytest.raises(Conflict) as refused:
            shop.billing.customers.delete("ann")
        assert refused.value.code == "USER_HAS_ACTIVE_SUBSCRIPTION"
        assert [row["status"] for row in shop.rows()] == ["active"]
        return
    assert shop.billing.customers.delete("ann", policy="cancel")
    assert shop.rows() == []
    assert shop.billing.customers.get("ann") is None
    assert [each["deleted"] for each in stripes(shop)] == [True]
    (left,) = shop.billing.customers.list().items
    assert (left.email, left.stripe_id, left.subscription.status) == (None, None, "canceled")
    assert not shop.billing.customers.delete("ann")


def test_a_deletion_that_failed_half_way(shop: Shop) -> None:
    """R-245: whatever failed, the same call goes on, and what is done already counts as done."""
    shop.subscribe()
    hurried(shop)
    shop.stripe.faults.append(Fault("timeout_after", method="DELETE", path="/v1/customers/*", times=3))
    with pytest.raises(Exception, match="Stripe"):
        shop.billing.customers.delete("ann", policy="cancel")

    assert shop.billing.customers.delete("ann", policy="cancel")
    assert shop.billing.customers.get("ann") is None
    shop.subscribe()
    assert len(shop.rows()) == 1
