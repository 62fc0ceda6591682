"""A received webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from .instants import Instant

InboxStatus = Literal["received", "processing", "processed", "ignored", "unmatched", "failed", "dead"]
WebhookMode = Literal["inline", "worker"]
"""Who works on an event: the request that brings it, or whoever runs the jobs."""
InboxSource = Literal["webhook", "list", "thin"]
"""How an event came: sent by Stripe, found in the list of events, or sent as a thin notification."""


@frozen
class InboxRow:
    """One verified event, stored before it is acknowledged.

    `account` is the Connect account or "". `object_kind` and `object_id` name the object it is about. `lease_until`
    is when another worker may take over one that is `processing`. `note` is the reason or the last error. `customer` is
    the Stripe customer that it is about, "" where it is about none.
    """

    account: str
    event_id: str
    type: str
    livemode: bool
    api_version: str | None
    object_kind: str
    object_id: str
    payload: Mapping[str, Any]
    created_at: Instant
    received_at: Instant
    status: InboxStatus
    attempts: int
    lease_until: Instant
    note: str | None
    customer: str = ""
    source: InboxSource = "webhook"


@frozen
class InboxHealth:
    """How webhooks are doing.

    `counts` says how many events there are in each status. `last_received_at` and `last_processed_at` are when the
    newest event, and the newest one that is processed, came in; `oldest_waiting_at` is when the oldest one came in that
    still has to be worked on. Each is None where there is no such event. `failures_last_day` are the events of the last
    24 hours that are failed or dead now.
    """

    counts: Mapping[str, int]
    last_received_at: Instant | None
    oldest_waiting_at: Instant | None
    last_processed_at: Instant | None
    failures_last_day: int
