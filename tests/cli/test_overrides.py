"""`overrides` as processes: what they print, and what they leave."""

from __future__ import annotations

from tests.cli.stand import Stand


def test_overrides_by_hand(stand: Stand) -> None:
    """Set once under a key, listed, and removed; a second removal finds none."""
    arguments = ("overrides", "set", "ann", "projects", "3", "--until", "30d", "--reason", "a pilot", "--key", "k")
    told = stand.run(*arguments, "--json")
    assert ("projects", 3, "a pilot") == tuple(told.json[each] for each in ("feature", "amount", "reason"))
    assert told.err.startswith("3 of projects for ann instead of what plans include, until 20")
    assert f"{told.json['id']}\n" == stand.run(*arguments).out
    listed = stand.run("overrides", "list", "ann").out
    assert listed.startswith("projects: 3 until 20")
    assert listed.endswith(" (a pilot)\n")
    assert told.json["id"] in stand.run("overrides", "remove", "ann", "projects").out
    assert "there is none\n" == stand.run("overrides", "remove", "ann", "projects").out
    assert "no overrides\n" == stand.run("overrides", "list", "ann").out
    actions = [each.action for each in stand.billing.audit("ann").items]
    assert ["override.removed", "override.set"] == actions


def test_limits_by_hand(stand: Stand) -> None:
    """No plan here has a limit, so none can be overridden; what has no override loses none."""
    told = stand.run("overrides", "set-limit", "ann", "projects", "3", "--per", "hour", "--property", "a=1", code=2)
    assert told.err.startswith("at most 3 per hour of projects for ann instead of what plans allow")
    assert "must count what a limit of a plan counts" in told.err
    assert "there are none\n" == stand.run("overrides", "remove-limits", "ann", "projects").out
    assert stand.run("overrides", "list", "ann", "--json").json == {"overrides": [], "limits": []}


def test_what_cannot_be_set(stand: Stand) -> None:
    """No limit is a word; what is no amount changes nothing."""
    assert stand.run("overrides", "set", "ann", "projects", "unlimited", "--json").json["amount"] is None
    assert "must be a whole number" in stand.run("overrides", "set", "ann", "projects", "many", code=2).err
    assert "amount: must be between" in stand.run("overrides", "set", "ann", "projects", "--", "-1", code=2).err
    assert "FEATURE_NOT_FOUND" in stand.run("overrides", "set", "ann", "projectz", "3", code=1).err
    assert 1 == len(stand.billing.audit("ann").items)
