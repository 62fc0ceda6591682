"""The hosted pages: what a person sees, pays, and where the browser goes then."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser

import pytest

from kernia_billing.testing import AsyncStripeSimulator
from tests.simulator.shop import Shop


class _Page(HTMLParser):
    """Collects what a reader and a screen reader need of a page; fails on tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.labels: set[str | None] = set()
        self.links: dict[str, str] = {}
        self.text = ""
        self.alerts = 0
        self.action: str | None = None
        self._href = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag not in ("meta", "input"):
            self.open.append(tag)
        if tag == "input":
            self.inputs[str(found["name"])] = found
        if tag == "label":
            self.labels.add(found["for"])
        if tag == "form":
            self.action = found["action"]
        self._href = str(found.get("href", ""))
        self.alerts += found.get("role") == "alert"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "a":
            self.links[data] = self._href
        if "style" not in self.open:
            self.text += f" {data}"


def _path(url: str) -> str:
    return url.removeprefix("https://checkout.stripe.com").removeprefix("https://billing.stripe.com")


def test_the_checkout_page_shows_what_is_bought(shop: Shop) -> None:
    """Product, price, test mode, a labelled form with the test card filled in, and the way back."""
    product = shop.stripe.add_product('Pro <b>"&')
    session = shop.checkout(shop.price(1_999, product=product))

    page = _Page(shop.stripe.checkout_page(session["id"]))

    assert 'Pro <b>"&' in page.text
    assert "$19.99 / month" in page.text
    assert "TEST MODE" in page.text
    assert "4242 4242 4242 4242" == page.inputs["card"]["value"]
    assert set(page.inputs) == page.labels
    assert "https://shop.example/pricing" == page.links["Back to the shop"]
    assert f"/c/pay/{session['id']}" == page.action


def test_paying_leads_to_the_success_page(shop: Shop) -> None:
    """POST pays and sends the browser on, with the session's id filled in; a second click leads there too."""
    session = shop.checkout()
    path = _path(session["url"])
    assert 200 == shop.stripe.hosted("GET", path)[0]

    answers = [shop.stripe.hosted("POST", path, {"card": "4242 4242 4242 4242"}) for _ in range(2)]

    for status, headers, body in answers:
        assert (303, f"https://shop.example/ok?session={session['id']}", b"") == (status, headers["location"], body)
    assert 1 == len(shop.get("/v1/subscriptions")["data"])
    assert "complete" in _Page(shop.stripe.hosted("GET", path)[2].decode()).text


@pytest.mark.parametrize(
    ("card", "status", "words"),
    [("4000000000000002", 402, "declined"), ("4000000000009995", 402, "insufficient funds"), ("1", 400, "test card")],
)
def test_a_refused_card_is_said_on_the_page(shop: Shop, card: str, status: int, words: str) -> None:
    """The page comes back with the reason as an alert, and the number still there."""
    session = shop.checkout()

    code, _headers, body = shop.stripe.hosted("POST", _path(session["url"]), {"card": card})

    page = _Page(body.decode())
    assert (status, 1, card) == (code, page.alerts, page.inputs["card"]["value"])
    assert words in page.text
    assert "open" == shop.get(f"/v1/checkout/sessions/{session['id']}")["status"]


def test_trials_and_metered_prices_are_told(shop: Shop) -> None:
    """A trial costs nothing today; usage has a price per unit."""
    params = {"subscription_data[trial_period_days]": "14", "line_items[1][price]": shop.price(3, metered=True)}

    page = _Page(shop.stripe.checkout_page(shop.checkout(**params)["id"]))

    assert "Free trial for 14 days" in page.text
    assert "$0.03 per unit used / month" in page.text
    assert "Start" in page.text


def test_an_expired_session_cannot_be_paid(shop: Shop) -> None:
    """The page says so, and offers the way back."""
    session = shop.checkout()
    shop.stripe.expire(session["id"])

    page = _Page(shop.stripe.checkout_page(session["id"]))

    assert "expired" in page.text
    assert page.action is None
    assert 400 == shop.stripe.hosted("POST", _path(session["url"]), {"card": "4242424242424242"})[0]


