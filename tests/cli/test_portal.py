"""`portal configure` as a process."""

from __future__ import annotations

from tests.cli.stand import Stand


def test_the_portal_is_configured(stand: Stand) -> None:
    """The configuration is made once and changed then, its id is printed, and wrong options are refused."""
    made = stand.run("portal", "configure", "--no-change", "--headline", "The shop", "--json").json
    assert (made["cancel"], made["change"]) == (True, False)
    assert stand.run("portal", "configure", "--cancel", "no", "--no-change", "--yes").out == f"{made['id']}\n"
    assert "later" in stand.run("portal", "configure", "--cancel", "later", code=2).err
