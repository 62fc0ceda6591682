"""`billing.invoices`: what a reference was billed, and what it will be."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import InvalidInput, Money, NotFound, Unavailable
from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import to_datetime
from kernia_billing.domain.invoices import InvoiceRow
from kernia_billing.types import Invoice, Page
from tests.webhooks.shop import Shop

STATUSES = ("draft", "open", "paid", "uncollectible", "void")


def buy(shop: Shop, reference: str, plan: str = "pro") -> None:
    """Buy a plan and pay for it."""
    page = shop.billing.subscriptions.upgrade(reference, plan, success_url="/ok", cancel_url="/no")
    shop.stripe.pay(page)


def test_what_was_billed_is_listed_newest_first(each_shop: Shop) -> None:
    """One invoice a month, with Stripe's number and amounts, from our own tables."""
    buy(each_shop, "ada")
    each_shop.stripe.advance(months=2, days=1)
    calls = len(each_shop.stripe.requests)

    found = each_shop.billing.invoices.list("ada").items

    assert len(each_shop.stripe.requests) == calls
    assert [(each.status, each.total, each.amount_due, each.amount_remaining) for each in found] == [
        ("paid", Money(1000, "usd"), Money(1000, "usd"), Money(0, "usd"))
    ] * 3
    assert [each.created_at for each in found] == sorted((each.created_at for each in found), reverse=True)
    assert len({each.number for each in found} - {None}) == 3
    assert {each.hosted_url for each in found} == {None}


def test_one_invoice_is_read_from_stripe(shop: Shop) -> None:
    """With the page where it can be paid, which lists do not have."""
    buy(shop, "ada")
    [listed] = shop.billing.invoices.list("ada")

    found = shop.billing.invoices.get("ada", listed.id)

    assert str(found.hosted_url).startswith("https://invoice.stripe.com/")
    assert evolve(found, hosted_url=None) == listed
    assert shop.billing.invoices.pdf_url("ada", listed.id).startswith("https://pay.stripe.com/invoice/")


@pytest.mark.parametrize("wanted", ["in_nothing", "nonsense", "sub_1", "", "../customers", "in_1/../x", "in_1?x=1"])
def test_an_invoice_that_is_not_there(shop: Shop, wanted: str) -> None:
    """Whatever it is called, the answer is the same, and Stripe is asked nothing."""
    buy(shop, "ada")
    calls = len(shop.stripe.requests)
    for ask in (shop.billing.invoices.get, shop.billing.invoices.pdf_url):
        with pytest.raises(NotFound) as caught:
            ask("ada", wanted)
        assert caught.value.code == "INVOICE_NOT_FOUND"
    assert len(shop.stripe.requests) == calls


def test_an_invoice_of_somebody_else_is_none(shop: Shop) -> None:
    """Neither a stranger nor another customer sees it, nor does an organization of the owner's name."""
    buy(shop, "ada")
    buy(shop, "ben")
    [invoice] = shop.billing.invoices.list("ada")
    calls = len(shop.stripe.requests)
    for stranger in ("ben", "cleo"):
        with pytest.raises(NotFound):
            shop.billing.invoices.pdf_url(stranger, invoice.id)
        with pytest.raises(NotFound):
            shop.billing.invoices.get(stranger, invoice.id)
    assert len(shop.stripe.requests) == calls
    assert shop.billing.invoices.list("cleo").items == ()


def test_an_address_that_is_no_page_is_not_handed_out(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stripe's answer is input too: nobody is sent to a script."""
    buy(shop, "ada")
    [invoice] = shop.billing.invoices.list("ada")
    stripe: Any = shop.billing._wiring.core.stripe

    async def strange(*_: Any, **__: Any) -> dict[str, Any]:
        return {
            "id": invoice.id,
            "currency": "usd",
            "invoice_pdf": "javascript:alert(1)",
            "hosted_invoice_url": "//evil",
        }

    monkeypatch.setattr(stripe, "request", strange)
    with pytest.raises(Unavailable):
        shop.billing.invoices.pdf_url("ada", invoice.id)


def test_what_comes_next(shop: Shop) -> None:
    """A preview of the renewal; none before there is a subscription, and none after it was set to end."""
    assert shop.billing.invoices.upcoming("ada") is None
    shop.billing.customers.ensure("ada")
    assert shop.billing.invoices.upcoming("ada") is None
    buy(shop, "ada")
    before = shop.rows()["invoice"]

    found = shop.billing.invoices.upcoming("ada")

    assert found is not None
    assert (found.id, found.number, found.status, found.total, found.hosted_url) == (
        "upcoming",
        None,
        "draft",
        Money(1000, "usd"),
        None,
    )
    assert shop.rows()["invoice"] == before
    with pytest.raises(NotFound):
        shop.billing.invoices.get("ada", found.id)


def row_of(number: int, moment: int, status: str, total: int, *, deleted: bool) -> InvoiceRow:
    """An invoice as it would be stored."""
    return InvoiceRow(
        id=f"in_{number}",
        customer_id="",
        stripe_subscription_id=None,
        status=status,
        number=None,
        currency="usd",
        billing_reason=None,
        collection_method="charge_automatically",
        subtotal=total,
        total=total,
        amount_due=total,
        amount_paid=0,
        amount_remaining=total,
        attempt_count=0,
        next_payment_attempt=None,
        auto_advance=False,
        payment_intent_id=None,
        period_start=moment,
        period_end=moment,
        due_date=None,
        finalized_at=None,
        paid_at=None,
        created_at=moment,
        deleted=deleted,
        updated_at=0,
    )


ROWS = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(STATUSES), st.sampled_from((-5, 0, 7)), st.booleans()), max_size=12
)


