"""A host's transaction meets another one: a typed error, nothing counted, and no row of the host's lost in silence."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, exc, select, text

from kernia_billing import Billing, TransactionConflict
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.host import HOSTS, Host, Opens, metadata, names, project, write
from tests.harness.house import new_engine, open_billing

_IMPATIENT: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 0.05},
    "postgresql": {"options": "-c lock_timeout=50"},
    "mariadb": {"init_command": "SET SESSION innodb_lock_wait_timeout = 1"},
}
"""How a host says that it does not wait long for locks."""
_HOLD = text("UPDATE billing_customer SET created_at = created_at WHERE reference_id = 'acme'")
_SHARED = project.update().where(project.c.id == 1)
_PATIENCE = 30.0


@pytest.fixture
def billing(engine: Engine, engine_url: str, stripe: StripeSimulator) -> Iterator[Billing]:
    """A `Billing` that has counted something, beside the host's table."""
    metadata.create_all(engine)
    with open_billing(engine_url, stripe) as billing:
        billing.track("acme", "messages", 1)
        yield billing


@contextmanager
def _host_engine(url: str, **options: Any) -> Generator[Engine]:
    engine = create_engine(url, **options)
    yield engine
    engine.dispose()


@contextmanager
def _holding(engine: Engine) -> Generator[Connection]:
    """Another transaction that holds the customer's row until the end of the block."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.execute(_HOLD)
        yield connection
        connection.rollback()


@pytest.mark.parametrize("before", ["nothing", "a read", "a write"])
def test_a_customer_that_is_held_is_a_conflict(
    before: str, billing: Billing, engine: Engine, engine_name: str, engine_url: str
) -> None:
    """Where another transaction holds the customer too long, the host hears it, keeps its rows, and may try again."""
    if engine_name == "sqlite" and before == "a write":
        before = "nothing"  # A host that has written is the only writer: nobody else can hold anything.
    for kind, opens in HOSTS.items():
        with _host_engine(engine_url, connect_args=_IMPATIENT[engine_name]) as host_engine, opens(host_engine) as host:
            used, rows = coherent(engine).used("acme"), names(engine)
            if before == "a read":
                host.execute(select(project.c.name)).all()
            if before == "a write":
                host.execute(write(f"before {kind}"))
                rows = sorted([*rows, f"before {kind}"])
            with _holding(engine), pytest.raises(TransactionConflict) as met:
                billing.track("acme", "messages", 2, idempotency_key=kind, transaction=host)
            assert (met.value.retryable, met.value.transaction_lost) == (True, False)
            host.execute(write(f"after {kind}"))
            host.commit()
            assert names(engine) == sorted([*rows, f"after {kind}"])
            assert coherent(engine).used("acme") == used
            again = billing.track("acme", "messages", 2, idempotency_key=kind, transaction=host)
            assert not again.replayed
            host.commit()
            assert coherent(engine).used("acme") == used + 2
    count("conflicts", len(HOSTS))


def test_the_librarys_own_use_waits_and_is_repeated(billing: Billing, engine: Engine) -> None:
    """Outside of a host's transaction a customer that is held is waited for, and the use is counted once."""
    told: list[int] = []

    def track() -> None:
        told.append(billing.track("acme", "messages", 2, idempotency_key="k").funded)

    with _holding(engine):
        thread = threading.Thread(target=track)
        thread.start()
        if engine.dialect.name != "sqlite":
            _wait_for_waiter(engine)
    thread.join(_PATIENCE)
    assert told == [2]
    assert coherent(engine).used("acme") == 3
    count("conflicts")


_WAITERS = {
    "postgresql": "SELECT count(*) FROM pg_locks WHERE NOT granted",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
}


def _wait_for_waiter(engine: Engine) -> None:
    """Return when a transaction waits for another one."""
    deadline = time.monotonic() + _PATIENCE
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while not connection.execute(text(_WAITERS[engine.dialect.name])).scalar_one():
            assert time.monotonic() < deadline, "nobody waits"
            # MariaDB renews what it says of its transactions only where nobody has asked for a tenth of a second.
            time.sleep(0.15)


