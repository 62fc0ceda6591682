"""What must be true of the billing tables at any time, read by plain SQL that shares nothing with the library."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Engine, text

from kernia_billing.testing import StripeSimulator

Row = Mapping[str, Any]
Rows = Sequence[Row]
_TABLES = (
    "customer",
    "plan",
    "plan_feature",
    "entitlement",
    "bucket",
    "usage_event",
    "ledger",
    "hold",
    "hold_line",
    "horizon",
    "limit_window",
    "subscription",
    "checkout_session",
    "webhook_event",
    "stripe_object",
    "outbox",
    "intent",
)
_MAX = 2**53 - 1
FOREVER = _MAX
ENDED = ("canceled", "incomplete_expired")
USES = ("use", "settle")
RETURNS = ("return", "refund")


class Tables:
    """Every row of the billing tables, as it was at one moment."""

    def __init__(self, engine: Engine) -> None:
        with _Snapshot(engine) as connection:
            rows = {name: _rows(connection, name) for name in _TABLES}
        self.customers = rows["customer"]
        self.plans = rows["plan"]
        self.plan_features = rows["plan_feature"]
        self.entitlements = rows["entitlement"]
        self.buckets = rows["bucket"]
        self.events = rows["usage_event"]
        self.ledger = sorted(rows["ledger"], key=lambda row: (row["customer_id"], row["seq"], row["line"]))
        self.holds = rows["hold"]
        self.hold_lines = rows["hold_line"]
        self.windows = rows["limit_window"]
        self.horizons = {row["customer_id"]: row["seq"] for row in rows["horizon"]}
        """Up to which number of its ledger rows of a customer may have been thrown away."""
        self.subscriptions = rows["subscription"]
        self.checkouts = rows["checkout_session"]
        self.inbox = rows["webhook_event"]
        self.objects = rows["stripe_object"]
        self.outbox = sorted(rows["outbox"], key=lambda row: row["position"])
        self.intents = rows["intent"]

    def customer(self, reference: str) -> Row | None:
        """The customer of a reference."""
        return next((row for row in self.customers if row["reference_id"] == reference), None)

    def of(self, reference: str, rows: Rows) -> list[Row]:
        """Those of `rows` that belong to a reference."""
        customer = self.customer(reference)
        return [] if customer is None else [row for row in rows if row["customer_id"] == customer["id"]]

    def used(self, reference: str, feature: str = "messages") -> int:
        """What all buckets of a feature have used."""
        return sum(row["used"] for row in self.of(reference, self.buckets) if row["feature_key"] == feature)

    def funded(self, reference: str, feature: str = "messages") -> int:
        """What all events of a feature drew, less what was returned."""
        events = [row for row in self.of(reference, self.events) if row["feature_key"] == feature]
        return sum(-row["funded"] if _gives_back(row) else row["funded"] for row in events)

    def moved(self, reference: str) -> int:
        """The sum of the ledger of a reference."""
        return sum(row["amount"] for row in self.of(reference, self.ledger))


class _Snapshot:
    """A connection that sees one moment, whatever is written meanwhile."""

    def __init__(self, engine: Engine) -> None:
        level = {} if engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._connection = engine.connect().execution_options(**level)

    def __enter__(self) -> Connection:
        if self._connection.dialect.name == "sqlite":
            self._connection.exec_driver_sql("BEGIN")
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.rollback()
        self._connection.close()


def _rows(connection: Connection, name: str) -> list[Row]:
    found = connection.execute(text(f"SELECT * FROM billing_{name}")).mappings().all()
    return [{key: _plain(value) for key, value in row.items()} for row in found]


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def coherent(engine: Engine, simulator: StripeSimulator | None = None) -> Tables:
    """Fail if any row contradicts another; with the simulator also where our copy contradicts Stripe."""
    tables = Tables(engine)
    breaches = [
        *_integers(tables),
        *_customers(tables),
        *_grants(tables),
        *_buckets(tables),
        *_ledger(tables),
        *_holds(tables),
        *_events(tables),
        *_subscriptions(tables),
        *_sending(tables),
        *(_stripe(tables, simulator) if simulator is not None else ()),
    ]
    assert not breaches, "\n".join(breaches)
    return tables


def _repeated(rows: Rows, *columns: str) -> list[tuple[Any, ...]]:
    keys = Counter(tuple(row[column] for column in columns) for row in rows)
    return [key for key, times in keys.items() if times > 1]


def _unique(what: str, rows: Rows, *columns: str) -> Iterator[str]:
    for key in _repeated(rows, *columns):
        yield f"{what} {key} is there twice"


def _orphans(what: str, rows: Rows, column: str, owners: Rows) -> Iterator[str]:
    known = {row["id"] for row in owners}
    for row in rows:
        if row[column] not in known:
            yield f"{what} {row} has no {column}"


def _integers(tables: Tables) -> Iterator[str]:
    """SQLite turns a number that is too great into a float, and others are kept as text."""
    counted = {"amount", "used", "held", "ledger_seq", "seq", "line", "used_after", "quantity", "funded", "unfunded"}
    counted |= {"held_after", "units", "included_after", "refunded", "owed", "left_units"}
    books = (tables.customers, tables.entitlements, tables.buckets, tables.events, tables.ledger)
    for rows in (*books, tables.holds, tables.hold_lines, tables.windows):
        for row in rows:
            for name in counted & row.keys():
                value = row[name]
                if value is not None and (type(value) is not int or abs(value) > _MAX):
                    yield f"{name} is {value!r} in {row}"


def _customers(tables: Tables) -> Iterator[str]:
    yield from _unique("customer", tables.customers, "customer_type", "reference_id")
    linked = [row for row in tables.customers if row["stripe_customer_id"] is not None]
    yield from _unique("Stripe customer", linked, "stripe_customer_id")
    for row in tables.customers:
        if not row["reference_id"]:
            yield f"a customer without a reference: {row}"
        if row["plan"] is not None and not any(each["plan"] == row["plan"] for each in _given(tables, row)):
            yield f"{row['reference_id']} has the plan {row['plan']} from no subscription"


def _given(tables: Tables, customer: Row) -> list[Row]:
    return [row for row in tables.subscriptions if row["customer_id"] == customer["id"] and not row["duplicate"]]


def _grants(tables: Tables) -> Iterator[str]:
    rows = tables.entitlements
    yield from _orphans("grant", rows, "customer_id", tables.customers)
    yield from _unique("grant", rows, "customer_id", "source_type", "source_id", "feature_key", "entity_id", "kind")
    sequence = {row["id"]: row["ledger_seq"] for row in tables.customers}
    for row in rows:
        if not 1 <= row["created_seq"] <= sequence.get(row["customer_id"], 0):
            yield f"a grant of the future: {row}"


def _buckets(tables: Tables) -> Iterator[str]:
    rows = tables.buckets
    grants = {row["id"]: row for row in tables.entitlements}
    yield from _orphans("bucket", rows, "entitlement_id", tables.entitlements)
    yield from _unique("bucket", rows, "entitlement_id", "period_no")
    for row in rows:
        grant = grants.get(row["entitlement_id"], row)
        if any(row[name] != grant[name] for name in ("customer_id", "feature_key", "entity_id")):
            yield f"a bucket that is not its grant's: {row}"
        if row["used"] < 0 or row["held"] < 0:
            yield f"a bucket below zero: {row}"
        if row["amount"] is not None and row["used"] + row["held"] > row["amount"]:
            yield f"a bucket that gave more than it had: {row}"
        if row["period_start"] >= row["period_end"]:
            yield f"a period that ends before it starts: {row}"
    open_ = [row for row in rows if row["closed_at"] == FOREVER]
    open_.sort(key=lambda row: (row["entitlement_id"], row["period_no"]))
    for one, other in pairwise(open_):
        if one["entitlement_id"] == other["entitlement_id"] and one["period_end"] > other["period_start"]:
            yield f"periods that overlap: {one} {other}"


def _ledger(tables: Tables) -> Iterator[str]:
    buckets = {row["id"]: row for row in tables.buckets}
    customers = {row["id"]: row for row in tables.customers}
    by_bucket: dict[str, list[Row]] = defaultdict(list)
    lines: dict[tuple[str, int], list[int]] = defaultdict(list)
    for row in tables.ledger:
        by_bucket[row["bucket_id"]].append(row)
        lines[row["customer_id"], row["seq"]].append(row["line"])
        bucket, customer = buckets.get(row["bucket_id"]), customers.get(row["customer_id"])
        if bucket is None and customer is not None and customer["id"] in tables.horizons:
            continue
        if bucket is None or customer is None or bucket["customer_id"] != row["customer_id"]:
            yield f"a line of no bucket of its customer: {row}"
        elif not 1 <= row["seq"] <= customer["ledger_seq"]:
            yield f"a line of the future: {row}"
        if not _may_move(row["entry"], row["amount"], row["held"]):
            yield f"a line that moves what it may not: {row}"
    for (customer_id, seq), numbers in lines.items():
        if sorted(numbers) != list(range(len(numbers))) and seq > tables.horizons.get(customer_id, 0):
            yield f"lines {numbers} of {customer_id} {seq} have a gap"
    for bucket in tables.buckets:
        yield from _history(bucket, by_bucket[bucket["id"]])


def _history(bucket: Row, lines: Rows) -> Iterator[str]:
    """A bucket's lines, in order, lead from nothing to what is used of it."""
    opened = [row for row in lines if row["entry"] in ("open", "roll")]
    if len(opened) != 1 or lines[0] is not opened[0]:
        yield f"a bucket that was opened {len(opened)} times: {bucket}"
    used = held = 0
    for row in lines:
        used, held = used + row["amount"], held + row["held"]
        if (row["used_after"], row["held_after"]) != (used, held):
            yield f"after {row} it is {used}, {held}"
    if (used, held) != (bucket["used"], bucket["held"]):
        yield f"the lines of {bucket} add up to {used}, {held}"
    if lines and lines[-1]["included_after"] != bucket["amount"]:
        yield f"another amount was noted of {bucket}"


