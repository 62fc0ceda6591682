"""The official client, `better-auth` with `@better-auth/stripe/client`, in Node and Chromium, against ours.

The calls are written as the documents of Better Auth and of Kernia write them.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.browsing import BrowserClient
from tests.acceptance.support import ROOT, Client, OfficialClient, Shop, official_client
from tests.contract.support import scenario

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

pytestmark = pytest.mark.xdist_group("official-client")
on_both_engines = pytest.mark.parametrize(
    "database",
    [pytest.param(engine, marks=getattr(pytest.mark, engine)) for engine in ("sqlite", "postgresql")],
    indirect=True,
    scope="module",
)


@pytest.fixture(scope="module")
def client(asgi_shop: Shop, installed_client: str) -> Generator[OfficialClient]:
    """The client, one process for all tests on an engine."""
    with official_client(asgi_shop, installed_client) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(asgi_shop: Shop, pages: str, shared_browser: Chrome) -> BrowserClient:
    """The client on a page of another origin, which the shop trusts."""
    return BrowserClient(asgi_shop, pages, shared_browser)


@pytest.fixture(params=["node", "chromium"])
def anywhere(request: pytest.FixtureRequest, asgi_shop: Shop) -> Client:
    """The client in Node, and in a browser."""
    found: Client = request.getfixturevalue("client" if request.param == "node" else "chromium")
    assert found.shop is asgi_shop
    return found


RECORDED = json.loads((ROOT / "tests" / "data" / "better-auth-client.json").read_text(encoding="utf-8"))
SEED = (
    (
        'S.upgrade({ plan: "pro", successUrl: "/billing/success", cancelUrl: "/billing", annual: true, '
        'referenceId: "org_123", seats: 5 })'
    ),
    'S.list({ query: { referenceId: "org_123" } })',
    'S.billingPortal({ returnUrl: "/billing" })',
)
SEED_BILLING = (
    'F("/billing/check", { method: "POST", body: { feature: "projects", referenceId: "org_123", required: 1 } })',
    (
        'F("/billing/track", { method: "POST", body: { feature: "projects", referenceId: "org_123", quantity: 1, '
        'properties: { project_id: "prj_123" } } })'
    ),
    'F("/billing/customer", { query: { referenceId: "org_123" } })',
    'F("/billing/portal", { query: { returnUrl: "/billing" } })',
    'F("/billing/portal", { method: "POST", body: { returnUrl: "/billing" } })',
    'F("/billing/usage", { query: { feature: "projects", from: new Date(0) } })',
    'F("/stripe/catalog/sync", { method: "POST" })',
    'F("/stripe/products")',
    'F("/stripe/prices")',
)
SEED_LATER = (
    'S.cancel({ subscriptionId: "sub_123", returnUrl: "/billing" })',
    'S.restore({ subscriptionId: "sub_123" })',
)


def buy(client: Client, name: str, text: str) -> None:
    """Make a call that opens a checkout, and pay there."""
    opened = client.data(text, name)
    client.shop.control("pay", session=opened["id"])


@on_both_engines
def test_upgrade_answers_a_checkout_session(client: OfficialClient) -> None:
    """The members of Stripe's session that the client's type promises, and `redirect`, which sends a browser there."""
    opened = client.data('S.upgrade({ plan: "pro", successUrl: "/ok", cancelUrl: "/no" })', "ann")

    assert opened["url"].startswith("https://checkout.stripe.com/c/pay/cs_test_")
    assert opened == {
        "url": opened["url"],
        "redirect": True,
        "id": opened["url"].rpartition("/")[2],
        "object": "checkout.session",
        "status": "open",
    }


@on_both_engines
def test_disable_redirect(client: OfficialClient) -> None:
    """`disableRedirect` keeps the client where it is."""
    opened = client.data('S.upgrade({ plan: "pro", disableRedirect: true })', "ben")

    assert (opened["redirect"], opened["url"][:8]) == (False, "https://")


@on_both_engines
def test_a_subscription_for_an_organization(client: OfficialClient) -> None:
    """What the documents buy for org_123 is listed for it with Dates, and for nobody else."""
    ours = 'S.list({ query: { referenceId: "org_123" } })'
    assert client.data(ours, "ada") == []

    buy(
        client,
        "ada",
        'S.upgrade({ plan: "pro", successUrl: "/billing/success", cancelUrl: "/billing", annual: true, '
        'referenceId: "org_123", seats: 5 })',
    )

    [listed] = client.data(ours, "ada")
    assert {
        "plan": "pro",
        "status": "active",
        "referenceId": "org_123",
        "seats": 5,
        "billingInterval": "year",
        "priceId": "price_pro_year",
        "limits": {"projects": 3},
        "cancelAtPeriodEnd": False,
        "trialStart": None,
    }.items() <= listed.items()
    assert listed["stripeCustomerId"].startswith("cus_")
    assert listed["stripeSubscriptionId"].startswith("sub_")
    assert timedelta(365) <= listed["periodEnd"] - listed["periodStart"] <= timedelta(366)
    assert client.data("S.list()", "ada") == []
    assert client.error(ours, "cleo") == (401, "UNAUTHORIZED", "Unauthorized access")


@on_both_engines
def test_a_plan_is_bought_once(client: OfficialClient) -> None:
    """A second purchase is refused with the text that the client exports."""
    buy(client, "dan", 'S.upgrade({ plan: "pro" })')

    status, code, message = client.error('S.upgrade({ plan: "Pro" })', "dan")

    assert status == 409
    assert client.call("CODES.ALREADY_SUBSCRIBED_PLAN", {}) == {"code": code, "message": message}


@on_both_engines
def test_the_billing_portal(client: OfficialClient) -> None:
    """There is no portal before somebody was billed, and one afterwards, on both routes."""
    assert client.error('S.billingPortal({ returnUrl: "/billing" })', "eve") == (
        404,
        "CUSTOMER_NOT_FOUND",
        "Stripe customer not found for this user",
    )

    buy(client, "eve", 'S.upgrade({ plan: "pro" })')

    for call in (
        'S.billingPortal({ returnUrl: "/billing" })',
        "S.billingPortal()",
        'F("/billing/portal", { method: "POST", body: { returnUrl: "/billing" } })',
        'F("/billing/portal", { query: { returnUrl: "/billing" } })',
    ):
        opened = client.data(call, "eve")
        assert (opened["url"].startswith("https://billing.stripe.com/p/session/"), opened["redirect"]) == (True, True)


@on_both_engines
def test_catalog_sync_is_for_administrators(client: OfficialClient) -> None:
    """The import answers counts and a Date to an administrator; the imported prices are there for everybody."""
    sync = 'F("/stripe/catalog/sync", { method: "POST" })'
    assert client.error(sync, "finn")[:2] == (403, "FORBIDDEN")

    done = client.data(sync, "ada")

    assert (done["products"], done["prices"]) == (4, 4)
    assert abs(done["syncedAt"] - datetime.now(UTC)) < timedelta(minutes=5)
    prices = client.data('F("/stripe/prices")', "finn")["prices"]
    assert {each["id"] for each in prices} == {"price_starter", "price_pro", "price_pro_year", "price_team"}
    assert all(isinstance(each["createdAt"], datetime) for each in prices)
    products = client.data('F("/stripe/products")', "finn")["products"]
    assert {each["id"] for each in products} == {each["productId"] for each in prices}


@on_both_engines
def test_check_and_track(client: OfficialClient) -> None:
    """What is tracked is missing from the next check; a key counts once; a denial is an answer with status 200."""
    buy(client, "ada", 'S.upgrade({ plan: "pro", referenceId: "org_q" })')
    check = 'F("/billing/check", { method: "POST", body: { feature: "projects", referenceId: "org_q", required: 1 } })'
    track = (
        'F("/billing/track", { method: "POST", body: { feature: "projects", referenceId: "org_q", quantity: 1, '
        'properties: { project_id: "prj_123" } }, headers: { "Idempotency-Key": "prj_123" } })'
    )

    before = client.data(check, "ada")
    first = client.data(track, "ada")
    again = client.data(track, "ada")
    after = client.data(check, "ada")

    assert (before["allowed"], before["reason"], before["remaining"], before["referenceId"]) == (True, "ok", 3, "org_q")
    assert isinstance(before["asOf"], datetime)
    assert (first["quantity"], first["funded"], first["replayed"], first["balance"]["used"]) == (1, 1, False, 1)
    assert (again["eventId"], again["replayed"], again["balance"]["used"]) == (first["eventId"], True, 1)
    assert after["remaining"] == 2
    denied = client.data(check.replace("required: 1", "required: 3"), "ada")
    assert (denied["allowed"], denied["reason"]) == (False, "insufficient_balance")
    third = 'F("/billing/track", { method: "POST", body: { feature: "projects", referenceId: "org_q", mode: "require", '
    too_many = third + 'quantity: 3, idempotencyKey: "prj_124" } })'
    assert client.error(too_many, "ada")[:2] == (402, "INSUFFICIENT_BALANCE")
    other = third + 'quantity: 2, idempotencyKey: "prj_123" } })'
    assert client.error(other, "ada")[:2] == (409, "IDEMPOTENCY_MISMATCH")


@on_both_engines
def test_customer_usage_and_plans(client: OfficialClient) -> None:
    """What there is, with the paths that the client makes of its proxy."""
    nobody = client.data("client.billing.customer()", "gus")
    assert (nobody["stripeCustomerId"], nobody["subscription"], nobody["portalAvailable"]) == (None, None, False)
    buy(client, "gus", 'S.upgrade({ plan: "pro" })')
    client.data('client.billing.track({ feature: "messages", quantity: 2, properties: { to: "Ada" } })', "gus")

    customer = client.data('F("/billing/customer")', "gus")
    usage = client.data('client.billing.usage({ query: { feature: "messages", from: new Date(0), limit: 10 } })', "gus")
    plans = client.data("client.billing.plans()", "gus")

    assert (customer["plan"], customer["portalAvailable"], customer["subscription"]["status"]) == (
        "pro",
        True,
        "active",
    )
    assert isinstance(customer["subscription"]["periodEnd"], datetime)
    assert customer["features"]["messages"]["used"] == 2
    assert isinstance(customer["features"]["messages"]["resetsAt"], datetime)
    [event] = usage["events"]
    assert (event["feature"], event["quantity"], event["properties"]) == ("messages", 2, {"to": "Ada"})
    assert abs(event["occurredAt"] - datetime.now(UTC)) < timedelta(minutes=5)
    assert usage["nextCursor"] is None
    assert [each["name"] for each in plans["plans"]] == ["free", "starter", "pro", "team"]
    assert client.data('F("/billing/openapi.json")', "gus")["openapi"].startswith("3.1")


@on_both_engines
@pytest.mark.parametrize(
    ("call", "status", "code"),
    [
        ('S.upgrade({ plan: "nope" })', 400, "PLAN_NOT_FOUND"),
        ('S.upgrade({ plan: "starter", annual: true })', 400, "PRICE_NOT_FOUND"),
        ('S.upgrade({ plan: "pro", seats: 2.5 })', 400, "VALIDATION_ERROR"),
        ('S.upgrade({ plan: "pro", successUrl: "https://evil.example/" })', 403, "INVALID_CALLBACK_URL"),
        ('S.upgrade({ plan: "pro", subscriptionId: "sub_123" })', 400, "SUBSCRIPTION_NOT_FOUND"),
        ('S.list({ query: { referenceId: "ada" } })', 401, "UNAUTHORIZED"),
        ('S.list({ referenceId: "org_123" })', 405, "METHOD_NOT_ALLOWED"),
        ("S.upgrade()", 405, "METHOD_NOT_ALLOWED"),
        ('client.billing.check({ feature: "nope" })', 404, "FEATURE_NOT_FOUND"),
        ('client.billing.track({ feature: "projects", quantity: 0.1 })', 400, "VALIDATION_ERROR"),
    ],
)
def test_an_error_holds_code_and_message(client: OfficialClient, call: str, status: int, code: str) -> None:
    """Every refusal reaches the application as `error.status`, `error.code` and a text."""
    found = client.error(call, "hal")

    assert found[:2] == (status, code)
    assert found[2]


@on_both_engines
def test_nobody_signed_in(client: OfficialClient) -> None:
    """Without a session there is 401 with a body that the client understands."""
    for call in ("S.list()", 'S.upgrade({ plan: "pro" })', "S.billingPortal()", "client.billing.customer()"):
        assert client.error(call, None) == (401, "UNAUTHORIZED", "Unauthorized")


@on_both_engines
def test_a_cookie_alone_changes_nothing(client: OfficialClient) -> None:
    """A session cookie needs an Origin that is trusted, on everything but reads."""
    for call in (
        'S.upgrade({ plan: "pro" })',
        'F("/stripe/catalog/sync", { method: "POST" })',
        'F("/billing/track", { method: "POST", body: { feature: "projects" } })',
        'F("/billing/portal")',
    ):
        assert client.error(call, "ada", origin=None)[:2] == (403, "MISSING_OR_NULL_ORIGIN")
        assert client.error(call, "ada", origin="https://evil.example")[:2] == (403, "INVALID_ORIGIN")
    assert client.call("S.list()", client.shop.headers("ivy", origin=None)) == {"data": [], "error": None}


@on_both_engines
def test_a_bearer_needs_no_origin(client: OfficialClient) -> None:
    """A token that no browser adds by itself is as good as a cookie with an Origin."""
    answer = client.call('S.upgrade({ plan: "pro" })', {"authorization": "Bearer jan"})

    assert (answer["error"], answer["data"]["redirect"]) == (None, True)


def test_the_document_has_been_read(seed_lines: Sequence[str]) -> None:
    """Every line that the recording took from Kernia's plugin document is played below, by its own name."""
    played = {*SEED, *SEED_LATER, *SEED_BILLING}

    assert set(seed_lines) <= played


