"""What each route answers, and what its operation is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from attrs import evolve

from kernia_billing.domain.answers import Balance, Checkout, Receipt
from kernia_billing.domain.plans import Credits, Metered, Quantity
from kernia_billing.domain.references import Identity, Reference
from kernia_billing.domain.urls import TrustedOrigins
from kernia_billing.errors import NotFound
from kernia_billing.http.views import allowance_view, check_view, date, redirect_view
from tests.http.support import NOW, ORIGIN, USER, Recorder, balance, outcome, parsed, request, send, subscription

AT = "2026-03-01T12:00:00.123Z"


def test_dates_have_three_digits() -> None:
    """A browser reads more digits as that many milliseconds."""
    assert date(datetime(2026, 1, 2, 3, 4, 5, 999_999, UTC)) == "2026-01-02T03:04:05.999Z"
    assert date(datetime(2026, 1, 2, 3, 4, 5, 0, UTC)) == "2026-01-02T03:04:05.000Z"


# ── /billing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_check() -> None:
    """The whole answer, with the defaults of the request."""
    service = Recorder()

    assert parsed(send(service, "POST", "/billing/check", {"feature": "projects"})) == {
        "allowed": True,
        "reason": "ok",
        "message": "A sentence.",
        "feature": "projects",
        "referenceId": "user_1",
        "customerType": "user",
        "required": 1,
        "unlimited": False,
        "included": 10,
        "used": 7,
        "held": 0,
        "remaining": 3,
        "overage": {"allowed": False, "used": 0, "limit": None},
        "minimum": 0,
        "resetsAt": AT,
        "breakdown": [{"source": "plan", "kind": "grant", "resetsAt": AT}],
        "limits": [],
        "degraded": False,
        "asOf": AT,
    }
    assert service.calls == [
        ("check", (Reference("user_1", "user"), "projects", 1, {"entity": None, "preview": False}))
    ]


def test_a_denied_check_is_an_answer() -> None:
    """200 with `allowed` false: the client drops the body of anything else."""
    service = Recorder()
    service.allowed, service.reason = False, "insufficient_balance"
    response = send(service, "POST", "/billing/check", {"feature": "projects", "required": 0, "preview": True})
    body = parsed(response)

    assert (response.status, body["allowed"], body["reason"]) == (200, False, "insufficient_balance")
    assert body["preview"] == {"offers": ["team"]}
    assert not {"url", "redirect"} & set(body)


def test_without_limit_there_is_nothing_to_count() -> None:
    """`included` and `remaining` are null."""
    decision = Recorder().decision(Reference("user_1", "user"), "projects", 1)
    view = check_view(
        evolve(decision, balance=balance(unlimited=True, remaining=None), breakdown=[{"kind": "overage"}]),
        preview=False,
    )

    assert (view.unlimited, view.included, view.remaining, view.overage.allowed) == (True, None, None, True)


def test_an_unknown_feature_is_a_404() -> None:
    """A typo is not a denial."""
    assert outcome(send(Recorder(), "POST", "/billing/check", {"feature": "missing"})) == (404, "FEATURE_NOT_FOUND")


def test_track() -> None:
    """Everything that a client may say of a use, and the receipt."""
    service = Recorder()
    sent = {
        "feature": "projects",
        "quantity": 2,
        "mode": "require",
        "entityId": "e1",
        "properties": {"project_id": "prj_1", "n": 1, "b": True},
        "occurredAt": "2026-02-28T23:59:59.5+01:00",
        "idempotencyKey": "k1",
    }

    assert parsed(send(service, "POST", "/billing/track", sent)) == {
        "eventId": "evt_1",
        "feature": "projects",
        "referenceId": "user_1",
        "quantity": 2,
        "funded": 2,
        "unfunded": 0,
        "replayed": False,
        "late": False,
        "balance": {"included": 10, "used": 7, "held": 0, "remaining": 3, "unlimited": False, "resetsAt": AT},
        "deductions": [{"amount": 1}],
    }
    (_, (reference, feature, quantity, named)) = service.calls[0]
    assert (reference, feature, quantity) == (Reference("user_1", "user"), "projects", 2)
    assert named.pop("occurred_at") == datetime(2026, 2, 28, 22, 59, 59, 500_000, UTC)
    assert named == {
        "mode": "require",
        "entity": "e1",
        "properties": {"project_id": "prj_1", "n": 1, "b": True},
        "idempotency_key": "k1",
    }


def test_a_use_that_was_required_and_denied_is_a_402() -> None:
    """With the reason, and how much is left."""
    service = Recorder()
    service.allowed, service.reason = False, "not_entitled"
    response = send(service, "POST", "/billing/track", {"feature": "projects", "quantity": 9, "mode": "require"})

    assert outcome(response) == (402, "FEATURE_DENIED")
    assert {"feature": "projects", "reason": "not_entitled", "required": 9, "remaining": 3}.items() <= parsed(
        response
    ).items()


def test_reserve() -> None:
    """Everything that a client may say of what it sets aside, and what there is beside it."""
    service = Recorder()
    sent = {"feature": "projects", "quantity": 2, "ttl": 600, "entityId": "e1"}

    found = parsed(send(service, "POST", "/billing/reserve", sent, headers={"idempotency-key": "k1"}))

    assert found == {
        "reservationId": "hold_1",
        "feature": "projects",
        "referenceId": "user_1",
        "held": 2,
        "expiresAt": AT,
        "balance": {"included": 10, "used": 7, "held": 2, "remaining": 3, "unlimited": False, "resetsAt": AT},
    }
    named = {"ttl": 600, "entity": "e1", "idempotency_key": "k1"}
    assert service.calls == [("reserve", (Reference("user_1", "user"), "projects", 2, named))]


def test_what_cannot_be_reserved_is_a_402() -> None:
    """All or nothing, with the reason; one unit for a minute is what is asked for where nothing is said."""
    service = Recorder()
    service.allowed, service.reason = False, "not_entitled"

    assert outcome(send(service, "POST", "/billing/reserve", {"feature": "projects"})) == (402, "FEATURE_DENIED")
    (_, (_, _, quantity, named)) = service.calls[0]
    assert (quantity, named["ttl"], named["idempotency_key"]) == (1, 60, None)


def test_settle_and_release() -> None:
    """By the id of the reservation, whose reference is asked for as everywhere; what is settled has a receipt."""
    service = Recorder()

    settled = parsed(send(service, "POST", "/billing/settle", {"reservationId": "hold_1", "quantity": 0}))
    everything = parsed(send(service, "POST", "/billing/settle", {"reservationId": "hold_1"}))
    released = parsed(send(service, "POST", "/billing/release", {"reservationId": "hold_1"}))

    assert settled == everything
    assert (settled["reservationId"], settled["held"], settled["usage"]["eventId"]) == ("hold_1", 0, "evt_1")
    assert released == {name: value for name, value in settled.items() if name != "usage"}
    me = Reference("user_1", "user")
    calls = [("settle", (me, "hold_1", 0)), ("settle", (me, "hold_1", None)), ("release", (me, "hold_1"))]
    assert service.calls == calls


@pytest.mark.parametrize("path", ["/billing/settle", "/billing/release"])
def test_another_ones_reservation_is_a_404(path: str) -> None:
    """Whose it is, nobody learns."""
    assert outcome(send(Recorder(), "POST", path, {"reservationId": "missing"})) == (404, "HOLD_NOT_FOUND")


def test_customer() -> None:
    """Who is billed and what is left; the members are null where there is nobody yet."""
    service = Recorder()
    body = parsed(send(service, "GET", "/billing/customer"))

    assert (body["stripeCustomerId"], body["plan"], body["portalAvailable"]) == ("cus_1", "pro", True)
    assert body["subscription"]["id"] == "sub_local"
    assert body["features"]["projects"]["remaining"] == 3

    service.has_customer = False
    body = parsed(send(service, "GET", "/billing/customer", query="customerType=organization"))
    assert (body["referenceId"], body["customerType"]) == ("org_1", "organization")
    assert (body["stripeCustomerId"], body["plan"], body["subscription"]) == (None, None, None)
    assert body["portalAvailable"] is False


def test_usage() -> None:
    """Events and the cursor of the next page."""
    assert parsed(send(Recorder(), "GET", "/billing/usage")) == {
        "events": [
            {
                "id": "evt_1",
                "feature": "projects",
                "quantity": 2,
                "occurredAt": AT,
                "properties": {"model": "small", "n": 1},
            }
        ],
        "nextCursor": "cursor_2",
    }


def test_plans() -> None:
    """For anybody; without prices' ids and without the names of meters."""
    response = send(Recorder(), "GET", "/billing/plans", identity=None)

    assert parsed(response) == {
        "plans": [
            {
                "name": "pro",
                "title": "Pro",
                "prices": {"monthly": {"amount": 1000, "currency": "usd"}, "annual": None},
                "features": {
                    "sso": {"kind": "boolean"},
                    "projects": {"kind": "quantity", "included": 3, "unlimited": False, "perSeat": False},
                    "messages": {
                        "kind": "metered",
                        "included": 10,
                        "unlimited": False,
                        "perSeat": False,
                        "resetPeriod": "month",
                        "allowOverage": True,
                        "overageLimit": None,
                    },
                },
                "trialDays": 14,
            }
        ]
    }


