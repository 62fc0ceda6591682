"""The state of a simulated Stripe account: objects, clock, events, agenda. It knows nothing of HTTP."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Literal

from attrs import define, field

from ... import oracle
from ..versions import CURRENT_VERSION
from .agenda import Agenda
from .clock import SimulatedClock
from .errors import Json, SimulatorBug
from .events import EventLog
from .ownership import ACCOUNT
from .purchase_orders import PurchaseOrder
from .rendering import render
from .tables import Ids, Table
from .usage_book import MeterErrors, UsageBook

_KINDS = {
    "billing.credit_balance_transaction": "credit balance transaction",
    "billing.credit_grant": "credit grant",
    "billing.meter": "meter",
    "billing_portal.configuration": "configuration",
    "billing_portal.session": "session",
    "charge": "charge",
    "checkout.session": "checkout.session",
    "coupon": "coupon",
    "credit_note": "credit note",
    "customer": "customer",
    "customer_balance_transaction": "customer balance transaction",
    "discount": "discount",
    "dispute": "dispute",
    "entitlements.active_entitlement": "active entitlement",
    "entitlements.feature": "feature",
    "invoice": "invoice",
    "invoice_payment": "invoice payment",
    "invoiceitem": "invoiceitem",
    "payment_intent": "payment_intent",
    "payment_method": "PaymentMethod",
    "price": "price",
    "product": "product",
    "product_feature": "product feature",
    "promotion_code": "promotion code",
    "refund": "refund",
    "setup_intent": "setupintent",
    "subscription": "subscription",
    "subscription_item": "subscription item",
    "subscription_schedule": "subscription schedule",
    "tax_id": "tax ID",
    "tax_rate": "tax rate",
    "test_helpers.test_clock": "testclock",
    "v2.core.event_destination": "event destination",
    "webhook_endpoint": "webhook endpoint",
}
"""The tables, with the name that Stripe gives the kind in 'No such …'."""


RepeatedUsage = Literal["refused", "refused_by_code", "refused_by_param", "refused_otherwise", "dropped"]
"""Stripe promises only that identifiers are unique. It was seen to refuse the second event with a text; its API v2 has
a code for it. `dropped` answers 200."""


@define
class Settings:
    """What a Stripe account sets in its Dashboard."""

    after_last_retry: Literal["cancel", "pause", "unpaid", "past_due"] = "cancel"
    """What becomes of a subscription whose invoice could not be collected; one that cannot pause is cancelled."""
    after_first_failure: Literal["retry", "pause"] = "retry"
    """What becomes of a subscription when a renewal fails for the first time."""
    upcoming_days: int | None = 7
    """How many days before a renewal `invoice.upcoming` tells of it; None for never."""
    will_be_due_days: int | None = None
    """How many days before the due date of a sent invoice `invoice.will_be_due` tells of it; None for never."""
    overdue_days: int = 30
    """How many days after its due date a sent invoice is given up, as `after_last_retry` says."""
    after_dispute: Literal["keep", "cancel"] = "keep"
    """What becomes of a subscription whose payment is disputed."""
    retry_days: tuple[int, ...] = (1, 3, 5, 7, 9, 11, 13, 14)
    """Days after the first failure on which collection is tried again: eight tries in two weeks."""
    purchase_order: PurchaseOrder = "2026-04"
    """In which recorded order a paid checkout session is told of, or `shuffled`."""
    checkout_base: str = "https://checkout.stripe.com"
    portal_base: str = "https://billing.stripe.com"
    invoice_base: str = "https://invoice.stripe.com"
    authenticate: bool = True
    """Whether the person passes 3D Secure when the card asks for it."""
    account_name: str = "Simulated merchant"
    rate_limits: bool = False
    """Whether too many requests, and two writers at once, are refused with 429."""
    live_rates: bool = False
    """Whether the limits are those of live mode instead of a sandbox's."""
    finalisation_waits_for_webhooks: bool = False
    """Whether drafts stay drafts, up to 72 hours, until every endpoint has taken their `invoice.created`."""
    meter_delay: int = 60
    """Seconds from receiving a meter event to counting it."""
    repeated_usage: RepeatedUsage = "refused"
    """How a meter event is answered whose identifier was used in the last 24 hours. It never counts."""


