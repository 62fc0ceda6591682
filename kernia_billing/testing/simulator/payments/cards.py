"""Stripe's test cards and test bank accounts, and what they do. Source: https://docs.stripe.com/testing."""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

from ..world.errors import Decline, SimulatorError

Challenge = Literal["never", "unless_set_up", "on_session", "always"]


def _card_declined(decline_code: str, message: str = "Your card was declined.") -> Decline:
    return Decline("card_declined", decline_code, message)


_GENERIC = _card_declined("generic_decline")
_FUNDS = _card_declined("insufficient_funds", "Your card has insufficient funds.")
_VELOCITY = _card_declined(
    "card_velocity_exceeded",
    "Your card was declined for making repeated attempts too frequently or exceeding its amount limit.",
)
_PROCESSING = Decline(
    "processing_error", None, "An error occurred while processing your card. Try again in a little bit."
)
UNAUTHENTICATED = Decline(
    "payment_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)


@frozen
class Card:
    """A test card or bank account: how it looks, and what happens when it is checked and when it is charged."""

    number: str
    brand: str = "visa"
    decline: Decline | None = None
    """What every charge answers in the end; None when it goes through."""
    attaches: bool = True
    """Whether the card passes the check when it is saved for later without a charge."""
    challenge: Challenge = "never"
    """When it asks the person for 3D Secure. A person who is there is asked whenever it is not "never"; without one a
    charge fails if it is "always", or "unless_set_up" and no person has authenticated the card before."""
    funding: Literal["credit", "debit", "prepaid"] = "credit"
    kind: Literal["card", "us_bank_account"] = "card"
    settles: bool = True
    """Whether a debit of a bank account ever comes to an end."""
    dispute: str | None = None
    """Why every charge that goes through is disputed, if it is."""

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]

    @property
    def delayed(self) -> bool:
        """Whether nobody knows for days if a payment succeeds."""
        return self.kind == "us_bank_account"

    def set_up(self) -> Card:
        """The card after a person authenticated it."""
        return evolve(self, challenge="on_session") if self.challenge == "unless_set_up" else self

    def refusal(self, *, charging: bool, present: bool, passes: bool) -> Decline | None:
        """Why using the card fails now, if it does; a debit never fails at once.

        `charging` or only saving it; `present` when a person is at the page, who `passes` 3D Secure or not.
        """
        if self.delayed:
            return None
        if present and self.challenge != "never" and not passes:
            return UNAUTHENTICATED
        if charging and not present and self.challenge in ("always", "unless_set_up"):
            return AUTHENTICATION_REQUIRED
        if charging or not self.attaches:
            return self.decline
        return None


def _bank(number: str, code: str | None = None, message: str = "", *, settles: bool = True) -> Card:
    decline = None if code is None else Decline(code, None, message)
    return Card(number, "stripe test bank", decline, kind="us_bank_account", funding="debit", settles=settles)