def test_kinds_of_allowances() -> None:
    """Named as in configurations."""
    assert allowance_view("seats", Quantity(1)).kind == "seat"
    assert allowance_view("x", Credits(5)).kind == "credit"
    assert allowance_view("x", Metered(unlimited=True)).included is None


# ── /subscription ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_list_has_exactly_these_members() -> None:
    """One row per active or trialing subscription; everything else is not listed."""
    service = Recorder()
    gone = subscription(plan="gone", price_id=None, status="trialing", cancel_at=NOW)
    hidden = ["past_due", "unpaid", "paused", "incomplete", "incomplete_expired", "canceled", "something_new"]
    service.rows = [subscription(), *(subscription(status=status) for status in hidden), gone]
    first, second = parsed(send(service, "GET", "/subscription/list"))

    assert first == {
        "id": "sub_local",
        "plan": "pro",
        "referenceId": "user_1",
        "stripeCustomerId": "cus_1",
        "stripeSubscriptionId": "sub_1",
        "status": "active",
        "periodStart": AT,
        "periodEnd": AT,
        "trialStart": None,
        "trialEnd": None,
        "cancelAtPeriodEnd": False,
        "cancelAt": None,
        "canceledAt": None,
        "endedAt": None,
        "seats": 2,
        "billingInterval": "month",
        "stripeScheduleId": None,
        "limits": {"projects": 5, "tags": ["a"]},
        "priceId": "price_1",
    }
    assert (second["status"], second["cancelAt"]) == ("trialing", AT)
    assert "resumesAt" not in second
    assert not {"limits", "priceId"} & set(second)


