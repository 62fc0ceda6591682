"""Stripe's portal is opened for the reference's own customer, and for what the flow could change."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import InvalidInput, NotFound, PortalNotConfigured, Unavailable
from kernia_billing.operations.portal import Flow
from kernia_billing.testing import Fault
from kernia_billing.testing.simulator.portal.portal_configurations import default_configuration
from tests.webhooks.shop import ORIGIN, Shop

PORTALS = "/v1/billing_portal/sessions"


def test_the_portal_is_of_the_own_customer(shop: Shop) -> None:
    """Each reference gets a page of its own customer, and every call a new one."""
    shop.buy("ann")
    shop.billing.customers.ensure("bob")
    urls = {shop.billing.portal(reference, return_url="/account").url for reference in ("ann", "bob", "ann")}
    assert len(urls) == 3
    assert all(url.startswith("https://") for url in urls)
    requests = [each.params for each in shop.called("POST", PORTALS)]
    assert [each["customer"] for each in requests] == [shop.customer(each) for each in ("ann", "bob", "ann")]
    assert {each["return_url"] for each in requests} == {f"{ORIGIN}/account"}


@pytest.mark.parametrize("seen", [False, True])
def test_without_a_stripe_customer_there_is_no_portal(shop: Shop, seen: bool) -> None:
    """A reference that was never billed, seen before or not, is CUSTOMER_NOT_FOUND; no customer is made for it."""
    if seen:
        shop.billing.track("ann", "messages", 1)
    with pytest.raises(NotFound) as missing:
        shop.billing.portal("ann", return_url="/account")
    assert missing.value.code == "CUSTOMER_NOT_FOUND"
    assert not shop.stripe.requests


@pytest.mark.parametrize("flow", ["payment_method", "cancel", "update"])
def test_flows_name_the_live_subscription(shop: Shop, flow: Flow) -> None:
    """A flow goes straight to its task, about the live subscription; without one there is nothing to change."""
    shop.billing.customers.ensure("ann")
    if flow != "payment_method":
        with pytest.raises(NotFound) as missing:
            shop.billing.portal("ann", return_url="/", flow=flow)
        assert missing.value.code == "SUBSCRIPTION_NOT_FOUND"
    ended = shop.buy("ann", "team")
    shop.account.delete(f"/v1/subscriptions/{ended.stripe_id}")
    shop.stripe.flush()
    bought = shop.buy("ann", "pro")
    if flow == "update":
        # The account decides in its Dashboard what the portal offers.
        with pytest.raises(PortalNotConfigured, match="'update' is switched off"):
            shop.billing.portal("ann", return_url="/", flow=flow)
        default_configuration(shop.stripe.state.world)["features"]["subscription_update"]["enabled"] = True
    shop.billing.portal("ann", return_url="/", flow=flow)
    told = shop.called("POST", PORTALS)[-1].params["flow_data"]
    if flow == "payment_method":
        assert told == {"type": "payment_method_update"}
    else:
        kind = f"subscription_{flow}"
        assert told == {"type": kind, kind: {"subscription": bought.stripe_id}}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"return_url": "javascript:alert(1)"}, "return_url"),
        ({"return_url": "//evil.example"}, "return_url"),
        ({"return_url": 5}, "return_url"),
        ({"flow": "delete"}, "flow"),
    ],
)
def test_bad_input_opens_nothing(shop: Shop, wrong: dict[str, Any], field: str) -> None:
    """What is no address, and an unknown flow, are refused by name before Stripe is asked."""
    shop.billing.customers.ensure("ann")
    with pytest.raises(InvalidInput) as refusal:
        shop.billing.portal("ann", return_url=wrong.get("return_url", "/"), flow=wrong.get("flow"))
    assert refusal.value.field == field
    assert not shop.called("POST", PORTALS)


def test_a_cancellation_in_the_portal_arrives(shop: Shop) -> None:
    """What is cancelled at Stripe is mirrored, and list shows the subscriptions of its own reference alone."""
    shop.buy("ann")
    other = shop.buy("bob", "team")
    shop.account.post(f"/v1/subscriptions/{shop.subscription().stripe_id}", {"cancel_at_period_end": "true"})
    shop.stripe.flush()
    (listed,) = shop.billing.subscriptions.list("ann")
    assert listed.display_state == "cancel_pending"
    assert list(shop.billing.subscriptions.list("bob")) == [other]
    assert list(shop.billing.subscriptions.list("nobody")) == []
    assert shop.billing.subscriptions.get("nobody") is None
    assert shop.billing.subscriptions.get("ann", group="extras") is None


def test_the_portal_while_stripe_is_down(shop: Shop) -> None:
    """No page is better than a wrong one."""
    shop.billing.customers.ensure("ann")
    shop.stripe.faults.append(Fault("status", 500, path=PORTALS, times=None))
    with pytest.raises(Unavailable):
        shop.billing.portal("ann", return_url="/")
