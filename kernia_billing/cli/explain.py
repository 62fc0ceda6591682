"""`kernia-billing explain`: why something may be used or not, now or then."""

from __future__ import annotations

from datetime import datetime

import click

from .command import Session, command
from .options import MOMENT, kind_of_reference, whose

_PARTS = ("decision", "grants", "holds", "uses", "unknown")


@click.command()
@click.argument("reference")
@click.argument("feature")
@click.option("--at", type=MOMENT, metavar="TIME", help="What was answered at this time, instead of now.")
@click.option("--entity", help="Of this member, project or other part of the reference.")
@kind_of_reference
@command
def explain(
    session: Session,
    reference: str,
    feature: str,
    at: datetime | None,
    entity: str | None,
    *,
    organization: bool,
    user: bool,
) -> None:
    """Say in plain words why one unit of a feature may be used or not. Changes nothing."""
    who = whose(reference, organization=organization, user=user)
    told = session.app.call(lambda billing: billing.explain(who, feature, entity=entity, at=at))
    session.out.document({"text": str(told), **{name: getattr(told, name) for name in _PARTS}}, told.splitlines())