def every_page(ask: Callable[..., Page[Invoice]], limit: int) -> list[Invoice]:
    """All pages of a list, of which none but the last is short."""
    found: list[Invoice] = []
    cursor: str | None = None
    while True:
        page = ask(limit=limit, cursor=cursor)
        assert len(page.items) == limit or page.next_cursor is None
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


@given(
    rows=ROWS,
    status=st.none() | st.sampled_from(STATUSES),
    charged=st.none() | st.booleans(),
    start=st.none() | st.integers(0, 6),
    end=st.none() | st.integers(0, 6),
    limit=st.integers(1, 5),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_pages_are_what_a_filter_over_everything_gives(
    shop: Shop, rows: Any, status: Any, charged: bool | None, start: int | None, end: int | None, limit: int
) -> None:
    """All pages together are the wanted invoices in their order, each once, whatever the filters and the page size.

    So for one reference, and for all of them, where each invoice says whose it is.
    """
    stored = [row_of(n, when, state, total, deleted=gone) for n, (when, state, total, gone) in enumerate(rows)]
    core = shop.billing._wiring.core

    def owner(invoice_id: str) -> Any:
        return core.reference(("ada", "ben")[int(invoice_id[3:]) % 2])

    def replace(tx: Any) -> None:
        for number in range(12):
            if number >= len(stored) and (old := tx.invoices.get(f"in_{number}")) is not None:
                tx.invoices.put(evolve(old, deleted=True))
        for each in stored:
            customer = tx.customers.lock_reference(owner(each.id), 0)
            tx.invoices.put(evolve(each, customer_id=customer.id))

    for reference in ("ada", "ben"):
        shop.billing.customers.ensure(reference)
    run_blocking(core.store.transaction(replace))
    wanted = [
        each.id
        for each in sorted(stored, key=lambda row: (row.created_at, row.id), reverse=True)
        if not each.deleted
        and (each.status == status if status is not None else each.status != "draft")
        and (charged is None or (each.total != 0) is charged)
        and (start is None or each.created_at >= start)
        and (end is None or each.created_at < end)
    ]
    named: Any = {
        "status": status,
        "charged": charged,
        "start": None if start is None else to_datetime(start),
        "end": None if end is None else to_datetime(end),
    }
    invoices = shop.billing.invoices
    everybody = every_page(partial(invoices.search, **named), limit)
    assert [(each.id, each.reference) for each in everybody] == [(each, owner(each)) for each in wanted]
    hers = every_page(partial(invoices.list, "ada", **named), limit)
    assert hers == [each for each in everybody if each.reference.id == "ada"]


@pytest.mark.parametrize(
    ("named", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"status": "gone"}, "status"),
        ({"cursor": "x"}, "cursor"),
        ({"cursor": "1.in 1"}, "cursor"),
        ({"start": "2026"}, "start"),
        ({"charged": 1}, "charged"),
    ],
)
def test_a_list_that_cannot_be(shop: Shop, named: dict[str, Any], field: str) -> None:
    """What is wrong is named."""
    invoices: Any = shop.billing.invoices
    for ask in (partial(invoices.list, "ada"), invoices.search):
        with pytest.raises(InvalidInput) as caught:
            ask(**named)
        assert caught.value.field == field


def test_invoices_of_somebody_who_left(shop: Shop) -> None:
    """What was billed stays in the books, and is found under the name that says nothing of them."""
    buy(shop, "ada")
    shop.billing.customers.delete("ada", policy="cancel")
    [found] = shop.billing.invoices.search()
    assert (found.status, found.total) == ("paid", Money(1000, "usd"))
    assert found.reference.type == "user"
    assert found.reference.id != "ada"


def test_a_subscription_that_ends_is_not_billed_again(shop: Shop) -> None:
    """Stripe says that nothing is upcoming, and so do we."""
    buy(shop, "ada")
    subscription = shop.billing.subscriptions.get("ada")
    assert subscription is not None
    shop.account.post(f"/v1/subscriptions/{subscription.stripe_id}", {"cancel_at_period_end": True})

    assert shop.billing.invoices.upcoming("ada") is None
    shop.stripe.advance(months=1, days=1)
    assert shop.billing.invoices.upcoming("ada") is None