def test_a_paused_subscription_says_until_when() -> None:
    """Where collection goes on by itself, the row has the day."""
    service = Recorder()
    service.rows = [subscription(resumes_at=NOW)]
    (row,) = parsed(send(service, "GET", "/subscription/list"))
    assert row["resumesAt"] == AT


def test_an_empty_list_is_an_array() -> None:
    """The client gets `[]`, not null."""
    service = Recorder()
    service.rows = []

    assert send(service, "GET", "/subscription/list").body == b"[]"


def test_upgrade() -> None:
    """URLs become absolute, the success URL leads through our own route, and the session comes back."""
    service = Recorder()
    response = send(
        service,
        "POST",
        "/subscription/upgrade",
        {"plan": "Pro", "successUrl": "/done?x=1&s={CHECKOUT_SESSION_ID}#top", "cancelUrl": "/billing", "annual": True},
    )

    assert parsed(response) == {
        "id": "cs_test_1",
        "object": "checkout.session",
        "url": "https://checkout.stripe.com/c/pay/cs_test_1",
        "status": "open",
        "redirect": True,
    }
    (_, (reference, plan, named)) = service.calls[0]
    assert (reference, plan) == (Reference("user_1", "user"), "Pro")
    wrapped: str = named.pop("success_url")
    assert wrapped.startswith(f"{ORIGIN}/api/auth/subscription/success?callbackURL=")
    assert wrapped.endswith("&checkoutSessionId={CHECKOUT_SESSION_ID}")
    assert wrapped.count("{CHECKOUT_SESSION_ID}") == 1
    assert parse_qs(urlsplit(wrapped).query) == {
        "callbackURL": [f"{ORIGIN}/done?x=1&s={{CHECKOUT_SESSION_ID}}#top"],
        "checkoutSessionId": ["{CHECKOUT_SESSION_ID}"],
    }
    assert named == {
        "cancel_url": f"{ORIGIN}/billing",
        "annual": True,
        "seats": None,
        "locale": None,
        "metadata": {},
        "subscription_id": None,
        "schedule_at_period_end": False,
        "return_url": f"{ORIGIN}/done?x=1&s={{CHECKOUT_SESSION_ID}}#top",
        "identity": USER,
    }


