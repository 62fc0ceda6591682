"""The hosted pages over a real socket, as somebody uses them whose browser runs no script."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import httpx
import pytest
from attrs import frozen

from kernia_billing.testing import StripeSimulator
from tests.acceptance.person import Person
from tests.acceptance.simulators import Simulator, at_hand

SUCCESS, BACK = "https://shop.example/ok", "https://shop.example/pricing"
DECLINED, POOR, ASKS, VISA = "4000000000000002", "4000000000009995", "4000000000003220", "4242 4242 4242 4242"


@frozen
class Desk:
    """A served simulator with a price, its official client, and somebody who looks at its pages."""

    simulator: Simulator
    client: Any
    person: Person

    def checkout(self) -> Any:
        """A session that sells the price."""
        return self.client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "line_items": [{"price": "price_team", "quantity": 1}],
                "success_url": SUCCESS,
                "cancel_url": BACK,
            }
        )

    def status(self, session: Any) -> str:
        """What has become of a session."""
        return str(self.client.v1.checkout.sessions.retrieve(session.id).status)

    def buy(self) -> Any:
        """A subscription that was bought on the page."""
        session = self.checkout()
        self.person.go(session.url)
        self.person.press("Pay")
        (found,) = self.client.v1.subscriptions.list(
            {"customer": self.client.v1.checkout.sessions.retrieve(session.id).customer}
        ).data
        return found


@pytest.fixture
def desk() -> Generator[Desk]:
    """One that serves from this process."""
    made = StripeSimulator()
    made.add_price("price_team", 4_900, "eur", product=made.add_product("Team"))
    with (
        at_hand(made) as simulator,
        simulator.client() as client,
        httpx.Client(timeout=60) as http,
    ):
        yield Desk(simulator, client, Person(simulator.url, http))
    assert made.oracle_counts["violations"] == 0


@pytest.mark.parametrize(
    ("card", "words"), [(DECLINED, "Your card was declined."), (POOR, "Your card has insufficient funds.")]
)
def test_a_refused_card_is_told_and_another_one_pays(desk: Desk, card: str, words: str) -> None:
    """The session stays open, the page says why and keeps the number; the next card leads to the shop."""
    session, person = desk.checkout(), desk.person
    person.go(session.url)

    person.press("Pay", card=card)

    assert (402, "open") == (person.status, desk.status(session))
    assert words in person.page.text
    assert card == person.page.forms[-1].fields["card"]
    person.press("Pay", card=VISA)
    assert (SUCCESS, "complete") == (person.left_for, desk.status(session))


def test_a_challenge_is_failed_and_then_passed(desk: Desk) -> None:
    """The bank's page carries on what was typed; who fails may try again, who passes has paid."""
    session, person = desk.checkout(), desk.person
    person.go(session.url)

    person.press("Pay", card=ASKS, email="jane@example.com")
    assert "Your bank asks" in person.page.text
    person.press("Fail authentication")

    assert (402, "open") == (person.status, desk.status(session))
    assert "jane@example.com" == person.page.forms[-1].fields["email"]
    person.press("Pay", card=ASKS)
    person.press("Complete authentication")
    assert (SUCCESS, "complete") == (person.left_for, desk.status(session))


def test_who_goes_back_has_bought_nothing(desk: Desk) -> None:
    """The link leads to the shop, and the session can still be paid, once; afterwards the page says so."""
    session, person = desk.checkout(), desk.person
    person.go(session.url)
    person.press("Back to the shop")
    assert (BACK, "open") == (person.left_for, desk.status(session))

    person.press("Pay")
    person.go(session.url)

    assert "complete" in person.page.text
    assert not person.page.forms


def test_a_checkout_that_ran_out(desk: Desk) -> None:
    """Expired by the API, it cannot be paid from a page that was opened before."""
    session, person = desk.checkout(), desk.person
    person.go(session.url)
    desk.client.v1.checkout.sessions.expire(session.id)

    person.press("Pay")

    assert (400, "expired") == (person.status, desk.status(session))


def test_the_portal(desk: Desk) -> None:
    """Cancel at the end of the period and think again; a bad card is refused, a good one kept; then out of it."""
    subscription, person = desk.buy(), desk.person
    opened = desk.client.v1.billing_portal.sessions.create({"customer": subscription.customer, "return_url": BACK})
    person.go(opened.url)

    person.press("Cancel plan")
    person.press("Cancel subscription")
    assert desk.client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end
    person.press("Don't cancel")
    assert not desk.client.v1.subscriptions.retrieve(subscription.id).cancel_at_period_end

    person.press("Add payment method")
    person.press("Save card", card=DECLINED)
    assert 402 == person.status
    person.press("Save card", card="5555555555554444")
    assert "mastercard •••• 4444 default" in " ".join(person.page.text.split())
    person.press("Return to the site")
    assert BACK == person.left_for


def test_an_open_invoice_is_paid(desk: Desk) -> None:
    """A renewal fails; the customer finds the invoice, is refused, then pays, and is active again."""
    subscription, person = desk.buy(), desk.person
    desk.simulator.control("use_card", customer=subscription.customer, card="4000000000000341")
    desk.simulator.control("advance", months=1, hours=2, customer=subscription.customer)
    assert "past_due" == desk.client.v1.subscriptions.retrieve(subscription.id).status
    (invoice,) = desk.client.v1.invoices.list({"customer": subscription.customer, "status": "open"}).data
    person.go(invoice.hosted_invoice_url)

    person.press("Pay €49.00", card=POOR)
    assert (402, True) == (person.status, "insufficient funds" in person.page.text)
    person.press("Pay €49.00", card=ASKS)
    person.press("Complete authentication")

    assert "Paid" in person.page.text
    assert not person.page.forms
    assert "active" == desk.client.v1.subscriptions.retrieve(subscription.id).status


def test_pages_that_do_not_exist(desk: Desk) -> None:
    """An unknown page or session is a page that says so; a method that is not for pages is refused."""
    url, http = desk.simulator.url, desk.person.http
    assert 404 == http.get(f"{url}/c/pay/cs_test_unknown").status_code
    assert 404 == http.get(f"{url}/p/session/bps_unknown").status_code
    assert 405 == http.put(desk.checkout().url).status_code
    assert b"" == http.head(desk.checkout().url).content
