"""Holds whose time has come: whoever writes next to their customer's books says so, or a job does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..domain.buckets import Draw
from ..domain.grants import Entry, Holding
from ..domain.holds import Hold, expire
from ..domain.instants import Instant
from ..ports.store import Transaction
from .ledger import Books
from .limiting import uncount


def release_lapsed(tx: Transaction, books: Books, lapsed: Iterable[Hold], now: Instant) -> None:
    """Release holds of the customer whose time has come.

    A period is closed with what was held at its end: those that are due are to be judged before.
    """
    ended = expire(lapsed, now)
    if not ended:
        return
    places = places_of(tx, books, [line for each in ended for line in each.released])
    for each in ended:
        places = shift_lines(books, places, each.released, "expire", held=-1)
        tx.holds.put(each.hold, now)
        uncount(tx, books.customer.id, each, now)


def places_of(tx: Transaction, books: Books, lines: Iterable[Draw]) -> Mapping[str, Holding]:
    """The holdings that lines of holds are in, whichever period these are of, by the bucket's id."""
    return tx.entitlements.of_buckets(books.customer.id, sorted({line.bucket_id for line in lines}))


def shift_lines(
    books: Books, places: Mapping[str, Holding], lines: Iterable[Draw], entry: Entry, *, used: int = 0, held: int = 0
) -> Mapping[str, Holding]:
    """The places after lines moved in them, which is written down. `used` and `held` are 1, 0 or -1."""
    after = dict(places)
    for line in lines:
        old = after[line.bucket_id]
        after[line.bucket_id] = books.move(old, used * line.amount, entry, units=line.units, held=held * line.amount)
    return after
