"""What a store does with what is measured of features that are no plain sums."""

from __future__ import annotations

from attrs import evolve

from ...domain.aggregation import Measured, MeasureKey
from ...domain.instants import FOREVER
from ...ports.store import Transaction
from .harness import DrivenStore
from .rows import MONTH, NOW

_KEY = MeasureKey("cus:org_a", "messages", "", NOW)
_OTHERS = [
    evolve(_KEY, customer_id="cus:b"),
    evolve(_KEY, feature="Messages"),
    evolve(_KEY, entity="é"),
    evolve(_KEY, period_start=NOW + MONTH),
]


class MeasuresConformance:
    """billing_measure and billing_unique_value."""

    def test_measure_put(self, store: DrivenStore) -> None:
        """A measure is of one customer, feature, entity and period, and is what was put last."""
        everywhere = [_KEY, *_OTHERS]
        assert [None] * 5 == store.read_each(everywhere, lambda tx, key: tx.measures.get(key))
        for first in (0, 10):
            put = [Measured(first + number, number) for number in range(5)]
            store.each(zip(everywhere, put, strict=True), lambda tx, each: tx.measures.put(*each))
            assert put == store.each(everywhere, lambda tx, key: tx.measures.get(key))

    def test_unique_value_once(self, store: DrivenStore) -> None:
        """A value is new once, for each customer, feature, entity and period; and again after it was forgotten."""

        def add(key: MeasureKey, value: str = "hash") -> bool:
            return store.transaction(lambda tx: tx.measures.add_value(key, value))

        assert [True, False, True] == [add(_KEY), add(_KEY), add(_KEY, "HASH")]
        assert [True] * 4 == [add(key) for key in _OTHERS]
        store.transaction(lambda tx: tx.measures.drop_value(_KEY, "hash"))
        store.transaction(lambda tx: tx.measures.drop_value(_KEY, "none"))
        assert [True, False] == [add(_KEY), add(_KEY, "HASH")]
        assert [False] * 4 == [add(key) for key in _OTHERS]

    def test_measure_prune(self, store: DrivenStore) -> None:
        """What was measured in periods that are over is forgotten, some rows at a time, and nothing else."""
        ends = [NOW + MONTH, NOW + 2 * MONTH, FOREVER]
        keys = [evolve(_KEY, entity=str(number), period_end=end) for number, end in enumerate(ends)]

        def put(tx: Transaction, key: MeasureKey) -> None:
            tx.measures.put(key, Measured(7, 3))
            assert all(tx.measures.add_value(key, value) for value in ("a", "b", "c"))

        store.each(keys, put)

        def prune(before: int, limit: int) -> int:
            return store.transaction(lambda tx: tx.measures.prune(before, limit))

        assert [0, 2, 2, 0] == [prune(ends[0], 9), *(prune(ends[1], 2) for _ in range(3))]
        assert [None, Measured(7, 3), Measured(7, 3)] == store.each(keys, lambda tx, key: tx.measures.get(key))
        again = store.each(keys, lambda tx, key: tx.measures.add_value(key, "b"))
        assert [True, False, False] == again
        assert 4 == prune(FOREVER, 9)
