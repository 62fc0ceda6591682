"""Scenarios of organizations: their customers, what the dashboard does to them, their names, their end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernia_billing import Conflict, Plan, Reference
from kernia_billing.testing import Fault
from tests.contract.conftest import OpenShop
from tests.contract.dashboard import dashboard
from tests.contract.support import PLANS, Shop, scenario

ORG = {"referenceId": "org", "customerType": "organization"}
WHO = Reference("org", "organization")
KEYED = Plan("keyed", lookup_key="keyed_month", seats=True)
CREW = Plan("crew", price_id="price_crew", seats=True)


def customers(shop: Shop) -> list[dict[str, Any]]:
    """The customers that Stripe has."""
    return list(shop.stripe.state.world.table("customer").rows.values())


def named(organization: str) -> str | None:
    """`organization_name` of a host that has one organization."""
    return {"org": "Org & Sons"}.get(organization)


@scenario(158)
def test_the_first_upgrade_makes_a_customer(open_shop: OpenShop) -> None:
    """It is made under the organization's name, stored, and told of once."""
    told: list[Any] = []

    def created(customer: Any, theirs: Any) -> None:
        told.append((customer.reference, theirs["id"]))

    shop = open_shop(organization_name=named, on_organization_customer_create=created)
    shop.people.may("ann", "org")
    for _ in range(2):
        assert shop.upgrade(**ORG).status == 200

    (theirs,) = customers(shop)
    assert theirs["name"] == "Org & Sons"
    assert shop.billing.customers.get(WHO).stripe_id == theirs["id"]
    assert told == [(WHO, theirs["id"])]


@scenario(159)
def test_a_customer_that_is_known_is_used(open_shop: OpenShop) -> None:
    """An organization whose customer is linked gets no second one, and its name is not asked for."""
    asked: list[str] = []
    shop = open_shop(organization_name=asked.append)
    shop.people.may("ann", "org")
    known = dashboard(shop, "POST", "/v1/customers", {"name": "Old"})["id"]
    shop.billing.customers.link(WHO, known)
    shop.subscribe(**ORG)

    assert [each["id"] for each in customers(shop)] == [known]
    assert asked == []


@scenario(159)
def test_a_customer_that_names_the_organization_is_found(shop: Shop) -> None:
    """One that Stripe has and that says whose it is is taken, though our table does not know it."""
    known = dashboard(
        shop,
        "POST",
        "/v1/customers",
        {"metadata[organizationId]": "org", "metadata[customerType]": "organization"},
    )["id"]
    shop.stripe.advance(hours=1)
    shop.people.may("ann", "org")
    shop.subscribe(**ORG)

    assert [each["id"] for each in customers(shop)] == [known]


@scenario(160)
def test_what_the_host_adds_to_an_organization(open_shop: OpenShop) -> None:
    """The function, here in Better Auth's place for it, gets the organization; what it gives reaches Stripe."""
    seen: list[Any] = []

    def params(new: Any, context: Any) -> dict[str, Any]:
        seen.append((new.reference, new.name, context.user_id))
        return {"email": "billing@org.example", "metadata": {"tier": "gold", "organizationId": "eve"}}

    shop = open_shop(organization={"enabled": True, "get_customer_create_params": params}, organization_name=named)
    shop.people.may("ann", "org")
    shop.upgrade(**ORG)

    assert seen == [(WHO, "Org & Sons", "ann")]
    (theirs,) = customers(shop)
    assert theirs["email"] == "billing@org.example"
    assert {"tier": "gold", "organizationId": "org"}.items() <= theirs["metadata"].items()


@scenario(161)
def test_an_organization_that_nobody_knows(open_shop: OpenShop) -> None:
    """The host says that there is none: nothing is made."""
    shop = open_shop(organization_name=named)
    shop.people.may("ann", "other")
    refused = shop.upgrade(referenceId="other", customerType="organization")

    assert (refused.status, refused.code) == (400, "ORGANIZATION_NOT_FOUND")
    assert customers(shop) == []


@scenario(162)
def test_stripe_makes_no_customer(shop: Shop) -> None:
    """Stripe refuses: no page, and the next attempt may succeed."""
    shop.people.may("ann", "org")
    shop.stripe.faults.append(Fault("status", 400, method="POST", path="/v1/customers"))
    refused = shop.upgrade(**ORG)

    assert (refused.status, refused.code) == (400, "UNABLE_TO_CREATE_CUSTOMER")
    assert shop.upgrade(**ORG).status == 200
    assert len(customers(shop)) == 1


