"""What a store does with what goes out: events, intents, settings."""

from __future__ import annotations

import pytest
from attrs import evolve

from ...domain.instants import DAY
from ...ports.store import DuplicateKey, Transaction
from . import rows
from .harness import DrivenStore
from .rows import NOW


class OutboxConformance:
    """billing_outbox, billing_intent, billing_setting."""

    def test_outbox_claim(self, store: DrivenStore) -> None:
        """Events are taken oldest first, with the attempt counted, and not by two."""
        a, b = rows.event("b", payload={"ä": [1]}), rows.event("a", "cus:b")
        store.transaction(lambda tx: tx.outbox.add([a, b]))

        assert [evolve(a, attempts=1), evolve(b, attempts=1)] == store.transaction(
            lambda tx: tx.outbox.claim(NOW, NOW + 10, 9)
        )
        assert [] == store.transaction(lambda tx: tx.outbox.claim(NOW + 9, NOW + 20, 9))
        assert [2, 2] == [row.attempts for row in store.transaction(lambda tx: tx.outbox.claim(NOW + 10, NOW + 20, 9))]
        assert store.transaction(lambda tx: tx.outbox.sent("a", NOW + 20, attempts=2))
        assert store.transaction(lambda tx: tx.outbox.failed("b", NOW + 50, attempts=2))
        assert not store.transaction(lambda tx: tx.outbox.failed("a", NOW, attempts=2))
        assert [] == store.transaction(lambda tx: tx.outbox.claim(NOW + 49, NOW + 99, 9))
        assert ["b"] == [row.id for row in store.transaction(lambda tx: tx.outbox.claim(NOW + 50, NOW + 99, 9))]

    def test_outbox_settle(self, store: DrivenStore) -> None:
        """Events that are settled as they are claimed wait for nobody; the others are still claimed."""
        store.transaction(lambda tx: tx.outbox.add([rows.event("1"), rows.event("2"), rows.event("3")]))

        def claim(settled: list[str]) -> list[str]:
            def unit(tx: Transaction) -> list[str]:
                claimed = tx.outbox.claim(NOW, NOW + 10, 9)
                tx.outbox.settle(settled, NOW)
                return [row.id for row in claimed]

            return store.transaction(unit)

        assert ["1", "2", "3"] == claim(["1", "3"])
        assert (1, NOW) == store.read(lambda tx: tx.outbox.lag(NOW))
        assert store.transaction(lambda tx: tx.outbox.sent("2", NOW, attempts=1))
        assert not store.transaction(lambda tx: tx.outbox.failed("3", NOW, attempts=1))
        assert [] == claim([])

    def test_outbox_fencing(self, store: DrivenStore) -> None:
        """Who was taken over can say neither that an event was sent nor when it is to be; who took it over can."""
        store.transaction(lambda tx: tx.outbox.add([rows.event("1")]))
        stalled, second = (
            store.transaction(lambda tx: tx.outbox.claim(NOW, NOW + 10, 9)),
            store.transaction(lambda tx: tx.outbox.claim(NOW + 10, NOW + 20, 9)),
        )
        assert [1, 2] == [row.attempts for row in (*stalled, *second)]

        assert not store.transaction(lambda tx: tx.outbox.failed("1", NOW, attempts=1))
        assert not store.transaction(lambda tx: tx.outbox.sent("1", NOW + 11, attempts=1))
        assert [] == store.transaction(lambda tx: tx.outbox.claim(NOW + 11, NOW + 30, 9))
        assert (1, NOW) == store.read(lambda tx: tx.outbox.lag(NOW))
        assert store.transaction(lambda tx: tx.outbox.sent("1", NOW + 12, attempts=2))
        assert (0, None) == store.read(lambda tx: tx.outbox.lag(NOW))

    def test_outbox_of_a_wrong_clock(self, store: DrivenStore) -> None:
        """What was taken on a host whose clock is far ahead is sent like any other, and holds up nothing for long."""
        store.transaction(lambda tx: tx.outbox.add([rows.event("1"), rows.event("2")]))
        ahead = NOW + 400 * DAY
        assert ["1"] == [row.id for row in store.transaction(lambda tx: tx.outbox.claim(ahead, ahead + 10, 1))]

        assert ["1", "2"] == [row.id for row in store.transaction(lambda tx: tx.outbox.claim(NOW, NOW + 10, 9))]
        assert [] == store.transaction(lambda tx: tx.outbox.claim(NOW, NOW + 10, 9))

    def test_outbox_order(self, store: DrivenStore) -> None:
        """An event waits for the earlier ones of its customer; those of others and of nobody do not."""
        events = [rows.event("1"), rows.event("2"), rows.event("3", "cus:b"), rows.event("4", ""), rows.event("5", "")]
        store.transaction(lambda tx: tx.outbox.add(events))

        def claim(limit: int) -> str:
            claimed = store.transaction(lambda tx: tx.outbox.claim(NOW, NOW + 10, limit))
            return "".join(row.id for row in claimed)

        assert "1" == claim(1)
        assert "34" == claim(2)
        assert "5" == claim(9)
        store.transaction(lambda tx: tx.outbox.sent("1", NOW, attempts=1))
        assert "2" == claim(9)
        assert "" == claim(9)

    def test_outbox_lag(self, store: DrivenStore) -> None:
        """How much waits, and since when."""
        assert (0, None) == store.read(lambda tx: tx.outbox.lag(NOW))
        events = [rows.event(name, created_at=NOW - age) for name, age in (("1", 1), ("2", 3), ("3", 2), ("4", -1))]
        store.transaction(lambda tx: tx.outbox.add(events))

        assert (3, NOW - 3) == store.read(lambda tx: tx.outbox.lag(NOW))
        store.transaction(lambda tx: tx.outbox.claim(NOW, NOW + 10, 9))
        store.transaction(lambda tx: tx.outbox.sent("2", NOW, attempts=1))
        assert (2, NOW - 2) == store.read(lambda tx: tx.outbox.lag(NOW))

    def test_outbox_prune(self, store: DrivenStore) -> None:
        """What was sent long ago is deleted, so many at a time; what was not sent never."""
        store.transaction(lambda tx: tx.outbox.add([rows.event(name, "", created_at=0) for name in "12345"]))
        for name, at in (("4", 1), ("1", 2), ("2", 3), ("5", NOW)):
            store.each([(name, at)], lambda tx, of: tx.outbox.sent(*of, attempts=0))

        assert 2 == store.transaction(lambda tx: tx.outbox.prune(NOW, 2))
        assert 1 == store.transaction(lambda tx: tx.outbox.prune(NOW, 2))
        assert 0 == store.transaction(lambda tx: tx.outbox.prune(NOW, 2))
        assert (1, 0) == store.read(lambda tx: tx.outbox.lag(NOW))
        store.transaction(lambda tx: tx.outbox.add([rows.event(name, "") for name in "124"]))
        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.outbox.add([rows.event("5", "")]))

    def test_intent_once(self, store: DrivenStore) -> None:
        """The first request under a key is the one that is made, however often and by whomever."""
        first = rows.intent(params={"b": [1], "a": {"c": None}})
        second = rows.intent(params={}, path="/v1/other")

        assert first == store.transaction(lambda tx: tx.intents.add(first))
        assert first == store.transaction(lambda tx: tx.intents.add(second))
        store.transaction(lambda tx: tx.intents.finish("intent", "done", "cus_1"))
        done = store.read(lambda tx: tx.intents.get("intent"))
        assert evolve(first, state="done", stripe_id="cus_1", params={}) == done
        assert store.read(lambda tx: tx.intents.get("INTENT")) is None

    def test_intents_unfinished(self, store: DrivenStore) -> None:
        """What nobody knows the outcome of is told, oldest first; a parked one waits for a person."""
        ages = [("1", 1), ("2", 4), ("3", 2), ("4", 3), ("5", 0)]
        store.each([rows.intent(key, created_at=NOW - age) for key, age in ages], lambda tx, row: tx.intents.add(row))
        store.transaction(lambda tx: tx.intents.finish("4", "parked", None))

        assert ["2", "3", "1"] == [row.key for row in store.read(lambda tx: tx.intents.unfinished(NOW, 9))]
        assert ["2"] == [row.key for row in store.read(lambda tx: tx.intents.unfinished(NOW, 1))]
        parked = store.read(lambda tx: tx.intents.get("4"))
        assert "parked" == (parked and parked.state)

    def test_intents_parked(self, store: DrivenStore) -> None:
        """A parked call keeps its parameters until they are forgotten, and is there until it is removed."""
        ages = [("1", 1), ("2", 4), ("3", 2), ("4", 3), ("5", 0)]
        store.each([rows.intent(key, created_at=NOW - age) for key, age in ages], lambda tx, row: tx.intents.add(row))
        store.each(["1", "2", "4", "5"], lambda tx, key: tx.intents.finish(key, "parked", None))

        def parked(limit: int = 9) -> list[str]:
            return [row.key for row in store.read(lambda tx: tx.intents.parked(NOW, limit))]

        assert (["2", "4", "1"], ["2"]) == (parked(), parked(1))
        store.transaction(lambda tx: tx.intents.forget("2"))
        assert ["4", "1"] == parked()
        forgotten = store.read(lambda tx: tx.intents.get("2"))
        assert rows.intent("2", created_at=NOW - 4, state="parked", params={}) == forgotten
        store.transaction(lambda tx: tx.intents.remove("4"))
        assert ["1"] == parked()
        assert store.read(lambda tx: tx.intents.get("4")) is None

    def test_setting_once(self, store: DrivenStore) -> None:
        """A fact is recorded once."""
        assert store.read(lambda tx: tx.settings.get("mode")) is None
        assert "live" == store.transaction(lambda tx: tx.settings.add("mode", "live"))
        assert "live" == store.transaction(lambda tx: tx.settings.add("mode", "test"))
        assert "live" == store.read(lambda tx: tx.settings.get("mode"))