def _may_move(entry: str, used: int, held: int) -> bool:
    """Whether a line of this kind may move so much to or from what is used, and what is held."""
    if entry in ("open", "roll"):
        return used >= 0 == held
    if entry in USES:
        return used > 0 and held == (-used if entry == "settle" else 0)
    if entry in RETURNS:
        return used < 0 == held
    if entry in ("hold", "release", "expire"):
        return used == 0 != held and (held > 0) == (entry == "hold")
    return entry == "carry" or used == held == 0


def _holds(tables: Tables) -> Iterator[str]:
    """What is held of buckets is what open holds hold."""
    yield from _orphans("hold", tables.holds, "customer_id", tables.customers)
    yield from _unique("hold", tables.holds, "customer_id", "idempotency_key")
    open_ = {row["id"]: row for row in tables.holds if row["status"] == "open"}
    held: Counter[str] = Counter()
    units: Counter[str] = Counter()
    for line in tables.hold_lines:
        held[line["bucket_id"]] += line["amount"]
        units[line["hold_id"]] += line["units"]
        if line["hold_id"] not in open_:
            yield f"a line of no open hold: {line}"
    for bucket in tables.buckets:
        if bucket["held"] != held.pop(bucket["id"], 0):
            yield f"holds do not hold what is held of {bucket}"
    if held:
        yield f"lines of no buckets: {held}"
    for row in tables.holds:
        if row["left_units"] < units[row["id"]] or (row["status"] != "open" and row["left_units"]):
            yield f"a hold whose lines are not what is left of it: {row}"
        if (row["status"] == "open") != (row["ended_at"] == FOREVER):
            yield f"a hold that does not know whether it has ended: {row}"


