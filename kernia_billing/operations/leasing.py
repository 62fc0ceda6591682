"""Leases: units are taken many at a time, counted where they are used, and stored many at a time.

A lease is a chain of holds. To store what was used, the hold is settled with it and the next one is made in one
transaction: nobody gets in between, and each hold ends once, by its own id, whatever has to be repeated.
"""

from __future__ import annotations

from attrs import frozen

from ..domain.answers import Decision, Usage
from ..domain.customers import CustomerRow
from ..domain.holds import Hold, HoldRow, release, settle
from ..domain.instants import Instant
from ..ports.store import Transaction
from .core import Core
from .ledger import Books
from .recipe import Stamp, stamped, usage_of, write
from .reserving import Ended, Reserved, Wanted, hold_of, put_end, record_end, refused, set_aside, settling
from .situation import Situation, situation


@frozen
class Renewed:
    """What became of a lease: the receipt of what was stored, None for nothing, and the hold that it has now."""

    usage: Usage | None
    hold: HoldRow | None


async def renew(core: Core, wanted: Wanted, hold: Reserved | None, used: int, *, most: int, least: int = 0) -> Renewed:
    """Settle what was `used` of a hold, and set aside as many units as there are, up to `most`: one transaction.

    Of a hold that has expired, or is forgotten since, everything is recorded as a late use. A hold is renewed once: who
    does not know whether it was asks again with the same `used`, and is given what was given then.

    Raises:
        FeatureDenied: there are not even `least` (`InsufficientBalance` where too little is left). Nothing is written
            then, and the hold is what it was.
        Unavailable: the database does not answer.
    """
    stamp = stamped(core, wanted.reference, None, "lease") if hold is None else settling(core, hold, used)

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Renewed | Decision:
        made = core.ids.new("hold")
        ending = made if hold is None else hold.hold_id
        books = Books(tx, core.ids, customer, now, core.ids.new("use") if used else ending)
        before = situation(core, tx, books, wanted.feature, wanted.entity, now)
        ended = None if hold is None else _end(core, tx, books, before, hold, used)
        ready = before if ended is None else ended.after
        allocation = ready.allocate(most, "cap")
        if allocation.funded < least:
            return refused(tx, customer, wanted, ready, least, ready.allocate(least, "require"))
        row, after = None, ready
        if allocation.funded:
            with books.because_of(made):
                row, after = set_aside(tx, books, ready, allocation, wanted, stamp)
        if ended is None or not used:
            books.close()
            return Renewed(None, row)
        return Renewed(record_end(tx, books, before, ended, after, stamp, used), row)

    return await write(core, stamp, _find, work, None)


def _end(core: Core, tx: Transaction, books: Books, before: Situation, hold: Reserved, used: int) -> Ended:
    held = tx.holds.get(books.customer.id, hold.hold_id) or _forgotten(hold)
    plan = settle(held, used, before.now) if used else release(held, before.now)
    return put_end(core, tx, books, before, held, plan)


def _forgotten(hold: Reserved) -> Hold:
    return Hold(hold.hold_id, hold.feature, hold.quantity, 0, hold.expires_at, entity=hold.entity, status="expired")


def _find(tx: Transaction, stamp: Stamp, customer_id: str | None) -> tuple[str, Renewed] | None:
    """What became of a hold: either may be missing, where nothing was used, and where nothing was left to take."""
    told, made = usage_of(tx, stamp, customer_id), hold_of(tx, stamp, customer_id)
    if told is not None:
        return told[0], Renewed(told[1], None if made is None else made[1])
    return None if made is None else (made[0], Renewed(None, made[1]))
