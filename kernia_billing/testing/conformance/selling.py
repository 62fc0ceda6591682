"""What a store does with purchases, and with trials that are claimed."""

from __future__ import annotations

import pytest
from attrs import evolve

from ...domain.trials import LocalTrial, TrialRow
from ...ports.store import DuplicateKey
from . import rows
from .harness import DrivenStore
from .rows import NOW

_CUSTOMER = "cus:org_a"


def _trial(key: str = "reference:1", holder: str = "chk_a") -> TrialRow:
    return TrialRow(key, "reference", _CUSTOMER, "pro", holder, NOW, None)


class SellingConformance:
    """The nouns `purchases` and `trials`."""

    def test_purchase_round_trip(self, store: DrivenStore) -> None:
        """A purchase is found by each of its ids, with what it promised."""
        row = rows.purchase(
            stripe_session_id="cs_1", payment_intent_id="pi_1", line_id="li_1", url="https://pay.example/" + "x" * 3_000
        )
        store.transaction(lambda tx: tx.purchases.add(row))

        assert row == store.read(lambda tx: tx.purchases.open(_CUSTOMER, "payment:pack"))
        assert row == store.read(lambda tx: tx.purchases.by_id("purchase"))
        assert row == store.read(lambda tx: tx.purchases.by_session("cs_1"))
        assert row == store.read(lambda tx: tx.purchases.by_payment_intent("pi_1"))
        assert [row] == store.read(lambda tx: tx.purchases.open_ones(_CUSTOMER))
        assert store.read(lambda tx: tx.purchases.by_session("cs_2")) is None
        assert store.read(lambda tx: tx.purchases.open("cus:b", "payment:pack")) is None

    def test_one_open_purchase_of_a_slot(self, store: DrivenStore) -> None:
        """A customer has one open purchase of a top-up, and one in setup mode; what is done with does not count."""
        first = rows.purchase("a")
        store.transaction(lambda tx: tx.purchases.add(first))

        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.purchases.add(rows.purchase("b")))
        others = [
            rows.purchase("c", name="other"),
            rows.purchase("d", "cus:b"),
            rows.purchase("e", status="failed"),
            rows.purchase("f", mode="setup", name=""),
        ]
        store.each(others, lambda tx, row: tx.purchases.add(row))
        store.transaction(lambda tx: tx.purchases.put(evolve(first, status="complete", paid=5)))
        store.transaction(lambda tx: tx.purchases.add(rows.purchase("g")))
        found = store.read(lambda tx: tx.purchases.open_ones(_CUSTOMER))
        assert {"c", "f", "g"} == {row.id for row in found}

    def test_unfinished_purchases(self, store: DrivenStore) -> None:
        """Open ones, and those whose payment is under way, page by page; overdue are those that should have expired."""
        states = {"a": "open", "b": "processing", "c": "complete", "d": "expired", "e": "failed"}
        listed = [
            rows.purchase(name, name=name, status=status, stripe_session_id=f"cs_{name}", expires_at=NOW + number)
            for number, (name, status) in enumerate(states.items())
        ]
        store.each([*listed, rows.purchase("z", name="z")], lambda tx, row: tx.purchases.add(row))

        assert ["cs_a", "cs_b"] == store.read(lambda tx: tx.purchases.unfinished(5, None))
        assert ["cs_b"] == store.read(lambda tx: tx.purchases.unfinished(1, "cs_a"))
        assert ["cs_a"] == store.read(lambda tx: tx.purchases.overdue(NOW + 1, NOW + 1, 5))

    def test_a_scope_has_one_trial(self, store: DrivenStore) -> None:
        """The first claim counts; what is released or never began is free again, what began stays."""
        assert store.transaction(lambda tx: tx.trials.add(_trial()))
        assert not store.transaction(lambda tx: tx.trials.add(_trial(holder="chk_b")))
        assert _trial() == store.read(lambda tx: tx.trials.get("reference:1"))
        assert [_trial()] == store.read(lambda tx: tx.trials.of_holder("chk_a"))
        assert store.transaction(lambda tx: tx.trials.release("chk_b")) == 0
        assert store.transaction(lambda tx: tx.trials.release("chk_a")) == 1

        began = evolve(_trial(holder="sub_a"), started_at=NOW)
        store.transaction(lambda tx: tx.trials.put(began))
        assert store.transaction(lambda tx: tx.trials.release("sub_a")) == 0
        store.transaction(lambda tx: tx.trials.put(evolve(began, plan="team")))
        assert "team" == getattr(store.read(lambda tx: tx.trials.get("reference:1")), "plan", None)

    def test_trials_without_stripe(self, store: DrivenStore) -> None:
        """They are found by customer, oldest first, and by when somebody has to look at them."""
        first = LocalTrial("sub_b", _CUSTOMER, "default", "pro", "pln_1", 1, NOW, NOW + 9, None, NOW + 5)
        later = evolve(first, id="sub_a", group="sides", started_at=NOW + 1, due_at=NOW + 4)
        other = evolve(first, id="sub_c", customer_id="cus:b", due_at=NOW + 6)
        store.each([first, later, other], lambda tx, row: tx.trials.put_local(row))

        assert [first, later] == store.read(lambda tx: tx.trials.local(_CUSTOMER))
        assert [_CUSTOMER, "cus:b"] == store.read(lambda tx: tx.trials.due(NOW + 6, 5))
        assert [_CUSTOMER] == store.read(lambda tx: tx.trials.due(NOW + 6, 1))
        assert [] == store.read(lambda tx: tx.trials.due(NOW + 3, 5))
        ended = evolve(other, ended_at=NOW + 2, due_at=NOW + 100, canceled_at=NOW + 1, cancel_feedback="unused")
        store.transaction(lambda tx: tx.trials.put_local(ended))
        assert [ended] == store.read(lambda tx: tx.trials.local("cus:b"))
        assert [_CUSTOMER] == store.read(lambda tx: tx.trials.due(NOW + 6, 5))
