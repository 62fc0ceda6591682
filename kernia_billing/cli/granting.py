"""`kernia-billing grant` and `revoke`: more of a feature by hand, and its end; `credit-min`: how far credits go."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from ..configuration.problems import Wrong
from ..configuration.values import duration
from .command import Session, command
from .options import MOMENT, YES, kind_of_reference, whose


class Until(click.ParamType[datetime]):
    """A time, or how long it is until then: 30d, 12h."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment that a text names."""
        if isinstance(value, str):
            try:
                return datetime.now(UTC) + duration(value)
            except Wrong:
                pass
        return MOMENT.convert(value, param, ctx)


@click.command()
@click.argument("reference")
@click.argument("feature")
@click.argument("amount", type=int)
@kind_of_reference
@click.option("--entity", help="Only for this member, project or workspace of the reference.")
@click.option("--expires", type=Until(), metavar="TIME|LENGTH", help="When what is left lapses: 30d, 12h, 2026-03-01.")
@click.option("--note", help="Why, for the audit log.")
@click.option("--key", help="Idempotency key: under the same key it is given once.")
@YES
@command
def grant(
    session: Session,
    reference: str,
    feature: str,
    amount: int,
    *,
    organization: bool,
    user: bool,
    entity: str | None,
    expires: datetime | None,
    note: str | None,
    key: str | None,
    yes: bool,
) -> None:
    """Give a reference AMOUNT of a feature beside what its plans include."""
    who = whose(reference, organization=organization, user=user)
    lasting = "for ever" if expires is None else f"until {expires.isoformat(timespec='seconds')}"
    session.out.say(f"{amount} of {feature} for {reference}{f' ({entity})' if entity else ''}, {lasting}")
    session.confirm("Give it?", yes=yes)
    given = session.app.call(
        lambda billing: billing.grant(
            who, feature, amount, entity=entity, expires_at=expires, note=note, idempotency_key=key
        )
    )
    session.out.document(given, [given.id])


@click.command()
@click.argument("reference")
@click.argument("grant_id")
@kind_of_reference
@YES
@command
def revoke(session: Session, reference: str, grant_id: str, *, organization: bool, user: bool, yes: bool) -> None:
    """End a grant: what is used of it stays used, the rest is gone."""
    who = whose(reference, organization=organization, user=user)
    session.confirm(f"End {grant_id} of {reference}?", yes=yes)
    ended = session.app.call(lambda billing: billing.revoke(who, grant_id))
    session.out.document(ended, [f"{ended.id}: {ended.feature} ended at {ended.expires_at}"])


@click.command("credit-min", context_settings={"ignore_unknown_options": True})
@click.argument("reference")
@click.argument("feature")
@click.argument("minimum", type=int)
@kind_of_reference
@click.option("--note", help="Why, for the audit log.")
@YES
@command
def credit_min(
    session: Session,
    reference: str,
    feature: str,
    minimum: int,
    *,
    organization: bool,
    user: bool,
    note: str | None,
    yes: bool,
) -> None:
    """Let no use bring a balance of credits below MINIMUM: to be kept or, below 0, to be overdrawn."""
    who = whose(reference, organization=organization, user=user)
    meaning = f"{minimum} have to stay" if minimum >= 0 else f"{-minimum} may be overdrawn"
    session.out.say(f"{feature} of {reference}: {meaning}")
    session.confirm("Set it?", yes=yes)
    after = session.app.call(lambda billing: billing.set_credit_min(who, feature, minimum, note=note))
    session.out.document(after, [f"{after.remaining} left, {after.overage_used} overdrawn"])