@scenario(163)
@pytest.mark.parametrize("option", ["organization_create_params", "on_organization_customer_create"])
def test_the_hosts_function_raises(open_shop: OpenShop, option: str) -> None:
    """Whatever it raises is told to nobody but the operator, and nothing is sold."""

    def broken(*_: object) -> Any:
        raise LookupError("a secret of the host's")

    shop = open_shop(**{option: broken})
    shop.people.may("ann", "org")
    refused = shop.upgrade(**ORG)

    assert (refused.status, refused.code) == (400, "UNABLE_TO_CREATE_CUSTOMER")
    assert b"secret" not in refused.body
    assert shop.calls("POST", "/v1/checkout") == []


@pytest.fixture
def told() -> list[tuple[str, Any]]:
    """What hooks were told, by their names."""
    return []


@pytest.fixture
def crew(open_shop: OpenShop, told: list[tuple[str, Any]]) -> Shop:
    """A shop at whose Stripe the organization "org" has a customer with a card, made in the dashboard."""

    def hook(name: str) -> Callable[[Any], None]:
        return lambda event: told.append((name, event))

    hooks = {f"on_subscription_{name}": hook(name) for name in ("created", "update", "cancel", "deleted")}
    shop = open_shop(plans=[*PLANS, CREW, KEYED], **hooks)
    shop.people.may("ann", "org")
    customer = shop.billing.customers.ensure(WHO, name="Org").stripe_id
    method = dashboard(shop, "POST", "/v1/payment_methods/pm_card_visa/attach", {"customer": customer})["id"]
    default = {"invoice_settings[default_payment_method]": method}
    dashboard(shop, "POST", f"/v1/customers/{customer}", default)
    return shop


def sold(shop: Shop, customer: str | None = None) -> Any:
    """A subscription of five seats, made in the dashboard."""
    owner = customer or shop.billing.customers.get(WHO).stripe_id
    items = {"items[0][price]": "price_crew", "items[0][quantity]": 5}
    return dashboard(shop, "POST", "/v1/subscriptions", {"customer": owner, **items})


@scenario(164, 165)
def test_a_subscription_made_in_the_dashboard(crew: Shop, told: list[tuple[str, Any]]) -> None:
    """The organization has a row with five seats, and the callback hears of row, Stripe's object and plan."""
    theirs = sold(crew)

    (row,) = crew.rows(**ORG)
    assert (row["plan"], row["seats"], row["stripeSubscriptionId"]) == ("crew", 5, theirs["id"])
    crew.billing.jobs.run()
    (event,) = [event for name, event in told if name == "created"]
    assert (event.subscription.plan, event.subscription.seats) == ("crew", 5)
    assert (event.reference, event.stripe_object["id"]) == (WHO, theirs["id"])


@scenario(166)
def test_changed_in_the_dashboard(crew: Shop, told: list[tuple[str, Any]]) -> None:
    """Another price, known by its lookup key, and other seats: the row follows, and the callback hears of it."""
    theirs = sold(crew)
    product = dashboard(crew, "POST", "/v1/products", {"name": "Keyed"})["id"]
    recurring = {"recurring[interval]": "month", "lookup_key": "keyed_month"}
    price = dashboard(
        crew, "POST", "/v1/prices", {"product": product, "currency": "usd", "unit_amount": 500, **recurring}
    )["id"]
    item = theirs["items"]["data"][0]["id"]
    changed = {"items[0][id]": item, "items[0][price]": price, "items[0][quantity]": 8}
    dashboard(crew, "POST", f"/v1/subscriptions/{theirs['id']}", changed)

    (row,) = crew.rows(**ORG)
    assert (row["plan"], row["seats"]) == ("keyed", 8)
    crew.billing.jobs.run()
    assert [event.subscription.plan for name, event in told if name == "update"][-1] == "keyed"


@scenario(167)
def test_a_cancellation_in_the_dashboard(crew: Shop, told: list[tuple[str, Any]]) -> None:
    """It is pending until the end of the period, and the callback hears of it with what the customer said."""
    theirs = sold(crew)
    given = {"cancel_at_period_end": "true", "cancellation_details[comment]": "too dear"}
    dashboard(crew, "POST", f"/v1/subscriptions/{theirs['id']}", given)

    (row,) = crew.rows(**ORG)
    assert (row["cancelAtPeriodEnd"], row["status"]) == (True, "active")
    crew.billing.jobs.run()
    (event,) = [event for name, event in told if name == "cancel"]
    assert event.stripe_object["cancellation_details"]["comment"] == "too dear"


