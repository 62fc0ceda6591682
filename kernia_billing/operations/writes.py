"""The writes to a customer's books, by time.

Nothing keeps an index of what happened when: the write that an instant lies after is found by halving the sequence of
the ledger. Clocks of several processes may differ a little, so the order is that of the sequence, never of the times.
"""

from __future__ import annotations

from ..domain.customers import CustomerRow
from ..domain.instants import Instant
from ..ports.store import Transaction


def last_write(tx: Transaction, customer: CustomerRow, at: Instant) -> int:
    """The last write that had moved something by an instant, 0 for none."""
    low, high = 0, customer.ledger_seq + 1
    while high - low > 1:
        middle = (low + high) // 2
        line = tx.history.moved_from(customer.id, middle)
        if line is None or line.moved_at > at:
            high = middle
        else:
            low = line.seq
    return low
