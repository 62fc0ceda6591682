"""Scenarios of the billing portal and of cancelling."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import NotFound, Plan, Reference
from kernia_billing.testing import Fault
from kernia_billing.testing.simulator.portal.portal_configurations import default_configuration
from tests.contract.conftest import OpenShop
from tests.contract.support import PLANS, Shop, scenario
from tests.integrations.sites import ORIGIN
from tests.simulator.shop import Shop as Account

PORTALS = "/v1/billing_portal/sessions"
CANCEL, PORTAL = "/subscription/cancel", "/subscription/billing-portal"
BACK = {"returnUrl": "/account"}
BAD_CARD = "4000000000000341"
EXTRA = Plan("extra", price_id="price_extra", group="extras")


def account(shop: Shop) -> Account:
    """Stripe's Dashboard, as it were."""
    return Account(shop.stripe)


def sessions(shop: Shop) -> list[dict[str, Any]]:
    """What every portal was opened with."""
    return [dict(each.params) for each in shop.calls("POST", PORTALS)]


def cancel(shop: Shop, *, by: str = "ann", **members: object) -> Any:
    """`subscription.cancel` of the official client."""
    return shop.post(CANCEL, BACK | members, by=by)


def overdue(shop: Shop) -> Any:
    """A subscription whose renewal could not be paid."""
    opened = shop.upgrade()
    bought = shop.stripe.pay(opened.json["url"])
    shop.stripe.use_card("ann", BAD_CARD)
    shop.stripe.advance(months=1, hours=2)
    return bought


@scenario(100)
def test_the_portal_is_opened_for_the_caller(shop: Shop) -> None:
    """The page is that of the caller's customer, comes back to an absolute URL, and the client is to go there."""
    bought = shop.subscribe()
    answer = shop.post(PORTAL, BACK)
    assert (answer.status, answer.json["redirect"]) == (200, True)
    assert answer.json["url"].startswith("https://billing.stripe.com/")
    (session,) = sessions(shop)
    assert (session["customer"], session["return_url"]) == (bought.stripe_customer_id, f"{ORIGIN}/account")
    assert shop.post(PORTAL, {**BACK, "disableRedirect": True}).json["redirect"] is False


@scenario(101, 246)
@pytest.mark.parametrize("is_customer", [False, True])
def test_the_portal_of_a_shared_reference_is_that_references(shop: Shop, is_customer: bool) -> None:
    """Whoever may act for a reference opens the reference's customer, and never his own."""
    shop.people.may("ann", "workspace")
    shop.people.may("bob", "workspace")
    bought = shop.subscribe(referenceId="workspace")
    if is_customer:
        shop.subscribe("starter", by="bob")
    assert shop.post(PORTAL, {**BACK, "referenceId": "workspace"}, by="bob").status == 200
    assert sessions(shop)[-1]["customer"] == bought.stripe_customer_id
    assert shop.post(PORTAL, {**BACK, "referenceId": "workspace"}, by="eve").json["code"] == "UNAUTHORIZED"


@scenario(102)
def test_the_portal_of_an_organization(shop: Shop) -> None:
    """An organization has a customer of its own, which the portal is opened for."""
    shop.people.may("ann", "org_1")
    whose = {"referenceId": "org_1", "customerType": "organization"}
    shop.subscribe(**whose)
    own = shop.subscribe("starter")
    customer = shop.billing.customers.get(Reference("org_1", "organization"))
    assert shop.post(PORTAL, BACK | whose).status == 200
    assert sessions(shop)[-1]["customer"] == customer.stripe_id != own.stripe_customer_id


@scenario(248)
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault("status", 500, path=PORTALS, times=None), 503, "UNAVAILABLE"),
        (Fault("status", 400, path=PORTALS, times=None), 400, "UNABLE_TO_CREATE_BILLING_PORTAL"),
    ],
)
def test_a_portal_that_stripe_does_not_open(shop: Shop, fault: Fault, status: int, code: str) -> None:
    """An outage can be repeated and a refusal cannot; nothing of Stripe's own text is passed on."""
    shop.subscribe()
    default_configuration(shop.stripe.state.world)
    shop.stripe.faults.append(fault)
    answer = shop.post(PORTAL, BACK)
    assert (answer.status, answer.json["code"], answer.json["retryable"]) == (status, code, status == 503)
    assert set(answer.json) <= {"code", "message", "requestId", "retryable"}
    assert "Stripe refused" not in answer.json["message"]


