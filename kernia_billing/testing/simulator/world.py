"""The state of a simulated Stripe account: objects, clock, events, agenda. It knows nothing of HTTP."""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Literal

from attrs import define, field

from .. import oracle
from .agenda import Agenda
from .clock import SimulatedClock
from .errors import Json, SimulatorBug
from .events import EventLog
from .rendering import CURRENT_VERSION, render
from .tables import Ids, Table

_KINDS = {
    "billing_portal.configuration": "configuration",
    "billing_portal.session": "session",
    "charge": "charge",
    "checkout.session": "checkout.session",
    "customer": "customer",
    "invoice": "invoice",
    "invoice_payment": "invoice payment",
    "payment_intent": "payment_intent",
    "payment_method": "PaymentMethod",
    "price": "price",
    "product": "product",
    "setup_intent": "setupintent",
    "subscription": "subscription",
    "subscription_item": "subscription item",
    "webhook_endpoint": "webhook endpoint",
}
"""The tables, with the name that Stripe gives the kind in 'No such …'."""


@define
class Settings:
    """What a Stripe account sets in its Dashboard."""

    after_last_retry: Literal["cancel", "unpaid", "past_due"] = "cancel"
    """What becomes of a subscription whose invoice could not be collected."""
    retry_days: tuple[int, ...] = (1, 3, 5, 7, 9, 11, 13, 14)
    """Days after the first failure on which collection is tried again: eight tries in two weeks."""
    checkout_base: str = "https://checkout.stripe.com"
    portal_base: str = "https://billing.stripe.com"
    authenticate: bool = True
    """Whether the person passes 3D Secure when the card asks for it."""
    account_name: str = "Simulated merchant"


@define(eq=False)
class World:
    """One account in test mode. Hold `lock` while reading or changing anything."""

    clock: SimulatedClock
    settings: Settings = field(factory=Settings)
    ids: Ids = field(factory=Ids, init=False)
    events: EventLog = field(factory=EventLog, init=False)
    agenda: Agenda = field(factory=Agenda, init=False)
    tables: dict[str, Table] = field(init=False)
    lock: threading.RLock = field(factory=threading.RLock, init=False)
    has_receiver: bool = field(default=False, init=False)
    event_version: str = field(default=CURRENT_VERSION, init=False)
    objects_checked: int = field(default=0, init=False)
    account_id: str = field(init=False)
    searchable: dict[str, dict[str, list[tuple[int, Json]]]] = field(
        factory=dict[str, dict[str, list[tuple[int, Json]]]], init=False
    )
    """How objects looked, and since when, by kind and id: what search may find."""

    def __attrs_post_init__(self) -> None:
        self.tables = {kind: Table(name) for kind, name in _KINDS.items()}
        self.account_id = self.ids.new("acct", 16)

    @classmethod
    def at(cls, start: datetime, *, ticking: bool = False) -> World:
        """An empty account at that time."""
        return cls(SimulatedClock(start, ticking=ticking))

    def table(self, kind: str) -> Table:
        """The objects whose `object` is `kind`."""
        return self.tables[kind]

    def find(self, id: str) -> Json:
        """The object of that id, of whatever kind.

        Raises:
            SimulatorBug: there is none, so that an object holds a dangling id.
        """
        for table in self.tables.values():
            if id in table.rows:
                return table.rows[id]
        raise SimulatorBug(f"an object names {id}, which does not exist")

    def render(self, stored: Json) -> Json:
        """The object as it leaves the simulator in the current version."""
        return render(self, stored)

    def check_object(self, shown: Json) -> Json:
        """Pass an object, or each of a list's, through the object oracle.

        Raises:
            SimulatorBug: Stripe would not give out such an object.
        """
        if shown.get("object") in ("list", "search_result"):
            for item in shown["data"]:
                self.check_object(item)
        else:
            judge = oracle.object_oracle()
            if judge is not None:
                is_event = shown.get("object") == "event"
                self._judged(shown, judge.check_event(shown) if is_event else judge.check(shown))
        return shown

    def check_event(self, event: Json) -> None:
        """Pass an event and its object through the object oracle; raises as `check_object` does."""
        self.check_object(event)

    def run_due(self, until: int) -> None:
        """Do everything that is due up to that second, at its own time, in order; then stand at `until`."""
        while (at := self.agenda.next_at()) is not None and at <= until:
            self.clock.move_to(at)
            job, id = self.agenda.pop()
            job(self, id)
        self.clock.move_to(until)

    def _judged(self, shown: Json, complaints: list[str]) -> None:
        self.objects_checked += 1
        oracle.totals["objects"] += 1
        if complaints:
            raise SimulatorBug(f"{shown.get('object')} {shown.get('id')}: {'; '.join(complaints)}")
