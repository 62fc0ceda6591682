"""`simulate-pricing` as a process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.cli.stand import Stand

PLANS = """
plans:
  - name: free
    features:
      projects: {kind: quantity, included: 2}
  - name: pro
    price_id: price_pro
    features:
      projects: {kind: quantity, included: 5}
"""


def test_other_plans_are_tried(stand: Stand) -> None:
    """Who would be denied what is told in words and as JSON; a file that is none is refused, and so is no range."""
    (stand.folder / "plans.yaml").write_text(PLANS)
    (stand.folder / "wrong.yaml").write_text("plans: 7")
    stand.billing.grant("u", "projects", 1)
    stand.billing.track("u", "projects", 4)
    start = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

    told = stand.run("simulate-pricing", "plans.yaml", "--from", start, "--json").json
    assert (told["uses"], told["denied_customers"], told["denied"]) == (1, 1, {"projects": 3})
    assert [each["reference"]["id"] for each in told["customers"]] == ["u"]
    words = stand.run("simulate-pricing", "plans.yaml", "--from", start).out
    assert "denied: 1 uses of 1 customers (3 projects)" in words
    assert "  u (no plan): denied 1 of 1 uses (3 projects)" in words
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert "after start" in stand.run("simulate-pricing", "plans.yaml", "--from", later, code=2).err
    assert "INVALID_CONFIGURATION" in stand.run("simulate-pricing", "wrong.yaml", "--from", start, code=2).err
    assert "--from" in stand.run("simulate-pricing", "plans.yaml", code=2).err