def test_the_success_url_names_a_reference_that_is_not_the_callers_own() -> None:
    """So that the visit afterwards can bring in that reference's purchase."""
    service = Recorder()
    send(
        service,
        "POST",
        "/subscription/upgrade",
        {"plan": "pro", "referenceId": "a&b=é", "customerType": "organization"},
    )
    wrapped: str = service.calls[0][1][2]["success_url"]

    assert ("referenceId", "a&b=é") in parse_qsl(urlsplit(wrapped).query)
    assert ("customerType", "organization") in parse_qsl(urlsplit(wrapped).query)


def test_the_base_path_is_where_the_host_mounted_us() -> None:
    """Also at the root."""
    service = Recorder(base_path="", trusted=TrustedOrigins("http://localhost:8000"))
    send(service, "POST", "/subscription/upgrade", {"plan": "pro"})

    assert service.calls[0][1][2]["success_url"].startswith("http://localhost:8000/subscription/success?")


def test_upgrade_passes_everything_else_on() -> None:
    """With the types of the wire."""
    service = Recorder()
    response = send(
        service,
        "POST",
        "/subscription/upgrade",
        {
            "plan": "team",
            "seats": 10**9,
            "locale": "pt-BR",
            "metadata": {"campaign": "spring"},
            "subscriptionId": "sub_1",
            "scheduleAtPeriodEnd": True,
            "returnUrl": "https://x.trusted.example/back",
            "disableRedirect": True,
        },
    )
    named = service.calls[0][1][2]

    assert parsed(response)["redirect"] is False
    assert named["return_url"] == "https://x.trusted.example/back"
    assert (named["seats"], named["locale"], named["metadata"]) == (10**9, "pt-BR", {"campaign": "spring"})
    assert (named["subscription_id"], named["schedule_at_period_end"]) == ("sub_1", True)


EVIL = [
    "https://evil.example",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "https:evil.example",
    "ht\ntps://evil.example",
    "https://evil.example\\@app.example.com/x",
    "https://app.example.com@evil.example/",
    "https://app.example.com:443@evil.example/",
    "https://app.example.com.evil.example/",
    "https://evil.example?.trusted.example",
    "https://trusted.example.evil.example",
    "/%2fevil.example",
    "/%5cevil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "myapp://done",
    "ok",
    "http://app.example.com/",
    "https://app.example.com:8443/",
    "/a\r\nSet-Cookie: x=1",
    "/a b",
    "//",
]


@pytest.mark.parametrize("url", EVIL)
@pytest.mark.parametrize("member", ["successUrl", "cancelUrl", "returnUrl"])
def test_a_url_elsewhere_is_refused_before_anything_happens(member: str, url: str) -> None:
    """403 for each of them, and the member is named."""
    service = Recorder()
    response = send(service, "POST", "/subscription/upgrade", {"plan": "pro", member: url})

    assert outcome(response) == (403, "INVALID_CALLBACK_URL")
    assert parsed(response)["message"] == "Invalid callbackURL"
    assert parsed(response)["field"] == member
    assert service.calls == []


