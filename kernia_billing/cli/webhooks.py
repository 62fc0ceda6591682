"""`kernia-billing webhooks`: what Stripe told us, and where it tells it."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, get_args

import click

from ..domain.answers import Receipt
from ..domain.webhooks import InboxStatus
from .command import PROBLEMS, Session, command
from .options import LIMIT, SINCE, UNTIL, YES
from .pages import up_to

if TYPE_CHECKING:
    from .. import Billing

_STATUS = click.option("--status", type=click.Choice(get_args(InboxStatus)), help="Only those of this status.")
_TYPES = click.option(
    "--type", "types", multiple=True, metavar="TYPE", help="Only these types: invoice.paid, invoice.*; repeatable."
)


@click.group()
def webhooks() -> None:
    """What Stripe told us, and where it tells it."""


@webhooks.command()
@click.option("--url", metavar="URL", help="Where Stripe is to send to. Without it, our route on `base_url`.")
@YES
@command
def create(session: Session, url: str | None, *, yes: bool) -> None:
    """Make the endpoint at Stripe and print its signing secret, which Stripe shows once.

    Where Stripe sends to this URL already, nothing is made.
    """
    target = url or session.app.config.webhook_url
    session.out.say(f"Stripe will send events to {target}.")
    session.confirm("Make this endpoint?", yes=yes)
    made = session.app.call(lambda billing: billing.webhooks.create_endpoint(url))
    secret = None if made.secret is None else made.secret.reveal()
    lines = [made.id] if secret is None else [made.id, secret]
    told = {"id": made.id, "url": made.url, "api_version": made.api_version, "events": made.events}
    session.out.document({**told, "created": made.created, "secret": secret}, lines)
    if not made.created:
        session.out.say("There was one already. Its secret is shown in Stripe's dashboard.")
    elif secret is None:
        session.out.say("Stripe's answer was lost. The secret is shown in Stripe's dashboard.")
    else:
        session.out.say("Put the second line into stripe_webhook_secrets.")


@webhooks.command()
@command
def check(session: Session) -> None:
    """Compare the endpoint at Stripe with what is needed; exit code 1 where events are missed."""
    found = session.app.call(lambda billing: billing.webhooks.check_endpoint())
    lines = [f"{each.severity}: {each.title}: {each.found}" for each in found] or ["all events reach us"]
    session.out.document({"findings": found}, lines)
    if any(each.severity == "error" for each in found):
        raise SystemExit(PROBLEMS)


@webhooks.command()
@click.option("--thin", is_flag=True, help="Those for an event destination with thin payloads.")
def events(*, thin: bool) -> None:
    """Print the types of events that an endpoint has to be subscribed to."""
    from ..operations.event_types import HANDLED, HANDLED_THIN

    for each in HANDLED_THIN if thin else HANDLED:
        click.echo(each)


@webhooks.command("list")
@_STATUS
@click.option("--type", "type_", metavar="TYPE", help="Only this type, such as invoice.paid or invoice.*")
@SINCE
@UNTIL
@LIMIT
@command
def show(
    session: Session,
    status: str | None,
    type_: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> None:
    """List stored events, newest first."""
    found = up_to(
        session.app,
        limit,
        lambda billing, number, cursor: billing.webhooks.list(
            status=status, type=type_, since=since, until=until, limit=number, cursor=cursor
        ),
    )
    columns = ("id", "type", "status", "attempts", "received_at", "object_id", "error")
    session.out.rows(found, columns, "no such events")


@webhooks.command()
@click.argument("event_ids", nargs=-1, metavar="[EVENT]...")
@_STATUS
@_TYPES
@SINCE
@UNTIL
@YES
@command
def replay(
    session: Session,
    event_ids: tuple[str, ...],
    status: str | None,
    types: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    *,
    yes: bool,
) -> None:
    """Work on stored events once more: those named now, or a range of them by the worker.

    Objects are fetched anew, and hooks hear of changes only, so that repeating is safe.
    """
    chosen = status is not None or bool(types) or since is not None or until is not None
    if chosen == bool(event_ids):
        raise click.UsageError("give the ids of events, or some of --status, --type, --since and --until")
    if event_ids:
        for each in event_ids:
            receipt = session.app.call(partial(_replay, each))
            session.out.document(receipt, [f"{receipt.event_id}: {receipt.status}"])
        return
    session.confirm("Put all events of this choice back into the queue?", yes=yes)
    number = session.app.call(
        lambda billing: billing.webhooks.replay_range(types=types or None, since=since, until=until, status=status)
    )
    session.out.document({"queued": number}, [f"{number} queued"])


def _replay(event_id: str, billing: Billing) -> Receipt:
    return billing.webhooks.replay(event_id)


@webhooks.command()
@click.argument("event_id", required=False, metavar="[EVENT]")
@YES
@command
def retry(session: Session, event_id: str | None, *, yes: bool) -> None:
    """Put what failed, dead or not, back into the queue: one event, or all."""
    if event_id is None:
        health = session.app.call(lambda billing: billing.webhooks.health())
        number = health.counts.get("failed", 0) + health.dead
        session.out.say(f"{number} failed, {health.dead} of them for good.")
        session.confirm("Put all of them back into the queue?", yes=yes)
    number = session.app.call(lambda billing: billing.webhooks.retry(event_id))
    session.out.document({"queued": number}, [f"{number} queued"])


@webhooks.command()
@command
def health(session: Session) -> None:
    """Say how webhooks are doing; exit code 1 where events are dead."""
    told = session.app.call(lambda billing: billing.webhooks.health())
    lines = [
        f"last received: {told.last_received_at or 'never'}",
        f"last processed: {told.last_processed_at or 'never'}",
        f"waiting: {told.waiting}, the oldest for {told.lag_seconds} s",
        f"unmatched: {told.unmatched}",
        f"dead: {told.dead}",
        f"failed in the last day: {told.failures_last_day}",
        f"waiting for hooks: {told.hooks_waiting}, the oldest for {told.hooks_lag_seconds} s",
    ]
    session.out.document(told, lines)
    if told.dead:
        raise SystemExit(PROBLEMS)
