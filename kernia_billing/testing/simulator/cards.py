"""Stripe's test cards and what they do."""

from __future__ import annotations

from attrs import frozen

from .errors import Decline, SimulatorError

_GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.")
_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
_UNAUTHENTICATED = Decline(
    "payment_intent_authentication_failure",
    None,
    "We are unable to authenticate your payment method. Please choose a different payment method and try again.",
)


@frozen
class Card:
    """A test card: how it looks, and what happens when it is checked and when it is charged."""

    number: str
    brand: str = "visa"
    decline: Decline | None = None
    """What every charge answers; None when it goes through."""
    attaches: bool = True
    """Whether the card passes the check when it is saved for later without a charge."""
    authenticates: bool = False
    """Whether it asks the person for 3D Secure when it is first used; later charges then go through."""

    @property
    def last4(self) -> str:
        """The last four digits."""
        return self.number[-4:]

    def refusal(self, *, charging: bool, present: bool, passes: bool) -> Decline | None:
        """Why using the card fails now, if it does.

        `charging` or only saving it; `present` when a person is at the page, who `passes` 3D Secure or not.
        """
        if self.authenticates and present and not passes:
            return _UNAUTHENTICATED
        if charging or not self.attaches:
            return self.decline
        return None


_CARDS = (
    Card("4242424242424242"),
    Card("5555555555554444", brand="mastercard"),
    Card("4000000000000002", decline=_GENERIC, attaches=False),
    Card("4000000000009995", decline=_FUNDS, attaches=False),
    Card("4000002500003155", authenticates=True),
    Card("4000000000000341", decline=_GENERIC),
)
CARDS = {card.number: card for card in _CARDS}

TEST_PAYMENT_METHODS = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_authenticationRequiredOnSetup": "4000002500003155",
    "pm_card_chargeCustomerFail": "4000000000000341",
}
"""Stripe's ready-made payment methods, with the card behind each."""


def card(number: str) -> Card:
    """The test card of that number; blanks do not matter.

    Raises:
        SimulatorError: it is none of the test cards.
    """
    digits = "".join(number.split())
    if digits not in CARDS:
        raise SimulatorError(f"not a test card that the simulator knows; use one of {', '.join(CARDS)}")
    return CARDS[digits]
