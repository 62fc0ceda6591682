"""What a store does with the members that organizations pay for."""

from __future__ import annotations

from ...domain.instants import FOREVER, HOUR
from ...domain.seats import SeatRow, hour_of
from .harness import DrivenStore
from .rows import NOW

_FIRST = SeatRow("cus_1", 3, 1, 0, 0, 0, 0, 0, 0, NOW, None)


class SeatsConformance:
    """billing_seat_count."""

    def test_seats_told(self, store: DrivenStore) -> None:
        """Each count that is told is a new revision, and due at once; None stands for one that nobody knows yet."""
        assert store.read(lambda tx: tx.seats.get("cus_1")) is None
        assert store.transaction(lambda tx: tx.seats.tell("cus_1", 3, NOW)) == _FIRST
        told = store.transaction(lambda tx: tx.seats.tell("cus_1", None, NOW + 5))

        assert (told.members, told.revision, told.next_at) == (None, 2, NOW + 5)
        assert store.read(lambda tx: tx.seats.get("cus_1")) == told
        assert store.read(lambda tx: tx.seats.get("cus_2")) is None

    def test_seats_done(self, store: DrivenStore) -> None:
        """What is done is due no more, unless something newer was told meanwhile; an older revision undoes nothing."""
        store.transaction(lambda tx: tx.seats.tell("cus_1", 3, NOW))
        store.transaction(lambda tx: tx.seats.later("cus_1", 2, NOW + 7, "UNAVAILABLE"))
        store.transaction(lambda tx: tx.seats.tell("cus_1", 4, NOW + 9))
        store.transaction(lambda tx: tx.seats.done("cus_1", 1))
        row = store.read(lambda tx: tx.seats.get("cus_1"))
        assert row is not None
        assert (row.done, row.revision, row.next_at, row.attempts, row.note) == (1, 2, NOW + 9, 0, None)
        assert row.is_pending

        for revision in (2, 1):
            store.transaction(lambda tx, revision=revision: tx.seats.done("cus_1", revision))  # type: ignore[misc]  # a default binds it
            row = store.read(lambda tx: tx.seats.get("cus_1"))
            assert row is not None
            assert (row.done, row.next_at, row.is_pending) == (2, FOREVER, False)

    def test_seats_due(self, store: DrivenStore) -> None:
        """Those whose time has come are given, longest due first, so many at most."""
        for number in (3, 1, 2):
            store.transaction(lambda tx, number=number: tx.seats.tell(f"cus_{number}", 1, NOW + number))  # type: ignore[misc]  # a default binds it
        store.transaction(lambda tx: tx.seats.later("cus_1", 1, NOW + 9, "UNAVAILABLE"))

        def due(now: int, limit: int = 10) -> list[str]:
            return [row.customer_id for row in store.read(lambda tx: tx.seats.due(now, limit))]

        assert due(NOW) == []
        assert due(NOW + 8) == ["cus_2", "cus_3"]
        assert due(NOW + 9) == ["cus_2", "cus_3", "cus_1"]
        assert due(NOW + 9, 1) == ["cus_2"]

    def test_seats_sent(self, store: DrivenStore) -> None:
        """How many changes were sent is counted, ever and within an hour; what is told meanwhile stays."""
        row = store.transaction(lambda tx: tx.seats.tell("cus_1", 3, NOW))
        store.transaction(lambda tx: tx.seats.tell("cus_1", 4, NOW))
        sent = row.sent_one(NOW).sent_one(NOW)
        store.transaction(lambda tx: tx.seats.sending(sent))
        store.transaction(lambda tx: tx.seats.counted("cus_1", 4))

        found = store.read(lambda tx: tx.seats.get("cus_1"))
        assert found is not None
        assert (found.members, found.revision, found.counted) == (4, 2, 4)
        assert (found.updates, found.hour_start, found.hour_updates) == (2, hour_of(NOW), 2)
        later = found.sent_one(NOW + HOUR)
        assert (later.updates, later.hour_updates) == (3, 1)
