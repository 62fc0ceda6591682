"""Scenarios of `POST /subscription/upgrade` that open a first checkout page, and of what the page asks for."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from kernia_billing import Identity, Plan
from kernia_billing.domain.selling import CheckoutContext
from tests.contract.conftest import OpenShop
from tests.contract.support import PLANS, Shop, scenario

SESSIONS = "/v1/checkout/sessions"
METERED = Plan("metered", price_id="price_metered", metered=True)
TRIED = Plan("tried", price_id="price_tried", trial_days=14)


def asked(shop: Shop) -> dict[str, Any]:
    """The parameters of the last page that was asked of Stripe."""
    params: dict[str, Any] = shop.calls("POST", SESSIONS)[-1].params
    return params


def dashboard(shop: Shop, method: str, path: str, *, news: bool = True, **form: Any) -> dict[str, Any]:
    """What the owner of the Stripe account does there; without `news` nothing is heard of it."""
    with httpx.Client(transport=shop.stripe.transport, base_url="https://api.stripe.com") as client:
        answer = client.request(
            method, path, data=form or None, headers={"authorization": f"Bearer {shop.stripe.api_key}"}
        )
    assert answer.status_code == 200, answer.text
    if news:
        shop.stripe.flush()
    made: dict[str, Any] = answer.json()
    return made


def hooked(open_shop: OpenShop, answer: Any) -> Shop:
    """A shop whose hook gives this for every page."""

    def hook(_context: CheckoutContext) -> Any:
        return answer

    return open_shop(plans=(*PLANS, TRIED), get_checkout_session_params=hook)


@scenario(64)
def test_first_upgrade_opens_a_page_and_sells_nothing_yet(shop: Shop) -> None:
    """A URL is answered; nothing is listed, nothing is canceled, and no trial is there."""
    answer = shop.upgrade()
    assert (answer.status, answer.json["redirect"]) == (200, True)
    assert answer.json["url"].startswith("https://checkout.stripe.com/")
    assert shop.rows() == []
    metadata = asked(shop)["metadata"]
    assert (metadata["plan"], metadata["referenceId"]) == ("pro", "ann")
    assert "trial_period_days" not in asked(shop)["subscription_data"]
    bought = shop.stripe.pay(answer.json["url"])
    assert (bought.id, bought.cancel_at_period_end, bought.trial_end) == (metadata["subscriptionId"], False, None)


@scenario(65)
def test_metadata_is_in_session_and_subscription(shop: Shop) -> None:
    """What the client sends is in both, beside what the library writes."""
    shop.upgrade(metadata={"campaign": "spring"})
    sent = asked(shop)
    assert sent["metadata"] == sent["subscription_data"]["metadata"]
    assert sent["metadata"]["campaign"] == "spring"


@scenario(67)
def test_what_is_active_already_is_not_sold_again(shop: Shop) -> None:
    """The same plan, seats and price: 409, and no page."""
    shop.subscribe()
    before = len(shop.calls("POST", SESSIONS))
    answer = shop.upgrade()
    assert (answer.status, answer.json["code"]) == (409, "ALREADY_SUBSCRIBED_PLAN")
    assert len(shop.calls("POST", SESSIONS)) == before


@scenario(69)
def test_what_has_ended_may_be_bought_again(shop: Shop) -> None:
    """While the period runs it is refused; once the subscription has ended it is sold again."""
    bought = shop.subscribe()
    shop.stripe.advance(days=20)
    assert shop.upgrade().status == 409
    dashboard(shop, "DELETE", f"/v1/subscriptions/{bought.stripe_id}")
    assert shop.upgrade().status == 200


@scenario(79, 80)
@pytest.mark.parametrize(("plan", "quantity"), [("metered", None), ("pro", "1")])
def test_a_metered_price_has_no_quantity(open_shop: OpenShop, plan: str, quantity: str | None) -> None:
    """The line of a metered price is without a quantity, that of a licensed one has it."""
    shop = open_shop(plans=(*PLANS, METERED))
    assert shop.upgrade(plan).status == 200
    (line,) = asked(shop)["line_items"].values()
    assert line.get("quantity") == quantity


@scenario(84)
def test_the_plans_trial_stays_beside_what_the_hook_wants(open_shop: OpenShop) -> None:
    """The hook gives subscription_data: its trial settings are sent, the plan's days stay, and its own do not count."""
    settings = {"end_behavior": {"missing_payment_method": "cancel"}}
    shop = hooked(
        open_shop,
        {"subscription_data": {"trial_settings": settings, "trial_period_days": 90, "description": "Hello"}},
    )
    shop.upgrade("tried")
    sent = asked(shop)["subscription_data"]
    assert (sent["trial_period_days"], sent["trial_settings"], sent["description"]) == ("14", settings, "Hello")


