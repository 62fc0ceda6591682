"""What a store does with grants, buckets and usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve

from ...domain.buckets import Draw
from ...domain.grants import BucketRow, Grant, Holding, Movement, UsageRow
from ...domain.instants import FOREVER
from ...domain.limits import Limit, Meter, Window
from ...domain.period import Interval, Rhythm
from ...domain.plans import UsageLimit
from ...domain.references import Reference
from ...domain.rollover import Rule
from ...domain.terms import Terms
from ...ports.store import DuplicateKey, Held, Standing, Transaction
from . import rows
from .harness import DrivenStore
from .rows import MONTH, NOW

_ORG = Reference("org_a", "organization")


def _put(store: DrivenStore, *grants: Grant, buckets: Sequence[BucketRow] = ()) -> None:
    def unit(tx: Transaction) -> None:
        tx.customers.add(rows.customer())
        for grant in grants:
            assert tx.entitlements.add_grant(grant)
        for bucket in buckets:
            tx.entitlements.add_bucket(bucket)

    store.transaction(unit)


def _both(store: DrivenStore, features: Sequence[str] | None, now: int = NOW) -> list[Held]:
    """What all the reads say, which must be the same."""
    customer, by_reference = store.read(lambda tx: tx.entitlements.of_reference(_ORG, features, now))
    by_customer = store.transaction(lambda tx: tx.entitlements.of_customer("cus:org_a", features, now))
    assert customer is not None

    def standing(entity: str | None, *, earlier: bool) -> Standing:
        return store.read(lambda tx: tx.entitlements.standing(_ORG, features, now, entity=entity, earlier=earlier))

    for found in (standing(None, earlier=False), standing(None, earlier=True), standing("", earlier=True)):
        assert (customer, _sorted(by_reference)) == (found.customer, _sorted(found.held))
    assert sorted(by_reference, key=lambda held: held[0].id) == sorted(by_customer, key=lambda held: held[0].id)
    return sorted(by_customer, key=lambda held: held[0].id)


def _sorted(held: Sequence[Held]) -> list[Held]:
    return sorted(held, key=lambda each: each[0].id)


class EntitlementsConformance:
    """billing_entitlement and billing_bucket."""

    def test_holdings_of_nobody(self, store: DrivenStore) -> None:
        """An unknown reference has no customer; a known one may have nothing."""
        assert (None, []) == _plain(store.read(lambda tx: tx.entitlements.of_reference(_ORG, ["messages"], NOW)))
        _put(store)

        found = store.read(lambda tx: tx.entitlements.of_reference(_ORG, ["messages"], NOW))
        assert (rows.customer(), []) == _plain(found)
        assert [] == _both(store, None)

    def test_holdings_round_trip(self, store: DrivenStore) -> None:
        """Grants and buckets come back as they were put in."""
        limited = rows.grant("a", entity="ent", meter="mtr_1", interval=Interval("month", 3), priority=7, category=0)
        limited = evolve(
            limited, terms=Terms(rollover=Rule(50), limits=(UsageLimit(9, where={"ü": "é" * 999}),)).text()
        )
        unlimited = rows.grant("b", kind="overage", amount=None, interval=None, source_type="manual")
        bucket = rows.bucket(limited, used=3, held=2, period_no=-4, heir_id="bkt:ü", owed=7, own=3)
        _put(store, limited, unlimited, buckets=[bucket])

        assert [(limited, bucket), (unlimited, None)] == _both(store, ["messages"])
        assert [limited] == store.read(lambda tx: tx.entitlements.grants("cus:org_a", "plan"))

    @pytest.mark.parametrize("count", [1, 2, 4, 5, 16, 17, 40])
    def test_holdings_of_features(self, store: DrivenStore, count: int) -> None:
        """Any number of features is asked for at once, and None asks for all."""
        grants = [rows.grant(f"g{n:02}", feature=f"f{n:02}") for n in range(42)]
        _put(store, *grants)
        wanted = [f"f{n:02}" for n in range(count)]

        assert wanted == [grant.feature for grant, _ in _both(store, wanted)]
        assert 42 == len(_both(store, None))
        assert [] == _both(store, ["F00"])
        assert [] == _both(store, [])

    def test_holdings_open(self, store: DrivenStore) -> None:
        """Closed grants are left out from the instant of closing; expired ones are not, their use may still count."""
        closed = rows.grant("a", closed_at=NOW)
        closing = rows.grant("b", closed_at=NOW + 1)
        expired = rows.grant("c", expires_at=NOW - 5)
        _put(store, closed, closing, expired)

        assert ["b", "c"] == [grant.id for grant, _ in _both(store, None)]
        assert ["a", "b", "c"] == [
            grant.id for grant in store.read(lambda tx: tx.entitlements.grants("cus:org_a", "plan"))
        ]

    def test_holdings_period(self, store: DrivenStore) -> None:
        """Periods are half-open: the bucket at its first instant, no longer at its end; closed buckets are past."""
        grant = rows.grant("a")
        first = rows.bucket(grant, "first", used=1)
        second = rows.bucket(grant, "second", period_no=1, period_start=NOW + MONTH, period_end=NOW + 2 * MONTH)
        closed = rows.bucket(rows.grant("b"), "closed", closed_at=NOW)
        _put(store, grant, rows.grant("b"), buckets=[first, second, closed])

        at = {
            now: [bucket and bucket.id for _, bucket in _both(store, None, now)]
            for now in (NOW - 1, NOW, NOW + MONTH - 1, NOW + MONTH, NOW + 2 * MONTH)
        }
        assert {
            NOW - 1: [None, None],
            NOW: ["first", None],
            NOW + MONTH - 1: ["first", None],
            NOW + MONTH: ["second", None],
            NOW + 2 * MONTH: [None, None],
        } == at

    def test_holdings_of_others(self, store: DrivenStore) -> None:
        """Nothing of another customer is seen."""
        _put(store, rows.grant("a"), rows.grant("b", customer_id="cus:other"))

        assert ["a"] == [grant.id for grant, _ in _both(store, None)]

    def test_grant_once(self, store: DrivenStore) -> None:
        """The same thing is given once; a different source, entity, feature or kind is another thing."""
        one = rows.grant("a", source_id="s")
        _put(store, one)

        again = evolve(one, id="b", amount=7)
        assert store.transaction(lambda tx: tx.entitlements.add_grant(again)) is False
        differing: list[dict[str, Any]] = [
            {"source_id": "S"},
            {"source_type": "manual"},
            {"entity": "e"},
            {"feature": "f"},
            {"kind": "overage"},
            {"customer_id": "cus:b"},
        ]
        others = [evolve(one, id=f"n{n}", **changes) for n, changes in enumerate(differing)]
        assert [True] * len(others) == store.each(others, lambda tx, grant: tx.entitlements.add_grant(grant))
        assert one == store.read(lambda tx: tx.entitlements.grants("cus:org_a", "plan"))[0]

    def test_grant_put(self, store: DrivenStore) -> None:
        """Amount, priority, expiry, closing, anchor, meter, terms and source change; what was given stays."""
        one = rows.grant("a")
        _put(store, one)
        new = evolve(one, amount=None, priority=1, expires_at=5, closed_at=FOREVER - 1, anchor_at=9, meter="m")
        new = evolve(new, terms=Terms(debt="carry").text(), source_id="heir")
        store.transaction(lambda tx: tx.entitlements.put_grant(evolve(new, feature="other", source_type="manual")))

        assert [(new, None)] == _both(store, None)

    def test_grants_in_order(self, store: DrivenStore) -> None:
        """Grants of a source in the order of their creation."""
        _put(store, rows.grant("a", created_seq=2), rows.grant("b", created_seq=1), rows.grant("c", created_seq=2))

        found = store.read(lambda tx: tx.entitlements.grants("cus:org_a", "plan"))
        assert ["b", "a", "c"] == [grant.id for grant in found]

    @pytest.mark.parametrize("locked", [True, False])
    def test_grants_of_one_source(self, store: DrivenStore, *, locked: bool) -> None:
        """What one thing of one source has given, closed or over, in the order of creation; nobody else's."""
        mine = rows.grant("a", source_type="manual", source_id="k", created_seq=2, closed_at=NOW)
        also = evolve(mine, id="b", feature="tokens", entity="e", interval=None, amount=None, created_seq=1)
        others: list[dict[str, Any]] = [{"source_id": "K"}, {"source_type": "plan"}, {"customer_id": "cus:b"}]
        _put(store, mine, also, *(evolve(mine, id=f"n{n}", **changes) for n, changes in enumerate(others)))

        found = store.transaction(lambda tx: tx.entitlements.of_source("cus:org_a", "manual", "k", locked=locked))
        assert [also, mine] == list(found)
        assert [] == list(
            store.transaction(lambda tx: tx.entitlements.of_source("cus:org_a", "manual", "", locked=locked))
        )

    def test_grant_by_id(self, store: DrivenStore) -> None:
        """A grant of this customer, whatever became of it."""
        one = rows.grant("a", entity="e", closed_at=NOW)
        _put(store, one)

        assert one == store.transaction(lambda tx: tx.entitlements.by_id("cus:org_a", "a"))
        assert store.transaction(lambda tx: tx.entitlements.by_id("cus:b", "a")) is None
        assert store.transaction(lambda tx: tx.entitlements.by_id("cus:org_a", "A")) is None

    def test_bucket_put(self, store: DrivenStore) -> None:
        """Amount, used, held, closing, heir and debt change by id."""
        grant = rows.grant("a")
        bucket = rows.bucket(grant)
        _put(store, grant, buckets=[bucket])
        new = evolve(
            bucket, amount=200, used=150, held=50, closed_at=FOREVER - 1, heir_id="heir", owed=2**53 - 1, own=9
        )
        store.transaction(lambda tx: tx.entitlements.put_bucket(new))

        assert [(grant, new)] == _both(store, None)

    def test_buckets(self, store: DrivenStore) -> None:
        """Buckets are found by their ids, with their grants, closed or not; those that are gone are left out."""
        open_, closed = rows.grant("a"), rows.grant("b", closed_at=NOW, interval=None, kind="overage")
        here = rows.bucket(open_, "one", used=3, heir_id="two")
        gone = rows.bucket(closed, "two", period_end=NOW + 1, closed_at=NOW)
        _put(store, open_, closed, buckets=[here, gone, rows.bucket(open_, "three", period_no=1)])

        asked = ["two", "one", "none", "ONE"]
        found = store.transaction(lambda tx: tx.entitlements.of_buckets("cus:org_a", asked))
        assert {"one": Holding(open_, here, opened=True), "two": Holding(closed, gone, opened=True)} == found
        assert {} == store.transaction(lambda tx: tx.entitlements.of_buckets("cus:b", asked))
        assert {} == store.transaction(lambda tx: tx.entitlements.of_buckets("cus:org_a", []))

    @pytest.mark.parametrize("locked", [True, False])
    def test_last_buckets(self, store: DrivenStore, *, locked: bool) -> None:
        """Of each grant the last period that is over and was opened, closed early or not; none of other grants."""
        one, two, young, other = (rows.grant(name) for name in ("a", "b", "c", "d"))
        ends = [(one, "long ago", -3), (one, "last", -1), (one, "running", 0), (two, "far", -9), (young, "now", 0)]
        buckets = [
            rows.bucket(grant, name, period_no=no, period_start=NOW + no * MONTH, period_end=NOW + (no + 1) * MONTH)
            for grant, name, no in [*ends, (other, "others", -1)]
        ]
        buckets[1] = evolve(buckets[1], held=4, owed=3, own=1, closed_at=NOW - 1)
        _put(store, one, two, young, other, buckets=buckets)

        asked = ["a", "b", "c", "A"]
        found = store.transaction(lambda tx: tx.entitlements.last_buckets(asked, NOW, locked=locked))
        assert {"a": buckets[1], "b": buckets[3]} == found
        assert {} == store.transaction(lambda tx: tx.entitlements.last_buckets([], NOW, locked=locked))

    @pytest.mark.parametrize("locked", [True, False])
    def test_lapses(self, store: DrivenStore, *, locked: bool) -> None:
        """What open holds whose time has come hold, line by line; nothing of other holds and other customers."""
        lines = [Draw("one", "messages", 3, 3), Draw("two", "credits", 40, 4)]
        holds = [
            rows.hold("lapsed", expires_at=NOW),
            rows.hold("earlier", expires_at=NOW - 5),
            rows.hold("active", expires_at=NOW + 1),
            rows.hold("over", expires_at=NOW, status="expired", ended_at=NOW),
            rows.hold("theirs", "cus:b", expires_at=NOW),
        ]
        _put(store)

        def hold(tx: Transaction) -> None:
            for each in holds:
                tx.holds.add(each, lines[: 1 + (each.id == "lapsed")])

        store.transaction(hold)
        found = store.transaction(lambda tx: tx.entitlements.lapses("cus:org_a", NOW, locked=locked))
        assert [("one", NOW - 5, 3), ("one", NOW, 3), ("two", NOW, 40)] == sorted(found)

    def test_standing(self, store: DrivenStore) -> None:
        """One read tells of every grant its current bucket, the last one that is over, and what lapsed holds hold."""
        idle, running, new = (rows.grant(name) for name in ("idle", "running", "new"))
        before: dict[str, Any] = {"period_no": -1, "period_start": NOW - MONTH, "period_end": NOW}
        far: dict[str, Any] = {"period_no": -2, "period_start": NOW - 2 * MONTH, "period_end": NOW - MONTH}
        buckets = [
            rows.bucket(idle, "idle last", used=2, held=5, closed_at=NOW - 1, owed=1, **before),
            rows.bucket(idle, "idle far", held=1, **far),
            rows.bucket(running, "running last", used=1, **before),
            rows.bucket(running, "running now", used=10, held=7),
            rows.bucket(new, "not yet", period_no=1, period_start=NOW + 1, period_end=NOW + MONTH),
        ]
        _put(store, idle, running, new, buckets=buckets)
        lines = [Draw("idle last", "messages", 2, 2), Draw("running now", "messages", 3, 3)]

        def use(tx: Transaction) -> None:
            for name, expires_at in (("one", NOW), ("two", NOW - 5), ("active", NOW + 1)):
                tx.holds.add(rows.hold(name, expires_at=expires_at), lines[: 1 + (name != "two")])
            for number in range(2):
                limit = Limit(f"all:{number}", "messages", 100, Rhythm(0, Interval("day")))
                tx.limits.put("cus:org_a", Meter(limit, Window(limit.id, "", NOW - 1, 4), NOW + 1))

        store.transaction(use)
        found = store.read(lambda tx: tx.entitlements.standing(_ORG, ["messages"], NOW, entity="", earlier=True))

        assert rows.customer() == found.customer
        now = {grant.id: bucket for grant, bucket in found.held}
        assert {"idle": None, "running": evolve(buckets[3], held=4), "new": None} == now
        assert 2 == len(found.windows or ())
        assert found.earlier is not None
        assert {"idle": buckets[0], "running": buckets[2]} == found.earlier.last
        of_hold = [("idle last", NOW - 5, 2), ("idle last", NOW, 2), ("running now", NOW, 3)]
        assert of_hold == sorted(found.earlier.lapses)

    def test_bucket_reopened(self, store: DrivenStore) -> None:
        """The bucket of the running period counts again, and no other one."""
        one, other = rows.grant("a"), rows.grant("b")
        closed = rows.bucket(one, closed_at=NOW)
        past = rows.bucket(one, "past", period_no=-1, period_start=NOW - MONTH, period_end=NOW, closed_at=NOW - 1)
        _put(store, one, other, buckets=[closed, past, rows.bucket(other, "theirs", closed_at=NOW)])
        store.transaction(lambda tx: tx.entitlements.reopen("a", NOW))

        assert [(one, evolve(closed, closed_at=FOREVER)), (other, None)] == _both(store, None)
        assert {"a": past} == store.transaction(lambda tx: tx.entitlements.last_buckets(["a"], NOW, locked=False))

    def test_bucket_once(self, store: DrivenStore) -> None:
        """A period of a grant has one bucket."""
        grant = rows.grant("a")
        _put(store, grant, buckets=[rows.bucket(grant)])

        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.entitlements.add_bucket(rows.bucket(grant, "other")))


