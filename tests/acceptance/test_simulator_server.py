"""The simulator as a process of its own: the official client, our library and a browser use it over real sockets."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import stripe

from kernia_billing import Billing, BillingError, Metered, Plan
from kernia_billing.cli import main as command
from kernia_billing.testing import StripeSimulator
from tests.acceptance.simulators import Inbox, Simulator, at_hand, running
from tests.acceptance.test_demo import Visitor

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

VISA, DECLINED = "4242 4242 4242 4242", "4000 0000 0000 0002"


def pay(url: str, card: str = VISA) -> httpx.Response:
    """Be a browser without a script on the checkout page."""
    assert "4242" in httpx.get(url).raise_for_status().text
    return httpx.post(url, data={"card": card, "email": "jane@example.com"}, timeout=60)


def test_the_official_client(simulator: Simulator, inbox: Inbox) -> None:
    """Any SDK whose base address can be set works on it; the webhook passes its own verification."""
    with simulator.client() as client:
        product = client.v1.products.create({"name": "Pro"})
        price = client.v1.prices.create(
            {"product": product.id, "currency": "usd", "unit_amount": 1_500, "recurring": {"interval": "month"}}
        )
        session = client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": price.id, "quantity": 1}],
                "success_url": "https://shop.example/ok?id={CHECKOUT_SESSION_ID}",
            }
        )
        assert session.url.startswith(f"{simulator.url}/c/pay/")

        declined = pay(session.url, DECLINED)
        paid = pay(session.url)

        assert (402, True) == (declined.status_code, "Your card was declined." in declined.text)
        assert (303, f"https://shop.example/ok?id={session.id}") == (paid.status_code, paid.headers["location"])
        body, header = inbox.wait_for("checkout.session.completed")
        event = stripe.Webhook.construct_event(body, header, simulator.webhook_secret)
        assert event.data.object["id"] == session.id
        done = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["subscription"]})
        assert "active" == done.subscription.status
        assert 0 == simulator.summary()["violations"]


def test_our_library(simulator: Simulator, inbox: Inbox, tmp_path: Path) -> None:
    """`stripe_api_base` leads Billing to it; a plan is bought on the page, and the webhook makes it active."""
    simulator.control("prices", id="price_team", amount=4_900, currency="eur")
    database = f"sqlite:///{tmp_path / 'billing.db'}"
    command(["db", "upgrade", "--database", database], standalone_mode=False)
    billing = Billing(
        database=database,
        stripe_key=simulator.api_key,
        stripe_webhook_secrets=[simulator.webhook_secret],
        stripe_api_base=simulator.url,
        base_url="http://127.0.0.1:8000",
        plans=[Plan("team", price_id="price_team", features={"tokens": Metered(1_000)})],
    )
    try:
        checkout = billing.subscriptions.upgrade("org_1", "team", success_url="/ok", cancel_url="/no")
        assert not billing.check("org_1", "tokens")
        assert checkout.url is not None
        assert 303 == pay(checkout.url).status_code

        for type in ("customer.subscription.created", "checkout.session.completed", "invoice.paid"):
            billing.webhooks.receive(*inbox.wait_for(type))

        assert billing.check("org_1", "tokens", required=1_000)
    finally:
        billing.close()


def test_a_wrong_key_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    """The key that was printed is the only one."""
    billing = Billing(
        database=f"sqlite:///{tmp_path / 'billing.db'}",
        stripe_key="sk_test_another",
        stripe_webhook_secrets=[simulator.webhook_secret],
        stripe_api_base=simulator.url,
        base_url="http://127.0.0.1:8000",
        plans=[Plan("team", price_id="price_team")],
    )
    try:
        command(["db", "upgrade", "--database", f"sqlite:///{tmp_path / 'billing.db'}"], standalone_mode=False)
        with pytest.raises(BillingError):
            billing.catalog.sync()
    finally:
        billing.close()


def test_time_passes_by_the_control_api(simulator: Simulator, inbox: Inbox) -> None:
    """One customer's month goes by: the renewal is told of, and the account's own clock stays."""
    simulator.control("prices", id="price_pro", amount=1_000)
    with simulator.client() as client:
        customer = client.v1.customers.create({"email": "jane@example.com", "payment_method": "pm_card_visa"})
        (method,) = client.v1.payment_methods.list({"customer": customer.id, "type": "card"}).data
        subscription = client.v1.subscriptions.create(
            {"customer": customer.id, "items": [{"price": "price_pro"}], "default_payment_method": method.id}
        )
        inbox.wait_for("customer.subscription.created")

        told = simulator.control("advance", months=1, hours=2, customer=customer.id)

        assert 1 == len(told["clocks"])
        inbox.wait_for("customer.subscription.updated")
        invoices = client.v1.invoices.list({"subscription": subscription.id}).data
        assert ["paid", "paid"] == [row.status for row in invoices]
        assert "weeks: unknown" in simulator.control("advance", 400, weeks=1)["error"]["message"]
        simulator.control("nothing", 404)


def test_what_is_not_taken_is_sent_again(inbox: Inbox, caplog: pytest.LogCaptureFixture) -> None:
    """An endpoint that fails is heard of and gets the event again; `deliver` does not wait for the time of it."""
    inbox.answers += [500]
    made = StripeSimulator()
    with at_hand(made, inbox.url) as simulator:
        simulator.control("products", name="Pro")
        inbox.wait_for("product.created")
        assert {"delivered": 0, "waiting": 1} == simulator.summary()["webhooks"]

        told = simulator.control("deliver")

        assert {"delivered": 1, "waiting": 0} == told["webhooks"]
        assert 2 == len(inbox.received)
        (row,) = httpx.get(f"{simulator.url}/_simulator/deliveries").json()["data"]
        assert (2, True) == (row["attempts"], row["delivered"])
    assert "the webhook was answered with 500" in caplog.text


def test_endpoints_made_by_the_api_are_served_too(inbox: Inbox) -> None:
    """An application may register its endpoint at run time, with the types that it wants and a secret of its own."""
    with running("--frozen", "--now", "2026-03-01T12:00:00Z") as simulator, simulator.client() as client:
        endpoint = client.v1.webhook_endpoints.create({"url": inbox.url, "enabled_events": ["customer.created"]})
        simulator.control("products", name="Pro")
        client.v1.customers.create({"email": "jane@example.com"})

        body, header = inbox.wait_for("customer.created")

        assert stripe.Webhook.construct_event(body, header, endpoint.secret)
        assert 1 == len(inbox.received)
        assert "2026-03-01T12:00:00Z" == simulator.summary()["now"]


def test_faults_reach_the_client(simulator: Simulator) -> None:
    """A rule set by the control API breaks a call, and connections that it cuts break."""
    headers = {"authorization": f"Bearer {simulator.api_key}"}
    simulator.control("faults", kind="status", status=503, path="/v1/account")
    assert 503 == httpx.get(f"{simulator.url}/v1/account", headers=headers).status_code

    simulator.control("faults", kind="timeout_before", path="/v1/account")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"{simulator.url}/v1/account", headers=headers)
    assert 200 == httpx.get(f"{simulator.url}/v1/account", headers=headers).status_code


def test_bad_clients_do_not_harm(simulator: Simulator) -> None:
    """Large, endless, half and cross-site requests are refused or dropped, and others are served meanwhile."""
    address = ("127.0.0.1", int(simulator.url.rpartition(":")[2]))
    with socket.create_connection(address) as slow, socket.create_connection(address) as gone:
        slow.sendall(b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12")
        gone.sendall(b"POST /v1/customers HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12")
        gone.close()
        assert 413 == httpx.post(f"{simulator.url}/v1/customers", content=b"x" * 1_100_000).status_code
        chunks = httpx.post(f"{simulator.url}/v1/customers", content=iter([b"a", b"b"]))
        assert 411 == chunks.status_code
        cross_site = httpx.post(f"{simulator.url}/_simulator/advance", content=b'{"months": 1}')
        assert 400 == cross_site.status_code
        assert 401 == httpx.get(f"{simulator.url}/v1/customers").status_code
        assert 404 == httpx.get(f"{simulator.url}/elsewhere").status_code


def test_interrupting_it_ends_it_cleanly() -> None:
    """Ctrl-C: no trace of a mistake, exit code 0, the port is free."""
    with running() as simulator:
        simulator.process.send_signal(signal.SIGINT)
        assert 0 == simulator.process.wait(timeout=30)
        with pytest.raises(httpx.ConnectError):
            httpx.get(simulator.url)


def test_a_port_in_use_is_said() -> None:
    """The command ends with a message that names the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        from click.testing import CliRunner

        result = CliRunner().invoke(command, ["simulator", "--port", str(port)])
    words = f"Error: port {port} of 127.0.0.1 cannot be used: Address already in use\n"
    assert (1, words) == (result.exit_code, result.output)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--api-key", "sk_live_1"], "begins with sk_test_"),
        (["--now", "yesterday"], "must be a time"),
        (["--webhook-url", "shop.example"], "must be an http or https URL"),
        (["--webhook-url", "http://shop.example:port/"], "must be an http or https URL"),
        (["--webhook-url", "http://shop.example/"] * 17, "at most 16"),
    ],
)
def test_wrong_options_are_said(options: list[str], message: str) -> None:
    """Nothing is served with options that make no sense."""
    from click.testing import CliRunner

    result = CliRunner().invoke(command, ["simulator", "--port", "0", *options])

    assert (2, True) == (result.exit_code, message in result.output)


