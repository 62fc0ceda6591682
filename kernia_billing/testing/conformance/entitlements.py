"""What a store does with grants, buckets and usage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from attrs import evolve

from ...domain.grants import BucketRow, Grant, UsageRow
from ...domain.instants import FOREVER
from ...domain.period import Interval
from ...domain.references import Reference
from ...ports.store import DuplicateKey, Held, Transaction
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
    """What both reads say, which must be the same."""
    customer, by_reference = store.read(lambda tx: tx.entitlements.of_reference(_ORG, features, now))
    by_customer = store.transaction(lambda tx: tx.entitlements.of_customer("cus:org_a", features, now))
    assert customer is not None
    assert sorted(by_reference, key=lambda held: held[0].id) == sorted(by_customer, key=lambda held: held[0].id)
    return sorted(by_customer, key=lambda held: held[0].id)


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
        unlimited = rows.grant("b", kind="overage", amount=None, interval=None, source_type="manual")
        bucket = rows.bucket(limited, used=3, held=2, period_no=-4)
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
        """Amount, priority, expiry, closing, anchor and meter change; what was given stays what it is."""
        one = rows.grant("a")
        _put(store, one)
        new = evolve(one, amount=None, priority=1, expires_at=5, closed_at=FOREVER - 1, anchor_at=9, meter="m")
        store.transaction(lambda tx: tx.entitlements.put_grant(evolve(new, feature="other", source_id="other")))

        assert [(new, None)] == _both(store, None)

    def test_grants_in_order(self, store: DrivenStore) -> None:
        """Grants of a source in the order of their creation."""
        _put(store, rows.grant("a", created_seq=2), rows.grant("b", created_seq=1), rows.grant("c", created_seq=2))

        found = store.read(lambda tx: tx.entitlements.grants("cus:org_a", "plan"))
        assert ["b", "a", "c"] == [grant.id for grant in found]

    def test_bucket_put(self, store: DrivenStore) -> None:
        """Amount, used, held and closing change by id."""
        grant = rows.grant("a")
        bucket = rows.bucket(grant)
        _put(store, grant, buckets=[bucket])
        new = evolve(bucket, amount=200, used=150, held=50, closed_at=FOREVER - 1)
        store.transaction(lambda tx: tx.entitlements.put_bucket(new))

        assert [(grant, new)] == _both(store, None)

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
        _put(store)
        store.transaction(lambda tx: tx.usage.add(event, [rows.line(event), rows.line(event, 1, amount=-1)]))

        assert event == store.read(lambda tx: tx.usage.by_key(_ORG, "key:1"))
        assert event == store.transaction(lambda tx: tx.usage.by_key_locked("cus:org_a", "key:1"))
        others = ["KEY:1", "key:1 ", "key:2", "0"]
        assert [None] * 4 == store.read_each(others, lambda tx, key: tx.usage.by_key(_ORG, key))
        assert [None] * 4 == store.each(others, lambda tx, key: tx.usage.by_key_locked("cus:org_a", key))

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

    def test_usage_pages(self, store: DrivenStore) -> None:
        """Newest first, half-open in time, resumed from a position; equal instants are told apart by id."""
        events = [rows.usage(n, occurred_at=NOW + n // 2, feature="f" if n == 4 else "messages") for n in range(8)]
        _put(store)
        store.each(events, lambda tx, event: tx.usage.add(event, ()))
        store.transaction(lambda tx: tx.usage.add(rows.usage(9, "cus:b"), ()))

        def page(**given: Any) -> list[int]:
            options: dict[str, Any] = {"feature": None, "start": None, "end": None, "limit": 99, "before": None}
            found: Sequence[UsageRow] = store.read(lambda tx: tx.usage.page("cus:org_a", **{**options, **given}))
            return [event.seq for event in found]

        assert [7, 6, 5, 4, 3, 2, 1, 0] == page()
        assert [4] == page(feature="f")
        assert [5, 4, 3, 2] == page(start=NOW + 1, end=NOW + 3)
        assert [7, 6, 5] == page(limit=3)
        assert [4, 3] == page(limit=2, before=(events[5].occurred_at, events[5].id))
        assert [3, 2] == page(feature="messages", limit=2, before=(events[4].occurred_at, events[4].id))
        assert [] == page(before=(events[0].occurred_at, events[0].id))
