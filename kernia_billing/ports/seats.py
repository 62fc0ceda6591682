"""Seats, and the host's own columns, as the core sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ..domain.host_columns import HostColumn, HostTable, HostValue
from ..domain.instants import Instant
from ..domain.seats import SeatRow


class Seats(Protocol):
    """billing_seat_count: how many members organizations have, and whether Stripe knows."""

    def get(self, customer_id: str) -> SeatRow | None:
        """What is known of an organization's members."""
        ...

    def tell(self, customer_id: str, members: int | None, now: Instant) -> SeatRow:
        """Note how many members there are, None where somebody has to count; what is known of them then.

        It raises `revision`, and makes the row due.
        """
        ...

    def sending(self, row: SeatRow) -> None:
        """Note that one more change is about to be sent: `updates`, `hour_start` and `hour_updates` of the row."""
        ...

    def counted(self, customer_id: str, members: int) -> None:
        """Note how many members the books hold as used."""
        ...

    def done(self, customer_id: str, revision: int) -> None:
        """Note that Stripe agrees with a revision; nothing is due where nothing newer was told."""
        ...

    def later(self, customer_id: str, attempts: int, next_at: Instant, note: str | None) -> None:
        """Note that the next look is due at `next_at`, and why none succeeded yet."""
        ...

    def due(self, now: Instant, limit: int) -> Sequence[SeatRow]:
        """Those that are due, longest first."""
        ...


class HostColumns(Protocol):
    """Columns of the host's own tables that follow ours."""

    def put(self, where: HostColumn, reference_id: str, stripe_customer_id: str | None) -> bool:
        """Write Stripe's id into the row of a reference; says whether there is one.

        Raises:
            ConfigError: there is no such table or column.
        """
        ...

    def fill(self, where: HostTable, reference_id: str, values: Mapping[str, HostValue]) -> bool:
        """Write columns, by their names, into the row of a reference; says whether there is one.

        A date is written as its column takes it: without a zone it is UTC, a whole number is Unix seconds.

        Raises:
            ConfigError: there is no such table or column.
        """
        ...
