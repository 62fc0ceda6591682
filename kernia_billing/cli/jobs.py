"""`kernia-billing jobs run` and `kernia-billing worker`: what runs by itself, once or until it is stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

import click

from ..domain.jobs import JobsReport
from ..worker import DRAIN
from .command import PROBLEMS, Session, service


@click.group()
def jobs() -> None:
    """What runs by itself."""


@jobs.command("run")
@service
def run_once(session: Session) -> None:
    """Do everything that is due, once: for cron. Exit code 1 where a job failed."""
    report = session.app.drive(lambda billing: billing.jobs.run())
    session.out.document(report, [f"{name}: {number}" for name, number in report.counts.items()])
    if report.failed:
        session.out.say(_failures(report))
        raise SystemExit(PROBLEMS)


@click.command()
@click.option(
    "--drain",
    type=click.FloatRange(0.1, 3_600),
    default=DRAIN,
    show_default=True,
    help="Seconds that it has, once it is told to stop, to finish what is under way.",
)
@service
def worker(session: Session, drain: float) -> None:
    """Do everything that is due until SIGTERM or Ctrl-C; then finish what is under way, and no more.

    With --json it prints a line for every run that did something.
    """

    def told(report: JobsReport) -> None:
        done = ", ".join(f"{name} {number}" for name, number in report.counts.items() if number)
        session.out.document(report, [done] if done else [])
        if report.failed:
            session.out.say(_failures(report))

    with stopped_by_signals(drain) as stopping:
        session.out.say("Working. Ctrl-C ends it.")
        session.app.drive(lambda billing: billing.jobs.forever(stopping, told))
    session.out.say("Stopped.")


class TookTooLong(BaseException):
    """What was under way did not end in time. Its lease ends by itself, and another worker takes it up."""


@contextmanager
def stopped_by_signals(drain: float) -> Generator[Callable[[], bool]]:
    """A function that says whether a signal asked to stop; a second signal, or the end of `drain` seconds, cuts off."""
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            raise TookTooLong
        stopping.set()
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, drain)

    def cut(_signal: int, _frame: FrameType | None) -> None:
        raise TookTooLong

    wanted = {signal.SIGTERM: stop, signal.SIGINT: stop}
    if hasattr(signal, "SIGALRM"):
        wanted[signal.SIGALRM] = cut
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield stopping.is_set
    except TookTooLong:
        click.echo("Cut off: what was under way is taken up by the next worker.", err=True)
        raise SystemExit(PROBLEMS) from None
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _failures(report: JobsReport) -> str:
    return "Failed: " + ", ".join(f"{name} ({code})" for name, code in report.failed.items())