@scenario(168)
def test_ended_in_the_dashboard(crew: Shop, told: list[tuple[str, Any]]) -> None:
    """It is over, with its dates, and the callback hears of it."""
    theirs = sold(crew)
    dashboard(crew, "DELETE", f"/v1/subscriptions/{theirs['id']}")

    found = crew.billing.subscriptions.get(WHO)
    assert (found.status, found.ended_at, found.canceled_at) == ("canceled", crew.stripe.now, crew.stripe.now)
    crew.billing.jobs.run()
    assert [event.subscription.status for name, event in told if name == "deleted"] == ["canceled"]


@scenario(169)
def test_a_users_customer_with_the_organizations_id(crew: Shop) -> None:
    """A user's customer is the user's, whatever metadata somebody gave it."""
    hers = crew.billing.customers.ensure("ann", email="ann@shop.example").stripe_id
    dashboard(crew, "POST", f"/v1/customers/{hers}", {"metadata[organizationId]": "other"})
    crew.stripe.advance(hours=1)
    crew.people.may("ann", "other")
    crew.upgrade(referenceId="other", customerType="organization")

    assert crew.billing.customers.get(Reference("other", "organization")).stripe_id != hers


@scenario(170)
def test_a_new_name(crew: Shop) -> None:
    """Stripe's customer is renamed; where nothing changed, nothing is sent."""
    before = len(crew.calls("POST", "/v1/customers/"))
    for _ in range(2):
        crew.billing.customers.update(WHO, name="Org & Daughters")

    assert customers(crew)[0]["name"] == "Org & Daughters"
    assert len(crew.calls("POST", "/v1/customers/")) == before + 1


@scenario(171)
def test_an_active_organization_is_not_deleted(crew: Shop) -> None:
    """It has to end its subscription first; nothing was changed."""
    sold(crew)
    with pytest.raises(Conflict) as refused:
        crew.billing.customers.delete(WHO)

    assert refused.value.code == "ORGANIZATION_HAS_ACTIVE_SUBSCRIPTION"
    assert len(crew.rows(**ORG)) == 1


@scenario(172)
def test_an_organization_whose_subscriptions_ended_is_deleted(crew: Shop) -> None:
    """What is over stands against nothing."""
    theirs = sold(crew)
    dashboard(crew, "DELETE", f"/v1/subscriptions/{theirs['id']}")

    assert crew.billing.customers.deletion_blockers(WHO) == ()
    assert crew.billing.customers.delete(WHO)
    assert crew.billing.customers.get(WHO) is None


@scenario(173)
def test_an_active_one_on_a_later_page(crew: Shop) -> None:
    """Behind a hundred that ended there is one that lives: it is found."""
    live = sold(crew)
    subscriptions = crew.stripe.state.world.table("subscription").rows
    for number in range(100):
        # Stripe lists the newest first.
        copy: dict[str, Any] = {**subscriptions[live["id"]], "id": f"sub_{number:014}", "status": "canceled"}
        copy["created"] += number + 1
        subscriptions[copy["id"]] = copy

    (blocker,) = crew.billing.customers.deletion_blockers(WHO)
    assert (blocker.kind, blocker.id) == ("subscription", live["id"])
    assert len(crew.calls("GET", "/v1/subscriptions")) >= 2


def test_unpaid_invoices_stand_against_it(crew: Shop) -> None:
    """R-244: what is open and what is not finished are told at once, and reading them changes nothing."""
    owner = crew.billing.customers.get(WHO).stripe_id
    draft = dashboard(crew, "POST", "/v1/invoices", {"customer": owner})
    before = len(crew.calls("POST"))

    assert [(each.kind, each.id) for each in crew.billing.customers.deletion_blockers(WHO)] == [
        ("invoice", draft["id"])
    ]
    assert len(crew.calls("POST")) == before
    with pytest.raises(Conflict) as refused:
        crew.billing.customers.delete(WHO)
    assert refused.value.code == "CUSTOMER_HAS_OPEN_INVOICES"
