"""Whatever news was lost, one import makes our copies equal to Stripe's objects."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from kernia_billing import InvalidInput, NotFound, Unavailable
from kernia_billing.domain.reports import Count
from kernia_billing.testing import Fault
from tests.harness.counts import count
from tests.healing.story import Cut, cut_at, differences, errors, execute, untold_story
from tests.webhooks.shop import Shop, copied, rows_of, state, without

HISTORY = (
    "checkout.session.completed",
    "customer.subscription.created",
    "customer.subscription.updated",
    "invoice.paid",
    "invoice.finalized",
    "customer.updated",
)


def test_every_subset_of_lost_events_is_healed(quiet_shop: Shop, tmp_path: Path) -> None:
    """Of six events of a purchase any are lost, in 64 ways; after one import the rows are those of an import alone."""
    shop = quiet_shop
    page = shop.upgrade()
    shop.stripe.pay(page)
    (bought,) = shop.objects("subscription")
    shop.account.post(f"/v1/subscriptions/{bought['id']}", {"cancel_at_period_end": "true"})
    shop.account.post(f"/v1/customers/{bought['customer']}", {"balance": "700"})
    events = [shop.event_ids(type)[-1] for type in HISTORY]
    shop.billing.close()
    ends: list[Any] = []
    for number, kept in enumerate(subset for size in range(7) for subset in combinations(events, size)):
        url = copied(shop.url, tmp_path, f"copy{number}")
        billing = shop.open(url)
        shop.stripe.deliver(*kept)
        assert (billing.sync.all() if number % 8 == 0 else billing.sync.reference("ann")).ok
        billing.close()
        rows = rows_of(url)
        told = {name: each for name, each in state(rows).items() if name not in ("product", "price")}
        ends.append((told, rows["invoice"], rows["payment_method"], rows["stripe_customer"]))
    assert len(ends) == 64
    assert all(each == ends[0] for each in ends)
    assert [row["status"] for row in ends[0][0]["subscription"]] == ["active"]
    count("healing: subsets of lost events", len(ends))


def test_an_import_brings_in_what_nothing_was_heard_of(make_database: Callable[[str], str], engine_name: str) -> None:
    """Subscriptions, invoices, payment methods and pages come in; a second import finds nothing to do."""
    shop = Shop(make_database(engine_name), deliver="manual")
    try:
        untold_story(shop)
        first = shop.billing.sync.all()
        assert first.ok
        assert first.kinds["subscription"] == Count(seen=4, created=4)
        assert first.kinds["customer"] == Count(seen=5, created=5)
        assert first.kinds["invoice"].created == len(shop.objects("invoice"))
        assert first.kinds["payment_method"].created == 4
        assert shop.subscription("ann").plan == "team"
        assert shop.subscription("bob").display_state == "cancel_pending"
        pages = {row["customer_id"]: row["status"] for row in shop.rows()["checkout_session"]}
        assert sorted(pages.values()) == ["complete"] * 4 + ["expired"]
        assert differences(shop) == []
        assert errors(shop, with_stripe=True) == []
        before = without(shop.rows(), "sync_state", "stripe_object")
        requests = len(shop.stripe.requests)
        again = shop.billing.sync.all()
        assert without(shop.rows(), "sync_state", "stripe_object") == before
        for kind, told in again.kinds.items():
            assert told == Count(seen=told.seen, unchanged=told.seen), kind
        assert all(
            each.path.count("/") == 2 for each in shop.stripe.requests[requests:] if "customers/" not in each.path
        )
    finally:
        shop.close()


def test_a_killed_import_goes_on_where_it_ended(quiet_shop: Shop, tmp_path: Path) -> None:
    """Killed at each of its pages in turn, the next import reads the pages that were left, and all is there."""
    shop = quiet_shop
    for number in range(230):
        product = shop.stripe.add_product(f"Product {number}")
        shop.stripe.add_price(f"price_n{number:03}", number + 1, product=product)
    untold_story(shop)
    shop.billing.close()
    whole = shop.open(copied(shop.url, tmp_path, "whole"))
    shop.billing = whole
    with cut_at(shop, 10_000) as asked:
        expected = whole.sync.all()
    pages = len(asked)
    assert pages > 10
    whole.close()
    rows = rows_of(f"sqlite:///{tmp_path}/whole.sqlite")
    for call in range(pages):
        url = copied(shop.url, tmp_path, f"cut{call}")
        shop.billing = shop.open(url)
        with cut_at(shop, call), pytest.raises(Cut):
            shop.billing.sync.all()
        with cut_at(shop, 10_000) as rest:
            report = shop.billing.sync.all()
        assert report.resumed
        assert report.kinds == expected.kinds
        # The cards of several customers are one page here, and one call for each of them at Stripe.
        assert pages - call <= len(rest) < pages - call + 5
        shop.billing.close()
        assert without(rows_of(url), "sync_state", "outbox", "audit", *OURS) == without(
            rows, "sync_state", "outbox", "audit", *OURS
        )
        assert state(rows_of(url)) == state(rows)
    count("healing: imports cut at a page", pages)


OURS = (
    *("entitlement", "entitlement_change", "bucket", "ledger"),
    *("subscription", "customer", "customer_change", "checkout_session", "webhook_event"),
)
"""Tables with ids of our own, which differ from database to database."""


def test_an_import_whose_place_is_gone_begins_anew(quiet_shop: Shop) -> None:
    """The product at which a killed import stood was deleted since: the next one begins with the first page."""
    shop = quiet_shop
    for number in range(150):
        shop.stripe.add_product(f"Product {number}")
    with cut_at(shop, 1), pytest.raises(Cut):
        shop.billing.sync.catalog()
    (place,) = [row["page_cursor"] for row in shop.rows()["sync_state"] if row["kind"] == "catalog:product"]
    shop.account.delete(f"/v1/products/{place}")
    report = shop.billing.sync.catalog()
    assert report.resumed
    assert report.kinds["product"].seen == len(shop.objects("product"))
    assert report.kinds["product"].gone == 1
    assert {row["id"] for row in shop.rows()["product"] if not row["deleted"]} == {
        each["id"] for each in shop.objects("product")
    }


def test_an_import_that_was_cut_long_ago_begins_anew(quiet_shop: Shop) -> None:
    """What was compared two days ago says too little: the first page is read again."""
    shop = quiet_shop
    for number in range(150):
        shop.stripe.add_product(f"Product {number}")
    with cut_at(shop, 1), pytest.raises(Cut):
        shop.billing.sync.catalog()
    shop.stripe.advance(days=2)
    assert not shop.billing.sync.catalog().resumed


def _forget(shop: Shop, kind: str, stripe_id: str) -> None:
    del shop.stripe.state.world.table(kind).rows[stripe_id]


def test_what_stripe_has_no_more_is_noticed(each_shop: Shop) -> None:
    """Test data that was deleted at Stripe ends here: the subscription is canceled and gives nothing any more."""
    shop = each_shop
    sold = shop.buy()
    shop.buy("bob")
    shop.billing.sync.all()
    assert sold.stripe_id is not None
    _forget(shop, "subscription", sold.stripe_id)
    report = shop.billing.sync.subscriptions()
    assert report.kinds["subscription"] == Count(seen=1, unchanged=1, gone=1)
    assert shop.subscription().status == "canceled"
    assert not shop.billing.check("ann", "messages", 50).allowed
    assert shop.billing.check("bob", "messages", 50).allowed
    assert shop.billing.sync.subscriptions().kinds["subscription"] == Count(seen=1, unchanged=1)
    assert errors(shop) == []


def test_a_deleted_customer_and_a_detached_card_are_noticed(quiet_shop: Shop) -> None:
    """The customer is linked no more, and its card is detached, although no word of it came."""
    shop = quiet_shop
    shop.buy()
    shop.buy("bob")
    shop.billing.sync.all()
    shop.account.delete(f"/v1/customers/{shop.customer()}")
    (card,) = [each for each in shop.objects("payment_method") if each["customer"] == shop.customer("bob")]
    shop.account.post(f"/v1/payment_methods/{card['id']}/detach", {})
    report = shop.billing.sync.all()
    assert report.ok
    assert report.kinds["customer"].gone == 1
    assert report.kinds["payment_method"].gone == 1
    assert shop.subscription().status == "canceled"
    customer = shop.billing.customers.get("ann")
    assert customer is not None
    assert customer.stripe_id is None
    assert differences(shop) == []
    assert [row["detached"] for row in shop.rows()["payment_method"] if row["id"] == card["id"]] == [1]


def test_a_customer_that_was_never_seen_at_stripe_is_noticed(quiet_shop: Shop) -> None:
    """Linked, deleted at Stripe, and no event ever came: the list does not show it, and it is asked for."""
    shop = quiet_shop
    shop.billing.customers.ensure("ann")
    shop.account.delete(f"/v1/customers/{shop.customer()}")
    assert shop.billing.sync.all().kinds["customer"].gone == 1
    found = shop.billing.customers.get("ann")
    assert found is not None
    assert found.stripe_id is None


def test_one_failing_object_does_not_stop_the_others(quiet_shop: Shop) -> None:
    """Stripe fails on one of three changed subscriptions: the others come in, and the report names it."""
    shop = quiet_shop
    for reference in ("ann", "bob", "cat"):
        shop.buy(reference)
    for each in shop.objects("subscription"):
        shop.change_price(each["id"], "price_team")
    bad = shop.subscription("bob").stripe_id
    shop.stripe.faults.append(Fault("status", 500, method="GET", path=f"/v1/subscriptions/{bad}", times=None))
    report = shop.billing.sync.subscriptions()
    assert not report.ok
    assert [(each.kind, each.id) for each in report.failures] == [("subscription", bad)]
    assert report.kinds["subscription"] == Count(seen=3, updated=2, failed=1)
    assert [shop.subscription(each).plan for each in ("ann", "bob", "cat")] == ["team", "pro", "team"]
    shop.stripe.faults.clear()
    assert shop.billing.sync.subscriptions().kinds["subscription"] == Count(seen=3, updated=1, unchanged=2)
    assert shop.subscription("bob").plan == "team"


def test_an_outage_ends_the_import(quiet_shop: Shop) -> None:
    """Where Stripe fails on one object after the other it is Stripe that fails, and the import can be gone on with."""
    shop = quiet_shop
    for number in range(8):
        shop.buy(f"user_{number}")
    for each in shop.objects("subscription"):
        shop.change_price(each["id"], "price_team")
    shop.stripe.faults.append(Fault("status", 500, method="GET", path="/v1/subscriptions/*", times=None))
    with pytest.raises(Unavailable):
        shop.billing.sync.subscriptions()
    shop.stripe.faults.clear()
    assert shop.billing.sync.subscriptions().kinds["subscription"] == Count(seen=8, updated=8)


def test_what_belongs_to_strangers_is_counted_and_not_stored(quiet_shop: Shop) -> None:
    """Customers, subscriptions and invoices of other software on the account are unmatched, and leave no trace."""
    shop = quiet_shop
    shop.buy()
    stranger = shop.account.customer()
    shop.account.post("/v1/invoices", {"customer": stranger})
    shop.billing.sync.all()
    before = without(shop.rows(), "sync_state", "stripe_object")
    report = shop.billing.sync.all()
    assert report.kinds["customer"].unmatched == 1
    assert report.kinds["invoice"].unmatched == 1
    assert without(shop.rows(), "sync_state", "stripe_object") == before
    assert stranger not in {row["stripe_id"] for row in shop.rows()["stripe_object"] if row["kind"] == "customer"}


def test_news_that_comes_between_the_page_and_the_write_wins(quiet_shop: Shop) -> None:
    """The page shows an older state, and a webhook brings a newer one meanwhile: the newer one stays."""
    shop = quiet_shop
    sold = shop.buy()
    stripe: Any = shop.billing._wiring.core.stripe
    real = stripe.page

    async def then_news(path: str, *rest: Any, **options: Any) -> Any:
        page = await real(path, *rest, **options)
        if path == "/v1/subscriptions":
            shop.change_price(str(sold.stripe_id), "price_team")
            shop.stripe.deliver(shop.event_ids("customer.subscription.updated")[-1])
        return page

    stripe.page, stripe.in_background = then_news, lambda: stripe
    shop.billing.sync.subscriptions()
    assert shop.subscription().plan == "team"


def test_progress_is_told_after_every_page(quiet_shop: Shop) -> None:
    """The kind, and how many of it were seen so far."""
    shop = quiet_shop
    for number in range(120):
        shop.stripe.add_product(f"Product {number}")
    told: list[tuple[str, int]] = []
    shop.billing.sync.catalog(progress=lambda kind, done: told.append((kind, done)))
    products, prices = len(shop.objects("product")), len(shop.objects("price"))
    assert told == [("product", 100), ("product", products), ("price", prices)]


def test_one_reference_is_brought_up_to_date(make_database: Callable[[str], str], engine_name: str) -> None:
    """Everything of one customer comes in, with what Stripe lists of it no more, and nobody else's."""
    shop = Shop(make_database(engine_name), deliver="manual")
    try:
        untold_story(shop)
        report = shop.billing.sync.reference("ann")
        assert report.ok
        assert report.kinds["subscription"].seen == report.kinds["invoice"].seen == 1
        assert report.kinds["customer"] == Count(seen=1, created=1)
        assert shop.billing.sync.reference("ann").kinds["customer"] == Count(seen=1, unchanged=1)
        assert shop.subscription("ann").plan == "team"
        assert shop.billing.subscriptions.get("bob") is None
        _forget(shop, "subscription", str(shop.subscription("ann").stripe_id))
        (card,) = shop.rows()["payment_method"]
        shop.account.post(f"/v1/payment_methods/{card['id']}/detach", {})
        report = shop.billing.sync.reference("ann")
        assert report.kinds["subscription"] == Count(gone=1)
        assert report.kinds["payment_method"] == Count(gone=1)
        assert shop.subscription("ann").status == "canceled"
        shop.account.delete(f"/v1/customers/{shop.customer()}")
        assert shop.billing.sync.reference("ann").kinds["customer"] == Count(gone=1)
        assert shop.billing.sync.reference("ann").ok
    finally:
        shop.close()


