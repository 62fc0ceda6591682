"""The migrated schema is the one that the code expects, however it came about."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Engine, Integer, MetaData, Table, create_engine, inspect, text

from kernia_billing._drive import run_blocking
from kernia_billing.errors import ConfigError
from kernia_billing.storage import migrations, revision
from kernia_billing.storage.blocking import BlockingStore
from kernia_billing.storage.schema import create, ensure_schema
from kernia_billing.storage.tables import metadata
from tests.storage.conftest import BlockingPace
from tests.storage.deaths import Killed, counting


@pytest.fixture
def engine(engine_url: str) -> Iterator[Engine]:
    """A host's engine on an empty database."""
    engine = create_engine(engine_url)
    yield engine
    engine.dispose()


def _described(engine: Engine, *more: str) -> dict[str, Any]:
    """Everything that a database says about the billing tables, and about others."""
    inspector = inspect(engine)
    return {
        name: {
            "columns": [(each["name"], str(each["type"]), each["nullable"]) for each in inspector.get_columns(name)],
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted((each["name"], each["column_names"]) for each in inspector.get_unique_constraints(name)),
            "indexes": sorted((each["name"], each["column_names"]) for each in inspector.get_indexes(name)),
            "checks": sorted((each["name"], each["sqltext"]) for each in inspector.get_check_constraints(name)),
            "foreign": [(each["name"], each["referred_table"]) for each in inspector.get_foreign_keys(name)],
            "options": {
                key: value
                for key, value in inspector.get_table_options(name).items()
                if key in ("sqlite_strict", "mysql_engine", "mysql_collate", "mysql_default charset")
            },
        }
        for name in [*sorted(metadata.tables), *more]
    }


def test_migrated_is_created(engine: Engine, engine_name: str, make_database: Callable[[str], str]) -> None:
    """Migrations and creation make the same tables, to the last constraint."""
    created = create_engine(make_database(engine_name))
    with created.begin() as connection:
        create(connection)
    migrations.upgrade(engine)

    version = revision.VERSION_TABLE
    assert _described(created, version) == _described(engine, version)
    assert [] == migrations.check(created) == migrations.check(engine)
    migrations.upgrade(created)
    assert revision.HEAD == migrations.current(engine)
    assert revision.HEAD == migrations._script().get_current_head()
    created.dispose()


def test_only_own_types(engine: Engine, engine_name: str) -> None:
    """Nothing but texts and integers is used; on SQLite every table is STRICT."""
    migrations.upgrade(engine)
    types = {
        kind.split("(")[0].removesuffix(' COLLATE "C"')
        for table in _described(engine).values()
        for _, kind, _ in table["columns"]
    }

    assert (
        types
        <= {
            "sqlite": {"TEXT", "INTEGER"},
            "postgresql": {"TEXT", "BIGINT"},
            "mariadb": {"VARBINARY", "MEDIUMBLOB", "LONGTEXT", "BIGINT"},
        }[engine_name]
    )
    if engine_name == "sqlite":
        assert all(table["options"] == {"sqlite_strict": True} for table in _described(engine).values())


def test_upgrade_again(engine: Engine) -> None:
    """An up-to-date database is left as it is."""
    assert migrations.current(engine) is None
    assert ["the billing tables are missing"] == [each.split(":")[0] for each in migrations.check(engine)]
    for _ in range(2):
        migrations.upgrade(engine)
    ensure_schema(engine)

    assert [] == migrations.check(engine)


@pytest.mark.one_server
@pytest.mark.parametrize("make", [migrations.upgrade, ensure_schema])
def test_killed_anywhere(engine: Engine, engine_name: str, make: Callable[[Engine], None]) -> None:
    """A run that is killed before any of its statements is healed by the next one."""
    countdown, total = counting(engine, make)
    assert total > 30
    # Where a run is one transaction it is all the same what it was killed at.
    for steps in range(0, total, 37 if engine_name == "mariadb" else 41):
        countdown.live()
        _drop(engine)
        countdown.left = steps
        with pytest.raises(Killed):
            make(engine)
        countdown.live()
        make(engine)
        assert [] == migrations.check(engine), steps


