"""One row and one Stripe customer per reference, whatever goes wrong on the way to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from kernia_billing import (
    Billing,
    ConfigError,
    Conflict,
    InvalidInput,
    NotFound,
    ProviderNotConfigured,
    Reference,
    StripeRefused,
    Unavailable,
)
from kernia_billing.testing import Fault
from tests.webhooks.shop import ORIGIN, Shop

CUSTOMERS = "/v1/customers"
LOST = {
    "timeout before": Fault("timeout_before", method="POST", path=CUSTOMERS, times=3),
    "timeout after": Fault("timeout_after", method="POST", path=CUSTOMERS, times=3),
    "reset after": Fault("reset_after", method="POST", path=CUSTOMERS, times=3),
    "a proxy's page": Fault("html_502", method="POST", path=CUSTOMERS, times=3),
    "too many requests": Fault("status", 429, method="POST", path=CUSTOMERS, times=3),
    "a 500 that applied": Fault("status", 500, method="POST", path=CUSTOMERS, sticky=True, apply=True, times=3),
    "a 500 that was not kept": Fault("status", 500, method="POST", path=CUSTOMERS, times=3),
}


def _copy(fault: Fault, *, times: int | None = None) -> Fault:
    return Fault(
        fault.kind,
        fault.status,
        method=fault.method,
        path=fault.path,
        times=fault.times if times is None else times,
        sticky=fault.sticky,
        apply=fault.apply,
    )


@pytest.mark.parametrize("once", [True, False], ids=["one call", "every attempt"])
@pytest.mark.parametrize("lost", LOST)
def test_a_lost_answer_makes_no_second_customer(shop: Shop, lost: str, once: bool) -> None:
    """However the answer is lost, the same call goes on under the same key, and there is one customer in the end."""
    shop.stripe.faults.append(_copy(LOST[lost], times=1 if once else 3))
    for _ in range(3):
        try:
            customer = shop.billing.customers.ensure("ann", email="ann@example.com")
            break
        except Unavailable:
            continue
    else:
        raise AssertionError("it never worked")
    (theirs,) = shop.objects("customer")
    assert (customer.stripe_id, theirs["email"]) == (theirs["id"], "ann@example.com")
    assert len({each.headers["idempotency-key"] for each in shop.called("POST", CUSTOMERS)}) == 1
    assert shop.billing.customers.ensure("ann") == customer
    (intent,) = shop.rows()["intent"]
    assert (intent["state"], intent["stripe_id"]) == ("done", theirs["id"])


def test_a_500_that_stripe_keeps_and_did_not_apply_never_makes_two(shop: Shop) -> None:
    """Stripe repeats such a 500 for a day; no other key is ever tried, and after that day the customer is made."""
    shop.stripe.faults.append(Fault("status", 500, method="POST", path=CUSTOMERS, sticky=True))
    for _ in range(3):
        with pytest.raises(Unavailable):
            shop.billing.customers.ensure("ann")
        shop.stripe.advance(hours=1)
    assert not shop.objects("customer")
    shop.stripe.advance(hours=22)
    assert shop.billing.customers.ensure("ann").stripe_id == shop.objects("customer")[0]["id"]
    assert len({each.headers["idempotency-key"] for each in shop.called("POST", CUSTOMERS)}) == 1


def test_after_a_day_a_customer_is_looked_for_before_it_is_made_again(shop: Shop) -> None:
    """Stripe forgets keys after a day: an older attempt whose answer was lost is found among Stripe's customers."""
    shop.stripe.faults.append(Fault("timeout_after", method="POST", path=CUSTOMERS, times=3))
    shop.stripe.faults.append(Fault("timeout_before", method="GET", path=CUSTOMERS, times=3))
    with pytest.raises(Unavailable):
        shop.billing.customers.ensure("ann")
    for _ in range(150):
        shop.account.customer()
    shop.stripe.faults.clear()
    shop.stripe.advance(days=2)
    made = [each for each in shop.objects("customer") if each["metadata"].get("referenceId") == "ann"]
    asked = len(shop.called("POST", CUSTOMERS))
    assert shop.billing.customers.ensure("ann").stripe_id == made[0]["id"]
    assert len(shop.called("POST", CUSTOMERS)) == asked
    assert len(shop.objects("customer")) == 151


