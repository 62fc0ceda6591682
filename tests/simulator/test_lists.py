"""Lists, expansions, filters and search."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulator.shop import Shop


def _customers(shop: Shop, number: int) -> list[str]:
    """Ids of new customers, newest first, as lists give them."""
    return [shop.customer() for _ in range(number)][::-1]


@settings(max_examples=25)
@given(number=st.integers(0, 23), limit=st.integers(1, 30))
def test_walking_down_sees_every_object_once(number: int, limit: int) -> None:
    """Following `starting_after` while `has_more` gives every object once, newest first, no page over `limit`."""
    shop = Shop()
    ids = _customers(shop, number)
    seen: list[str] = []
    params: dict[str, str] = {"limit": str(limit)}
    while True:
        page = shop.get("/v1/customers", params)
        seen += [row["id"] for row in page["data"]]
        assert len(page["data"]) <= limit
        assert page["has_more"] is (len(seen) < number)
        if not page["has_more"]:
            break
        params["starting_after"] = seen[-1]

    assert ids == seen
    assert ("list", "/v1/customers") == (page["object"], page["url"])


@settings(max_examples=25)
@given(number=st.integers(1, 15), limit=st.integers(1, 8), start=st.integers(0, 14))
def test_walking_up_is_the_mirror(number: int, limit: int, start: int) -> None:
    """`ending_before` gives the page above an object, in the same order, and says whether there is more above."""
    shop = Shop()
    ids = _customers(shop, number)
    start = min(start, number - 1)

    page = shop.get("/v1/customers", {"ending_before": ids[start], "limit": str(limit)})

    assert ids[max(0, start - limit) : start] == [row["id"] for row in page["data"]]
    assert page["has_more"] is (start > limit)


def test_a_page_has_ten_unless_told(shop: Shop) -> None:
    """The default limit is 10."""
    ids = _customers(shop, 11)

    page = shop.get("/v1/customers")

    assert (ids[:10], True) == ([row["id"] for row in page["data"]], page["has_more"])


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"starting_after": "cus_0"},
        {"ending_before": "cus_0"},
        {"starting_after": "cus_0", "ending_before": "cus_0"},
        {"expand[0]": "default_source"},
        {"expand[0]": "data.metadata.a.b.c.d.e"},
    ],
)
def test_bad_pages_are_refused(shop: Shop, params: dict[str, str]) -> None:
    """Limits of 1 to 100, one cursor that exists, expansions of at most four levels that begin with data."""
    _customers(shop, 2)

    assert 400 == shop.refused("GET", "/v1/customers", params).status


def test_new_objects_do_not_disturb_a_walk(shop: Shop) -> None:
    """A cursor is an object, so that what is created meanwhile neither repeats nor hides anything."""
    ids = _customers(shop, 4)
    first = shop.get("/v1/customers", {"limit": "2"})
    _customers(shop, 3)

    second = shop.get("/v1/customers", {"limit": "2", "starting_after": first["data"][-1]["id"]})

    assert ids == [row["id"] for row in first["data"] + second["data"]]


def test_expansion_replaces_ids_by_objects(shop: Shop) -> None:
    """Up to four levels, through lists and items; what is only shown on request is shown."""
    subscription = shop.buy()
    path = f"/v1/subscriptions/{subscription['id']}"

    expanded = shop.get(
        path,
        {
            "expand[0]": "latest_invoice.payments.data.payment.payment_intent",
            "expand[1]": "items.data.price.product",
            "expand[2]": "customer",
            "expand[3]": "schedule",
        },
    )

    payment = expanded["latest_invoice"]["payments"]["data"][0]
    assert "succeeded" == payment["payment"]["payment_intent"]["status"]
    assert "product" == expanded["items"]["data"][0]["price"]["product"]["object"]
    assert subscription["customer"] == expanded["customer"]["id"]
    assert expanded["schedule"] is None
    assert "payments" not in shop.get(f"/v1/invoices/{expanded['latest_invoice']['id']}")


def test_lists_expand_by_data(shop: Shop) -> None:
    """In a list the path begins with `data.`."""
    subscription = shop.buy()
    page = shop.get("/v1/subscriptions", {"expand[0]": "data.customer"})

    assert subscription["customer"] == page["data"][0]["customer"]["id"]
    assert "data.customer" in shop.refused("GET", "/v1/subscriptions", {"expand[0]": "customer"}).message


def test_line_items_are_listed_and_expanded(shop: Shop) -> None:
    """A session's lines come by expansion and by their own list, never by themselves."""
    session = shop.checkout()
    path = f"/v1/checkout/sessions/{session['id']}"

    expanded = shop.get(path, {"expand[0]": "line_items"})["line_items"]["data"]

    assert "line_items" not in session
    assert shop.get(f"{path}/line_items")["data"] == expanded
    assert (1, 1_000) == (expanded[0]["quantity"], expanded[0]["amount_total"])


