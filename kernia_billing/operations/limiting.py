"""Usage limits: those that a customer's grants come with, what they leave, and what they counted.

The limits of all grants that are live hold together. Where two grants limit the same window differently the larger
maximum holds, because several plans add their benefits. An override of a limit takes the place of what plans say of its
window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ..domain.buckets import Draw
from ..domain.grants import Holding, UsageRow
from ..domain.holds import Settlement
from ..domain.ids import Property
from ..domain.instants import Instant, to_datetime
from ..domain.limits import Drawn, Limit, Meter, Window, headroom, meters
from ..domain.terms import limits_of
from ..ports.store import Transaction


def limits_on(holdings: Iterable[Holding]) -> Sequence[Limit]:
    """The limits of the grants of these holdings, one for each window."""
    found: dict[str, Limit] = {}
    for each in holdings:
        if each.grant.terms is not None:
            for limit in _limits_of(each):
                known = found.get(limit.id)
                if known is None or known.maximum < limit.maximum:
                    found[limit.id] = limit
    return tuple(found.values())


def _limits_of(each: Holding) -> Sequence[Limit]:
    """The limits of a grant, as overrides want them."""
    own = limits_of(each.grant.terms, each.grant.feature)
    instead = {limit.id: limit for rule in each.limited for limit in limits_of(rule.terms, rule.feature)}
    return [instead.get(limit.id, limit) for limit in own] if instead else own


def meters_of(
    limits: Sequence[Limit],
    windows: Sequence[Window],
    features: Iterable[str],
    entity: str,
    now: Instant,
    properties: Mapping[str, Property] | None = None,
    *,
    seq: int = 0,
) -> Sequence[Meter]:
    """The limits that concern a use of the first of these features, which credits of the others may pay.

    `seq` is the number of the write that counts in them.
    """
    return tuple(
        meter
        for feature in features
        for meter in meters(limits, windows, feature, now, entity=entity, properties=properties, seq=seq)
    )


def room(found: Iterable[Meter], feature: str) -> int | None:
    """How much of a feature or pool its limits leave; None where there are none."""
    return headroom(each for each in found if each.limit.feature == feature)


def amounts_of(feature: str, draws: Iterable[Draw], units: int | None = None) -> Mapping[str, int]:
    """How much limits count of draws, by feature: the units of the feature asked for, and the credits that pay.

    `units` are given where pools pay some at no cost, without a draw.
    """
    found = {feature: 0}
    for draw in draws:
        found[feature] += draw.units
        if draw.feature != feature:
            found[draw.feature] = found.get(draw.feature, 0) + draw.amount
    return found if units is None else {**found, feature: units}


def counted(meter: Meter, amount: int, drawn: Drawn) -> Meter:
    """After so much more was drawn or set aside; what is below zero came back of what was drawn then."""
    return meter.returned(-amount, drawn) if amount < 0 else meter.added(amount)


def set_aside(tx: Transaction, use: UsageRow) -> Drawn:
    """When limits counted what a use settled of a hold: with the hold. Before everything if nobody knows."""
    hold = tx.holds.get(use.customer_id, use.hold_id)
    return Drawn(0) if hold is None else hold.drawn


def uncount(tx: Transaction, customer_id: str, ended: Settlement, now: Instant) -> None:
    """Take what the end of a hold frees out of the windows that counted it and run still."""
    hold = ended.hold
    for feature, amount in amounts_of(hold.feature, ended.released, ended.freed).items():
        if amount:
            tx.limits.lower(customer_id, feature, hold.entity, amount, drawn=hold.drawn, now=now)


def told(meter: Meter) -> Mapping[str, object]:
    """A limit as decisions and receipts show it."""
    limit, rhythm = meter.limit, meter.limit.rhythm
    return {
        "id": limit.id,
        "feature": limit.feature,
        "entityId": meter.window.entity or None,
        "maximum": limit.maximum,
        "used": meter.window.used,
        "remaining": meter.headroom,
        "per": rhythm.interval.unit,
        "count": rhythm.interval.count,
        "timezone": rhythm.timezone,
        "where": dict(limit.where),
        "startedAt": to_datetime(meter.window.start),
        "resetsAt": to_datetime(meter.resets_at),
    }
