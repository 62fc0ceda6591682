"""A whole entitlement engine on dicts: simple, slow, one customer, no database, and the judge of the real one.

It shares no code with the planner. Units are drawn one by one, credit by credit; every period is opened in turn,
whether or not anybody looks; a refund returns the last unit that was drawn. Only the boundaries of periods are the
library's own, which have worked examples of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .engine_books import NEVER, Row, Unit
from .engine_planning import EnginePlanning


class Refused(Exception):
    """The engine says no; `answer` is what `check` would have said. Nothing has changed."""

    def __init__(self, answer: Row) -> None:
        super().__init__(answer["reason"])
        self.answer = answer


class Mismatch(Exception):
    """The idempotency key was used for something else."""


class EngineModel(EnginePlanning):
    """One customer. `pools` are (credit feature, cost) by feature; times are instants, quantities whole numbers.

    `buckets` are rows by id: of a grant's period ("g1:0"), of what a period left over ("g1:r0"). A unit that was drawn
    or held is a list of (bucket id, amount), which is empty where it cost nothing.
    """

    # ── what is given ────────────────────────────────────────────────────────────────────────────────────────────────

    def give(self, feature: str, amount: int | None, **more: Any) -> str:
        """A grant, with its first bucket. Gives its id.

        More: entity, kind, priority, category, expires_at, rhythm, cap and life (of rollover), debt, source, beside:
        what the overage that becomes debt has in common with its grant.
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
            "beside": None,
            "source": "manual",
            "effective_at": self.now,
            "seq": self.seq,
            "ended": False,
            **more,
        }
        self.grants[grant["id"]] = grant
        self._open(grant, 0 if grant["rhythm"] is None else grant["rhythm"].period(self.now).number)
        return str(grant["id"])

    def grant(self, feature: str, amount: int, **more: Any) -> str:
        """What is given by hand: of credits it repays first what the customer has overdrawn. Gives its id."""
        name = self.give(feature, amount, category=0, **more)
        below = self._minimum(feature)
        if below is not None and not more.get("entity"):
            bucket = self.buckets[below["current"]]
            owed = min(amount, bucket["used"] - below["repaid"])
            if owed > 0:
                below["repaid"] += owed
                below["amount"] += owed
                self._fit(below)
                self._move(self.grants[name]["current"], "carry", used=owed)
        return name

    def set_credit_min(self, feature: str, minimum: int) -> str | None:
        """No use may bring the balance below it. Gives the id of the overdraft; None where there never was one."""
        below = self._minimum(feature)
        if minimum == self.minimums.get(feature, 0):
            return None if below is None else str(below["id"])
        self._write()
        self.minimums[feature] = minimum
        if below is None:
            return self.give(feature, max(0, -minimum), kind="overage", source="credit_min", repaid=0)
        below["amount"] = max(0, -minimum) + below["repaid"]
        self._fit(below)
        return str(below["id"])

    def revoke(self, grant_id: str) -> None:
        """Nothing of the grant can be drawn any more; what was drawn stays drawn."""
        self._write()
        self._end(self.grants[grant_id])

    def change_plan(self, features: Mapping[str, Row]) -> None:
        """The plan's grants are ended, and new ones given. A row has what `give` takes, and the `policy`."""
        self._write()
        beside = f"plan {self.seq}"
        old = [each for each in self.grants.values() if each["source"] == "plan" and not each["ended"]]
        for feature, row in features.items():
            apart = ("policy", "amount", "overage", "overage_limit")
            settings = {**{key: value for key, value in row.items() if key not in apart}, "beside": beside}
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

    def override(self, feature: str, amount: int | None, until: int = NEVER) -> None:
        """The feature's plan includes something else from now on; nothing is moved, and what was used stays used."""
        self._write()
        self.overrides[feature] = {"amount": amount, "since": self.now, "until": until}

    def remove_override(self, feature: str) -> None:
        """What the plan includes counts again."""
        self._write()
        self.overrides.pop(feature, None)

    # ── what is used ─────────────────────────────────────────────────────────────────────────────────────────────────

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
        """Return units without naming a use, in the reverse of the order of drawing: overage first, pools before it.

        A pool gives back whole units, and no more of a bucket than this feature drew of it.
        """

        def act() -> Row:
            self._write()
            moved: Unit = []
            units = 0
            for overage in (True, False):
                for pool, cost in (*reversed(self.pools.get(feature, [])), (feature, 1)):
                    stage = [each for each in self._mine(pool, entity) if each["feature"] == pool]
                    stage = [each for each in stage if each["kind"] == "overage" or not overage]
                    found = self._give_back(feature, stage, cost, quantity - units, moved)
                    units += sum(amount for _, amount in found) // cost if cost else 0
                    moved += found
            for bucket, amount in moved:
                self._move(bucket, "refund", used=-amount)
                self.drawn[feature, bucket] = self.drawn.get((feature, bucket), 0) - amount
            pooled = [(bucket, -amount) for bucket, amount in moved if self.buckets[bucket]["feature"] != feature]
            self._count(feature, entity, -units, [pooled])
            return {"restored": units}

        return self._once(key, ("give_back", feature, quantity, entity), act)

    def set_usage(self, feature: str, level: int, *, entity: str = "") -> Row:
        """Make so much used now, of the feature's own allowances and of what pools pay for it."""
        mine = self._mine(feature, entity)
        used = sum(each["used"] - self._repaid(each) for each in mine if each["feature"] == feature)
        for pool, cost in self.pools.get(feature, ()):
            names = [each["id"] for each in mine if each["feature"] == pool and each["used"]]
            used += sum(max(0, self.drawn.get((feature, name), 0)) for name in names) // cost if cost else 0
        if level < used:
            return {"funded": self.give_back(feature, used - level, entity=entity)["restored"]}
        return self.track(feature, level - used, entity=entity)

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
                held, made = event["held"]
                counted = made if len(event["units"]) < held else event["made"]
                back += 1
                costless += not unit
                came_back: Unit = []
                for bucket_id, drawn in reversed(unit):
                    bucket = self.buckets[self._heir(bucket_id)]
                    amount = min(drawn, bucket["used"])
                    origin = event["feature"], bucket["id"]
                    self.drawn[origin] = self.drawn.get(origin, 0) - amount
                    self._move(bucket["id"], "refund", used=-amount, event=event_id)
                    came_back.append((bucket["id"], amount))
                    pool = bucket["feature"]
                    cost[pool] = sum(size for _, size in unit)
                    if self._is_live(bucket):
                        spendable[pool] = spendable.get(pool, 0) + amount
                # Limits on credits get back what came back: the rest was given back before without naming the use.
                self._uncount(event, came_back, counted)
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
            "made": (self.now, self.seq),
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
        # Limits counted with the hold what was held, and the excess when it was used.
        self.events[answer["event"]]["held"] = len(paid), hold["made"]
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

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _minimum(self, feature: str) -> Row | None:
        mine = (each for each in self.grants.values() if each["source"] == "credit_min")
        return next((each for each in mine if each["feature"] == feature), None)

    def _fit(self, grant: Row) -> None:
        """The bucket of a grant that never resets includes what the grant says, or what is used if that is more."""
        bucket = self.buckets[grant["current"]]
        bucket["amount"] = max(grant["amount"], bucket["used"] + bucket["held"])

    def _give_back(self, feature: str, stage: list[Row], cost: int, wanted: int, gone: Unit) -> Unit:
        """Up to so many whole units out of what is used of one stage, the last in the order first.

        `gone` is given back already.
        """
        ordered = sorted(stage, key=self._order, reverse=True)
        most = {each["id"]: each["used"] for each in ordered}
        if stage and stage[0]["feature"] != feature:
            most = {name: max(0, min(used, self.drawn.get((feature, name), 0))) for name, used in most.items()}
        for name, amount in gone:
            if name in most:
                most[name] -= amount
        left = min(wanted, sum(most.values()) // cost) * cost if cost else 0
        found: Unit = []
        for name, amount in most.items():
            if taken := min(amount, left):
                left -= taken
                found.append((name, taken))
        return found

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
        left = self._left_of_plan(before, self.now)
        if policy in ("carry_remaining", "prorate") and before["amount"] is not None and left > 0:
            self.give(feature, left, entity=old["entity"], expires_at=before["end"], source="carry")
        if policy == "carry_usage":
            self._carry(old, new, before, bucket)
        for each in list(self.buckets.values()):
            if each["grant"] == old["id"] and each["kind"] == "rollover" and policy != "reset":
                each["grant"] = new["id"]

    def _carry(self, old: Row, new: Row, before: Row, bucket: Row) -> None:
        used, held = before["used"], before["held"]
        amount = bucket["amount"]
        override = self._override(bucket, self.now)
        room = amount
        if amount is not None and override is not None:
            room = None if override["amount"] is None else max(amount, override["amount"])
        fits = used if room is None else min(used, room)
        if amount is not None:
            bucket["amount"] = max(amount, fits + held)
            bucket["own"] = amount if override is not None and bucket["amount"] > amount else None
        if new["debt"] == "carry":
            new["owed"] += used - fits
        new["owed"] += old["owed"]
        # What does not fit stays with the plan that it was used of, for the record.
        self._move(before["id"], "carry", used=-fits, held=-held)
        self._move(bucket["id"], "carry", used=fits, held=held)
        before["heir"] = bucket["id"]
        for feature, name in [each for each in self.drawn if each[1] == before["id"]]:
            carried = self.drawn.pop((feature, name))
            self.drawn[feature, bucket["id"]] = self.drawn.get((feature, bucket["id"]), 0) + carried
        for hold in self.holds.values():
            hold["units"] = [[(self._heir(name), size) for name, size in unit] for unit in hold["units"]]

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
        for bucket, amount in (piece for unit in whole for piece in unit):
            place = feature, self._heir(bucket)
            self.drawn[place] = self.drawn.get(place, 0) + amount
        name = f"e{len(self.events) + 1}"
        self.events[name] = {
            "feature": feature,
            "entity": entity,
            "quantity": quantity,
            "funded": len(whole),
            "unfunded": quantity - len(whole),
            "units": whole,
            "refunded": 0,
            "made": (self.now, self.seq),
            "held": (0, (0, 0)),
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
        mine = [
            each for each in self._mine(feature, entity) if each["feature"] == feature and each["kind"] != "overage"
        ]
        start = min((each["start"] for each in mine), default=0)
        found: list[int] = []
        for percent in self.alerts.get(feature, ()) if after["used"] > before["used"] else ():
            is_reached = after["included"] > 0 and after["used"] * 100 >= percent * after["included"]
            capped = all(each["amount"] is not None for each in mine)
            if capped and is_reached and (feature, start, percent) not in self.fired:
                self.fired.add((feature, start, percent))
                found.append(percent)
        return found

    def _aggregate(self, aggregation: str, values: list[int]) -> int:
        if aggregation == "max":
            return max(values, default=0)
        if aggregation == "latest":
            return values[-1] if values else 0
        return {"sum": sum(values), "count": len(values), "unique": len(set(values))}[aggregation]
