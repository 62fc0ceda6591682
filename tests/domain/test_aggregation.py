"""Aggregations as deltas: the balance is always a sum."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.aggregation import delta, value_hash
from kernia_billing.domain.plans import Aggregation

values = st.lists(st.integers(0, 9), min_size=1, max_size=12)


def measured(aggregation: Aggregation, reported: list[int]) -> int:
    """What the deltas add up to."""
    total = 0
    seen: set[str] = set()
    for value in reported:
        total += delta(aggregation, value, total, is_new=value_hash(value) not in seen)
        seen.add(value_hash(value))
        assert total >= 0
    return total


def test_the_example_of_a_maximum() -> None:
    """3, 5, 4, 9 add 3, 2, 0 and 4."""
    reached = [0, 3, 5, 5]

    assert [3, 2, 0, 4] == [delta("max", value, so_far) for value, so_far in zip([3, 5, 4, 9], reached, strict=True)]


@given(values)
def test_the_deltas_add_up_to_the_aggregate(reported: list[int]) -> None:
    """Whatever is reported, in whatever order."""
    assert sum(reported) == measured("sum", reported)
    assert len(reported) == measured("count", reported)
    assert max(reported) == measured("max", reported)
    assert reported[-1] == measured("latest", reported)
    assert len(set(reported)) == measured("unique", reported)


def test_a_number_and_its_text_are_two_values() -> None:
    """And neither can be read from what is stored."""
    assert value_hash(1) != value_hash("1")
    assert 64 == len(value_hash("u1"))
