"""What every test has: a clean environment, real database servers, a browser, and an honest count of what ran where.

With KERNIA_REQUIRE_ALL_ENGINES=1 (continuous integration) nothing may be missing: what would be skipped elsewhere
fails, and so does a whole run in which an engine had no test.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

from tests.servers import MEMORY, ServerMissing, Servers, new_folder, start_keeper, stop_keeper
from tests.strictness import STRICT, missing

if TYPE_CHECKING:
    import subprocess

    from selenium.webdriver import Chrome

SERVERS = ("postgresql", "mariadb")
ENGINES = ("sqlite", *SERVERS)
FOLDER_VARIABLE = "KERNIA_TEST_SERVERS"
COUNTS_VARIABLE = "KERNIA_TEST_COUNTS"
CHROMIUM_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

for _name in [name for name in os.environ if name.startswith(("KERNIA_BILLING_", "STRIPE_"))]:
    del os.environ[_name]

settings.register_profile("dev", deadline=None)
settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
_profile = "ci" if os.environ.get("CI") else "dev"
settings.load_profile(_profile)


# ── Databases ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="session")
def servers() -> Servers:
    """The database servers of this run, shared by all its workers; each starts when first asked for."""
    return Servers(Path(os.environ[FOLDER_VARIABLE]))


@pytest.fixture
def make_database(servers: Servers, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A function: engine name to the SQLAlchemy URL of a new, empty database, removed after the test."""
    made: list[str] = []

    def make(engine: str) -> str:
        if engine == "sqlite":
            made_before = len(list(tmp_path.glob("billing*.sqlite")))
            path = tmp_path / f"billing{made_before or ''}.sqlite"
            path.touch()
            return f"sqlite:///{path}"
        try:
            made.append(servers.create_database(engine))
        except ServerMissing as error:
            missing(str(error))
        return made[-1]

    yield make
    for url in made:
        servers.drop_database(url)


@pytest.fixture(params=[pytest.param(engine, marks=getattr(pytest.mark, engine)) for engine in ENGINES])
def engine_name(request: pytest.FixtureRequest) -> str:
    """The test runs once per engine: "sqlite", "postgresql", "mariadb"."""
    name: str = request.param
    return name


@pytest.fixture
def engine_url(engine_name: str, make_database: Callable[[str], str]) -> str:
    """The URL (blocking driver) of an empty database; the test runs once per engine."""
    return make_database(engine_name)


@pytest.fixture
def sqlite_url(make_database: Callable[[str], str]) -> str:
    """The URL of an empty SQLite file."""
    return make_database("sqlite")


@pytest.fixture
def postgresql_url(make_database: Callable[[str], str]) -> str:
    """The URL (psycopg) of an empty PostgreSQL database."""
    return make_database("postgresql")


@pytest.fixture
def mariadb_url(make_database: Callable[[str], str]) -> str:
    """The URL (PyMySQL) of an empty MariaDB database."""
    return make_database("mariadb")


@pytest.fixture
def anyio_backend() -> str:
    """Tests marked `anyio` run on asyncio."""
    return "asyncio"


# ── Programs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _program(*names: str) -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    return missing(f"{names[0]} is not installed")


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node.js."""
    return _program("node", "nodejs")


@pytest.fixture(scope="session")
def npm() -> str:
    """The path of npm."""
    return _program("npm")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Chrome]:
    """A headless Chromium with an empty profile, driven through Selenium and the system's own chromedriver."""
    with _chromium(tmp_path) as chrome:
        yield chrome


@pytest.fixture(scope="session")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """The same, one for all tests of a process, which clear what they need cleared."""
    with _chromium(tmp_path_factory.mktemp("browser")) as chrome:
        yield chrome


