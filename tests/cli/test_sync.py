"""`kernia-billing sync all` over many objects: killed and gone on with, and what it tells on the way."""

from __future__ import annotations

import json
import os
import pty
import signal
import time

import pytest

from tests.cli.running import PATIENCE
from tests.cli.stand import Stand
from tests.harness.counts import count
from tests.webhooks.shop import rows_of


def fill(stand: Stand, number: int) -> None:
    """Let Stripe have so many products, each with a price."""
    for each in range(number // 2):
        stand.stripe.add_price(f"price_{each:06}", 1_000, product=stand.stripe.add_product(f"Product {each}"))


@pytest.mark.parametrize("objects", [1_000, pytest.param(20_000, marks=pytest.mark.full)])
def test_it_goes_on_where_it_was_killed(stand: Stand, objects: int) -> None:
    """SIGKILL in the middle: the next run goes on from the last page, and ends with everything and a summary."""
    fill(stand, objects)
    began = time.monotonic()
    process = stand.start("sync", "all")
    assert process.stderr is not None
    process.stderr.readline()  # the first page is stored
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    asked = len(stand.stripe.requests)
    assert process.returncode == -signal.SIGKILL

    ended = stand.run("sync", "all")
    assert ended.out.startswith("went on where an earlier run was cut short\n")
    rows = rows_of(stand.url)
    mine = [row for row in rows["price"] if row["id"] in {f"price_{each:06}" for each in range(objects // 2)}]
    assert len(mine) == objects // 2
    seen = {line.partition(": ")[0]: line for line in ended.out.splitlines()[1:]}
    assert f"{len(rows['price'])} seen" in seen["price"]
    assert f"{len(rows['product'])} seen" in seen["product"]
    assert "product: " in ended.err
    lists = len(stand.stripe.requests) - asked
    assert lists <= objects // 100 + 20
    assert stand.run("sync", "all", "--json").json["kinds"]["price"]["unchanged"] == len(rows["price"])
    count("objects that `sync all` imported after a kill", objects)
    count("seconds that it took, with the kill", round(time.monotonic() - began))


def test_a_terminal_shows_bars(stand: Stand) -> None:
    """On a terminal progress is drawn and the summary follows; the answer on stdout is the same."""
    fill(stand, 40)
    ours, theirs = pty.openpty()
    process = stand.start_on(theirs, "sync", "catalog", "--json", TERM="xterm")
    os.close(theirs)
    out, _ = process.communicate(timeout=PATIENCE)
    drawn = b""
    while chunk := _read(ours):
        drawn += chunk
    os.close(ours)

    assert process.returncode == 0
    assert json.loads(out)["kinds"]["product"]["seen"] >= 20
    assert b"\x1b[" in drawn
    assert b"product" in drawn


def _read(terminal: int) -> bytes:
    """What was drawn since; nothing at the end, which Linux tells of by an error."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""