@pytest.fixture(scope="module")
def seed_lines() -> Sequence[str]:
    """The lines of the document, as they were recorded."""
    found = [*RECORDED["calls"], *RECORDED["browser"]["calls"]]
    lines = [call["call"] for call in found if "seed 000" in call["label"] and "call" in call]
    # With the relative base URL of the document the client throws before it sends anything.
    return [line for line in lines if '"baseURL":"/api/auth"' not in line]


@scenario(281)
@on_both_engines
def test_the_lines_of_the_document(anywhere: Client) -> None:
    """One after the other, for an organization: what comes back has Dates, and every line has its effect."""
    organization, person = f"org_{anywhere.place}", f"nia_{anywhere.place}"
    for_us = [line.replace("org_123", organization) for line in (*SEED, *SEED_BILLING)]
    upgrade, listed, portal, check, track, customer, with_get, with_post, usage, sync, products, prices = for_us

    buy(anywhere, "ada", upgrade)
    (row,) = anywhere.data(listed, "ada")
    assert (row["plan"], row["seats"], row["billingInterval"], row["referenceId"]) == ("pro", 5, "year", organization)
    assert isinstance(row["periodEnd"], datetime)
    assert anywhere.data(check, "ada")["allowed"] is True
    assert anywhere.data(track, "ada")["funded"] == 1
    answer = anywhere.data(customer, "ada")
    assert isinstance(answer["subscription"]["periodStart"], datetime)
    assert answer["features"]["projects"]["used"] == 1

    buy(anywhere, person, 'S.upgrade({ plan: "pro" })')
    assert anywhere.data(track.replace(f', referenceId: "{organization}"', ""), person)["balance"]["used"] == 1
    for opens in (portal, with_get, with_post):
        assert anywhere.data(opens, person)["url"].startswith("https://billing.stripe.com/")
    (event,) = anywhere.data(usage, person)["events"]
    assert (isinstance(event["occurredAt"], datetime), event["properties"]) == (True, {"project_id": "prj_123"})
    assert isinstance(anywhere.data(sync, "ada")["syncedAt"], datetime)
    assert anywhere.data(products, person)["products"]
    assert anywhere.data(prices, person)["prices"]