_CARDS = (
    Card("4242424242424242"),
    Card("4000056655665556", funding="debit"),
    Card("5555555555554444", "mastercard"),
    Card("5200828282828210", "mastercard", funding="debit"),
    Card("5105105105105100", "mastercard", funding="prepaid"),
    Card("378282246310005", "amex"),
    Card("6011111111111117", "discover"),
    Card("3056930009020004", "diners"),
    Card("3566002020360505", "jcb"),
    Card("6200000000000005", "unionpay"),
    Card("4000000000000002", decline=_GENERIC, attaches=False),
    Card("4000000000009995", decline=_FUNDS, attaches=False),
    Card("4000000000009987", decline=_card_declined("lost_card"), attaches=False),
    Card("4000000000009979", decline=_card_declined("stolen_card"), attaches=False),
    Card("4000000000000069", decline=Decline("expired_card", None, "Your card has expired."), attaches=False),
    Card(
        "4000000000000127",
        decline=Decline("incorrect_cvc", None, "Your card's security code is incorrect."),
        attaches=False,
    ),
    Card("4000000000000119", decline=_PROCESSING, attaches=False),
    Card(
        "4242424242424241",
        decline=Decline("incorrect_number", None, "Your card number is incorrect."),
        attaches=False,
    ),
    Card("4000000000006975", decline=_VELOCITY, attaches=False),
    Card("4100000000000019", decline=_card_declined("fraudulent")),
    Card("4000000000000341", decline=_GENERIC),
    Card("4000002500003155", challenge="unless_set_up"),
    Card("4000002760003184", challenge="always"),
    Card("4000003800000446", challenge="on_session"),
    Card("4000008260003178", decline=_FUNDS, challenge="unless_set_up"),
    Card("4000000000003220", challenge="unless_set_up"),
    Card("4000008400001629", decline=_GENERIC, challenge="unless_set_up"),
    Card("4000008400001280", decline=_PROCESSING, challenge="unless_set_up"),
    Card("4000000000003055"),
    Card("4000000000000259", dispute="fraudulent"),
    Card("4000000000002685", dispute="product_not_received"),
    Card("4000000000001976"),
    _bank("000123456789"),
    _bank("000111111113", "account_closed", "The customer's bank account has been closed."),
    _bank("000111111116", "no_account", "The customer's bank account could not be located."),
    _bank("000222222227", "insufficient_funds", "The customer's account has insufficient funds to cover this payment."),
    _bank("000333333335", "debit_not_authorized", "The customer has notified their bank that this payment was wrong."),
    _bank("000000000009", settles=False),
)
CARDS = {card.number: card for card in _CARDS}

TEST_PAYMENT_METHODS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_visa_debit": "4000056655665556",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_mastercard_debit": "5200828282828210",
    "pm_card_mastercard_prepaid": "5105105105105100",
    "pm_card_amex": "378282246310005",
    "pm_card_discover": "6011111111111117",
    "pm_card_diners": "3056930009020004",
    "pm_card_jcb": "3566002020360505",
    "pm_card_unionpay": "6200000000000005",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa_chargeDeclinedLostCard": "4000000000009987",
    "pm_card_visa_chargeDeclinedStolenCard": "4000000000009979",
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": "4000000000006975",
    "pm_card_chargeDeclinedExpiredCard": "4000000000000069",
    "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
    "pm_card_chargeDeclinedProcessingError": "4000000000000119",
    "pm_card_chargeCustomerFail": "4000000000000341",
    "pm_card_radarBlock": "4100000000000019",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_authenticationRequiredSetupForOffSession": "4000003800000446",
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
    "pm_card_threeDSecure2Required": "4000000000003220",
    "pm_card_threeDSecureRequiredChargeDeclined": "4000008400001629",
    "pm_card_threeDSecureRequiredProcessingError": "4000008400001280",
    "pm_card_threeDSecureOptional": "4000000000003055",
    "pm_card_createDispute": "4000000000000259",
    "pm_card_createDisputeProductNotReceived": "4000000000002685",
    "pm_card_createDisputeInquiry": "4000000000001976",
    "pm_usBankAccount_success": "000123456789",
    "pm_usBankAccount_accountClosed": "000111111113",
    "pm_usBankAccount_noAccount": "000111111116",
    "pm_usBankAccount_insufficientFunds": "000222222227",
    "pm_usBankAccount_debitNotAuthorized": "000333333335",
    "pm_usBankAccount_processing": "000000000009",
}
"""Stripe's ready-made payment methods, with the card or account behind each."""


def card(number: str) -> Card:
    """The test card or bank account of that number, or of that ready-made name; blanks do not matter.

    Raises:
        SimulatorError: it is none of the test cards.
    """
    digits = "".join(number.split())
    digits = TEST_PAYMENT_METHODS.get(digits, digits)
    if digits not in CARDS:
        raise SimulatorError(f"not a test card that the simulator knows; use one of {', '.join(CARDS)}")
    return CARDS[digits]
