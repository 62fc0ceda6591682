"""Customers that an application has at Stripe already are taken over by what says whose they are, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from kernia_billing import InvalidInput, Reference
from kernia_billing.domain.reports import Adoption, AdoptionReport, LeftAlone
from kernia_billing.testing import Fault
from tests.healing.story import differences, errors
from tests.webhooks.shop import Shop, opened


@pytest.fixture
def silent(make_database: Callable[[str], str], engine_name: str) -> Iterator[Shop]:
    """An application on each database that hears nothing."""
    with opened(Shop(make_database(engine_name), deliver="manual")) as shop:
        yield shop


def _customer(shop: Shop, **metadata: str) -> str:
    fields = {f"metadata[{name}]": value for name, value in metadata.items()}
    made = shop.account.post("/v1/customers", {"email": "ann@shop.example", "payment_method": "pm_card_visa", **fields})
    return str(made["id"])


def _subscribe(shop: Shop, stripe_customer_id: str, price: str) -> str:
    (card,) = [each for each in shop.objects("payment_method") if each["customer"] == stripe_customer_id]
    form = {"customer": stripe_customer_id, "items[0][price]": price, "default_payment_method": card["id"]}
    return str(shop.account.post("/v1/subscriptions", form)["id"])


def _adopted(report: AdoptionReport) -> dict[str, Reference]:
    return {each.stripe_customer_id: each.reference for each in report.adopted}


def _left(report: AdoptionReport) -> dict[str, str]:
    return {each.stripe_customer_id: each.reason for each in report.left}


def test_whose_a_customer_is_stands_in_its_metadata(silent: Shop) -> None:
    """Better Auth's, Kernia's and our own; whoever says nothing, two things or nonsense is left alone."""
    shop = silent
    user = _customer(shop, userId="ann", customerType="user")
    organization = _customer(shop, organizationId="org_1", customerType="organization")
    ours = _customer(shop, userId="bob", referenceId="bob", customerType="user")
    python = _customer(shop, reference_id="cat")
    plain = _customer(shop, referenceId="dan")
    nothing = _customer(shop)
    two = _customer(shop, userId="eve", referenceId="org_2")
    strange = _customer(shop, userId="eve", customerType="robot")
    broken = _customer(shop, userId="x" * 300)
    twin, other_twin = _customer(shop, userId="fay"), _customer(shop, userId="fay")
    report = shop.billing.sync.customers()
    assert report.ok
    assert _adopted(report) == {
        user: Reference("ann", "user"),
        organization: Reference("org_1", "organization"),
        ours: Reference("bob", "user"),
        python: Reference("cat", "user"),
        plain: Reference("dan", "user"),
    }
    assert _left(report) == {
        nothing: "no_metadata",
        two: "contradictory_metadata",
        strange: "contradictory_metadata",
        broken: "invalid_reference",
        twin: "duplicate_reference",
        other_twin: "duplicate_reference",
    }
    assert shop.customer("ann") == user
    assert shop.billing.customers.get(Reference("org_1", "organization")) is not None
    again = shop.billing.sync.customers()
    assert again.adopted == ()
    assert _left(again) == _left(report)
    assert errors(shop) == []


def test_subscriptions_come_with_their_customer(silent: Shop) -> None:
    """What was bought before is there, what no plan sells is named, and events that came too early are worked on."""
    shop = silent
    shop.stripe.add_price("price_old", 900)
    customer = _customer(shop, userId="ann")
    sold = _subscribe(shop, customer, "price_pro")
    old = _subscribe(shop, customer, "price_old")
    shop.stripe.deliver()
    assert "unmatched" in {row["status"] for row in shop.rows()["webhook_event"]}
    report = shop.billing.sync.customers()
    assert report.adopted == (Adoption(customer, Reference("ann", "user"), 2, ("price_old",)),)
    assert {each.stripe_id for each in shop.billing.subscriptions.list("ann")} == {sold, old}
    assert shop.subscription().plan == "pro"
    assert shop.billing.check("ann", "messages", 100).allowed
    assert "unmatched" not in {row["status"] for row in shop.rows()["webhook_event"]}
    shop.billing.sync.all()
    assert differences(shop) == []


def test_a_dry_run_says_the_same_and_writes_nothing(silent: Shop) -> None:
    """The report of a dry run is that of the run after it, and not a byte of the database changes."""
    shop = silent
    shop.billing.catalog.sync()
    customer = _customer(shop, userId="ann")
    _subscribe(shop, customer, "price_team")
    _customer(shop)
    before = shop.rows()
    dry = shop.billing.sync.customers(dry_run=True)
    assert shop.rows() == before
    assert dry.dry_run
    done = shop.billing.sync.customers()
    assert (dry.adopted, dry.left) == (done.adopted, done.left)
    assert dry.adopted == (Adoption(customer, Reference("ann", "user"), 1),)


def test_the_caller_knows_best(quiet_shop: Shop) -> None:
    """A mapping goes before metadata; what it names and Stripe has not is said; where it is silent metadata speak."""
    shop = quiet_shop
    told, silent = _customer(shop, userId="wrong"), _customer(shop, userId="bob")
    report = shop.billing.sync.customers(mapping={told: "ann", "cus_gone": "cat"})
    assert _adopted(report) == {told: Reference("ann", "user"), silent: Reference("bob", "user")}
    assert report.left == (LeftAlone("cus_gone", "not_found", "cat"),)


def test_a_function_may_say_whose_a_customer_is(quiet_shop: Shop) -> None:
    """It sees Stripe's object; None leaves it to the metadata, and what is no reference is told."""
    shop = quiet_shop
    own = _customer(shop, shop_number="17")
    other = _customer(shop)
    bad = _customer(shop, shop_number="")
    worse = _customer(shop, shop_number="bad")

    def whose(theirs: Mapping[str, Any]) -> Reference | str | None:
        number = theirs["metadata"].get("shop_number")
        return "\n" if number == "bad" else Reference(f"shop_{number}", "organization") if number else None

    report = shop.billing.sync.customers(mapping=whose)
    assert _adopted(report) == {own: Reference("shop_17", "organization")}
    assert _left(report) == {other: "no_metadata", bad: "no_metadata", worse: "invalid_reference"}


