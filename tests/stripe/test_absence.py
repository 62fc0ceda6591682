"""Only Stripe itself can say that it has no such object: nothing ends because something on the way knows no page."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Unavailable
from kernia_billing._drive import run_blocking
from kernia_billing.operations.projections import sync_object
from kernia_billing.testing import Fault
from tests.webhooks.fixtures import honest_client, shop
from tests.webhooks.shop import Shop

__all__ = ["honest_client", "shop"]

SESSIONS = "/v1/checkout/sessions"


@pytest.mark.parametrize("status", [400, 404, 410, 413])
@pytest.mark.parametrize("kind", ["subscription", "customer", "price", "product"])
def test_a_page_of_a_proxy_ends_nothing(shop: Shop, kind: Any, status: int) -> None:
    """Not found says a proxy: subscription, customer and prices stay what they are."""
    shop.billing.catalog.sync()
    bought = shop.buy()
    (price,) = [each for each in shop.rows()["price"] if each["id"] == "price_pro"]
    ids = {
        "subscription": bought.stripe_id,
        "customer": shop.customer(),
        "price": "price_pro",
        "product": price["product_id"],
    }
    before = {name: shop.rows()[name] for name in ("subscription", "customer", "price", "product", "entitlement")}
    shop.stripe.faults.append(Fault("html", status, method="GET", times=None))

    with pytest.raises(Unavailable):
        run_blocking(sync_object(shop.billing._wiring.core, kind, ids[kind] or ""))

    shop.stripe.faults.clear()
    assert {name: shop.rows()[name] for name in before} == before
    assert shop.subscription().status == "active"


def test_a_page_of_a_proxy_closes_no_checkout(shop: Shop) -> None:
    """A page that is open and was asked for through a bad proxy can still be paid, and is not opened twice."""
    opened = shop.upgrade()
    shop.stripe.faults.append(Fault("html", 404, times=None))
    with pytest.raises(Unavailable):
        shop.billing.sync_checkout(opened.session_id or "")
    with pytest.raises(Unavailable):
        shop.upgrade(plan="team")
    shop.stripe.faults.clear()

    assert [each["status"] for each in shop.rows()["checkout_session"]] == ["open"]
    assert shop.upgrade().session_id == opened.session_id
    assert len(shop.objects("checkout.session")) == 1


def test_what_stripe_itself_does_not_have_is_gone(shop: Shop) -> None:
    """`resource_missing` is Stripe's word for it."""
    bought = shop.buy()
    shop.stripe.faults.append(Fault("status", 404, method="GET", path="/v1/subscriptions/*"))

    assert run_blocking(sync_object(shop.billing._wiring.core, "subscription", bought.stripe_id or "")) == "gone"
    assert shop.subscription().status == "canceled"
