"""Scenarios 201 to 207, 212 and 280: what the recordings of two other servers got wrong, on our HTTP surface."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernia_billing import Identity
from tests.contract.conftest import OpenShop
from tests.contract.support import Shop, scenario
from tests.integrations.sites import Answer

JSON = {"content-type": "application/json"}
FIVE = {
    "/subscription/upgrade": "POST",
    "/subscription/cancel": "POST",
    "/subscription/restore": "POST",
    "/subscription/billing-portal": "POST",
    "/subscription/list": "GET",
}
OPTIONAL = ("/subscription/restore", "/subscription/billing-portal", "/billing/portal")
EXPORTED = json.loads((Path(__file__).parents[1] / "data" / "better-auth-client.json").read_text())["plugin"]


def refusal(answer: Answer) -> tuple[int, str]:
    """Status and code of a refusal; it is flat JSON with a text and the id of the request."""
    body = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert isinstance(body["message"], str)
    assert body["requestId"].startswith("req_")
    assert not isinstance(body.get("error"), dict)
    return answer.status, body["code"]


@scenario(201)
@pytest.mark.parametrize("path", FIVE)
def test_nobody_signed_in(shop: Shop, path: str) -> None:
    """401 before anything that was sent is looked at."""
    body = None if FIVE[path] == "GET" else b'{"plan": 5, "seats": "x"'
    answer = shop.ask(FIVE[path], f"{path}?customerType=nonsense", body, by=None, headers=JSON)

    assert refusal(answer) == (401, "UNAUTHORIZED")
    assert answer.json["message"] == "Unauthorized"


@scenario(202)
def test_everything_that_is_wrong_is_named(shop: Shop) -> None:
    """All members at once, with what was expected; a text is no number, and Stripe is asked nothing."""
    answer = shop.post("/subscription/upgrade", {"seats": "5", "annual": "yes", "customerType": "team", "locale": 1})

    assert refusal(answer) == (400, "VALIDATION_ERROR")
    for named in ("[body.plan]", "[body.seats]", "[body.annual]", "[body.customerType]", "[body.locale]"):
        assert named in answer.json["message"]
    assert "expected integer, received string" in answer.json["message"]
    for seats in ("5", 5.0, True, 0, -1, [5], 10**10):
        assert refusal(shop.post("/subscription/upgrade", {"plan": "pro", "seats": seats}))[0] == 400
    assert not shop.calls("POST")


@scenario(203)
def test_null_is_as_good_as_nothing(shop: Shop) -> None:
    """Optional members may be null, as the client sends them."""
    optional = ("annual", "seats", "metadata", "locale", "returnUrl", "referenceId", "customerType", "disableRedirect")
    members: dict[str, Any] = dict.fromkeys(optional)
    answer = shop.upgrade("pro", **members)

    assert answer.status == 200
    assert answer.json["redirect"] is True
    assert refusal(shop.post("/subscription/upgrade", {"plan": None})) == (400, "VALIDATION_ERROR")


@scenario(204)
@pytest.mark.parametrize(
    "body",
    [b"{", b"nonsense", b'{"plan": NaN}', b'{"plan": "\xff"}', b'{"plan": 1e999}', b"[" * 10_000, b'{"a":1,"a":2}'],
)
def test_malformed_json(shop: Shop, body: bytes) -> None:
    """400, and never an error of the server."""
    assert refusal(shop.ask("POST", "/subscription/upgrade", body, headers=JSON))[0] == 400
    assert refusal(shop.ask("POST", "/billing/check", body, headers=JSON))[0] == 400


@scenario(205)
@pytest.mark.parametrize("path", OPTIONAL)
def test_an_empty_body_is_an_empty_object(shop: Shop, path: str) -> None:
    """Where nothing is required nothing need be sent: no body, `{}`, and no content type are the same request."""
    shop.subscribe()
    answers = [shop.post(path), shop.post(path, {}), shop.ask("POST", path, b"", headers=JSON)]

    assert len({(each.status, each.json.get("code")) for each in answers}) == 1
    assert answers[0].json.get("code") not in ("NOT_FOUND", "UNSUPPORTED_MEDIA_TYPE")
    assert answers[0].json.get("code") != "VALIDATION_ERROR"
    if path != "/subscription/restore":
        assert answers[0].status == 200


@scenario(206)
@pytest.mark.parametrize("path", FIVE)
def test_a_wrong_method(shop: Shop, path: str) -> None:
    """405 with what is allowed, and a text that names the mistake: the client picks the method by the members."""
    method = FIVE[path]
    wrong = "GET" if method == "POST" else "POST"
    answer = shop.ask(wrong, path)

    assert refusal(answer) == (405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == ("GET, HEAD" if method == "GET" else "POST")
    assert answer.json["message"] == (
        f"{path} takes GET: put the members under `query`, as in {{ query: {{ referenceId }} }}"
        if method == "GET"
        else f"{path} takes POST: the client sends GET when it is called without members"
    )
    assert refusal(shop.ask("DELETE", path)) == (405, "METHOD_NOT_ALLOWED")


@scenario(207)
@pytest.mark.parametrize("path", [path for path in FIVE if path != "/subscription/list"])
def test_a_cookie_without_a_trusted_origin(shop: Shop, path: str) -> None:
    """It may have been another site that made the browser send it."""
    body = {"plan": "pro"}
    assert refusal(shop.ask("POST", path, body, origin=None)) == (403, "MISSING_OR_NULL_ORIGIN")
    assert refusal(shop.ask("POST", path, body, origin="null")) == (403, "MISSING_OR_NULL_ORIGIN")
    assert refusal(shop.ask("POST", path, body, origin="https://evil.example")) == (403, "INVALID_ORIGIN")
    assert not shop.calls("POST")


@scenario(212)
def test_texts_are_those_that_the_client_exports(open_shop: OpenShop) -> None:
    """An application may look a message up by its code, or by the alias where Kernia has another name for it."""
    shop = open_shop(subscription_for="user", require_email_verification=True, authorize_reference=None)
    answers = [
        shop.post("/subscription/billing-portal", {}),
        shop.upgrade("nothing"),
        shop.upgrade("pro", referenceId="bob"),
        shop.upgrade("pro", subscriptionId="sub_nothing"),
    ]
    strange = open_shop()
    strange.people.may("ann", "org_1")
    answers += [
        strange.upgrade("pro", customerType="organization"),
        strange.upgrade("pro", subscriptionId="sub_nothing"),
    ]
    strange.subscribe()
    answers.append(strange.upgrade("pro"))

    seen: dict[str, Any] = {}
    for answer in answers:
        assert answer.status >= 400
        code = answer.json.get("alias", answer.json["code"])
        seen[code] = answer.json["message"]
    assert {"CUSTOMER_NOT_FOUND", "SUBSCRIPTION_PLAN_NOT_FOUND", "REFERENCE_ID_NOT_ALLOWED"} <= set(seen)
    assert {"ORGANIZATION_REFERENCE_ID_REQUIRED", "ALREADY_SUBSCRIBED_PLAN", "SUBSCRIPTION_NOT_FOUND"} <= set(seen)
    assert seen == {code: EXPORTED["errorCodes"][code]["message"] for code in seen}


@scenario(280)
def test_the_billing_layer(open_shop: OpenShop) -> None:
    """Each of its routes is there and answers as the contract says."""

    def is_root(identity: Identity) -> bool:
        return identity.user_id == "root"

    shop = open_shop(default_plan="free", authorize_admin=is_root)
    checked = shop.post("/billing/check", {"feature": "projects", "required": 4})
    assert (checked.status, checked.json["allowed"], checked.json["remaining"]) == (200, False, 3)
    tracked = shop.post("/billing/track", {"feature": "projects", "quantity": 2}).json
    assert (tracked["funded"], tracked["balance"]["remaining"], tracked["replayed"]) == (2, 1, False)
    assert shop.get("/billing/customer").json["features"]["projects"]["used"] == 2
    (event,) = shop.get("/billing/usage", {"feature": "projects"}).json["events"]
    assert (event["id"], event["quantity"]) == (tracked["eventId"], 2)
    points = shop.get("/billing/usage/series", {"feature": "projects", "bin": "day"}).json["series"]
    assert sum(each["quantity"] for each in points) == 2
    assert {each["quantity"] for each in points} == {0, 2}

    shop.subscribe()
    assert shop.post("/billing/portal", {"returnUrl": "/billing"}).json["redirect"] is True
    assert shop.ask("GET", "/billing/portal").json["redirect"] is True
    assert refusal(shop.post("/stripe/catalog/sync")) == (403, "FORBIDDEN")
    assert shop.post("/stripe/catalog/sync", by="root").json["prices"] >= 4
    assert {"price_pro", "price_pro_y"} <= {each["id"] for each in shop.get("/stripe/prices").json["prices"]}
    assert shop.get("/stripe/products").json["products"]
    (invoice,) = shop.get("/billing/invoices").json["invoices"]
    assert (invoice["status"], invoice["total"], invoice["currency"]) == ("paid", 1000, "usd")
    pdf = shop.get(f"/billing/invoices/{invoice['id']}/pdf")
    assert (pdf.status, pdf.headers["location"][:23]) == (302, "https://pay.stripe.com/")
    assert refusal(shop.get(f"/billing/invoices/{invoice['id']}/pdf", by="bob")) == (404, "INVOICE_NOT_FOUND")
    assert refusal(shop.get(f"/billing/invoices/{invoice['id']}/pdf", by=None)) == (401, "UNAUTHORIZED")
    assert shop.get("/billing/openapi.json", by=None).json["openapi"] == "3.1.0"
