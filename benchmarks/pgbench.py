"""pgbench, PostgreSQL's own load generator, with the statements that the library needs for the same work."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import psycopg
from attrs import field, frozen

from kernia_billing.storage import tables

from .drivers import postgresql_cursor, select_of_check
from .harness import Bench, Sample
from .shop import REFERENCE, Shop
from .writes import Writes

_FEW = 10


@frozen
class Pgbench:
    """So many clients that run one script over and over, with prepared statements."""

    program: Path
    shop: Shop
    script: str = field(repr=False)
    clients: int

    @classmethod
    def on(cls, bench: Bench, shop: Shop, script: str, clients: int) -> Pgbench:
        """The program that came with the server, on this shop."""
        return cls(bench.servers.postgresql_program("pgbench"), shop, script, clients)

    def __call__(self, seconds: float) -> Sample:
        """Work for so many whole seconds; a few transactions a client where it is less than half of one."""
        url = self.shop.engine.url
        length = {"transactions": _FEW} if seconds < 0.5 else {"time": max(1, round(seconds))}
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(self.script)
            script.flush()
            options = {
                "protocol": "prepared",
                "file": script.name,
                "client": self.clients,
                "jobs": min(self.clients, 2),
                "host": url.query["host"],
                "username": url.username,
            }
            flags = [f"--{name}={value}" for name, value in {**options, **length}.items()]
            command = [str(self.program), "--no-vacuum", *flags, str(url.database)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        transactions = int(_told(done.stdout, r"actually processed: (\d+)"))
        if int(_told(done.stdout, r"failed transactions: (\d+)")):
            raise RuntimeError(f"pgbench failed:\n{done.stdout}{done.stderr}")
        return Sample(transactions, transactions / float(_told(done.stdout, r"tps = ([\d.]+)")))


def _told(report: str, pattern: str) -> str:
    found = re.search(pattern, report)
    if found is None:
        raise RuntimeError(f"pgbench said:\n{report}")
    return found[1]


def checking(shop: Shop) -> str:
    """The SELECT of a check, for a customer at random."""
    select = select_of_check(shop)
    with postgresql_cursor(shop) as cursor:
        text = psycopg.ClientCursor(cursor.connection).mogrify(select.text.encode(), select.values)
    for_anyone = text.replace(f"'{select.asked}'", f"({_numbered(REFERENCE)})")
    return f"{_any_customer(shop)}{for_anyone};\n"


def tracking(shop: Shop, *, hot: bool = False) -> str:
    """The writes of a track, for a customer at random, or always the first one."""
    known = {
        "customer": _numbered(shop.seed.one(tables.customer)["id"]),
        "bucket": _numbered(shop.seed.one(tables.bucket)["id"]),
        "event": ":event",
        "key": "'auto_' || :event",
        "seq": ":seq",
        "used": ":used",
    }
    lock, draw, event, line = Writes.like(shop.seed).statements(known, lambda _name, value: _literal(value))
    chosen = "\\set n 1\n" if hot else _any_customer(shop)
    # The event's id comes with the sequence: no client would spend a round trip on it.
    lock += ", 'use_' || uuidv7() AS event"
    return f"{chosen}BEGIN;\n{lock} \\gset\n{draw} \\gset\n{event};\n{line};\nCOMMIT;\n"


def _any_customer(shop: Shop) -> str:
    return f"\\set n random(1, {shop.customers})\n"


def _numbered(name: str) -> str:
    return f"'{name}_' || :n"


def _literal(value: object) -> str:
    """An SQL literal in which pgbench sees no variable of its own."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\\", "\\\\").replace("'", "''").replace(":", "\\003a")
    return f"U&'{text}'"
