"""Periods that begin with what the ones before them left: rollover units, and what is owed.

A reader sees them as they would be opened, the next writer opens them: both ask `followed`, which is pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, field, frozen

from ..domain.buckets import carry_usage, rescale
from ..domain.customers import CustomerRow
from ..domain.grants import BucketRow, Grant, Holding, holding
from ..domain.instants import FOREVER, Instant
from ..domain.period import Rhythm
from ..domain.rollover import Closing, Freed, Opening, Rolled, Rule, least, opening_after, unused
from ..domain.terms import Terms, moves_on
from ..ports.store import Held
from .replacing import most_of

Lapse = tuple[Instant, int]
"""When units of a hold were free again, and how many."""


def _no_buckets() -> dict[str, BucketRow]:
    return {}


def _no_lapses() -> dict[str, Sequence[Lapse]]:
    return {}


@frozen
class Past:
    """What a reader has to know where the running period of a grant is not opened yet.

    `last` are the buckets of the last periods that were, by grant; `lapses` what holds have freed without anybody
    writing that down, by bucket.
    """

    last: Mapping[str, BucketRow] = field(factory=_no_buckets)
    lapses: Mapping[str, Sequence[Lapse]] = field(factory=_no_lapses)


NOTHING = Past()
"""Nothing had to be known."""


@frozen
class Due:
    """A period that is to be opened, with its rollover units as they are from then on.

    Those that older periods left are stored already. `spent` are such of which nothing is left or can come back.
    """

    current: Holding
    rolled: Sequence[Holding]
    spent: Sequence[Holding]


def is_rolled(grant: Grant) -> bool:
    """Whether a grant is what a period of another one left."""
    return grant.source_type == "rollover"


def may_be_due(each: Holding) -> bool:
    """Whether the bucket of a holding is missing, and may not start full."""
    return not each.opened and each.grant.kind == "grant" and moves_on(each.grant.terms)


def _is_any_due(holdings: Iterable[Holding]) -> bool:
    for each in holdings:  # noqa: SIM110 - every check asks this, and a generator takes twice as long
        if may_be_due(each):
            return True
    return False


def followed(
    holdings: Sequence[Holding], rows: Iterable[Held], customer: CustomerRow | None, past: Past, now: Instant
) -> list[Holding]:
    """The holdings as time has left them: periods begun, and rollover units beside the grants that they come from."""
    rows = list(rows)
    units = _stored_units(rows, now)
    if not units and not _is_any_due(holdings):
        return list(holdings)
    found: list[Holding] = []
    rolled: list[Holding] = []
    for each in holdings:
        mine = units.get(each.grant.id, ())
        due = due_of(each, holdings, mine, customer, past, rows)
        found.append(each if due is None else due.current)
        rolled += [_within(unit, each.grant) for unit in (mine if due is None else due.rolled)]
    return [*found, *rolled]


def overdue(
    holdings: Sequence[Holding], rows: Iterable[Held], customer: CustomerRow, past: Past, now: Instant
) -> list[Due]:
    """The periods that a writer has to open."""
    if not _is_any_due(holdings):
        return []
    rows = list(rows)
    units = _stored_units(rows, now)
    found = [due_of(each, holdings, units.get(each.grant.id, ()), customer, past, rows) for each in holdings]
    return [due for due in found if due is not None]


def due_of(
    each: Holding,
    holdings: Iterable[Holding],
    units: Sequence[Holding],
    customer: CustomerRow | None,
    past: Past,
    rows: Iterable[Held] = (),
) -> Due | None:
    """How the running period of a holding begins; None where its bucket is stored, or simply full.

    Among the `rows` are the trials and overrides that counted when the periods before it ended.
    """
    if not may_be_due(each) or (past is NOTHING and each.grant.created_seq):
        return None
    grant, rhythm = each.grant, each.grant.rhythm
    closing = None if rhythm is None else _closing(each, rhythm, holdings, units, customer, past, rows)
    if rhythm is None or closing is None:
        return None
    end = rhythm.start(closing.number + 1)
    terms = grant.rules
    number = each.bucket.period_no
    freed = [
        Freed(at, Rolled(_origin(closing, units, index), amount, unit.grant.expires_at))
        for index, unit in enumerate(units)
        for at, amount in past.lapses.get(unit.bucket.id, ())
        if at > end
    ]
    most = most_of(grant, rhythm, rows, end)
    begun = opening_after(closing, freed, number, grant.amount, rhythm, rule=terms.rollover, debt=terms.debt, most=most)
    return _due(each, units, closing, begun, terms, rhythm)


def without(rows: Iterable[Held], past: Past) -> list[Held]:
    """Rows as they are on paper, without what holds have freed."""
    return [
        (grant, bucket if bucket is None else evolve(bucket, held=bucket.held - _freed(past, bucket, FOREVER)))
        for grant, bucket in rows
    ]


def _stored_units(rows: Iterable[Held], now: Instant) -> dict[str, list[Holding]]:
    """Rollover units that are stored and alive, by the grant that they come from, oldest first."""
    found: dict[str, list[Holding]] = {}
    for grant, bucket in rows:
        if is_rolled(grant) and grant.is_live(now):
            found.setdefault(grant.parent, []).append(holding(grant, bucket, now))
    for units in found.values():
        units.sort(key=lambda unit: (unit.grant.effective_at, unit.grant.created_seq, unit.grant.id))
    return found


def _within(unit: Holding, parent: Grant) -> Holding:
    """Rollover units end with the grant that they come from."""
    if parent.expires_at >= unit.grant.expires_at:
        return unit
    return evolve(unit, grant=evolve(unit.grant, expires_at=parent.expires_at))


def _closing(
    each: Holding,
    rhythm: Rhythm,
    holdings: Iterable[Holding],
    units: Sequence[Holding],
    customer: CustomerRow | None,
    past: Past,
    rows: Iterable[Held],
) -> Closing | None:
    """The last period of a grant that was opened, at its end; None where the running one is the first."""
    grant, number = each.grant, each.bucket.period_no
    last = past.last.get(grant.id)
    first = rhythm.period(_counts_since(grant, customer)).number
    if last is None or last.period_no < first:
        if first >= number:
            return None
        rolled = _rolled(Closing(first, 0), units, past, rhythm)
        most = most_of(grant, rhythm, rows, rhythm.start(first + 1))
        return Closing(first, unused(least(grant.amount, most, first), 0, 0), 0, rolled)
    end = last.period_end
    held = last.held - _freed(past, last, end)
    # What an override let be held beyond the plan's own amount, and nobody used, was never the plan's.
    amount = last.amount if last.own is None else rescale(last.own, last.used, held)
    left = unused(least(amount, most_of(grant, rhythm, rows, end), last.period_no), last.used, held)
    rest = Closing(last.period_no, left, last.owed + _debt(each, last, holdings, past))
    return evolve(rest, rolled=_rolled(rest, units, past, rhythm))


def _counts_since(grant: Grant, customer: CustomerRow | None) -> Instant:
    """Since when the periods of a grant leave anything: those of the default plan not while another plan counted."""
    if grant.source_type != "default" or customer is None:
        return grant.effective_at
    return max(grant.effective_at, customer.plan_until)


def _debt(each: Holding, last: BucketRow, holdings: Iterable[Holding], past: Past) -> int:
    """What the free overage beside a grant has used in its last period. Billed overage is paid, not owed."""
    debt = 0
    for other in holdings:
        if other.grant.kind == "overage" and _is_beside(other.grant, each.grant):
            bucket = past.last.get(other.grant.id)
            is_billed = other.grant.meter is not None and each.grant.meter is None
            if bucket is not None and bucket.period_no == last.period_no and not is_billed:
                debt += bucket.used
    return debt


def _is_beside(one: Grant, other: Grant) -> bool:
    same = one.source_type == other.source_type and one.source_id == other.source_id
    return same and one.feature == other.feature and one.entity == other.entity


def _rolled(closing: Closing, units: Sequence[Holding], past: Past, rhythm: Rhythm) -> list[Rolled]:
    """What can be drawn of older periods' units when a period closes."""
    end = rhythm.start(closing.number + 1)
    return [
        Rolled(_origin(closing, units, index), left, unit.grant.expires_at)
        for index, unit in enumerate(units)
        if (left := _left(unit) - _freed_after(past, unit.bucket, end)) > 0
    ]


