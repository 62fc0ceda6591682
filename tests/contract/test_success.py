"""Scenarios of `GET /subscription/success`: where a buyer comes back to before the webhook does."""

from __future__ import annotations

import pytest

from kernia_billing import Plan
from kernia_billing.testing import Fault
from tests.contract.conftest import OpenShop
from tests.contract.support import PLANS, Shop, query_of, scenario
from tests.integrations.sites import ORIGIN, Answer

SUCCESS = "/subscription/success"
SESSIONS = "/v1/checkout/sessions"
EXTRA = Plan("extra", price_id="price_extra", group="extras")


def paid(shop: Shop, plan: str = "pro", *, by: str = "ann", **members: object) -> str:
    """Buy a plan whose news does not arrive; the id of the checkout session."""
    opened = shop.upgrade(plan, by=by, **members)
    shop.stripe.pay(opened.json["url"])
    return str(opened.json["id"])


def back(shop: Shop, *, by: str | None = "ann", **query: str) -> Answer:
    """Come back from Checkout."""
    return shop.get(SUCCESS, {"callbackURL": "/welcome", **query}, by=by)


def location(answer: Answer) -> str:
    """Where the browser is sent."""
    assert answer.status == 302
    return dict(answer.headers)["location"]


@pytest.fixture
def late(open_shop: OpenShop) -> Shop:
    """A shop that no webhook reaches."""
    return open_shop(deliver="manual", plans=(*PLANS, EXTRA))


@scenario(124, 253)
def test_a_paid_session_is_brought_in(late: Shop) -> None:
    """The buyer finds his subscription active, with its period and Stripe's id, before any webhook came."""
    session = paid(late)
    assert late.rows() == []
    assert location(back(late, checkoutSessionId=session)) == f"{ORIGIN}/welcome"
    (row,) = late.rows()
    assert (row["plan"], row["status"]) == ("pro", "active")
    assert row["stripeSubscriptionId"].startswith("sub_")
    assert row["periodStart"] < row["periodEnd"]


@scenario(125)
def test_without_a_session_nothing_is_asked(late: Shop) -> None:
    """The browser goes on, and Stripe is not asked anything."""
    before = len(late.calls())
    assert location(back(late)) == f"{ORIGIN}/welcome"
    assert len(late.calls()) == before


@scenario(126)
@pytest.mark.parametrize("place", ["{CHECKOUT_SESSION_ID}", "%7BCHECKOUT_SESSION_ID%7D"])
def test_the_place_of_the_session_is_filled(late: Shop, place: str) -> None:
    """Neither the literal nor the encoded form of the placeholder stays in the address."""
    session = paid(late)
    sent = f"/welcome?session={place}"
    target = location(back(late, callbackURL=sent, checkoutSessionId=session))
    assert target == f"{ORIGIN}/welcome?session={session}"


@scenario(127)
@pytest.mark.parametrize("status", [404, 500])
def test_a_session_that_cannot_be_read(late: Shop, status: int) -> None:
    """Whatever Stripe answers, the buyer arrives."""
    session = paid(late)
    late.stripe.faults.append(Fault("status", status, path=f"{SESSIONS}/{session}", times=None))
    assert location(back(late, checkoutSessionId=session)) == f"{ORIGIN}/welcome"


@scenario(128)
def test_an_unpaid_session_activates_nothing(late: Shop) -> None:
    """Also not where the customer has another subscription that is active."""
    paid(late)
    late.stripe.deliver()
    before = late.rows(status="all")
    opened = late.upgrade("extra").json
    assert location(back(late, checkoutSessionId=opened["id"])) == f"{ORIGIN}/welcome"
    assert late.rows(status="all") == before


@scenario(129)
def test_the_sessions_own_subscription_is_taken(late: Shop) -> None:
    """Of two subscriptions the one that was bought in the session is brought in."""
    paid(late)
    late.stripe.deliver()
    (first,) = late.rows()
    session = paid(late, "extra")
    back(late, checkoutSessionId=session)
    rows = {row["plan"]: row for row in late.rows()}
    assert set(rows) == {"pro", "extra"}
    assert rows["pro"] == first
    sold = late.stripe.state.world.table("checkout.session").rows[session]["subscription"]
    assert rows["extra"]["stripeSubscriptionId"] == sold


@scenario(251)
@pytest.mark.parametrize("case", ["no cookie", "no id", "unknown", "unpaid", "already active"])
def test_a_visit_that_has_nothing_to_bring_in(late: Shop, case: str) -> None:
    """Without a cookie, an id, a session of ours or a payment, and when it is in already, nothing is written."""
    query: dict[str, str] = {}
    if case in ("no cookie", "already active"):
        query["checkoutSessionId"] = paid(late)
    if case == "already active":
        late.stripe.deliver()
    if case == "unknown":
        query["checkoutSessionId"] = "cs_test_unknown"
    if case == "unpaid":
        query["checkoutSessionId"] = late.upgrade().json["id"]
    before = late.rows(status="all")
    assert location(back(late, by=None if case == "no cookie" else "ann", **query)) == f"{ORIGIN}/welcome"
    assert late.rows(status="all") == before


@scenario(252)
def test_a_visit_by_somebody_else(late: Shop) -> None:
    """A session of somebody else is not brought in, also when its buyer is named."""
    session = paid(late)
    for more in ({}, {"referenceId": "ann"}):
        assert location(back(late, by="bob", checkoutSessionId=session, **more)) == f"{ORIGIN}/welcome"
    assert late.rows() == late.rows(by="bob") == []


def test_the_address_that_stripe_gets_leads_back_here(late: Shop) -> None:
    """Followed as the browser does, the success URL of the page ends at the caller's own."""
    late.people.may("ann", "workspace")
    opened = late.upgrade(successUrl="/welcome?a=1", referenceId="workspace").json
    late.stripe.pay(opened["url"])
    (request,) = [dict(each.params) for each in late.calls("POST", SESSIONS)]
    url = request["success_url"].replace("{CHECKOUT_SESSION_ID}", opened["id"])
    assert query_of(url)["callbackURL"] == f"{ORIGIN}/welcome?a=1"
    answer = late.get(SUCCESS, query_of(url))
    assert location(answer) == f"{ORIGIN}/welcome?a=1"
    assert [row["plan"] for row in late.rows(referenceId="workspace")] == ["pro"]
