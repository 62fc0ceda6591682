"""What a store does with leases, imports and the audit log."""

from __future__ import annotations

from ...domain.instants import DAY
from ...domain.upkeep import AuditRow, Lease, SyncState
from . import rows
from .harness import DrivenStore
from .rows import NOW


class LeasesConformance:
    """billing_lease."""

    def test_lease_one_holder(self, store: DrivenStore) -> None:
        """One has it until it ends; the next one's token is greater."""

        def acquire(holder: str, now: int) -> Lease | None:
            return store.transaction(lambda tx: tx.leases.acquire("reconcile", holder, now, now + 10))

        assert Lease("reconcile", "a", 1, NOW + 10) == acquire("a", NOW)
        assert acquire("b", NOW) is None
        assert acquire("b", NOW + 9) is None
        assert Lease("reconcile", "b", 2, NOW + 20) == acquire("b", NOW + 10)
        assert acquire("a", NOW + 11) is None
        assert Lease("reconcile", "a", 3, NOW + 30) == acquire("a", NOW + 20)

    def test_lease_names(self, store: DrivenStore) -> None:
        """Leases of other names are others."""
        for name in ("reconcile", "prune", "Prune"):
            taken = store.each([name], lambda tx, name: tx.leases.acquire(name, name, NOW, NOW + 10))
            assert [Lease(name, name, 1, NOW + 10)] == taken

    def test_lease_own(self, store: DrivenStore) -> None:
        """The holder may take it again under the same token; once it has ended, only under a new one."""

        def acquire(now: int) -> int | None:
            lease = store.transaction(lambda tx: tx.leases.acquire("prune", "a", now, now + 10))
            return None if lease is None else lease.token

        assert [1, 1, 1, 2] == [acquire(NOW), acquire(NOW + 5), acquire(NOW + 14), acquire(NOW + 24)]
        assert store.transaction(lambda tx: tx.leases.release("prune", 2))
        assert 3 == acquire(NOW + 25)

    def test_lease_renewed(self, store: DrivenStore) -> None:
        """Who has it may go on having it; who lost it may not, even where nobody else came."""
        store.transaction(lambda tx: tx.leases.acquire("prune", "a", NOW, NOW + 10))

        def renew(token: int, now: int) -> bool:
            return store.transaction(lambda tx: tx.leases.renew("prune", token, now, now + 10))

        assert renew(1, NOW + 9)
        assert renew(1, NOW + 18)
        assert not renew(2, NOW + 18)
        assert not renew(1, NOW + 28)
        assert store.transaction(lambda tx: tx.leases.acquire("prune", "b", NOW + 28, NOW + 38)) is not None
        assert not renew(1, NOW + 29)
        assert renew(2, NOW + 29)
        assert not store.transaction(lambda tx: tx.leases.renew("other", 1, NOW, NOW + 1))

    def test_lease_of_a_wrong_clock(self, store: DrivenStore) -> None:
        """A lease from far in the future frees itself like any other; one of a clock that is a little fast is kept."""

        def acquire(holder: str, now: int) -> Lease | None:
            return store.transaction(lambda tx: tx.leases.acquire("prune", holder, now, now + 10))

        assert acquire("a", NOW + 400 * DAY) is not None
        assert Lease("prune", "b", 2, NOW + 10) == acquire("b", NOW)
        assert not store.transaction(lambda tx: tx.leases.renew("prune", 1, NOW + 400 * DAY, NOW + 401 * DAY))
        assert acquire("c", NOW - 10) is None
        assert Lease("prune", "c", 3, NOW - 1) == acquire("c", NOW - 11)

    def test_lease_released(self, store: DrivenStore) -> None:
        """What is given back is free at once, and can be given back once, by its holder."""
        store.transaction(lambda tx: tx.leases.acquire("prune", "a", NOW, NOW + 10))

        assert not store.transaction(lambda tx: tx.leases.release("prune", 2))
        assert store.transaction(lambda tx: tx.leases.release("prune", 1))
        assert not store.transaction(lambda tx: tx.leases.release("prune", 1))
        assert not store.transaction(lambda tx: tx.leases.renew("prune", 1, NOW, NOW + 10))
        taken = store.transaction(lambda tx: tx.leases.acquire("prune", "b", NOW, NOW + 10))
        assert Lease("prune", "b", 2, NOW + 10) == taken


