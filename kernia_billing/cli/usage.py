"""`kernia-billing usage`: what was used."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast, get_args

import click
from attrs import fields

from ..domain.answers import Page, UsageRecord
from ..domain.bins import Bin
from ..domain.ids import Property
from .command import Session, command
from .options import FEATURE, FROM, LIMIT, PROPERTIES, TO, kind_of_reference, whose
from .output import plain
from .pages import up_to

if TYPE_CHECKING:
    from .. import Billing

_PAGE = 1_000


@click.group()
def usage() -> None:
    """What was used."""


@usage.command("list")
@click.argument("reference")
@FEATURE
@PROPERTIES
@FROM
@TO
@kind_of_reference
@LIMIT
@command
def show(
    session: Session,
    reference: str,
    feature: str | None,
    properties: Mapping[str, Property],
    start: datetime | None,
    end: datetime | None,
    limit: int,
    *,
    organization: bool,
    user: bool,
) -> None:
    """List the uses of a reference, newest first."""
    who = whose(reference, organization=organization, user=user)
    found = up_to(
        session.app,
        limit,
        lambda billing, number, cursor: billing.usage(
            who, feature, properties=properties, start=start, end=end, limit=number, cursor=cursor
        ),
    )
    session.out.rows(found, ("id", "feature", "quantity", "mode", "occurred_at", "properties"), "no uses")


@usage.command()
@click.argument("reference")
@click.argument("feature")
@click.option("--bin", type=click.Choice(get_args(Bin)), default="day", show_default=True, help="So long each.")
@click.option("--tz", default="UTC", show_default=True, help="The time zone of the calendar.")
@click.option("--group-by", metavar="PROPERTY", help="Apart for every value of a property.")
@FROM
@TO
@kind_of_reference
@command
def series(
    session: Session,
    reference: str,
    feature: str,
    bin: Bin,
    tz: str,
    group_by: str | None,
    start: datetime | None,
    end: datetime | None,
    *,
    organization: bool,
    user: bool,
) -> None:
    """Add up what a reference used of a feature, by hour, day or month."""
    who = whose(reference, organization=organization, user=user)
    points = session.app.call(
        lambda billing: billing.usage_series(who, feature, bin=bin, start=start, end=end, tz=tz, group_by=group_by)
    )
    columns = ("start", "quantity") if group_by is None else ("start", "group", "quantity")
    session.out.rows(points, columns, "nothing")


@usage.command()
@click.argument("reference", required=False)
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv", show_default=True, help="The form."
)
@FEATURE
@PROPERTIES
@FROM
@TO
@kind_of_reference
@command
def export(
    session: Session,
    reference: str | None,
    form: str,
    feature: str | None,
    properties: Mapping[str, Property],
    start: datetime | None,
    end: datetime | None,
    *,
    organization: bool,
    user: bool,
) -> None:
    """Write out everything that is recorded of uses, of one reference or of all, a line each."""
    who = None if reference is None else whose(reference, organization=organization, user=user)
    write = _as_json if form == "jsonl" or session.out.as_json else _as_csv()
    for record in _records(
        session,
        lambda billing, cursor: billing.export_usage(
            who, feature=feature, properties=properties, start=start, end=end, limit=_PAGE, cursor=cursor
        ),
    ):
        write(record)


def _records(session: Session, page_of: Callable[[Billing, str | None], Page[UsageRecord]]) -> Iterator[UsageRecord]:
    """Page by page: no more than one is in memory."""

    def ask(cursor: str | None) -> Page[UsageRecord]:
        return session.app.call(lambda billing: page_of(billing, cursor))

    page = ask(None)
    yield from page
    while page.next_cursor is not None:
        page = ask(page.next_cursor)
        yield from page


def _as_json(record: UsageRecord) -> None:
    click.echo(json.dumps(plain(record)))


def _as_csv() -> Callable[[UsageRecord], None]:
    """A table whose first line names the columns; properties are JSON in one of them."""
    names = [each.name for each in fields(UsageRecord)]
    columns = [*names[:2], "customer_type", *names[2:]]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)

    def write(record: UsageRecord) -> None:
        told = cast("dict[str, Any]", plain(record))
        cells = {**told, "reference": record.reference.id, "customer_type": record.reference.type}
        cells["properties"] = json.dumps(told["properties"], sort_keys=True)
        writer.writerow([cells[name] for name in columns])

    return write
