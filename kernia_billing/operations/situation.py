"""What a customer has of a feature at an instant: what `check` looks at and every write changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve, frozen

from ..domain.answers import Property
from ..domain.buckets import Allocation, Draw, Mode, Pool, allocate
from ..domain.customers import CustomerRow
from ..domain.grants import Entry, Holding
from ..domain.instants import Instant
from ..domain.offer import FeatureSpec
from ..ports.store import Held, Transaction
from .core import Core
from .holdings import absorb_lapsed, live_holdings
from .ledger import Books, replaced


@frozen
class Situation:
    """The holdings of a feature, and of the credit pools that pay for it, as they stand at `now`."""

    feature: FeatureSpec
    entity: str
    now: Instant
    holdings: Sequence[Holding]
    pools: Sequence[Pool] = ()
    headroom: int | None = None

    @property
    def own(self) -> list[Holding]:
        """The holdings of the feature itself."""
        return [each for each in self.holdings if each.grant.feature == self.feature.key]

    def allocate(self, quantity: int, mode: Mode) -> Allocation:
        """Plan the drawing of so many units. `check` and every write ask this, so that they never disagree."""
        return allocate(
            [each.as_bucket() for each in self.holdings],
            self.feature.key,
            quantity,
            mode,
            entity=self.entity,
            pools=self.pools,
            headroom=self.headroom,
        )

    def holding(self, bucket_id: str) -> Holding:
        """The holding of a bucket."""
        return next(each for each in self.holdings if each.bucket.id == bucket_id)


def features_of(feature: FeatureSpec) -> tuple[str, ...]:
    """The features whose holdings matter for one: itself and its pools."""
    return (feature.key, *(pool.feature for pool in feature.pools))


def seen(
    core: Core,
    customer: CustomerRow | None,
    held: Iterable[Held],
    feature: FeatureSpec,
    entity: str,
    now: Instant,
) -> Situation:
    """What a reader sees, from the rows that it read; nothing is written."""
    holdings = live_holdings(core.offer, customer, held, features_of(feature), now)
    return Situation(feature, entity, now, holdings, feature.pools)


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
    held = tx.entitlements.of_customer(books.customer.id, features, now)
    held = absorb_lapsed(core.offer, books, held, features, now)
    return seen(core, books.customer, held, feature, entity, now)


def moved(
    books: Books, before: Situation, draws: Iterable[Draw], entry: Entry, *, used: int = 0, held: int = 0
) -> Situation:
    """The situation after draws moved in their buckets, which is written down. `used` and `held` are 1, 0 or -1."""
    holdings = list(before.holdings)
    for draw in draws:
        old = next(each for each in holdings if each.bucket.id == draw.bucket_id)
        new = books.move(old, used * draw.amount, entry, units=draw.units, held=held * draw.amount)
        holdings = replaced(holdings, old, new)
    return evolve(before, holdings=holdings)
