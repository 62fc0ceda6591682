"""Balances and decisions, built from what a customer holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from ..domain.answers import Balance, Decision, Reason
from ..domain.buckets import Allocation, Pool, burn_order
from ..domain.grants import Holding
from ..domain.ids import entity_id
from ..domain.instants import FOREVER, to_datetime, to_datetime_or_none
from ..domain.minimums import is_minimum, minimums_of, overdraft, overdrawn, room
from ..domain.offer import FeatureSpec
from ..domain.references import Ref, Reference
from ..domain.subscriptions import SubscriptionRow, first_live
from ..ports.store import Transaction
from .core import Core
from .due import past_of
from .holdings import live_holdings
from .limiting import told
from .situation import Situation, features_of, within_reach


def balance(situation: Situation) -> Balance:
    """How much there is of the feature of a situation: what `remaining` says can be used, and no unit more but overage.

    What pools would pay counts as remaining, in whole units; everything else tells of the feature's own holdings.
    """
    feature = situation.feature
    if not feature.pools:
        return balance_of(feature.key, situation.holdings, situation.minimums)
    by_feature, minimums = _by_feature(situation.holdings), situation.minimums
    own = balance_of(feature.key, by_feature.get(feature.key, ()), minimums)
    return _with_pools(own, feature.pools, by_feature, minimums)


def _with_pools(
    own: Balance, pools: Sequence[Pool], by_feature: Mapping[str, Sequence[Holding]], minimums: Mapping[str, int]
) -> Balance:
    paying = [
        (pool, balance_of(pool.feature, held, minimums)) for pool in pools if (held := by_feature.get(pool.feature))
    ]
    if own.remaining is None or not paying:
        return own
    # A pool pays for everything where it costs nothing, or has no limit itself.
    paid = [
        None if credits.unlimited or pool.cost == 0 else (credits.remaining or 0) // pool.cost
        for pool, credits in paying
    ]
    counted = [units for units in paid if units is not None]
    unlimited = len(counted) < len(paid)
    resets = [credits.resets_at for _, credits in paying if credits.resets_at is not None]
    return evolve(
        own,
        remaining=None if unlimited else own.remaining + sum(counted),
        unlimited=unlimited,
        resets_at=own.resets_at if own.feature in by_feature else min(resets, default=None),
    )


def _by_feature(holdings: Iterable[Holding]) -> dict[str, list[Holding]]:
    found: dict[str, list[Holding]] = {}
    for each in holdings:
        found.setdefault(each.grant.feature, []).append(each)
    return found


def balance_of(feature: str, holdings: Sequence[Holding], minimums: Mapping[str, int]) -> Balance:
    """How much of a feature there is over all its own holdings; overage stands apart."""
    included = used = held = left = overage_used = 0
    unlimited = False
    resets_at = FOREVER
    limits: list[int | None] = []
    for each in holdings:
        bucket = each.bucket
        if is_minimum(each.grant):
            below = overdraft(each)
            overage_used += below.used
            limits.append(below.limit)
            # What was repaid, and then given back, can be used again like anything that was given.
            left += max(0, -overdrawn(each) - bucket.held)
            continue
        if each.grant.kind == "overage":
            overage_used += bucket.used
            limits.append(each.amount)
            continue
        used += bucket.used
        held += bucket.held
        amount = bucket.amount if each.instead is None and bucket.own is None else each.amount
        if amount is None:
            unlimited = True
        else:
            included += amount
            left += amount - bucket.used - bucket.held
        if bucket.period_end < resets_at:  # noqa: PLR1730 - half the time of min()
            resets_at = bucket.period_end
    most = room(minimums, feature, holdings) if minimums else None
    return Balance(
        feature=feature,
        included=included,
        used=used,
        held=held,
        remaining=None if unlimited else left if most is None else min(left, most),
        unlimited=unlimited,
        resets_at=to_datetime_or_none(resets_at),
        overage_used=overage_used,
        overage_limit=None if not limits or None in limits else sum(limit for limit in limits if limit is not None),
        minimum=minimums.get(feature, 0),
    )


def decide(
    reference: Reference,
    situation: Situation,
    required: int,
    allocation: Allocation,
    *,
    subscriptions: Sequence[SubscriptionRow] = (),
    plan: str | None = None,
) -> Decision:
    """The decision on a quantity, from a situation and the allocation that the planner made of it.

    `subscriptions`, and the `plan` that counts, are needed only where there are no holdings, to say why.
    """
    feature, holdings = situation.feature, situation.holdings
    found = balance(situation)
    allowed = allocation.allowed and bool(holdings)
    reason = _reason(feature, holdings, allocation, found, subscriptions, plan)
    if reason in ("insufficient_balance", "overage_limit") and _is_limited(situation, required):
        reason = "usage_limit"
    return Decision(
        allowed=allowed,
        reason=reason,
        message=_message(situation, reason, required, found, allocation.fundable),
        reference=reference,
        feature=feature.key,
        required=required,
        balance=found,
        breakdown=_breakdown(situation, allocation),
        limits=tuple([told(meter) for meter in situation.meters]),
        offers=(),
        as_of=to_datetime(situation.now),
    )


def _reason(
    feature: FeatureSpec,
    holdings: Sequence[Holding],
    allocation: Allocation,
    found: Balance,
    subscriptions: Sequence[SubscriptionRow],
    plan: str | None,
) -> Reason:
    if not holdings:
        row = first_live(subscriptions)
        if row is None:
            return "not_entitled"
        if row.status == "past_due":
            return "subscription_past_due"
        # Its plan counts for a paused one only where the host lets it give while it is paused.
        gives = row.pause_behavior is None or plan == row.plan
        return "not_entitled" if gives and row.status in ("active", "trialing") else "subscription_inactive"
    if allocation.allowed:
        if allocation.overage_units:
            return "overage"
        return "unlimited" if found.unlimited and feature.kind != "boolean" else "ok"
    return "overage_limit" if any(each.grant.kind == "overage" for each in holdings) else "insufficient_balance"


def _is_limited(situation: Situation, required: int) -> bool:
    """Whether nothing but usage limits stands in the way."""
    return bool(situation.meters) and situation.allocate(required, "require", limited=False).allowed


def _message(situation: Situation, reason: Reason, required: int, found: Balance, fundable: int) -> str:
    feature = situation.feature
    name = feature.title or feature.key
    if reason in ("ok", "overage", "unlimited"):
        return f"{required} of {name} may be used." if feature.kind != "boolean" else f"{name} is included."
    if reason == "subscription_past_due":
        return f"{name} is suspended until the open invoice is paid."
    if reason == "subscription_inactive":
        return f"{name} needs an active subscription."
    if reason == "not_entitled":
        return f"{name} is not part of the plan."
    if reason == "usage_limit":
        return f"{required} of {name} asked for, {fundable} allowed for now."
    # What pools pay for is not included of the feature itself.
    included = "" if feature.pools else f" of {found.included}"
    kept = "" if found.minimum <= 0 else f", besides {found.minimum} that have to stay"
    return f"{required} of {name} asked for, {found.remaining or 0}{included} left{kept}."


def _breakdown(situation: Situation, allocation: Allocation) -> Sequence[Mapping[str, object]]:
    """The buckets in the order in which they are drawn, overage at the end of each feature's."""
    drawn: dict[str, int] = {}
    for draw in allocation.draws:
        drawn[draw.bucket_id] = drawn.get(draw.bucket_id, 0) + draw.amount
    holdings = situation.holdings
    if len(holdings) > 1:
        order = features_of(situation.feature)
        holdings = sorted(holdings, key=lambda each: (order.index(each.grant.feature), burn_order(each.as_bucket())))
    return tuple(
        [
            {
                "feature": each.grant.feature,
                "source": each.source,
                "sourceId": each.grant.source_id,
                "kind": each.grant.kind,
                **_shown(each),
                "held": each.bucket.held,
                "draws": drawn.get(each.bucket.id, 0),
                "resetsAt": to_datetime_or_none(each.bucket.period_end),
            }
            for each in holdings
        ]
    )


