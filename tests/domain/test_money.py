"""Currencies by Stripe's table, and money to and from text."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.currency import CURRENCIES, exponent, normalise, step
from kernia_billing.domain.ids import MAX_INTEGER
from kernia_billing.domain.money import Money
from kernia_billing.errors import InvalidInput

ZERO = {"bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"}
THREE = {"bhd", "jod", "kwd", "omr", "tnd"}

currencies = st.sampled_from(sorted(CURRENCIES))
amounts = st.integers(-MAX_INTEGER, MAX_INTEGER)


def test_the_exponents_are_stripes() -> None:
    """Zero and three decimals are Stripe's lists; everything else has two, ISK and UGX too."""
    assert ZERO == {code for code in CURRENCIES if exponent(code) == 0}
    assert THREE == {code for code in CURRENCIES if exponent(code) == 3}


def test_the_steps_are_stripes() -> None:
    """Three-decimal amounts end in 0, ISK and UGX amounts in 00; HUF and TWD are charged in any amount."""
    assert THREE == {code for code in CURRENCIES if step(code) == 10}
    assert {"isk", "ugx"} == {code for code in CURRENCIES if step(code) == 100}
    assert 1 == step("huf") == step("twd") == step("usd") == step("jpy")


def test_codes_are_lower_case() -> None:
    """Whatever case a code is written in, Stripe's is lower."""
    assert "usd" == normalise("USD") == normalise("Usd") == normalise("usd")
    assert all(len(code) == 3 and code.isascii() and code.islower() for code in CURRENCIES)


@pytest.mark.parametrize(
    "code", ["", "us", "usdd", "xxx", "iqd", "lyd", "ｕｓｄ", "usd ", "uſd", None, 840, b"usd", ["usd"]]
)
def test_unknown_codes_are_refused(code: Any) -> None:
    """A currency whose minor units are not known is never guessed at."""
    for judge in (normalise, exponent, step):
        with pytest.raises(InvalidInput) as caught:
            judge(code)
        assert caught.value.field == "currency"


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1250, "eur", "12.50 EUR"),
        (1250, "EUR", "12.50 EUR"),
        (0, "usd", "0.00 USD"),
        (5, "usd", "0.05 USD"),
        (-5, "usd", "-0.05 USD"),
        (-1250, "usd", "-12.50 USD"),
        (500, "jpy", "500 JPY"),
        (-500, "jpy", "-500 JPY"),
        (0, "jpy", "0 JPY"),
        (5120, "kwd", "5.120 KWD"),
        (-50, "kwd", "-0.050 KWD"),
        (500, "isk", "5.00 ISK"),
        (500, "ugx", "5.00 UGX"),
        (2**53 - 1, "usd", "90071992547409.91 USD"),
    ],
)
def test_money_as_text(amount: int, currency: str, text: str) -> None:
    """All decimals of the currency are written, and the text means the same money."""
    assert text == str(Money(amount, currency))
    assert Money(amount, currency) == Money.parse(text)


@given(amounts, currencies)
def test_money_survives_its_text(amount: int, currency: str) -> None:
    """Written and read again it is the same money, and the text is the exact decimal value."""
    money = Money(amount, currency)
    text = str(money)

    assert money == Money.parse(text)
    assert text == str(Money.parse(text))
    assert Decimal(amount).scaleb(-exponent(currency)) == Decimal(text.split(maxsplit=1)[0])


@given(amounts, currencies)
def test_money_is_a_value(amount: int, currency: str) -> None:
    """Equal parts make equal money, whatever case the currency was given in."""
    assert Money(amount, currency) == Money(amount, currency.upper())
    assert hash(Money(amount, currency)) == hash(Money(amount, currency.upper()))
    assert currency == Money(amount, currency.upper()).currency


@pytest.mark.parametrize(("text", "amount"), [("12 EUR", 1200), ("12.5 eur", 1250), ("-0.00 EUR", 0), ("007 JPY", 7)])
def test_other_spellings(text: str, amount: int) -> None:
    """Decimals may be left out."""
    assert amount == Money.parse(text).amount


@pytest.mark.parametrize("amount", [True, 1.0, "1", Decimal(1), None, 2**53, -(2**53)])
def test_amounts_that_are_no_integers_are_refused(amount: Any) -> None:
    """Nothing is converted, and nothing beyond what JSON holds exactly is kept."""
    with pytest.raises(InvalidInput) as caught:
        Money(amount, "usd")
    assert caught.value.field == "amount"


@pytest.mark.parametrize(
    "text",
    [
        *("", "12.50", "EUR", "12.50EUR", "12.50  EUR", " 12.50 EUR", "12.50 EUR\n", "12,50 EUR", "1e3 EUR", "+1 EUR"),
        *("12. EUR", ".5 EUR", "12.505 EUR", "5.0 JPY", "1.0000 KWD", "--1 EUR", "1_000 EUR", "１ EUR", "NaN EUR"),
        *("12.50 XXX", "99999999999999999 EUR", "9999999999999999 EUR", None, 12.5, 1250),
    ],
)
def test_other_texts_are_refused(text: Any) -> None:
    """Nothing is rounded, guessed or overflown."""
    with pytest.raises(InvalidInput):
        Money.parse(text)