def test_a_refused_customer_can_be_made_with_better_values(shop: Shop) -> None:
    """What Stripe refuses is not held on to: the next call, with other values, succeeds under a key of its own."""
    shop.stripe.faults.append(Fault("status", 400, method="POST", path=CUSTOMERS, sticky=True, code="email_invalid"))
    with pytest.raises(StripeRefused):
        shop.billing.customers.ensure("ann", email="nobody@nowhere.invalid")
    assert shop.billing.customers.ensure("ann", email="ann@example.com").email == "ann@example.com"
    assert [each["email"] for each in shop.objects("customer")] == ["ann@example.com"]
    assert len({each.headers["idempotency-key"] for each in shop.called("POST", CUSTOMERS)}) == 2


def _at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What `work` answers or raises in so many threads that begin together."""
    barrier = threading.Barrier(count)
    answers: list[Any] = [None] * count

    def run(number: int) -> None:
        barrier.wait()
        try:
            answers[number] = work(number)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            answers[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("lost", ["none", "timeout after", "a 500 that applied"])
def test_concurrent_first_calls_make_one_customer(each_shop: Shop, lost: str) -> None:
    """Eight threads ask for the same new customer, and Stripe's first answers may be lost: one row, one customer."""
    shop = each_shop
    shop.billing.customers.get("nobody")
    if lost in LOST:
        shop.stripe.faults.append(_copy(LOST[lost], times=2))
    _at_once(8, lambda _: shop.billing.customers.ensure("ann"))
    customer = shop.billing.customers.ensure("ann")
    (theirs,) = shop.objects("customer")
    assert customer.stripe_id == theirs["id"]
    assert [row["reference_id"] for row in shop.rows()["customer"]] == ["ann"]


def test_users_and_organizations_of_one_id_are_two_customers(shop: Shop) -> None:
    """The same id as a user and as an organization means two customers, who never share anything."""
    user = shop.billing.customers.ensure(Reference("7", "user"))
    organization = shop.billing.customers.ensure(Reference("7", "organization"))
    assert user.stripe_id != organization.stripe_id
    shop.buy("7", "pro")
    assert shop.billing.check(Reference("7", "user"), "projects", 5)
    assert not shop.billing.check(Reference("7", "organization"), "projects", 5)
    metadata = {each["id"]: each["metadata"] for each in shop.objects("customer")}
    assert metadata[user.stripe_id]["customerType"] == "user"
    assert metadata[organization.stripe_id]["organizationId"] == "7"


def test_no_customer_is_adopted_by_its_email(shop: Shop) -> None:
    """A Stripe customer with the same address is somebody else until the host links it."""
    theirs = shop.account.customer(email="ann@example.com")
    assert shop.billing.customers.ensure("ann", email="ann@example.com").stripe_id != theirs


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", ""), ("email", 5), ("email", "x" * 513), ("name", ""), ("name", "a\nb"), ("name", "x" * 257)],
)
def test_values_out_of_range_change_nothing(shop: Shop, field: str, value: Any) -> None:
    """A wrong e-mail or name is refused by its name before anything is stored or sent."""
    shop.billing.jobs.run()
    before = shop.rows()
    with pytest.raises(InvalidInput) as refusal:
        shop.billing.customers.ensure("ann", **{field: value})
    assert refusal.value.field == field
    assert (shop.rows(), list(shop.stripe.requests)) == (before, [])


def test_link_adopts_a_customer_with_its_subscriptions(shop: Shop) -> None:
    """Linking brings in what the customer has and had at Stripe; doing it again changes nothing."""
    theirs = shop.account.customer(email="old@example.com", name="Old")
    ended = shop.account.buy("price_team", customer=theirs)
    shop.account.delete(f"/v1/subscriptions/{ended['id']}")
    shop.account.buy("price_pro", customer=theirs)
    linked = shop.billing.customers.link("ann", theirs)
    assert (linked.stripe_id, linked.email, linked.plan) == (theirs, "old@example.com", "pro")
    assert sorted(each.status for each in shop.billing.subscriptions.list("ann")) == ["active", "canceled"]
    before = shop.rows()
    assert shop.billing.customers.link("ann", theirs) == linked
    assert shop.rows()["subscription"] == before["subscription"]
    assert shop.billing.customers.ensure("ann") == linked