def _shown(each: Holding) -> Mapping[str, object]:
    """What a bucket includes, and what is used of it; of an overdraft what is not repaid."""
    if is_minimum(each.grant):
        below = overdraft(each)
        return {"included": below.limit, "used": below.used}
    return {"included": each.amount, "used": each.bucket.used}


async def balances(core: Core, reference: Ref, *, entity: str | None = None) -> Mapping[str, Balance]:
    """The balance of every feature that the customer can use now, by the feature's key.

    With an `entity` it is what that one can use: its own, and the customer's. One read; two more where a grant has
    rollover or debt that no plan has any more, and its running period is not opened.
    """
    who = core.reference(reference)
    where = entity_id(entity)
    return await core.store.read(lambda tx: balances_in(core, tx, who, where))


def balances_in(core: Core, tx: Transaction, reference: Reference, entity: str) -> Mapping[str, Balance]:
    """The balance of every feature, as a transaction sees it."""
    now = core.now()
    keys = tuple(core.offer.features)
    earlier = bool(core.offer.moving)
    found = tx.entitlements.standing(reference, None, now, entity=None, earlier=earlier)
    if found.customer is not None and (time := found.customer.time(now)) > now:
        now = time
        found = tx.entitlements.standing(reference, None, now, entity=None, earlier=earlier)
    past = past_of(core.offer, tx, found.customer, found.held, keys, now, earlier=found.earlier)
    held = live_holdings(core.offer, found.customer, found.held, keys, now, past)
    by_feature = _by_feature(within_reach(held, entity))
    minimums = minimums_of((grant for grant, _ in found.held), now)
    paid_for = [
        key for key, feature in core.offer.features.items() if any(p.feature in by_feature for p in feature.pools)
    ]
    return {key: _balance(core, key, by_feature, minimums) for key in sorted({*by_feature, *paid_for})}


def _balance(core: Core, key: str, by_feature: Mapping[str, Sequence[Holding]], minimums: Mapping[str, int]) -> Balance:
    own = balance_of(key, by_feature.get(key, ()), minimums)
    feature = core.offer.features.get(key)
    return own if feature is None or not feature.pools else _with_pools(own, feature.pools, by_feature, minimums)