def _events(tables: Tables) -> Iterator[str]:
    yield from _orphans("event", tables.events, "customer_id", tables.customers)
    yield from _unique("event", tables.events, "customer_id", "seq")
    yield from _unique("key", tables.events, "customer_id", "idempotency_key")
    sequence = {row["id"]: row["ledger_seq"] for row in tables.customers}
    buckets = {row["id"]: row for row in tables.buckets}
    lines: dict[str, list[Row]] = defaultdict(list)
    for row in tables.ledger:
        if row["event_id"]:
            lines[row["event_id"]].append(row)
    for event in tables.events:
        is_whole = event["seq"] > tables.horizons.get(event["customer_id"], 0)
        yield from _event(event, lines.pop(event["id"], []), buckets, is_whole=is_whole)
        if not 1 <= event["seq"] <= sequence.get(event["customer_id"], 0):
            yield f"an event of the future: {event}"
    holds = {row["id"] for row in tables.holds}
    for event_id, left in lines.items():
        # Ended holds are thrown away before the periods that they were of.
        is_old = left[0]["customer_id"] in tables.horizons and not any(
            row["entry"] in (*USES, *RETURNS) for row in left
        )
        if event_id not in holds and not is_old and any(row["entry"] != "carry" for row in left):
            yield f"lines of an event that is not there: {event_id} {left}"


def _gives_back(event: Row) -> bool:
    return event["mode"] in RETURNS or (event["mode"] == "set" and event["quantity"] == -event["funded"])


