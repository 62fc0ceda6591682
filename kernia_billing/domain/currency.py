"""Currencies as Stripe counts them.

Stripe's amounts are integers in "minor units", and its table of minor units is its own: it differs from ISO 4217 and
from CLDR. Source: "Supported currencies" in Stripe's documentation (https://docs.stripe.com/currencies).

- Two decimals unless said otherwise.
- Zero decimals: an amount of 500 JPY is written 500.
- Three decimals: the last digit must be 0, because card networks take no more than two.
- ISK and UGX have no smaller unit, but are written with two decimals that are always 00.
- HUF and TWD are ordinary two-decimal currencies when charged; only payouts must be whole units, and this library makes
  no payouts.
"""

from __future__ import annotations

from typing import Literal

from ..errors import InvalidInput


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ZERO_DECIMALS = _codes("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf")
_THREE_DECIMALS = _codes("bhd jod kwd omr tnd")
_WHOLE_UNITS = _codes("isk ugx")
_TWO_DECIMALS = _codes(
    """
    aed afn all amd aoa ars aud awg azn bam bbd bdt bmd bnd bob brl bsd btn bwp byn bzd cad cdf chf cny cop crc cup cve
    czk dkk dop dzd egp ern etb eur fjd fkp gbp gel ghs gip gmd gtq gyd hkd hnl htg huf idr ils inr irr jmd kes kgs khr
    kpw kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mru mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen
    pgk php pkr pln qar ron rsd rub sar sbd scr sdg sek sgd shp sle sos srd ssp stn syp szl thb tjs tmt top try ttd twd
    tzs uah usd uyu uzs ves wst xcd xcg yer zar zmw zwg
    """
)

# Replaced by another currency, and still found in the prices and invoices of older Stripe accounts.
_WITHDRAWN = _codes("ang bgn hrk mro sll std svc")

CURRENCIES = _ZERO_DECIMALS | _THREE_DECIMALS | _WHOLE_UNITS | _TWO_DECIMALS | _WITHDRAWN
"""Every code that is accepted, in lower case.

ISO 4217's national currencies, without those (`iqd`, `lyd`) that have three decimals there and that Stripe does not
present: how it would count them is not known.
"""


def normalise(code: object, field: str = "currency") -> str:
    """The lower-case form of a currency code, which is the one that Stripe uses.

    Raises:
        InvalidInput: not a text, or not a known code. An unknown one is never taken for a two-decimal currency.
    """
    if not isinstance(code, str):
        raise InvalidInput("must be a text", field=field)
    lowered = code.lower()
    if lowered not in CURRENCIES:
        raise InvalidInput("must be an ISO 4217 currency code", field=field)
    return lowered


def exponent(code: str) -> Literal[0, 2, 3]:
    """How many digits of an amount stand behind the decimal point.

    Raises:
        InvalidInput: the code is unknown.
    """
    lowered = normalise(code)
    if lowered in _ZERO_DECIMALS:
        return 0
    return 3 if lowered in _THREE_DECIMALS else 2


def step(code: str) -> Literal[1, 10, 100]:
    """What an amount that is charged must be a multiple of, in minor units.

    Raises:
        InvalidInput: the code is unknown.
    """
    lowered = normalise(code)
    if lowered in _WHOLE_UNITS:
        return 100
    return 10 if lowered in _THREE_DECIMALS else 1
