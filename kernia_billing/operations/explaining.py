"""Why an answer was as it was: the decision of any instant, found again and told in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import evolve, frozen

from ..domain.answers import Decision
from ..domain.explanations import Explanation, GivenGrant, HeldUnits
from ..domain.grants import Grant, Holding, UsageRow
from ..domain.holds import HoldRow
from ..domain.ids import entity_id, feature_key
from ..domain.instants import FOREVER, Instant, to_datetime, to_datetime_or_none, to_instant
from ..domain.minimums import is_minimum, overdraft
from ..domain.offer import FeatureSpec, Offer, content_hash
from ..domain.plan_items import PlanItem
from ..domain.plans import Allowance, Boolean, Credits, Metered, Quantity
from ..domain.references import Ref, Reference
from ..domain.terms import limits_of, terms_of
from ..errors import InvalidInput
from ..ports.store import Transaction
from .balances import decide
from .core import Core
from .past import AsOf, drawing_on
from .replacing import limit_of, rules_in
from .situation import Situation, looked_up
from .suggesting import plan_key_of
from .usage import listed

LAST_USES = 3
"""So many of the last uses are told of."""


@frozen
class _Found:
    """What was read for an explanation."""

    decision: Decision
    state: Situation
    grants: Sequence[GivenGrant]
    holds: Sequence[HoldRow]
    uses: Sequence[UsageRow]
    unknown: Sequence[str]
    takes: Sequence[Grant]
    """The trials and overrides that leave nothing of the feature."""


async def explain(
    core: Core, reference: Ref, feature: str, *, entity: str | None = None, at: datetime | None = None
) -> Explanation:
    """Say why one unit of a feature may be used or not, now or as `check` would have answered at `at`.

    Raises:
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or `at` lies in the future.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    spec = core.offer.feature(feature_key(feature))
    where = entity_id(entity)
    now = core.now()
    instant = now if at is None else to_instant(at, field="at")
    if instant > now:
        raise InvalidInput("lies in the future", field="at")
    found = await core.store.read(
        lambda tx: _found(core, tx, who, spec, where, instant, past=None if at is None else instant)
    )
    holds = [HeldUnits(row.id, row.feature, row.quantity, to_datetime(row.expires_at)) for row in found.holds]
    return Explanation.of(
        _text(found),
        decision=found.decision,
        grants=tuple(found.grants),
        holds=tuple(holds),
        uses=tuple(map(listed, found.uses)),
        unknown=tuple(found.unknown),
    )


def _found(
    core: Core,
    tx: Transaction,
    reference: Reference,
    feature: FeatureSpec,
    entity: str,
    at: Instant,
    *,
    past: Instant | None,
) -> _Found:
    then = AsOf(core, tx, past)
    offer = core.offer if past is None else _offer_of(core, tx, then, past)
    look = looked_up(evolve(core, offer=offer), then.as_transaction(), reference, feature, entity, at)
    customer, state = look.customer, look.situation
    allocation = state.allocate(1, "require")
    rows = () if state.holdings or customer is None else then.subscriptions.of_customer(customer.id)
    plan = None if customer is None else customer.plan
    decision = decide(reference, state, 1, allocation, subscriptions=rows, plan=plan)
    drawing = drawing_on(core, feature.key)
    return _Found(
        decision=decision,
        state=state,
        grants=[_given(tx, then, offer, each) for each in state.holdings],
        holds=() if customer is None else tx.history.holds(customer.id, drawing, at),
        uses=() if customer is None else tx.history.last_uses(customer.id, drawing, then.seq, at, LAST_USES),
        unknown=tuple(then.unknown),
        takes=[rule for rule, _ in rules_in(look.held, at) if rule.feature == feature.key and rule.amount == 0],
    )


# ── the offer of then ────────────────────────────────────────────────────────────────────────────────────────────────


def _offer_of(core: Core, tx: Transaction, past: AsOf, at: Instant) -> Offer:
    """The offer with the default plan as it was stored last by an instant. The plans of others are in their grants."""
    plan = core.offer.default_plan
    if plan is None:
        return core.offer
    stored = tx.history.versions(plan.key, at)
    # Plans are stored by imports. The first version there is tells of the time before it, too.
    stored = stored or tx.history.versions(plan.key, FOREVER)[-1:]
    version = tx.plans.by_id(stored[0]) if stored else None
    if version is None or version.content_hash == content_hash(plan):
        return core.offer
    past.cannot_tell(
        f"whether the default plan {plan.name}, changed since, was as it was stored: shown is version {version.version}"
    )
    features = {item.feature: _allowance(item) for item in version.items if item.kind != "seat"}
    return evolve(core.offer, default_plan=evolve(plan, features=features))


