"""How everything is written that counts: once for each key, under the customer's lock, whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from attrs import evolve, frozen

from ..domain.answers import Decision, Usage
from ..domain.canonical import canonical
from ..domain.customers import CustomerRow
from ..domain.ids import idempotency_key
from ..domain.instants import Instant
from ..domain.references import Reference
from ..errors import FeatureDenied, GuardError, IdempotencyMismatch, InsufficientBalance, Unavailable
from ..ports.store import DuplicateKey, Needs, Rollback, Transaction
from .core import Core
from .customers import lock_or_add
from .receipts import read_receipt

T = TypeVar("T")

_SHORT = ("insufficient_balance", "overage_limit", "usage_limit")


@frozen
class Stamp:
    """Whose books a write is for, and what tells its repetition from another write.

    `key` is the caller's idempotency key, or a new one that nothing can repeat where it is not `keyed`.
    """

    reference: Reference
    key: str
    keyed: bool
    fingerprint: str


Find = Callable[[Transaction, Stamp, str | None], tuple[str, T] | None]
"""Finds what was answered under a stamp's key, with the fingerprint of that call: by a plain read where the customer's
id is None, by a locking one, which sees what an older snapshot hides, where it is given."""
Write = Callable[[Transaction, CustomerRow, Instant], T | Decision]
"""Writes on the books of a customer whose row is locked, or refuses: then nothing that it wrote stays."""


@frozen
class Prepared(Generic[T]):
    """A write whose arguments are checked, and that has not begun.

    Work that only draws from the holdings of some `features`, and says so, may share a transaction.
    """

    stamp: Stamp
    work: Write[T]
    features: tuple[str, ...] | None = None


def stamped(core: Core, reference: Reference, key: str | None, *told: object) -> Stamp:
    """The stamp of a write. `told` is everything of which a repetition has to be the same, as JSON can say it.

    Raises:
        InvalidInput: the key is none.
    """
    text = canonical(told)
    return Stamp(
        reference=reference,
        key=core.ids.new("auto") if key is None else idempotency_key(key),
        keyed=key is not None,
        fingerprint=hashlib.sha256(text.encode()).hexdigest(),
    )


def usage_of(tx: Transaction, stamp: Stamp, customer_id: str | None) -> tuple[str, Usage] | None:
    """The receipt that was given under a stamp's key: a `Find` for everything that records a use."""
    if customer_id is None:
        row = tx.usage.by_key(stamp.reference, stamp.key)
    else:
        row = tx.usage.by_key_locked(customer_id, stamp.key)
    return None if row is None else (row.fingerprint, evolve(read_receipt(row.result), replayed=True))


async def write(
    core: Core,
    stamp: Stamp,
    find: Find[T],
    work: Write[T],
    host: object | None,
    *,
    features: tuple[str, ...] | None = None,
) -> T:
    """Do `work` once for the stamp's key, in a transaction of its own or inside of the host's.

    Work that only draws from the holdings of some `features`, and says so, may share a transaction.

    Raises:
        FeatureDenied: the work refused (`InsufficientBalance` where too little is left).
        IdempotencyMismatch: the key was used for something else.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    if stamp.keyed and host is None:
        earlier = await core.store.read(lambda tx: find(tx, stamp, None))
        if earlier is not None:
            return _replay(earlier, stamp)
    joined = host is not None
    key = stamp.key if stamp.keyed else None
    needs = None if features is None else Needs(stamp.reference, features, key, core.now())
    try:
        answer = await core.store.transaction(
            lambda tx: _unit(core, tx, stamp, find, work, joined=joined), host=host, needs=needs
        )
    except DuplicateKey:
        answer = await core.store.transaction(lambda tx: _stored(tx, stamp, find), host=host)
    if isinstance(answer, Decision):
        raise InsufficientBalance(answer) if answer.reason in _SHORT else FeatureDenied(answer)
    return answer


async def write_all(core: Core, writes: Sequence[Prepared[T]], find: Find[T], host: object | None) -> list[T]:
    """Do several writes, none of which refuses, of any number of customers in one transaction; answers in their order.

    Customers are locked in the order of their references, whatever the order of the writes, so that no two such calls
    wait for each other. One key that stands twice is one write.

    Raises:
        IdempotencyMismatch: a key was used for something else; nothing is written then.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    try:
        return await core.store.transaction(lambda tx: _all(core, tx, writes, find), host=host)
    except DuplicateKey:
        # A snapshot hid that a key was used: what locks sees it.
        return await core.store.transaction(lambda tx: _all(core, tx, writes, find, locking=True), host=host)


def _all(
    core: Core, tx: Transaction, writes: Sequence[Prepared[T]], find: Find[T], *, locking: bool = False
) -> list[T]:
    now = core.now()
    answers: dict[int, T] = {}
    for reference, numbers in _by_reference(writes):
        is_locked = False
        for number in numbers:
            stamp = writes[number].stamp
            earlier = find(tx, stamp, None) if stamp.keyed else None
            if earlier is None:
                # Each write has a number of its own in the customer's ledger.
                customer = lock_or_add(core, tx, reference, now)
                if stamp.keyed and (locking or not is_locked):
                    earlier = find(tx, stamp, customer.id if locking else None)
                is_locked = True
                if earlier is None:
                    answers[number] = _granted(writes[number].work(tx, customer, customer.written_at))
                    continue
            answers[number] = _replay(earlier, stamp)
    return [answers[number] for number in range(len(writes))]


def _by_reference(writes: Sequence[Prepared[T]]) -> list[tuple[Reference, list[int]]]:
    """The numbers of the writes for each reference, in the order of the references."""
    found: dict[Reference, list[int]] = {}
    for number, each in enumerate(writes):
        found.setdefault(each.stamp.reference, []).append(number)
    return sorted(found.items(), key=lambda each: (each[0].type, each[0].id))


def _granted(answer: T | Decision) -> T:
    if isinstance(answer, Decision):
        raise GuardError("a write of several was refused")
    return answer


def _unit(core: Core, tx: Transaction, stamp: Stamp, find: Find[T], work: Write[T], *, joined: bool) -> T | Decision:
    customer = lock_or_add(core, tx, stamp.reference, core.now())
    earlier = find(tx, stamp, None) if stamp.keyed else None
    if earlier is None:
        answer = work(tx, customer, customer.written_at)
        if not isinstance(answer, Decision):
            return answer
        # The host's snapshot may hide that what is missing now was used under this very key.
        earlier = find(tx, stamp, customer.id) if joined and stamp.keyed else None
        if earlier is None:
            raise Rollback(answer)
    raise Rollback(_replay(earlier, stamp))


def _stored(tx: Transaction, stamp: Stamp, find: Find[T]) -> T:
    """The answer of whoever used the key first. This transaction's snapshot hid it, and may hide the customer too."""
    customer = tx.customers.lock_reference(stamp.reference)
    earlier = customer and find(tx, stamp, customer.id)
    if not earlier:
        raise Unavailable("This could not be recorded: another call is being recorded under its key")
    raise Rollback(_replay(earlier, stamp))


def _replay(earlier: tuple[str, T], stamp: Stamp) -> T:
    fingerprint, answer = earlier
    if fingerprint != stamp.fingerprint:
        raise IdempotencyMismatch
    return answer