def test_link_refuses_what_is_linked_elsewhere_deleted_or_unknown(shop: Shop) -> None:
    """A customer of another reference, a second one, a deleted and an unknown one are refused, and nothing changes."""
    theirs, other, gone = (shop.account.customer() for _ in range(3))
    shop.account.delete(f"/v1/customers/{gone}")
    shop.billing.customers.link("ann", theirs)
    before = shop.rows()["customer"]
    for reference, customer in (("bob", theirs), ("ann", other)):
        with pytest.raises(Conflict) as conflict:
            shop.billing.customers.link(reference, customer)
        assert conflict.value.code == "CUSTOMER_ALREADY_LINKED"
    for customer in (gone, "cus_unknown"):
        with pytest.raises(NotFound) as missing:
            shop.billing.customers.link("carl", customer)
        assert missing.value.code == "CUSTOMER_NOT_FOUND"
    wrong: list[Any] = ["sub_1", "cus_../../x", "cus_1?x", "", 5]
    for each in wrong:
        with pytest.raises(InvalidInput):
            shop.billing.customers.link("carl", each)
    assert shop.rows()["customer"] == before


def test_links_at_once_give_a_customer_to_one_reference(each_shop: Shop) -> None:
    """Eight references want the same Stripe customer at once: one gets it, the others are refused in our words."""
    shop = each_shop
    theirs = shop.account.customer()
    shop.billing.customers.get("nobody")
    answers = _at_once(8, lambda number: shop.billing.customers.link(f"user{number}", theirs))
    assert len([each for each in answers if not isinstance(each, Exception)]) == 1
    refusals = [each for each in answers if isinstance(each, Exception)]
    assert {getattr(each, "code", repr(each)) for each in refusals} == {"CUSTOMER_ALREADY_LINKED"}


def test_customers_are_listed_in_pages_and_by_plan(shop: Shop) -> None:
    """Every customer is on exactly one page; `plan` keeps those who have it now."""
    for number in range(7):
        shop.billing.customers.ensure(f"user{number}")
    shop.buy("user3", "pro")
    first = shop.billing.customers.list(limit=3)
    second = shop.billing.customers.list(limit=3, cursor=first.next_cursor)
    third = shop.billing.customers.list(limit=3, cursor=second.next_cursor)
    listed = [each.reference.id for page in (first, second, third) for each in page]
    assert sorted(listed) == [f"user{number}" for number in range(7)]
    assert third.next_cursor is None
    assert [each.reference.id for each in shop.billing.customers.iter()] == listed
    assert [each.reference.id for each in shop.billing.customers.list(plan="PRO")] == ["user3"]
    shop.account.delete(f"/v1/subscriptions/{shop.subscription('user3').stripe_id}")
    shop.stripe.flush()
    assert list(shop.billing.customers.list(plan="pro")) == []


@pytest.mark.parametrize("key", ["sk_live_1234567890", "rk_live_1234567890"])
def test_a_database_of_one_mode_is_refused_for_a_key_of_the_other(sqlite_url: str, key: str) -> None:
    """A database that a live key was used with is refused for a test key, for reading too, and stays usable."""
    with _keyed(sqlite_url, key) as live:
        live.jobs.run()
    operations: list[Callable[[Billing], object]] = [
        lambda billing: billing.customers.get("ann"),
        lambda billing: billing.customers.ensure("ann"),
        lambda billing: billing.jobs.run(),
    ]
    for operation in operations:
        with _keyed(sqlite_url, "sk_test_1234567890") as test, pytest.raises(ConfigError, match="live-mode billing"):
            operation(test)
    with _keyed(sqlite_url, key) as live:
        assert live.customers.get("ann") is None


def _keyed(url: str, key: str) -> Billing:
    return Billing(database=url, stripe_key=key, stripe_webhook_secrets=["whsec_1"], base_url=ORIGIN)


def test_without_a_key_what_needs_stripe_is_off(sqlite_url: str) -> None:
    """Offline, selling and webhooks raise what says so, and reading works."""
    with Billing(database=sqlite_url) as billing:
        assert billing.customers.get("ann") is None
        for operation in (
            lambda: billing.customers.ensure("ann"),
            billing.catalog.sync,
            lambda: billing.webhooks.receive(b"{}", "t=1"),
        ):
            with pytest.raises(ProviderNotConfigured):
                operation()
        assert billing.jobs.run().done == 0
