"""A use is judged and drawn: what `track`, `consume` and everything that reports a level do with so many units."""

from __future__ import annotations

from ..domain.answers import Decision, Usage
from ..domain.buckets import Mode
from ..ports.store import Transaction
from .balances import decide
from .ledger import Books
from .recording import Told, record
from .situation import Situation, moved


def use(tx: Transaction, books: Books, before: Situation, mode: Mode, told: Told) -> Usage | Decision:
    """Draw the quantity that is told of and write it down, or refuse it: nothing was written then."""
    allocation = before.allocate(told.quantity, mode)
    if mode == "require" and not (allocation.allowed and before.holdings):
        customer = books.customer
        rows = () if before.holdings else tx.subscriptions.of_customer(customer.id)
        return decide(customer.reference, before, told.quantity, allocation, subscriptions=rows, plan=customer.plan)
    after = moved(books, before, allocation.draws, "use", used=1, units=allocation.funded)
    left = after.holdings, after.minimums
    tx.entitlements.leave(books.customer.id, after.feature.key, after.entity, after.now, left)
    return record(tx, books, before, after, allocation.draws, allocation.funded, told)