@scenario(85)
def test_what_the_library_decides_no_hook_changes(open_shop: OpenShop) -> None:
    """Mode, customer, addresses, lines and reference of the hook have no effect."""
    shop = hooked(
        open_shop,
        {
            "mode": "payment",
            "customer": "cus_other",
            "customer_email": "other@shop.example",
            "success_url": "https://evil.example/",
            "cancel_url": "https://evil.example/",
            "line_items": [{"price": "price_pro", "quantity": 99}],
            "client_reference_id": "other",
        },
    )
    plain = shop.upgrade("starter")
    assert plain.status == 200
    sent = asked(shop)
    assert (sent["mode"], sent["client_reference_id"]) == ("subscription", "ann")
    assert sent["customer"] != "cus_other"
    assert "customer_email" not in sent
    assert [*sent["line_items"].values()] == [{"price": "price_starter", "quantity": "1"}]
    assert "evil" not in sent["success_url"] + sent["cancel_url"]


@scenario(86)
def test_the_hooks_wishes_for_the_page_pass_through(open_shop: OpenShop) -> None:
    """Promotion codes, tax ids, custom text, billing address and the collection of payment methods."""
    wishes = {
        "allow_promotion_codes": True,
        "tax_id_collection": {"enabled": True},
        "custom_text": {"submit": {"message": "Welcome"}},
        "billing_address_collection": "required",
        "payment_method_collection": "if_required",
    }
    shop = hooked(open_shop, {"params": wishes, "options": {"idempotencyKey": "theirs"}})
    assert shop.upgrade().status == 200
    sent = asked(shop)
    flat = {**wishes, "allow_promotion_codes": "true", "tax_id_collection": {"enabled": "true"}}
    assert {name: sent[name] for name in wishes} == flat


@scenario(87, 88)
@pytest.mark.parametrize("theirs", [None, {"address": "never", "name": "auto"}])
def test_customer_update(open_shop: OpenShop, theirs: dict[str, str] | None) -> None:
    """Name and address are kept up to date by the page, unless the hook says otherwise."""
    shop = hooked(open_shop, None if theirs is None else {"customer_update": theirs})
    shop.upgrade()
    assert asked(shop)["customer_update"] == (theirs or {"address": "auto", "name": "auto"})


@scenario(89, 90)
@pytest.mark.parametrize(("locale", "expected"), [("fr", "fr"), (None, "de")])
def test_locale(open_shop: OpenShop, locale: str | None, expected: str) -> None:
    """The request's language comes before the hook's, which counts where the request has none."""
    shop = hooked(open_shop, {"locale": "de"})
    shop.upgrade(**({} if locale is None else {"locale": locale}))
    assert asked(shop)["locale"] == expected


@scenario(91)
def test_no_hook_removes_our_metadata(open_shop: OpenShop) -> None:
    """userId, subscriptionId and referenceId stay ours in session and subscription, and the rest is the hook's."""
    theirs = {"userId": "x", "referenceId": "x", "subscriptionId": "x", "SUBSCRIPTIONID": "x", "tag": "blue"}
    shop = hooked(open_shop, {"metadata": theirs, "subscription_data": {"metadata": theirs}})
    shop.upgrade()
    for metadata in (asked(shop)["metadata"], asked(shop)["subscription_data"]["metadata"]):
        assert (metadata["userId"], metadata["referenceId"], metadata["tag"]) == ("ann", "ann", "blue")
        assert metadata["subscriptionId"].startswith("sub_")
        assert "SUBSCRIPTIONID" not in metadata


@scenario(92)
def test_one_upgrade_makes_customer_and_session(open_shop: OpenShop) -> None:
    """A new user's first upgrade makes the customer and the page for it, and the hook is told who buys what."""
    told: list[CheckoutContext] = []
    shop = open_shop(get_checkout_session_params=told.append)
    shop.upgrade("starter", annual=True)
    (customer,) = [each for each in shop.calls("POST", "/v1/customers") if each.path == "/v1/customers"]
    assert customer.params["email"] == "ann@shop.example"
    (context,) = told
    assert isinstance(context.identity, Identity)
    seen = (context.reference.id, context.identity.user_id, context.plan.name, context.interval, context.seats)
    assert seen == ("ann", "ann", "starter", "year", 1)
    assert asked(shop)["metadata"]["subscriptionId"] == context.subscription_id
