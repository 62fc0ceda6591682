"""The official client, `better-auth` with `@better-auth/stripe/client`, in Node, against ours under uvicorn.

The calls are written as the documents of Better Auth and of Kernia write them.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import pytest

from tests.acceptance.support import OfficialClient, Shop, official_client

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


def buy(client: OfficialClient, name: str, text: str) -> None:
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