def test_a_person_in_a_browser(browser: Chrome, inbox: Inbox) -> None:
    """Checkout with a promotion code, a declined card and a challenge by the bank; then the portal, and out of it."""
    made = StripeSimulator()
    with at_hand(made, inbox.url) as simulator, simulator.client() as client:
        made.add_price("price_team", 4_900, "eur", product=made.add_product("Team"))
        made.add_coupon("HALF", percent_off=50, duration="once", code="SPRING")
        session = client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": "price_team", "quantity": 1}],
                "allow_promotion_codes": True,
                "success_url": f"{simulator.url}/thank-you",
            }
        )
        visitor = Visitor(browser, simulator.url)
        browser.get(session.url)
        visitor.fill("Promotion code", "SPRING")
        visitor.press("Apply")
        assert "€24.50" in visitor.page
        visitor.pay("4000 0000 0000 0002")
        assert "Your card was declined." in visitor.page
        visitor.pay("4000 0000 0000 3220")
        visitor.press("Complete authentication")
        assert "/thank-you" == visitor.path
        inbox.wait_for("checkout.session.completed")

        customer = client.v1.checkout.sessions.retrieve(session.id).customer
        portal = client.v1.billing_portal.sessions.create({"customer": customer, "return_url": simulator.url})
        browser.get(portal.url)
        visitor.press("Cancel plan")
        visitor.press("Cancel subscription")
        assert "Don't cancel" in visitor.page
        (subscription,) = client.v1.subscriptions.list({"customer": customer}).data
        assert subscription.cancel_at_period_end