def test_an_unverified_address_cannot_buy_where_that_is_asked_for() -> None:
    """Judged before the plan is looked at."""
    service = Recorder(require_email_verification=True)
    unverified = evolve(USER, email_verified=False)
    response = send(service, "POST", "/subscription/upgrade", {"plan": "pro"}, identity=unverified)

    assert outcome(response) == (400, "EMAIL_VERIFICATION_REQUIRED")
    assert parsed(response)["message"] == "Email verification is required before you can subscribe to a plan"
    assert service.calls == []
    assert send(service, "POST", "/subscription/upgrade", {"plan": "pro"}).status == 200


@pytest.mark.parametrize(
    ("code", "status", "alias"),
    [
        ("PLAN_NOT_FOUND", 400, "SUBSCRIPTION_PLAN_NOT_FOUND"),
        ("SUBSCRIPTION_NOT_FOUND", 400, None),
        ("PRICE_NOT_FOUND", 400, None),
        ("CUSTOMER_NOT_FOUND", 404, None),
    ],
)
def test_what_an_upgrade_names_and_does_not_exist(code: str, status: int, alias: str | None) -> None:
    """A wrong member of the request."""
    service = Recorder()
    service.fails = NotFound("x", code=code)
    response = send(service, "POST", "/subscription/upgrade", {"plan": "nope"})

    assert outcome(response) == (status, code)
    assert parsed(response).get("alias") == alias


@pytest.mark.parametrize(
    ("url", "disabled", "redirect"),
    [
        ("https://checkout.stripe.com/x", False, True),
        ("https://checkout.stripe.com/x", True, False),
        ("/billing", False, False),
        ("javascript:alert(1)", False, False),
        (None, False, False),
    ],
)
def test_redirect_only_with_an_absolute_url(url: str | None, disabled: bool, redirect: bool) -> None:
    """The client would follow it."""
    assert redirect_view(url, disabled=disabled).redirect is redirect


def test_a_change_without_a_session_has_only_the_url() -> None:
    """A portal page confirms a change of plan."""
    service = Recorder()

    async def upgrade(*_: Any, **__: Any) -> Checkout:
        return Checkout("https://billing.stripe.com/p/session/x", None, "open", None)

    service.upgrade = upgrade  # type: ignore[method-assign]  # a stand-in
    body = parsed(send(service, "POST", "/subscription/upgrade", {"plan": "pro"}))

    assert body == {"url": "https://billing.stripe.com/p/session/x", "redirect": True}


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/subscription/billing-portal"), ("POST", "/billing/portal"), ("GET", "/billing/portal")],
)
def test_portal(method: str, path: str) -> None:
    """Three spellings of one thing, for the reference's own customer."""
    service = Recorder()
    if method == "POST":
        sent: dict[str, Any] = {"body": {"returnUrl": "/b", "flow": "cancel", "locale": "de", "referenceId": "user_2"}}
    else:
        sent = {"query": "returnUrl=%2Fb&flow=cancel&locale=de&referenceId=user_2"}
    response = send(service, method, path, **sent)

    assert parsed(response) == {"url": "https://billing.stripe.com/p/session/x", "redirect": True}
    assert service.calls == [
        (
            "portal",
            (
                Reference("user_2", "user"),
                {"return_url": f"{ORIGIN}/b", "flow": "cancel", "locale": "de", "subscription_id": None},
            ),
        )
    ]
    evil = {"body": {"returnUrl": "//evil"}} if method == "POST" else {"query": "returnUrl=%2F%2Fevil"}
    assert outcome(send(service, method, path, **evil)) == (403, "INVALID_CALLBACK_URL")
    off = {"body": {"disableRedirect": True}} if method == "POST" else {"query": "disableRedirect=true"}
    assert parsed(send(service, method, path, **off))["redirect"] is False


