"""What a store does with what comes in and what goes out: webhooks, tickets, events, intents, settings."""
# ruff: noqa: S101

from __future__ import annotations

from attrs import evolve

from ...domain.webhooks import InboxStatus
from . import rows
from .harness import DrivenStore
from .rows import NOW


class InboxConformance:
    """billing_webhook_event and billing_stripe_object."""

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
        store.transaction(lambda tx: tx.inbox.finish("", "evt_a", "failed", note="why", lease_until=NOW + 99))
        assert claim(NOW + 20)
        store.transaction(lambda tx: tx.inbox.finish("", "evt_a", "processed", note=None, lease_until=0))
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
        counts = {"received": 1, "failed": 2, "processing": 2, "processed": 1, "dead": 1, "unmatched": 1}
        assert counts == store.read(lambda tx: tx.inbox.counts())

    def test_tickets(self, store: DrivenStore) -> None:
        """Tickets rise for each object by itself, and what was applied is remembered."""
        assert [1, 2, 1, 1, 3] == store.each("aabAa", lambda tx, of: tx.objects.take_ticket("sub", of))
        assert 0 == store.transaction(lambda tx: tx.objects.applied("sub", "a"))
        store.transaction(lambda tx: tx.objects.apply("sub", "a", 2, deleted=False))
        assert 2 == store.transaction(lambda tx: tx.objects.applied("sub", "a"))
        store.transaction(lambda tx: tx.objects.apply("sub", "a", 3, deleted=True))

        assert 3 == store.transaction(lambda tx: tx.objects.applied("sub", "a"))
        assert 4 == store.transaction(lambda tx: tx.objects.take_ticket("sub", "a"))
        assert 0 == store.transaction(lambda tx: tx.objects.applied("invoice", "a"))
        assert 1 == store.transaction(lambda tx: tx.objects.take_ticket("invoice", "a"))


class OutboxConformance:
    """billing_outbox, billing_intent, billing_setting."""

    def test_outbox_claim(self, store: DrivenStore) -> None:
        """Events are taken oldest first, with the attempt counted, and not by two."""
        a, b = rows.event("b", payload={"ä": [1]}), rows.event("a", "cus:b")
        store.transaction(lambda tx: tx.outbox.add([a, b]))

        assert [evolve(a, attempts=1), evolve(b, attempts=1)] == store.transaction(
            lambda tx: tx.outbox.claim(NOW, NOW + 10, 9)
        )
        assert [] == store.transaction(lambda tx: tx.outbox.claim(NOW + 9, NOW + 20, 9))
        assert [2, 2] == [row.attempts for row in store.transaction(lambda tx: tx.outbox.claim(NOW + 10, NOW + 20, 9))]
        store.transaction(lambda tx: tx.outbox.sent("a", NOW + 20))
        store.transaction(lambda tx: tx.outbox.failed("b", NOW + 50))
        store.transaction(lambda tx: tx.outbox.failed("a", NOW))
        assert [] == store.transaction(lambda tx: tx.outbox.claim(NOW + 49, NOW + 99, 9))
        assert ["b"] == [row.id for row in store.transaction(lambda tx: tx.outbox.claim(NOW + 50, NOW + 99, 9))]

    def test_outbox_order(self, store: DrivenStore) -> None:
        """An event waits for the earlier ones of its customer; those of others and of nobody do not."""
        events = [rows.event("1"), rows.event("2"), rows.event("3", "cus:b"), rows.event("4", ""), rows.event("5", "")]
        store.transaction(lambda tx: tx.outbox.add(events))

        def claim(limit: int) -> str:
            claimed = store.transaction(lambda tx: tx.outbox.claim(NOW, NOW + 10, limit))
            return "".join(row.id for row in claimed)

        assert "1" == claim(1)
        assert "34" == claim(2)
        assert "5" == claim(9)
        store.transaction(lambda tx: tx.outbox.sent("1", NOW))
        assert "2" == claim(9)
        assert "" == claim(9)

    def test_intent_once(self, store: DrivenStore) -> None:
        """The first request under a key is the one that is made, however often and by whomever."""
        first = rows.intent(params={"b": [1], "a": {"c": None}})
        second = rows.intent(params={}, path="/v1/other")

        assert first == store.transaction(lambda tx: tx.intents.add(first))
        assert first == store.transaction(lambda tx: tx.intents.add(second))
        store.transaction(lambda tx: tx.intents.finish("intent", "done", "cus_1"))
        assert evolve(first, state="done", stripe_id="cus_1") == store.read(lambda tx: tx.intents.get("intent"))
        assert store.read(lambda tx: tx.intents.get("INTENT")) is None

    def test_setting_once(self, store: DrivenStore) -> None:
        """A fact is recorded once."""
        assert store.read(lambda tx: tx.settings.get("mode")) is None
        assert "live" == store.transaction(lambda tx: tx.settings.add("mode", "live"))
        assert "live" == store.transaction(lambda tx: tx.settings.add("mode", "test"))
        assert "live" == store.read(lambda tx: tx.settings.get("mode"))
