"""`kernia-billing audit`: who changed what."""

from __future__ import annotations

import click

from .command import Session, command
from .options import LIMIT, kind_of_reference, whose
from .pages import up_to


@click.command()
@click.argument("reference", required=False)
@kind_of_reference
@LIMIT
@command
def audit(session: Session, reference: str | None, limit: int, *, organization: bool, user: bool) -> None:
    """List what was changed and by whom, newest first: for one reference, or for all."""
    kind = whose(reference or "", organization=organization, user=user)
    who = None if reference is None else kind
    found = up_to(session.app, limit, lambda billing, number, cursor: billing.audit(who, limit=number, cursor=cursor))
    session.out.rows(found, ("at", "actor", "action", "reference", "subject", "before", "after"), "no changes")
