"""Money: an integer of minor units and a currency. There is no float on the way in or out."""

from __future__ import annotations

import re
from typing import Self

from attrs import field, frozen

from ..errors import InvalidInput
from .currency import exponent, normalise
from .ids import MAX_INTEGER, quantity

_WRITTEN = re.compile(r"(-?)([0-9]{1,16})(?:\.([0-9]{1,3}))? ([A-Za-z]{3})")


def _amount(value: int) -> int:
    return quantity(value, "amount", -MAX_INTEGER, MAX_INTEGER)


def _currency(code: str) -> str:
    return normalise(code)


@frozen
class Money:
    """An amount in a currency's minor units, counted as Stripe counts them: `Money(1250, "eur")` is 12.50 EUR.

    `amount` is an `int` within ±(2^53-1), negative for a credit; `currency` is an ISO 4217 code, kept in lower case.

    Raises:
        InvalidInput: the amount is not such an integer (a bool or a float is not), or the currency is unknown.
    """

    amount: int = field(converter=_amount)
    currency: str = field(converter=_currency)

    def __str__(self) -> str:
        """The amount in the major unit with all its decimals, and the code: `12.50 EUR`, `500 JPY`, `-0.050 KWD`."""
        digits = exponent(self.currency)
        sign = "-" if self.amount < 0 else ""
        if digits == 0:
            return f"{self.amount} {self.currency.upper()}"
        whole, rest = divmod(abs(self.amount), 10**digits)
        return f"{sign}{whole}.{rest:0{digits}} {self.currency.upper()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The money that a text means, of the form that `str` writes: `Money.parse("12.50 EUR")`.

        Decimals may be left out (`12 EUR`), but never more than the currency has: nothing is rounded.

        Raises:
            InvalidInput: the text has another form, too many decimals, an unknown currency, or too large an amount.
        """
        match = _WRITTEN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise InvalidInput("must be an amount and a currency, such as 12.50 EUR", field="money")
        sign, whole, rest, code = match.groups(default="")
        digits = exponent(code)
        if len(rest) > digits:
            raise InvalidInput(f"must have at most {digits} decimals", field="money")
        amount = int(whole + rest.ljust(digits, "0"))
        return cls(-amount if sign else amount, code)
