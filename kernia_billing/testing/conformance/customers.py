"""What a store does with customers."""

from __future__ import annotations

import pytest
from attrs import evolve

from ...domain.customers import MOST_APART
from ...domain.instants import FOREVER
from ...domain.references import Reference
from ...ports.store import DuplicateKey, Transaction
from . import rows
from .harness import DrivenStore
from .rows import NOW

_NEAR = ("org_a", "ORG_A", "org_a ", " org_a", "\u00f6rg_a", "o\u0308rg_a", "org_\u00e1", "0", "org_a%", "org_")
"""References that some collation, padding or conversion takes for one another."""


class CustomersConformance:
    """billing_customer."""

    def test_customer_round_trip(self, store: DrivenStore) -> None:
        """A customer comes back as it was put in, by reference, by id and by Stripe id."""
        full = rows.customer(
            stripe_customer_id="cus_1", email="ä@example.org", name="Äpfel 🍎 & Co", plan="pro", plan_until=FOREVER
        )
        assert store.transaction(lambda tx: tx.customers.add(full)) is True

        assert full == store.read(lambda tx: tx.customers.get(full.reference))
        assert full == store.read(lambda tx: tx.customers.by_id(full.id))
        assert full == store.read(lambda tx: tx.customers.by_stripe_id("cus_1"))

    def test_customer_unknown(self, store: DrivenStore) -> None:
        """What is not there is None, and locking it changes nothing."""
        nobody = Reference("nobody", "user")

        assert store.read(lambda tx: tx.customers.get(nobody)) is None
        assert store.read(lambda tx: tx.customers.by_id("nobody")) is None
        assert store.read(lambda tx: tx.customers.by_stripe_id("nobody")) is None
        assert store.transaction(lambda tx: tx.customers.lock("nobody")) is None
        assert store.transaction(lambda tx: tx.customers.lock_reference(nobody)) is None

    def test_customer_added_once(self, store: DrivenStore) -> None:
        """The second row of a reference is not inserted, and nothing of the first one changes."""
        first = rows.customer(name="First")
        second = rows.customer(id="cus:other", name="Second")
        store.transaction(lambda tx: tx.customers.add(first))

        assert store.transaction(lambda tx: tx.customers.add(second)) is False
        assert first == store.read(lambda tx: tx.customers.get(first.reference))
        assert store.read(lambda tx: tx.customers.by_id("cus:other")) is None

    def test_customer_add_after_add(self, store: DrivenStore) -> None:
        """Inserted, not inserted, inserted: each answer is about its own row."""

        def unit(tx: Transaction) -> list[bool]:
            return [tx.customers.add(rows.customer(name)) for name in ("a", "a", "b", "b", "c")]

        assert [True, False, True, False, True] == store.transaction(unit)

    def test_customer_taken_id(self, store: DrivenStore) -> None:
        """A taken id or Stripe id under another reference is an error, not a silent nothing."""
        store.transaction(lambda tx: tx.customers.add(rows.customer("a", stripe_customer_id="cus_1")))

        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.customers.add(rows.customer("b", id="cus:a")))
        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.customers.add(rows.customer("b", stripe_customer_id="cus_1")))

    @pytest.mark.parametrize("one", _NEAR)
    def test_customer_near_references(self, store: DrivenStore, one: str) -> None:
        """References that look alike are different ones: no case, accent, padding or number conversion joins them."""
        users = [rows.customer(each, id=f"user:{each}", reference=Reference(each, "user")) for each in _NEAR]
        everybody = [*map(rows.customer, _NEAR), *users]
        assert all(store.each(everybody, lambda tx, row: tx.customers.add(row)))

        found = store.read(lambda tx: tx.customers.get(Reference(one, "organization")))
        locked = store.transaction(lambda tx: tx.customers.lock_reference(Reference(one, "organization")))

        assert rows.customer(one) == found
        assert evolve(rows.customer(one), ledger_seq=1) == locked
        others = [row for row in everybody if row.id != f"cus:{one}"]
        assert others == store.read_each(others, lambda tx, row: tx.customers.by_id(row.id))

    def test_customer_lock_counts(self, store: DrivenStore) -> None:
        """Every lock raises the sequence by one and answers with the row after it."""
        row = rows.customer()
        store.transaction(lambda tx: tx.customers.add(row))

        assert evolve(row, ledger_seq=1) == store.transaction(lambda tx: tx.customers.lock(row.id))
        assert evolve(row, ledger_seq=2) == store.transaction(lambda tx: tx.customers.lock_reference(row.reference))

    def test_customer_time(self, store: DrivenStore) -> None:
        """A lock at a time gives the latest one so far, unless that was much too late: then a clock was wrong."""
        row = rows.customer()
        store.transaction(lambda tx: tx.customers.add(row))
        clocks = (NOW, NOW - 1, NOW + MOST_APART, NOW, NOW - 1, NOW)

        by_id = store.each(clocks, lambda tx, now: tx.customers.lock(row.id, now))
        by_reference = store.each(clocks, lambda tx, now: tx.customers.lock_reference(row.reference, now))
        silent = store.transaction(lambda tx: tx.customers.lock(row.id))

        times = [NOW, NOW, NOW + MOST_APART, NOW + MOST_APART, NOW - 1, NOW]
        assert times == [each and each.written_at for each in by_id]
        assert times == [each and each.written_at for each in by_reference]
        assert evolve(row, ledger_seq=13, written_at=NOW) == silent == store.read(lambda tx: tx.customers.by_id(row.id))

    def test_customer_link(self, store: DrivenStore) -> None:
        """A Stripe id is set once; the same again is true, another is false and changes nothing."""
        row = rows.customer()
        store.transaction(lambda tx: tx.customers.add(row))

        assert store.transaction(lambda tx: tx.customers.link(row.id, "cus_1")) is True
        assert store.transaction(lambda tx: tx.customers.link(row.id, "cus_1")) is True
        assert store.transaction(lambda tx: tx.customers.link(row.id, "cus_2")) is False
        assert store.transaction(lambda tx: tx.customers.link("nobody", "cus_3")) is False
        assert evolve(row, stripe_customer_id="cus_1") == store.read(lambda tx: tx.customers.by_id(row.id))

    def test_customer_unlink(self, store: DrivenStore) -> None:
        """The Stripe id is taken away where it is the one that was meant; then another may be set."""
        store.transaction(lambda tx: tx.customers.add(rows.customer(stripe_customer_id="cus_1")))

        assert store.transaction(lambda tx: tx.customers.unlink("cus:org_a", "cus_2")) is False
        assert store.transaction(lambda tx: tx.customers.unlink("cus:org_b", "cus_1")) is False
        assert store.transaction(lambda tx: tx.customers.unlink("cus:org_a", "cus_1")) is True
        assert store.transaction(lambda tx: tx.customers.unlink("cus:org_a", "cus_1")) is False
        assert rows.customer() == store.read(lambda tx: tx.customers.by_id("cus:org_a"))
        assert store.transaction(lambda tx: tx.customers.link("cus:org_a", "cus_2")) is True

    def test_customers_by_stripe_ids(self, store: DrivenStore) -> None:
        """Those of a page that are ours."""
        ours = rows.customer(stripe_customer_id="cus_1")
        store.each([ours, rows.customer("org_b")], lambda tx, row: tx.customers.add(row))

        assert {"cus_1": ours} == store.read(lambda tx: tx.customers.by_stripe_ids(["cus_1", "cus_2", "CUS_1"]))
        assert {} == store.read(lambda tx: tx.customers.by_stripe_ids([]))

    def test_customer_link_taken(self, store: DrivenStore) -> None:
        """One Stripe customer belongs to one reference."""
        store.transaction(lambda tx: tx.customers.add(rows.customer("a", stripe_customer_id="cus_1")))
        store.transaction(lambda tx: tx.customers.add(rows.customer("b")))

        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.customers.link("cus:b", "cus_1"))

    def test_customer_describe(self, store: DrivenStore) -> None:
        """None leaves e-mail and name as they are."""
        row = rows.customer(email="old@example.org")
        store.transaction(lambda tx: tx.customers.add(row))
        store.transaction(lambda tx: tx.customers.describe(row.id, email=None, name="New"))
        store.transaction(lambda tx: tx.customers.describe(row.id, email="new@example.org", name=None))

        assert evolve(row, email="new@example.org", name="New") == store.read(lambda tx: tx.customers.by_id(row.id))

    def test_customer_set_plan(self, store: DrivenStore) -> None:
        """A change of plan raises the epoch, also when it takes the plan away."""
        row = rows.customer()
        store.transaction(lambda tx: tx.customers.add(row))
        store.transaction(lambda tx: tx.customers.set_plan(row.id, "pro", FOREVER))
        assert evolve(row, plan="pro", plan_until=FOREVER, config_epoch=1) == store.read(
            lambda tx: tx.customers.by_id(row.id)
        )

        store.transaction(lambda tx: tx.customers.set_plan(row.id, None, 0))
        assert evolve(row, config_epoch=2) == store.read(lambda tx: tx.customers.by_id(row.id))

    def test_customer_pages(self, store: DrivenStore) -> None:
        """Pages follow the ids byte by byte, on every database, and a plan narrows them."""
        names = ["B", "a", "Z_", "z", "é", "10", "9"]
        added = [rows.customer(name, plan="pro" if name in ("B", "z") else None) for name in names]
        store.each(added, lambda tx, row: tx.customers.add(row))
        ordered = sorted(names, key=lambda name: name.encode())

        first = store.read(lambda tx: tx.customers.page(plan=None, limit=3, after=None))
        rest = store.read(lambda tx: tx.customers.page(plan=None, limit=100, after=first[-1].id))
        of_plan = store.read(lambda tx: tx.customers.page(plan="pro", limit=100, after=None))

        assert ordered == [row.reference.id for row in (*first, *rest)]
        assert 3 == len(first)
        assert ["B", "z"] == [row.reference.id for row in of_plan]