# ── /stripe ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_webhook_health() -> None:
    """What waits and what failed, for administrators."""
    service = Recorder()
    service.admin = True
    assert parsed(send(service, "GET", "/stripe/webhooks/health")) == {
        "lastReceivedAt": AT,
        "lastProcessedAt": None,
        "waiting": 1,
        "lagSeconds": 90,
        "dead": 1,
        "unmatched": 0,
        "failuresLastDay": 1,
        "counts": {"received": 1, "dead": 1},
        "hooksWaiting": 2,
        "hooksLagSeconds": 60,
    }


def test_catalog() -> None:
    """What an import did, and what it brought; notes of the seller stay inside."""
    service = Recorder()
    service.admin = True
    assert parsed(send(service, "POST", "/stripe/catalog/sync")) == {
        "products": 2,
        "prices": 3,
        "created": 5,
        "updated": 0,
        "deactivated": 0,
        "syncedAt": AT,
    }

    products = send(service, "GET", "/stripe/products")
    assert parsed(products) == {
        "products": [{"id": "prod_1", "active": True, "name": "Pro", "description": None, "createdAt": AT}],
        "nextCursor": "next",
    }
    prices = send(service, "GET", "/stripe/prices")
    assert parsed(prices)["prices"][0]["unitAmount"] == 1000
    assert b"internal" not in products.body + prices.body


def test_webhook() -> None:
    """The bytes go on as they came; a repeated event says so."""
    service = Recorder()
    headers = {"stripe-signature": "good"}
    raw = b'{ "id": "evt_1", "a": 1, "a": 2 }'

    assert parsed(send(service, "POST", "/stripe/webhook", raw, headers=headers, identity=None)) == {"received": True}
    assert service.calls == [("receive_webhook", (raw, "good"))]

    service.receipt = Receipt("evt_1", "skipped")
    assert parsed(send(service, "POST", "/stripe/webhook", raw, headers=headers)) == {"received": True, "skipped": True}


@pytest.mark.parametrize(
    ("raw", "headers"),
    [
        (b"{}", {}),
        (b"{}", {"stripe-signature": ""}),
        (b"{}", {"stripe-signature": "bad"}),
        (b"", {"stripe-signature": "good"}),
    ],
)
def test_a_webhook_that_nobody_signed(raw: bytes, headers: dict[str, str]) -> None:
    """One answer for every reason."""
    response = send(Recorder(), "POST", "/stripe/webhook", raw, headers=headers)

    assert outcome(response) == (400, "INVALID_SIGNATURE")
    assert parsed(response)["alias"] == "FAILED_TO_CONSTRUCT_STRIPE_EVENT"


# ── /subscription/success ───────────────────────────────────────────────────────────────────────────────────────────


def visit(service: Recorder, query: str, identity: object = USER) -> tuple[int, str | None]:
    """Come back from Checkout."""
    response = send(service, "GET", "/subscription/success", query=query, identity=identity)
    return response.status, response.headers.get("location")


def test_a_buyer_arrives_and_the_purchase_is_brought_in() -> None:
    """302 to the callback, with the session id filled in, in both spellings."""
    service = Recorder()
    callback = "%2Fdone%3Fa%3D%7BCHECKOUT_SESSION_ID%7D%26b%3D%257BCHECKOUT_SESSION_ID%257D"
    query = f"callbackURL={callback}&checkoutSessionId=cs_test_1"

    assert visit(service, query) == (302, f"{ORIGIN}/done?a=cs_test_1&b=cs_test_1")
    assert service.calls == [("sync_checkout", (Reference("user_1", "user"), "cs_test_1"))]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "checkoutSessionId=",
        "checkoutSessionId={CHECKOUT_SESSION_ID}",
        "checkoutSessionId=sub_1",
        "checkoutSessionId=cs_test_1/../x",
        "checkoutSessionId=cs_%0d%0a",
    ],
)
def test_a_visit_without_a_session_only_redirects(query: str) -> None:
    """Nothing is asked of anybody."""
    service, seen = Recorder(), list[str]()

    assert visit(service, query) == (302, f"{ORIGIN}/")
    assert visit(service, f"{query}&callbackURL=%2Fx%3Fs%3D%7BCHECKOUT_SESSION_ID%7D") == (302, f"{ORIGIN}/x?s=")
    assert (service.calls, service.asked, seen) == ([], [], [])


