"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from ..domain.references import Reference

F = TypeVar("F", bound=Callable[..., Any])


class Moment(click.ParamType[datetime]):
    """A time in ISO 8601, of UTC where it names no zone."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment that a text names."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail("must be a time such as 2026-03-01 or 2026-03-01T12:00:00Z", param, ctx)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


MOMENT = Moment()
SINCE = click.option("--since", type=MOMENT, metavar="TIME", help="Received at this time or later.")
UNTIL = click.option("--until", type=MOMENT, metavar="TIME", help="Received before this time.")
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
FROM = click.option("--from", "start", type=MOMENT, metavar="TIME", help="Used at this time or later.")
TO = click.option("--to", "end", type=MOMENT, metavar="TIME", help="Used before this time.")
LIMIT = click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="So many at most.")


def kind_of_reference(function: F) -> F:
    """Which kind of reference is meant: `organization` and `user`, for `whose`."""
    of_a_user = click.option("--user", is_flag=True, help="The reference is a user.")
    return click.option("--organization", is_flag=True, help="The reference is an organization.")(of_a_user(function))


def whose(reference: str, *, organization: bool, user: bool) -> Reference | str:
    """The reference that a command is for.

    Raises:
        click.UsageError: it is said to be both.
    """
    if organization and user:
        raise click.UsageError("give --organization or --user, not both")
    if organization or user:
        return Reference(reference, "organization" if organization else "user")
    return reference
