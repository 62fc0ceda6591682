"""SIGKILL anywhere in the life of a lease: what was acknowledged is stored, once, and the rest comes back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from kernia_billing import Billing
from kernia_billing._blocking.leasing import Lease
from tests.crashes.copies import Copy
from tests.crashes.deaths import Sample, chosen
from tests.crashes.stage import Stage
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.house import PRO, open_billing, watched_billing
from tests.harness.processes import RemoteStripe, alone, result_of

TTL = 600
SIZE = 20


@frozen
class Notes:
    """What a process wrote down before it died: how much was acknowledged, and how much was being stored."""

    acknowledged: int
    stored_or_not: int


class Journal:
    """Survives the process that writes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stored = 0

    def begin(self, lease: Lease) -> None:
        """Everything that was used is about to be stored."""
        self._stored += lease.unflushed
        self._write(f"begin {self._stored}")

    def end(self) -> None:
        """It is stored."""
        self._write(f"end {self._stored}")

    def _write(self, line: str) -> None:
        self._file.write(f"{line}\n".encode())
        self._file.flush()


def _read(path: Path) -> Notes:
    lines = [line.split() for line in path.read_text().splitlines()]
    begun = [int(number) for word, number in lines if word == "begin"]
    ended = [int(number) for word, number in lines if word == "end"]
    return Notes(max(ended, default=0), max(begun, default=0))


def _live(billing: Billing, journal: Journal) -> None:
    """A lease that is flushed, runs out, is renewed with nothing used, and ends; nothing more than once."""
    with billing.lease("ann", "messages", SIZE, ttl=TTL) as lease:
        for _ in range(3):
            lease.consume(2)
        journal.begin(lease)
        lease.flush()
        journal.end()
        lease.consume(SIZE)
        journal.begin(lease)
        lease.consume(3)
        journal.end()
        journal.begin(lease)
        lease.settle()
        journal.end()
    with billing.lease("ann", "messages", SIZE, ttl=TTL):
        pass


def _work(path: Path, url: str, deadly: int | None, remote: RemoteStripe) -> list[str]:
    with path.open("wb") as file, watched_billing(url, remote, deadly) as (billing, passed):
        _live(billing, Journal(file))
        return list(passed)


def test_what_was_acknowledged_is_stored_once(stage: Stage, sample: Sample, tmp_path: Path) -> None:
    """Whatever boundary a process dies at: the flushes that it heard of are there, and one that it did not, or not.

    What was not stored comes back when the lease lapses, and another process uses the whole rest.
    """
    stage.open()
    with open_billing(stage.url, stage.stripe) as billing:
        stage.sell(billing, "ann", told=True)
    copy = Copy(stage.engine)
    path = tmp_path / "journal"
    boundaries = result_of(stage.stripe, partial(_work, path, stage.url, None))
    assert Notes(6 + SIZE + 3, 6 + SIZE + 3) == _read(path)
    committed = 0
    for deadly in chosen(range(1, len(boundaries) + 1), None if sample is None else 4 * sample):
        copy.put_back()
        assert alone(stage.stripe, partial(_work, path, stage.url, deadly)).killed
        count("kills")
        notes = _read(path)
        tables = coherent(stage.engine)
        used = tables.used("ann")
        assert used == sum(row["quantity"] for row in tables.of("ann", tables.events))
        assert used in (notes.acknowledged, notes.stored_or_not), boundaries[deadly - 1]
        committed += used > notes.acknowledged
        stage.stripe.clock.move_to(stage.stripe.clock.seconds() + TTL + 1)
        with open_billing(stage.url, stage.stripe) as billing, billing.lease("ann", "messages", PRO) as lease:
            assert PRO - used == lease.left
            lease.consume(PRO - used)
        assert PRO == coherent(stage.engine).used("ann")
    assert committed or sample is not None
