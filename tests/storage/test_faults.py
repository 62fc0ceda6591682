"""Connections that are lost, at every moment that matters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from kernia_billing._drive import run_blocking
from kernia_billing.errors import ConfigError, TransactionConflict, Unavailable
from kernia_billing.ports.store import Transaction
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from tests.storage.conftest import BlockingPace
from tests.storage.test_joining import Host, call, host, use

__all__ = ["host"]


def _kill_others(engine: Engine, engine_name: str) -> None:
    """End every other connection to the database, as an administrator or a failover does."""
    with engine.connect() as connection:
        if engine_name == "postgresql":
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        else:
            others = connection.execute(
                text("SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")
            )
            for (number,) in others.fetchall():
                connection.execute(text(f"KILL {number}"))


@pytest.fixture
def kill(host: Host, engine_name: str) -> Callable[[], None]:
    """A function that ends every connection but its own; SQLite has none to end."""

    def end() -> None:
        if engine_name != "sqlite":
            _kill_others(host.engine, engine_name)

    return end


def test_lost_before(host: Host, kill: Callable[[], None]) -> None:
    """Connections that died in the pool are noticed, and neither reads nor writes fail for it."""
    for _ in range(3):
        call(host.store, None, use)
        host.seen()
        kill()
        assert run_blocking(host.store.read(lambda tx: tx.customers.by_id("cus:org_a"))) is not None
        assert run_blocking(
            host.store.read(lambda tx: tx.entitlements.of_reference(rows.customer().reference, None, 1))
        )[0]
        kill()
        call(host.store, None, use)


def test_lost_inside(host: Host, kill: Callable[[], None], engine_name: str) -> None:
    """Lost before the commit: nothing can be there, so the unit runs again, and counts once."""
    tries: list[str] = []

    def unit(tx: Transaction) -> str:
        tries.append(use(tx))
        if len(tries) == 1:
            kill()
        tx.settings.get("fact")
        return tries[-1]

    assert run_blocking(host.store.transaction(unit))
    assert (1 if engine_name == "sqlite" else 2) == len(tries)
    assert (0, 1) == host.seen()


def test_lost_at_commit(host: Host, kill: Callable[[], None], engine_name: str) -> None:
    """Lost at the commit: nobody can know what became of it, so it is said and not tried again."""
    if engine_name == "sqlite":
        return
    tries: list[str] = []

    def unit(tx: Transaction) -> str:
        tries.append(use(tx))
        kill()
        return "done"

    with pytest.raises(Unavailable) as raised:
        run_blocking(host.store.transaction(unit))
    assert raised.value.outcome_unknown
    assert 1 == len(tries)


def test_lost_in_host(host: Host, kill: Callable[[], None], engine_name: str) -> None:
    """The host's connection is the host's: it is told, and nothing of its transaction is there."""
    if engine_name == "sqlite":
        return

    def unit(tx: Transaction) -> str:
        use(tx)
        kill()
        return use(tx)

    with host.engine.connect() as connection, pytest.raises((Unavailable, TransactionConflict)):
        call(host.store, connection, unit)

    assert (0, 0) == host.seen()


def test_nobody_there(engine_name: str, tmp_path: Path) -> None:
    """A server that does not answer, and a folder that is not there."""
    url = {
        "sqlite": f"sqlite:///{tmp_path}/none/billing.sqlite",
        "postgresql": f"postgresql://nobody@/none?host={tmp_path}",
        # Not by a unix socket: PyMySQL forgets to close one that it could not connect.
        "mariadb": "mysql://nobody@127.0.0.1:1/none",
    }[engine_name]
    store = BlockingStore.open(url, pace=BlockingPace())
    with pytest.raises(Unavailable):
        run_blocking(store.read(lambda tx: tx.settings.get("fact")))
    with pytest.raises(Unavailable):
        run_blocking(store.transaction(lambda tx: tx.settings.add("fact", "1")))
    run_blocking(store.close())


def test_no_tables(make_database: Callable[[str], str], engine_name: str) -> None:
    """A server's database without tables says what to do; an embedded one gets them."""
    store = BlockingStore.open(make_database(engine_name), pace=BlockingPace())
    if engine_name == "sqlite":
        assert run_blocking(store.read(lambda tx: tx.settings.get("fact"))) is None
    else:
        with pytest.raises(ConfigError, match="db upgrade"):
            run_blocking(store.read(lambda tx: tx.settings.get("fact")))
    run_blocking(store.close())


_FORK = """
import os, sys
from kernia_billing._drive import run_blocking
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.testing.conformance import rows
from tests.storage.conftest import BlockingPace
store = BlockingStore.open(sys.argv[1], pace=BlockingPace())
def use():
    run_blocking(store.transaction(lambda tx: tx.customers.lock("cus:org_a")))
    return run_blocking(store.read(lambda tx: tx.customers.by_id("cus:org_a"))).ledger_seq
use()
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        for _ in range(20):
            use()
        run_blocking(store.close())
        os._exit(0)
    children.append(child)
for _ in range(20):
    use()
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
assert 81 == run_blocking(store.read(lambda tx: tx.customers.by_id("cus:org_a"))).ledger_seq
run_blocking(store.close())
"""


def test_fork(host: Host, database: str) -> None:
    """A forked process makes connections of its own and leaves its parent's alone."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK, database],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "" == done.stderr
    assert 0 == done.returncode


def test_engine_of_the_host(host: Host, database: str) -> None:
    """An engine of the host is used as it is: nothing is listened to, changed or disposed."""
    engine = create_engine(database)
    before = engine.pool
    store = BlockingStore.open(engine, pace=BlockingPace())
    call(store, None, use)
    assert run_blocking(store.read(lambda tx: tx.customers.by_id("cus:org_a"))) is not None
    with engine.connect() as connection:
        level = connection.get_isolation_level()
    run_blocking(store.close())

    assert level == engine.dialect.default_isolation_level
    assert before is engine.pool
    assert not engine._has_events
    engine.dispose()