@scenario(281)
@on_both_engines
@pytest.mark.parametrize("line", SEED_LATER)
def test_the_lines_of_the_document_that_name_a_subscription(anywhere: Client, line: str) -> None:
    """The document's own id is nobody's subscription: the error holds its code, and the text of the client."""
    _, code, message = anywhere.error(line, "ola")

    assert code == "SUBSCRIPTION_NOT_FOUND"
    assert anywhere.ask("CODES.SUBSCRIPTION_NOT_FOUND", None) == {"code": code, "message": message}


@scenario(281)
@on_both_engines
def test_invoices_and_use_over_time(anywhere: Client) -> None:
    """The client makes the paths of routes that it does not know, with Dates in both directions."""
    person = f"pam_{anywhere.place}"
    buy(anywhere, person, 'S.upgrade({ plan: "pro" })')
    anywhere.data('client.billing.track({ feature: "messages", quantity: 2 })', person)
    series = 'client.billing.usage.series({ query: { feature: "messages", bin: "hour", from: new Date(HOUR_AGO) } })'
    series = series.replace("HOUR_AGO", "Date.now() - 36e5")

    points = anywhere.data(series, person)["series"]
    (invoice,) = anywhere.data("client.billing.invoices()", person)["invoices"]

    assert sum(each["quantity"] for each in points) == 2
    assert all(isinstance(each["start"], datetime) for each in points)
    assert (invoice["status"], invoice["total"], isinstance(invoice["createdAt"], datetime)) == ("paid", 1000, True)