def test_a_portal_that_nobody_configured(shop: Shop) -> None:
    """PORTAL_NOT_CONFIGURED says what is missing; `configure_portal` makes it good, also for changes of plan."""
    shop.subscribe()
    default_configuration(shop.stripe.state.world)["active"] = False
    shop.stripe.faults.append(Fault("status", 400, path=PORTALS, times=1))
    answer = shop.post(PORTAL, BACK)
    assert (answer.status, answer.json["code"]) == (503, "PORTAL_NOT_CONFIGURED")
    default_configuration(shop.stripe.state.world)["active"] = True
    assert shop.post(PORTAL, {**BACK, "flow": "update"}).json["code"] == "PORTAL_NOT_CONFIGURED"

    made = shop.billing.configure_portal(return_url="/account", headline="The shop")
    assert shop.post(PORTAL, {**BACK, "flow": "update"}).status == 200
    assert sessions(shop)[-1]["configuration"] == made.id
    again = shop.billing.configure_portal(cancel=None, change=False)
    assert (again.id, again.cancel, again.change) == (made.id, False, False)
    assert cancel(shop).json["code"] == "PORTAL_NOT_CONFIGURED"
    assert len(shop.calls("POST", "/v1/billing_portal/configurations")) == 2


@scenario(103)
def test_cancelling_opens_stripes_page_for_it(shop: Shop) -> None:
    """The page is about that subscription and changes nothing before the customer confirms it there."""
    bought = shop.subscribe()
    answer = cancel(shop)
    assert (answer.status, answer.json["redirect"]) == (200, True)
    assert answer.json["url"].startswith("https://billing.stripe.com/")
    (session,) = sessions(shop)
    flow = {"type": "subscription_cancel", "subscription_cancel": {"subscription": bought.stripe_id}}
    assert (session["flow_data"], session["return_url"]) == (flow, f"{ORIGIN}/account")
    assert shop.rows()[0]["cancelAtPeriodEnd"] is False
    shop.stripe.portal(answer.json["url"], "cancel")
    assert shop.rows()[0]["cancelAtPeriodEnd"] is True


@scenario(104, 243)
@pytest.mark.parametrize("at_a_date", [False, True])
def test_cancelling_what_is_cancelled_already(open_shop: OpenShop, at_a_date: bool) -> None:
    """The news of it was lost: the row is brought up to date, and the answer is the state and no error."""
    shop = open_shop(deliver="manual")
    page = shop.upgrade().json["url"]
    bought = shop.stripe.pay(page)
    shop.stripe.deliver()
    bought = shop.billing.subscriptions.get("ann")
    ends = int(bought.period_end.timestamp())
    wish = {"cancel_at": str(ends - 86_400)} if at_a_date else {"cancel_at_period_end": "true"}
    account(shop).post(f"/v1/subscriptions/{bought.stripe_id}", wish)
    assert shop.rows()[0]["canceledAt"] is None

    answer = cancel(shop)

    assert answer.status == 200
    assert (answer.json["url"], answer.json["redirect"]) == (f"{ORIGIN}/account", True)
    (row,) = shop.rows()
    assert row == answer.json["subscription"]
    assert (row["cancelAtPeriodEnd"], row["cancelAt"] is not None) == (not at_a_date, True)
    assert row["canceledAt"] is not None
    assert not sessions(shop)


@scenario(105)
def test_cancelling_what_stripe_lost(open_shop: OpenShop) -> None:
    """Only the subscription that Stripe no longer has ends here; the others stay, and so does its history."""
    shop = open_shop(plans=(*PLANS, EXTRA))
    lost, kept = shop.subscribe("pro"), shop.subscribe("extra")
    del shop.stripe.state.world.table("subscription").rows[lost.stripe_id]
    answer = cancel(shop, subscriptionId=lost.stripe_id)
    assert (answer.status, answer.json["code"]) == (400, "SUBSCRIPTION_NOT_FOUND")
    assert [row["id"] for row in shop.rows()] == [shop.billing.subscriptions.get("ann", group="extras").id]
    ended = shop.billing.subscriptions.get("ann")
    assert (ended.stripe_id, ended.status, ended.plan) == (lost.stripe_id, "canceled", "pro")
    assert ended.id in {each.subscription_id for each in shop.billing.subscriptions.history("ann").items}
    assert kept is not None


