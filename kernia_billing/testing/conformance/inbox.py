"""What a store does with webhooks."""

from __future__ import annotations

import pytest
from attrs import evolve

from ...domain.instants import DAY
from ...domain.webhooks import InboxHealth, InboxRow, InboxStatus
from . import rows
from .harness import DrivenStore
from .rows import NOW


class InboxConformance:
    """billing_webhook_event."""

    def test_webhook_once(self, store: DrivenStore) -> None:
        """An event is inserted once for each account."""
        row = rows.webhook(
            payload={"nested": [1, {"ä": None}], "big": "x" * 100_000}, api_version="2026-01-01", note="n"
        )

        assert store.transaction(lambda tx: tx.inbox.add(row)) is True
        assert store.transaction(lambda tx: tx.inbox.add(evolve(row, payload={}, livemode=True))) is False
        assert store.transaction(lambda tx: tx.inbox.add(evolve(row, account="acct_1", livemode=True))) is True
        assert row == store.read(lambda tx: tx.inbox.get("", "evt_a"))
        assert store.read(lambda tx: tx.inbox.get("", "evt_A")) is None

    def test_webhook_claim(self, store: DrivenStore) -> None:
        """One worker has an event until its lease ends; what is done is not taken again."""
        row = rows.webhook()
        store.transaction(lambda tx: tx.inbox.add(row))

        def claim(now: int) -> bool:
            return store.transaction(lambda tx: tx.inbox.claim("", "evt_a", now, now + 10)) is not None

        assert evolve(row, status="processing", attempts=1, lease_until=NOW + 10) == store.transaction(
            lambda tx: tx.inbox.claim("", "evt_a", NOW, NOW + 10)
        )
        assert (False, True) == (claim(NOW + 9), claim(NOW + 10))
        assert store.transaction(
            lambda tx: tx.inbox.finish("", "evt_a", "failed", attempts=2, note="why", lease_until=NOW + 99)
        )
        assert claim(NOW + 20)
        assert store.transaction(
            lambda tx: tx.inbox.finish("", "evt_a", "processed", attempts=3, note=None, lease_until=0)
        )
        assert not claim(NOW + 10**9)
        assert evolve(row, status="processed", attempts=3) == store.read(lambda tx: tx.inbox.get("", "evt_a"))
        assert store.transaction(lambda tx: tx.inbox.claim("", "evt_b", NOW, NOW)) is None

    def test_webhook_due(self, store: DrivenStore) -> None:
        """Waiting, failed and abandoned events are due when their time has come, oldest first."""
        kinds: list[tuple[str, int, InboxStatus, int]] = [
            ("new", 1, "received", 0),
            ("failed", 3, "failed", NOW),
            ("waits", 4, "failed", NOW + 1),
            ("abandoned", 2, "processing", NOW),
            ("running", 5, "processing", NOW + 1),
            ("done", 6, "processed", 0),
            ("dead", 7, "dead", 0),
            ("odd", 8, "unmatched", 0),
        ]
        received = [
            rows.webhook(name, received_at=NOW - age, status=status, lease_until=lease)
            for name, age, status, lease in kinds
        ]
        store.each(received, lambda tx, row: tx.inbox.add(row))

        assert ["failed", "abandoned", "new"] == [row.event_id for row in store.read(lambda tx: tx.inbox.due(NOW, 9))]
        assert ["failed"] == [row.event_id for row in store.read(lambda tx: tx.inbox.due(NOW, 1))]
        assert 5 == store.read(lambda tx: tx.inbox.waiting())

    def test_webhook_of_a_wrong_clock(self, store: DrivenStore) -> None:
        """What was taken, or failed, on a host whose clock is far ahead is due like any other."""
        store.each(["evt_1", "evt_2"], lambda tx, name: tx.inbox.add(rows.webhook(name)))
        ahead = NOW + 400 * DAY
        taken = store.each(["evt_1", "evt_2"], lambda tx, name: tx.inbox.claim("", name, ahead, ahead + 10))
        assert all(taken)
        assert store.transaction(
            lambda tx: tx.inbox.finish("", "evt_2", "failed", attempts=1, note="why", lease_until=ahead + 10)
        )

        assert ["evt_1", "evt_2"] == [row.event_id for row in store.read(lambda tx: tx.inbox.due(NOW, 9))]
        again = store.transaction(lambda tx: tx.inbox.claim("", "evt_1", NOW, NOW + 10))
        assert 2 == (again and again.attempts)
        assert store.transaction(lambda tx: tx.inbox.claim("", "evt_1", NOW, NOW + 10)) is None

    def test_webhook_fencing(self, store: DrivenStore) -> None:
        """A worker whose lease was taken over cannot finish; the one that took it can, and only once."""
        store.transaction(lambda tx: tx.inbox.add(rows.webhook()))

        def finish(status: InboxStatus, attempts: int) -> bool:
            return store.transaction(
                lambda tx: tx.inbox.finish("", "evt_a", status, attempts=attempts, note=status, lease_until=0)
            )

        assert not finish("processed", 0)
        stalled = store.transaction(lambda tx: tx.inbox.claim("", "evt_a", NOW, NOW + 10))
        second = store.transaction(lambda tx: tx.inbox.claim("", "evt_a", NOW + 10, NOW + 20))
        assert stalled is not None
        assert second is not None

        assert not finish("dead", stalled.attempts)
        assert second == store.read(lambda tx: tx.inbox.get("", "evt_a"))
        assert finish("processed", second.attempts)
        assert not finish("failed", second.attempts)
        assert not finish("failed", stalled.attempts)
        done = evolve(second, status="processed", note="processed", lease_until=0)
        assert done == store.read(lambda tx: tx.inbox.get("", "evt_a"))

    def test_webhook_fencing_after_requeue(self, store: DrivenStore) -> None:
        """Attempts begin anew when an event is requeued; the end of the lease still tells two workers apart."""
        store.transaction(lambda tx: tx.inbox.add(rows.webhook()))
        stalled = store.transaction(lambda tx: tx.inbox.claim("", "evt_a", NOW, NOW + 10))
        second = store.transaction(lambda tx: tx.inbox.claim("", "evt_a", NOW + 10, NOW + 20))
        assert stalled is not None
        assert second is not None

        def finish(row: InboxRow, status: InboxStatus, customer: str = "") -> bool:
            return store.transaction(
                lambda tx: tx.inbox.finish(
                    "",
                    "evt_a",
                    status,
                    attempts=row.attempts,
                    note=None,
                    lease_until=0,
                    held_until=row.lease_until,
                    customer=customer,
                )
            )

        assert finish(second, "failed")
        assert store.transaction(lambda tx: tx.inbox.requeue("", "evt_a", NOW + 30))
        third = store.transaction(lambda tx: tx.inbox.claim("", "evt_a", NOW + 30, NOW + 40))
        assert third is not None
        assert third.attempts == stalled.attempts
        assert not finish(stalled, "dead")
        assert finish(third, "unmatched", "cus_later")
        (kept,) = store.read(lambda tx: tx.inbox.unmatched_of("cus_later", 9))
        assert (kept.status, kept.customer) == ("unmatched", "cus_later")

    def test_webhook_customer_stays(self, store: DrivenStore) -> None:
        """Finishing without a customer leaves the one that is known."""
        store.transaction(lambda tx: tx.inbox.add(rows.webhook(customer="cus_known")))
        taken = store.transaction(lambda tx: tx.inbox.claim("", "evt_a", NOW, NOW + 10))
        assert taken is not None
        assert store.transaction(
            lambda tx: tx.inbox.finish("", "evt_a", "processed", attempts=1, note=None, lease_until=0)
        )
        kept = store.read(lambda tx: tx.inbox.get("", "evt_a"))
        assert kept is not None
        assert kept.customer == "cus_known"

    def test_webhook_origin(self, store: DrivenStore) -> None:
        """How an event came, and the Stripe customer that it is about, are kept."""
        row = rows.webhook(customer="cus_1", source="thin")
        store.transaction(lambda tx: tx.inbox.add(row))

        assert row == store.read(lambda tx: tx.inbox.get("", "evt_a"))

    def test_webhook_list(self, store: DrivenStore) -> None:
        """Events are listed newest first, narrowed by status, type and time, page after page."""
        received = [
            rows.webhook("evt_1", received_at=NOW - 3, type="invoice.paid"),
            rows.webhook("evt_2", received_at=NOW - 2, type="invoice.paid", status="dead"),
            rows.webhook("evt_3", received_at=NOW - 2, type="invoice_item.created"),
            rows.webhook("evt_4", received_at=NOW - 1, type="invoice.payment_failed", status="dead"),
            rows.webhook("evt_5", received_at=NOW, type="price.created"),
        ]
        store.each(received, lambda tx, row: tx.inbox.add(row))

        def listed(
            status: InboxStatus | None = None,
            of_type: str | None = None,
            *,
            since: int | None = None,
            until: int | None = None,
            limit: int = 9,
            after: tuple[int, str] | None = None,
        ) -> str:
            found = store.read(
                lambda tx: tx.inbox.list(
                    status=status, type=of_type, since=since, until=until, limit=limit, after=after
                )
            )
            return "".join(row.event_id[-1] for row in found)

        assert "54321" == listed()
        assert "54" == listed(limit=2)
        assert "321" == listed(after=(NOW - 1, "evt_4"))
        assert "21" == listed(after=(NOW - 2, "evt_3"))
        assert "42" == listed("dead")
        assert "2" == listed("dead", "invoice.paid")
        assert "21" == listed(of_type="invoice.paid")
        assert "421" == listed(of_type="invoice.*")
        assert "4321" == listed(of_type="invoice*")
        assert "4" == listed("dead", "invoice.payment*", since=NOW - 2, until=NOW)
        assert "54321" == listed(of_type="*")
        assert "" == listed(of_type="Invoice.*")
        assert "" == listed(of_type="invoice.%")
        assert "432" == listed(since=NOW - 2, until=NOW)

    def test_webhook_unmatched(self, store: DrivenStore) -> None:
        """The events of a customer that was nobody's are found when it is somebody's, oldest first."""
        received = [
            rows.webhook("evt_1", customer="cus_1", status="unmatched", received_at=NOW),
            rows.webhook("evt_2", customer="cus_1", status="unmatched", received_at=NOW - 1),
            rows.webhook("evt_3", customer="cus_1", status="processed"),
            rows.webhook("evt_4", customer="cus_2", status="unmatched"),
            rows.webhook("evt_5", customer="CUS_1", status="unmatched"),
        ]
        store.each(received, lambda tx, row: tx.inbox.add(row))

        assert received[1::-1] == store.read(lambda tx: tx.inbox.unmatched_of("cus_1", 9))
        assert received[1:2] == store.read(lambda tx: tx.inbox.unmatched_of("cus_1", 1))
        assert [] == store.read(lambda tx: tx.inbox.unmatched_of("cus_3", 9))

    @pytest.mark.parametrize("status", ["processed", "ignored", "unmatched", "dead", "failed"])
    def test_webhook_requeue(self, store: DrivenStore, status: InboxStatus) -> None:
        """What is over can be worked on again, from the beginning."""
        row = rows.webhook(status=status, attempts=12, note="why", lease_until=NOW + 99)
        store.transaction(lambda tx: tx.inbox.add(row))

        assert store.transaction(lambda tx: tx.inbox.requeue("", "evt_a", NOW))
        again = evolve(row, status="received", attempts=0, note=None, lease_until=NOW)
        assert [again] == store.read(lambda tx: tx.inbox.due(NOW, 9))
        assert not store.transaction(lambda tx: tx.inbox.requeue("", "evt_a", NOW))
        assert not store.transaction(lambda tx: tx.inbox.requeue("", "evt_b", NOW))
        assert not store.transaction(lambda tx: tx.inbox.requeue("acct_1", "evt_a", NOW))

    def test_webhook_requeue_waits(self, store: DrivenStore) -> None:
        """What somebody works on is left to them."""
        store.transaction(lambda tx: tx.inbox.add(rows.webhook()))
        claimed = store.transaction(lambda tx: tx.inbox.claim("", "evt_a", NOW, NOW + 10))

        assert not store.transaction(lambda tx: tx.inbox.requeue("", "evt_a", NOW))
        assert claimed == store.read(lambda tx: tx.inbox.get("", "evt_a"))

    def test_webhook_known(self, store: DrivenStore) -> None:
        """Of a page of events those that are stored are told, and those of other accounts are not ours."""
        store.each(["evt_1", "evt_2"], lambda tx, name: tx.inbox.add(rows.webhook(name)))
        store.transaction(lambda tx: tx.inbox.add(rows.webhook("evt_3", account="acct_1")))

        page = ["evt_0", "evt_1", "evt_2", "evt_3", "EVT_1", "evt_1"]
        assert {"evt_1", "evt_2"} == store.read(lambda tx: tx.inbox.known(page))
        assert set() == store.read(lambda tx: tx.inbox.known([]))

    def test_webhook_health(self, store: DrivenStore) -> None:
        """How many, since when, and how badly; nothing at all before the first event."""
        assert InboxHealth({}, None, None, None, 0) == store.read(lambda tx: tx.inbox.health(NOW))
        received: list[tuple[InboxStatus, int]] = [
            ("processed", 5),
            ("processed", 9),
            ("failed", 7),
            ("received", 4),
            ("processing", 8),
            ("dead", DAY),
            ("dead", DAY + 1),
            ("unmatched", 3),
        ]
        for number, (status, age) in enumerate(received):
            row = rows.webhook(f"evt_{number}", status=status, received_at=NOW - age)
            store.each([row], lambda tx, row: tx.inbox.add(row))

        counts = {"processed": 2, "failed": 1, "received": 1, "processing": 1, "dead": 2, "unmatched": 1}
        health = store.read(lambda tx: tx.inbox.health(NOW))
        assert InboxHealth(counts, NOW - 3, NOW - 8, NOW - 5, 2) == health

    def test_webhook_prune(self, store: DrivenStore) -> None:
        """Old events that are done with are deleted, oldest first, so many at a time; no others ever."""
        kept: list[InboxStatus] = ["received", "processing", "unmatched", "failed", "dead"]
        for status in kept:
            store.each([status], lambda tx, of: tx.inbox.add(rows.webhook(of, status=of, received_at=NOW - DAY)))
        old = [
            rows.webhook("evt_1", status="processed", received_at=NOW - 9),
            rows.webhook("evt_2", status="ignored", received_at=NOW - 8, account="acct_1"),
            rows.webhook("evt_3", status="ignored", received_at=NOW - 7),
            rows.webhook("evt_4", status="processed", received_at=NOW),
        ]
        store.each(old, lambda tx, row: tx.inbox.add(row))

        def there() -> str:
            found = [("", "evt_1"), ("acct_1", "evt_2"), ("", "evt_3"), ("", "evt_4")]
            rows_ = store.read_each(found, lambda tx, key: tx.inbox.get(*key))
            return "".join(row.event_id[-1] for row in rows_ if row is not None)

        assert 2 == store.transaction(lambda tx: tx.inbox.prune(NOW, 2))
        assert "34" == there()
        assert 1 == store.transaction(lambda tx: tx.inbox.prune(NOW, 2))
        assert 0 == store.transaction(lambda tx: tx.inbox.prune(NOW, 2))
        assert "4" == there()
        counts = {**dict.fromkeys(kept, 1), "processed": 1}
        assert counts == store.read(lambda tx: tx.inbox.health(NOW)).counts