def test_nobody_activates_what_is_not_theirs() -> None:
    """Without a session, with somebody else's, or for a reference that one may not buy for: a redirect, no more."""
    service = Recorder()
    query = "callbackURL=%2Fdone&checkoutSessionId=cs_test_1"

    assert visit(service, query, identity=None) == (302, f"{ORIGIN}/done")
    assert service.calls == []
    assert visit(service, query, identity=Identity("user_9")) == (302, f"{ORIGIN}/done")
    assert service.calls == [("sync_checkout", (Reference("user_9", "user"), "cs_test_1"))]
    service.calls.clear()

    service.allows = False
    assert visit(service, f"{query}&referenceId=user_1", identity=Identity("user_9"))[0] == 302
    assert service.asked == [("user_9", "user_1", "upgrade-subscription")]
    assert service.calls == []
    assert service.unexpected == []


def test_a_purchase_for_a_named_reference_is_brought_in_for_it() -> None:
    """The success URL says for whom, and the callback of the host is asked again."""
    service = Recorder()
    service.own_sessions["cs_2"] = Reference("org_7", "organization")

    visit(service, "checkoutSessionId=cs_2&referenceId=org_7&customerType=organization")
    assert service.calls == [("sync_checkout", (Reference("org_7", "organization"), "cs_2"))]
    assert service.asked == [("user_1", "org_7", "upgrade-subscription")]


@pytest.mark.parametrize("error", [RuntimeError("x"), ExceptionGroup("x", [ValueError()])])
def test_errors_never_keep_a_buyer_from_arriving(error: Exception) -> None:
    """They are reported instead, also those of `identify`."""
    service = Recorder()
    service.fails = error
    query = "callbackURL=%2Fdone&checkoutSessionId=cs_test_1"

    assert visit(service, query) == (302, f"{ORIGIN}/done")
    assert visit(service, query, identity=error) == (302, f"{ORIGIN}/done")
    assert visit(service, f"{query}&customerType=team") == (302, f"{ORIGIN}/done")
    assert [each for each, _ in service.unexpected] == [error, error]


@pytest.mark.parametrize("url", EVIL)
def test_the_callback_is_not_an_open_redirect(url: str) -> None:
    """403 before anything is synced."""
    from urllib.parse import quote

    service = Recorder()
    query = f"callbackURL={quote(url, safe='')}&checkoutSessionId=cs_test_1"
    response = send(service, "GET", "/subscription/success", query=query)

    assert outcome(response) == (403, "INVALID_CALLBACK_URL")
    assert service.calls == []


@pytest.mark.parametrize(
    "query",
    [
        "callbackURL=%2Fa&callbackURL=%2F%2Fevil",
        "callbackURL=%2F%2Fevil&callbackURL=%2Fa",
        "referenceId=user_1&referenceId=user_2",
        "callbackURL=",
        "callbackURL=%ff",
        "callbackURL=/" + "a" * 2100,
        "callbackURL=%2Fa%0d%0aX:y",
        "&".join(["a=1"] * 101),
    ],
)
def test_a_callback_in_doubt_is_refused(query: str) -> None:
    """Twice, empty, undecodable, too long, or with line breaks."""
    assert visit(Recorder(), query)[0] == 403


def test_the_balance_of_a_feature_is_its_own_shape() -> None:
    """Overage is not part of it."""
    found = Balance("x", 0, 0, 0, None, True, None, 5, None)
    service = Recorder()

    assert found.overage_used == 5
    assert request("GET", "/").path == "/"
    assert set(parsed(send(service, "GET", "/billing/customer"))["features"]["projects"]) == {
        "included",
        "used",
        "held",
        "remaining",
        "unlimited",
        "resetsAt",
    }
