"""A whole entitlement engine on dicts: simple, slow, one customer, no database, and the judge of the real one.

It shares no code with the planner. Units are drawn one by one, credit by credit; every period is opened in turn,
whether or not anybody looks; a refund returns the last unit that was drawn. Only the boundaries of periods are the
library's own, which have worked examples of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kernia_billing.domain.period import Rhythm

Row = dict[str, Any]
Unit = list[tuple[str, int]]
"""What one unit was drawn from: bucket ids with amounts. Empty where it cost nothing."""
NEVER = 2**53 - 1


class Refused(Exception):
    """The engine says no; `answer` is what `check` would have said. Nothing has changed."""

    def __init__(self, answer: Row) -> None:
        super().__init__(answer["reason"])
        self.answer = answer


class Mismatch(Exception):
    """The idempotency key was used for something else."""


class EngineModel:
    """One customer. `pools` are (credit feature, cost) by feature; times are instants, quantities whole numbers.

    `buckets` are rows by id: of a grant's period ("g1:0"), of what a period left over ("g1:r0"). A unit that was drawn
    or held is a list of (bucket id, amount), which is empty where it cost nothing.
    """

    def __init__(self, pools: Mapping[str, list[tuple[str, int]]] | None = None, now: int = 0) -> None:
        self.now = now
        self.seq = 0
        self.pools = dict(pools or {})
        self.grants: dict[str, Row] = {}
        self.buckets: dict[str, Row] = {}
        self.holds: dict[str, Row] = {}
        self.events: dict[str, Row] = {}
        self.limits: dict[str, Row] = {}
        self.windows: dict[tuple[str, str, int], int] = {}
        self.values: dict[tuple[str, str, int], list[int]] = {}
        self.fired: set[tuple[str, int, int]] = set()
        self.alerts: dict[str, list[int]] = {}
        self.ledger: list[Row] = []
        self._answers: dict[str, tuple[object, Row]] = {}

    # ── what is given ────────────────────────────────────────────────────────────────────────────────────────────────

    def give(self, feature: str, amount: int | None, **more: Any) -> str:
        """A grant, with its first bucket. Gives its id.

        More: entity, kind, priority, category, expires_at, rhythm, cap and life (of rollover), debt, source.
        """
        self._write()
        grant: Row = {
            "id": f"g{len(self.grants) + 1}",
            "feature": feature,
            "amount": amount,
            "entity": "",
            "kind": "grant",
            "priority": 50,
            "category": 1,
            "expires_at": NEVER,
            "rhythm": None,
            "cap": None,
            "life": None,
            "debt": "forgive",
            "owed": 0,
            "source": "manual",
            "effective_at": self.now,
            "seq": self.seq,
            "ended": False,
            **more,
        }
        self.grants[grant["id"]] = grant
        self._open(grant, 0 if grant["rhythm"] is None else grant["rhythm"].period(self.now).number)
        return str(grant["id"])

    def revoke(self, grant_id: str) -> None:
        """Nothing of the grant can be drawn any more; what was drawn stays drawn."""
        self._write()
        self._end(self.grants[grant_id])

    def change_plan(self, features: Mapping[str, Row]) -> None:
        """The plan's grants are ended, and new ones given. A row has what `give` takes, and the `policy`."""
        self._write()
        old = [each for each in self.grants.values() if each["source"] == "plan" and not each["ended"]]
        for feature, row in features.items():
            apart = ("policy", "amount", "overage", "overage_limit")
            settings = {key: value for key, value in row.items() if key not in apart}
            before = [each for each in old if each["feature"] == feature]
            self._replace(feature, row, settings, next((g for g in before if g["kind"] == "grant"), None))
            if row.get("overage", "none") != "none":
                over = {**settings, "kind": "overage", "source": "plan", "cap": None}
                self.give(feature, row.get("overage_limit"), **over)
        for each in old:
            self._end(each)

    def resize(self, grant_id: str, amount: int) -> None:
        """The grant includes another amount from now on; the running period never less than is used and held."""
        self._write()
        grant = self.grants[grant_id]
        bucket = self.buckets[grant["current"]]
        grant["amount"] = amount
        over = bucket["used"] + bucket["held"] - amount
        bucket["amount"] = amount + max(0, over)
        if over > 0 and grant["debt"] == "carry":
            grant["owed"] += over

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
        }
        return name

    # ── what is used ─────────────────────────────────────────────────────────────────────────────────────────────────

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

    def track(
        self, feature: str, quantity: int, *, mode: str = "record", entity: str = "", key: str | None = None
    ) -> Row:
        """Count a use. In the mode `require` all of it is covered, or it is `Refused`."""

        def act() -> Row:
            if mode == "require" and not (answer := self.check(feature, quantity, entity=entity))["allowed"]:
                raise Refused(answer)
            self._write()
            return self._record(feature, quantity, self._units(feature, quantity, entity), entity)

        return self._once(key, ("track", feature, quantity, mode, entity), act)

    def report(self, feature: str, aggregation: str, value: int, *, entity: str = "") -> Row:
        """Count what a value adds to the aggregate of its period; a lower latest value gives back."""
        start = min((each["start"] for each in self._mine(feature, entity)), default=0)
        values = self.values.setdefault((feature, entity, start), [])
        before = self._aggregate(aggregation, values)
        values.append(value)
        moved = self._aggregate(aggregation, values) - before
        if moved < 0:
            return self.give_back(feature, -moved, entity=entity)
        return self.track(feature, moved, entity=entity)

    def give_back(self, feature: str, quantity: int, *, entity: str = "", key: str | None = None) -> Row:
        """Return direct units without naming a use: overage first, the reverse of the order of drawing."""

        def act() -> Row:
            self._write()
            left = quantity
            direct = [each for each in self._mine(feature, entity) if each["feature"] == feature]
            for bucket in sorted(direct, key=self._order, reverse=True):
                amount = min(left, bucket["used"])
                left -= amount
                self._move(bucket["id"], "refund", used=-amount)
            self._count(feature, entity, left - quantity)
            return {"restored": quantity - left}

        return self._once(key, ("give_back", feature, quantity, entity), act)

    def refund(self, event_id: str, quantity: int | None = None, *, key: str | None = None) -> Row:
        """Return the last units of a use that have not come back yet."""

        def act() -> Row:
            self._write()
            event = self.events[event_id]
            spendable: dict[str, int] = {}
            cost: dict[str, int] = {}
            back = costless = 0
            while event["units"] and (quantity is None or back < quantity):
                unit = event["units"].pop()
                back += 1
                costless += not unit
                for bucket_id, drawn in reversed(unit):
                    bucket = self.buckets[self._heir(bucket_id)]
                    amount = min(drawn, bucket["used"])
                    self._move(bucket["id"], "refund", used=-amount, event=event_id)
                    pool = bucket["feature"]
                    cost[pool] = sum(size for _, size in unit)
                    if self._is_live(bucket):
                        spendable[pool] = spendable.get(pool, 0) + amount
                self._uncount(event, unit)
            event["refunded"] += back
            restored = costless + sum(amount // cost[pool] for pool, amount in spendable.items())
            return {"units": back, "restored": restored, "lapsed": back - restored}

        return self._once(key, ("refund", event_id, quantity), act)

    # ── what is set aside ────────────────────────────────────────────────────────────────────────────────────────────

    def reserve(self, feature: str, quantity: int, expires_at: int, *, entity: str = "") -> str:
        """Set units aside, or `Refused`. Gives the hold's id."""
        if not (answer := self.check(feature, quantity, entity=entity))["allowed"]:
            raise Refused(answer)
        self._write()
        name = f"h{len(self.holds) + 1}"
        units = self._units(feature, quantity, entity)
        for unit in units:
            self._take(unit, "hold", held=1)
        self.holds[name] = {
            "feature": feature,
            "entity": entity,
            "units": units,
            "expires_at": expires_at,
            "status": "open",
            "at": self.now,
        }
        self._count(feature, entity, quantity, units)
        return name

    def settle(self, hold_id: str, actual: int) -> Row:
        """End a hold with what was used of it; the rest comes back, an excess is recorded, a late one whole."""
        self._write()
        hold = self.holds[hold_id]
        late = hold["status"] == "expired"
        assert late or hold["status"] == "open", "a hold ends once"
        paid: list[Unit] = [] if late else hold["units"][:actual]
        if not late:
            self._free(hold, hold["units"][actual:], "release")
        for unit in paid:
            self._take(unit, "settle", held=-1, used=1)
        hold.update(units=[], status="settled")
        excess = actual - len(paid)
        more = self._units(hold["feature"], excess, hold["entity"])
        answer = self._record(hold["feature"], actual, more, hold["entity"], paid)
        return {**answer, "late": late, "settled": len(paid)}

    def release(self, hold_id: str) -> None:
        """End a hold of which nothing was used."""
        self._write()
        hold = self.holds[hold_id]
        if hold["status"] == "open":
            self._free(hold, hold["units"], "release")
            hold.update(units=[], status="released")

    def settle_part(self, hold_id: str, units: int) -> None:
        """Take some of what a lease holds."""
        self._write()
        hold = self.holds[hold_id]
        assert hold["status"] == "open", "a lease ends once"
        assert units <= len(hold["units"]), "a lease gives what it holds"
        for unit in hold["units"][:units]:
            self._take(unit, "settle", held=-1, used=1)
        hold["units"] = hold["units"][units:]

    # ── time, and what can be seen ───────────────────────────────────────────────────────────────────────────────────

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

    def balance(self, feature: str, *, entity: str = "") -> Row:
        """What `balances` says of a feature: included units, and overage apart."""
        mine = [each for each in self._mine(feature, entity) if each["feature"] == feature]
        included = [each for each in mine if each["kind"] != "overage"]
        capped = [each for each in included if each["amount"] is not None]
        return {
            "included": sum(each["amount"] for each in capped),
            "used": sum(each["used"] for each in included),
            "held": sum(each["held"] for each in included),
            "remaining": None if len(capped) < len(included) else sum(map(self._left, capped)),
            "overage_used": sum(each["used"] for each in mine if each["kind"] == "overage"),
        }

    def live(self, feature: str, entity: str = "") -> list[Row]:
        """The buckets that a use of the feature may draw from."""
        return self._mine(feature, entity)

    def room(self, feature: str, entity: str = "") -> int | None:
        """What the narrowest limit on a feature or pool leaves."""
        left = [limit["maximum"] - self.windows.get(key, 0) for limit, key in self._windows(feature, entity, self.now)]
        return max(0, min(left)) if left else None

    def verify(self) -> None:
        """Every invariant that can be seen from outside of a single operation."""
        sums: dict[str, list[int]] = {name: [0, 0] for name in self.buckets}
        for line in self.ledger:
            sums[line["bucket"]][0] += line["used"]
            sums[line["bucket"]][1] += line["held"]
        for name, bucket in self.buckets.items():
            assert sums[name] == [bucket["used"], bucket["held"]], "I2, I9: the ledger rebuilds every bucket"
            assert min(bucket["used"], bucket["held"]) >= 0, "I1"
            assert bucket["amount"] is None or bucket["used"] + bucket["held"] <= bucket["amount"], "I1"
        for event in self.events.values():
            assert event["funded"] + event["unfunded"] == event["quantity"], "I3"
            assert event["refunded"] + len(event["units"]) == event["funded"], "I8"
        held = [piece for hold in self.holds.values() for unit in hold["units"] for piece in unit]
        assert sum(amount for _, amount in held) == sum(each["held"] for each in self.buckets.values())
        for line in self.ledger:
            assert not line["past"] or line["entry"] in ("refund", "settle", "release", "expire", "carry"), "I12"
        assert {line["seq"] for line in self.ledger} <= set(range(self.seq + 1)), "I4"
        for (name, _, _), used in self.windows.items():
            assert 0 <= used <= self.limits[name]["maximum"]

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _once(self, key: str | None, request: object, act: Callable[[], Row]) -> Row:
        if key is None:
            return act()
        if key in self._answers:
            asked, answer = self._answers[key]
            if asked != request:
                raise Mismatch(key)
            return {**answer, "replayed": True}
        answer = act()
        self._answers[key] = request, answer
        return answer

    def _write(self) -> None:
        self.seq += 1

    def _open(self, grant: Row, number: int, used: int = 0) -> None:
        rhythm = grant["rhythm"]
        name = f"{grant['id']}:{number}"
        assert name not in self.buckets, "I5: a period is opened once"
        start, end = (
            (grant["effective_at"], NEVER) if rhythm is None else (rhythm.start(number), rhythm.start(number + 1))
        )
        lose_at = end
        if grant["cap"] is not None and rhythm is not None:
            lose_at = NEVER if grant["life"] is None else rhythm.start(number + 1 + grant["life"])
        self._bucket(grant, name, number, grant["kind"], grant["amount"], start, end, min(lose_at, grant["expires_at"]))
        grant["current"] = name
        self._move(name, "carry", used=used)

    def _bucket(
        self, grant: Row, name: str, number: int, kind: str, amount: int | None, start: int, end: int, lose_at: int
    ) -> None:
        self.buckets[name] = {
            "id": name,
            "grant": grant["id"],
            "number": number,
            "feature": grant["feature"],
            "entity": grant["entity"],
            "kind": kind,
            "amount": amount,
            "used": 0,
            "held": 0,
            "start": start,
            "end": end,
            "lose_at": lose_at,
            "current": kind != "rollover",
            "closed_at": NEVER,
            "heir": None,
        }

    def _next_period(self, grant: Row, last: Row) -> None:
        last.update(current=False, closed_at=self.now)
        if grant["ended"] or grant["expires_at"] <= self.now:
            return
        owed = 0
        if grant["amount"] is not None and grant["kind"] == "grant":
            owed = min(grant["owed"] + self._debt(grant, last), grant["amount"])
        grant["owed"] = 0
        if grant["cap"] is not None and last["amount"] is not None:
            self._roll(grant, last)
        self._open(grant, last["number"] + 1, owed)

    def _debt(self, grant: Row, last: Row) -> int:
        """What the overage of the closing period has used, where that is owed."""
        if grant["debt"] != "carry":
            return 0
        return sum(
            each["used"]
            for each in self.buckets.values()
            if each["kind"] == "overage"
            and each["end"] == last["end"]
            and (each["feature"], each["entity"]) == (grant["feature"], grant["entity"])
            and not self.grants[each["grant"]]["ended"]
        )

    def _roll(self, grant: Row, last: Row) -> None:
        life = grant["life"]
        until = NEVER if life is None else grant["rhythm"].start(last["number"] + 1 + life)
        left = self._left(last)
        if left > 0:
            name = f"{grant['id']}:r{last['number']}"
            lose_at = min(until, grant["expires_at"])
            self._bucket(grant, name, last["number"], "rollover", left, self.now, until, lose_at)
        while True:
            alive = [
                each
                for each in self.buckets.values()
                if each["grant"] == grant["id"] and each["kind"] == "rollover" and each["end"] > self.now
            ]
            alive = [each for each in alive if self._left(each) > 0 and each["closed_at"] > self.now]
            if sum(map(self._left, alive)) <= grant["cap"]:
                return
            min(alive, key=lambda each: (each["end"], each["number"]))["amount"] -= 1

    def _replace(self, feature: str, row: Row, settings: Row, old: Row | None) -> None:
        policy = row.get("policy", "carry_usage")
        before = None if old is None else self.buckets[old["current"]]
        new = self.grants[self.give(feature, row["amount"], **{**settings, "source": "plan"})]
        bucket = self.buckets[new["current"]]
        if old is None or before is None or before["end"] <= self.now:
            return
        if policy == "prorate" and row["amount"] is not None:
            length = before["end"] - before["start"]
            bucket["amount"] = (row["amount"] * (before["end"] - self.now) + length - 1) // length
        if policy in ("carry_remaining", "prorate") and before["amount"] is not None and self._left(before) > 0:
            self.give(feature, self._left(before), entity=old["entity"], expires_at=before["end"], source="carry")
        if policy == "carry_usage":
            self._carry(new, before, bucket)
        for each in list(self.buckets.values()):
            if each["grant"] == old["id"] and each["kind"] == "rollover" and policy != "reset":
                each["grant"] = new["id"]

    def _carry(self, new: Row, before: Row, bucket: Row) -> None:
        used, held = before["used"], before["held"]
        amount = bucket["amount"]
        fits = used if amount is None else min(used, amount)
        if amount is not None:
            bucket["amount"] = max(amount, fits + held)
        if new["debt"] == "carry":
            new["owed"] += used - fits
        self._move(before["id"], "carry", used=-used, held=-held)
        self._move(bucket["id"], "carry", used=fits, held=held)
        before["heir"] = bucket["id"]
        for hold in self.holds.values():
            hold["units"] = [[(self._heir(name), size) for name, size in unit] for unit in hold["units"]]

    def _end(self, grant: Row) -> None:
        grant["ended"] = True
        for each in self.buckets.values():
            if each["grant"] == grant["id"] and each["closed_at"] == NEVER:
                each.update(current=False, closed_at=self.now)

    def _heir(self, name: str) -> str:
        while self.buckets[name]["heir"] is not None:
            name = self.buckets[name]["heir"]
        return name

    def _is_live(self, bucket: Row) -> bool:
        grant = self.grants[bucket["grant"]]
        ends = min(bucket["end"], bucket["closed_at"], grant["expires_at"])
        return not grant["ended"] and self.now < ends

    def _mine(self, feature: str, entity: str) -> list[Row]:
        features = {feature, *(pool for pool, _ in self.pools.get(feature, ()))}
        return [
            each
            for each in self.buckets.values()
            if each["feature"] in features and each["entity"] in ("", entity) and self._is_live(each)
        ]

    def _left(self, bucket: Row) -> int:
        return 10**15 if bucket["amount"] is None else int(bucket["amount"] - bucket["used"] - bucket["held"])

    def _order(self, bucket: Row) -> tuple[Any, ...]:
        grant = self.grants[bucket["grant"]]
        return (
            bucket["kind"] == "overage",
            not bucket["entity"],
            bucket["amount"] is not None,
            grant["priority"],
            bucket["lose_at"],
            grant["category"],
            grant["effective_at"],
            grant["seq"],
            bucket["id"],
        )

    def _units(self, feature: str, quantity: int, entity: str, *, limited: bool = True) -> list[Unit]:
        """What so many units would be drawn from, each by itself; fewer where there is no more."""
        mine = sorted(self._mine(feature, entity), key=self._order)
        left = {each["id"]: self._left(each) for each in mine}
        room = {name: self.room(name, entity) if limited else None for name in {each["feature"] for each in mine}}
        room[feature] = self.room(feature, entity) if limited else None
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
                stage = [each for each in stage if (each["kind"] == "overage") == overage]
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

    def _record(
        self,
        feature: str,
        quantity: int,
        units: list[Unit],
        entity: str,
        paid: Iterable[Unit] = (),
    ) -> Row:
        """Store a use of which `paid` units were held, and `units` are drawn now."""
        before = self.balance(feature, entity=entity)
        for unit in units:
            self._take(unit, "use", used=1)
        self._count(feature, entity, len(units), units)
        whole = [*paid, *units]
        name = f"e{len(self.events) + 1}"
        self.events[name] = {
            "feature": feature,
            "entity": entity,
            "quantity": quantity,
            "funded": len(whole),
            "unfunded": quantity - len(whole),
            "units": whole,
            "refunded": 0,
            "at": self.now,
        }
        drawn: dict[str, int] = {}
        for unit in units:
            for bucket, amount in unit:
                drawn[bucket] = drawn.get(bucket, 0) + amount
        alerts = self._alert(feature, entity, before)
        return {
            "event": name,
            "funded": len(whole),
            "unfunded": quantity - len(whole),
            "drawn": drawn,
            "alerts": alerts,
        }

    def _alert(self, feature: str, entity: str, before: Row) -> list[int]:
        after = self.balance(feature, entity=entity)
        start = min((each["start"] for each in self._mine(feature, entity)), default=0)
        found: list[int] = []
        for percent in self.alerts.get(feature, ()) if after["used"] > before["used"] else ():
            is_reached = after["included"] > 0 and after["used"] * 100 >= percent * after["included"]
            if after["remaining"] is not None and is_reached and (feature, start, percent) not in self.fired:
                self.fired.add((feature, start, percent))
                found.append(percent)
        return found

    def _take(self, unit: Iterable[tuple[str, int]], entry: str, *, used: int = 0, held: int = 0) -> None:
        for bucket, amount in unit:
            self._move(bucket, entry, used=used * amount, held=held * amount)

    def _free(self, hold: Row, units: list[Unit], entry: str) -> None:
        for unit in units:
            self._take(unit, entry, held=-1)
            self._uncount(hold, unit)

    def _move(self, bucket: str, entry: str, *, used: int = 0, held: int = 0, event: str = "") -> None:
        if used or held:
            self.buckets[bucket]["used"] += used
            self.buckets[bucket]["held"] += held
            self.ledger.append(
                {
                    "seq": self.seq,
                    "bucket": bucket,
                    "entry": entry,
                    "used": used,
                    "held": held,
                    "at": self.now,
                    "past": self.buckets[bucket]["closed_at"] != NEVER,
                    "event": event,
                }
            )

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

    def _uncount(self, source: Row, unit: Unit) -> None:
        """Take one unit out of the windows that count it, if they are still running."""
        moved = {source["feature"]: 1}
        for bucket, amount in unit:
            pool = self.buckets[bucket]["feature"]
            if pool != source["feature"]:
                moved[pool] = moved.get(pool, 0) + amount
        for name, amount in moved.items():
            for _, key in self._windows(name, source["entity"], source["at"]):
                if key in [now for _, now in self._windows(name, source["entity"], self.now)]:
                    self.windows[key] = max(0, self.windows.get(key, 0) - amount)

    def _aggregate(self, aggregation: str, values: list[int]) -> int:
        if aggregation == "max":
            return max(values, default=0)
        if aggregation == "latest":
            return values[-1] if values else 0
        return {"sum": sum(values), "count": len(values), "unique": len(set(values))}[aggregation]