def _drop(engine: Engine) -> None:
    metadata.drop_all(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS billing_alembic_version"))


_UPGRADE = """
import sys
from sqlalchemy import create_engine
from kernia_billing.storage import migrations
engine = create_engine(sys.argv[1])
migrations.upgrade(engine)
assert migrations.check(engine) == []
engine.dispose()
"""
_FIRST_USE = """
import sys
from kernia_billing._drive import run_blocking
from kernia_billing.storage.blocking import BlockingStore
from tests.storage.conftest import BlockingPace
store = BlockingStore.open(sys.argv[1], pace=BlockingPace())
run_blocking(store.transaction(lambda tx: tx.objects.take_ticket("a", "b")))
run_blocking(store.close())
"""


def _at_once(script: str, url: str) -> None:
    command = [sys.executable, "-W", "error", "-c", script, url]
    environment = {**os.environ, "PYTHONPATH": "."}
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment) for _ in range(4)
    ]
    outputs = [each.communicate(timeout=120)[0].decode() for each in running]
    assert [""] * 4 == outputs
    assert [0] * 4 == [each.returncode for each in running]


def test_processes_upgrade_at_once(engine: Engine, engine_url: str) -> None:
    """Four processes upgrade the same empty database: each succeeds."""
    _at_once(_UPGRADE, engine_url)

    assert [] == migrations.check(engine)


def test_processes_use_at_once(sqlite_url: str) -> None:
    """Four processes use the same new SQLite file: the tables are made, and no work of theirs is lost."""
    _at_once(_FIRST_USE, sqlite_url)

    store = BlockingStore.open(sqlite_url, pace=BlockingPace())
    assert 5 == run_blocking(store.transaction(lambda tx: tx.objects.take_ticket("a", "b")))
    run_blocking(store.close())


def test_host_autogenerate(engine: Engine) -> None:
    """With `include_name` the host's own autogenerate sees its tables and none of ours."""
    migrations.upgrade(engine)
    theirs = MetaData()
    Table("host_row", theirs, Column("id", Integer, primary_key=True))
    Table("billing_address", theirs, Column("id", Integer, primary_key=True))
    theirs.create_all(engine)
    with engine.connect() as connection:
        without = compare_metadata(MigrationContext.configure(connection), theirs)
        options = {"include_name": migrations.include_name}
        changes = compare_metadata(MigrationContext.configure(connection, opts=options), theirs)
        missing = compare_metadata(MigrationContext.configure(connection, opts=options), MetaData())

    assert len(without) >= len(metadata.tables)
    assert [] == changes
    removed = {change[1].name for change in missing if change[0] == "remove_table"}
    assert {"host_row", "billing_address"} == removed


def test_sql(engine: Engine, engine_name: str) -> None:
    """The statements alone make the same database."""
    script = migrations.sql(engine_name)
    with engine.begin() as connection:
        for statement in script.split(";"):
            if statement.strip() and statement.strip() not in ("BEGIN", "COMMIT"):
                connection.exec_driver_sql(statement)

    assert [] == migrations.check(engine)


def test_unknown_revision(engine: Engine) -> None:
    """Tables of a newer version of the library are not touched."""
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE billing_alembic_version SET version_num = '9999'"))

    with pytest.raises(ConfigError):
        migrations.upgrade(engine)
    with pytest.raises(ConfigError):
        migrations.upgrade(engine, "nonsense")
    with pytest.raises(ConfigError):
        migrations.sql(engine.dialect.name, since="nonsense")
    assert 1 == len(migrations.check(engine))


def test_drift_is_seen(engine: Engine) -> None:
    """A table that somebody changed by hand is reported."""
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE billing_setting ADD COLUMN extra INTEGER"))

    assert 1 == len(migrations.check(engine))