def _left(unit: Holding) -> int:
    return unused(unit.bucket.amount, unit.bucket.used, unit.bucket.held)


def _freed(past: Past, bucket: BucketRow, until: Instant) -> int:
    return sum(amount for at, amount in past.lapses.get(bucket.id, ()) if at <= until)


def _freed_after(past: Past, bucket: BucketRow, after: Instant) -> int:
    return sum(amount for at, amount in past.lapses.get(bucket.id, ()) if at > after)


def _origin(closing: Closing, units: Sequence[Holding], index: int) -> int:
    """A number for units that are stored: before all that are not, and in the order of their age."""
    return closing.number - len(units) + index


def _due(
    each: Holding, units: Sequence[Holding], closing: Closing, begun: Opening, terms: Terms, rhythm: Rhythm
) -> Due:
    grant, bucket = each.grant, each.bucket
    # What was used under a plan that has lapsed is in the bucket already.
    used = carry_usage(bucket.used + begun.used, grant.amount)
    current = evolve(each, bucket=evolve(bucket, used=used, amount=rescale(grant.amount, used, bucket.held)))
    left = {one.origin: one for one in begun.rolled}
    rolled: list[Holding] = []
    spent: list[Holding] = []
    for index, unit in enumerate(units):
        rest = left.pop(_origin(closing, units, index), None)
        kept = 0 if rest is None else rest.left
        has_gone = not kept and not unit.bucket.held and unit.grant.expires_at == FOREVER
        amount = unit.bucket.used + unit.bucket.held + kept
        (spent if has_gone else rolled).append(evolve(unit, bucket=evolve(unit.bucket, amount=amount)))
    rolled += [_new_unit(grant, rest, rhythm, terms.rollover) for rest in left.values() if terms.rollover is not None]
    return Due(current, rolled, spent)


def _new_unit(grant: Grant, rest: Rolled, rhythm: Rhythm, rule: Rule | None) -> Holding:
    start = rhythm.start(rest.origin + 1)
    name = f"{grant.id}:{rest.origin}"
    unit = evolve(
        grant,
        id=name,
        kind="rollover",
        source_type="rollover",
        source_id=name,
        amount=rest.left,
        effective_at=start,
        expires_at=rest.expires_at,
        closed_at=FOREVER,
        interval=None,
        anchor_at=start,
        created_seq=0,
        terms=None,
    )
    return holding(unit, None, start)