@scenario(236)
@pytest.mark.parametrize("direct", [None, "period_end", "now"])
def test_cancelling_while_a_payment_is_overdue(open_shop: OpenShop, direct: Any) -> None:
    """A subscription that is past due can be cancelled in every way, and its row is never deleted."""
    shop = open_shop(direct_cancel=direct)
    bought = overdue(shop)
    assert shop.billing.subscriptions.get("ann").status == "past_due"
    answer = cancel(shop)
    assert answer.status == 200
    if direct is None:
        assert sessions(shop)[-1]["flow_data"]["subscription_cancel"] == {"subscription": bought.stripe_id}
    after = shop.billing.subscriptions.get("ann")
    assert (after.id, after.status) == (bought.id, "canceled" if direct == "now" else "past_due")
    assert after.cancel_at_period_end is (direct == "period_end")


@scenario(244)
def test_cancelling_by_either_id(open_shop: OpenShop) -> None:
    """Our id of a subscription and Stripe's mean the same, and somebody else's mean nothing."""
    shop = open_shop(plans=(*PLANS, EXTRA))
    shop.subscribe("pro")
    named = shop.billing.subscriptions.list("ann")[0]
    shop.subscribe("extra")
    for id in (named.id, named.stripe_id):
        assert cancel(shop, subscriptionId=id).status == 200
        assert sessions(shop)[-1]["flow_data"]["subscription_cancel"] == {"subscription": named.stripe_id}
    shop.subscribe(by="bob")
    before = len(shop.calls())
    for id in (named.id, named.stripe_id, "sub_unknown"):
        answer = cancel(shop, by="bob", subscriptionId=id)
        assert (answer.status, answer.json["code"]) == (400, "SUBSCRIPTION_NOT_FOUND")
    assert len(shop.calls()) == before


@scenario(245)
def test_cancelling_acts_on_the_named_one(open_shop: OpenShop) -> None:
    """Of several subscriptions the named one is cancelled, and the other one stays as it is."""
    shop = open_shop(plans=(*PLANS, EXTRA), direct_cancel="period_end")
    shop.subscribe("pro")
    shop.subscribe("extra")
    second = shop.billing.subscriptions.get("ann", group="extras")
    answer = cancel(shop, subscriptionId=second.id, disableRedirect=True)
    assert (answer.json["redirect"], answer.json["subscription"]["id"]) == (False, second.id)
    pending = {row["plan"]: row["cancelAtPeriodEnd"] for row in shop.rows()}
    assert pending == {"pro": False, "extra": True}


@pytest.mark.parametrize("direct", [None, "now"])
def test_cancelling_a_trial_without_stripe(open_shop: OpenShop, direct: Any) -> None:
    """There is no page for it: it ends at its end, or now where the host wants that, and can be restored until then."""
    tried = Plan("tried", price_id="price_tried", trial_days=14)
    shop = open_shop(plans=(*PLANS, tried), direct_cancel=direct)
    begun = shop.billing.subscriptions.start_trial("ann", "tried")
    answer = cancel(shop, subscriptionId=begun.id)
    assert (answer.status, answer.json["url"].endswith("/account")) == (200, True)
    shown = answer.json["subscription"]
    assert (shown["id"], shown["stripeSubscriptionId"]) == (begun.id, None)
    assert (shown["status"], shown["cancelAtPeriodEnd"]) == (("canceled", False) if direct else ("trialing", True))
    if direct is None:
        restored = shop.post("/subscription/restore", {})
        assert (restored.status, restored.json["id"], restored.json["cancel_at_period_end"]) == (200, begun.id, False)
        assert [row["cancelAtPeriodEnd"] for row in shop.rows()] == [False]
    else:
        refused = cancel(shop, subscriptionId=begun.id)
        assert (refused.status, refused.json["code"]) == (400, "SUBSCRIPTION_NOT_FOUND")
    assert not shop.calls()


def test_nobody_cancels_what_he_does_not_have(shop: Shop) -> None:
    """Without a subscription, with one that was never paid and with one that has ended it is a 400, without a page."""
    assert cancel(shop).json["code"] == "SUBSCRIPTION_NOT_FOUND"
    shop.upgrade()
    assert cancel(shop).json["code"] == "SUBSCRIPTION_NOT_FOUND"
    bought = shop.subscribe(by="bob")
    shop.billing.subscriptions.cancel("bob", when="now")
    for members in ({}, {"subscriptionId": bought.id}):
        answer = cancel(shop, by="bob", **members)
        assert (answer.status, answer.json["code"]) == (400, "SUBSCRIPTION_NOT_FOUND")
    assert shop.post(CANCEL, {}).json["code"] == "VALIDATION_ERROR"
    assert not sessions(shop)
    with pytest.raises(NotFound):
        shop.billing.subscriptions.cancel("nobody")
