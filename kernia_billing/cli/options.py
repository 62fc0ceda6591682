"""Options that several commands have."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

from ..domain.ids import Property
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


class Member(click.ParamType[tuple[str, Property]]):
    """A property of a use: its name and its value, which is a text where JSON means no number and no truth by it."""

    name = "property"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Property]:
        """The name and the value that a text gives."""
        name, equals, told = str(value).partition("=")
        if not equals:
            self.fail("must be a name and a value, such as model=small", param, ctx)
        try:
            found = json.loads(told)
        except ValueError:
            return name, told
        return name, found if isinstance(found, str | int) else told


def _members(
    _ctx: click.Context, _param: click.Parameter, value: tuple[tuple[str, Property], ...]
) -> dict[str, Property]:
    return dict(value)


MOMENT = Moment()
SINCE = click.option("--since", type=MOMENT, metavar="TIME", help="Received at this time or later.")
UNTIL = click.option("--until", type=MOMENT, metavar="TIME", help="Received before this time.")
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
FROM = click.option("--from", "start", type=MOMENT, metavar="TIME", help="At this time or later.")
TO = click.option("--to", "end", type=MOMENT, metavar="TIME", help="Before this time.")
FEATURE = click.option("--feature", help="Only of this feature.")
PROPERTIES = click.option(
    "--property",
    "properties",
    type=Member(),
    multiple=True,
    callback=_members,
    metavar="NAME=VALUE",
    help='Only uses with this property; more than one may be given. A text of digits is quoted: n="7".',
)
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
