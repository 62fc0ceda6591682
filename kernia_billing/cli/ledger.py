"""`kernia-billing ledger`: what moved in the books of a reference."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import get_args

import click

from ..domain.grants import Entry, Source
from ..domain.ids import Property
from .command import Session, command
from .options import FEATURE, FROM, LIMIT, PROPERTIES, TO, kind_of_reference, whose
from .pages import up_to

_COLUMNS = (
    "at",
    "entry",
    "source",
    "feature",
    "amount",
    "held",
    "used_after",
    "included_after",
    "event_id",
    "properties",
)


@click.command()
@click.argument("reference")
@FEATURE
@click.option("--source", type=click.Choice(get_args(Source)), help="Only what this gave.")
@click.option("--entry", type=click.Choice(get_args(Entry)), help="Only what moved for this reason.")
@PROPERTIES
@FROM
@TO
@kind_of_reference
@LIMIT
@command
def ledger(
    session: Session,
    reference: str,
    feature: str | None,
    source: Source | None,
    entry: Entry | None,
    properties: Mapping[str, Property],
    start: datetime | None,
    end: datetime | None,
    limit: int,
    *,
    organization: bool,
    user: bool,
) -> None:
    """List what moved in the books of a reference, newest first: where from, and why."""
    who = whose(reference, organization=organization, user=user)
    found = up_to(
        session.app,
        limit,
        lambda billing, number, cursor: billing.ledger(
            who,
            feature,
            source=source,
            entry=entry,
            properties=properties,
            start=start,
            end=end,
            limit=number,
            cursor=cursor,
        ),
    )
    session.out.rows(found, _COLUMNS, "nothing moved")
