"""What a store does with usage that Stripe counts once."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from ...domain.instants import DAY, FOREVER
from ...domain.upkeep import MeterEventState
from ...ports.store import Transaction
from . import rows
from .harness import DrivenStore
from .rows import NOW


class MeterEventsConformance:
    """billing_meter_event."""

    def test_meter_event_once(self, store: DrivenStore) -> None:
        """An identifier is there once, as it was first."""
        full = rows.meter_event("use_1", first_sent_at=NOW - 2, sent_at=NOW - 1, state="sent", note="n", value=-5)
        store.transaction(lambda tx: tx.meter_events.add([full, rows.meter_event("use_2")]))
        store.transaction(lambda tx: tx.meter_events.add([rows.meter_event("use_1"), rows.meter_event("use_3")]))
        store.transaction(lambda tx: tx.meter_events.add([]))
        again = [rows.meter_event("use_3", value=9), rows.meter_event("use_4")]
        assert [False, True] == store.each(again, lambda tx, row: tx.meter_events.add_new(row))

        assert full == store.read(lambda tx: tx.meter_events.get("use_1"))
        assert rows.meter_event("use_3") == store.read(lambda tx: tx.meter_events.get("use_3"))
        assert store.read(lambda tx: tx.meter_events.get("USE_1")) is None

    def test_meter_event_claim(self, store: DrivenStore) -> None:
        """What is due is taken once; whose sender was lost is taken again, and knows when it was first sent."""
        row = rows.meter_event()
        store.transaction(lambda tx: tx.meter_events.add([row]))

        assert [] == store.transaction(lambda tx: tx.meter_events.claim(NOW - 1, NOW, 9))
        first = evolve(row, state="sending", attempts=1, next_at=NOW + 10, first_sent_at=NOW)
        assert [first] == store.transaction(lambda tx: tx.meter_events.claim(NOW, NOW + 10, 9))
        assert first == store.read(lambda tx: tx.meter_events.get("use_a"))
        assert [] == store.transaction(lambda tx: tx.meter_events.claim(NOW + 9, NOW + 20, 9))
        second = evolve(first, attempts=2, next_at=NOW + 20)
        assert [second] == store.transaction(lambda tx: tx.meter_events.claim(NOW + 10, NOW + 20, 9))

    def test_meter_event_due(self, store: DrivenStore) -> None:
        """Nothing but what waits and what is being sent is taken, the longest due first, so many at a time."""
        states: list[tuple[MeterEventState, int]] = [
            ("waiting", 2),
            ("sending", 3),
            ("waiting", 1),
            ("waiting", -1),
            ("sending", -1),
            ("sent", 9),
            ("rejected", 9),
            ("quarantined", 9),
            ("canceled", 9),
        ]
        events = [
            rows.meter_event(f"use_{number}", state=state, next_at=NOW - age)
            for number, (state, age) in enumerate(states)
        ]
        store.transaction(lambda tx: tx.meter_events.add(events))

        def claim(limit: int) -> str:
            found = store.transaction(lambda tx: tx.meter_events.claim(NOW, NOW + 10, limit))
            return "".join(row.identifier[-1] for row in found)

        assert ["10", "2", ""] == [claim(2), claim(2), claim(2)]
        counts = {"waiting": 1, "sending": 4, "sent": 1, "rejected": 1, "quarantined": 1, "canceled": 1}
        assert counts == store.read(lambda tx: tx.meter_events.counts())

    def test_meter_event_of_a_wrong_clock(self, store: DrivenStore) -> None:
        """What was taken on a host whose clock is far ahead is due; what is of the future, or of nobody, is not."""
        waiting = [
            rows.meter_event("use_1"),
            rows.meter_event("use_2", next_at=NOW + 400 * DAY),
            rows.meter_event("use_3", next_at=FOREVER),
        ]
        store.transaction(lambda tx: tx.meter_events.add(waiting))

        def claim(now: int) -> list[str]:
            found = store.transaction(lambda tx: tx.meter_events.claim(now, now + 10, 1))
            return [row.identifier for row in found]

        assert ["use_1"] == claim(NOW + 399 * DAY)
        assert ["use_1"] == claim(NOW)
        assert [] == claim(NOW)

    def test_meter_event_finish(self, store: DrivenStore) -> None:
        """Who was taken over cannot say what became of it; who took it can, once."""
        store.transaction(lambda tx: tx.meter_events.add([rows.meter_event()]))

        def finish(attempts: int, state: MeterEventState, now: int, next_at: int = 0) -> bool:
            return store.transaction(
                lambda tx: tx.meter_events.finish("use_a", attempts, state, next_at=next_at, note="n", now=now)
            )

        assert not finish(0, "sent", NOW)
        store.transaction(lambda tx: tx.meter_events.claim(NOW, NOW + 10, 9))
        assert finish(1, "waiting", NOW, NOW + 50)
        again = rows.meter_event(attempts=1, next_at=NOW + 50, first_sent_at=NOW, note="n")
        assert again == store.read(lambda tx: tx.meter_events.get("use_a"))
        assert [2, 3] == [
            store.transaction(lambda tx: tx.meter_events.claim(NOW + 50, NOW + 60, 9))[0].attempts,
            store.transaction(lambda tx: tx.meter_events.claim(NOW + 60, NOW + 70, 9))[0].attempts,
        ]
        assert not finish(2, "rejected", NOW + 61)
        assert finish(3, "sent", NOW + 62)
        assert not finish(3, "rejected", NOW + 63)
        done = evolve(again, state="sent", attempts=3, next_at=0, sent_at=NOW + 62)
        assert done == store.read(lambda tx: tx.meter_events.get("use_a"))

    def test_meter_event_unsent(self, store: DrivenStore) -> None:
        """Where nothing can have reached Stripe it is as if nothing had been tried; a lost sender is another matter."""
        store.transaction(lambda tx: tx.meter_events.add([rows.meter_event()]))

        def tried(attempts: int) -> object:
            store.transaction(lambda tx: tx.meter_events.claim(NOW + attempts, NOW + attempts, 9))
            store.transaction(
                lambda tx: tx.meter_events.finish(
                    "use_a", attempts, "waiting", next_at=NOW, note="n", now=NOW, unsent=True
                )
            )
            row = store.read(lambda tx: tx.meter_events.get("use_a"))
            return row and (row.state, row.attempts, row.first_sent_at)

        assert [("waiting", 1, None), ("waiting", 2, None)] == [tried(1), tried(2)]

    def test_meter_event_amend(self, store: DrivenStore) -> None:
        """What was never sent, or not counted, can still be another number, or nothing."""
        events = [rows.meter_event("use_1"), rows.meter_event("use_2"), rows.meter_event("use_4", state="rejected")]
        store.transaction(lambda tx: tx.meter_events.add(events))

        def amend(name: str, known: int, value: int) -> bool:
            return store.transaction(lambda tx: tx.meter_events.amend(name, known, value))

        first = events[0].value
        assert not amend("use_1", first + 1, 5)
        assert amend("use_1", first, 5)
        assert amend("use_2", first, 0)
        assert not amend("use_2", 0, 1)
        assert not amend("use_3", first, 1)
        assert amend("use_4", first, 2)
        assert evolve(events[2], value=2) == store.read(lambda tx: tx.meter_events.get("use_4"))
        assert amend("use_4", 2, 0)
        assert not amend("use_4", 0, 1)
        (claimed,) = store.transaction(lambda tx: tx.meter_events.claim(NOW, NOW + 10, 9))
        assert ("use_1", 5) == (claimed.identifier, claimed.value)
        assert not amend("use_1", 5, 4)
        store.transaction(lambda tx: tx.meter_events.finish("use_1", 1, "waiting", next_at=NOW, note=None, now=NOW))
        assert not amend("use_1", 5, 4)
        assert {"waiting": 1, "canceled": 2} == store.read(lambda tx: tx.meter_events.counts())

    def test_meter_event_reject(self, store: DrivenStore) -> None:
        """Stripe may say later that it did not count what was sent; that ends the sending of it too."""
        states: list[MeterEventState] = ["waiting", "sending", "sent", "rejected", "quarantined", "canceled"]
        events = [rows.meter_event(state, state=state, attempts=1, first_sent_at=NOW - 5) for state in states]
        store.transaction(lambda tx: tx.meter_events.add([*events, rows.meter_event("unsent")]))

        known = store.each([*states, "unsent", "none"], lambda tx, name: tx.meter_events.reject(name, "no_meter"))
        assert [True, True, True, False, False, False, False, False] == known
        told = [evolve(row, state="rejected", note="no_meter") for row in events[:3]]
        assert [*told, *events[3:]] == store.read_each(states, lambda tx, name: tx.meter_events.get(name))
        assert not store.transaction(
            lambda tx: tx.meter_events.finish("sending", 1, "sent", next_at=0, note=None, now=NOW)
        )

    def test_meter_event_retire(self, store: DrivenStore) -> None:
        """What Stripe refused can make room for another event, and nothing that it may have counted."""
        states: list[MeterEventState] = ["rejected", "quarantined", "waiting", "sending", "sent", "canceled"]
        events = [rows.meter_event(state, state=state, attempts=3, first_sent_at=NOW - 5) for state in states]
        store.transaction(lambda tx: tx.meter_events.add(events))

        retired = store.each(states, lambda tx, name: tx.meter_events.retire(name, "use_9"))
        assert [True, True, False, False, False, False] == retired
        gone = [evolve(row, state="canceled", note="use_9") for row in events[:2]]
        assert [*gone, *events[2:]] == store.read_each(states, lambda tx, name: tx.meter_events.get(name))

    def test_meter_event_sums(self, store: DrivenStore) -> None:
        """What was written down for one customer, feature and meter since an instant; and since when some wait."""
        assert (0, None) == store.read(lambda tx: tx.meter_events.lag())
        like = rows.meter_event("use_0", created_at=NOW, value=1, state="sent")
        others = [
            evolve(like, identifier="use_1", value=10, created_at=NOW - 1),
            evolve(like, identifier="use_2", value=100, state="canceled"),
            evolve(like, identifier="use_3", value=1_000, event_name="other"),
            evolve(like, identifier="use_4", value=10_000, feature="other"),
            evolve(like, identifier="use_5", value=100_000, customer_id="cus:b"),
            evolve(like, identifier="use_6", value=-3, state="waiting", created_at=NOW + 5),
            evolve(like, identifier="use_7", value=5, state="sending", created_at=NOW + 4),
            evolve(like, identifier="use_8", value=7, state="rejected"),
        ]
        store.transaction(lambda tx: tx.meter_events.add([like, *others]))

        def reported(customer: str, since: int) -> int:
            named = (customer, like.feature, like.event_name, since)
            return store.read(lambda tx: tx.meter_events.reported(*named))

        sums = [reported(like.customer_id, NOW), reported(like.customer_id, NOW - 1), reported("cus:c", 0)]
        assert [10, 20, 0] == sums
        assert (2, NOW + 4) == store.read(lambda tx: tx.meter_events.lag())

    def test_meter_event_list(self, store: DrivenStore) -> None:
        """In the order of identifiers, of all states or of one, page after page."""
        states: list[MeterEventState] = ["sent", "waiting", "sent", "rejected"]
        events = [rows.meter_event(f"use_{number}", state=state) for number, state in enumerate(states)]
        store.transaction(lambda tx: tx.meter_events.add(events[::-1]))

        def page(state: MeterEventState | None, limit: int = 9, after: str | None = None) -> str:
            found = store.read(lambda tx: tx.meter_events.list(state=state, limit=limit, after=after))
            return "".join(row.identifier[-1] for row in found)

        assert ["0123", "02", "0", "2", "23"] == [
            page(None),
            page("sent"),
            page("sent", 1),
            page("sent", 1, "use_0"),
            page(None, 9, "use_1"),
        ]

    def test_meter_event_prune(self, store: DrivenStore) -> None:
        """What is over and old goes, so many at a time; what may be corrected or sent again, and open periods, stay."""
        states: list[MeterEventState] = ["sent", "canceled", "waiting", "sending", "rejected", "quarantined"]
        old = [rows.meter_event(state, state=state, created_at=NOW - 1) for state in states]
        elsewhere: list[dict[str, Any]] = [{"customer_id": "cus:b"}, {"feature": "other"}, {"event_name": "other"}]
        others = [
            rows.meter_event(f"of_{number}", state="sent", created_at=NOW - 1, **each)
            for number, each in enumerate(elsewhere)
        ]
        young = rows.meter_event("young", state="sent", created_at=NOW)
        grant = rows.grant()
        runs = rows.bucket(grant, "runs", period_start=NOW - 1, period_end=NOW + 1)
        over = rows.bucket(grant, "over", period_no=1, period_start=NOW - 2, period_end=NOW)

        def unit(tx: Transaction) -> None:
            tx.meter_events.add([*old, *others, young, evolve(old[0], identifier="before", created_at=NOW - 2)])
            tx.entitlements.add_grant(grant)
            for bucket in (runs, over):
                tx.entitlements.add_bucket(bucket)

        store.transaction(unit)

        def prune(before: int, limit: int = 9) -> tuple[int, set[str]]:
            number = store.transaction(lambda tx: tx.meter_events.prune(before, limit))
            left = store.read(lambda tx: tx.meter_events.list(state=None, limit=99, after=None))
            return number, {row.identifier for row in left}

        everything = {*states, "of_0", "of_1", "of_2", "young", "before"}
        assert (0, everything) == prune(NOW - 2)
        kept = {*states, "of_2", "young"}
        assert (1, 2) == (prune(NOW, 1)[0], prune(NOW)[0])
        assert (0, kept) == prune(NOW)
        assert (4, {*states[2:]}) == prune(NOW + 1)
