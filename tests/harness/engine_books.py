"""The books of the reference model: grants, their buckets period by period, and what moved in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Row = dict[str, Any]
Unit = list[tuple[str, int]]
"""What one unit was drawn from: bucket ids with amounts. Empty where it cost nothing."""
NEVER = 2**53 - 1


class EngineBooks:
    """What the model knows, how periods follow each other, and whether it all adds up."""

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
        self.minimums: dict[str, int] = {}
        self.values: dict[tuple[str, str, int], list[int]] = {}
        self.fired: set[tuple[str, int, int]] = set()
        self.alerts: dict[str, list[int]] = {}
        self.overrides: dict[str, Row] = {}
        """What features include instead of what their plan does: `amount`, `until`."""
        self.ledger: list[Row] = []
        self.drawn: dict[tuple[str, str], int] = {}
        """What features drew of buckets and has not come back: a pool pays for several."""
        self._answers: dict[str, tuple[object, Row]] = {}

    def balance(self, feature: str, *, entity: str = "") -> Row:
        """What `balances` says of a feature: included units, overage apart. What pools would pay remains, too."""
        mine = [each for each in self._mine(feature, entity) if each["feature"] == feature]
        included = [each for each in mine if each["kind"] != "overage"]
        return {
            "included": sum(each["amount"] for each in included if each["amount"] is not None),
            "used": sum(each["used"] for each in included),
            "held": sum(each["held"] for each in included),
            "remaining": self._remaining(feature, entity),
            "overage_used": sum(each["used"] for each in mine if each["kind"] == "overage" and not self._repaid(each))
            + sum(max(0, each["used"] - self._repaid(each)) for each in mine if self._repaid(each)),
            "minimum": self.minimums.get(feature, 0) if mine else 0,
        }

    def _remaining(self, feature: str, entity: str) -> int | None:
        """Units that can be used without overage; None where there is no end of them."""
        total = 0
        for pool, cost in [(feature, 1), *self.pools.get(feature, ())]:
            held = [each for each in self._mine(pool, entity) if each["feature"] == pool]
            included = [each for each in held if each["kind"] != "overage"]
            if any(each["amount"] is None for each in included) or (held and cost == 0):
                return None
            left = sum(map(self._left, included))
            for each in held:
                if self.grants[each["grant"]]["source"] == "credit_min":
                    left += max(0, self._repaid(each) - each["used"] - each["held"])
            above = self.above(pool, entity)
            left = left if above is None else min(left, above)
            total += left // cost if cost else 0
        return total

    def above(self, feature: str, entity: str = "") -> int | None:
        """How much can be drawn until the balance is at its minimum: an entity's own, and overage, are not part of it.

        None where there is no minimum, or no end.
        """
        if feature not in self.minimums:
            return None
        minimum = self.minimums[feature]
        own = balance = 0
        for each in self._mine(feature, entity):
            if each["feature"] != feature:
                continue
            if self.grants[each["grant"]]["source"] == "credit_min":
                balance += self._repaid(each) - each["used"] - each["held"]
            elif each["kind"] == "overage" and minimum > 0:
                continue
            elif each["amount"] is None:
                return None
            elif each["entity"] or each["kind"] == "overage":
                own += self._left(each)
            else:
                balance += self._left(each)
        return own + max(0, balance - minimum)

    def _repaid(self, bucket: Row) -> int:
        return int(self.grants[bucket["grant"]].get("repaid", 0))

    def live(self, feature: str, entity: str = "") -> list[Row]:
        """The buckets that a use of the feature may draw from."""
        return self._mine(feature, entity)

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
            "own": None,
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
        if grant["amount"] is not None and grant["kind"] == "grant" and grant["debt"] == "carry":
            owed = min(grant["owed"] + self._debt(grant, last), grant["amount"])
        grant["owed"] = 0
        if grant["cap"] is not None and last["amount"] is not None:
            self._roll(grant, last)
        self._open(grant, last["number"] + 1, owed)

    def _debt(self, grant: Row, last: Row) -> int:
        """What the overage of the closing period has used, where that is owed."""
        return sum(
            each["used"]
            for each in self.buckets.values()
            if each["kind"] == "overage"
            and each["end"] == last["end"]
            and (each["feature"], each["entity"]) == (grant["feature"], grant["entity"])
            and not self.grants[each["grant"]]["ended"]
            and self.grants[each["grant"]]["beside"] == grant["beside"]
        )

    def _roll(self, grant: Row, last: Row) -> None:
        life = grant["life"]
        until = NEVER if life is None else grant["rhythm"].start(last["number"] + 1 + life)
        left = self._left_of_plan(last, self.now - 1)
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
                break
            min(alive, key=lambda each: (each["end"], each["number"]))["amount"] -= 1
        for each in self.buckets.values():
            # What can never be drawn of again, and never expires, is put away.
            spent = each["grant"] == grant["id"] and each["kind"] == "rollover" and each["end"] == NEVER
            if spent and each["closed_at"] == NEVER and not each["held"] and self._left(each) == 0:
                each["closed_at"] = self.now

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
        mine = [
            each
            for each in self.buckets.values()
            if each["feature"] in features
            and each["entity"] in ("", entity)
            and self._is_live(each)
            and not self._is_idle(each)
        ]
        return [seen for each in mine if (seen := self._seen(each, mine)) is not None]

    def _override(self, bucket: Row, at: int) -> Row | None:
        """The override of what a plan gives, if this is a bucket of it."""
        found = self.overrides.get(bucket["feature"])
        of_plan = self.grants[bucket["grant"]]["source"] in ("plan", "carry")
        return found if of_plan and found is not None and found["since"] <= at < found["until"] else None

    def _seen(self, bucket: Row, mine: list[Row]) -> Row | None:
        """A bucket as an override wants it: all that the plan gives together is what that says."""
        override = self._override(bucket, self.now)
        if override is None:
            return bucket
        if bucket["kind"] == "overage":
            return None if override["amount"] == 0 else bucket
        grant = self.grants[bucket["grant"]]
        taken = bucket["used"] + bucket["held"]
        lose_at = min(bucket["lose_at"], override["until"])
        if grant["source"] != "plan" or bucket["kind"] == "rollover":
            return {**bucket, "amount": taken, "lose_at": lose_at}
        others = [each for each in mine if each is not bucket and each["kind"] != "overage"]
        rest = sum(each["used"] + each["held"] for each in others if self._override(each, self.now) is not None)
        amount = None if override["amount"] is None else max(taken, override["amount"] - rest)
        return {**bucket, "amount": amount, "lose_at": lose_at}

    def _left_of_plan(self, bucket: Row, at: int) -> int:
        """What is left of what the plan itself gives, or of what is included instead if that is less."""
        override = self._override(bucket, at)
        if override is None or override["amount"] is None or bucket["amount"] is None:
            return self._left(bucket)
        return max(0, int(min(bucket["amount"], override["amount"]) - bucket["used"] - bucket["held"]))

    def _sink(self, bucket: Row) -> None:
        """An overdraft that became smaller than what is drawn of it shrinks as that comes back."""
        grant = self.grants[bucket["grant"]]
        if grant["source"] == "credit_min":
            bucket["amount"] = min(bucket["amount"], max(grant["amount"], bucket["used"] + bucket["held"]))

    def _is_idle(self, bucket: Row) -> bool:
        """A minimum that allows no overdraft, and never did to any purpose."""
        grant = self.grants[bucket["grant"]]
        return grant["source"] == "credit_min" and not (grant["amount"] or bucket["used"] or bucket["held"])

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
            bucket["start"] if bucket["kind"] == "rollover" else grant["effective_at"],
            bucket.get("tie", (grant["seq"], bucket["id"])),
        )

    def _take(self, unit: Iterable[tuple[str, int]], entry: str, *, used: int = 0, held: int = 0) -> None:
        for bucket, amount in unit:
            self._move(bucket, entry, used=used * amount, held=held * amount)

    def _move(self, bucket: str, entry: str, *, used: int = 0, held: int = 0, event: str = "") -> None:
        if used or held:
            row = self.buckets[bucket]
            row["used"] += used
            row["held"] += held
            if row["amount"] is not None:
                # An override lets more be used than the plan includes; what comes back never makes that more.
                own = row["amount"] if row["own"] is None else row["own"]
                row["amount"] = max(own, row["used"] + row["held"])
                row["own"] = own if row["amount"] > own else None
            self._sink(row)
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
