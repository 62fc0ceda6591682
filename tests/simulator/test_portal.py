"""The portal: what its configuration allows, what its flows lead to, and what customers do there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from kernia_billing.testing import CardDeclined, SimulatorError
from tests.simulator.shop import Shop

CONFIGURATIONS, SESSIONS = "/v1/billing_portal/configurations", "/v1/billing_portal/sessions"
BACK = "https://shop.example/me"
EVERYTHING = {
    "features[customer_update][enabled]": "true",
    "features[customer_update][allowed_updates][0]": "email",
    "features[customer_update][allowed_updates][1]": "address",
    "features[invoice_history][enabled]": "true",
    "features[payment_method_update][enabled]": "true",
    "features[subscription_cancel][enabled]": "true",
    "features[subscription_cancel][cancellation_reason][enabled]": "true",
    "features[subscription_cancel][cancellation_reason][options][0]": "too_expensive",
    "features[subscription_pause][enabled]": "true",
    "features[subscription_update][enabled]": "true",
    "features[subscription_update][default_allowed_updates][0]": "price",
    "features[subscription_update][default_allowed_updates][1]": "quantity",
    "features[subscription_update][proration_behavior]": "always_invoice",
    "features[subscription_update][schedule_at_period_end][conditions][0][type]": "decreasing_item_amount",
    "features[subscription_update][schedule_at_period_end][conditions][1][type]": "shortening_interval",
}


class Desk:
    """A customer with a subscription, and a portal that allows everything."""

    def __init__(self, shop: Shop, **features: str) -> None:
        self.shop = shop
        product = shop.stripe.add_product("Plans")
        self.small, self.large = shop.price(1_000, product=product), shop.price(3_000, product=product)
        self.subscription = shop.buy(self.small, customer=shop.customer())
        products = "features[subscription_update][products][0]"
        offered = {f"{products}[prices][0]": self.small, f"{products}[prices][1]": self.large}
        given = {**EVERYTHING, f"{products}[product]": product, **offered, **features}
        self.configuration = shop.post(CONFIGURATIONS, given)["id"]

    def open(self, **params: str) -> str:
        """A new session's path."""
        params = {"customer": self.subscription["customer"], "return_url": BACK, **params}
        session = self.shop.post(SESSIONS, {"configuration": self.configuration, **params})
        return "/p/session/" + str(session["id"])

    def now(self) -> dict[str, Any]:
        """The subscription as it is."""
        return self.shop.subscription(self.subscription["id"])

    def price(self) -> str:
        """The price that is subscribed to."""
        return str(self.now()["items"]["data"][0]["price"]["id"])

    def see(self, path: str) -> str:
        """A page that must be there."""
        status, _, body = self.shop.stripe.hosted("GET", path)
        assert status == 200, body
        return body.decode()

    def send(self, path: str, **form: str) -> tuple[int, str]:
        """What a form answers: the status, and where it leads or what it shows."""
        status, headers, body = self.shop.stripe.hosted("POST", path, form)
        return status, headers.get("location", body.decode())


@pytest.fixture
def desk(shop: Shop) -> Desk:
    """A customer at the desk."""
    return Desk(shop)


def test_cancelling_and_changing_ones_mind(desk: Desk) -> None:
    """It ends with the period, the reason is kept, and until then it can be taken back."""
    path = desk.open()
    assert "Cancel plan" in desk.see(path)
    assert "too expensive" in desk.see(f"{path}/cancel/{desk.subscription['id']}")

    status, to = desk.send(f"{path}/cancel/{desk.subscription['id']}", feedback="too_expensive", comment="sorry")

    assert (303, path) == (status, to)
    found = desk.now()
    assert found["cancel_at_period_end"]
    assert ("too_expensive", "sorry") == tuple(found["cancellation_details"][name] for name in ("feedback", "comment"))
    assert "Don&#x27;t cancel" in desk.see(path)
    assert (303, path) == desk.send(f"{path}/renew/{desk.subscription['id']}")
    assert not desk.now()["cancel_at_period_end"]


def test_cancelling_at_once(shop: Shop) -> None:
    """With `mode=immediately` the subscription has ended when the page comes back."""
    desk = Desk(
        shop,
        **{
            "features[subscription_cancel][mode]": "immediately",
            "features[subscription_cancel][proration_behavior]": "create_prorations",
        },
    )
    desk.shop.stripe.portal(desk.open(), "cancel")

    assert "canceled" == desk.now()["status"]


