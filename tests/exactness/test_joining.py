"""Counting inside of the host's transaction: usage is there exactly when the host committed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from sqlalchemy import Engine, StaticPool, create_engine, event, select
from sqlalchemy.orm import Session

from kernia_billing import Billing, IdempotencyMismatch, InsufficientBalance, InvalidInput
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.host import HOSTS, Host, Opens, metadata, names, project, write
from tests.harness.house import open_billing

Before = Literal["nothing", "a read", "a write"]
BEFORE: tuple[Before, ...] = ("nothing", "a read", "a write")


@pytest.fixture
def host_engine(engine: Engine, engine_url: str) -> Iterator[Engine]:
    """The host's engine as hosts make them: no events, default isolation, default pool."""
    host_engine = create_engine(engine_url)
    metadata.create_all(host_engine)
    yield host_engine
    host_engine.dispose()


@pytest.fixture(params=["its own engine", "the host's engine"])
def billing(
    request: pytest.FixtureRequest, engine_url: str, host_engine: Engine, stripe: StripeSimulator
) -> Iterator[Billing]:
    """A `Billing` that was given the URL, or the host's engine."""
    with open_billing(engine_url if request.param == "its own engine" else host_engine, stripe) as billing:
        yield billing


def _begin(host: Host, before: Before) -> list[str]:
    """What the host does first; the names of the rows that it wrote."""
    if before == "a read":
        host.execute(select(project.c.name)).all()
    if before == "a write":
        host.execute(write("before"))
        return ["before"]
    return []


@pytest.mark.parametrize("before", BEFORE)
def test_it_counts_exactly_when_the_host_commits(
    before: Before, billing: Billing, host_engine: Engine, engine: Engine
) -> None:
    """Commit, rollback, denial and repetition, in every kind of transaction that a host may hold."""
    for kind, opens in HOSTS.items():
        case = _Case(f"acme-{kind}", before, opens, billing, host_engine, engine)
        case.commits()
        case.rolls_back()
        case.is_denied()
        case.repeats()
    count("joined transactions", 4 * len(HOSTS))


class _Case:
    """A host that does something, counts, and ends its transaction in one of four ways."""

    def __init__(
        self, who: str, before: Before, opens: Opens, billing: Billing, host_engine: Engine, engine: Engine
    ) -> None:
        self._who = who
        self._before: Before = before
        self._opens = opens
        self._billing = billing
        self._host_engine = host_engine
        self._engine = engine

    def _state(self) -> tuple[list[str], int]:
        return names(self._engine), coherent(self._engine).used(self._who)

    def commits(self) -> None:
        """After the commit both are there; before it nobody else sees either."""
        rows, used = self._state()
        with self._opens(self._host_engine) as host:
            written = _begin(host, self._before)
            receipt = self._billing.track(self._who, "messages", 4, idempotency_key="k", transaction=host)
            host.execute(write("after"))
            assert (receipt.funded, receipt.balance.used, receipt.replayed) == (4, 4, False)
            assert self._state() == (rows, used)
            host.commit()
        assert self._state() == (sorted([*rows, *written, "after"]), 4)
        again = self._billing.track(self._who, "messages", 4, idempotency_key="k")
        assert (again.event_id, again.replayed) == (receipt.event_id, True)

    def rolls_back(self) -> None:
        """After the rollback neither is there, and the key is as good as new."""
        before = self._state()
        with self._opens(self._host_engine) as host:
            _begin(host, self._before)
            self._billing.track(self._who, "messages", 2, idempotency_key="other", transaction=host)
            host.execute(write("after"))
            host.rollback()
        assert self._state() == before
        assert not self._billing.track(self._who, "messages", 1, idempotency_key="other").replayed
        assert self._state() == (before[0], 5)

    def is_denied(self) -> None:
        """A host that hears no may go on, and commit what it wrote before and after."""
        rows, used = self._state()
        with self._opens(self._host_engine) as host:
            written = _begin(host, self._before)
            with pytest.raises(InsufficientBalance):
                self._billing.consume(self._who, "messages", 6, transaction=host)
            host.execute(write("after"))
            assert self._state() == (rows, used)
            host.commit()
        assert self._state() == (sorted([*rows, *written, "after"]), used)

    def repeats(self) -> None:
        """A used key gives the first receipt, for another request an error; the host's work stays its own."""
        rows, used = self._state()
        with self._opens(self._host_engine) as host:
            written = _begin(host, self._before)
            again = self._billing.track(self._who, "messages", 4, idempotency_key="k", transaction=host)
            assert (again.funded, again.balance.used, again.replayed) == (4, 4, True)
            with pytest.raises(IdempotencyMismatch):
                self._billing.track(self._who, "messages", 5, idempotency_key="k", transaction=host)
            host.execute(write("after"))
            assert self._state() == (rows, used)
            host.commit()
        assert self._state() == (sorted([*rows, *written, "after"]), used)


