"""`grant`, `revoke` and `credit-min` as processes: what they print, and what they leave."""

from __future__ import annotations

import getpass
import json
from datetime import UTC, datetime, timedelta

from kernia_billing import Reference
from kernia_billing.ports.actor import actor_of
from tests.cli.stand import Stand


def test_grants_by_hand(stand: Stand) -> None:
    """Given once under a key, ended by its id; the audit log says who did it and why."""
    arguments = ("grant", "ann", "projects", "3", "--expires", "30d", "--note", "outage of 3 March", "--key", "k:ann")
    told = stand.run(*arguments, "--json")
    given = told.json

    assert ("projects", 3) == (given["feature"], given["amount"])
    left = datetime.fromisoformat(given["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert told.err.startswith("3 of projects for ann, until 20")
    assert f"{given['id']}\n" == stand.run(*arguments).out
    assert 3 == stand.billing.balances("ann")["projects"].remaining
    assert given["id"] in stand.run("revoke", "ann", given["id"]).out
    assert "projects" not in stand.billing.balances("ann")

    ended, gave = stand.billing.audit("ann").items
    assert ("grant.revoked", "grant.given") == (ended.action, gave.action)
    assert {actor_of("cli", getpass.getuser())} == {ended.actor, gave.actor}
    assert gave.after is not None
    assert "outage of 3 March" == gave.after["note"]


def test_for_whom_and_until_when(stand: Stand) -> None:
    """An entity of an organization, until a day."""
    arguments = ("--organization", "--entity", "blue", "--expires", "2100-01-01", "--json")
    given = stand.run("grant", "acme", "projects", "3", *arguments).json

    assert "2100-01-01T00:00:00Z" == given["expires_at"]
    acme = Reference("acme", "organization")
    assert 3 == stand.billing.check(acme, "projects", entity="blue").remaining
    assert not stand.billing.check("acme", "projects", entity="blue")
    assert "GRANT_NOT_FOUND" in stand.run("revoke", "acme", given["id"], code=1).err
    assert given["id"] == stand.run("revoke", "acme", given["id"], "--organization", "--json").json["id"]


def test_what_cannot_be_given(stand: Stand) -> None:
    """One line, an exit code, and nothing is given."""
    told = json.loads(stand.run("grant", "ann", "projectz", "3", "--json", code=1).err.splitlines()[-1])
    assert "FEATURE_NOT_FOUND" == told["error"]["code"]
    assert "amount: must be between" in stand.run("grant", "ann", "projects", "0", code=2).err
    assert "must be a time" in stand.run("grant", "ann", "projects", "3", "--expires", "soon", code=2).err
    assert "not both" in stand.run("grant", "ann", "projects", "3", "--user", "--organization", code=2).err
    assert () == stand.billing.audit().items


def test_how_low_credits_may_get(stand: Stand) -> None:
    """A number below zero is no option, and the audit log says who set it; of what is no credits none is set."""
    told = stand.run("credit-min", "ann", "projects", "-50", "--note", "contract", code=2)
    assert "feature: must be credits" in told.err
    assert "minimum: must be an integer" not in told.err
    assert () == stand.billing.audit().items
