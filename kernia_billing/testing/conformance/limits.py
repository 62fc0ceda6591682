"""What a store does with windows of usage limits, and with alerts that fired."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from attrs import evolve

from ...domain.alerts import Threshold
from ...domain.buckets import Draw
from ...domain.holds import HoldRow
from ...domain.instants import DAY, HOUR
from ...domain.limits import Drawn, Limit, Meter, Window
from ...domain.period import Interval, Rhythm
from ...domain.plans import UsageLimit
from ...domain.references import Reference
from ...domain.terms import Terms, limits_of
from ...ports.store import DuplicateKey, Standing, Transaction
from . import rows
from .harness import DrivenStore
from .rows import NOW

_CUSTOMER = "cus:org_a"
_ORG = Reference("org_a", "organization")
_START = NOW // DAY * DAY
_LIMIT = Limit("all:day", "messages", 200, Rhythm(0, Interval("day")))


def _meter(used: int, limit: Limit = _LIMIT, *, entity: str = "", start: int = _START, length: int = DAY) -> Meter:
    return Meter(limit, Window(limit.id, entity, start, used), start + length)


def _put(store: DrivenStore, *meters: Meter, customer_id: str = _CUSTOMER) -> None:
    store.each(meters, lambda tx, meter: tx.limits.put(customer_id, meter))


def _running(
    store: DrivenStore, features: Sequence[str] = ("messages",), entity: str = "", now: int = NOW
) -> list[tuple[str, str, int]]:
    """Limit, entity and use of each window, as all the reads say it, which must be the same."""
    asked = (features, entity, now)
    plain = store.read(lambda tx: tx.limits.running(_CUSTOMER, *asked))
    locked = store.transaction(lambda tx: tx.limits.running_locked(_CUSTOMER, *asked))
    assert {*plain} == {*locked} == {*_together(store, *asked)}
    return sorted((each.limit_id, each.entity, each.used) for each in plain)


def _standing(store: DrivenStore, features: Sequence[str], entity: str, now: int) -> Standing:
    return store.read(lambda tx: tx.entitlements.standing(_ORG, features, now, entity=entity, earlier=False))


def _together(store: DrivenStore, features: Sequence[str], entity: str, now: int) -> Sequence[Window]:
    """What is read with the holdings."""
    windows = _standing(store, features, entity, now).windows
    assert windows is not None
    assert len({window.key for window in windows}) == len(windows)
    return windows


def _add_customers(store: DrivenStore) -> None:
    store.each(["org_a", "b"], lambda tx, name: tx.customers.add(rows.customer(name)))


class LimitsConformance:
    """billing_limit_window."""

    def test_window_put(self, store: DrivenStore) -> None:
        """A window is one of a customer, limit, entity and start, and has what was put last."""
        _add_customers(store)
        hourly = evolve(_LIMIT, id="all:hour", rhythm=Rhythm(0, Interval("hour")))
        others = [
            _meter(5, hourly, start=NOW // HOUR * HOUR, length=HOUR),
            _meter(6, entity="é"),
            _meter(7, start=_START - DAY),
            _meter(8, evolve(_LIMIT, id="ALL:day")),
        ]
        _put(store, _meter(1), *others)
        _put(store, _meter(2))
        _put(store, _meter(9), customer_id="cus:b")

        assert [("ALL:day", "", 8), ("all:day", "", 2), ("all:hour", "", 5)] == _running(store)
        assert ("all:day", "é", 6) in _running(store, entity="é")
        assert [("all:day", "", 7)] == _running(store, now=_START - 1)
        assert [] == _running(store, now=_START + DAY)

    def test_window_began(self, store: DrivenStore) -> None:
        """What was drawn before a window was counted in is not in it, also at the same instant: it never comes back."""
        _add_customers(store)
        begun = Drawn(NOW, 7)
        _put(store, evolve(_meter(5), window=evolve(_meter(5).window, begun=begun)))
        found: list[tuple[int, Drawn]] = []
        for each in (Drawn(NOW - 1, 8), Drawn(NOW, 6), Drawn(NOW, 7), Drawn(NOW + 1, 0)):
            store.each([each], lambda tx, drawn: tx.limits.lower(_CUSTOMER, "messages", "", 2, drawn=drawn, now=NOW))
            (window,) = store.read(lambda tx: tx.limits.running(_CUSTOMER, ["messages"], "", NOW))
            found.append((window.used, window.begun))

        assert [(5, begun), (5, begun), (3, begun), (1, begun)] == found

    def test_lapsed_holds_of_before(self, store: DrivenStore) -> None:
        """A hold that was made before a window was counted in, also at the same instant, frees nothing of it."""
        _add_customers(store)
        late = NOW + 100
        made = {"earlier": (NOW - 1, 9), "before": (NOW, 6), "with": (NOW, 7), "later": (NOW + 1, 0)}
        holds = [
            rows.hold(name, left=2**number, quantity=16, created_at=at, created_seq=seq)
            for number, (name, (at, seq)) in enumerate(made.items())
        ]
        store.each(holds, lambda tx, each: tx.holds.add(each, []))
        _put(store, evolve(_meter(100), window=evolve(_meter(100).window, begun=Drawn(NOW, 7))))

        assert [("all:day", "", 88)] == [
            (each.limit_id, each.entity, each.used)
            for each in store.read(lambda tx: tx.limits.running(_CUSTOMER, ["messages"], "", late))
        ]

    def test_windows_of_features(self, store: DrivenStore) -> None:
        """They are those of the features asked for, however many; none where nobody is known."""
        assert not _together(store, ["messages"], "", NOW)
        _add_customers(store)
        for name in ("messages", "credits", "Messages"):
            _put(store, _meter(1, evolve(_LIMIT, id=f"all:{name}", feature=name)))
        many = ["messages", "credits", *(f"other_{number}" for number in range(20))]

        assert ["all:messages"] == [name for name, _, _ in _running(store)]
        assert ["all:credits", "all:messages"] == [name for name, _, _ in _running(store, many)]
        assert ["all:credits", "all:messages"] == [name for name, _, _ in _running(store, many[:2])]

    def test_windows_beside_holdings(self, store: DrivenStore) -> None:
        """Several windows and several grants come back once each, with their buckets."""

        def unit(tx: Transaction) -> None:
            tx.customers.add(rows.customer())
            for grant in (rows.grant("a"), rows.grant("b")):
                tx.entitlements.add_grant(grant)
                tx.entitlements.add_bucket(rows.bucket(grant, f"bucket of {grant.id}", used=3))

        store.transaction(unit)
        _put(store, _meter(1), _meter(2, evolve(_LIMIT, id="all:other")))

        found = _standing(store, ["messages"], "", NOW)
        plain = store.read(lambda tx: tx.entitlements.of_reference(_ORG, ["messages"], NOW))
        assert plain == (found.customer, found.held)
        assert {1, 2} == {window.used for window in found.windows or ()}

    def test_windows_without_lapsed_holds(self, store: DrivenStore) -> None:
        """A reader does not see what lapsed holds have set aside; a writer does, until they are released."""
        _add_customers(store)
        late = NOW + 100
        holds: list[tuple[HoldRow, list[Draw]]] = [
            (rows.hold("open", left=1, expires_at=late + 1), []),
            (rows.hold("lapsed", left=2, entity="a"), [Draw("x", "messages", 2, 2)]),
            (rows.hold("before", left=4, created_at=_START - 1), []),
            (rows.hold("other", left=8, feature="images"), [Draw("y", "messages", 16, 8), Draw("z", "images", 4, 4)]),
            (rows.hold("ended", left=32, quantity=32, status="released"), []),
            (rows.hold("theirs", "cus:b", left=64, quantity=64), []),
        ]
        store.each(holds, lambda tx, each: tx.holds.add(*each))
        _put(store, _meter(100), _meter(50, entity="a"), _meter(1, entity="b"))

        def used(entity: str) -> list[int]:
            windows = store.read(lambda tx: tx.limits.running(_CUSTOMER, ["messages"], entity, late))
            assert {*windows} == {*_together(store, ["messages"], entity, late)}
            return sorted(window.used for window in windows)

        assert [48, 82] == used("a")
        assert [1, 82] == used("b")
        locked = store.transaction(lambda tx: tx.limits.running_locked(_CUSTOMER, ["messages"], "", late))
        assert [100] == [window.used for window in locked]

    def test_windows_lower(self, store: DrivenStore) -> None:
        """What was drawn since a window began comes back to it, never below 0, and to no other window."""
        _add_customers(store)
        (filtered,) = limits_of(Terms(limits=(UsageLimit(9, where={"a": 1}),)).text(), "messages")
        (unfiltered,) = limits_of(Terms(limits=(UsageLimit(9),)).text(), "messages")
        hourly = evolve(_LIMIT, id="all:hour", rhythm=Rhythm(0, Interval("hour")))
        _put(
            store,
            _meter(10),
            _meter(10, entity="a"),
            _meter(10, entity="b"),
            _meter(10, filtered),
            _meter(3, unfiltered),
        )
        _put(store, _meter(10, hourly, start=NOW, length=HOUR), _meter(10, start=_START - DAY))
        _put(store, _meter(10), customer_id="cus:b")

        def lower(feature: str, at: int) -> None:
            store.transaction(lambda tx: tx.limits.lower(_CUSTOMER, feature, "a", 4, drawn=Drawn(at), now=NOW))

        lower("credits", NOW)
        lower("messages", _START - 1)
        lower("messages", NOW - 1)
        expected = {
            ("all:day", "", 6),
            ("all:day", "a", 6),
            ("all:hour", "", 10),
            (filtered.id, "", 10),
            (unfiltered.id, "", 0),
        }
        assert expected == {*_running(store, entity="a")}
        assert ("all:day", "b", 10) in _running(store, entity="b")
        assert [("all:day", "", 10)] == _running(store, now=_START - 1)

    def test_windows_prune(self, store: DrivenStore) -> None:
        """Those that ended first go first, so many at a time."""
        _add_customers(store)
        _put(store, *(_meter(1, start=_START - days * DAY) for days in range(4)))

        def prune(before: int, limit: int) -> int:
            return store.transaction(lambda tx: tx.limits.prune(before, limit))

        assert [2, 0, 0] == [prune(_START - HOUR, 9), prune(_START - HOUR, 9), prune(_START, 9)]
        assert [1, 1] == [len(_running(store, now=now)) for now in (_START - 1, NOW)]
        assert [1, 1, 0] == [prune(_START + 2 * DAY, 1) for _ in range(3)]


class AlertsConformance:
    """billing_alert_fired."""

    def test_alerts_fire_once(self, store: DrivenStore) -> None:
        """What fired is known by customer, feature, entity and period; what fired cannot fire again."""
        first, second, units = Threshold(50), Threshold(80), Threshold(50, "used")
        places = [
            (_CUSTOMER, "messages", "", NOW),
            ("cus:b", "messages", "", NOW),
            (_CUSTOMER, "Messages", "", NOW),
            (_CUSTOMER, "messages", "é", NOW),
            (_CUSTOMER, "messages", "", NOW + 1),
        ]
        store.each(places[:1], lambda tx, place: tx.alerts.add(*place, [first, units], NOW, NOW + DAY))
        store.each(places[:1], lambda tx, place: tx.alerts.add(*place, [], NOW, NOW))

        found = store.each(places, lambda tx, place: tx.alerts.fired(*place))
        assert [{first, units}, set(), set(), set(), set()] == found
        with pytest.raises(DuplicateKey):
            store.transaction(lambda tx: tx.alerts.add(*places[0], [second, first], NOW, NOW))
        store.each(places, lambda tx, place: tx.alerts.add(*place, [second], NOW, NOW + 2 * DAY))
        assert {first, second, units} == store.transaction(lambda tx: tx.alerts.fired(*places[0]))

    def test_alert_prune(self, store: DrivenStore) -> None:
        """What fired in periods that are over is forgotten, the first to end first."""
        places = [(_CUSTOMER, "messages", "", NOW + number * DAY) for number in range(4)]
        store.each(places, lambda tx, place: tx.alerts.add(*place, [Threshold(50)], NOW, place[3] + DAY))

        def prune(before: int, limit: int) -> int:
            return store.transaction(lambda tx: tx.alerts.prune(before, limit))

        assert [0, 1, 1, 0] == [prune(NOW + DAY, 9), *(prune(NOW + 3 * DAY, 1) for _ in range(3))]
        left = store.each(places, lambda tx, place: len(tx.alerts.fired(*place)))
        assert [0, 0, 1, 1] == left