def test_an_offer_to_stay(desk: Desk) -> None:
    """Whoever accepts it keeps the subscription with the coupon, and the flow leads where it should."""
    coupon = desk.shop.post("/v1/coupons", {"percent_off": "20", "duration": "forever", "name": "20 % off"})["id"]
    retention = "flow_data[subscription_cancel][retention]"
    path = desk.open(
        **{
            "flow_data[type]": "subscription_cancel",
            "flow_data[subscription_cancel][subscription]": desk.subscription["id"],
            f"{retention}[type]": "coupon_offer",
            f"{retention}[coupon_offer][coupon]": coupon,
            "flow_data[after_completion][type]": "redirect",
            "flow_data[after_completion][redirect][return_url]": "https://shop.example/stayed",
        }
    )
    assert "20 % off" in desk.see(path)

    answer = desk.send(f"{path}/cancel/{desk.subscription['id']}", offer="accept")

    assert (303, "https://shop.example/stayed") == answer
    assert not desk.now()["cancel_at_period_end"]
    assert 1 == len(desk.now()["discounts"])


def test_more_is_paid_at_once_and_less_waits(desk: Desk) -> None:
    """An upgrade is billed now; a downgrade is scheduled for the end of the period, as the conditions say."""
    path = desk.open()
    assert desk.large in desk.see(f"{path}/update/{desk.subscription['id']}")

    desk.send(f"{path}/update/{desk.subscription['id']}", price=desk.large, quantity="1")

    assert desk.large == desk.price()
    assert 2 == len(desk.shop.invoices(desk.subscription["id"]))
    desk.send(f"{desk.open()}/update/{desk.subscription['id']}", price=desk.small, quantity="1")
    assert desk.large == desk.price()
    assert desk.now()["schedule"].startswith("sub_sched_")
    desk.shop.stripe.advance(months=1, hours=2)
    assert desk.small == desk.price()


def test_a_change_to_confirm(desk: Desk) -> None:
    """The application chose price and quantity; the customer only agrees."""
    confirm = "flow_data[subscription_update_confirm]"
    path = desk.open(
        **{
            "flow_data[type]": "subscription_update_confirm",
            f"{confirm}[subscription]": desk.subscription["id"],
            f"{confirm}[items][0][id]": desk.subscription["items"]["data"][0]["id"],
            f"{confirm}[items][0][price]": desk.large,
            f"{confirm}[items][0][quantity]": "2",
            "flow_data[after_completion][type]": "hosted_confirmation",
            "flow_data[after_completion][hosted_confirmation][custom_message]": "Enjoy!",
        }
    )
    page = desk.see(path)
    sent = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', page))
    assert {"price": desk.large, "quantity": "2"} == sent

    status, shown = desk.send(f"{path}/update/{desk.subscription['id']}", **sent)

    assert (200, True) == (status, "Enjoy!" in shown)
    assert desk.large == desk.price()


def test_pausing_for_a_month(desk: Desk) -> None:
    """It comes back by itself; or earlier, when the customer wants it."""
    path = desk.open()
    assert "1 month" in desk.see(f"{path}/pause/{desk.subscription['id']}")
    desk.shop.stripe.portal(path, "pause")
    assert "paused" == desk.now()["status"]
    assert "Resume" in desk.see(path)
    desk.shop.stripe.portal(path, "resume")
    assert "active" == desk.now()["status"]
    desk.shop.stripe.portal(path, "pause", duration="0")

    desk.shop.stripe.advance(months=1)

    assert "active" == desk.now()["status"]


def test_a_pause_that_is_over(desk: Desk) -> None:
    """Coming back is told and charged like any resumption, and the next renewal comes after it."""
    shop, subscription = desk.shop, desk.subscription["id"]
    shop.stripe.portal(desk.open(), "pause", duration="0")
    before = len(shop.stripe.events)
    shop.stripe.advance(months=1)

    told = [type for type in shop.types(before) if ".subscription." in type]
    assert ["customer.subscription.resumed", "customer.subscription.updated"] == told[-2:]
    assert ("paid", 1) == (shop.invoices(subscription)[0]["status"], shop.types(before).count("invoice.paid"))
    shop.stripe.advance(months=1, hours=1)
    assert 2 == shop.types(before).count("invoice.paid")


def test_a_pause_that_another_one_followed(desk: Desk) -> None:
    """The end of the first one, which was cut short, does not end the second."""
    shop, path = desk.shop, desk.open()
    shop.stripe.portal(path, "pause", duration="0")
    shop.stripe.advance(days=20)
    shop.stripe.portal(path, "resume")
    shop.post(f"/v1/subscriptions/{desk.subscription['id']}/pause")
    shop.stripe.advance(days=15)

    assert "paused" == desk.now()["status"]


