"""`kernia-billing overrides`: what one reference has of a feature instead of what its plans include."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, get_args

import click

from ..domain.ids import Property
from ..domain.plans import LimitWindow, UsageLimit
from .command import Session, command
from .granting import Until
from .options import PROPERTIES, YES, kind_of_reference, whose

_WORDS: dict[str, int | None] = {"true": True, "false": False, "unlimited": None}


class Included(click.ParamType[object]):
    """A number of units, `unlimited`, or `true` and `false` for a boolean feature."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        """The amount that a text names."""
        if value in _WORDS:
            return _WORDS[value]
        try:
            return int(value)
        except ValueError:
            self.fail("must be a whole number, unlimited, true or false", param, ctx)


@click.group()
def overrides() -> None:
    """What a reference has of a feature instead of what its plans include."""


@overrides.command("set")
@click.argument("reference")
@click.argument("feature")
@click.argument("amount", type=Included())
@kind_of_reference
@click.option("--until", type=Until(), metavar="TIME|LENGTH", help="When it ends: 30d, 12h, 2026-03-01.")
@click.option("--reason", help="Why, for whoever lists it.")
@click.option("--key", help="Idempotency key: under the same key it is set once.")
@YES
@command
def set_(
    session: Session,
    reference: str,
    feature: str,
    amount: int | None,
    *,
    organization: bool,
    user: bool,
    until: datetime | None,
    reason: str | None,
    key: str | None,
    yes: bool,
) -> None:
    """Let a reference have AMOUNT of a feature instead of what its plans include."""
    who = whose(reference, organization=organization, user=user)
    lasting = "until it is removed" if until is None else f"until {until.isoformat(timespec='seconds')}"
    session.out.say(f"{_told(amount)} of {feature} for {reference} instead of what plans include, {lasting}")
    session.confirm("Set it?", yes=yes)
    found = session.app.call(
        lambda billing: billing.overrides.set(who, feature, amount, until=until, reason=reason, idempotency_key=key)
    )
    session.out.document(found, [found.id])


@overrides.command()
@click.argument("reference")
@click.argument("feature")
@kind_of_reference
@YES
@command
def remove(session: Session, reference: str, feature: str, *, organization: bool, user: bool, yes: bool) -> None:
    """End the override of a feature: what the plan includes counts again."""
    who = whose(reference, organization=organization, user=user)
    session.confirm(f"End the override of {feature} of {reference}?", yes=yes)
    ended = session.app.call(lambda billing: billing.overrides.remove(who, feature))
    line = "there is none" if ended is None else f"{ended.id}: ended at {ended.until}"
    session.out.document({"override": ended}, [line])


@overrides.command("list")
@click.argument("reference")
@kind_of_reference
@command
def list_(session: Session, reference: str, *, organization: bool, user: bool) -> None:
    """Show the overrides that a reference has now."""
    who = whose(reference, organization=organization, user=user)
    found = session.app.call(lambda billing: billing.overrides.list(who))
    limits = session.app.call(lambda billing: billing.overrides.limits(who))
    lines = [f"{each.feature}: {_told(each.amount)}{_lasting(each.until, each.reason)}" for each in found]
    lines += [f"{each.feature}: {_limit(each.limit)}{_lasting(each.until, each.reason)}" for each in limits]
    session.out.document({"overrides": found, "limits": limits}, lines or ["no overrides"])


@overrides.command("set-limit")
@click.argument("reference")
@click.argument("feature")
@click.argument("maximum", type=int)
@click.option("--per", type=click.Choice(get_args(LimitWindow)), default="day", show_default=True)
@click.option("--count", type=int, default=1, show_default=True, help="So many of these make a window.")
@click.option("--per-entity", is_flag=True, help="The limit that counts every entity by itself.")
@click.option("--timezone", default="UTC", show_default=True, help="By whose calendar the windows are.")
@PROPERTIES
@kind_of_reference
@click.option("--until", type=Until(), metavar="TIME|LENGTH", help="When it ends: 30d, 12h, 2026-03-01.")
@click.option("--reason", help="Why, for whoever lists it.")
@click.option("--key", help="Idempotency key: under the same key it is set once.")
@YES
@command
def set_limit(
    session: Session,
    reference: str,
    feature: str,
    maximum: int,
    *,
    per: LimitWindow,
    count: int,
    per_entity: bool,
    timezone: str,
    properties: Mapping[str, Property],
    organization: bool,
    user: bool,
    until: datetime | None,
    reason: str | None,
    key: str | None,
    yes: bool,
) -> None:
    """Let the usage limit of a plan that counts the same allow MAXIMUM for a reference."""
    who = whose(reference, organization=organization, user=user)
    limit = UsageLimit(maximum, per, count, per_entity, properties, timezone)
    lasting = "until it is removed" if until is None else f"until {until.isoformat(timespec='seconds')}"
    session.out.say(f"{_limit(limit)} of {feature} for {reference} instead of what plans allow, {lasting}")
    session.confirm("Set it?", yes=yes)
    found = session.app.call(
        lambda billing: billing.overrides.set_limit(
            who, feature, limit, until=until, reason=reason, idempotency_key=key
        )
    )
    session.out.document(found, [found.id])


@overrides.command("remove-limits")
@click.argument("reference")
@click.argument("feature")
@kind_of_reference
@YES
@command
def remove_limits(session: Session, reference: str, feature: str, *, organization: bool, user: bool, yes: bool) -> None:
    """End the overrides of the usage limits of a feature: what the plans allow counts again."""
    who = whose(reference, organization=organization, user=user)
    session.confirm(f"End the overrides of the usage limits on {feature} of {reference}?", yes=yes)
    ended = session.app.call(lambda billing: billing.overrides.remove_limits(who, feature))
    lines = [f"{each.id}: ended at {each.until}" for each in ended]
    session.out.document({"limits": ended}, lines or ["there are none"])


def _limit(limit: UsageLimit) -> str:
    window = limit.per if limit.count == 1 else f"{limit.count} {limit.per}s"
    by = " by an entity" if limit.per_entity else ""
    return f"at most {limit.maximum} per {window}{by}"


def _lasting(until: datetime | None, reason: str | None) -> str:
    return f"{'' if until is None else f' until {until}'}{'' if reason is None else f' ({reason})'}"


def _told(amount: int | None) -> str:
    return "unlimited" if amount is None else str(amount).lower()