class UpkeepConformance:
    """billing_sync_state and billing_audit."""

    def test_sync_state(self, store: DrivenStore) -> None:
        """How far an import is, and how the last one ended, is kept for each kind."""
        going = SyncState("price", NOW, None, {"seen": 100}, "price_100")
        done = SyncState("price", NOW, NOW + 5, {"seen": 150})
        other = SyncState("product", NOW, None, {})
        assert store.read(lambda tx: tx.syncs.get("price")) is None
        for state in (going, done, going):
            store.each([state, other], lambda tx, state: tx.syncs.put(state))

            assert state == store.read(lambda tx: tx.syncs.get("price"))
        assert other == store.read(lambda tx: tx.syncs.get("product"))

    def test_audit_pages(self, store: DrivenStore) -> None:
        """Changes come back newest first, of everybody or of one customer, page after page."""
        changes = [
            rows.audit("aud_1", at=NOW - 2, before={"plan": "free", "ä": [1, None]}, after=None),
            rows.audit("aud_2", at=NOW - 1, customer_id="cus:b"),
            rows.audit("aud_3", at=NOW - 1),
            rows.audit("aud_4", customer_id="", before=None, after=None, actor="cli:root", subject=""),
        ]
        store.each(changes, lambda tx, row: tx.audit.add(row))

        def page(customer_id: str | None, limit: int = 9, before: tuple[int, str] | None = None) -> str:
            found = store.read(lambda tx: tx.audit.page(customer_id=customer_id, limit=limit, before=before))
            assert all(row in changes for row in found)
            return "".join(row.id[-1] for row in found)

        assert "4321" == page(None)
        assert "43" == page(None, 2)
        assert "21" == page(None, 2, (NOW - 1, "aud_3"))
        assert "31" == page("cus:org_a")
        assert "1" == page("cus:org_a", 9, (NOW - 1, "aud_3"))
        assert "4" == page("")
        assert "" == page("cus:c")

    def test_audit_of_some_actions(self, store: DrivenStore) -> None:
        """Changes of some actions come back, with what caused them; other ones do not."""
        made = rows.audit("aud_1", at=NOW, cause="customer.subscription.updated", event_id="evt_1")
        other = rows.audit("aud_2", at=NOW, action="grant.given")
        store.each([made, other], lambda tx, row: tx.audit.add(row))

        def page(*actions: str) -> list[AuditRow]:
            return list(
                store.read(lambda tx: tx.audit.page(customer_id="cus:org_a", limit=9, before=None, actions=actions))
            )

        assert [made] == page("subscription.create")
        assert [other, made] == page("subscription.create", "grant.given")

    def test_what_is_told_once(self, store: DrivenStore) -> None:
        """The first who tells is the only one, for each kind, subject and mark, until it is forgotten."""

        def tell(kind: str, subject: str, mark: str, until: int = NOW) -> bool:
            return store.transaction(lambda tx: tx.notices.add(kind, subject, mark, now=NOW, until=until))

        def is_told(kind: str, subject: str) -> bool:
            return store.read(lambda tx: tx.notices.told(kind, subject))

        assert [True, False, False] == [tell("dunning", "in_1", "1") for _ in range(3)]
        assert tell("dunning", "in_1", "2", NOW + 1)
        assert tell("dunning", "in_2", "1", NOW + 2)
        assert tell("trial", "in_1", "1", NOW + 3)
        assert [True, False] == [is_told("dunning", "in_1"), is_told("dunning", "in_3")]

        assert [2, 1, 0] == [store.transaction(lambda tx: tx.notices.prune(NOW + 3, 2)) for _ in range(3)]
        assert [False, True] == [is_told("dunning", "in_1"), is_told("trial", "in_1")]

    def test_audit_pruning(self, store: DrivenStore) -> None:
        """The oldest go first, so many at a time, and none of the instant itself or later."""
        changes = [rows.audit(f"aud_{number}", at=NOW - number) for number in range(5)]
        store.each(changes, lambda tx, row: tx.audit.add(row))

        assert [2, 1, 0] == [store.transaction(lambda tx: tx.audit.prune(NOW - 1, 2)) for _ in range(3)]
        left = store.read(lambda tx: tx.audit.page(customer_id=None, limit=9, before=None))
        assert ["aud_0", "aud_1"] == [row.id for row in left]
