"""What a store does with the horizons of customers, and with what lies beyond them."""

from __future__ import annotations

from attrs import evolve

from ...domain.buckets import Draw
from ...domain.history import GrantState, PlanState
from ...domain.instants import FOREVER
from ...domain.keeping import Horizon, OverBucket
from ...domain.limits import Limit, Meter, Window
from ...domain.period import Interval, Rhythm
from ...ports.store import Transaction
from . import rows
from .harness import DrivenStore
from .rows import MONTH, NOW

_CUSTOMER = "cus:org_a"
_AIM = Horizon(_CUSTOMER, 3, NOW + 2 * MONTH)


class HorizonsConformance:
    """billing_horizon, and what is thrown away beyond it."""

    def test_horizon_put(self, store: DrivenStore) -> None:
        """A horizon is what was put last; that everything has gone is noted of that one only."""
        store.transaction(lambda tx: tx.customers.add(rows.customer()))

        def get() -> list[Horizon | None]:
            plain = store.read(lambda tx: tx.horizons.get(_CUSTOMER))
            return [plain, store.transaction(lambda tx: tx.horizons.get(_CUSTOMER, locked=True))]

        assert [None, None] == get()
        store.transaction(lambda tx: tx.horizons.lock(_CUSTOMER))
        store.transaction(lambda tx: tx.horizons.put(evolve(_AIM, seq=1, swept=True)))
        store.transaction(lambda tx: tx.horizons.put(_AIM))
        store.transaction(lambda tx: tx.horizons.note_swept(evolve(_AIM, seq=2)))
        assert [_AIM, _AIM] == get()
        store.transaction(lambda tx: tx.horizons.note_swept(_AIM))
        assert [evolve(_AIM, swept=True)] * 2 == get()

    def test_customers_by_age(self, store: DrivenStore) -> None:
        """Customers come by their ids; those that wrote nothing, or are new, have nothing that is old."""
        known = [
            rows.customer("a", ledger_seq=1),
            rows.customer("b"),
            rows.customer("c", ledger_seq=1, created_at=NOW + 5),
        ]
        store.each(known, lambda tx, row: tx.customers.add(row))
        assert [("cus:a", True), ("cus:b", False)] == store.read(lambda tx: tx.horizons.customers("", NOW + 1, 2))
        assert [("cus:c", False)] == store.read(lambda tx: tx.horizons.customers("cus:b", NOW + 1, 2))
        limit = Limit("all:day", "messages", 200, Rhythm(0, Interval("day")))
        meter = Meter(limit, Window(limit.id, "", NOW - 7, 1), NOW + 9)
        store.transaction(lambda tx: tx.limits.put("cus:a", meter))
        kept = store.read_each((NOW - 9, NOW, NOW + 9), lambda tx, at: tx.horizons.kept_from("cus:a", at))
        assert [NOW - 9, NOW - 7, NOW + 9] == kept

    def test_over_buckets(self, store: DrivenStore) -> None:
        """Periods that ended, unless anything of them is held or counts elsewhere; and top-ups that ended."""
        grant = rows.grant()
        once = rows.grant("once", source_type="top_up", interval=None, expires_at=NOW + MONTH)
        plans = rows.grant("plans", feature="y", interval=None, expires_at=NOW + MONTH)
        buckets = [
            rows.bucket(grant, "first"),
            rows.bucket(grant, "held", period_no=1, period_start=NOW + MONTH, period_end=NOW + 2 * MONTH, held=5),
            rows.bucket(grant, "last", period_no=2, period_start=NOW + MONTH, period_end=NOW + 2 * MONTH),
            rows.bucket(grant, "moved", period_no=3, heir_id="runs"),
            rows.bucket(grant, "runs", period_no=4, period_end=NOW + 2 * MONTH + 1),
            rows.bucket(once, "once", period_end=FOREVER),
            rows.bucket(plans, "plans", period_end=FOREVER),
        ]

        def unit(tx: Transaction) -> None:
            tx.customers.add(rows.customer())
            for each in (grant, once, plans):
                assert tx.entitlements.add_grant(each)
            for row in buckets:
                tx.entitlements.add_bucket(row)

        store.transaction(unit)

        def over(after: str = "", limit: int = 9) -> list[OverBucket]:
            return list(store.read(lambda tx: tx.horizons.over(_CUSTOMER, _AIM.kept_from, after, limit)))

        found = [OverBucket("first", None, False), OverBucket("last", None, True), OverBucket("once", None, False)]
        assert [found, found[:1], found[1:]] == [over(), over(limit=1), over("first")]
        hold = rows.hold()
        store.transaction(lambda tx: tx.holds.add(hold, [Draw("first", "messages", 1, 1)]))
        store.transaction(lambda tx: tx.horizons.drop_buckets(["once", "runs"]))
        assert ["last", "moved"] == [each.id for each in over()]

    def test_sweep(self, store: DrivenStore) -> None:
        """Lines of buckets that are gone, then uses without lines; nothing beyond the horizon, and of nobody else."""
        grant = rows.grant()
        uses = [rows.usage(number) for number in range(1, 5)]
        late = rows.usage(5, received_at=NOW, occurred_at=_AIM.kept_from)
        theirs = rows.usage(1, "cus:b")

        def unit(tx: Transaction) -> None:
            tx.customers.add(rows.customer())
            tx.customers.add(rows.customer("b"))
            assert tx.entitlements.add_grant(grant)
            tx.entitlements.add_bucket(rows.bucket(grant))
            for use in (*uses, theirs):
                tx.usage.add(use, [rows.line(use, 0, "gone"), rows.line(use, 1, "bucket" if use.seq == 2 else "gone")])
            tx.usage.add(late, [])

        store.transaction(unit)
        assert (2, NOW + 2) == store.read(lambda tx: tx.horizons.use_from(_CUSTOMER, 2))
        assert store.read(lambda tx: tx.horizons.use_from(_CUSTOMER, 6)) is None
        lines = store.transaction(lambda tx: tx.horizons.sweep_lines(_AIM, (0, 0), 2))
        assert [(1, 0), (1, 1)] == lines
        assert [(2, 0), (3, 0), (3, 1)] == store.transaction(lambda tx: tx.horizons.sweep_lines(_AIM, (1, 1), 9))
        wide = evolve(_AIM, seq=5)
        assert [1] == store.transaction(lambda tx: tx.horizons.sweep_uses(wide, 0, 1))
        assert [3] == store.transaction(lambda tx: tx.horizons.sweep_uses(wide, 1, 9))
        assert [] == store.transaction(lambda tx: tx.horizons.sweep_uses(wide, 0, 9))
        left = store.read(lambda tx: tx.history.next_uses(_CUSTOMER, 0, 9))
        assert [2, 4, 5] == [use.seq for use in left]
        assert 2 == len(store.transaction(lambda tx: tx.usage.lines("cus:b", 1)))

    def test_sweep_states(self, store: DrivenStore) -> None:
        """The first state of a grant stays, and the last ones of a grant and of a plan up to the horizon."""
        grant = rows.grant()

        def unit(tx: Transaction) -> None:
            tx.customers.add(rows.customer())
            assert tx.entitlements.add_grant(grant)
            for seq in range(1, 6):
                tx.history.put_grant(GrantState.of(grant, seq, NOW))
                tx.history.put_plan(PlanState(_CUSTOMER, seq, NOW, None, 0))

        store.transaction(unit)
        assert 3 == store.transaction(lambda tx: tx.horizons.sweep_states(_AIM, 9))
        assert [1, 3, 4, 5] == [each.seq for each in store.read(lambda tx: tx.history.grant_states(_CUSTOMER))]
        assert [3, 4, 5] == [each.seq for each in store.read(lambda tx: tx.history.plan_states(_CUSTOMER))]
