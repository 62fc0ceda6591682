"""What every command has: `--app` and `--json`, an application that is open, and errors of one line.

Exit codes, which stay as they are: 0 done; 1 something is wrong, was refused or is not there; 2 the command or the
configuration is wrong; 3 Stripe or the database did not answer, try again later; 130 broken off by Ctrl-C.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from attrs import frozen

from ..errors import BillingError, ConfigError, InvalidInput, ProviderNotConfigured
from .application import APP, Application, opened
from .output import Output

P = ParamSpec("P")
R = TypeVar("R")
PROBLEMS, USAGE, UNAVAILABLE, INTERRUPTED = 1, 2, 3, 130
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout; messages go to stderr.")


@frozen
class Session:
    """One run of a command: the application, and where its answers go."""

    app: Application
    out: Output

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask, where a person is there to answer; elsewhere the command itself is the answer.

        Raises:
            click.Abort: the answer is no.
        """
        if not yes and sys.stdin.isatty() and sys.stderr.isatty():
            click.confirm(question, abort=True, err=True)


def command(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """Give a command its options and its session; what it raises becomes one line and an exit code.

    The log is silent where nobody configured one: what is to be said is said by the command.
    """
    return _made(function, log=logging.NullHandler)


def service(function: Callable[Concatenate[Session, P], None]) -> Callable[..., None]:
    """The same for a command that runs for itself: its log goes to stderr where nobody configured one."""
    return _made(function, log=logging.StreamHandler)


def _made(function: Callable[Concatenate[Session, P], None], log: Callable[[], logging.Handler]) -> Callable[..., None]:
    @APP
    @JSON
    @functools.wraps(function)
    def run(app: str | None, as_json: bool, *args: P.args, **kwargs: P.kwargs) -> None:  # noqa: FBT001 - click's
        with failures(as_json=as_json), opened(app) as application:
            _log_to(log)
            function(Session(application, Output(as_json=as_json)), *args, **kwargs)

    return run


def _log_to(log: Callable[[], logging.Handler]) -> None:
    logger = logging.getLogger("kernia_billing")
    if not logger.hasHandlers():
        logger.addHandler(log())


@contextmanager
def failures(*, as_json: bool = False) -> Generator[None]:
    """Turn what a command raises into one line on stderr and an exit code, without a traceback."""
    try:
        yield
    except BillingError as failure:
        _tell(failure, as_json=as_json)
        raise SystemExit(exit_code(failure)) from failure
    except KeyboardInterrupt as stopped:
        click.echo("Broken off.", err=True)
        raise SystemExit(INTERRUPTED) from stopped


def exit_code(failure: BillingError) -> int:
    """The exit code that tells of an error."""
    if failure.retryable:
        return UNAVAILABLE
    misconfigured = isinstance(failure, (ConfigError, InvalidInput, ProviderNotConfigured))
    return USAGE if misconfigured or failure.code == "STRIPE_AUTHENTICATION" else PROBLEMS


def _tell(failure: BillingError, *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {"code": failure.code, "message": failure.message, **failure.details()}
        click.echo(json.dumps({"error": told}), err=True)
    else:
        field = f"{failure.field}: " if isinstance(failure, InvalidInput) else ""
        click.echo(f"Error: {field}{' '.join(failure.message.split())} ({failure.code})", err=True)
