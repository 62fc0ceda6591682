"""Alerts: an event for hooks, in the commit of the use that reached a threshold, once in each period.

A threshold is a share of what is included of a feature, or of credits: of everything that the customer holds of it, or
of everything that an entity holds for itself, without overage. Its period is that of the allowance that asks for it, so
that neither giving back nor a change of plan within it arms it again; an allowance that never starts anew has one
period, its whole life.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..domain.alerts import Threshold, fired
from ..domain.grants import Holding
from ..domain.instants import FOREVER, Instant
from ..domain.outbound import OutboxRow
from ..ports.store import Transaction
from .ledger import Books
from .outbox import THRESHOLD
from .situation import Situation


def alert(tx: Transaction, books: Books, before: Situation, after: Situation) -> tuple[int, ...]:
    """Write down the alerts that fire between two situations; gives their percentages, in ascending order."""
    if not any(each.grant.terms is not None for each in after.holdings):
        return ()
    reached: set[int] = set()
    for group in {_group(each) for each in after.holdings}:
        reached.update(_of(tx, books, _included(before, group), _included(after, group), after.now))
    return tuple(sorted(reached))


def _group(holding: Holding) -> tuple[str, str]:
    return holding.grant.feature, holding.grant.entity


def _included(situation: Situation, group: tuple[str, str]) -> list[Holding]:
    return [each for each in situation.holdings if _group(each) == group and each.grant.kind != "overage"]


def _of(
    tx: Transaction, books: Books, before: Sequence[Holding], after: Sequence[Holding], now: Instant
) -> Sequence[int]:
    asking = [each for each in after if each.grant.rules.alerts]
    thresholds = list(dict.fromkeys(threshold for each in asking for threshold in each.grant.rules.alerts))
    used, included = _used(after), _amount(after)
    if not fired(thresholds, _used(before), used, included):
        return ()
    # Of several plans the period that began last counts.
    bucket = max((each.bucket for each in asking), key=lambda bucket: bucket.period_start)
    customer, feature, entity, start = books.customer, bucket.feature, bucket.entity, bucket.period_start
    already = tx.alerts.fired(customer.id, feature, entity, start)
    new = fired(thresholds, _used(before), used, included, already)
    if new:
        tx.alerts.add(customer.id, feature, entity, start, new, now, bucket.period_end)
        ends = None if bucket.period_end == FOREVER else bucket.period_end
        told = {"feature": feature, "entity": entity or None, "used": used, "included": included, "period_end": ends}
        tx.outbox.add([_event(books, each, told, now) for each in new])
    return [each.value for each in new]


def _event(books: Books, threshold: Threshold, told: Mapping[str, Any], now: Instant) -> OutboxRow:
    reference = books.customer.reference
    data = {**told, "threshold": threshold.value}
    payload = {"data": data, "reference": [reference.id, reference.type]}
    return OutboxRow(books.new_id("event"), THRESHOLD, books.customer.id, payload, now)


def _used(holdings: Sequence[Holding]) -> int:
    return sum(each.bucket.used for each in holdings)


def _amount(holdings: Sequence[Holding]) -> int | None:
    amounts = [each.amount for each in holdings]
    return None if None in amounts else sum(amount for amount in amounts if amount is not None)
