"""What leaves the library: intents to call Stripe, and events for hooks and the bus."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from .instants import Instant

IntentState = Literal["pending", "done", "failed", "parked"]
"""A `parked` one was not found at Stripe, and is repeated only when somebody asks for the same thing again."""


@frozen
class IntentRow:
    """A call to Stripe that we are about to make, with its idempotency key and its frozen parameters.

    Written and committed before the call, so that a restart repeats the very same request under the very same key.
    """

    key: str
    operation: str
    customer_id: str
    path: str
    params: Mapping[str, Any]
    state: IntentState
    stripe_id: str | None
    created_at: Instant


@frozen
class OutboxRow:
    """An event that hooks and the bus receive after the commit that wrote it."""

    id: str
    topic: str
    customer_id: str
    payload: Mapping[str, Any]
    created_at: Instant
    attempts: int = 0