def _plain(found: tuple[Any, Sequence[Held]]) -> tuple[Any, list[Held]]:
    return found[0], list(found[1])


class UsageConformance:
    """billing_usage_event and billing_ledger."""

    def test_usage_round_trip(self, store: DrivenStore) -> None:
        """An event comes back whole, plainly and by a locking read."""
        event = rows.usage(
            properties={"model": "ü", "n": 2**53 - 1, "big": True}, result={"b": [1, {"c": None}], "a": "é"}
        )
        event = evolve(event, refund_of="use:ü", hold_id="hold", refunded=4)
        _put(store)
        store.transaction(lambda tx: tx.usage.add(event, [rows.line(event), rows.line(event, 1, amount=-1)]))

        assert event == store.read(lambda tx: tx.usage.by_key(_ORG, "key:1"))
        assert event == store.transaction(lambda tx: tx.usage.by_key_locked("cus:org_a", "key:1"))
        others = ["KEY:1", "key:1 ", "key:2", "0"]
        assert [None] * 4 == store.read_each(others, lambda tx, key: tx.usage.by_key(_ORG, key))
        assert [None] * 4 == store.each(others, lambda tx, key: tx.usage.by_key_locked("cus:org_a", key))

    def test_usage_by_id(self, store: DrivenStore) -> None:
        """An event is found by its id where it is the customer's, with what was refunded since."""
        store.transaction(lambda tx: tx.usage.add(rows.usage(1), ()))
        store.transaction(lambda tx: tx.usage.add(rows.usage(2), ()))
        store.transaction(lambda tx: tx.usage.put_refunded(rows.usage(1).id, 4))

        def found(customer: str, event: str) -> UsageRow | None:
            return store.transaction(lambda tx: tx.usage.by_id(customer, event))

        first, second = rows.usage(1), rows.usage(2)
        assert [evolve(first, refunded=4), second] == [found("cus:org_a", each.id) for each in (first, second)]
        assert [None, None] == [found("cus:b", first.id), found("cus:org_a", first.id.upper())]

    def test_lines_of_an_event(self, store: DrivenStore) -> None:
        """Those of one number of one customer, in their order."""
        event = rows.usage(2)
        lines = [rows.line(event, number, f"b{number}", units=7, held=-1, included_after=None) for number in range(3)]
        others = [rows.line(rows.usage(1)), rows.line(rows.usage(2, "cus:b"))]
        store.transaction(lambda tx: tx.usage.add_lines([*others, *lines[::-1]]))

        assert lines == store.transaction(lambda tx: tx.usage.lines("cus:org_a", 2))
        assert [] == store.transaction(lambda tx: tx.usage.lines("cus:org_a", 3))

    def test_drawn_of_a_feature(self, store: DrivenStore) -> None:
        """What a feature moved in each bucket, by its own events and by what used and gave back only."""
        uses = [
            (rows.usage(1), [("gold", "use", 5), ("gold", "open", 100), ("silver", "settle", 3)]),
            (rows.usage(2, occurred_at=NOW), [("gold", "return", -2), ("silver", "carry", -3)]),
            (rows.usage(3), [("gold", "refund", -1)]),
            (rows.usage(4, feature="files"), [("gold", "use", 1_000)]),
            (rows.usage(5, "cus:b"), [("gold", "use", 10_000)]),
        ]

        def use(tx: Transaction) -> None:
            for event, moves in uses:
                lines = [
                    rows.line(event, number, bucket, entry=entry, amount=amount)
                    for number, (bucket, entry, amount) in enumerate(moves)
                ]
                tx.usage.add(event, lines)

        store.transaction(use)

        def drawn(since: int) -> Mapping[str, int]:
            return store.transaction(lambda tx: tx.usage.drawn("cus:org_a", "messages", since))

        assert [{"gold": 2, "silver": 3}, {"gold": 4, "silver": 3}] == [drawn(NOW), drawn(NOW + 1)]
        assert {} == drawn(NOW + 9)

    def test_usage_key_once(self, store: DrivenStore) -> None:
        """A key counts once for a customer, and independently for another one."""
        _put(store)
        store.transaction(lambda tx: tx.usage.add(rows.usage(), ()))

        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.usage.add(rows.usage(2, idempotency_key="key:1"), ()))
        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.usage.add(rows.usage(1, id="other", idempotency_key="other"), ()))
        store.transaction(lambda tx: tx.usage.add(rows.usage(1, "cus:b"), ()))

    def test_ledger_lines(self, store: DrivenStore) -> None:
        """Lines can be written without an event, and each position of a customer's ledger once."""
        line = rows.line(rows.usage(), entry="carry", event_id="")
        store.transaction(lambda tx: tx.usage.add_lines([]))
        store.transaction(lambda tx: tx.usage.add_lines([line, evolve(line, line=1, entry="amend")]))

        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.usage.add_lines([evolve(line, line=2), line]))
        store.transaction(lambda tx: tx.usage.add_lines([evolve(line, line=2)]))

    def test_movements(self, store: DrivenStore) -> None:
        """Lines come newest first with what they are about, narrowed by each filter, and go on at a position."""
        plan, bought = rows.grant("plan"), rows.grant("bought", feature="credits", entity="e", source_type="top_up")
        _put(store, plan, bought)
        values: list[dict[str, str | int | bool]] = [{"m": "a"}, {"m": "ä\\\"'", "n": 1}, {"m": True, "n": 1}, {"m": 1}]
        uses = [rows.usage(seq, properties=each) for seq, each in enumerate(values, 1)]
        lines = [[rows.line(use, 0, "own"), rows.line(use, 1, "pool", event_id="")] for use in uses]
        lines[3][0] = evolve(lines[3][0], entry="settle")

        def unit(tx: Transaction) -> None:
            tx.entitlements.add_bucket(rows.bucket(plan, "own"))
            tx.entitlements.add_bucket(rows.bucket(bought, "pool"))
            for use, moved in zip(uses, lines, strict=True):
                tx.usage.add(use, moved)
            tx.usage.add_lines([rows.line(rows.usage(9), bucket_id="thrown away")])
            tx.usage.add(rows.usage(5, "cus:b"), [rows.line(rows.usage(5, "cus:b"), bucket_id="own")])

        store.transaction(unit)

        def moved(**given: Any) -> list[str]:
            options: dict[str, Any] = dict.fromkeys(("feature", "source", "entry", "properties"))
            options = {**options, "first": 0, "before": (99, 0), "limit": 99, **given}
            found = store.read(lambda tx: tx.usage.movements("cus:org_a", **options))
            assert all(each.line == lines[each.line.seq - 1][each.line.line] for each in found)
            return [f"{each.line.seq}.{each.line.line}" for each in found]

        first, second = store.read(
            lambda tx: tx.usage.movements(
                "cus:org_a",
                feature=None,
                source=None,
                entry=None,
                properties=None,
                first=0,
                before=(2, 0),
                limit=9,
            )
        )
        assert Movement(lines[0][1], "top_up", "bought", "credits", "e", None) == first
        assert Movement(lines[0][0], "plan", "plan", "messages", "", {"m": "a"}) == second

        everything = ["4.1", "4.0", "3.1", "3.0", "2.1", "2.0", "1.1", "1.0"]
        assert everything == moved()
        assert everything[3:6] == moved(before=(3, 1), limit=3)
        assert everything[:4] == moved(first=2)
        assert everything[2:4] == moved(first=2, before=(4, 0))
        assert everything[0::2] == moved(feature="credits")
        assert everything[0::2] == moved(source="top_up")
        assert everything[1::2] == moved(source="plan", feature="messages")
        assert ["4.0"] == moved(entry="settle")
        assert [] == moved(source="top_up", entry="settle")
        found = [moved(properties=each) for each in values]
        assert [["1.0"], ["2.0"], ["3.0"], ["4.0"]] == found
        assert [["3.0", "2.0"], []] == [moved(properties={"n": 1}), moved(properties={"n": True})]
        assert [[], []] == [moved(properties={"m": "A"}), moved(properties={"o": 1, "n": 1})]

    def test_usage_pages(self, store: DrivenStore) -> None:
        """Newest first, half-open in time, resumed from a position; equal instants are told apart by id."""
        events = [
            rows.usage(n, occurred_at=NOW + n // 2, feature="f" if n == 4 else "messages", properties={"n": n})
            for n in range(8)
        ]
        _put(store)
        store.each(events, lambda tx, event: tx.usage.add(event, ()))
        store.transaction(lambda tx: tx.usage.add(rows.usage(9, "cus:b"), ()))

        def page(**given: Any) -> list[int]:
            options: dict[str, Any] = {
                "feature": None,
                "properties": None,
                "start": None,
                "end": None,
                "limit": 99,
                "before": None,
            }
            found: Sequence[UsageRow] = store.read(lambda tx: tx.usage.page("cus:org_a", **{**options, **given}))
            return [event.seq for event in found]

        assert [7, 6, 5, 4, 3, 2, 1, 0] == page()
        assert [4] == page(feature="f")
        assert [5, 4, 3, 2] == page(start=NOW + 1, end=NOW + 3)
        assert [7, 6, 5] == page(limit=3)
        assert [4, 3] == page(limit=2, before=(events[5].occurred_at, events[5].id))
        assert [3, 2] == page(feature="messages", limit=2, before=(events[4].occurred_at, events[4].id))
        assert [] == page(before=(events[0].occurred_at, events[0].id))
        assert [3, 2] == page(start=NOW + 1, end=NOW + 2, before=(events[5].occurred_at, events[5].id))
        assert [2] == page(start=NOW + 1, end=NOW + 2, before=(events[3].occurred_at, events[3].id))
        assert [5] == page(properties={"n": 5})
