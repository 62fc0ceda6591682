"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

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
LIMIT = click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="So many at most.")
