"""Statements on the drivers' cursors: what the driver is told is what SQLAlchemy would have told it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, exc, func, literal, select

from kernia_billing.errors import GuardError, InvalidInput
from kernia_billing.storage import tables
from kernia_billing.storage.prepared import PreparedCursor, PreparedStatements
from kernia_billing.storage.types import Amount, JsonText, TextArray, text_param, texts_param
from tests.storage.statements import every_statement


class _Heard(Exception):
    """What SQLAlchemy was about to tell the driver."""


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    """A connection to a database whose tables are empty, in a transaction that is rolled back."""
    engine = create_engine(database)
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()
    engine.dispose()


def _values(statement: Any, engine: Engine) -> Mapping[str, Any] | None:
    """A value for each parameter of a statement, three in a list; None where the database does not know it."""
    try:
        compiled = statement.compile(dialect=engine.dialect)
    except (exc.CompileError, AttributeError):
        return None
    return {
        name: [_value(bind.type)] * 3 if bind.expanding else _value(bind.type)
        for name, bind in compiled.binds.items()
        if name in compiled.params and compiled.params[name] is None
    }


def _value(kind: object) -> Any:
    if isinstance(kind, TextArray):
        return ["x", 'a"b\\c']
    if isinstance(kind, JsonText):
        return {"b": 1, "a": "ü"}
    return 7 if isinstance(kind, Amount) else "x"


def test_every_statement_is_sent_as_sqlalchemy_sends_it(connection: Connection) -> None:
    """The same text, and the same values in the same places, on every driver."""
    told: list[tuple[str, Any]] = []

    def hear(_connection: object, _cursor: object, text: str, values: Any, *_rest: object) -> None:
        told.append((text, values))
        raise _Heard

    event.listen(connection, "before_cursor_execute", hear)
    statements, seen = PreparedStatements(), 0
    for name, statement in every_statement():
        values = _values(statement, connection.engine)
        if values is not None:
            with pytest.raises(_Heard):
                connection.execute(statement, values)
            prepared = statements.of(statement, values, connection.dialect)
            bound = prepared.bind(values)
            assert told[-1] == (prepared.text, bound if isinstance(bound, dict) else tuple(bound)), name
            seen += 1
    event.remove(connection, "before_cursor_execute", hear)
    assert seen > 160


def test_lists_of_every_length(connection: Connection) -> None:
    """A statement about a list finds as many as are named, of none, one, some and more than are kept."""
    setting = tables.setting
    cursor = PreparedCursor(connection, PreparedStatements())
    names = [f"name_{number:03}" for number in range(70)]
    cursor.execute(setting.insert(), [{"name": name, "value": "1"} for name in names])
    statement = select(setting.c.name).where(setting.c.name.in_(texts_param("names")), setting.c.value == literal("1"))

    for length in (3, 0, 1, 70, 2, 70, 3):
        cursor.execute(statement, {"names": names[:length]})
        assert names[:length] == sorted(name for (name,) in cursor.fetchall())


def test_a_value_is_checked_before_anything_is_sent(connection: Connection) -> None:
    """What a column cannot hold is refused as SQLAlchemy's statements refuse it."""
    cursor = PreparedCursor(connection, PreparedStatements())
    statement = select(func.count()).where(tables.setting.c.name == text_param("name"))
    with pytest.raises(GuardError):
        cursor.execute(statement, {"name": 0})
    with pytest.raises(InvalidInput):
        cursor.execute(statement, {"name": "\0"})
    with pytest.raises(exc.InvalidRequestError):
        cursor.execute(statement, {"other": "x"})
    cursor.execute(statement, {"name": "x"})
    assert [0] == list(cursor.fetchone() or ())


def test_an_error_of_the_database_is_sqlalchemys(connection: Connection) -> None:
    """Whoever translates errors sees one class of them, with the driver's own inside."""
    cursor = PreparedCursor(connection, PreparedStatements())
    row = {"name": "secret", "value": "1"}
    cursor.execute(tables.setting.insert(), row)
    with pytest.raises(exc.DBAPIError) as caught:
        cursor.execute(tables.setting.insert(), row)
    assert isinstance(caught.value.orig, connection.dialect.loaded_dbapi.Error)
    assert not connection.invalidated