def _allowance(item: PlanItem) -> Allowance:
    """The allowance that a stored item was made of."""
    terms = terms_of(item.terms)
    alerts = tuple(each.value for each in terms.alerts)
    if item.kind == "boolean":
        return Boolean(trial=item.trial is None)
    if item.kind in ("quantity", "seat"):
        return Quantity(
            item.amount or 0,
            unlimited=item.amount is None,
            per_seat=item.per_seat,
            trial=item.trial,
            limits=terms.limits,
            alerts=alerts,
        )
    kind = Credits if item.kind == "credit" else Metered
    return kind(
        item.amount or 0,
        unlimited=item.amount is None,
        per_seat=item.per_seat,
        reset=item.reset,
        anchor=item.anchor,
        overage=item.overage,
        overage_limit=item.overage_limit,
        meter=item.meter,
        rollover=None if terms.rollover is None else terms.rollover.cap,
        rollover_periods=None if terms.rollover is None else terms.rollover.periods,
        on_plan_change=item.on_plan_change,
        debt=terms.debt,
        trial=item.trial,
        limits=terms.limits,
        alerts=alerts,
    )


def _given(tx: Transaction, past: AsOf, offer: Offer, holding: Holding) -> GivenGrant:
    grant, bucket = holding.grant, holding.bucket
    below = overdraft(holding) if is_minimum(grant) else None
    rule = grant if holding.instead is None else holding.instead.grant
    plan, version = _plan_of(tx, offer, grant)
    given_at = past.given.get(rule.id)
    return GivenGrant(
        id=grant.id,
        feature=grant.feature,
        source=holding.source,
        kind=grant.kind,
        plan=plan,
        version=version,
        included=holding.amount if below is None else below.limit,
        used=bucket.used if below is None else below.used,
        held=bucket.held,
        given_at=None if given_at is None else to_datetime(given_at),
        effective_at=to_datetime(rule.effective_at),
        expires_at=to_datetime_or_none(min(grant.expires_at, rule.expires_at)),
        resets_at=to_datetime_or_none(bucket.period_end),
    )


def _plan_of(tx: Transaction, offer: Offer, grant: Grant) -> tuple[str | None, int | None]:
    """The plan that gave a grant, by its name now, and the number of its version."""
    if grant.source_type not in ("default", "plan"):
        return None, None
    key = plan_key_of(grant)
    plan = None if key is None else offer.plans.get(key)
    version = None
    if key is not None and grant.source_type == "plan":
        # The version's id, a key and a hash, stands in the source between item and anchor.
        version = tx.plans.by_id(grant.source_id.split(":", 2)[2].rpartition(":")[0])
    return key if plan is None else plan.name, None if version is None else version.version


# ── in plain words ───────────────────────────────────────────────────────────────────────────────────────────────────

_SOURCES = {
    "manual": "A grant by hand",
    "top_up": "A top-up",
    "carry": "A grant of what was left of the plan before",
    "rollover": "What was left of an earlier period",
    "credit_min": "An overdraft",
    "override": "An override",
}


def _text(found: _Found) -> str:
    decision, feature = found.decision, found.state.feature.key
    first = [f"{'allowed' if decision.allowed else 'denied'}: {decision.reason}.", *_balance(found)]
    told = [_grant(each, feature) for each in found.grants]
    lines = [" ".join([*first, *told, *_last_use(found.uses, feature)])]
    lines += [f"Before that {_use(row, feature)}." for row in found.uses[1:]]
    lines += [_taken(each.grant) for each in found.state.holdings if each.grant.rules.given is not None]
    lines += [f"{least} of {key} have to stay." for key, least in found.state.minimums.items() if least > 0]
    lines += [_limit(each) for each in decision.limits]
    lines += dict.fromkeys(line for each in found.state.holdings for line in _other_limits(each))
    lines += [
        f"Hold {row.id} keeps {_count(row.quantity, row.feature, found.state.feature)} until {_time(row.expires_at)}."
        for row in found.holds
    ]
    if decision.resets_at is not None:
        lines.append(f"Starts anew on {_moment(decision.resets_at)}.")
    if decision.reason == "not_entitled":
        lines.append("Nothing that was live then gave it: no plan, and no grant.")
        lines += [_taken_away(each) for each in found.takes]
    lines += [f"Not known any more: {each}." for each in found.unknown]
    return "\n".join(lines)