@contextmanager
def _chromium(folder: Path) -> Generator[Chrome]:
    chromium, driver = _program("chromium", "chromium-browser"), _program("chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in (*CHROMIUM_OPTIONS, f"--user-data-dir={folder / 'chromium'}"):
        options.add_argument(option)
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield chrome
    finally:
        chrome.quit()


# ── The run: servers, counts ─────────────────────────────────────────────────────────────────────────────────────────


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --full."""
    parser.addoption("--full", action="store_true", help="also run the long tests, those marked `full`")


def pytest_configure(config: pytest.Config) -> None:
    """Start the keeper of the servers, once per run: in the process that the workers belong to."""
    if hasattr(config, "workerinput"):
        return
    run = Run(config)
    config.pluginmanager.register(run, "kernia-run")
    os.environ[FOLDER_VARIABLE] = str(run.folder)
    if MEMORY in run.folder.parents:
        # The databases of SQLite that tests make in `tmp_path` wait for the disk otherwise, at every commit.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(run.folder))
    os.environ[COUNTS_VARIABLE] = str(run.counts_folder)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long tests unless --full, and of those of one server; and mark the tests of one engine."""
    for item in items:
        for engine in ENGINES:
            if f"{engine}_url" in getattr(item, "fixturenames", ()):
                item.add_marker(engine)
    if not config.getoption("--full"):
        left_out = {item for item in items if item.get_closest_marker("full") or not _is_chosen(item)}
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


_ON_ONE_SERVER = ("changes", "checkout", "healing", "intents", "metering", "operations", "webhooks")
"""Folders of tests as if marked `one_server`: what they try is above what engines differ in."""


def _is_chosen(item: pytest.Item) -> bool:
    """Whether a test that is to run on one server runs on SQLite, or on the server that it is dealt."""
    server = next((name for name in SERVERS if item.get_closest_marker(name)), None)
    if server is None or not (item.get_closest_marker("one_server") or item.path.parent.name in _ON_ONE_SERVER):
        return True
    return server == SERVERS[crc32(item.nodeid.replace(server, "").encode()) % len(SERVERS)]


def pytest_sessionfinish() -> None:
    """Leave this process's oracle counts where the run adds them up."""
    if (oracle := sys.modules.get("kernia_billing.testing.oracle")) and oracle.totals:
        Path(os.environ[COUNTS_VARIABLE], f"{os.getpid()}.json").write_text(json.dumps(oracle.totals))


class Run:
    """One run of pytest, in the process that started it: owns the servers, tells what was counted."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.folder = new_folder(in_memory=True)
        self.counts_folder = self.folder / "counts"
        self.counts_folder.mkdir()
        self.counts_folder.chmod(0o777)
        self.keeper: subprocess.Popen[bytes] = start_keeper(self.folder)
        self.ran: Counter[str] = Counter()
        self.skipped: list[str] = []

    def pytest_report_header(self) -> str:
        """Name what makes the run repeatable."""
        return f"hypothesis profile: {_profile}; nothing may be missing: {'yes' if STRICT else 'no'}"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the tests that ran per engine, and keep the names of those that were skipped."""
        if report.when == "call" and not report.skipped:
            self.ran.update(engine for engine in ENGINES if engine in report.keywords)
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail a run that must be complete and is not."""
        if STRICT and session.exitstatus == pytest.ExitCode.OK and self._lacks():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Print the counts."""
        terminalreporter.section("what ran where")
        terminalreporter.write_line("engines: " + ", ".join(f"{engine} {self.ran[engine]} tests" for engine in ENGINES))
        for name, number in sorted(self._oracle_counts().items()):
            terminalreporter.write_line(f"oracle: {name} {number}")
        for lack in self._lacks() if STRICT else ():
            terminalreporter.write_line(f"MISSING: {lack}", red=True)

    def pytest_unconfigure(self) -> None:
        """Stop the servers."""
        stop_keeper(self.keeper)

    def _lacks(self) -> list[str]:
        lacks = [f"{nodeid} was skipped" for nodeid in self.skipped]
        whole = not (self.config.option.keyword or self.config.option.markexpr or self._chosen())
        if whole and not self.config.option.collectonly:
            lacks += [f"no test ran on {engine}" for engine in ENGINES if not self.ran[engine]]
            checked = self._oracle_counts()
            lacks += [f"the oracle checked no {each}" for each in ("requests", "objects") if not checked[each]]
        return lacks

    def _chosen(self) -> bool:
        return self.config.args_source is not pytest.Config.ArgsSource.TESTPATHS

    def _oracle_counts(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for path in self.counts_folder.glob("*.json"):
            total.update(json.loads(path.read_text()))
        return total