def test_the_portal_page(shop: Shop) -> None:
    """What the customer subscribes to, its state, and the way back."""
    subscription = shop.buy()
    session = shop.post(
        "/v1/billing_portal/sessions", {"customer": subscription["customer"], "return_url": "https://shop.example/me"}
    )

    status, headers, body = shop.stripe.hosted("GET", _path(session["url"]))

    page = _Page(body.decode())
    assert (200, "text/html; charset=utf-8") == (status, headers["content-type"])
    assert "$10.00 / month" in page.text
    assert "active" in page.text
    assert "https://shop.example/me" == page.links["Return to the site"]
    assert page.text == _Page(shop.stripe.portal_page(session["id"])).text


def test_a_promotion_code_is_entered_and_taken_back(shop: Shop) -> None:
    """A wrong one is said, a good one lowers what is due, and can be removed."""
    coupon = shop.post("/v1/coupons", {"percent_off": "25", "duration": "once"})["id"]
    shop.post("/v1/promotion_codes", {"promotion[type]": "coupon", "promotion[coupon]": coupon, "code": "FRIENDS"})
    session = shop.checkout(shop.price(2_000), allow_promotion_codes="true")
    path = _path(session["url"])
    status, _, body = shop.stripe.hosted("POST", path, {"promotion_code": "FOES"})
    assert (400, 1) == (status, _Page(body.decode()).alerts)

    status, headers, _ = shop.stripe.hosted("POST", path, {"promotion_code": "friends"})
    assert (303, path) == (status, headers["location"])

    assert "Pay $15.00" in _Page(shop.stripe.checkout_page(session["id"])).text
    shop.stripe.hosted("POST", path, {"remove_code": "on"})
    assert "Pay $20.00" in _Page(shop.stripe.checkout_page(session["id"])).text


@pytest.mark.parametrize(("answer", "status", "state"), [("pass", 303, "complete"), ("fail", 402, "open")])
def test_the_bank_asks_on_a_page_of_its_own(shop: Shop, answer: str, status: int, state: str) -> None:
    """A card with 3D Secure leads to a challenge that carries the form; how it is answered decides."""
    session = shop.checkout()
    path = _path(session["url"])
    code, _, body = shop.stripe.hosted("POST", path, {"card": "4000002760003184", "email": "jo@example.com"})
    page = _Page(body.decode())
    assert (200, path, "4000002760003184") == (code, page.action, page.inputs["card"]["value"])
    assert "open" == shop.get(f"/v1/checkout/sessions/{session['id']}")["status"]

    carried = {name: str(found["value"]) for name, found in page.inputs.items()}
    assert status == shop.stripe.hosted("POST", path, {**carried, "authenticate": answer})[0]

    session = shop.get(f"/v1/checkout/sessions/{session['id']}")
    assert state == session["status"]
    if state == "complete":
        assert "jo@example.com" == session["customer_details"]["email"]


def test_an_open_invoice_is_paid_on_its_page(shop: Shop) -> None:
    """What could not be collected is paid by the person; a declined card is said, a second click pays once."""
    shop.stripe.hosted_base = "http://127.0.0.1:1"
    subscription = shop.buy(customer=shop.customer())
    shop.stripe.use_card(subscription["customer"], "4000000000000341")
    shop.stripe.advance(months=1, hours=2)
    assert "past_due" == shop.subscription(subscription["id"])["status"]
    path = shop.invoices(subscription["id"])[0]["hosted_invoice_url"].removeprefix("http://127.0.0.1:1")
    page = _Page(shop.stripe.hosted("GET", path)[2].decode())
    assert (path, True) == (page.action, "$10.00" in page.text)
    assert 402 == shop.stripe.hosted("POST", path, {"card": "4000000000000002"})[0]
    assert 400 == shop.stripe.hosted("POST", path, {"card": "1"})[0]
    assert "Complete authentication" in shop.stripe.hosted("POST", path, {"card": "4000000000003220"})[2].decode()

    assert [303, 303] == [shop.stripe.hosted("POST", path, {"card": "4242424242424242"})[0] for _ in range(2)]

    assert "active" == shop.subscription(subscription["id"])["status"]
    assert "Paid." in _Page(shop.stripe.hosted("GET", path)[2].decode()).text