def test_what_was_used_behind_the_hosts_back_counts(billing: Billing, host_engine: Engine, engine: Engine) -> None:
    """A host whose snapshot is older than a use, and than the customer, is judged and replayed by the newest state."""
    for kind, opens in HOSTS.items():
        who = f"acme-{kind}"
        with opens(host_engine) as host:
            host.execute(select(project.c.name)).all()
            first = billing.track(who, "messages", 1, idempotency_key="recorded")
            billing.consume(who, "messages", 8, idempotency_key="consumed")
            again = billing.track(who, "messages", 1, idempotency_key="recorded", transaction=host)
            assert (again.event_id, again.replayed) == (first.event_id, True)
            with pytest.raises(InsufficientBalance):
                billing.consume(who, "messages", 2, transaction=host)
            assert billing.consume(who, "messages", 8, idempotency_key="consumed", transaction=host).replayed
            with pytest.raises(IdempotencyMismatch):
                billing.consume(who, "messages", 7, idempotency_key="consumed", transaction=host)
            assert billing.consume(who, "messages", 1, transaction=host).balance.remaining == 0
            host.execute(write(who))
            host.commit()
        assert coherent(engine).used(who) == 10
    assert names(engine) == sorted(f"acme-{kind}" for kind in HOSTS)
    count("joined transactions", len(HOSTS))


def test_a_transaction_may_count_often(billing: Billing, host_engine: Engine, engine: Engine) -> None:
    """Several uses, a return and a repetition in one transaction add up, and one is undone by the host's savepoint."""
    with host_engine.begin() as host:
        billing.track("acme", "messages", 4, idempotency_key="k", transaction=host)
        assert billing.track("acme", "messages", 4, idempotency_key="k", transaction=host).replayed
        with host.begin_nested() as savepoint:
            assert billing.track("acme", "messages", 2, transaction=host).balance.used == 6
            savepoint.rollback()
        assert billing.give_back("acme", "messages", transaction=host).balance.used == 3
        assert billing.track("zenith", "messages", 5, transaction=host).balance.used == 5
    tables = coherent(engine)
    assert (tables.used("acme"), tables.used("zenith")) == (3, 5)
    count("joined transactions")


def test_a_host_that_fails_takes_the_usage_with_it(billing: Billing, host_engine: Engine, engine: Engine) -> None:
    """An exception in the host's block undoes its rows and the usage together."""

    def fails() -> None:
        with host_engine.begin() as host:
            host.execute(write("before"))
            billing.track("acme", "messages", 4, transaction=host)
            host.execute(write(str(1 // 0)))

    with pytest.raises(ZeroDivisionError):
        fails()
    assert (names(engine), coherent(engine).events) == ([], [])
    count("joined transactions")


def test_a_host_in_memory_is_joined(stripe: StripeSimulator) -> None:
    """An SQLite database in memory has one connection: uses inside and outside of the host's transaction share it."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    metadata.create_all(engine)
    with open_billing(engine, stripe) as billing:
        billing.track("acme", "messages", 1)
        with Session(engine) as host:
            host.execute(write("kept"))
            billing.track("acme", "messages", 2, transaction=host)
            host.commit()
            billing.track("acme", "messages", 4, transaction=host)
            host.rollback()
        assert names(engine) == ["kept"]
        assert billing.check("acme", "messages").balance.used == 3
    engine.dispose()


Wrong = Callable[[Engine, Engine], Any]
WRONG: dict[str, Wrong] = {
    "another database": lambda _, other: other.connect(),
    "a session on another database": lambda _, other: Session(other),
    "in AUTOCOMMIT": lambda host, _: host.connect().execution_options(isolation_level="AUTOCOMMIT"),
    "a session in AUTOCOMMIT": lambda host, _: Session(host.execution_options(isolation_level="AUTOCOMMIT")),
    "a session without an engine": lambda _, __: Session(),
    "an engine": lambda host, _: host,
    "the driver's connection": lambda host, _: host.raw_connection(),
    "a text": lambda _, __: "transaction",
    "a number": lambda _, __: 1,
    "a closed connection": lambda host, _: _closed(host),
}


def test_what_cannot_be_joined_is_refused(
    billing: Billing, host_engine: Engine, engine: Engine, engine_name: str, make_database: Callable[[str], str]
) -> None:
    """A transaction elsewhere, one that commits by itself and what is no transaction: refused before any statement."""
    billing.track("acme", "messages", 1)
    other = create_engine(make_database(engine_name))
    sent: list[str] = []
    for each in (host_engine, other):
        # What a first connection asks the database is not the host's.
        each.connect().close()
        event.listen(each, "before_cursor_execute", lambda *told: sent.append(told[2]))
    for name, wrong in WRONG.items():
        host = wrong(host_engine, other)
        with pytest.raises(InvalidInput) as refused:
            billing.track("acme", "messages", 2, transaction=host)
        assert (refused.value.field, sent) == ("transaction", []), name
        if hasattr(host, "close"):
            host.close()
    assert coherent(engine).used("acme") == 1
    other.dispose()


def _closed(engine: Engine) -> object:
    connection = engine.connect()
    connection.close()
    return connection
