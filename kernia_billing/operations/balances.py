"""Balances and decisions, built from what a customer holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..domain.answers import Balance, Decision, Reason
from ..domain.buckets import Allocation
from ..domain.grants import Holding
from ..domain.ids import entity_id
from ..domain.instants import FOREVER, to_datetime, to_datetime_or_none
from ..domain.offer import FeatureSpec
from ..domain.references import Ref, Reference
from ..domain.subscriptions import SubscriptionRow, first_live
from .core import Core
from .holdings import live_holdings
from .situation import Situation


def balance_of(feature: str, holdings: Sequence[Holding]) -> Balance:
    """How much of a feature there is over all its holdings; overage stands apart."""
    included = used = held = left = overage_used = 0
    unlimited = False
    resets_at = FOREVER
    limits: list[int | None] = []
    for each in holdings:
        bucket = each.bucket
        if each.grant.kind == "overage":
            overage_used += bucket.used
            limits.append(bucket.amount)
            continue
        used += bucket.used
        held += bucket.held
        if bucket.amount is None:
            unlimited = True
        else:
            included += bucket.amount
            left += bucket.amount - bucket.used - bucket.held
        resets_at = min(resets_at, bucket.period_end)
    return Balance(
        feature=feature,
        included=included,
        used=used,
        held=held,
        remaining=None if unlimited else left,
        unlimited=unlimited,
        resets_at=to_datetime_or_none(resets_at),
        overage_used=overage_used,
        overage_limit=None if not limits or None in limits else sum(limit for limit in limits if limit is not None),
    )


def decide(
    reference: Reference,
    situation: Situation,
    required: int,
    allocation: Allocation,
    *,
    subscriptions: Sequence[SubscriptionRow] = (),
) -> Decision:
    """The decision on a quantity, from a situation and the allocation that the planner made of it.

    `subscriptions` are needed only where there are no holdings, to say why.
    """
    feature, holdings = situation.feature, situation.holdings
    balance = balance_of(feature.key, situation.own)
    allowed = allocation.allowed and bool(holdings)
    reason = _reason(feature, holdings, allocation, subscriptions)
    return Decision(
        allowed=allowed,
        reason=reason,
        message=_message(feature, reason, required, balance),
        reference=reference,
        feature=feature.key,
        required=required,
        balance=balance,
        breakdown=_breakdown(holdings, allocation),
        limits=(),
        offers=(),
        as_of=to_datetime(situation.now),
    )


def _reason(
    feature: FeatureSpec,
    holdings: Sequence[Holding],
    allocation: Allocation,
    subscriptions: Sequence[SubscriptionRow],
) -> Reason:
    if not holdings:
        row = first_live(subscriptions)
        if row is None:
            return "not_entitled"
        if row.status == "past_due":
            return "subscription_past_due"
        return "not_entitled" if row.status in ("active", "trialing") else "subscription_inactive"
    if allocation.allowed:
        if allocation.overage_units:
            return "overage"
        unlimited = any(each.bucket.amount is None and each.grant.kind != "overage" for each in holdings)
        return "unlimited" if unlimited and feature.kind != "boolean" else "ok"
    return "overage_limit" if any(each.grant.kind == "overage" for each in holdings) else "insufficient_balance"


def _message(feature: FeatureSpec, reason: Reason, required: int, balance: Balance) -> str:
    name = feature.title or feature.key
    if reason in ("ok", "overage", "unlimited"):
        return f"{required} of {name} may be used." if feature.kind != "boolean" else f"{name} is included."
    if reason == "subscription_past_due":
        return f"{name} is suspended until the open invoice is paid."
    if reason == "subscription_inactive":
        return f"{name} needs an active subscription."
    if reason == "not_entitled":
        return f"{name} is not part of the plan."
    return f"{required} of {name} asked for, {balance.remaining or 0} of {balance.included} left."


def _breakdown(holdings: Sequence[Holding], allocation: Allocation) -> Sequence[Mapping[str, object]]:
    drawn = {draw.bucket_id: draw.amount for draw in allocation.draws}
    return tuple(
        {
            "source": each.grant.source_type,
            "sourceId": each.grant.source_id,
            "kind": each.grant.kind,
            "included": each.bucket.amount,
            "used": each.bucket.used,
            "held": each.bucket.held,
            "draws": drawn.get(each.bucket.id, 0),
            "resetsAt": to_datetime_or_none(each.bucket.period_end),
        }
        for each in holdings
    )


async def balances(core: Core, reference: Ref, *, entity: str | None = None) -> Mapping[str, Balance]:
    """The balance of every feature that the customer holds now, by the feature's key. One read."""
    who = core.reference(reference)
    entity_id(entity)
    now = core.now()
    keys = tuple(core.offer.features)
    customer, held = await core.store.read(lambda tx: tx.entitlements.of_reference(who, None, now))
    holdings = live_holdings(core.offer, customer, held, keys, now)
    by_feature: dict[str, list[Holding]] = {}
    for each in holdings:
        by_feature.setdefault(each.grant.feature, []).append(each)
    return {feature: balance_of(feature, by_feature[feature]) for feature in sorted(by_feature)}
