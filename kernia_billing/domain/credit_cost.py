"""What a unit of a feature costs in credits, as the whole number that the engine counts with."""

from __future__ import annotations

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, InvalidOperation

from ..errors import InvalidInput
from .ids import MAX_QUANTITY

MAX_COST = MAX_QUANTITY
"""The most that one smallest unit may cost, in the smallest unit of the credits."""


_MAX_DIGITS = len(str(MAX_COST))
_EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_TOO_LARGE = "is too large at the scale of the credits"
_TOO_FINE = "cannot be expressed at the scale of the credits: give them a larger one"


def smallest_cost(cost: int | str | Decimal, credit_scale: int, scale: int = 0, field: str = "credit_cost") -> int:
    """How many smallest units of credits one smallest unit of the feature costs.

    `cost` is per whole unit; a smallest unit is `10**-credit_scale` credits and `10**-scale` of the feature. Nothing is
    rounded: 0.003 credits a token is 3,000 at a credit scale of 6, and at a scale of 2 it does not exist.

    Raises:
        InvalidInput: a float, no number, a negative or too large one, or one that the scales cannot express.
    """
    if isinstance(cost, bool) or not isinstance(cost, (int, str, Decimal)):
        raise InvalidInput("must be an int, a text or a Decimal, never a float", field=field)
    try:
        exact = Decimal(cost)
    except InvalidOperation:
        raise InvalidInput("must be a number", field=field) from None
    if not exact.is_finite() or exact < 0:
        raise InvalidInput("must be a number that is not negative", field=field)
    shift = credit_scale - scale
    if exact and exact.adjusted() + shift > _MAX_DIGITS:
        raise InvalidInput(_TOO_LARGE, field=field)
    if exact and exact.adjusted() + shift < 0:
        raise InvalidInput(_TOO_FINE, field=field)
    # The magnitude is judged first: a short text such as 1e999999 must not become a number of that many digits.
    numerator, denominator = exact.scaleb(shift, _EXACT).as_integer_ratio()
    if denominator != 1:
        raise InvalidInput(_TOO_FINE, field=field)
    if numerator > MAX_COST:
        raise InvalidInput(_TOO_LARGE, field=field)
    return numerator
