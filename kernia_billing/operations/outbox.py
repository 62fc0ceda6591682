"""Events for hooks: written with the change that they tell of, handed over after its commit, at least once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs
from attrs import define, field

from ..domain.answers import (
    CardExpiringEvent,
    DunningEvent,
    Event,
    PendingChange,
    Subscription,
    SubscriptionEvent,
    ThresholdEvent,
)
from ..domain.customers import CustomerRow
from ..domain.instants import MINUTE, SECOND, Instant, to_datetime, to_instant
from ..domain.lifecycle import transitions
from ..domain.money import Money
from ..domain.outbound import OutboxRow
from ..domain.reading import id_of
from ..domain.references import Reference
from ..ports.store import Transaction
from .core import Core

THRESHOLD = "balance.threshold"
"""A use reached a threshold of what is included."""
DUNNING = frozenset({"dunning.payment_failed", "dunning.action_required", "dunning.recovered"})
"""What happens to the payments of invoices: see `DunningEvent`."""
CARD_EXPIRING = "payment_method.expiring"
"""A card that subscriptions are paid with expires soon."""
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
        event(
            core,
            customer,
            kind,
            now,
            data={"converted": current.status == "active"} if kind == "trial.ended" else None,
            subscription=current,
            previous=previous,
            stripe_object=stripe_object,
        )
        for kind in transitions(previous, current)
    ]


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
    coming = subscription.pending_change
    stored["pending_change"] = (
        None if coming is None else [coming.plan, to_instant(coming.effective_at), coming.interval, coming.seats]
    )
    return stored


def _load(stored: Mapping[str, Any]) -> Subscription:
    values: dict[str, Any] = {
        name: to_datetime(value) if name in _DATES and value is not None else value for name, value in stored.items()
    }
    values["reference"] = Reference(*stored["reference"])
    coming = stored["pending_change"]
    if coming is not None:
        plan, at, interval, seats = coming
        values["pending_change"] = PendingChange(plan, to_datetime(at), interval, seats)
    return Subscription(**values)


def read_event(row: OutboxRow) -> Event:
    """The event that hooks receive."""
    payload = row.payload
    reference = Reference(*payload["reference"]) if "reference" in payload else None
    when = to_datetime(row.created_at)
    if row.topic == THRESHOLD:
        return _threshold_event(row, reference, payload["data"])
    if row.topic in DUNNING:
        return _dunning_event(row, reference, payload["data"])
    if row.topic == CARD_EXPIRING:
        return _card_event(row, reference, payload["data"])
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


def _dunning_event(row: OutboxRow, reference: Reference | None, data: Mapping[str, Any]) -> DunningEvent:
    again = data["next_attempt_at"]
    told: dict[str, Any] = {
        **data,
        "next_attempt_at": None if again is None else to_datetime(again),
        "amount_due": Money(*data["amount_due"]),
    }
    return DunningEvent(row.id, row.topic, reference, to_datetime(row.created_at), told, **told)


def _card_event(row: OutboxRow, reference: Reference | None, data: Mapping[str, Any]) -> CardExpiringEvent:
    told: dict[str, Any] = {**data, "expires_at": to_datetime(data["expires_at"])}
    return CardExpiringEvent(row.id, row.topic, reference, to_datetime(row.created_at), told, **told)


@define
class Handover:
    """A turn at handing over what waits: claimed in one transaction, handed over after its commit, noted in another.

    What nobody here wants is done with as it is claimed, unless it stands behind something of the same customer that
    somebody does want: so often nothing is left to note.
    """

    core: Core
    _now: Instant = 0
    _claimed: Sequence[OutboxRow] | None = None
    _settled: frozenset[str] = frozenset()
    _sent: list[OutboxRow] = field(factory=list[OutboxRow])
    _failed: list[OutboxRow] = field(factory=list[OutboxRow])
    _left: list[OutboxRow] = field(factory=list[OutboxRow])

    def claim(self, tx: Transaction) -> None:
        """Take what waits, unless the work is to stop. A unit of work, or the last of one that writes events."""
        self.drop()
        if not self.core.stopping():
            self._now = self.core.now()
            self._claimed = tx.outbox.claim(self._now, self._now + _LEASE, _BATCH)
            unwanted = self._unwanted()
            tx.outbox.settle(unwanted, self._now)
            self._settled = frozenset(unwanted)

    def drop(self) -> None:
        """Forget what was claimed: the transaction that did is rolled back."""
        self._claimed, self._settled = None, frozenset()

    async def finish(self) -> int:
        """Hand over what was claimed, or what is now where nothing was yet; says how many events are done with.

        Raises:
            Unavailable: the database does not answer.
        """
        if self._claimed is None and not self.core.stopping():
            await self.core.store.transaction(self.claim)
        wanted: list[OutboxRow] = []
        for row in self._claimed or ():
            if row.id not in self._settled:
                wanted.append(row)
            else:
                with suppress(Exception):
                    # What another version wrote may be unreadable here.
                    _forget(self.core, row)
        if wanted:
            await self._hand_over(wanted)
            await self.core.store.transaction(self._note)
        return len(self._settled) + len(self._sent)

    def _unwanted(self) -> list[str]:
        held_up: set[str] = set()
        found: list[str] = []
        for row in self._claimed or ():
            if row.customer_id not in held_up and not self.core.hooks.wanting(row.topic):
                found.append(row.id)
            elif row.customer_id:
                held_up.add(row.customer_id)
        return found

    async def _hand_over(self, rows: Sequence[OutboxRow]) -> None:
        """Hand over what there is, as long as it is ours."""
        stopped: set[str] = set()
        for row in rows:
            if self.core.stopping() or not self._now <= self.core.now() < self._now + _LEASE:
                self._left.append(row)
            elif row.customer_id not in stopped and await _hand_over(self.core, row):
                self._sent.append(row)
            else:
                self._failed.append(row)
                if row.customer_id:
                    stopped.add(row.customer_id)

    def _note(self, tx: Transaction) -> None:
        """Note it for those that no other worker took over meanwhile."""
        for row in self._sent:
            tx.outbox.sent(row.id, self._now, attempts=row.attempts)
        for row in self._failed:
            wait = min(SECOND << min(row.attempts, 12), _LONGEST_WAIT)
            tx.outbox.failed(row.id, self._now + wait, attempts=row.attempts)
        for row in self._left:
            tx.outbox.failed(row.id, self._now, attempts=row.attempts)


async def dispatch(core: Core) -> int:
    """Hand over the events that wait, in order per customer; says how many are done with.

    A hook that raises keeps its event, and what follows for the same customer, for a later run. What is left when the
    worker is to stop, or was too slow to have the rest to itself, is given back. What was handed over is noted once at
    the end: a crash before that hands it over again.
    """
    return await Handover(core).finish()


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