def test_nobody_is_taken_over_by_an_e_mail_address(quiet_shop: Shop) -> None:
    """A customer with the address of one of ours stays where it is."""
    shop = quiet_shop
    shop.billing.customers.ensure("ann", email="ann@shop.example")
    stranger = _customer(shop)
    report = shop.billing.sync.customers()
    assert _left(report) == {stranger: "no_metadata"}
    assert shop.customer("ann") != stranger


def test_a_reference_keeps_the_customer_that_it_has(quiet_shop: Shop) -> None:
    """Another Stripe customer that says to be its own is not linked, and is named."""
    shop = quiet_shop
    shop.billing.customers.ensure("ann")
    before = shop.customer()
    other = _customer(shop, userId="ann")
    report = shop.billing.sync.customers()
    assert report.left == (LeftAlone(other, "reference_linked", "ann"),)
    assert shop.customer() == before


@pytest.mark.parametrize("mapping", [{"sub_1": "ann"}, {"cus_1": ""}, {"cus_1": "a\nb"}])
def test_a_mapping_is_checked_before_anything_happens(quiet_shop: Shop, mapping: dict[str, str]) -> None:
    """What is no Stripe customer, or no reference, is refused whole."""
    _customer(quiet_shop, userId="ann")
    quiet_shop.billing.catalog.sync()
    with pytest.raises(InvalidInput):
        quiet_shop.billing.sync.customers(mapping=mapping)
    assert quiet_shop.rows()["customer"] == []


def test_one_that_fails_does_not_keep_the_others(quiet_shop: Shop) -> None:
    """Stripe refuses to show one of two customers: the other is adopted, and the report names the one."""
    shop = quiet_shop
    bad, good = _customer(shop, userId="ann"), _customer(shop, userId="bob")
    shop.stripe.faults.append(Fault("status", 403, method="GET", path=f"/v1/customers/{bad}", times=None))
    report = shop.billing.sync.customers()
    assert _adopted(report) == {good: Reference("bob", "user")}
    assert report.left == (LeftAlone(bad, "failed", "ann"),)
    assert [(each.kind, each.id) for each in report.failures] == [("customer", bad)]
    shop.stripe.faults.clear()
    assert _adopted(shop.billing.sync.customers()) == {bad: Reference("ann", "user")}
