"""What keeps the mirror true: leases, imports, the audit log, and usage that is reported to Stripe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from .instants import Instant

MeterEventState = Literal["waiting", "sending", "sent", "rejected", "quarantined", "canceled"]


@frozen
class Lease:
    """The right to be the only one who does something, until `until`.

    `token` is greater than the token of every earlier holder: a write that checks it cannot come from one that was
    taken over. `holder` is "" where nobody has it.
    """

    name: str
    holder: str
    token: int
    until: Instant


@frozen
class SyncState:
    """How an import of a kind of object goes, or went.

    `finished_at` is None while it is under way or where it was cut short; `cursor` is then the last object of the last
    page that was stored, None before the first.
    """

    kind: str
    started_at: Instant
    finished_at: Instant | None
    counts: Mapping[str, int]
    cursor: str | None = None


@frozen
class AuditRow:
    """One change: who did what to what, and how that was before and after. `customer_id` is "" where it is nobody's.

    `cause` is what made us do it, such as the type of a webhook or the name of an operation, "" where nobody said;
    `event_id` is the id of Stripe's event, "" without one.
    """

    id: str
    at: Instant
    actor: str
    action: str
    customer_id: str
    subject: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    cause: str = ""
    event_id: str = ""


@frozen
class MeterEventRow:
    """Usage to report to a Stripe meter once.

    `identifier` is the id of the usage event, or of what corrects it: Stripe counts it once. `stripe_customer_id` is ""
    until the customer is known to Stripe. `next_at` is when it may be sent: of one that is `sending` when another
    worker may take it over. `first_sent_at` is when the first request for it was about to be made, None before.
    """

    identifier: str
    customer_id: str
    feature: str
    event_name: str
    stripe_customer_id: str
    value: int
    occurred_at: Instant
    state: MeterEventState
    attempts: int
    next_at: Instant
    first_sent_at: Instant | None
    sent_at: Instant | None
    note: str | None
    created_at: Instant
