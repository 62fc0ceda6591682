"""How far back the books of a customer are whole."""

from __future__ import annotations

from attrs import frozen

from .instants import Instant


@frozen
class Horizon:
    """From where on nothing of a customer's books is missing, once old ones were thrown away.

    Up to the write `seq` uses and their lines may be gone. Since `kept_from` every balance can be told, and every use
    that happened since then is there. `swept` says that everything has gone that may go.
    """

    customer_id: str
    seq: int
    kept_from: Instant
    swept: bool = False


@frozen
class OverBucket:
    """A bucket that nobody can draw from any more, with the terms of its grant.

    `is_last` says that no later period of its grant is over.
    """

    id: str
    terms: str | None
    is_last: bool
