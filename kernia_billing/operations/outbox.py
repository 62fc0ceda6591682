"""Events for hooks: written with the change that they tell of, handed over after its commit, at least once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs
from attrs import define, field

from ..domain.answers import Event, Subscription, SubscriptionEvent, ThresholdEvent
from ..domain.customers import CustomerRow
from ..domain.instants import MINUTE, SECOND, Instant, to_datetime, to_instant
from ..domain.outbound import OutboxRow
from ..domain.reading import id_of
from ..domain.references import Reference
from ..ports.store import Transaction
from .core import Core

THRESHOLD = "balance.threshold"
"""A use reached a threshold of what is included."""
_BATCH = 100
_LEASE = 5 * MINUTE
_LONGEST_WAIT = 60 * MINUTE
_DATES = frozenset(each.name for each in attrs.fields(Subscription) if "datetime" in str(each.type))


def subscription_events(
    core: Core,
    customer: CustomerRow,
    previous: Subscription | None,
    current: Subscription,
    stripe_object: Mapping[str, Any],
    now: Instant,
) -> list[OutboxRow]:
    """What happened to a subscription between two states of it; nothing where they are equal."""
    if previous == current:
        return []
    return [
        event(core, customer, kind, now, subscription=current, previous=previous, stripe_object=stripe_object)
        for kind in _transitions(previous, current)
    ]


def _transitions(previous: Subscription | None, current: Subscription) -> list[str]:
    """The types of a change. They come from the states alone, so news that comes twice tells nothing twice."""
    kinds = ["subscription.created" if previous is None else "subscription.updated"]
    was_on = previous is not None and previous.status in ("active", "trialing")
    if current.status in ("active", "trialing") and not was_on:
        kinds.append("subscription.activated")
    if current.display_state == "cancel_pending" and (previous is None or previous.display_state != "cancel_pending"):
        kinds.append("subscription.cancel_scheduled")
    if current.status == "canceled" and (previous is None or previous.status != "canceled"):
        kinds.append("subscription.deleted")
    if current.duplicate and (previous is None or not previous.duplicate):
        kinds.append("subscription.duplicate")
    return kinds


def event(
    core: Core,
    customer: CustomerRow | None,
    kind: str,
    now: Instant,
    *,
    data: Mapping[str, Any] | None = None,
    subscription: Subscription | None = None,
    previous: Subscription | None = None,
    stripe_object: Mapping[str, Any] | None = None,
) -> OutboxRow:
    """The stored form of an event; its id stays the same however often it is handed over."""
    payload: dict[str, Any] = {"data": dict(data or {})}
    if customer is not None:
        payload["reference"] = [customer.reference.id, customer.reference.type]
    if subscription is not None:
        payload["subscription"] = _dump(subscription)
        payload["previous"] = None if previous is None else _dump(previous)
        payload["stripe_object"] = _as_sent(stripe_object or {})
    return OutboxRow(core.ids.new("event"), kind, "" if customer is None else customer.id, payload, now)


def _as_sent(stripe_object: Mapping[str, Any]) -> dict[str, Any]:
    """A subscription as Stripe's own events show it: without the invoice that we had it bring along.

    An invoice names a person and an address, which need not lie in our tables.
    """
    return {name: id_of(value) if name == "latest_invoice" else value for name, value in stripe_object.items()}


def _dump(subscription: Subscription) -> dict[str, Any]:
    stored: dict[str, Any] = {}
    for each in attrs.fields(Subscription):
        value = getattr(subscription, each.name)
        stored[each.name] = to_instant(value) if isinstance(value, datetime) else value
    stored["reference"] = [subscription.reference.id, subscription.reference.type]
    stored["pending_change"] = None
    return stored


def _load(stored: Mapping[str, Any]) -> Subscription:
    values: dict[str, Any] = {
        name: to_datetime(value) if name in _DATES and value is not None else value for name, value in stored.items()
    }
    values["reference"] = Reference(*stored["reference"])
    return Subscription(**values)


def read_event(row: OutboxRow) -> Event:
    """The event that hooks receive."""
    payload = row.payload
    reference = Reference(*payload["reference"]) if "reference" in payload else None
    when = to_datetime(row.created_at)
    if row.topic == THRESHOLD:
        return _threshold_event(row, reference, payload["data"])
    if "subscription" not in payload:
        return Event(row.id, row.topic, reference, when, payload["data"])
    return SubscriptionEvent(
        id=row.id,
        type=row.topic,
        reference=reference,
        occurred_at=when,
        data=payload["data"],
        subscription=_load(payload["subscription"]),
        previous=None if payload["previous"] is None else _load(payload["previous"]),
        stripe_object=payload["stripe_object"],
    )


def _threshold_event(row: OutboxRow, reference: Reference | None, data: Mapping[str, Any]) -> ThresholdEvent:
    ends = data["period_end"]
    told: dict[str, Any] = {**data, "period_end": None if ends is None else to_datetime(ends)}
    return ThresholdEvent(row.id, row.topic, reference, to_datetime(row.created_at), told, **told)


@define
class _Round:
    """What became of the events that were claimed at an instant; `left` ones nobody was asked about."""

    now: Instant
    sent: list[OutboxRow] = field(factory=list[OutboxRow])
    failed: list[OutboxRow] = field(factory=list[OutboxRow])
    left: list[OutboxRow] = field(factory=list[OutboxRow])

    async def hand_over(self, core: Core, rows: Sequence[OutboxRow]) -> None:
        """Hand over what there is, as long as it is ours."""
        stopped: set[str] = set()
        for row in rows:
            if core.stopping() or not self.now <= core.now() < self.now + _LEASE:
                self.left.append(row)
            elif row.customer_id not in stopped and await _hand_over(core, row):
                self.sent.append(row)
            else:
                self.failed.append(row)
                if row.customer_id:
                    stopped.add(row.customer_id)

    def note(self, tx: Transaction) -> None:
        """Note it for those that no other worker took over meanwhile."""
        for row in self.sent:
            tx.outbox.sent(row.id, self.now, attempts=row.attempts)
        for row in self.failed:
            wait = min(SECOND << min(row.attempts, 12), _LONGEST_WAIT)
            tx.outbox.failed(row.id, self.now + wait, attempts=row.attempts)
        for row in self.left:
            tx.outbox.failed(row.id, self.now, attempts=row.attempts)


async def dispatch(core: Core) -> int:
    """Hand over the events that wait, in order per customer; says how many were handed over.

    A hook that raises keeps its event, and what follows for the same customer, for a later run. What is left when the
    worker is to stop, or was too slow to have the rest to itself, is given back. What was handed over is noted once at
    the end: a crash before that hands it over again.
    """
    if core.stopping():
        return 0
    now = core.now()
    rows = await core.store.transaction(lambda tx: tx.outbox.claim(now, now + _LEASE, _BATCH))
    done = _Round(now)
    if rows:
        await done.hand_over(core, rows)
        await core.store.transaction(done.note)
    return len(done.sent)


def _forget(core: Core, row: OutboxRow) -> None:
    """What another process did is news for the snapshots of this one."""
    if core.snapshots is not None and "reference" in row.payload:
        core.snapshots.forget(Reference(*row.payload["reference"]))


async def _hand_over(core: Core, row: OutboxRow) -> bool:
    hooks = core.hooks.wanting(row.topic)
    try:
        # What another version wrote may be unreadable here: that must not keep other customers' events waiting.
        _forget(core, row)
        if not hooks:
            return True
        told = read_event(row)
        for hook in hooks:
            await core.hooks.call(hook, told)
    except Exception as failure:  # noqa: BLE001 - a host's function may raise anything
        core.hooks.report(row.topic, failure)
        return False
    return True