def test_another_card(desk: Desk) -> None:
    """A declined one changes nothing; one that asks for 3D Secure gets its page; the new one pays from now on."""
    path = desk.open(**{"flow_data[type]": "payment_method_update"}) + "/payment_method"
    status, shown = desk.send(path, card="4000000000000002")
    assert (402, True) == (status, "Your card was declined." in shown)
    with pytest.raises(CardDeclined):
        desk.shop.stripe.portal(path, "payment_method", card="4000000000000002")
    status, shown = desk.send(path, card="4000002500003155")
    assert (200, True) == (status, "Complete authentication" in shown)

    status, _ = desk.send(path, card="4000002500003155", authenticate="pass")

    assert 303 == status
    method = desk.shop.get(f"/v1/payment_methods/{desk.now()['default_payment_method']}")
    assert "3155" == method["card"]["last4"]
    assert "•••• 3155" in desk.see(path.removesuffix("/payment_method"))
    desk.shop.stripe.advance(months=1, hours=2)
    assert "paid" == desk.shop.invoices(desk.subscription["id"])[0]["status"]


def test_correcting_ones_data(desk: Desk) -> None:
    """Only what the configuration names can be changed."""
    path = desk.open()
    assert "line1" in desk.see(f"{path}/customer")
    desk.send(f"{path}/customer", email="new@example.com", line1="1 Main St", country="US")

    customer = desk.shop.get(f"/v1/customers/{desk.subscription['customer']}")
    assert ("new@example.com", "1 Main St") == (customer["email"], customer["address"]["line1"])
    status, shown = desk.send(f"{path}/customer", phone="5")
    assert (400, True) == (status, "does not allow a change of phone" in shown)


def test_past_invoices_have_their_pages(desk: Desk) -> None:
    """The history links to the page of each invoice."""
    desk.shop.stripe.hosted_base = "http://127.0.0.1:1"
    desk.shop.stripe.advance(months=1, hours=2)
    page = desk.see(desk.open())

    (found,) = re.findall(r'href="http://127.0.0.1:1(/i/[^"]+)"', page)

    assert "Paid." in desk.see(found)
    assert "16 March" not in page


def test_what_is_not_allowed(shop: Shop) -> None:
    """Features that are off have no page, no action and no flow; other customers' subscriptions are out of reach."""
    desk = Desk(shop, **{"features[subscription_pause][enabled]": "false"})
    path, other = desk.open(), shop.buy()
    with pytest.raises(SimulatorError, match="subscription_pause"):
        shop.stripe.portal(path, "pause")
    with pytest.raises(SimulatorError, match="no action 'fly'"):
        shop.stripe.portal(path, "fly")
    with pytest.raises(SimulatorError, match="customer's subscriptions"):
        shop.stripe.portal(path, "cancel", subscription=other["id"])
    with pytest.raises(SimulatorError, match="not offered"):
        shop.stripe.portal(path, "update", price=other["items"]["data"][0]["price"]["id"])
    with pytest.raises(SimulatorError, match="not a portal session"):
        shop.stripe.portal("bps_0", "cancel")
    params = {"customer": desk.subscription["customer"], "configuration": desk.configuration}
    flow = {"flow_data[type]": "subscription_pause", "flow_data[subscription_pause][subscription]": "sub_0"}
    assert "flow_data[type]" == shop.refused("POST", SESSIONS, {**params, **flow}).param
    assert 404 == shop.stripe.hosted("GET", "/p/session/bps_0/cancel")[0]


@pytest.mark.parametrize(
    ("features", "param"),
    [
        (
            {"subscription_cancel][enabled]": "true", "subscription_cancel][proration_behavior]": "create_prorations"},
            "features[subscription_cancel][proration_behavior]",
        ),
        (
            {"subscription_pause][duration][type]": "interval_options"},
            "features[subscription_pause][duration][interval_options]",
        ),
        ({"subscription_update][enabled]": "true"}, "features[subscription_update]"),
        ({"invoice_history][on]": "true"}, None),
    ],
)
def test_configurations_that_make_no_sense(shop: Shop, features: dict[str, str], param: str | None) -> None:
    """Refused by name, and not kept."""
    refusal = shop.refused("POST", CONFIGURATIONS, {f"features[{name}": value for name, value in features.items()})

    assert param in (None, refusal.param)
    assert 400 == refusal.status
