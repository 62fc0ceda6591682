"""What a store does with the history of grants, of plans, and of the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve

from ...domain.grants import BucketRow, Entry, Grant, LedgerLine
from ...domain.history import BucketState, GrantState, PlanState
from ...domain.period import Interval
from ...domain.plan_items import PlanVersion
from ...ports.store import Transaction
from . import rows
from .harness import DrivenStore
from .rows import MONTH, NOW

_ORG = "cus:org_a"


def _put(store: DrivenStore, grants: Sequence[Grant], buckets: Sequence[BucketRow] = ()) -> None:
    def unit(tx: Transaction) -> None:
        for customer in sorted({grant.customer_id for grant in grants}):
            tx.customers.add(rows.customer(customer.removeprefix("cus:")))
        for grant in grants:
            assert tx.entitlements.add_grant(grant)
        for bucket in buckets:
            tx.entitlements.add_bucket(bucket)

    store.transaction(unit)


class HistoryConformance:
    """billing_entitlement_change, billing_customer_change, and the ledger read backwards."""

    def test_states_of_grants(self, store: DrivenStore) -> None:
        """States come back in the order of the writes; of two within one write the last one counts."""
        grant = rows.grant("a", amount=None, meter="mtr_1")
        first = GrantState.of(grant, 2, NOW)
        again = GrantState.of(evolve(grant, amount=5, closed_at=NOW, meter=None, terms="{}"), 2, NOW + 1)
        later = GrantState.of(evolve(grant, priority=9), 10, NOW + 2)
        other = GrantState.of(rows.grant("b"), 3, NOW)
        elsewhere = GrantState.of(rows.grant("c", "cus:org_b"), 4, NOW)
        store.each([later, first, other, elsewhere, again], lambda tx, state: tx.history.put_grant(state))

        assert [again, other, later] == store.read(lambda tx: tx.history.grant_states(_ORG))
        assert evolve(grant, amount=5, closed_at=NOW, meter=None, terms="{}") == again.applied(grant)

    def test_states_of_plans(self, store: DrivenStore) -> None:
        """The plans of a customer come back in the order of the writes; the last one of a write counts."""
        states = [
            PlanState(_ORG, 7, NOW + 1, None, 0),
            PlanState(_ORG, 3, NOW, "team", NOW),
            PlanState("cus:org_b", 4, NOW, "pro", NOW),
            PlanState(_ORG, 3, NOW, "pro", NOW + MONTH),
        ]
        store.each(states, lambda tx, state: tx.history.put_plan(state))

        assert [states[3], states[0]] == store.read(lambda tx: tx.history.plan_states(_ORG))

    def test_states_of_buckets(self, store: DrivenStore) -> None:
        """The states of a bucket come back in the order of the writes; the last one of a write counts."""
        states = [BucketState("a", 7), BucketState("a", 3, "b", 1), BucketState("b", 4), BucketState("a", 3, "c", 2)]
        store.each(states, lambda tx, state: tx.history.put_bucket(state))

        assert [states[3], states[0]] == store.read(lambda tx: tx.history.bucket_states("a"))

    def test_every_grant_there_was(self, store: DrivenStore) -> None:
        """Closed and expired grants are found too, of the features asked for, oldest first."""
        grants = [
            rows.grant("b", created_seq=2, closed_at=NOW, interval=None),
            rows.grant("a", created_seq=2, expires_at=NOW, interval=Interval("hour", 6)),
            rows.grant("c", created_seq=1, feature="projects", entity="e", source_type="manual"),
            rows.grant("d", created_seq=1, feature="api"),
            rows.grant("e", "cus:org_b"),
        ]
        _put(store, grants)

        found = store.read(lambda tx: tx.history.grants(_ORG, ["messages", "projects"]))
        assert [grants[2], grants[1], grants[0]] == found

    def test_buckets_of_an_instant(self, store: DrivenStore) -> None:
        """The bucket whose period an instant lies in is found, whatever became of it."""
        grant, other = rows.grant("a"), rows.grant("b")
        past = rows.bucket(grant, "past", period_no=-1, period_start=NOW - MONTH, period_end=NOW, closed_at=NOW - 1)
        present = rows.bucket(grant, "present", used=3, heir_id="x", owed=4)
        _put(store, [grant, other], [past, present, rows.bucket(other, "other")])

        def at(*instants: int) -> list[str]:
            asked = store.read_each(instants, lambda tx, at: tx.history.buckets(["a"], at))
            return [bucket.id for found in asked for bucket in found]

        assert ["past", "past", "present", "present"] == at(NOW - MONTH, NOW - 1, NOW, NOW + MONTH - 1)
        assert [] == at(NOW - MONTH - 1, NOW + MONTH)
        assert [present] == store.read(lambda tx: tx.history.buckets(["a"], NOW))
        assert [] == list(store.read(lambda tx: tx.history.buckets([], NOW)))

    def test_the_ledger_backwards(self, store: DrivenStore) -> None:
        """What last moved in a bucket by a write, and the first movement from a write on whose time was noted."""

        def line(seq: int, number: int, bucket: str, moved_at: int) -> LedgerLine:
            return rows.line(rows.usage(seq), number, bucket, used_after=seq, included_after=None, moved_at=moved_at)

        lines = [line(1, 0, "a", 0), line(2, 0, "a", NOW), line(2, 1, "a", NOW), line(2, 2, "b", NOW)]
        lines += [line(5, 0, "b", NOW + 3), evolve(line(3, 0, "a", NOW + 9), customer_id="cus:org_b")]
        store.transaction(lambda tx: tx.usage.add_lines(lines))

        def last(bucket: str) -> list[LedgerLine | None]:
            return store.read_each(range(6), lambda tx, seq: tx.history.last_line(_ORG, bucket, seq))

        assert [None, lines[0], lines[2], lines[2], lines[2], lines[2]] == last("a")
        assert [None, None, lines[3], lines[3], lines[3], lines[4]] == last("b")
        found = store.read_each(range(7), lambda tx, seq: tx.history.moved_from(_ORG, seq))
        assert [lines[1], lines[1], lines[1], lines[4], lines[4], lines[4], None] == found

    def test_what_was_overdrawn(self, store: DrivenStore) -> None:
        """What uses drew of the overdraft within a time; what was repaid, or drawn of anything else, does not count."""
        below = rows.grant("below", feature="credits", source_type="credit_min", kind="overage")
        other = rows.grant("other", feature="credits")
        _put(store, [below, other], [rows.bucket(below, "below"), rows.bucket(other, "other")])
        moved: list[tuple[str, Entry, int, int]] = [
            ("below", "use", 5, 0),
            ("below", "settle", 3, 1),
            ("below", "refund", -2, 2),
            ("below", "carry", 9, 2),
            ("other", "use", 50, 1),
        ]
        lines = [
            LedgerLine(_ORG, seq, 0, bucket, entry, amount, 20, "", moved_at=NOW + at)
            for seq, (bucket, entry, amount, at) in enumerate(moved)
        ]
        store.transaction(lambda tx: tx.usage.add_lines(lines))

        def drawn(start: int, end: int, feature: str = "credits") -> int:
            return store.read(lambda tx: tx.history.overdrawn(_ORG, feature, NOW + start, NOW + end))

        assert [5, 3, -2, 6, 0] == [drawn(0, 1), drawn(1, 2), drawn(2, 3), drawn(0, 3), drawn(3, 9)]
        assert 0 == drawn(0, 3, "messages")

    def test_the_last_uses(self, store: DrivenStore) -> None:
        """The newest uses of some features come first, by a write and by an instant."""
        uses = [rows.usage(seq) for seq in range(1, 5)]
        uses += [rows.usage(5, feature="api"), rows.usage(6, feature="projects"), rows.usage(7, "cus:org_b")]
        store.each(uses, lambda tx, use: tx.usage.add(use, ()))

        def last(seq: int, received_by: int = NOW + 99, limit: int = 9) -> list[int]:
            features = ["messages", "api"]
            found = store.read(lambda tx: tx.history.last_uses(_ORG, features, seq, received_by, limit))
            assert all(use in uses for use in found)
            return [use.seq for use in found]

        assert [5, 4, 3, 2, 1] == last(9)
        assert [3, 2] == last(3, limit=2)
        assert [2, 1] == last(9, NOW + 2)

    def test_holds_as_they_were(self, store: DrivenStore) -> None:
        """Which holds counted at an instant, and what those held on paper whose time had come."""
        open_ = rows.hold("open", expires_at=NOW + 10)
        ended = rows.hold("ended", expires_at=NOW + 20, ended_at=NOW + 15, status="settled")
        late = rows.hold("late", expires_at=NOW + 5, ended_at=NOW + 30, status="expired")
        other = rows.hold("other", feature="api", expires_at=NOW + 10)
        theirs = rows.hold("theirs", "cus:org_b", expires_at=NOW + 1)
        lines = [
            evolve(rows.line(rows.usage(seq), number, bucket, entry="hold", event_id=hold, amount=0, held=seq))
            for seq, number, bucket, hold in ((1, 0, "a", "open"), (2, 0, "a", "late"), (2, 1, "b", "late"))
        ]

        def unit(tx: Transaction) -> None:
            for hold in (open_, ended, late, other, theirs):
                tx.holds.add(hold, ())
            tx.usage.add_lines(lines)

        store.transaction(unit)

        def counted(at: int) -> list[str]:
            found = store.read(lambda tx: tx.history.holds(_ORG, ["messages"], at))
            return [hold.id for hold in found]

        assert ["late", "open", "ended"] == counted(NOW)
        assert [open_, ended] == store.read(lambda tx: tx.history.holds(_ORG, ["messages"], NOW + 5))
        assert [] == counted(NOW - 1)
        assert [] == counted(NOW + 20)

        def lapses(at: int) -> list[tuple[str, int, int]]:
            return sorted(store.read(lambda tx: tx.history.lapses(_ORG, at)))

        assert [] == lapses(NOW + 4)
        assert [("a", NOW + 5, 2), ("b", NOW + 5, 2)] == lapses(NOW + 5)
        assert [("a", NOW + 5, 2), ("a", NOW + 10, 1), ("b", NOW + 5, 2)] == lapses(NOW + 29)
        assert [("a", NOW + 10, 1)] == lapses(NOW + 30)

    def test_what_holds_took(self, store: DrivenStore) -> None:
        """Units of the feature that was held, credits of a pool, and the writes that made and released the hold."""
        grant, pool = rows.grant("a"), rows.grant("b", feature="credits")
        _put(store, [grant, pool], [rows.bucket(grant, "direct"), rows.bucket(pool, "paying")])
        first, second = rows.hold("first"), rows.hold("second", feature="calls", quantity=2, left=2, created_at=NOW + 5)
        free = rows.hold("free", feature="calls", quantity=1, left=1, created_at=NOW + 6)
        lines = [
            evolve(rows.line(rows.usage(seq), number, bucket, entry=entry, event_id=hold, amount=0, held=held))
            for seq, number, bucket, hold, entry, held in (
                (3, 0, "direct", "first", "hold", 10),
                (4, 0, "paying", "second", "hold", 6),
                (4, 1, "paying", "second", "hold", 4),
                (9, 0, "direct", "first", "release", -10),
            )
        ]

        def unit(tx: Transaction) -> None:
            for hold in (first, second, free):
                tx.holds.add(hold, ())
            tx.usage.add_lines(lines)

        store.transaction(unit)

        def taken(
            feature: str, since: int = NOW, until: int = NOW + 9
        ) -> list[tuple[str, int, int | None, int | None]]:
            found = store.read(lambda tx: tx.history.set_aside(_ORG, feature, since, until))
            assert all(each.hold in (first, second, free) for each in found)
            return sorted((each.hold.id, each.amount, each.made_by, each.released_by) for each in found)

        assert [("first", 10, 3, 9)] == taken("messages")
        assert [("second", 10, 4, None)] == taken("credits")
        assert [("free", 1, None, None), ("second", 2, 4, None)] == taken("calls")
        assert [] == taken("messages", NOW + 1)
        assert [] == taken("credits", NOW, NOW + 4)

    def test_versions_by_an_instant(self, store: DrivenStore) -> None:
        """The versions of a plan that were stored by an instant, the newest first."""

        def add(tx: Transaction, number: int) -> None:
            version = PlanVersion(f"pro:{number}", "pro", number, f"hash {number}", ())
            tx.plans.add(version, title=None, now=NOW + 5 * number - 5)

        store.each([1, 2], add)

        found = store.read_each([NOW - 1, NOW, NOW + 5], lambda tx, by: tx.history.versions("pro", by))
        assert [[], ["pro:1"], ["pro:2", "pro:1"]] == found
        assert [] == store.read(lambda tx: tx.history.versions("free", NOW + 9))

    def test_uses_in_order(self, store: DrivenStore) -> None:
        """Uses follow each other by their writes; an export goes through one customer after the other."""
        uses = [rows.usage(seq, customer) for customer in ("cus:org_a", "cus:org_b") for seq in (1, 2, 10)]
        uses[1] = evolve(uses[1], feature="api", properties={"model": "a", "n": 1})
        _put(store, [rows.grant("a"), rows.grant("b", "cus:org_b")])
        store.each(uses, lambda tx, use: tx.usage.add(use, ()))

        assert [uses[1], uses[2]] == store.read(lambda tx: tx.history.next_uses(_ORG, 1, 9))
        assert [uses[0]] == store.read(lambda tx: tx.history.next_uses(_ORG, 0, 1))

        def export(
            customer_id: str | None = None,
            feature: str | None = None,
            after: tuple[str, int] = ("", 0),
            limit: int = 9,
            start: int = NOW,
            end: int = NOW + 99,
            properties: Mapping[str, str | int | bool] | None = None,
        ) -> str:
            found = store.read(
                lambda tx: tx.history.export(
                    customer_id=customer_id,
                    feature=feature,
                    properties=properties,
                    start=start,
                    end=end,
                    after=after,
                    limit=limit,
                )
            )
            assert all(use in uses and use.customer_id == f"cus:{who.id}" for who, use in found)
            return " ".join(f"{who.id[-1]}{use.seq}" for who, use in found)

        assert "a1 a2 a10 b1 b2 b10" == export()
        assert "a10 b1" == export(after=("cus:org_a", 2), limit=2)
        assert "b1 b2 b10" == export(after=("cus:org_a", 10))
        assert "b1 b2 b10" == export("cus:org_b")
        assert "a1 a10" == export("cus:org_a", "messages")
        assert "a2" == export(feature="api")
        assert "a2 b2" == export(start=NOW + 2, end=NOW + 10)
        assert "a2" == export(properties={"n": 1})

    def test_sums(self, store: DrivenStore) -> None:
        """Net sums for each piece of time and each value of a property; refunds are told of by what they refund."""
        values: list[dict[str, str | int | bool]] = [{"m": "a"}, {"m": "ä\\\"'"}, {"m": 7}, {"m": True}, {"m": "A"}, {}]
        uses = [
            rows.usage(number + 1, quantity=2**40, refunded=number, properties=each, occurred_at=NOW + number)
            for number, each in enumerate(values)
        ]
        uses.append(rows.usage(7, quantity=-5, mode="return", occurred_at=NOW + 20, properties={"m.x-y": 1}))
        uses.append(rows.usage(8, quantity=-3, mode="refund", refund_of=uses[3].id, occurred_at=NOW))
        uses.append(rows.usage(9, feature="api", occurred_at=NOW))
        uses.append(rows.usage(1, "cus:org_b", occurred_at=NOW))
        store.each(uses, lambda tx, use: tx.usage.add(use, ()))

        def sums(grain: int, name: str | None = None, start: int = NOW, limit: int = 99) -> list[tuple[int, Any, int]]:
            found = store.read(lambda tx: tx.history.sums(_ORG, "messages", start, NOW + 21, grain, name, limit))
            return [(at - NOW, None if value is None else json.loads(value), net) for at, value, net in found]

        assert NOW % 10 == 0
        assert [(0, None, 6 * 2**40 - 15), (20, None, -5)] == sums(10)
        assert [(0, None, 4 * 2**40 - 14)] == sums(10, start=NOW + 2, limit=1)
        grouped = sums(20, "m")
        assert len(grouped) == 7
        expected = [(each.get("m"), 2**40 - number) for number, each in enumerate(values)]
        assert sorted(map(repr, expected)) == sorted(repr((value, net)) for at, value, net in grouped if at == 0)
        assert (20, None, -5) in grouped
        assert (20, 1, -5) in sums(20, "m.x-y")
