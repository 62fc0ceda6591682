"""Costs in credits: exact at the scale, or refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.credit_cost import MAX_COST, smallest_cost
from kernia_billing.errors import InvalidInput


@pytest.mark.parametrize(
    ("cost", "credit_scale", "scale", "expected"),
    [
        ("0.003", 6, 0, 3_000),
        (10, 0, 0, 10),
        (0, 0, 0, 0),
        (Decimal("2.5"), 1, 0, 25),
        ("1e2", 0, 1, 10),
        ("0.5", 3, 2, 5),
    ],
)
def test_examples(cost: int | str | Decimal, credit_scale: int, scale: int, expected: int) -> None:
    """A whole number of smallest units."""
    assert expected == smallest_cost(cost, credit_scale, scale)


@pytest.mark.parametrize(
    "cost",
    ["0.003", "1.5", 0.5, True, None, "", "x", "NaN", "Infinity", "-1", -1, MAX_COST + 1, "1e999999", "1e-999999"],
)
def test_what_is_refused(cost: Any) -> None:
    """What the scale cannot express, and what is no cost at all; the field is named."""
    with pytest.raises(InvalidInput) as refused:
        smallest_cost(cost, 0)
    assert "credit_cost" == refused.value.field


@given(st.integers(0, 10**9), st.integers(0, 9))
def test_every_smallest_amount_has_a_text(amount: int, scale: int) -> None:
    """Written as a decimal and read again, it is itself: nothing is rounded."""
    assert amount == smallest_cost(f"{Decimal(amount).scaleb(-scale):f}", scale)