def _balance(found: _Found) -> list[str]:
    balance, state = found.decision.balance, found.state
    if not state.holdings or state.feature.kind == "boolean":
        return []
    held = f", {balance.held} held" if balance.held else ""
    told: list[str] = []
    if balance.unlimited and not state.pools:
        told.append(f"{balance.used} used without limit{held}.")
    elif state.own:
        told.append(f"{balance.used} of {balance.included} used{held}.")
    if state.pools and balance.remaining is not None:
        told.append(f"{balance.remaining} left with what credits pay.")
    if any(each.grant.kind == "overage" for each in state.own):
        most = "" if balance.overage_limit is None else f" of at most {balance.overage_limit}"
        told.append(f"{balance.overage_used}{most} used beyond it.")
    return told


def _grant(given: GivenGrant, feature: str) -> str:
    version = "" if given.version is None else f" v{given.version}"
    plan = "A plan" if given.plan is None else f"Plan {given.plan}{version}"
    if given.source == "default":
        giver = f"Default plan {given.plan}{version}"
    elif given.source == "plan":
        giver = plan
    elif given.source == "trial":
        giver = f"{plan}, in its trial,"
    elif given.source == "override" and given.plan is not None:
        giver = f"An override of plan {given.plan}{version}"
    else:
        giver = _SOURCES.get(given.source, f"A grant ({given.source})")
    what = "no limit" if given.included is None else str(given.included)
    of = "" if given.feature == feature else f" of {given.feature}"
    over = " beyond it" if given.kind == "overage" else ""
    ends = "" if given.expires_at is None else f", until {_moment(given.expires_at)}"
    used = "" if given.feature == feature or given.included is None else f" ({given.used} used)"
    return f"{giver} gave {what}{of}{over} on {given.effective_at:%Y-%m-%d}{used}{ends}."


def _taken_away(rule: Grant) -> str:
    until = "" if rule.expires_at == FOREVER else f", until {_time(rule.expires_at)}"
    if rule.source_type == "trial":
        return f"The plan has it, its trial does not{until}."
    return f"An override of {_time(rule.effective_at)} takes it away{until}."


def _last_use(uses: Sequence[UsageRow], feature: str) -> list[str]:
    return [f"Last use {_use(uses[0], feature)}."] if uses else []


def _use(row: UsageRow, feature: str) -> str:
    key = "" if row.idempotency_key.startswith("auto_") else f" ({row.idempotency_key})"
    gave = "gave back " if row.quantity < 0 else ""
    of = "" if row.feature == feature else f" {row.feature}"
    part = f", {row.unfunded} of it not covered" if row.unfunded and row.quantity > 0 else ""
    return f"{row.id}{key}: {gave}{abs(row.quantity)}{of} on {_time(row.received_at)}{part}"


def _taken(grant: Grant) -> str:
    gone = (grant.rules.given or 0) - (grant.amount or 0)
    return f"{gone} of {grant.rules.given} {grant.feature} of a top-up went with what came back of its payment."


def _limit(told: Mapping[str, Any]) -> str:
    whose = "" if told["entityId"] is None else f" by {told['entityId']}"
    per = f"a {told['per']}" if told["count"] == 1 else f"every {told['count']} {told['per']}s"
    used = f"{told['used']} of at most {told['maximum']} {told['feature']} {per}{whose} used"
    return f"{used}, anew on {_moment(told['resetsAt'])}."


def _other_limits(holding: Holding) -> Iterator[str]:
    """What overrides make of the limits of a plan."""
    own = {limit.id: limit for limit in limits_of(holding.grant.terms, holding.grant.feature)}
    for rule in holding.limited:
        limit = limit_of(rule)
        if limit is not None and limit.id in own:
            until = "" if rule.expires_at == FOREVER else f", until {_time(rule.expires_at)}"
            said = f"An override of {_time(rule.effective_at)} allows {limit.maximum} {limit.feature}"
            yield f"{said} instead of {own[limit.id].maximum} a window{until}."


def _count(quantity: int, feature: str, asked: FeatureSpec) -> str:
    return str(quantity) if feature == asked.key else f"{quantity} {feature}"


def _time(instant: Instant) -> str:
    return "ever" if instant == FOREVER else _moment(to_datetime(instant))


def _moment(moment: datetime) -> str:
    """To the minute, or as exactly as it is not a whole one."""
    form = "%Y-%m-%d %H:%MZ" if not moment.second and not moment.microsecond else "%Y-%m-%d %H:%M:%SZ"
    return moment.strftime(form)