def test_filters(shop: Shop) -> None:
    """Each list gives what its filters name, and nothing else."""
    product = shop.stripe.add_product("Pro")
    monthly, once = shop.price(product=product), shop.price(interval=None)
    subscription = shop.buy(monthly)
    shop.customer(email="other@example.com")
    open_session = shop.checkout(customer=subscription["customer"])
    finds: list[tuple[str, dict[str, str], int]] = [
        ("/v1/customers", {"email": "other@example.com"}, 1),
        ("/v1/customers", {"email": "OTHER@example.com"}, 0),
        ("/v1/customers", {"created[gt]": str(shop.now)}, 0),
        ("/v1/customers", {"created[gte]": str(shop.now)}, 2),
        ("/v1/products", {"active": "false"}, 0),
        ("/v1/products", {"ids[0]": product}, 1),
        ("/v1/prices", {"product": product}, 1),
        ("/v1/prices", {"type": "one_time"}, 1),
        ("/v1/prices", {"recurring[interval]": "month"}, 2),
        ("/v1/checkout/sessions", {"status": "open"}, 1),
        ("/v1/checkout/sessions", {"subscription": subscription["id"]}, 1),
        ("/v1/checkout/sessions", {"customer": subscription["customer"]}, 2),
        ("/v1/subscriptions", {"customer": subscription["customer"]}, 1),
        ("/v1/subscriptions", {"price": monthly}, 1),
        ("/v1/subscriptions", {"price": once}, 0),
        ("/v1/subscriptions", {"status": "canceled"}, 0),
        ("/v1/subscriptions", {"status": "all"}, 1),
        ("/v1/subscription_items", {"subscription": subscription["id"]}, 1),
        ("/v1/invoices", {"status": "paid"}, 1),
        ("/v1/invoices", {"customer": subscription["customer"]}, 1),
        ("/v1/invoice_payments", {"invoice": subscription["latest_invoice"]}, 1),
        ("/v1/payment_methods", {"customer": subscription["customer"], "type": "card"}, 1),
        ("/v1/events", {"type": "customer.created"}, 2),
        ("/v1/events", {"types[0]": "invoice.paid", "types[1]": "customer.created"}, 3),
    ]

    for path, params, number in finds:
        assert number == len(shop.get(path, params)["data"]), (path, params)
    assert open_session["id"] == shop.get("/v1/checkout/sessions", {"status": "open"})["data"][0]["id"]


@pytest.mark.parametrize("noun", ["subscriptions", "invoices", "checkout/sessions", "payment_methods"])
def test_lists_of_unknown_customers_are_refused(shop: Shop, noun: str) -> None:
    """A customer that does not exist is an error, not an empty list."""
    refusal = shop.refused("GET", f"/v1/{noun}", {"customer": "cus_0"})

    assert (400, "resource_missing", "customer") == (refusal.status, refusal.code, refusal.param)


def test_events_are_kept_for_thirty_days(shop: Shop) -> None:
    """An older event can neither be listed nor fetched."""
    shop.customer()
    event = shop.get("/v1/events")["data"][0]
    assert event == shop.get(f"/v1/events/{event['id']}")
    shop.stripe.advance(days=31)

    assert not shop.get("/v1/events")["data"]
    assert 404 == shop.refused("GET", f"/v1/events/{event['id']}").status


def test_search_lags(shop: Shop) -> None:
    """What was just written is not found, a minute later it is, by what it was then."""
    customer = shop.customer(**{"metadata[org]": "org_1"})
    query = {"query": "metadata['org']:'org_1' AND email:'JANE@example.com'"}
    assert not shop.get("/v1/customers/search", query)["data"]

    shop.stripe.advance(hours=1)
    shop.post(f"/v1/customers/{customer}", {"metadata[org]": "org_2"})

    found = shop.get("/v1/customers/search", query)
    assert [customer] == [row["id"] for row in found["data"]]
    assert ("search_result", False, None) == (found["object"], found["has_more"], found["next_page"])


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("email~'example'", 3),
        ("-email~'example'", 0),
        ("name:'b' OR name:'c'", 2),
        ("created>0 AND name:'a'", 1),
        ("metadata['none']:null", 3),
    ],
)
def test_search_language(shop: Shop, query: str, number: int) -> None:
    """Equality, substrings, comparison, negation, null, and one of AND and OR."""
    for name in "abc":
        shop.customer(name=name)
    shop.stripe.advance(hours=1)

    page = shop.get("/v1/customers/search", {"query": query, "limit": "2"})

    assert min(number, 2) == len(page["data"])
    if page["has_more"]:
        rest = shop.get("/v1/customers/search", {"query": query, "page": page["next_page"]})
        assert number == len(page["data"]) + len(rest["data"])


@pytest.mark.parametrize("query", ["", "email", "shoe:'1'", "metadata:'x'", "email:'a' AND name:'b' OR name:'c'"])
def test_bad_searches_are_refused(shop: Shop, query: str) -> None:
    """A query that cannot be parsed is an error, not an empty answer."""
    assert 400 == shop.refused("GET", "/v1/customers/search", {"query": query}).status
