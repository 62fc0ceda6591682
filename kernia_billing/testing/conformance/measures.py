"""What a store does with what is measured of features that are no plain sums."""

from __future__ import annotations

from attrs import evolve

from ...domain.aggregation import Measured, MeasureKey
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

    def test_measure_forget(self, store: DrivenStore) -> None:
        """Earlier periods of the same are forgotten, and nothing else."""
        everywhere = [_KEY, *_OTHERS]
        seven = Measured(7, 3)

        def put(tx: Transaction, key: MeasureKey) -> None:
            tx.measures.put(key, seven)
            assert tx.measures.add_value(key, "hash")

        store.each(everywhere, put)
        store.transaction(lambda tx: tx.measures.forget_before(_KEY))
        assert [seven] * 5 == store.each(everywhere, lambda tx, key: tx.measures.get(key))
        store.transaction(lambda tx: tx.measures.forget_before(_OTHERS[-1]))

        assert [None, *[seven] * 4] == store.each(everywhere, lambda tx, key: tx.measures.get(key))
        again = store.each(everywhere, lambda tx, key: tx.measures.add_value(key, "hash"))
        assert [True, False, False, False, False] == again
