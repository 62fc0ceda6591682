"""`kernia-billing audit`: who changed what."""

from __future__ import annotations

import click

from ..domain.references import Reference
from .command import Session, command
from .options import LIMIT
from .pages import up_to


@click.command()
@click.argument("reference", required=False)
@click.option("--organization", is_flag=True, help="The reference is an organization.")
@click.option("--user", is_flag=True, help="The reference is a user.")
@LIMIT
@command
def audit(session: Session, reference: str | None, limit: int, *, organization: bool, user: bool) -> None:
    """List what was changed and by whom, newest first: for one reference, or for all."""
    if organization and user:
        raise click.UsageError("give --organization or --user, not both")
    who: Reference | str | None = reference
    if reference is not None and (organization or user):
        who = Reference(reference, "organization" if organization else "user")
    found = up_to(session.app, limit, lambda billing, number, cursor: billing.audit(who, limit=number, cursor=cursor))
    session.out.rows(found, ("at", "actor", "action", "reference", "subject", "before", "after"), "no changes")
