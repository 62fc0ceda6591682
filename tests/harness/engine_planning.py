"""What can be drawn in the reference model: units one by one, usage limits, and the clock."""

from __future__ import annotations

from collections.abc import Iterable

from kernia_billing.domain.period import Rhythm

from .engine_books import EngineBooks, Row, Unit


class EnginePlanning(EngineBooks):
    """Judges quantities, and keeps the windows of limits."""

    def limit(self, feature: str, maximum: int, rhythm: Rhythm, *, entity: str = "", per_entity: bool = False) -> str:
        """A limit on a feature or on a credit pool. Gives its id."""
        self._write()
        name = f"l{len(self.limits) + 1}"
        self.limits[name] = {
            "feature": feature,
            "maximum": maximum,
            "rhythm": rhythm,
            "entity": entity,
            "per_entity": per_entity,
            "since": self.seq,
        }
        return name

    def check(self, feature: str, quantity: int, *, entity: str = "") -> Row:
        """Whether `consume` would do it now, and why. Leaves no trace."""
        units = self._units(feature, quantity, entity)
        mine = self._mine(feature, entity)
        overage = any(each["kind"] == "overage" for each in mine)
        if len(units) == quantity and mine:
            over = any(self.buckets[bucket]["kind"] == "overage" for unit in units for bucket, _ in unit)
            free = any(each["amount"] is None and each["kind"] != "overage" for each in mine)
            reason = "overage" if over else "unlimited" if free else "ok"
        elif not mine:
            reason = "not_entitled"
        elif len(self._units(feature, quantity, entity, limited=False)) == quantity:
            reason = "usage_limit"
        else:
            reason = "overage_limit" if overage else "insufficient_balance"
        return {
            "allowed": reason in ("ok", "overage", "unlimited"),
            "reason": reason,
            "fundable": len(units),
        }

    def room(self, feature: str, entity: str = "") -> int | None:
        """What the narrowest limit on a feature or pool leaves."""
        left = [limit["maximum"] - self.windows.get(key, 0) for limit, key in self._windows(feature, entity, self.now)]
        return max(0, min(left)) if left else None

    def advance(self, to: int) -> None:
        """The clock goes on: periods open one by one, holds expire when their time comes."""
        while True:
            ends = [each["end"] for each in self.buckets.values() if each["current"] and each["end"] <= to]
            lapses = [each["expires_at"] for each in self.holds.values() if each["status"] == "open"]
            self.now = min([to, *ends, *(each for each in lapses if each <= to)])
            # At one instant holds lapse first: their units are unused when the period closes.
            for hold in self.holds.values():
                if hold["status"] == "open" and hold["expires_at"] <= self.now:
                    self._free(hold, hold["units"], "expire")
                    hold.update(units=[], status="expired")
            for grant in list(self.grants.values()):
                current = self.buckets[grant["current"]]
                if current["current"] and current["end"] <= self.now:
                    self._next_period(grant, current)
            if self.now == to and not any(each["current"] and each["end"] <= to for each in self.buckets.values()):
                return

    def _units(self, feature: str, quantity: int, entity: str, *, limited: bool = True) -> list[Unit]:
        """What so many units would be drawn from, each by itself; fewer where there is no more."""
        mine = sorted(self._mine(feature, entity), key=self._order)
        left = {each["id"]: self._left(each) for each in mine}
        names = {feature, *(each["feature"] for each in mine)}
        room = {name: self._narrowest(name, entity, limited=limited) for name in names}
        top = room[feature]
        units: list[Unit] = []
        while len(units) < quantity and (top is None or len(units) < top):
            unit = self._unit(feature, mine, left, room)
            if unit is None:
                break
            units.append(unit)
        return units

    def _unit(self, feature: str, mine: list[Row], left: dict[str, int], room: dict[str, int | None]) -> Unit | None:
        for overage in (False, True):
            for pool, cost in [(feature, 1), *self.pools.get(feature, ())]:
                stage = [each for each in mine if each["feature"] == pool]
                if cost == 0 and stage:
                    return []
                # Credits that are too few for a unit pay one together with the overage of their pool.
                stage = [each for each in stage if each["kind"] != "overage" or overage]
                most = room.get(pool) if pool != feature else None
                if cost == 0 or sum(left[each["id"]] for each in stage) < cost or (most is not None and most < cost):
                    continue
                unit: dict[str, int] = {}
                for _ in range(cost):
                    name = next(each["id"] for each in stage if left[each["id"]] > 0)
                    left[name] -= 1
                    unit[name] = unit.get(name, 0) + 1
                if most is not None:
                    room[pool] = most - cost
                return list(unit.items())
        return None

    def _narrowest(self, feature: str, entity: str, *, limited: bool) -> int | None:
        """What limits and the minimum leave of a feature or pool."""
        left = [self.room(feature, entity) if limited else None, self.above(feature, entity)]
        return min((each for each in left if each is not None), default=None)

    def _free(self, hold: Row, units: list[Unit], entry: str) -> None:
        for unit in units:
            self._take(unit, entry, held=-1)
            self._uncount(hold, unit, hold["made"])

    def _windows(self, feature: str, entity: str, at: int) -> list[tuple[Row, tuple[str, str, int]]]:
        found: list[tuple[Row, tuple[str, str, int]]] = []
        for name, limit in self.limits.items():
            if limit["feature"] != feature or limit["entity"] not in ("", entity):
                continue
            if not limit["per_entity"] or entity:
                counted = entity if limit["per_entity"] else ""
                found.append((limit, (name, counted, limit["rhythm"].period(at).start)))
        return found

    def _count(self, feature: str, entity: str, quantity: int, units: Iterable[Unit] = ()) -> None:
        """Count units of the feature, and the credits that they cost, in the windows of now."""
        moved = {feature: quantity}
        for unit in units:
            for bucket, amount in unit:
                pool = self.buckets[bucket]["feature"]
                if pool != feature:
                    moved[pool] = moved.get(pool, 0) + amount
        for name, amount in moved.items():
            for _, key in self._windows(name, entity, self.now):
                self.windows[key] = max(0, self.windows.get(key, 0) + amount)

    def _uncount(self, source: Row, unit: Unit, counted: tuple[int, int]) -> None:
        """Take one unit out of the windows that counted it, at a time and by a write, if they are still running."""
        counted_at, seq = counted
        moved = {source["feature"]: 1}
        for bucket, amount in unit:
            pool = self.buckets[bucket]["feature"]
            if pool != source["feature"]:
                moved[pool] = moved.get(pool, 0) + amount
        for name, amount in moved.items():
            running = [key for _, key in self._windows(name, source["entity"], self.now)]
            for limit, key in self._windows(name, source["entity"], counted_at):
                # A limit that came later did not count it.
                if key in running and seq >= limit["since"]:
                    self.windows[key] = max(0, self.windows.get(key, 0) - amount)
