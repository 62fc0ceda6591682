"""What a store does with tickets, which keep old news from overwriting newer."""

from __future__ import annotations

from ...ports.store import Transaction
from .harness import DrivenStore
from .rows import NOW


class ObjectsConformance:
    """billing_stripe_object."""

    def test_tickets(self, store: DrivenStore) -> None:
        """Tickets rise for each object by itself, and what was applied is remembered."""
        assert [1, 2, 1, 1, 3] == store.each("aabAa", lambda tx, of: tx.objects.take_ticket("sub", of))
        assert 0 == store.transaction(lambda tx: tx.objects.applied("sub", "a"))
        store.transaction(lambda tx: tx.objects.apply("sub", "a", 2, deleted=False, now=NOW))
        assert 2 == store.transaction(lambda tx: tx.objects.applied("sub", "a"))
        store.transaction(lambda tx: tx.objects.apply("sub", "a", 3, deleted=True, now=NOW))

        assert 3 == store.transaction(lambda tx: tx.objects.applied("sub", "a"))
        assert 4 == store.transaction(lambda tx: tx.objects.take_ticket("sub", "a"))
        assert 0 == store.transaction(lambda tx: tx.objects.applied("invoice", "a"))
        assert 1 == store.transaction(lambda tx: tx.objects.take_ticket("invoice", "a"))

    def test_tickets_of_page(self, store: DrivenStore) -> None:
        """Of a page it is told which objects were ever fetched, and up to where."""
        store.each("aab", lambda tx, of: tx.objects.take_ticket("price", of))
        store.transaction(lambda tx: tx.objects.apply("price", "a", 1, deleted=False, now=NOW))
        store.transaction(lambda tx: tx.objects.apply("price", "b", 1, deleted=True, now=NOW))

        known = {"a": (2, 1, False), "b": (1, 1, True)}
        assert known == store.read(lambda tx: tx.objects.tickets("price", ["a", "b", "c", "A"]))
        assert {} == store.read(lambda tx: tx.objects.tickets("product", ["a"]))
        assert {} == store.read(lambda tx: tx.objects.tickets("price", []))

    def test_first_tickets(self, store: DrivenStore) -> None:
        """A page may be written where nobody ever fetched the object; the others have a newer ticket then."""
        store.transaction(lambda tx: tx.objects.take_ticket("price", "b"))
        store.transaction(lambda tx: tx.objects.applied("price", "c"))

        first = store.transaction(lambda tx: tx.objects.first_tickets("price", ["d", "a", "b", "c", "a"]))
        assert {"a", "c", "d"} == first
        assert set() == store.transaction(lambda tx: tx.objects.first_tickets("price", ["a", "b", "c", "d"]))
        assert set() == store.transaction(lambda tx: tx.objects.first_tickets("price", []))
        last = dict.fromkeys("acd", (2, 0, False)) | {"b": (3, 0, False)}
        assert last == store.read(lambda tx: tx.objects.tickets("price", list("abcd")))

    def test_apply_first(self, store: DrivenStore) -> None:
        """The state of a page is noted at once, and only for those whose ticket it may be noted under."""
        store.transaction(lambda tx: tx.objects.take_ticket("price", "b"))

        def page(tx: Transaction) -> None:
            tx.objects.first_tickets("price", ["a", "b"])
            tx.objects.apply_first("price", ["a", "b"], NOW)
            tx.objects.apply_first("price", [], NOW)

        store.transaction(page)
        known = {"a": (1, 1, False), "b": (2, 0, False)}
        assert known == store.read(lambda tx: tx.objects.tickets("price", ["a", "b"]))
        assert ["a"] == store.read(lambda tx: tx.objects.stale("price", NOW + 1, 9))
        assert [] == store.read(lambda tx: tx.objects.stale("price", NOW, 9))

    def test_stale(self, store: DrivenStore) -> None:
        """What is stored and was not compared for long is told, the longest unseen first."""
        for name, at in (("a", 1), ("b", 3), ("c", 2), ("d", 9)):
            store.each([(name, at)], lambda tx, of: tx.objects.take_ticket("price", of[0]))
            store.each(
                [(name, at)],
                lambda tx, of: tx.objects.apply("price", of[0], 1, deleted=of[0] == "d", now=NOW - of[1]),
            )
        store.transaction(lambda tx: tx.objects.take_ticket("price", "never stored"))
        store.transaction(lambda tx: tx.objects.take_ticket("product", "e"))

        def stale(before: int = NOW, limit: int = 9) -> str:
            return "".join(store.read(lambda tx: tx.objects.stale("price", before, limit)))

        assert "bca" == stale()
        assert "b" == stale(limit=1)
        assert "b" == stale(NOW - 2)
        store.transaction(lambda tx: tx.objects.check("price", ["b", "a", "never stored", "unknown"], NOW))
        store.transaction(lambda tx: tx.objects.check("price", [], NOW))
        assert "c" == stale()
        assert "cab" == stale(NOW + 1)
