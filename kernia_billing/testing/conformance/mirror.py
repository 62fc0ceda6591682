"""What a store does with invoices, schedules, payment methods and how customers look at Stripe."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from attrs import evolve

from ...domain.ids import MAX_INTEGER
from ...domain.payment_methods import PaymentMethodRow
from ...domain.schedules import SchedulePhase
from ...ports.store import Transaction
from . import rows
from .harness import DrivenStore
from .rows import MONTH, NOW


def _noted(kind: str, subject: str, mark: str, tx: Transaction) -> bool:
    return tx.notices.add(kind, subject, mark, now=NOW, until=NOW)


class MirrorConformance:
    """billing_invoice, billing_subscription_schedule, billing_payment_method, billing_stripe_customer."""

    def test_invoice_round_trip(self, store: DrivenStore) -> None:
        """A bare and a full invoice come back as they were put in; the same one again changes nothing."""
        bare = rows.invoice()
        full = evolve(
            bare,
            stripe_subscription_id="sub_1",
            status="some status that Stripe adds later",
            number="A-0001",
            billing_reason="subscription_cycle",
            subtotal=-MAX_INTEGER,
            total=-1,
            amount_due=0,
            amount_paid=MAX_INTEGER,
            amount_remaining=-5,
            attempt_count=3,
            next_payment_attempt=NOW + 1,
            auto_advance=False,
            payment_intent_id="pi_1",
            due_date=NOW + 2,
            finalized_at=NOW + 3,
            paid_at=NOW + 4,
            deleted=True,
        )

        assert store.read(lambda tx: tx.invoices.get("in_a")) is None
        assert "created" == store.transaction(lambda tx: tx.invoices.put(bare))
        assert bare == store.read(lambda tx: tx.invoices.get("in_a"))
        assert "updated" == store.transaction(lambda tx: tx.invoices.put(full))
        assert "unchanged" == store.transaction(lambda tx: tx.invoices.put(evolve(full, updated_at=NOW + 9)))
        assert full == store.read(lambda tx: tx.invoices.get("in_a"))
        assert store.read(lambda tx: tx.invoices.get("IN_A")) is None

    def test_invoices_of_customer(self, store: DrivenStore) -> None:
        """Newest first, page after page, and nobody else's."""
        ages = [("in_1", 3), ("in_2", 1), ("in_3", 2), ("in_4", 2), ("in_5", 2)]
        store.each([rows.invoice(n, created_at=NOW - age) for n, age in ages], lambda tx, row: tx.invoices.put(row))
        store.transaction(lambda tx: tx.invoices.put(rows.invoice("in_6", "cus:b")))

        def page(limit: int, after: tuple[int, str] | None) -> str:
            found = store.read(lambda tx: tx.invoices.of_customer("cus:org_a", limit=limit, after=after))
            return "".join(row.id[-1] for row in found)

        assert "25431" == page(9, None)
        assert "25" == page(2, None)
        assert "43" == page(2, (NOW - 2, "in_5"))
        assert "1" == page(2, (NOW - 2, "in_3"))
        assert "" == page(2, (NOW - 3, "in_1"))

    def test_invoices_of_all(self, store: DrivenStore) -> None:
        """Those of every customer in one order, each with whose it is; none of a customer that is not there."""
        store.each([rows.customer("org_a"), rows.customer("org_b")], lambda tx, row: tx.customers.add(row))
        invoices = [
            rows.invoice("in_1", created_at=NOW - 2, status="open"),
            rows.invoice("in_2", "cus:org_b", created_at=NOW - 1, status="draft"),
            rows.invoice("in_3", "cus:org_b", created_at=NOW - 1, status="void", total=0),
            rows.invoice("in_4", created_at=NOW - 1, status="open", deleted=True),
            rows.invoice("in_5", "cus:lost", status="paid"),
            rows.invoice("in_6", status="paid"),
        ]
        store.each(invoices, lambda tx, row: tx.invoices.put(row))

        def page(**asked: Any) -> str:
            bare: dict[str, Any] = {"status": None, "charged": None, "start": None, "end": None, "after": None}
            given: dict[str, Any] = {**bare, "limit": 9, **asked}
            found = store.read(lambda tx: tx.invoices.search(**given))
            assert all(rows.customer(who.id).id == row.customer_id for row, who in found)
            return "".join(row.id[-1] for row, _ in found)

        assert "631" == page()
        assert "63" == page(limit=2)
        assert "1" == page(after=(NOW - 1, "in_3"))
        assert "2" == page(status="draft")
        assert "61" == page(charged=True)
        assert "3" == page(charged=False)
        assert "31" == page(end=NOW)
        assert "6" == page(start=NOW)

    def test_invoice_by_payment(self, store: DrivenStore) -> None:
        """The invoice that a payment pays, the newest where there are several."""
        invoices = [
            rows.invoice("in_1", payment_intent_id="pi_1", created_at=NOW - 1),
            rows.invoice("in_2", payment_intent_id="pi_1"),
            rows.invoice("in_3", payment_intent_id="pi_2", created_at=NOW + 1),
            rows.invoice("in_4"),
        ]
        store.each(invoices, lambda tx, row: tx.invoices.put(row))

        assert invoices[1] == store.read(lambda tx: tx.invoices.by_payment_intent("pi_1"))
        assert store.read(lambda tx: tx.invoices.by_payment_intent("pi_3")) is None

    def test_schedule_round_trip(self, store: DrivenStore) -> None:
        """A schedule comes back with its phases, in their order, metered prices without a quantity."""
        bare = rows.schedule(phases=())
        full = evolve(
            bare,
            stripe_subscription_id="sub_1",
            status="active",
            phase_start=NOW,
            phase_end=NOW + MONTH,
            end_behavior="cancel",
            phases=(
                SchedulePhase(NOW + MONTH, NOW + 2 * MONTH, ("price_b", "price_a"), (5, None)),
                SchedulePhase(NOW, NOW + MONTH, (), ()),
                SchedulePhase(NOW + 2 * MONTH, None, ("price_ü",), (0,)),
            ),
            deleted=True,
        )
        for row, change in ((bare, "created"), (full, "updated"), (full, "unchanged"), (bare, "updated")):
            assert [change] == store.each([row], lambda tx, row: tx.schedules.put(row))
            assert row == store.read(lambda tx: tx.schedules.get("sub_sched_a"))

    def test_schedules_of_subscription(self, store: DrivenStore) -> None:
        """Newest first; those of no subscription are nobody's."""
        schedules = [
            rows.schedule("sub_sched_1", stripe_subscription_id="sub_1", created_at=NOW - 1),
            rows.schedule("sub_sched_2", stripe_subscription_id="sub_1", deleted=True),
            rows.schedule("sub_sched_3", stripe_subscription_id="sub_2"),
            rows.schedule("sub_sched_4"),
        ]
        store.each(schedules, lambda tx, row: tx.schedules.put(row))

        assert schedules[1::-1] == store.read(lambda tx: tx.schedules.of_subscription("sub_1"))

    def test_payment_methods(self, store: DrivenStore) -> None:
        """A customer's attached payment methods, oldest first; one that has no card has none of its fields."""
        bank = rows.payment_method(
            "pm_1", type="sepa_debit", brand=None, last4="3000", exp_month=None, exp_year=None, created_at=NOW + 1
        )
        card = rows.payment_method("pm_2")
        gone = rows.payment_method("pm_3", detached=True)
        theirs = rows.payment_method("pm_4", "cus:b")
        assert ["created"] * 4 == store.each([bank, card, gone, theirs], lambda tx, row: tx.payment_methods.put(row))

        assert [card, bank] == store.read(lambda tx: tx.payment_methods.of_customer("cus:org_a"))
        assert "updated" == store.transaction(lambda tx: tx.payment_methods.put(evolve(card, detached=True)))
        assert [bank] == store.read(lambda tx: tx.payment_methods.of_customer("cus:org_a"))
        assert gone == store.read(lambda tx: tx.payment_methods.get("pm_3"))

    def test_payment_methods_that_expire(self, store: DrivenStore) -> None:
        """Attached ones of a month, of customers with a live subscription, in pages, until a notice is there."""
        subscriptions = [rows.subscription("sub_a"), rows.subscription("sub_b", "cus:b", status="canceled")]
        store.each(subscriptions, lambda tx, row: tx.subscriptions.put(row))
        cards = [rows.payment_method(f"pm_{number}", exp_month=5, exp_year=2030) for number in range(3)]
        others = [
            rows.payment_method("pm_3", exp_month=6, exp_year=2030),
            rows.payment_method("pm_4", exp_month=5, exp_year=2031),
            rows.payment_method("pm_5", exp_month=5, exp_year=2030, detached=True),
            rows.payment_method("pm_6", "cus:b", exp_month=5, exp_year=2030),
            rows.payment_method("pm_7", exp_month=None, exp_year=None),
        ]
        store.each([*reversed(cards), *others], lambda tx, row: tx.payment_methods.put(row))

        def page(limit: int = 9, after: str = "") -> Sequence[PaymentMethodRow]:
            untold = ("kind", "2030-5")
            return store.read(lambda tx: tx.payment_methods.expiring(2030, 5, untold=untold, limit=limit, after=after))

        assert cards == page()
        assert cards[:2] == page(2)
        assert cards[2:] == page(2, "pm_1")
        for kind, mark in (("kind", "2030-4"), ("other", "2030-5")):
            assert store.transaction(partial(_noted, kind, "pm_1", mark))
        assert cards == page()
        assert store.transaction(partial(_noted, "kind", "pm_1", "2030-5"))
        assert cards[::2] == page()

    def test_stripe_customers(self, store: DrivenStore) -> None:
        """What a customer is and was at Stripe, oldest first."""
        old = rows.stripe_customer("cus_1", deleted=True, created_at=NOW - 1)
        now = rows.stripe_customer(
            "cus_2", delinquent=True, balance=-500, currency="eur", default_payment_method_id="pm_1"
        )
        theirs = rows.stripe_customer("cus_3", "cus:b")
        store.each([now, theirs, old], lambda tx, row: tx.stripe_customers.put(row))

        assert [old, now] == store.read(lambda tx: tx.stripe_customers.of_customer("cus:org_a"))
        assert now == store.read(lambda tx: tx.stripe_customers.get("cus_2"))
        assert {"cus_3": theirs} == store.read(lambda tx: tx.stripe_customers.get_all(["cus_3", "cus_4"]))
        assert "unchanged" == store.transaction(lambda tx: tx.stripe_customers.put(evolve(now, updated_at=NOW + 1)))
        assert "updated" == store.transaction(lambda tx: tx.stripe_customers.put(evolve(now, balance=0)))
