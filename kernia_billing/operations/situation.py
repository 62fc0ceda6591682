"""What a customer has of a feature at an instant: what `check` looks at and every write changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, field

from ..domain.buckets import Allocation, Draw, Mode, Pool, allocate
from ..domain.customers import CustomerRow
from ..domain.grants import Entry, Holding
from ..domain.ids import Property
from ..domain.instants import Instant
from ..domain.limits import Drawn, Meter, Window
from ..domain.minimums import minimums_of
from ..domain.minimums import room as room_above
from ..domain.offer import FeatureSpec
from ..domain.references import Reference
from ..domain.values import value
from ..ports.store import Held, Needs, Transaction
from .core import Core
from .due import catch_up, past_of
from .holdings import absorb_lapsed, live_holdings
from .ledger import Books
from .limiting import amounts_of, counted, limits_on, meters_of, room
from .opening import NOTHING, Past


def _no_minimums() -> dict[str, int]:
    return {}


@value
class Situation:
    """The holdings of a feature, and of the credit pools that pay for it, as they stand at `now`.

    They are those within reach of a request for `entity`, "" for the customer as such. `meters` are the usage limits on
    the feature and on the pools that concern it, `minimums` what balances of credits may not fall below, by feature.
    """

    feature: FeatureSpec
    entity: str
    now: Instant
    holdings: Sequence[Holding]
    pools: Sequence[Pool] = ()
    meters: Sequence[Meter] = ()
    minimums: Mapping[str, int] = field(factory=_no_minimums)

    @property
    def own(self) -> list[Holding]:
        """The holdings of the feature itself."""
        return [each for each in self.holdings if each.grant.feature == self.feature.key]

    def allocate(self, quantity: int, mode: Mode, *, limited: bool = True) -> Allocation:
        """Plan the drawing of so many units. `check` and every write ask this, so that they never disagree.

        Not `limited` it is what balances alone would allow.
        """
        feature, buckets = self.feature.key, [each.as_bucket() for each in self.holdings]
        meters = self.meters if limited else ()
        if not (meters or self.minimums):
            return allocate(buckets, feature, quantity, mode, entity=self.entity, pools=self.pools)
        pools = [evolve(pool, headroom=self._headroom(pool.feature, meters)) for pool in self.pools]
        headroom = self._headroom(feature, meters)
        return allocate(buckets, feature, quantity, mode, entity=self.entity, pools=pools, headroom=headroom)

    def _headroom(self, feature: str, meters: Sequence[Meter]) -> int | None:
        """What usage limits, and what has to be kept, leave of a feature or pool; None where there is nothing such."""
        found = (room(meters, feature), room_above(self.minimums, feature, self.holdings))
        return min((each for each in found if each is not None), default=None)

    def holding(self, bucket_id: str) -> Holding:
        """The holding of a bucket."""
        return holding_of(self.holdings, bucket_id)


def holding_of(holdings: Iterable[Holding], bucket_id: str) -> Holding:
    """That of these holdings whose bucket has this id."""
    for each in holdings:
        if each.bucket.id == bucket_id:
            return each
    raise KeyError(bucket_id)


@value
class Look:
    """What a reader found: the customer, the rows of its grants, and what they come to."""

    customer: CustomerRow | None
    held: Sequence[Held]
    situation: Situation


def features_of(feature: FeatureSpec) -> tuple[str, ...]:
    """The features whose holdings matter for one: itself and its pools."""
    if not feature.pools:
        return (feature.key,)
    return (feature.key, *(pool.feature for pool in feature.pools))


def within_reach(holdings: Iterable[Holding], entity: str) -> list[Holding]:
    """The holdings that a request may touch: those of its entity and the customer's own, never another entity's."""
    return [each for each in holdings if not each.grant.entity or each.grant.entity == entity]


def seen(
    core: Core,
    customer: CustomerRow | None,
    held: Iterable[Held],
    feature: FeatureSpec,
    entity: str,
    now: Instant,
    past: Past = NOTHING,
) -> Situation:
    """What a reader sees, from the rows that it read; nothing is written."""
    rows = list(held)
    holdings = within_reach(live_holdings(core.offer, customer, rows, features_of(feature), now, past), entity)
    minimums = minimums_of((grant for grant, _ in rows), now)
    return Situation(feature, entity, now, holdings, feature.pools, minimums=minimums)


def needs_of(core: Core, reference: Reference, feature: FeatureSpec, now: Instant) -> Needs | None:
    """What `looked_up` reads, where that is all it reads as a rule; None where the plans make more necessary."""
    features, offer = features_of(feature), core.offer
    if offer.limited.isdisjoint(features) and offer.moving.isdisjoint(features):
        return Needs(reference, features, None, now)
    return None


def looked_up(
    core: Core, tx: Transaction, reference: Reference, feature: FeatureSpec, entity: str, now: Instant
) -> Look:
    """What a reader sees, in one read.

    More are needed only where a grant has usage limits, rollover or debt that no plan has any more, and where others
    wrote at a time that is still to come on this clock.
    """
    features = features_of(feature)
    customer, held, windows, past = _read(core, tx, reference, features, entity, now)
    if customer is not None and (time := customer.time(now)) > now:
        return looked_up(core, tx, reference, feature, entity, time)
    found = seen(core, customer, held, feature, entity, now, past)
    limits = limits_on(found.holdings)
    if not limits:
        return Look(customer, held, found)
    if windows is None:
        windows = () if customer is None else tx.limits.running(customer.id, features, entity, now)
    return Look(customer, held, evolve(found, meters=meters_of(limits, windows, features, entity, now)))


def _read(
    core: Core, tx: Transaction, reference: Reference, features: Sequence[str], entity: str, now: Instant
) -> tuple[CustomerRow | None, Sequence[Held], Sequence[Window] | None, Past]:
    """What the plans make necessary to know."""
    offer = core.offer
    is_limited, is_moving = not offer.limited.isdisjoint(features), not offer.moving.isdisjoint(features)
    if not (is_limited or is_moving):
        customer, held = tx.entitlements.of_reference(reference, features, now)
        return customer, held, None, past_of(offer, tx, customer, held, features, now)
    limits_on_entity = entity if is_limited else None
    found = tx.entitlements.standing(reference, features, now, entity=limits_on_entity, earlier=is_moving)
    past = past_of(offer, tx, found.customer, found.held, features, now, earlier=found.earlier)
    return found.customer, found.held, found.windows, past


def situation(
    core: Core,
    tx: Transaction,
    books: Books,
    feature: FeatureSpec,
    entity: str,
    now: Instant,
    properties: Mapping[str, Property] | None = None,
) -> Situation:
    """What a writer starts from. What time has brought about since the last write is written down first."""
    features = features_of(feature)
    left = tx.entitlements.left(books.customer.id, feature.key, entity, now)
    if left is None:
        held = catch_up(core.offer, tx, books, features, now)
        held = absorb_lapsed(core.offer, books, held, features, now)
        found = seen(core, books.customer, held, feature, entity, now)
    else:
        holdings, minimums = left
        found = Situation(feature, entity, now, holdings, feature.pools, minimums=minimums)
    limits = limits_on(found.holdings)
    if not limits:
        return found
    windows = tx.limits.running_locked(books.customer.id, features, entity, now)
    seq = books.customer.ledger_seq
    return evolve(found, meters=meters_of(limits, windows, features, entity, now, properties, seq=seq))


def moved(
    books: Books,
    before: Situation,
    draws: Iterable[Draw],
    entry: Entry,
    *,
    used: int = 0,
    held: int = 0,
    units: int | None = None,
    drawn: Drawn | None = None,
) -> Situation:
    """The situation after draws moved in their buckets, which is written down. `used` and `held` are 1, 0 or -1.

    Usage limits count it too, or no longer, where it was `drawn` then (None: now). `units` are how many units of
    the feature the draws pay; they need to be told where pools pay some at no cost, without a draw.
    """
    moving = list(draws)
    holdings = list(before.holdings)
    # A bucket that is opened by its first draw has another id from then on.
    places = {each.bucket.id: place for place, each in enumerate(holdings)}
    for draw in moving:
        place = places[draw.bucket_id]
        holdings[place] = books.move(
            holdings[place], used * draw.amount, entry, units=draw.units, held=held * draw.amount
        )
    after = Situation(before.feature, before.entity, before.now, holdings, before.pools, before.meters, before.minimums)
    change = used + held
    return count(books, after, moving, change, units=units, drawn=drawn) if change and before.meters else after


def count(
    books: Books,
    before: Situation,
    draws: Iterable[Draw],
    change: int,
    *,
    units: int | None = None,
    drawn: Drawn | None = None,
) -> Situation:
    """The situation after usage limits counted draws (`change` 1), or no longer count them (-1); see `moved`."""
    amounts = amounts_of(before.feature.key, draws, units)
    when = drawn or Drawn(before.now, books.customer.ledger_seq)
    after = [counted(each, change * amounts.get(each.limit.feature, 0), when) for each in before.meters]
    for old, new in zip(before.meters, after, strict=True):
        if new != old:
            books.count(new)
    return evolve(before, meters=after)