@pytest.mark.parametrize(("answer", "outcome"), [("pass", "succeeded"), ("fail", "failed")])
def test_a_payment_of_the_shops_own_is_authenticated(shop: Shop, answer: str, outcome: str) -> None:
    """The challenge of a payment intent sends the browser back with what Stripe says there."""
    intent = shop.post(
        "/v1/payment_intents",
        {
            "amount": "500",
            "currency": "usd",
            "payment_method": "pm_card_threeDSecure2Required",
            "confirm": "true",
            "return_url": "https://shop.example/back?a=b",
        },
    )
    path = f"/authenticate/{intent['id']}"
    assert "Complete authentication" in _Page(shop.stripe.hosted("GET", path)[2].decode()).text

    status, headers, _ = shop.stripe.hosted("POST", path, {"authenticate": answer})

    assert 303 == status
    assert headers["location"].startswith(f"https://shop.example/back?a=b&payment_intent={intent['id']}&")
    assert headers["location"].endswith(f"redirect_status={outcome}")
    assert "nothing to do" in _Page(shop.stripe.hosted("GET", path)[2].decode()).text


def test_the_recovery_link_opens_a_new_session(shop: Shop) -> None:
    """A person who comes back days later finds the same order."""
    session = shop.checkout(**{"after_expiration[recovery][enabled]": "true"})
    shop.stripe.expire(session["id"])

    status, headers, _ = shop.stripe.hosted("GET", f"/r/{session['id']}")

    assert 303 == status
    assert "$10.00" in _Page(shop.stripe.hosted("GET", headers["location"])[2].decode()).text
    assert 400 == shop.stripe.hosted("GET", f"/r/{shop.checkout()['id']}")[0]


def test_pages_allow_no_script_and_no_frame(shop: Shop) -> None:
    """Whatever got into a name, the browser runs nothing of it."""
    policy = shop.stripe.hosted("GET", _path(shop.checkout()["url"]))[1]["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/c/pay/cs_test_0", 404),
        ("POST", "/c/pay/cs_test_0", 404),
        ("GET", "/p/session/bps_0", 404),
        ("GET", "/c/pay/../../etc/passwd", 404),
    ],
)
def test_other_pages_do_not_exist(shop: Shop, method: str, path: str, status: int) -> None:
    """An unknown page is 404, whatever is asked of it."""
    assert status == shop.stripe.hosted(method, path)[0]


def test_pages_take_only_their_methods(shop: Shop) -> None:
    """405 for what a page does not do."""
    assert 405 == shop.stripe.hosted("DELETE", _path(shop.checkout()["url"]))[0]


def test_pages_can_live_elsewhere(shop: Shop) -> None:
    """With `hosted_base` the URLs of sessions point to who serves `hosted()`."""
    shop.stripe.hosted_base = "http://127.0.0.1:8000/"
    session = shop.checkout()

    assert (
        f"http://127.0.0.1:8000/c/pay/{session['id']}"
        == session["url"]
        == f"{shop.stripe.hosted_base}/c/pay/{session['id']}"
    )
    portal = shop.post("/v1/billing_portal/sessions", {"customer": shop.customer()})
    assert portal["url"].startswith("http://127.0.0.1:8000/p/session/")


def test_the_async_simulator_serves_them_too() -> None:
    """`hosted` is awaited there, because paying talks to the library."""
    assert 404 == asyncio.run(AsyncStripeSimulator().hosted("GET", "/"))[0]
