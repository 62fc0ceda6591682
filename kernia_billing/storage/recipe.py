"""How a unit is run on a blocking connection: alone, reading only, or inside of the host's transaction.

Whatever a unit raises, everything it wrote is undone before the error goes on. That includes errors after which a
database keeps the transaction open with half of it done (MySQL's lock timeout).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection, NestedTransaction, exc

from ..errors import InvalidInput, TransactionConflict, Unavailable
from ..ports.guard import unit_of_work
from ..ports.pace import Pace
from ..ports.store import Rollback, Unit
from .dialects import Flavour
from .faults import Again, Reason, kind_of, translated
from .prepared import PreparedCursor, PreparedStatements
from .transaction import SqlTransaction

T = TypeVar("T")

_TRIES = {"conflict": 8, "busy": 3, "lost": 2}
_FIRST_WAIT = 0.01


async def persist(attempt: Callable[[], Awaitable[T]], pace: Pace) -> T:
    """Repeat `attempt` until it is not disturbed, with pauses that grow and differ between callers.

    Raises:
        Unavailable: it was disturbed every time.
    """
    try:
        return await attempt()
    except Again as again:
        return await insist(attempt, pace, again.reason)


async def insist(attempt: Callable[[], Awaitable[T]], pace: Pace, reason: Reason) -> T:
    """`persist` after a first try that came to nothing for a reason."""
    seen = dict.fromkeys(_TRIES, 0)
    while True:
        seen[reason] += 1
        if seen[reason] >= _TRIES[reason]:
            break
        await pace.sleep(_FIRST_WAIT * 2 ** seen[reason] * (0.5 + pace.jitter()))
        try:
            return await attempt()
        except Again as again:
            reason = again.reason
    raise Unavailable("The connection to the database was lost" if reason == "lost" else "The database stays busy")


def run_own(connection: Connection, flavour: Flavour, unit: Unit[T], *, direct: PreparedStatements | None) -> T:
    """Run a unit in a transaction of its own, on a connection in none; by `direct` past SQLAlchemy's execution."""
    try:
        _begin(connection, flavour)
        try:
            with unit_of_work():
                cursor = None if direct is None else PreparedCursor(connection, direct)
                value = unit(SqlTransaction(connection, flavour, cursor))
        except Rollback as told:  # pyright: ignore[reportUnknownVariableType]  # an error class has no parameters when caught
            connection.rollback()
            answer: T = _answer(told)
            return answer
    except BaseException:
        _undo(connection)
        raise
    _commit(connection)
    return value


def run_joined(connection: Connection, flavour: Flavour, unit: Unit[T]) -> T:
    """Run a unit once inside of the host's transaction. Nothing but the unit's own writes is ever undone."""
    try:
        _begin_for_host(connection, flavour)
        savepoint = connection.begin_nested()
    except exc.DBAPIError as error:
        raise _conflict(error, transaction_lost=False) from None
    try:
        with unit_of_work():
            value = unit(SqlTransaction(connection, flavour))
        savepoint.commit()
    except Rollback as told:  # pyright: ignore[reportUnknownVariableType]  # an error class has no parameters when caught
        if not _roll_back_to(connection, savepoint):
            raise Unavailable("The connection to the database was lost") from None
        answer: T = _answer(told)
        return answer
    except BaseException as error:
        kept = _roll_back_to(connection, savepoint)
        if isinstance(error, exc.DBAPIError):
            raise _conflict(error, transaction_lost=not kept) from None
        raise
    return value


def _answer(told: Any) -> Any:
    return told.value


def in_transaction(connection: Connection) -> bool:
    """Whether SQLite's driver has a transaction open, whatever SQLAlchemy believes."""
    driver: Any = connection.connection.driver_connection
    return bool(driver.in_transaction)


def _begin(connection: Connection, flavour: Flavour) -> None:
    if flavour == "sqlite":
        if in_transaction(connection):
            raise InvalidInput(
                "must be given: this SQLite database has one connection, and a transaction is open on it",
                field="transaction",
            )
        if not connection.in_transaction():  # The one connection of a database in memory has begun with its first read.
            connection.begin()
        try:
            begin_immediate(connection)
        except exc.DBAPIError as error:
            # The driver has waited for as long as it was told to; waiting eight times as long helps nobody.
            raise (Again("busy") if kind_of(error) == "conflict" else translated(error)) from None
    elif not connection.in_transaction():
        connection.begin()


def _begin_for_host(connection: Connection, flavour: Flavour) -> None:
    if flavour == "sqlite":
        begin_immediate(connection)


def begin_immediate(connection: Connection) -> None:
    """Take SQLite's one write lock at once: a transaction that reads first may find itself unable to write.

    Without it the host's transaction would begin with our savepoint, and end, committed, with its release.
    """
    if not in_transaction(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _commit(connection: Connection) -> None:
    try:
        connection.commit()
    except exc.DBAPIError as error:
        conflict = kind_of(error) == "conflict"
        _undo(connection)
        if conflict:
            raise Again("conflict") from None
        raise Unavailable("The database did not confirm a transaction", outcome_unknown=True) from None
    except BaseException:
        _undo(connection)
        raise


def _undo(connection: Connection) -> None:
    try:
        connection.rollback()
    except BaseException:  # noqa: BLE001 - a cancelled task fails here too, and the first error must go on
        # Nobody may get a connection that still has the transaction open, and its locks.
        with suppress(exc.SQLAlchemyError):
            connection.invalidate()


def _roll_back_to(connection: Connection, savepoint: NestedTransaction) -> bool:
    """Undo the unit; says whether the host's transaction is still there."""
    try:
        savepoint.rollback()
    except exc.SQLAlchemyError:
        # The database has ended it. What the host executes next would begin another one, and commit half of its work:
        # an invalidated connection refuses everything until the host has rolled back.
        with suppress(exc.SQLAlchemyError):
            connection.invalidate()
        return False
    return True


def _conflict(error: exc.DBAPIError, *, transaction_lost: bool) -> BaseException:
    meaning = translated(error)
    if not isinstance(meaning, Again):
        return meaning
    if meaning.reason == "lost":
        return Unavailable("The connection to the database was lost")
    return TransactionConflict(
        "Another transaction is in the way: run yours again, whole", transaction_lost=transaction_lost
    )
