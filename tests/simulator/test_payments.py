"""Payment intents, setup intents, payment methods, and what every test card does."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing.testing import CardDeclined, SimulatorError
from kernia_billing.testing.simulator.payments.cards import CARDS, TEST_PAYMENT_METHODS
from tests.simulator.shop import Refusal, Shop

INTENTS, SETUPS, METHODS = "/v1/payment_intents", "/v1/setup_intents", "/v1/payment_methods"
BANK = {"allowed_payment_method_types[0]": "us_bank_account"}
DECLINES = {
    "pm_card_visa_chargeDeclined": ("card_declined", "generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": ("card_declined", "insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": ("card_declined", "lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": ("card_declined", "stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", None),
    "pm_card_chargeDeclinedIncorrectCvc": ("incorrect_cvc", None),
    "pm_card_chargeDeclinedProcessingError": ("processing_error", None),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": ("card_declined", "card_velocity_exceeded"),
    "pm_card_radarBlock": ("card_declined", "fraudulent"),
}


def _intent(shop: Shop, **params: Any) -> dict[str, Any]:
    return shop.post(INTENTS, {"amount": "1000", "currency": "usd", **params})


def _refused(shop: Shop, path: str, params: dict[str, Any]) -> tuple[Refusal, dict[str, Any]]:
    response = shop.send("POST", path, params)
    error: dict[str, Any] = response.json()["error"]
    return Refusal(response.status_code, error["type"], error.get("code"), error.get("param"), error["message"]), error


@pytest.mark.parametrize("name", [name for name in TEST_PAYMENT_METHODS if CARDS[TEST_PAYMENT_METHODS[name]].delayed])
def test_bank_debits_end_after_days(shop: Shop, name: str) -> None:
    """A debit is on its way for four days, then it has come through or failed as its number says."""
    intent = _intent(shop, payment_method=name, confirm="true", **BANK)
    assert "processing" == intent["status"]

    shop.stripe.advance(days=4)

    account = CARDS[TEST_PAYMENT_METHODS[name]]
    intent = shop.get(f"{INTENTS}/{intent['id']}")
    if not account.settles:
        assert "processing" == intent["status"]
        assert "canceled" == shop.post(f"{INTENTS}/{intent['id']}/cancel")["status"]
    elif account.decline is None:
        assert ("succeeded", 1_000) == (intent["status"], intent["amount_received"])
    else:
        assert "requires_payment_method" == intent["status"]
        assert account.decline.code == intent["last_payment_error"]["code"]
        assert "failed" == shop.get(f"/v1/charges/{intent['latest_charge']}")["status"]


@pytest.mark.parametrize(("name", "code", "decline_code"), [(name, *codes) for name, codes in DECLINES.items()])
def test_declines(shop: Shop, name: str, code: str, decline_code: str | None) -> None:
    """402 with the code of the card; the intent asks for another payment method, the charge stays on record."""
    refusal, error = _refused(
        shop, INTENTS, {"amount": "1000", "currency": "usd", "payment_method": name, "confirm": "true"}
    )

    assert (402, "card_error", code) == (refusal.status, refusal.type, refusal.code)
    assert decline_code == error.get("decline_code")
    intent = error["payment_intent"]
    assert ("requires_payment_method", code) == (intent["status"], intent["last_payment_error"]["code"])
    assert code == shop.get(f"/v1/charges/{intent['latest_charge']}")["failure_code"]
    assert ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"] == shop.types()
    paid = shop.post(f"{INTENTS}/{intent['id']}/confirm", {"payment_method": "pm_card_visa"})
    assert "succeeded" == paid["status"]


@pytest.mark.parametrize("name", ["pm_card_visa", "pm_card_amex", "pm_card_mastercard_prepaid", "pm_card_unionpay"])
def test_successes(shop: Shop, name: str) -> None:
    """Brand and kind are those of the card."""
    intent = _intent(shop, payment_method=name, confirm="true")

    method = shop.get(f"{METHODS}/{intent['payment_method']}")
    card = CARDS[TEST_PAYMENT_METHODS[name]]
    assert ("succeeded", 1_000) == (intent["status"], intent["amount_received"])
    assert (card.brand, card.last4, card.funding) == tuple(
        method["card"][field] for field in ("brand", "last4", "funding")
    )


def test_a_person_authenticates(shop: Shop) -> None:
    """A card that asks for 3D Secure waits; passing it pays, failing it asks for another card."""
    intent = _intent(
        shop, payment_method="pm_card_authenticationRequired", confirm="true", return_url="https://shop.example/back"
    )
    assert "requires_action" == intent["status"]
    redirect = intent["next_action"]["redirect_to_url"]
    assert "https://shop.example/back" == redirect["return_url"]
    assert redirect["url"].endswith(f"/authenticate/{intent['id']}")
    other = _intent(shop, payment_method="pm_card_threeDSecure2Required", confirm="true")
    assert "use_stripe_sdk" == other["next_action"]["type"]

    shop.stripe.authenticate(intent["id"])
    shop.stripe.authenticate(other["id"], passes=False)

    assert "succeeded" == shop.get(f"{INTENTS}/{intent['id']}")["status"]
    other = shop.get(f"{INTENTS}/{other['id']}")
    assert "payment_intent_authentication_failure" == other["last_payment_error"]["code"]
    with pytest.raises(SimulatorError, match="requires action"):
        shop.stripe.authenticate(intent["id"])


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("pm_card_authenticationRequired", "authentication_required"),
        ("pm_card_authenticationRequiredOnSetup", "authentication_required"),
        ("pm_card_authenticationRequiredSetupForOffSession", None),
        ("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "authentication_required"),
    ],
)
def test_nobody_is_there_to_authenticate(shop: Shop, name: str, code: str | None) -> None:
    """Off session a card that was not set up is refused, one that was set up elsewhere goes through."""
    params = {"amount": "5", "currency": "usd", "payment_method": name, "confirm": "true", "off_session": "true"}
    response = shop.send("POST", INTENTS, params)

    assert code == response.json().get("error", {}).get("code")
    assert (200 if code is None else 402) == response.status_code


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000002500003155", None),
        ("4000002760003184", "authentication_required"),
        ("4000008260003178", "card_declined"),
        ("4000000000000341", "card_declined"),
    ],
)
def test_a_card_set_up_by_a_person(shop: Shop, number: str, code: str | None) -> None:
    """A setup intent authenticates once; later charges without a person go as the card says."""
    customer = shop.customer()
    method = shop.post(
        METHODS, {"type": "card", "card[number]": number, "card[exp_month]": "12", "card[exp_year]": "2034"}
    )
    intent = shop.post(SETUPS, {"customer": customer, "payment_method": method["id"], "confirm": "true"})
    if intent["status"] == "requires_action":
        shop.stripe.authenticate(customer)
    assert "succeeded" == shop.get(f"{SETUPS}/{intent['id']}")["status"]
    assert customer == shop.get(f"{METHODS}/{method['id']}")["customer"]

    params = {"customer": customer, "payment_method": method["id"], "confirm": "true", "off_session": "true"}
    response = shop.send("POST", INTENTS, {"amount": "1000", "currency": "usd", **params})

    assert code == response.json().get("error", {}).get("code")


def test_setup_intents(shop: Shop) -> None:
    """Declined when the card does not pass the check; canceled ones stay so; each step has its event."""
    customer = shop.customer()
    intent = shop.post(SETUPS, {"customer": customer, "description": "later", "metadata[a]": "b"})
    assert ("requires_payment_method", "later") == (intent["status"], intent["description"])
    before = len(shop.stripe.events)
    refusal, error = _refused(shop, f"{SETUPS}/{intent['id']}/confirm", {"payment_method": "pm_card_chargeDeclined"})
    assert (402, "card_declined", "requires_payment_method") == (
        refusal.status,
        refusal.code,
        error["setup_intent"]["status"],
    )
    updated = shop.post(f"{SETUPS}/{intent['id']}", {"payment_method": "pm_card_visa"})
    assert "requires_confirmation" == updated["status"]
    assert "succeeded" == shop.post(f"{SETUPS}/{intent['id']}/confirm")["status"]
    assert ["setup_intent.setup_failed", "payment_method.attached", "setup_intent.succeeded"] == shop.types(before)
    assert "setup_intent_unexpected_state" == shop.refused("POST", f"{SETUPS}/{intent['id']}/cancel").code
    other = shop.post(SETUPS)
    assert "canceled" == shop.post(f"{SETUPS}/{other['id']}/cancel", {"cancellation_reason": "abandoned"})["status"]
    assert [other["id"], intent["id"]] == [row["id"] for row in shop.get(SETUPS)["data"]]


def test_capture_by_hand(shop: Shop) -> None:
    """Money is held until it is captured, all or a part of it, and is let go by canceling."""
    intent = _intent(shop, payment_method="pm_card_visa", confirm="true", capture_method="manual")
    assert ("requires_capture", 1_000, 0) == (intent["status"], intent["amount_capturable"], intent["amount_received"])
    assert 400 == shop.refused("POST", f"{INTENTS}/{intent['id']}/capture", {"amount_to_capture": "1001"}).status

    captured = shop.post(f"{INTENTS}/{intent['id']}/capture", {"amount_to_capture": "600"})

    assert ("succeeded", 600) == (captured["status"], captured["amount_received"])
    assert 600 == shop.get(f"/v1/charges/{captured['latest_charge']}")["amount_captured"]
    held = _intent(shop, payment_method="pm_card_visa", confirm="true", capture_method="manual")
    assert "canceled" == shop.post(f"{INTENTS}/{held['id']}/cancel")["status"]
    assert "payment_intent_unexpected_state" == shop.refused("POST", f"{INTENTS}/{held['id']}/confirm").code


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"confirm": "true"}, "payment_method"),
        ({"off_session": "true"}, "off_session"),
        ({"return_url": "https://a.example"}, "return_url"),
        ({"payment_method": "pm_0"}, "payment_method"),
        ({"customer": "cus_0"}, "customer"),
        ({"amount": "0"}, "amount"),
    ],
)
def test_bad_intents_change_nothing(shop: Shop, params: dict[str, str], param: str) -> None:
    """What does not go together is refused, with the name of the parameter."""
    refusal = shop.refused("POST", INTENTS, {"amount": "1000", "currency": "usd", **params})

    assert param == refusal.param
    assert [] == shop.get(INTENTS)["data"]
    assert [] == shop.types()


def test_methods_of_others_cannot_be_used(shop: Shop) -> None:
    """A payment method belongs to one customer."""
    owner, other = shop.customer(), shop.customer()
    method = shop.post(f"{METHODS}/pm_card_visa/attach", {"customer": owner})["id"]
    params = {"amount": "1000", "currency": "usd", "customer": other, "payment_method": method, "confirm": "true"}

    assert 400 == shop.refused("POST", INTENTS, params).status
    assert 404 == shop.refused("GET", f"/v1/customers/{other}/payment_methods/{method}").status
    assert method == shop.get(f"/v1/customers/{owner}/payment_methods/{method}")["id"]


def test_methods_are_made_and_changed(shop: Shop) -> None:
    """Test numbers only; details can be changed once a customer has it, which is told of."""
    account = {
        "type": "us_bank_account",
        "us_bank_account[account_number]": "000123456789",
        "us_bank_account[routing_number]": "110000000",
        "us_bank_account[account_holder_type]": "individual",
        "billing_details[name]": "Jane",
    }
    made = shop.post(METHODS, account)
    assert ("us_bank_account", "6789", "Jane") == (
        made["type"],
        made["us_bank_account"]["last4"],
        made["billing_details"]["name"],
    )
    assert 400 == shop.refused("POST", f"{METHODS}/{made['id']}", {"billing_details[name]": "Joe"}).status
    customer = shop.customer()
    shop.post(f"{METHODS}/{made['id']}/attach", {"customer": customer})

    changed = shop.post(f"{METHODS}/{made['id']}", {"billing_details[name]": "Joe"})

    assert "Joe" == changed["billing_details"]["name"]
    assert "payment_method.updated" == shop.types()[-1]
    assert [made["id"]] == [
        row["id"] for row in shop.get(METHODS, {"customer": customer, "type": "us_bank_account"})["data"]
    ]
    real = {"type": "card", "card[number]": "4111111111111111", "card[exp_month]": "1", "card[exp_year]": "2034"}
    refusal = shop.refused("POST", METHODS, real)
    assert (402, "card_declined") == (refusal.status, refusal.code)


def test_a_subscription_by_bank_debit(shop: Shop) -> None:
    """Active before the money is there; it comes after days, and so does that of the renewal."""
    subscription = shop.buy(card="pm_usBankAccount_success", **BANK, customer=shop.customer())
    assert "active" == subscription["status"]
    (invoice,) = shop.invoices(subscription["id"])
    (session,) = shop.get("/v1/checkout/sessions")["data"]
    assert ("open", "unpaid") == (invoice["status"], session["payment_status"])
    before = len(shop.stripe.events)

    shop.stripe.settle(session["id"])

    assert "paid" == shop.get(f"/v1/checkout/sessions/{session['id']}")["payment_status"]
    assert "paid" == shop.invoices(subscription["id"])[0]["status"]
    types = shop.types(before)
    assert "checkout.session.async_payment_succeeded" == types[-1]
    assert types.index("payment_intent.succeeded") < types.index("invoice.paid")
    shop.stripe.advance(months=1, hours=2)
    assert ("active", "open") == (
        shop.subscription(subscription["id"])["status"],
        shop.invoices(subscription["id"])[0]["status"],
    )
    shop.stripe.advance(days=5)
    assert "paid" == shop.invoices(subscription["id"])[0]["status"]


def test_a_bank_debit_that_is_on_its_way(shop: Shop) -> None:
    """Nothing else is charged for the invoice until it is known how the debit ends."""
    subscription = shop.buy(card="pm_usBankAccount_success", **BANK, customer=shop.customer())
    invoice = shop.invoices(subscription["id"])[0]["id"]
    refusal = shop.refused("POST", f"/v1/invoices/{invoice}/pay")
    shop.stripe.collect(subscription["customer"])

    assert (400, "payment_intent_unexpected_state") == (refusal.status, refusal.code)
    assert ["pending"] == [charge["status"] for charge in shop.get("/v1/charges")["data"]]


def test_a_bank_debit_that_fails(shop: Shop) -> None:
    """The subscription is past due and the session says so; another card pays the same invoice."""
    subscription = shop.buy(card="000222222227", **BANK, customer=shop.customer())
    before = len(shop.stripe.events)

    shop.stripe.advance(days=4)

    assert "past_due" == shop.subscription(subscription["id"])["status"]
    types = shop.types(before)
    assert {"charge.failed", "invoice.payment_failed", "checkout.session.async_payment_failed"} <= set(types)
    shop.stripe.use_card(subscription["customer"], "4242424242424242")
    shop.stripe.collect(subscription["customer"])
    assert "active" == shop.subscription(subscription["id"])["status"]
    with pytest.raises(SimulatorError, match="processing"):
        shop.stripe.settle(subscription["customer"])


def test_a_renewal_that_wants_a_person(shop: Shop) -> None:
    """The invoice asks for action; when the person comes back and passes, the subscription is active again."""
    subscription = shop.buy(card="4000002760003184", customer=shop.customer())
    before = len(shop.stripe.events)

    shop.stripe.advance(months=1, hours=2)

    assert "past_due" == shop.subscription(subscription["id"])["status"]
    types = shop.types(before)
    assert {"payment_intent.requires_action", "invoice.payment_action_required"} <= set(types)
    shop.stripe.authenticate(subscription["customer"])
    assert "active" == shop.subscription(subscription["id"])["status"]
    assert "paid" == shop.invoices(subscription["id"])[0]["status"]


def test_a_checkout_takes_what_it_allows(shop: Shop) -> None:
    """Bank debits only where they are allowed, and every card that declines says why."""
    session = shop.checkout()
    with pytest.raises(SimulatorError, match="does not take"):
        shop.stripe.pay(session["id"], card="000123456789")
    for name, (code, decline_code) in DECLINES.items():
        with pytest.raises(CardDeclined) as declined:
            shop.stripe.pay(session["id"], card=name)
        assert (code, decline_code) == (declined.value.code, declined.value.decline_code)
    shop.stripe.pay(session["id"], card="pm_card_mastercard")
    (charge, *failed) = shop.get("/v1/charges", {"limit": "20"})["data"]
    assert ("succeeded", len(DECLINES)) == (charge["status"], len(failed))
    assert 1 == len({row["payment_intent"] for row in (charge, *failed)})
