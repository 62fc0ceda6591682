"""What a store does with subscriptions and checkouts."""

from __future__ import annotations

import pytest
from attrs import evolve

from ...ports.store import DuplicateKey
from . import rows
from .harness import DrivenStore
from .rows import NOW


class SubscriptionsConformance:
    """billing_subscription and billing_checkout_session."""

    def test_subscription_round_trip(self, store: DrivenStore) -> None:
        """A full and a bare subscription come back as they were put in, and are overwritten by id."""
        bare = rows.subscription()
        full = evolve(
            bare,
            plan="pro",
            plan_version_id="plan:1",
            status="some status that Stripe adds later",
            interval="year",
            price_id="price_a",
            item_id="si_1",
            seats=5,
            period_start=NOW,
            period_end=NOW + 1,
            trial_start=NOW + 2,
            trial_end=NOW + 3,
            cancel_at_period_end=True,
            cancel_at=NOW + 4,
            canceled_at=NOW + 5,
            ended_at=NOW + 6,
            billing_cycle_anchor=NOW + 7,
            past_due_since=NOW + 8,
            pause_behavior="void",
            schedule_id="sub_sched_1",
            duplicate=True,
            updated_at=NOW + 9,
            resumes_at=NOW + 10,
            cancel_reason="cancellation_requested",
            cancel_feedback="unused",
            default_payment_method_id="pm_1",
            collection_method="send_invoice",
        )
        for row in (bare, full, bare):
            store.each([row], lambda tx, row: tx.subscriptions.put(row))
            assert row == store.read(lambda tx: tx.subscriptions.by_stripe_id("stripe:sub"))
        assert store.read(lambda tx: tx.subscriptions.by_stripe_id("stripe:SUB")) is None

    def test_subscription_once(self, store: DrivenStore) -> None:
        """A Stripe subscription has one row: another local id never takes it over."""
        first = rows.subscription()
        store.transaction(lambda tx: tx.subscriptions.put(first))

        with pytest.raises(DuplicateKey):
            store.transaction(
                lambda tx: tx.subscriptions.put(rows.subscription("other", stripe_subscription_id="stripe:sub"))
            )
        assert first == store.read(lambda tx: tx.subscriptions.by_stripe_id("stripe:sub"))

    def test_subscriptions_of_customer(self, store: DrivenStore) -> None:
        """All of a customer, oldest first."""
        of_ages = [
            rows.subscription(name, created_at=NOW - age) for name, age in (("a", 1), ("b", 3), ("c", 2), ("d", 2))
        ]
        store.each(of_ages, lambda tx, row: tx.subscriptions.put(row))
        store.transaction(lambda tx: tx.subscriptions.put(rows.subscription("e", "cus:b")))

        found = store.read(lambda tx: tx.subscriptions.of_customer("cus:org_a"))
        assert ["b", "c", "d", "a"] == [row.id for row in found]

    def test_subscriptions_overdue(self, store: DrivenStore) -> None:
        """Live ones whose period is over, the longest overdue first; what ended has nothing to renew."""
        statuses = [
            ("active", 1),
            ("trialing", 3),
            ("past_due", 2),
            ("canceled", 9),
            ("incomplete_expired", 9),
            ("active", 0),
            ("unpaid", 4),
            ("paused", 5),
            ("incomplete", 6),
            ("added_later", 7),
            ("dormant", 8),
            ("zombie", 10),
        ]
        overdue = [
            rows.subscription(f"{number:x}", status=status, period_end=NOW - age)
            for number, (status, age) in enumerate(statuses)
        ]
        store.each([*overdue, rows.subscription("none")], lambda tx, row: tx.subscriptions.put(row))

        def found(limit: int) -> str:
            ids = store.read(lambda tx: tx.subscriptions.overdue(NOW, NOW, limit))
            return "".join(each.removeprefix("stripe:") for each in ids)

        assert ("ba9876120", "ba") == (found(20), found(2))
        paused = rows.subscription("paused", pause_behavior="void", period_end=NOW + 1, resumes_at=NOW - 1)
        until_later = evolve(paused, id="later", stripe_subscription_id="stripe:later", resumes_at=NOW)
        store.each([paused, until_later], lambda tx, row: tx.subscriptions.put(row))
        assert "ba9876120paused" == found(20)

    def test_checkout_round_trip(self, store: DrivenStore) -> None:
        """A checkout is found by each of its ids."""
        row = rows.checkout(stripe_session_id="cs_1", url="https://checkout.example/" + "x" * 3_000)
        store.transaction(lambda tx: tx.checkouts.add(row))

        assert row == store.read(lambda tx: tx.checkouts.open("cus:org_a", "default"))
        assert row == store.read(lambda tx: tx.checkouts.by_id("checkout"))
        assert row == store.read(lambda tx: tx.checkouts.by_session("cs_1"))
        assert row == store.read(lambda tx: tx.checkouts.by_subscription("sub of checkout"))
        assert store.read(lambda tx: tx.checkouts.open("cus:org_a", "other")) is None
        assert store.read(lambda tx: tx.checkouts.by_id("cs_1")) is None
        assert store.read(lambda tx: tx.checkouts.by_session("checkout")) is None
        assert store.read(lambda tx: tx.checkouts.by_subscription("checkout")) is None

    def test_checkout_one_open(self, store: DrivenStore) -> None:
        """A customer has one open checkout in a group, and any number of others."""
        first = rows.checkout("a")
        store.transaction(lambda tx: tx.checkouts.add(first))
        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.checkouts.add(rows.checkout("b")))
        store.transaction(lambda tx: tx.checkouts.add(rows.checkout("c", group="other")))
        store.transaction(lambda tx: tx.checkouts.add(rows.checkout("d", "cus:b")))
        store.transaction(lambda tx: tx.checkouts.add(rows.checkout("e", status="expired")))
        store.transaction(lambda tx: tx.checkouts.put(evolve(first, status="processing")))
        store.transaction(lambda tx: tx.checkouts.add(rows.checkout("f")))

        found = store.read(lambda tx: tx.checkouts.open("cus:org_a", "default"))
        assert "f" == (found and found.id)

    def test_checkout_put(self, store: DrivenStore) -> None:
        """What Stripe answered is noted by id; opening a second one again is refused."""
        row = rows.checkout("a")
        done = evolve(row, status="complete", stripe_session_id="cs_1", url="https://checkout.example/")
        store.transaction(lambda tx: tx.checkouts.add(row))
        store.transaction(lambda tx: tx.checkouts.put(done))
        assert done == store.read(lambda tx: tx.checkouts.by_session("cs_1"))

        store.transaction(lambda tx: tx.checkouts.add(rows.checkout("b")))
        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.checkouts.put(row))
