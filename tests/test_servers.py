"""The servers that the other tests rely on."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.servers import ServerMissing, Servers
from tests.strictness import missing

ROOT = Path(__file__).resolve().parents[1]
START_AND_WAIT = """
import sys
from tests.servers import Servers, new_folder, start_keeper
folder = new_folder()
keeper = start_keeper(folder)
Servers(folder).socket_of("postgresql")
print(folder, flush=True)
sys.stdin.read()
"""


def tables(url: str) -> list[str]:
    """The names of the tables in a database."""
    engine = sa.create_engine(url)
    with closing(engine.raw_connection()):
        found = sa.inspect(engine).get_table_names()
    engine.dispose()
    return found


@pytest.mark.parametrize(
    "engine_name",
    [pytest.param("postgresql", marks=pytest.mark.postgresql), pytest.param("mariadb", marks=pytest.mark.mariadb)],
)
def test_every_database_is_empty(servers: Servers, engine_name: str) -> None:
    """What one test left behind, and an open transaction with it, is gone from the next one's database."""
    try:
        url = servers.create_database(engine_name)
    except ServerMissing as error:
        missing(str(error))
    engine = sa.create_engine(url)
    with engine.connect() as left_open:
        left_open.execute(sa.text("CREATE TABLE leftover (id INTEGER PRIMARY KEY)"))
        left_open.execute(sa.text("INSERT INTO leftover VALUES (1)"))
        servers.drop_database(url)
        left_open.invalidate()
    engine.dispose()

    again = servers.create_database(engine_name)

    assert [] == tables(again)
    servers.drop_database(again)


def test_killed_run_leaves_nothing() -> None:
    """When the process that owns the servers is killed, they stop and their files go."""
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stderr is not None
        folder = Path(owner.stdout.readline().strip())
        assert (folder / "postgresql" / "data" / "postmaster.pid").exists()

        owner.kill()

        # The keeper holds the other end until it has finished.
        assert "" == owner.stderr.read()
    assert not folder.exists()
