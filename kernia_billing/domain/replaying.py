"""What a customer's uses would draw under other plans: books that exist in thought only, judged by the one planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import define, evolve, field, frozen

from .buckets import Allocation, Bucket, Mode, allocate, give_back
from .grants import Grant
from .ids import Property
from .instants import Instant
from .limits import Meter, Window, headroom, meters
from .offer import FeatureSpec
from .period import Rhythm
from .rollover import Closing, Most, Rolled, least, lose_at, opening, unused
from .terms import limits_of


@frozen
class Trial:
    """What a grant includes instead between these instants, `amount` and nothing beyond it."""

    amount: int
    spans: Sequence[tuple[Instant, Instant]]

    def ends(self, at: Instant) -> Instant | None:
        """When it ends that runs at an instant, None where none does."""
        return max((end for start, end in self.spans if start <= at < end), default=None)


@define(eq=False)
class _Running:
    """A grant with its running period, and what earlier ones left."""

    grant: Grant
    number: int
    amount: int | None
    used: int = 0
    trial: Trial | None = None
    rolled: list[Rolled] = field(factory=list[Rolled])

    def most(self, rhythm: Rhythm) -> Most | None:
        """What its periods may leave at most: of a trial nothing moves on."""
        trial = self.trial
        if trial is None:
            return None
        return lambda number: None if trial.ends(rhythm.start(number + 1) - 1) is None else 0


@define(eq=False)
class Replay:
    """The books of one customer in thought. Time goes on with every call, and never back.

    There are no holds in them: a use counts when it is over.
    """

    _running: list[_Running] = field(factory=list[_Running])
    _windows: dict[tuple[str, str, Instant], Window] = field(factory=dict[tuple[str, str, Instant], Window])

    def give(
        self, grants: Iterable[Grant], at: Instant, used: Mapping[str, int], *, trial: Trial | None = None
    ) -> None:
        """Begin with these grants, in the period at `at`. `used` says by feature what is used of them already."""
        for grant in grants:
            already = used.get(grant.feature, 0) if grant.kind == "grant" else 0
            already = already if grant.amount is None else min(already, grant.amount)
            self._running.append(_Running(grant, grant.period(at).number, grant.amount, already, trial))

    def end(self, source_type: str) -> Mapping[str, int]:
        """End the grants of a source; says by feature what was used of what they included."""
        ended = [each for each in self._running if each.grant.source_type == source_type]
        self._running = [each for each in self._running if each not in ended]
        used: dict[str, int] = {}
        for each in ended:
            if each.grant.kind == "grant":
                used[each.grant.feature] = used.get(each.grant.feature, 0) + each.used
        return used

    def use(
        self,
        feature: FeatureSpec,
        quantity: int,
        at: Instant,
        mode: Mode,
        *,
        entity: str = "",
        properties: Mapping[str, Property] | None = None,
    ) -> Allocation:
        """Draw a use; what `require` refuses draws nothing."""
        buckets = self._buckets(at)
        found = self._meters(feature, entity, at, properties)
        pools = [evolve(pool, headroom=_room(found, pool.feature)) for pool in feature.pools]
        got = allocate(
            buckets, feature.key, quantity, mode, entity=entity, pools=pools, headroom=_room(found, feature.key)
        )
        self._move({draw.bucket_id: draw.amount for draw in got.draws})
        self._count(found, feature, got)
        return got

    def give_back(self, feature: str, quantity: int, at: Instant, *, entity: str = "") -> int:
        """Return units in the reverse of the order of drawing; says how many there were to return."""
        draws = give_back(self._buckets(at), quantity, entity=entity, feature=feature)
        self._move({draw.bucket_id: -draw.amount for draw in draws})
        return sum(draw.units for draw in draws)

    def _buckets(self, at: Instant) -> list[Bucket]:
        for each in self._running:
            self._open(each, at)
        return [bucket for each in self._running if each.grant.is_live(at) for bucket in _buckets(each, at)]

    def _open(self, each: _Running, at: Instant) -> None:
        """Close the periods of a grant that are over."""
        grant, rhythm = each.grant, each.grant.rhythm
        number = grant.period(at).number
        if rhythm is None or number <= each.number:
            return
        terms = grant.rules
        debt = sum(other.used for other in self._running if _is_overage_of(other.grant, grant))
        most = each.most(rhythm)
        closing = Closing(each.number, unused(least(each.amount, most, each.number), each.used, 0), debt, each.rolled)
        begun = opening(closing, number, grant.amount, rhythm, rule=terms.rollover, debt=terms.debt, most=most)
        each.number, each.amount, each.used = number, grant.amount, begun.used if grant.kind == "grant" else 0
        each.rolled = list(begun.rolled)

    def _move(self, moved: Mapping[str, int]) -> None:
        for each in self._running:
            each.used += moved.get(each.grant.id, 0)
            each.rolled = [
                evolve(unit, left=unit.left - moved.get(_rolled_id(each.grant, unit), 0)) for unit in each.rolled
            ]

    def _meters(
        self, feature: FeatureSpec, entity: str, at: Instant, properties: Mapping[str, Property] | None
    ) -> list[Meter]:
        limits = {
            limit.id: limit
            for each in self._running
            if each.grant.is_live(at)
            for limit in limits_of(each.grant.terms, each.grant.feature)
        }
        concerned = (feature.key, *(pool.feature for pool in feature.pools))
        windows = list(self._windows.values())
        return [
            meter
            for key in concerned
            for meter in meters(limits.values(), windows, key, at, entity=entity, properties=properties)
        ]

    def _count(self, found: Sequence[Meter], feature: FeatureSpec, got: Allocation) -> None:
        amounts = {feature.key: got.funded}
        for draw in got.draws:
            if draw.feature != feature.key:
                amounts[draw.feature] = amounts.get(draw.feature, 0) + draw.amount
        for meter in found:
            after = meter.added(amounts.get(meter.limit.feature, 0)).window
            self._windows[after.key] = after


def _buckets(each: _Running, at: Instant) -> list[Bucket]:
    grant, rhythm = each.grant, each.grant.rhythm
    ends = grant.expires_at if rhythm is None else lose_at(rhythm, each.number, grant.rules.rollover, grant.expires_at)
    amount, trial_ends = each.amount, None if each.trial is None else each.trial.ends(at)
    if each.trial is not None and trial_ends is not None:
        if grant.kind == "overage":
            return []
        amount, ends = max(each.used, each.trial.amount), min(ends, trial_ends)
    bucket = Bucket(
        id=grant.id,
        grant_id=grant.id,
        feature=grant.feature,
        entity=grant.entity,
        amount=amount,
        used=each.used,
        priority=grant.priority,
        lose_at=ends,
        category=grant.category,
        kind=grant.kind,
        effective_at=grant.effective_at,
    )
    rolled = [
        evolve(bucket, id=_rolled_id(grant, unit), amount=unit.left, used=0, kind="rollover", lose_at=unit.expires_at)
        for unit in each.rolled
        if unit.left > 0 and at < unit.expires_at
    ]
    return [bucket, *rolled]


def _rolled_id(grant: Grant, unit: Rolled) -> str:
    return f"{grant.id}:{unit.origin}"


def _is_overage_of(overage: Grant, grant: Grant) -> bool:
    """Whether a grant is the free overage beside another one: billed overage is paid, not owed."""
    beside = (overage.source_type, overage.source_id, overage.feature) == (
        grant.source_type,
        grant.source_id,
        grant.feature,
    )
    return beside and overage.kind == "overage" and grant.kind == "grant" and overage.meter == grant.meter


def _room(found: Iterable[Meter], feature: str) -> int | None:
    return headroom(each for each in found if each.limit.feature == feature)
