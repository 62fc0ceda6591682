"""What was used is given back without naming a use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import evolve

from ..domain.answers import Usage
from ..domain.customers import CustomerRow
from ..domain.grants import Holding
from ..domain.ids import entity_id, quantity
from ..domain.instants import Instant
from ..domain.references import Ref
from ..domain.refunds import Refund, anonymous
from ..ports.store import Transaction
from .core import Core
from .countable import OLDEST_USE, countable
from .ledger import Books
from .measuring import lower
from .recipe import stamped, usage_of, write
from .recording import Told, record
from .situation import Situation, moved, situation


async def give(
    core: Core,
    reference: Ref,
    feature: str,
    amount: int = 1,
    *,
    entity: str | None = None,
    key: str | None = None,
    transaction: object | None = None,
) -> Usage:
    """Give back `amount` units (1 to 10^9) of a feature, in the reverse of the order in which they were drawn.

    Never more than is used: `funded` of the receipt is what was restored. A pool gets back what this feature drew of
    its running period. Raises what `track` raises, but for the refusals.
    """
    who = core.reference(reference)
    spec = countable(core, feature)
    quantity(amount)
    where = entity_id(entity)
    stamp = stamped(core, who, key, "give_back", spec.key, where, amount, None, {})

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Usage:
        books = Books(tx, core.ids, customer, now, core.ids.new("use"))
        before = situation(core, tx, books, spec, where, now)
        found = plan(tx, customer, before, amount)
        lower(tx, customer, before, found.units)
        return give_back(tx, books, before, found, Told(stamp, amount, "return"))

    return await write(core, stamp, usage_of, work, transaction)


def plan(tx: Transaction, customer: CustomerRow, before: Situation, amount: int) -> Refund:
    """What giving back up to `amount` units moves."""
    return anonymous(
        [each.as_bucket() for each in before.holdings],
        before.feature.key,
        amount,
        entity=before.entity,
        pools=before.pools,
        drawn=credits_drawn(tx, customer, before),
    )


def give_back(tx: Transaction, books: Books, before: Situation, found: Refund, told: Told) -> Usage:
    """Write down what was planned; gives the receipt."""
    after = moved(books, before, found.draws, "return", used=-1)
    told = evolve(told, returning=True, restored=found.units)
    return record(tx, books, before, after, found.draws, found.units, told)


def credits_drawn(tx: Transaction, customer: CustomerRow, before: Situation) -> Mapping[str, int]:
    """How many credits the feature drew, and has not got back, of each bucket of its pools that runs.

    The ledger is asked, for the uses of the feature since these buckets began: nothing else tells the credits of one
    feature from those of another.
    """
    paying = {pool.feature for pool in before.pools if pool.cost}
    used = {each.bucket.id: each for each in before.holdings if each.grant.feature in paying and each.bucket.used}
    if not used:
        return {}
    since = min(each.bucket.period_start for each in used.values()) - OLDEST_USE
    moves = tx.usage.drawn(customer.id, before.feature.key, since)
    places = places_of(tx, customer, before, moves)
    drawn: dict[str, int] = {}
    for bucket_id, amount in moves.items():
        if bucket_id in places and (place := places[bucket_id].bucket.id) in used:
            drawn[place] = drawn.get(place, 0) + amount
    return {bucket_id: amount for bucket_id, amount in drawn.items() if amount > 0}


def places_of(
    tx: Transaction, customer: CustomerRow, before: Situation, bucket_ids: Iterable[str]
) -> Mapping[str, Holding]:
    """Where what was used of these buckets is counted now: there, or where a change of plan carried it.

    By the ids asked for; those of buckets that are gone are left out.
    """
    wanted = list(bucket_ids)
    live = {each.bucket.id: each for each in before.holdings if each.opened}
    known = dict(live)
    missing = {each for each in wanted if each not in known}
    while missing:
        found = tx.entitlements.of_buckets(customer.id, sorted(missing))
        known.update(found)
        missing = {each.bucket.heir_id for each in found.values()} - known.keys() - {""}
    return {each: _place(known, live, each) for each in wanted if each in known}


def _place(known: Mapping[str, Holding], live: Mapping[str, Holding], bucket_id: str) -> Holding:
    """Follow the heirs to one that counts, or has no further one."""
    passed = {bucket_id}
    while bucket_id not in live:
        heir = known[bucket_id].bucket.heir_id
        if heir in passed or heir not in known:
            break
        passed.add(heir)
        bucket_id = heir
    return known[bucket_id]
