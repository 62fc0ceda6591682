"""Overrides of usage limits: what a limit of a reference's plans allows instead, set and ended by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from ..domain import answers
from ..domain.grants import Grant, single_period
from ..domain.ids import feature_key, printable
from ..domain.instants import FOREVER, to_datetime, to_datetime_or_none, to_instant
from ..domain.plan_items import items_of
from ..domain.plans import UsageLimit
from ..domain.references import Ref
from ..domain.terms import Terms, limits_of
from ..errors import InvalidInput
from ..ports.store import Held
from .core import Core
from .overriding import put_rule, remove_rules, rule_stamp, rules_of
from .replacing import limit_of


async def put(
    core: Core,
    reference: Ref,
    feature: str,
    limit: UsageLimit,
    *,
    until: datetime | None = None,
    reason: str | None = None,
    key: str | None = None,
    transaction: object | None = None,
) -> answers.LimitOverride:
    """Let a usage limit of a reference's plans allow another maximum until it ends.

    `limit`, whose members were checked, names the limit of the plans that differs in nothing but `maximum`. It takes
    the place of the override that this one has, and what was counted stays counted. Once for every idempotency key.

    Raises:
        IdempotencyMismatch: the key was used for another override.
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, no plan has such a limit, or the time at which it ends has come.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))
    ends = FOREVER if until is None else to_instant(until, field="until")
    why = None if reason is None else printable(reason, "reason")
    stamp = rule_stamp(core, who, key, spec.key, None, limit, ends)
    terms = Terms(limits=(limit,), reason=why).text()
    wanted = single_period(spec.key, "override", stamp.key, None, 0, expires_at=ends, terms=terms)

    def check(rows: Iterable[Held]) -> None:
        sold = [(item.terms, item.feature) for plan in core.offer.plans.values() for item in items_of(plan)]
        # Whoever bought an earlier version of a plan has its limits.
        given = [(grant.terms, grant.feature) for grant, _ in rows if grant.source_type != "override"]
        known = {each.id for terms, limited in (*sold, *given) for each in limits_of(terms, limited)}
        if known.isdisjoint(each.id for each in limits_of(wanted.terms, spec.key)):
            raise InvalidInput(f"must count what a limit of a plan counts: none of {spec.key} does", field="limit")

    return _answer(await put_rule(core, stamp, wanted, transaction, check))


async def remove(
    core: Core, reference: Ref, feature: str, *, transaction: object | None = None
) -> Sequence[answers.LimitOverride]:
    """End the overrides of all usage limits of a feature now; gives them as they are then.

    Raises:
        NotFound: there is no such feature (FEATURE_NOT_FOUND).
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    ended = await remove_rules(core, reference, feature, lambda rule: limit_of(rule) is not None, transaction)
    return tuple(map(_answer, ended))


async def current(core: Core, reference: Ref) -> Sequence[answers.LimitOverride]:
    """The overrides of usage limits that a reference has now, by feature.

    Raises:
        Unavailable: the database does not answer.
    """
    return tuple(_answer(each) for each in await rules_of(core, reference) if limit_of(each) is not None)


def _answer(rule: Grant) -> answers.LimitOverride:
    return answers.LimitOverride(
        id=rule.id,
        feature=rule.feature,
        limit=rule.rules.limits[0],
        set_at=to_datetime(rule.effective_at),
        until=to_datetime_or_none(min(rule.expires_at, rule.closed_at)),
        reason=rule.rules.reason,
    )
