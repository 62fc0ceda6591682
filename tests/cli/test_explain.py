"""`explain` and `usage` as processes: in words, as JSON, and as files for other systems."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

from kernia_billing import Use
from tests.cli.stand import Stand


def test_an_answer_is_explained(stand: Stand) -> None:
    """What is given, what is used and what was answered before, in words or as JSON; what is wrong is said."""
    stand.billing.grant("u", "projects", 5, note="a present")
    use = stand.billing.track("u", "projects", 2, idempotency_key="project:1")
    before = datetime.now(UTC)
    stand.billing.track("u", "projects", 3)

    told = stand.run("explain", "u", "projects").out
    assert told.startswith("denied: insufficient_balance. 5 of 5 used. A grant by hand gave 5 on ")
    assert f"{use.event_id} (project:1)" in told
    then = stand.run("explain", "u", "projects", "--at", before.isoformat(), "--json").json
    assert then["text"].startswith("allowed: ok. 2 of 5 used.")
    assert (then["decision"]["allowed"], then["decision"]["balance"]["used"]) == (True, 2)
    assert [each["included"] for each in then["grants"]] == [5]
    assert [each["id"] for each in then["uses"]] == [use.event_id]
    assert then["unknown"] == []
    assert "not_entitled" in stand.run("explain", "u", "projects", "--organization").out
    late = (before + timedelta(days=1)).isoformat()
    assert "lies in the future" in stand.run("explain", "u", "projects", "--at", late, code=2).err
    assert "FEATURE_NOT_FOUND" in stand.run("explain", "u", "nothing", code=1).err


def test_usage_is_listed_and_added_up(stand: Stand) -> None:
    """Uses as a table and as JSON, newest first; sums by the hour, day and month, and by property."""
    for number in range(3):
        stand.billing.track("u", "projects", number + 1, properties={"model": f"m{number % 2}"})

    rows = stand.run("usage", "list", "u", "--json").rows
    assert [each["quantity"] for each in rows] == [3, 2, 1]
    assert len(stand.run("usage", "list", "u", "--feature", "projects", "--limit", "2").out.splitlines()) == 3
    assert stand.run("usage", "list", "nobody").err == "no uses\n"
    asked = ("usage", "list", "u", "--property", "model=m0", "--json")
    assert [each["quantity"] for each in stand.run(*asked).rows] == [3, 1]
    points = stand.run("usage", "series", "u", "projects", "--bin", "month", "--json").rows
    assert sum(each["quantity"] for each in points) == 6
    start = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    grouped = stand.run(
        "usage", "series", "u", "projects", "--from", start, "--group-by", "model", "--tz", "Asia/Kathmandu", "--json"
    ).rows
    totals = {name: sum(each["quantity"] for each in grouped if each["group"] == name) for name in ("m0", "m1")}
    assert totals == {"m0": 4, "m1": 2}
    assert "must be the name of a time zone" in stand.run("usage", "series", "u", "projects", "--tz", "x", code=2).err


def test_the_ledger_is_listed(stand: Stand) -> None:
    """What moved, narrowed by what gave it, why it moved and properties, whose values are texts where JSON is none."""
    stand.billing.grant("u", "projects", 5)
    stand.billing.track("u", "projects", 2, properties={"model": "small", "n": 7, "name": "7"})
    stand.billing.track("u", "projects", 1, properties={"model": "true"})

    rows = stand.run("ledger", "u", "--source", "manual", "--entry", "use", "--json").rows
    assert [(each["amount"], each["source"], each["used_after"]) for each in rows] == [
        (1, "manual", 3),
        (2, "manual", 2),
    ]
    for count, told in (
        (1, "model=small"),
        (1, "n=7"),
        (0, "n=8"),
        (1, 'name="7"'),
        (0, "name=7"),
        (1, 'model="true"'),
    ):
        found = stand.run("ledger", "u", "--entry", "use", "--property", told, "--feature", "projects", "--json").rows
        assert len(found) == count
    both = ("--property", "n=7", "--property", "model=large")
    assert stand.run("ledger", "u", *both).err == "nothing moved\n"
    assert "such as model=small" in stand.run("ledger", "u", "--property", "model", code=2).err
    assert len(stand.run("usage", "export", "u", "--property", "n=7", "--json").rows) == 1


def test_usage_is_exported(stand: Stand) -> None:
    """Everything that is recorded, of one reference or of all, as a table or as JSON a line, page after page."""
    stand.billing.grant("u", "projects", 5)
    properties: dict[str, str | int | bool] = {"model": 'a,"b"\n', "paid": True, "n": 1}
    use = stand.billing.track("u", "projects", 3, idempotency_key="k1", entity="e", properties=properties)
    stand.billing.refund("u", use.event_id, 1)
    stand.billing.track_many([_use(number) for number in range(999)])
    stand.billing.track_many([_use(number) for number in range(999, 1_200)])

    rows = list(csv.DictReader(io.StringIO(stand.run("usage", "export").out)))
    assert len(rows) == 1_202
    first, second = [row for row in rows if row["reference"] == "u"]
    assert (first["id"], first["quantity"], first["funded"], first["refunded"]) == (use.event_id, "3", "3", "1")
    assert (first["customer_type"], first["entity"], first["idempotency_key"]) == ("user", "e", "k1")
    assert json.loads(first["properties"]) == properties
    assert (second["mode"], second["quantity"], second["refund_of"]) == ("refund", "-1", use.event_id)
    others = [row["idempotency_key"] for row in rows if row["reference"] == "v"]
    assert others == [f"key:{number}" for number in range(1_200)]

    lines = stand.run("usage", "export", "u", "--format", "jsonl").rows
    assert [each["id"] for each in lines] == [first["id"], second["id"]]
    assert lines[0]["properties"] == properties
    assert lines[0]["reference"] == {"id": "u", "type": "user"}
    assert len(stand.run("usage", "export", "v", "--json").rows) == 1_200
    empty = stand.run("usage", "export", "--to", "2020-01-01").out
    assert empty == ",".join(rows[0]) + "\n"


def _use(number: int) -> Use:
    return Use("v", "projects", idempotency_key=f"key:{number}")
