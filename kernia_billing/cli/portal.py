"""`kernia-billing portal`: what customers may do in Stripe's billing portal."""

from __future__ import annotations

from typing import Literal, cast

import click

from .command import Session, command
from .options import YES


@click.group()
def portal() -> None:
    """What customers may do in Stripe's billing portal."""


@portal.command()
@click.option("--return-url", metavar="URL", help="Where the portal leads back to by default.")
@click.option("--headline", metavar="TEXT", help="What stands above the portal, 60 characters at most.")
@click.option(
    "--cancel",
    type=click.Choice(["period_end", "now", "no"]),
    default="period_end",
    show_default=True,
    help="Whether customers may cancel, and when that ends a subscription.",
)
@click.option("--change/--no-change", default=True, help="Whether they may change to another plan that has a price.")
@YES
@command
def configure(
    session: Session, return_url: str | None, headline: str | None, cancel: str, *, change: bool, yes: bool
) -> None:
    """Make the portal's configuration at Stripe, or change the one that was made; the portal is opened with it.

    Plans are those of the application, with the prices that were imported.
    """
    session.confirm("Configure the billing portal?", yes=yes)
    when = cast('Literal["period_end", "now"] | None', None if cancel == "no" else cancel)
    made = session.app.call(
        lambda billing: billing.configure_portal(return_url=return_url, headline=headline, cancel=when, change=change)
    )
    session.out.document({"id": made.id, "cancel": made.cancel, "change": made.change}, [made.id])