def test_a_reference_that_was_never_billed_is_not_found(shop: Shop) -> None:
    """There is nothing to bring up to date, and no row comes to be."""
    with pytest.raises(NotFound) as unknown:
        shop.billing.sync.reference("nobody")
    assert unknown.value.code == "CUSTOMER_NOT_FOUND"
    assert shop.rows()["customer"] == []


@pytest.mark.parametrize(
    ("kind", "stripe_id", "field"),
    [
        ("coupon", "co_1", "kind"),
        ("subscription", "cus_1", "stripe_id"),
        ("subscription", "sub_1/../x", "stripe_id"),
        ("payment_method", "cus_1", "stripe_id"),
        ("payment_method", "card_1/../x", "stripe_id"),
        ("product", "../customers", "stripe_id"),
        ("product", "", "stripe_id"),
    ],
)
def test_one_object_is_named_properly(shop: Shop, kind: str, stripe_id: str, field: str) -> None:
    """What is no kind or no id is refused before Stripe hears of it."""
    with pytest.raises(InvalidInput) as wrong:
        shop.billing.sync.object(kind, stripe_id)
    assert wrong.value.field == field
    assert len(shop.stripe.requests) == 0


@pytest.mark.parametrize("prefix", ["pm", "card", "src", "ba"])
def test_a_payment_method_of_an_older_integration_is_named(shop: Shop, prefix: str) -> None:
    """Stripe shows old cards, sources and bank accounts as payment methods, under the ids that they had."""
    shop.buy()
    table = shop.stripe.state.world.table("payment_method").rows
    method = dict(shop.objects("payment_method")[0], id=f"{prefix}_1Old")
    table[method["id"]] = method
    assert shop.billing.sync.object("payment_method", method["id"]) == "applied"
    assert method["id"] in {row["id"] for row in shop.rows()["payment_method"]}


def test_one_object_is_brought_up_to_date(quiet_shop: Shop) -> None:
    """A subscription, then its page, then one that there is not."""
    shop = quiet_shop
    page = shop.upgrade()
    shop.stripe.pay(page)
    (bought,) = shop.objects("subscription")
    assert shop.billing.sync.object("subscription", bought["id"]) == "applied"
    assert shop.subscription().plan == "pro"
    assert shop.billing.sync.object("checkout.session", str(page.session_id)) == "applied"
    assert [row["status"] for row in shop.rows()["checkout_session"]] == ["complete"]
    assert shop.billing.sync.object("price", "price_none") == "gone"
    execute(shop, "UPDATE billing_subscription SET seats = 7")
    assert shop.billing.sync.object("subscription", bought["id"]) == "applied"
    assert shop.subscription().seats == 1
