"""`kernia-billing worker` is told to stop at any moment: it ends soon, loses nothing, and leaves nothing locked."""

from __future__ import annotations

import json
import os
import random
import select
import signal
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen

import pytest

from kernia_billing.domain.instants import FOREVER, MINUTE
from tests.cli.running import PATIENCE
from tests.cli.stand import Stand, standing
from tests.harness.counts import count
from tests.webhooks.shop import Rows, rows_of


def waiting(rows: Rows) -> int:
    """How many events nobody has worked on, or told the hooks of."""
    unsent = sum(row["sent_at"] == FOREVER for row in rows["outbox"])
    received = sum(row["status"] == "received" for row in rows["webhook_event"])
    return int(unsent + received)


def assert_nothing_is_held(rows: Rows, now: int) -> None:
    """No lease, no event that is being worked on, nothing that was taken and not given back."""
    assert [row["name"] for row in rows["lease"] if row["holder"]] == []
    assert [row["event_id"] for row in rows["webhook_event"] if row["status"] == "processing"] == []
    assert [row["id"] for row in rows["outbox"] if row["sent_at"] == FOREVER and row["lease_until"] > now] == []


def end_of(stand: Stand, workers: Sequence[Popen[str]]) -> None:
    """Wait for the first one to end, end the others too, and see that all did so in peace."""
    for each in workers:
        assert each.stderr is not None
        assert each.stderr.readline() == "Working. Ctrl-C ends it.\n"
    endings = [os.pidfd_open(each.pid) for each in workers]
    assert select.select(endings, [], [], PATIENCE)[0]
    for worker, ending in zip(workers, endings, strict=True):
        stand.end(worker)
        os.close(ending)
    for worker in workers:
        with worker:
            assert worker.stderr is not None
            # What follows the first line may have been read with it, which `communicate` would not see.
            assert worker.stderr.read() == "Stopped.\n"
        assert worker.returncode == 0


@pytest.mark.parametrize("terms", [4, pytest.param(200, marks=pytest.mark.full)])
@pytest.mark.parametrize("facade", ["Billing", "AsyncBilling"])
def test_it_may_be_stopped_at_any_moment(stand: Stand, terms: int, facade: str) -> None:
    """SIGTERM at random points of the work of two workers at once: exit code 0, and every event is handled once."""
    asynchronous = {"SHOP_ASYNC": "1", "SHOP_DATABASE": stand.url.replace("sqlite:", "sqlite+aiosqlite:")}
    chance = random.Random(20260101)
    posted = 0
    for _ in range(terms // 2):
        while waiting(rows_of(stand.url)) < 40:
            for _ in range(40):
                stand.post(posted)
                posted += 1
        moments = [str(round(chance.uniform(0.001, 0.4), 4)) for _ in range(2)]
        options = asynchronous if facade == "AsyncBilling" else {}
        end_of(stand, [stand.start("worker", SHOP_TERM_AFTER=moment, **options) for moment in moments])
        assert_nothing_is_held(rows_of(stand.url), stand.now())
        count("workers ended by SIGTERM", 2)

    stand.run("jobs", "run")
    while waiting(rows_of(stand.url)):
        stand.run("jobs", "run")
    rows = rows_of(stand.url)
    assert {row["status"] for row in rows["webhook_event"]} == {"processed"}
    heard = stand.heard()
    assert len(heard) == len(set(heard)) == posted == len(rows["webhook_event"])


def test_it_tells_what_it_does(stand: Stand) -> None:
    """With --json a line for every run that did something; two signals end it at once."""
    for number in range(5):
        stand.post(number)
    worker = stand.start("worker", "--json")
    assert worker.stdout is not None
    assert worker.stderr is not None
    told = json.loads(worker.stdout.readline())
    assert (told["counts"]["webhooks"], told["failed"]) == (5, {})
    os.kill(worker.pid, signal.SIGINT)
    assert worker.communicate(timeout=PATIENCE)[1] == "Working. Ctrl-C ends it.\nStopped.\n"
    assert worker.returncode == 0


def test_what_hangs_is_cut_off(stand: Stand) -> None:
    """A hook that never returns holds a worker for as long as it has to drain; another one takes the event up."""
    stand.post(1)
    worker = stand.start("worker", "--drain", "0.5", SHOP_HANGS="1")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "hanging\n"
    worker.terminate()
    _, err = worker.communicate(timeout=PATIENCE)
    assert (worker.returncode, err.splitlines()[-1]) == (
        1,
        "Cut off: what was under way is taken up by the next worker.",
    )
    rows = rows_of(stand.url)
    assert [row["name"] for row in rows["lease"] if row["holder"]] == []
    (event,) = [row for row in rows["outbox"] if row["sent_at"] == FOREVER]
    assert event["lease_until"] - stand.now() <= 5 * MINUTE


@pytest.mark.postgresql
def test_on_postgresql(make_database: object, tmp_path: Path) -> None:
    """The same on a server, with an engine that locks rows."""
    folder = tmp_path / "app"
    folder.mkdir()
    with standing(make_database("postgresql"), folder) as stand:  # type: ignore[operator]  # the fixture is an object
        stand.run("db", "upgrade", KERNIA_BILLING_DATABASE=stand.url)
        for number in range(60):
            stand.post(number)
        end_of(stand, [stand.start("worker", SHOP_TERM_AFTER="0.05") for _ in range(2)])
        assert_nothing_is_held(rows_of(stand.url), stand.now())
        while waiting(rows_of(stand.url)):
            stand.run("jobs", "run")
        assert len(stand.heard()) == len(set(stand.heard())) == 60