@define(eq=False)
class World:
    """One account in test mode. Hold `lock` while reading or changing anything."""

    account_clock: SimulatedClock
    """The time of everybody who is on no test clock."""
    settings: Settings = field(factory=Settings)
    clocks: dict[str, SimulatedClock] = field(factory=dict[str, SimulatedClock], init=False)
    """The test clocks by their ids."""
    ids: Ids = field(factory=Ids, init=False)
    events: EventLog = field(factory=EventLog, init=False)
    agenda: Agenda = field(init=False)
    usage: UsageBook = field(factory=UsageBook, init=False)
    meter_errors: dict[str, MeterErrors] = field(factory=dict[str, MeterErrors], init=False)
    """What was wrong with meter events and was not reported yet, by meter."""
    stream_tokens: dict[str, int] = field(factory=dict[str, int], init=False, repr=False)
    """The tokens of meter event sessions, and until when they are good."""
    thin_events: list[Json] = field(factory=list[Json], init=False)
    """Events that exist in thin form only, oldest first."""
    tables: dict[str, Table] = field(init=False)
    lock: threading.RLock = field(factory=threading.RLock, init=False)
    event_version: str = field(default=CURRENT_VERSION, init=False)
    objects_checked: int = field(default=0, init=False)
    account_id: str = field(init=False)
    searchable: dict[str, dict[str, list[tuple[int, Json]]]] = field(
        factory=dict[str, dict[str, list[tuple[int, Json]]]], init=False
    )
    """How objects looked, and since when, by kind and id: what search may find."""
    _here: threading.local = field(factory=threading.local, init=False)

    def __attrs_post_init__(self) -> None:
        self.agenda = Agenda(lambda: self.clock_name)
        self.tables = {kind: Table(name) for kind, name in _KINDS.items()}
        self.account_id = self.ids.new("acct", 16)

    @classmethod
    def at(cls, start: datetime, *, ticking: bool = False) -> World:
        """An empty account at that time."""
        return cls(SimulatedClock(start, ticking=ticking))

    @property
    def clock_name(self) -> str:
        """The id of the test clock that this thread works on; empty for the account's own."""
        return getattr(self._here, "clock", ACCOUNT)

    @property
    def clock(self) -> SimulatedClock:
        """The clock of the customer that is being served: a test clock, or else the account's own."""
        return self.clocks.get(self.clock_name, self.account_clock)

    @contextmanager
    def on_clock(self, name: str) -> Generator[None]:
        """Work on a clock for a while: what is made lives on it, and what falls due runs on it."""
        before, self._here.clock = self.clock_name, name
        try:
            yield
        finally:
            self._here.clock = before

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

    def render(self, stored: Json, version: str = CURRENT_VERSION) -> Json:
        """The object as it leaves the simulator, in the current version or an older one."""
        return render(self, stored, version)

    def check_object(self, shown: Json) -> Json:
        """Pass an object, or each of a list's, through the object oracle.

        Raises:
            SimulatorBug: Stripe would not give out such an object.
        """
        if shown.get("object") in ("list", "search_result", "v2.page"):
            for item in shown["data"]:
                self.check_object(item)
        elif shown:
            judge = oracle.object_oracle()
            if judge is not None:
                is_event = shown.get("object") == "event"
                self._judged(shown, judge.check_event(shown) if is_event else judge.check(shown))
        return shown

    def check_event(self, event: Json) -> None:
        """Pass an event and its object through the object oracle; raises as `check_object` does."""
        self.check_object(event)

    def run_due(self, until: int) -> None:
        """Do everything that is due up to that second of the current clock, in order; then stand at `until`."""
        name = self.clock_name
        while (at := self.agenda.next_at(name)) is not None and at <= until:
            self.clock.move_to(at)
            job, id = self.agenda.pop(name)
            job(self, id)
        self.clock.move_to(until)

    def _judged(self, shown: Json, complaints: list[str]) -> None:
        self.objects_checked += 1
        oracle.totals["objects"] += 1
        if complaints:
            raise SimulatorBug(f"{shown.get('object')} {shown.get('id')}: {'; '.join(complaints)}")
