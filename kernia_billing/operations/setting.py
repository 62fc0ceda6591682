"""A level is reported: what is used becomes that much, by drawing or by giving back the difference."""

from __future__ import annotations

from attrs import evolve

from ..domain.answers import Decision, Usage
from ..domain.buckets import Mode
from ..domain.customers import CustomerRow
from ..domain.ids import entity_id, quantity
from ..domain.instants import Instant
from ..domain.minimums import is_minimum, overdrawn
from ..domain.references import Ref
from ..ports.store import Transaction
from .core import Core
from .countable import countable
from .ledger import Books
from .measuring import Report, adds_up, key_of
from .recipe import stamped, usage_of, write
from .recording import Told
from .returning import credits_drawn, give_back, plan
from .situation import Situation, situation
from .using import use


async def set_usage(
    core: Core,
    reference: Ref,
    feature: str,
    used: int,
    *,
    entity: str | None = None,
    key: str | None = None,
    transaction: object | None = None,
) -> Usage:
    """Make `used` (0 to 10^9) what is used of a feature now: the difference is drawn, or given back.

    What no balance covers is recorded as unfunded. Raises what `track` raises, but for the refusals.
    """
    who = core.reference(reference)
    spec = countable(core, feature)
    quantity(used, "used", minimum=0)
    where = entity_id(entity)
    stamp = stamped(core, who, key, "set", spec.key, where, used)
    told = Told(stamp, used, "set")

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Usage | Decision:
        books = Books(tx, core.ids, customer, now, core.ids.new("use"))
        before = situation(core, tx, books, spec, where, now)
        key = key_of(customer, before)
        if not adds_up(spec):
            return set_level(tx, books, before, Report(key, tx.measures.get(key), used), "record", told)
        level = _used(tx, customer, before)
        if used < level:
            return _lower(tx, customer, books, before, level - used, told)
        return use(tx, books, before, "record", evolve(told, quantity=used - level))

    return await write(core, stamp, usage_of, work, transaction)


def set_level(
    tx: Transaction, books: Books, before: Situation, report: Report, mode: Mode, told: Told
) -> Usage | Decision:
    """Bring what is used of a feature that does not add up to what a report makes of it, and remember that."""
    units = report.units(before, mode)
    if units < 0:
        given = told if told.mode == "set" else evolve(told, mode="return")
        answer = _lower(tx, books.customer, books, before, -units, given)
        report.note(tx, mode, units)
        return answer
    usage = use(tx, books, before, mode, evolve(told, quantity=units))
    if isinstance(usage, Usage):
        report.note(tx, mode, usage.funded)
    return usage


def _lower(tx: Transaction, customer: CustomerRow, books: Books, before: Situation, units: int, told: Told) -> Usage:
    return give_back(tx, books, before, plan(tx, customer, before, units), evolve(told, quantity=units))


def _used(tx: Transaction, customer: CustomerRow, before: Situation) -> int:
    """How many units are used within reach: of the feature's own allowances, and paid by pools."""
    drawn = credits_drawn(tx, customer, before)
    feature_of = {each.bucket.id: each.grant.feature for each in before.holdings}
    spent: dict[str, int] = {}
    for bucket_id, amount in drawn.items():
        spent[feature_of[bucket_id]] = spent.get(feature_of[bucket_id], 0) + amount
    paid = sum(spent.get(pool.feature, 0) // pool.cost for pool in before.pools if pool.cost)
    # What was repaid counts where it was repaid from.
    return paid + sum(overdrawn(each) if is_minimum(each.grant) else each.bucket.used for each in before.own)
