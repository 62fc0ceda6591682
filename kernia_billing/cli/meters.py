"""`kernia-billing meters`: usage that is reported to Stripe."""

from __future__ import annotations

from typing import get_args

import click

from ..domain.upkeep import MeterEventState
from .command import PROBLEMS, Session, command
from .options import LIMIT, YES
from .pages import up_to


@click.group()
def meters() -> None:
    """Usage that is reported to Stripe's meters."""


@meters.command("list")
@click.option("--state", type=click.Choice(get_args(MeterEventState)), help="Only those in this state.")
@LIMIT
@command
def show(session: Session, state: str | None, limit: int) -> None:
    """List what was or is to be reported."""
    found = up_to(
        session.app,
        limit,
        lambda billing, number, cursor: billing.meters.list(state=state, limit=number, cursor=cursor),
    )
    columns = ("identifier", "reference", "meter", "value", "occurred_at", "state", "attempts", "reason")
    session.out.rows(found, columns, "no such events")


@meters.command()
@click.argument("identifier")
@click.option("--not-counted", is_flag=True, help="You saw that Stripe did not count it: it is in quarantine.")
@YES
@command
def retry(session: Session, identifier: str, *, not_counted: bool, yes: bool) -> None:
    """Report once more what Stripe did not count."""
    session.confirm(f"Report {identifier} once more?", yes=yes)
    made = session.app.call(lambda billing: billing.meters.retry(identifier, not_counted=not_counted))
    session.out.document(made, [f"{made.identifier}: {made.state}"])


@meters.command()
@command
def health(session: Session) -> None:
    """Say how reporting is doing; exit code 1 where events were rejected or are in quarantine."""
    told = session.app.call(lambda billing: billing.meters.health())
    states = ("waiting", "sending", "sent", "rejected", "quarantined", "canceled")
    lines = [f"{state}: {getattr(told, state)}" for state in states]
    session.out.document(told, [*lines, f"the oldest waits since: {told.oldest_waiting_at or '-'}"])
    if told.rejected or told.quarantined:
        raise SystemExit(PROBLEMS)