def _event(event: Row, lines: Rows, buckets: Mapping[str, Row], *, is_whole: bool) -> Iterator[str]:
    returning = _gives_back(event)
    moves = [row for row in lines if row["entry"] in (RETURNS if returning else USES)]
    moved = sum(row["units"] for row in moves)
    if moved > event["funded"] or (moved < event["funded"] and event["mode"] != "refund" and is_whole):
        yield f"the lines of {event} move {moved}"
    if any((row["amount"] < 0) != returning for row in moves):
        yield f"lines that move the wrong way: {event} {moves}"
    if any((row["customer_id"], row["seq"]) != (event["customer_id"], event["seq"]) for row in lines):
        yield f"lines that do not stand with their event: {event} {lines}"
    asked = event["funded"] + event["unfunded"]
    if event["funded"] < 0 or event["unfunded"] < 0 or event["quantity"] != (-event["funded"] if returning else asked):
        yield f"an event whose parts are not its whole: {event}"
    if event["mode"] == "require" and event["unfunded"]:
        yield f"granted without cover: {event}"
    for row in moves if event["mode"] not in ("settle", "refund") else ():
        bucket = buckets.get(row["bucket_id"])
        if bucket is not None and not bucket["period_start"] <= event["received_at"] < bucket["period_end"]:
            yield f"counted in another period: {event} {bucket}"
    told = json.loads(event["result"])
    if (told["event_id"], told["funded"], told["unfunded"]) != (event["id"], event["funded"], event["unfunded"]):
        yield f"a receipt of something else: {event}"


def _subscriptions(tables: Tables) -> Iterator[str]:
    rows = tables.subscriptions
    yield from _orphans("subscription", rows, "customer_id", tables.customers)
    yield from _unique("subscription", rows, "stripe_subscription_id")
    versioned = [row for row in rows if row["plan_version_id"] is not None]
    yield from _orphans("subscription", versioned, "plan_version_id", tables.plans)
    live = [row for row in rows if row["status"] not in ENDED and row["plan"] is not None and not row["duplicate"]]
    yield from _unique("live subscription", live, "customer_id", "plan_group")
    yield from _orphans("plan feature", tables.plan_features, "plan_id", tables.plans)
    yield from _unique("plan", tables.plans, "plan_key", "version")
    yield from _orphans("checkout", tables.checkouts, "customer_id", tables.customers)
    open_ = [row for row in tables.checkouts if row["status"] == "open"]
    yield from _unique("open checkout", open_, "customer_id", "plan_group")
    for row in tables.objects:
        if row["applied_ticket"] > row["next_ticket"]:
            yield f"a ticket that was never given out: {row}"


def _sending(tables: Tables) -> Iterator[str]:
    """Everything taken in and everything that changed is told once, and in order."""
    yield from _unique("outgoing event", tables.outbox, "id")
    yield from _orphans(
        "outgoing event", [row for row in tables.outbox if row["customer_id"]], "customer_id", tables.customers
    )
    told = Counter(json.loads(row["payload"])["data"].get("id") for row in tables.outbox)
    for row in tables.inbox:
        if told[row["event_id"]] != (0 if row["note"] == "livemode mismatch" else 1):
            yield f"told {told[row['event_id']]} times: {row}"
    created = Counter(
        json.loads(row["payload"])["subscription"]["id"]
        for row in tables.outbox
        if row["topic"] == "subscription.created"
    )
    for row in tables.subscriptions:
        if created[row["id"]] != 1:
            yield f"its creation was told {created[row['id']]} times: {row}"
    waiting: set[str] = set()
    for row in tables.outbox:
        if row["customer_id"] and row["sent_at"] == FOREVER:
            waiting.add(row["customer_id"])
        elif row["customer_id"] in waiting:
            yield f"sent before what came earlier: {row}"
    yield from _orphans("intent", tables.intents, "customer_id", tables.customers)
    for row in tables.intents:
        if (row["state"] == "done") != (row["stripe_id"] is not None):
            yield f"an intent that does not know what became of it: {row}"


def _stripe(tables: Tables, simulator: StripeSimulator) -> Iterator[str]:
    """Our copy is Stripe's, and Stripe has nothing twice. Only where every event was delivered."""
    world = simulator.state.world
    there = [row for row in world.table("customer").rows.values() if not row.get("deleted")]
    customers = Counter(row["metadata"].get("referenceId") for row in there)
    yield from (f"Stripe has {times} customers of {who}" for who, times in customers.items() if times > 1)
    open_ = Counter(row["customer"] for row in world.table("checkout.session").rows.values() if row["status"] == "open")
    yield from (f"Stripe has {times} open pages of {who}" for who, times in open_.items() if times > 1)
    ours = {row["stripe_subscription_id"]: row["status"] for row in tables.subscriptions}
    theirs = {id: row["status"] for id, row in world.table("subscription").rows.items()}
    if ours != theirs:
        yield f"subscriptions: {ours} here, {theirs} at Stripe"