def _deadlocked(engine: Engine, host: Host, meet: Callable[[], object]) -> object:
    """Let another transaction hold the customer and wait for the host's row; then `meet` closes the circle."""
    # By the key: MariaDB locks every row that an UPDATE looks at.
    host.execute(_SHARED.values(name="the host's"))
    with engine.connect() as other:
        if engine.dialect.name == "postgresql":
            other.execute(text("SET LOCAL deadlock_timeout = '60s'"))
        # The heavier one survives on MariaDB.
        other.execute(project.insert(), [{"name": "heavy"} for _ in range(100)])
        other.execute(_HOLD)
        thread = threading.Thread(target=lambda: other.execute(_SHARED.values(name="the other's")))
        thread.start()
        try:
            _wait_for_waiter(engine)
            return meet()
        finally:
            host.rollback()
            thread.join(_PATIENCE)
            other.rollback()


@pytest.mark.parametrize("opens", HOSTS.values(), ids=HOSTS)
@pytest.mark.parametrize(
    "database", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]
)
def test_a_deadlock_is_a_conflict(
    database: str, opens: Opens, make_database: Callable[[str], str], stripe: StripeSimulator
) -> None:
    """The victim of a deadlock hears it. Where the database ended its transaction it cannot go on, only begin anew."""
    url = make_database(database)
    engine = new_engine(url)
    metadata.create_all(engine)
    arguments = {"options": "-c deadlock_timeout=10"} if database == "postgresql" else {}
    with open_billing(url, stripe) as billing, _host_engine(url, connect_args=arguments) as host_engine:
        billing.track("acme", "messages", 1)
        with host_engine.begin() as connection:
            connection.execute(write("shared"))
        with opens(host_engine) as host:

            def meet() -> None:
                with pytest.raises(TransactionConflict) as met:
                    billing.track("acme", "messages", 2, idempotency_key="k", transaction=host)
                assert (met.value.retryable, met.value.transaction_lost) == (True, database == "mariadb")
                if met.value.transaction_lost:
                    with pytest.raises(exc.PendingRollbackError):
                        host.execute(write("half of it"))
                else:
                    assert host.execute(select(project.c.name).where(project.c.id == 1)).scalar_one() == "the host's"

            _deadlocked(engine, host, meet)
            assert names(engine) == ["shared"]
            assert not billing.track("acme", "messages", 2, idempotency_key="k", transaction=host).replayed
            host.execute(_SHARED.values(name="again"))
            host.commit()
        assert names(engine) == ["again"]
        assert coherent(engine).used("acme") == 3
    engine.dispose()
    count("conflicts")


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_snapshot_that_is_too_old_is_a_conflict(level: str, postgresql_url: str, stripe: StripeSimulator) -> None:
    """A PostgreSQL host of a stricter isolation that looked before somebody else counted has to run again, whole."""
    engine = new_engine(postgresql_url)
    metadata.create_all(engine)
    with (
        open_billing(postgresql_url, stripe) as billing,
        _host_engine(postgresql_url, isolation_level=level) as host_engine,
    ):
        billing.track("acme", "messages", 1)
        with host_engine.connect() as host:
            host.execute(select(project.c.name)).all()
            host.execute(write("before"))
            billing.track("acme", "messages", 1)
            with pytest.raises(TransactionConflict) as met:
                billing.track("acme", "messages", 2, transaction=host)
            assert (met.value.retryable, met.value.transaction_lost) == (True, False)
            host.rollback()
            billing.track("acme", "messages", 2, transaction=host)
            host.execute(write("after"))
            host.commit()
    assert (names(engine), coherent(engine).used("acme")) == (["after"], 4)
    engine.dispose()
    count("conflicts")


def _leave_to_us(driver: Any, _record: object) -> None:
    driver.isolation_level = None


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def test_an_sqlite_host_that_began_by_reading_is_a_conflict(sqlite_url: str, stripe: StripeSimulator) -> None:
    """An SQLite host with the recommended events cannot write after others did: it hears it at once, and runs again."""
    engine = new_engine(sqlite_url)
    metadata.create_all(engine)
    with open_billing(sqlite_url, stripe) as billing, _host_engine(sqlite_url) as host_engine:
        event.listen(host_engine, "connect", _leave_to_us)
        event.listen(host_engine, "begin", _begin)
        billing.track("acme", "messages", 1)
        with host_engine.connect() as host:
            host.execute(select(project.c.name)).all()
            billing.track("acme", "messages", 1)
            with pytest.raises(TransactionConflict) as met:
                billing.track("acme", "messages", 2, transaction=host)
            assert (met.value.retryable, met.value.transaction_lost) == (True, False)
            host.rollback()
            billing.track("acme", "messages", 2, transaction=host)
            host.execute(write("after"))
            host.commit()
    assert (names(engine), coherent(engine).used("acme")) == (["after"], 4)
    engine.dispose()
    count("conflicts")
