"""A received webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from .instants import Instant

InboxStatus = Literal["received", "processing", "processed", "ignored", "unmatched", "failed", "dead"]


@frozen
class InboxRow:
    """One verified event, stored before it is acknowledged.

    `account` is the Connect account or "". `object_kind` and `object_id` name the object it is about. `lease_until`
    is when another worker may take over one that is `processing`. `note` is the reason or the last error.
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
