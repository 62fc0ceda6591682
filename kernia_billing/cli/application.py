"""The application that a command works for: its own billing object, as it imports it."""

from __future__ import annotations

import asyncio
import getpass
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import copy_context
from importlib import import_module
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from attrs import define, field

from ..config import BillingConfig
from ..ports.actor import acting_as, actor_of

if TYPE_CHECKING:
    from .. import AsyncBilling, Billing

T = TypeVar("T")
ASYNC_DRIVERS = frozenset({"asyncpg", "aiosqlite", "aiomysql", "asyncmy"})
APP = click.option(
    "--app",
    envvar="KERNIA_BILLING_APP",
    metavar="MODULE:NAME",
    help="The application's billing object or configuration. Also KERNIA_BILLING_APP.",
)


def load(app: str | None, missing: str = "give --app (or set KERNIA_BILLING_APP)") -> Any:
    """What `--app` names, imported as from the folder in which the command runs.

    Raises:
        click.UsageError: it is not given, or cannot be imported.
    """
    if app is None:
        raise click.UsageError(missing)
    module, _, attribute = app.partition(":")
    if not module or not attribute:
        raise click.UsageError("--app must be module:attribute")
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = import_module(module)
        for name in attribute.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError) as wrong:
        raise click.UsageError(f"--app {app}: {wrong}") from wrong
    return found


def _actor() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = "unknown"
    return actor_of("cli", user)


@define(eq=False)
class Application:
    """A billing object that is driven to its answers, whether it blocks or awaits.

    The object is the application's own and no copy, so that its hooks hear of what a command does.
    """

    _billing: Any
    _runner: asyncio.Runner | None
    actor: str = field(factory=_actor)

    @property
    def is_async(self) -> bool:
        """Whether it is an `AsyncBilling`."""
        return self._runner is not None

    @property
    def config(self) -> BillingConfig:
        """What it was configured with."""
        config: BillingConfig = self._billing.config
        return config

    def call(self, work: Callable[[Billing], T]) -> T:
        """The answer of `work`, which calls one operation. The audit log will name the user of this machine."""
        with acting_as(self.actor):
            return self.drive(work)

    def drive(self, work: Callable[[Billing], T]) -> T:
        """`call` for what nobody in particular does, such as jobs."""
        answer = work(self._billing)
        if self._runner is not None and isawaitable(answer):
            return cast("T", self._runner.run(_answer_of(answer), context=copy_context()))
        return answer


async def _answer_of(answer: Any) -> Any:
    return await answer


@contextmanager
def opened(app: str | None) -> Generator[Application]:
    """The application of `--app`, and its connections closed at the end.

    Raises:
        click.UsageError: it is not there, or is nothing of this library.
        ConfigError: a configuration that cannot work.
    """
    from .. import AsyncBilling, Billing

    found = load(app)
    billing: Billing | AsyncBilling
    if isinstance(found, BillingConfig):
        billing = AsyncBilling(found) if _is_async(found.database) else Billing(found)
    elif isinstance(found, (Billing, AsyncBilling)):
        billing = found
    else:
        raise click.UsageError(f"--app {app}: is no Billing, AsyncBilling or BillingConfig")
    if isinstance(billing, Billing):
        try:
            yield Application(billing, None)
        finally:
            billing.close()
        return
    with asyncio.Runner() as runner:
        try:
            yield Application(billing, runner)
        finally:
            runner.run(billing.aclose())


def _is_async(database: Any) -> bool:
    from sqlalchemy import make_url

    dialect = getattr(database, "dialect", None)
    if dialect is not None:
        return bool(dialect.is_async)
    return make_url(database).get_driver_name() in ASYNC_DRIVERS
