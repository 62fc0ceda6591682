"""What a store does with what is set aside, and what readers see of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from ...domain.buckets import Draw
from ...domain.holds import Hold, HoldRow
from ...domain.instants import FOREVER
from ...domain.references import Reference
from ...ports.store import DuplicateKey, Transaction
from . import rows
from .harness import DrivenStore
from .rows import NOW

_ORG = Reference("org_a", "organization")
_LINES = (Draw("bucket", "messages", 6, 6), Draw("other", "credits", 40, 4))


def _put(store: DrivenStore, *holds: tuple[HoldRow, Sequence[Draw]]) -> None:
    def unit(tx: Transaction) -> None:
        tx.customers.add(rows.customer())
        for hold, lines in holds:
            tx.holds.add(hold, lines)

    store.transaction(unit)


def _get(store: DrivenStore, name: str = "hold", customer_id: str = "cus:org_a") -> Hold | None:
    return store.transaction(lambda tx: tx.holds.get(customer_id, name))


class HoldsConformance:
    """billing_hold and billing_hold_line."""

    def test_hold_round_trip(self, store: DrivenStore) -> None:
        """A hold comes back as it was put in, with its lines in their order; another customer's does not."""
        row = rows.hold(entity="site", quantity=12, left=10)
        _put(store, (row, _LINES), (rows.hold("bare"), ()))

        assert row.with_lines(_LINES) == _get(store)
        assert rows.hold("bare").with_lines(()) == _get(store, "bare")
        assert _get(store, "hold", "cus:org_b") is None
        assert _get(store, "nothing") is None

    def test_hold_by_key(self, store: DrivenStore) -> None:
        """A hold is found by its key, byte by byte, and a customer uses a key once."""
        row = rows.hold(idempotency_key="Key")
        _put(store, (row, ()))

        assert row == store.read(lambda tx: tx.holds.by_key(_ORG, "Key"))
        assert row == store.transaction(lambda tx: tx.holds.by_key_locked("cus:org_a", "Key"))
        assert store.read(lambda tx: tx.holds.by_key(_ORG, "key")) is None
        assert store.read(lambda tx: tx.holds.by_key(Reference("org_a", "user"), "Key")) is None
        assert store.transaction(lambda tx: tx.holds.by_key_locked("cus:org_b", "Key")) is None
        store.transaction(lambda tx: tx.holds.add(rows.hold("b", "cus:org_b", idempotency_key="Key"), ()))
        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.holds.add(rows.hold("again", idempotency_key="Key"), ()))

    def test_hold_of_reference(self, store: DrivenStore) -> None:
        """A hold is found by its id for its own reference, and for no other one."""
        row = rows.hold()
        _put(store, (row, _LINES), (rows.hold("b", "cus:org_b"), ()))

        def found(name: str, reference: Reference = _ORG) -> HoldRow | None:
            return store.read(lambda tx: tx.holds.of_reference(reference, name))

        assert row == found("hold")
        assert [None, None, None] == [found("b"), found("HOLD"), found("hold", Reference("org_a", "user"))]

    def test_hold_put(self, store: DrivenStore) -> None:
        """What a hold has become is overwritten with its lines; a hold that has ended has none."""
        row = rows.hold()
        _put(store, (row, _LINES), (rows.hold("untouched"), _LINES))

        less = evolve(row.with_lines(_LINES[1:]), left=4)
        store.transaction(lambda tx: tx.holds.put(less, FOREVER))
        assert less == _get(store)
        ended = evolve(less, left=0, lines=(), status="settled")
        store.transaction(lambda tx: tx.holds.put(ended, NOW + 9))
        assert ended == _get(store)
        stored = store.read(lambda tx: tx.holds.by_key(_ORG, row.idempotency_key))
        assert evolve(row, left=0, status="settled", ended_at=NOW + 9) == stored
        assert rows.hold("untouched").with_lines(_LINES) == _get(store, "untouched")

    def test_hold_lapsed(self, store: DrivenStore) -> None:
        """Open holds whose time has come, the first to end first, with all of their lines."""
        late, early = rows.hold("a", expires_at=NOW + 20), rows.hold("b", expires_at=NOW + 10)
        _put(
            store,
            (late, _LINES),
            (early, _LINES),
            (rows.hold("c", expires_at=NOW + 21), _LINES),
            (rows.hold("d", expires_at=NOW, status="released"), ()),
            (rows.hold("e", "cus:org_b", expires_at=NOW), ()),
        )

        found = store.transaction(lambda tx: tx.holds.lapsed("cus:org_a", NOW + 20))
        assert [early.with_lines(_LINES), late.with_lines(_LINES)] == list(found)
        assert [] == list(store.transaction(lambda tx: tx.holds.lapsed("cus:org_a", NOW + 9)))

    def test_hold_next_end(self, store: DrivenStore) -> None:
        """When the first open hold of the customer ends of those that end later, and never where there is none."""
        _put(
            store,
            (rows.hold("a", expires_at=NOW + 20), _LINES),
            (rows.hold("b", expires_at=NOW + 10), _LINES),
            (rows.hold("c", expires_at=NOW + 5, status="settled"), ()),
            (rows.hold("d", "cus:org_b", expires_at=NOW + 6), ()),
        )

        def after(instant: int, customer: str = "cus:org_a") -> int:
            return store.read(lambda tx: tx.holds.next_end(customer, instant))

        assert [NOW + 10, NOW + 20, FOREVER] == [after(each) for each in (NOW, NOW + 10, NOW + 20)]
        assert (NOW + 6, FOREVER) == (after(NOW, "cus:org_b"), after(NOW, "cus:nobody"))

    def test_hold_overdue(self, store: DrivenStore) -> None:
        """The customers of open holds whose time has come, each once, the longest overdue first."""
        _put(
            store,
            *((rows.hold(f"a{n}", "cus:a", expires_at=NOW + 5 + n), ()) for n in range(3)),
            (rows.hold("b", "cus:b", expires_at=NOW + 1), ()),
            (rows.hold("c", "cus:c", expires_at=NOW + 9), ()),
            (rows.hold("d", "cus:d", expires_at=NOW, status="expired"), ()),
        )

        assert ["cus:b", "cus:a"] == list(store.read(lambda tx: tx.holds.overdue(NOW + 8, 10)))
        assert ["cus:b"] == list(store.read(lambda tx: tx.holds.overdue(NOW + 8, 1)))
        assert [] == list(store.read(lambda tx: tx.holds.overdue(NOW, 10)))

    def test_hold_moves(self, store: DrivenStore) -> None:
        """What is held of a bucket is held of another one from then on, in every hold."""
        _put(store, (rows.hold("a"), _LINES), (rows.hold("b"), _LINES[:1]))

        store.transaction(lambda tx: tx.holds.move("bucket", "other"))

        for name, lines in (("a", _LINES), ("b", _LINES[:1])):
            moved = [evolve(line, bucket_id="other") for line in lines]
            assert rows.hold(name).with_lines(moved) == _get(store, name)

    def test_hold_prune(self, store: DrivenStore) -> None:
        """Holds that ended before an instant go, oldest first; open ones stay, and those that could end still."""
        _put(
            store,
            (rows.hold("open", expires_at=NOW), _LINES),
            (rows.hold("old", status="settled", expires_at=NOW, ended_at=NOW + 1), ()),
            (rows.hold("older", status="settled", expires_at=NOW - 1, ended_at=NOW), ()),
            (rows.hold("late", status="settled", expires_at=NOW, ended_at=NOW + 50), ()),
            (rows.hold("early", status="settled", expires_at=NOW + 50, ended_at=NOW), ()),
        )

        assert 1 == store.transaction(lambda tx: tx.holds.prune(NOW + 50, 1))
        assert _get(store, "older") is None
        assert 1 == store.transaction(lambda tx: tx.holds.prune(NOW + 50, 10))
        assert _get(store, "old") is None
        assert all(_get(store, name) for name in ("open", "late", "early"))

    def test_hold_readers(self, store: DrivenStore) -> None:
        """Readers do not count holds whose time has come; whoever is to write sees what is written down."""
        grant, other = rows.grant("grant"), rows.grant("other", feature="credits")
        buckets = [rows.bucket(grant, "bucket", used=1, held=18), rows.bucket(other, "other", held=40)]

        def unit(tx: Transaction) -> None:
            for each, bucket in zip((grant, other), buckets, strict=True):
                tx.entitlements.add_grant(each)
                tx.entitlements.add_bucket(bucket)

        store.transaction(unit)
        _put(
            store,
            (rows.hold("a", expires_at=NOW + 10), _LINES),
            (rows.hold("b", expires_at=NOW + 20), _LINES[:1]),
            (rows.hold("c", expires_at=NOW + 30), _LINES[:1]),
        )

        def seen(now: int) -> list[int]:
            _, found = store.read(lambda tx: tx.entitlements.of_reference(_ORG, None, now))
            return [bucket.held for _, bucket in sorted(found, key=lambda each: each[0].id) if bucket is not None]

        assert [[18, 40], [12, 0], [12, 0], [6, 0], [0, 0]] == [seen(NOW + each) for each in (9, 10, 19, 20, 30)]
        written = store.transaction(lambda tx: tx.entitlements.of_customer("cus:org_a", None, NOW + 30))
        assert sorted(buckets, key=lambda each: each.id) == sorted(
            (bucket for _, bucket in written if bucket is not None), key=lambda each: each.id
        )

    def test_buckets_by_id(self, store: DrivenStore) -> None:
        """Buckets are found with their grants whatever their period and state, but of one customer only."""
        grant = rows.grant("grant", closed_at=NOW)
        old = rows.bucket(grant, "old", period_no=-1, period_start=NOW - 5, period_end=NOW, closed_at=NOW, heir_id="x")

        def unit(tx: Transaction) -> None:
            tx.entitlements.add_grant(grant)
            tx.entitlements.add_bucket(old)

        store.transaction(unit)

        found = store.transaction(lambda tx: tx.entitlements.of_buckets("cus:org_a", ["old", "nothing"]))
        assert {"old": (grant, old, True)} == {
            name: (each.grant, each.bucket, each.opened) for name, each in found.items()
        }
        assert {} == dict(store.transaction(lambda tx: tx.entitlements.of_buckets("cus:org_b", ["old"])))
        assert {} == dict(store.transaction(lambda tx: tx.entitlements.of_buckets("cus:org_a", [])))