@on_both_engines
def test_a_browser_is_sent_to_stripe(chromium: BrowserClient) -> None:
    """Where `redirect` is true the client assigns the page's location; with `disableRedirect` the page stays."""
    opened = chromium.data('S.upgrade({ plan: "pro" })', "quinn")
    assert opened["redirect"] is True
    assert chromium.left_for == [opened["url"]]
    chromium.shop.control("pay", session=opened["id"])

    portal = chromium.data('S.billingPortal({ returnUrl: "/billing" })', "quinn")
    assert chromium.left_for == [portal["url"]]

    stays = chromium.data('S.billingPortal({ returnUrl: "/billing", disableRedirect: true })', "quinn")
    assert (stays["redirect"], chromium.left_for) == (False, [])


@on_both_engines
def test_a_browser_keeps_answers_from_a_page_that_is_not_trusted(chromium: BrowserClient) -> None:
    """It can neither send a change nor read an answer, with a cookie of somebody who is signed in."""
    strange = chromium.page.replace("127.0.0.1", "localhost")
    for call in ("S.list()", 'S.upgrade({ plan: "pro" })', 'client.billing.track({ feature: "messages" })'):
        with pytest.raises(AssertionError, match="Failed to fetch"):
            chromium.ask(call, "rae", origin=strange)
        assert chromium.left_for == []

    assert chromium.error("S.list()", None)[:2] == (401, "UNAUTHORIZED")
    assert chromium.data("S.list()", "rae") == []
    assert chromium.data("client.billing.customer()", "rae")["stripeCustomerId"] is None
