"""Units are set aside for work that begins, and settled or released when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial

from attrs import evolve, frozen

from ..domain.answers import Decision, Usage
from ..domain.buckets import Allocation, Draw
from ..domain.customers import CustomerRow
from ..domain.grants import Entry, Holding
from ..domain.holds import Hold, HoldRow, Settlement
from ..domain.holds import release as released
from ..domain.holds import settle as settled
from ..domain.ids import entity_id, quantity
from ..domain.instants import DAY, FOREVER, SECOND, Instant
from ..domain.offer import FeatureSpec
from ..domain.references import Ref, Reference
from ..errors import Conflict, InvalidInput, NotFound
from ..ports.store import Rollback, Transaction
from .balances import decide
from .core import Core
from .countable import countable
from .due import catch_up
from .lapsing import places_of, release_lapsed, shift_lines
from .ledger import Books
from .limiting import uncount
from .recipe import Stamp, stamped, usage_of, write
from .recording import Told, record
from .situation import Situation, features_of, moved, situation

SHORTEST, LONGEST = SECOND, 7 * DAY
"""How long units may be set aside."""
BATCH = 500
"""So many customers a sweep looks at."""


@frozen
class Wanted:
    """What is to be set aside: so many units of a feature, for so many microseconds."""

    reference: Reference
    feature: FeatureSpec
    entity: str
    quantity: int
    lasting: int


@frozen
class Reserved:
    """A hold as it was given, which is what settling and releasing go by."""

    reference: Reference
    hold_id: str
    feature: str
    entity: str
    quantity: int
    expires_at: Instant

    @classmethod
    def of(cls, reference: Reference, row: HoldRow) -> Reserved:
        """What is given of a row."""
        return cls(reference, row.id, row.feature, row.entity, row.quantity, row.expires_at)


@frozen
class Ended:
    """What the end of a hold moved: from `before`, where the hold is gone, to `after`, where an excess is drawn.

    `draws` are what was drawn of the hold and beyond it, and paid `funded` units. `places` are the holdings that the
    lines of the hold are in, by the bucket's id.
    """

    plan: Settlement
    before: Situation
    after: Situation
    draws: Sequence[Draw]
    funded: int
    places: Mapping[str, Holding]


def wanted(
    core: Core, reference: Ref, feature: str, amount: int, *, entity: str | None, ttl: timedelta | int
) -> Wanted:
    """What a caller asks for, checked.

    Raises:
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or uses of the feature do not add up.
    """
    who = core.reference(reference)
    spec = countable(core, feature)
    if spec.aggregation != "sum":
        raise InvalidInput(f"{spec.key} does not add up: nothing of it can be set aside", field="feature")
    return Wanted(who, spec, entity_id(entity), quantity(amount), _lasting(ttl))


async def reserve(
    core: Core,
    reference: Ref,
    feature: str,
    amount: int = 1,
    *,
    entity: str | None = None,
    ttl: timedelta | int = 60,
    key: str | None = None,
) -> Reserved:
    """Set aside `amount` units (1 to 10^9) of a feature, all of them or none, for `ttl`: 1 second to 7 days.

    Under a key that was used for the same before, the same hold is given again, whatever has become of it since.

    Raises:
        FeatureDenied: not everything is covered (`InsufficientBalance` where too little is left).
        IdempotencyMismatch: the key was used for another hold.
        NotFound: the feature is in no plan (FEATURE_NOT_FOUND).
        InvalidInput: a value is out of range, or uses of the feature do not add up.
        Unavailable: the database does not answer.
    """
    asked = wanted(core, reference, feature, amount, entity=entity, ttl=ttl)
    spec = asked.feature
    stamp = stamped(core, asked.reference, key, "reserve", spec.key, asked.entity, amount, asked.lasting)

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> HoldRow | Decision:
        books = Books(tx, core.ids, customer, now, core.ids.new("hold"))
        before = situation(core, tx, books, spec, asked.entity, now)
        allocation = before.allocate(amount, "require")
        if not allocation.allowed:
            return refused(tx, customer, asked, before, amount, allocation)
        row, _ = set_aside(tx, books, before, allocation, asked, stamp)
        books.close()
        return row

    row = await write(core, stamp, hold_of, work, None)
    return Reserved.of(asked.reference, row)


async def settle(core: Core, hold: Reserved, actual: int) -> Usage:
    """End a hold with what was used: 0 to 10^9 units. What was held and not used is free again.

    What was used beyond the hold is recorded like any other use. After the hold has expired everything is, once, and
    the receipt says `late`. A second time with the same quantity gives the first receipt again.

    Raises:
        IdempotencyMismatch: it was settled with another quantity.
        Conflict: it was released (HOLD_RELEASED).
        NotFound: it is long over, and forgotten (HOLD_NOT_FOUND).
        InvalidInput: the quantity is out of range.
        Unavailable: the database does not answer.
    """
    quantity(actual, minimum=0)
    spec = spec_of(core, hold.feature)
    stamp = settling(core, hold, actual)

    def work(tx: Transaction, customer: CustomerRow, now: Instant) -> Usage:
        books = Books(tx, core.ids, customer, now, core.ids.new("use"))
        before = situation(core, tx, books, spec, hold.entity, now)
        held = _found(tx, customer, hold)
        if held.status == "released":
            raise Conflict("The hold was released", code="HOLD_RELEASED")
        end = put_end(core, tx, books, before, held, settled(held, actual, now))
        return record_end(tx, books, before, end, end.after, stamp, actual)

    return await write(core, stamp, usage_of, work, None)


async def release(core: Core, hold: Reserved) -> None:
    """End a hold of which nothing was used. Where it was released before or has expired there is nothing to do.

    Raises:
        Conflict: it was settled (HOLD_SETTLED).
        NotFound: it is long over, and forgotten (HOLD_NOT_FOUND).
        Unavailable: the database does not answer.
    """
    spec = spec_of(core, hold.feature)

    def unit(tx: Transaction) -> None:
        customer = tx.customers.lock_reference(hold.reference, core.now())
        if customer is None:
            raise _gone()
        now = customer.written_at
        books = Books(tx, core.ids, customer, now, hold.hold_id)
        catch_up(core.offer, tx, books, features_of(spec), now)
        held = _found(tx, customer, hold)
        if held.status == "settled":
            raise Conflict("The hold was settled", code="HOLD_SETTLED")
        if held.status != "open":
            raise Rollback(None)
        end = released(held, now)
        entry: Entry = "release" if end.hold.status == "released" else "expire"
        shift_lines(books, places_of(tx, books, held.lines), end.released, entry, held=-1)
        uncount(tx, customer.id, end, now)
        tx.holds.put(end.hold, now)
        books.close()

    await core.store.transaction(unit)


async def sweep(core: Core) -> tuple[int, bool]:
    """Write down that holds have expired, for customers whom nobody writes for.

    Says how many, and whether that was all. Nobody waits for it: for readers such a hold holds nothing any more, and
    the customer's next write does the same.
    """
    customers = await core.store.read(lambda tx: tx.holds.overdue(core.now(), BATCH))
    number = 0
    for customer_id in customers:
        if core.stopping():
            break
        number += await core.store.transaction(partial(_sweep, core, customer_id))
    return number, len(customers) < BATCH


def _sweep(core: Core, customer_id: str, tx: Transaction) -> int:
    customer = tx.customers.lock(customer_id, core.now())
    if customer is None:
        raise Rollback(0)
    now = customer.written_at
    lapsed = tx.holds.lapsed(customer_id, now)
    if not lapsed:
        raise Rollback(0)
    books = Books(tx, core.ids, customer, now)
    concerned = {hold.feature for hold in lapsed} | {line.feature for hold in lapsed for line in hold.lines}
    catch_up(core.offer, tx, books, sorted(concerned), now)
    # Those that hold something of periods that are over may be left.
    release_lapsed(tx, books, tx.holds.lapsed(customer_id, now), now)
    books.close()
    return len(lapsed)


def settling(core: Core, hold: Reserved, actual: int) -> Stamp:
    """The stamp of the end of a hold: the hold is the key, so that it is settled once."""
    return stamped(core, hold.reference, hold.hold_id, "settle", actual)


def set_aside(
    tx: Transaction, books: Books, before: Situation, allocation: Allocation, asked: Wanted, stamp: Stamp
) -> tuple[HoldRow, Situation]:
    """Hold what an allocation funds, as what the books are written for; gives the hold, and the situation after it."""
    row = HoldRow(
        id=books.event_id,
        customer_id=books.customer.id,
        feature=asked.feature.key,
        entity=asked.entity,
        quantity=allocation.funded,
        left=allocation.funded,
        status="open",
        expires_at=before.now + asked.lasting,
        created_at=before.now,
        created_seq=books.customer.ledger_seq,
        ended_at=FOREVER,
        idempotency_key=stamp.key,
        fingerprint=stamp.fingerprint,
    )
    after = moved(books, before, allocation.draws, "hold", held=1, units=allocation.funded)
    opened = {old.bucket.id: new.bucket.id for old, new in zip(before.holdings, after.holdings, strict=True)}
    tx.holds.add(row, [evolve(draw, bucket_id=opened[draw.bucket_id]) for draw in allocation.draws])
    return row, after


def refused(
    tx: Transaction, customer: CustomerRow, asked: Wanted, before: Situation, amount: int, allocation: Allocation
) -> Decision:
    """Why `amount` units are not set aside."""
    rows = () if before.holdings else tx.subscriptions.of_customer(customer.id)
    return decide(asked.reference, before, amount, allocation, subscriptions=rows, plan=customer.plan)


def put_end(core: Core, tx: Transaction, books: Books, before: Situation, held: Hold, end: Settlement) -> Ended:
    """Write down how a hold ends."""
    places = places_of(tx, books, held.lines)
    places = shift_lines(books, places, end.used, "settle", used=1, held=-1)
    entry: Entry = "expire" if end.late or end.hold.status == "expired" else "release"
    places = shift_lines(books, places, end.released, entry, held=-1)
    uncount(tx, books.customer.id, end, before.now)
    if end.hold != held:
        tx.holds.put(end.hold, before.now)
    without = _moved_on(core, tx, books, before, places, freed=end.freed)
    excess = without.allocate(end.excess, "record")
    after = moved(books, without, excess.draws, "use", used=1, units=excess.funded)
    return Ended(end, without, after, (*end.used, *excess.draws), end.units + excess.funded, places)


def record_end(
    tx: Transaction, books: Books, since: Situation, end: Ended, after: Situation, stamp: Stamp, actual: int
) -> Usage:
    """Store what a hold was used for. `since` is how it was before, `after` how it is when everything is done."""
    told = Told(stamp, actual, "settle", hold_id=end.plan.hold.id, late=end.plan.late)
    return record(tx, books, end.before, after, end.draws, end.funded, told, elsewhere=end.places, since=since)


def hold_of(tx: Transaction, stamp: Stamp, customer_id: str | None) -> tuple[str, HoldRow] | None:
    """The hold that was given under a stamp's key: a `Find`."""
    if customer_id is None:
        row = tx.holds.by_key(stamp.reference, stamp.key)
    else:
        row = tx.holds.by_key_locked(customer_id, stamp.key)
    return None if row is None else (row.fingerprint, row)


def _found(tx: Transaction, customer: CustomerRow, hold: Reserved) -> Hold:
    """The hold as it is after everything that time has brought about was written down."""
    there = tx.holds.get(customer.id, hold.hold_id)
    if there is None:
        raise _gone()
    return there


def _gone() -> NotFound:
    return NotFound("Hold not found", code="HOLD_NOT_FOUND")


def spec_of(core: Core, feature: str) -> FeatureSpec:
    """The feature of a hold: one that is sold no more is settled all the same."""
    return core.offer.features.get(feature) or FeatureSpec(feature, "metered")


def _moved_on(
    core: Core, tx: Transaction, books: Books, before: Situation, places: Mapping[str, Holding], *, freed: int
) -> Situation:
    """The situation after lines of a hold moved in these places, and limits no longer count `freed` units."""
    if freed and before.meters:
        return situation(core, tx, books, before.feature, before.entity, before.now)
    return evolve(before, holdings=[_changed(each, places.get(each.bucket.id)) for each in before.holdings])


def _changed(known: Holding, changed: Holding | None) -> Holding:
    if changed is None:
        return known
    return evolve(known, bucket=evolve(known.bucket, used=changed.bucket.used, held=changed.bucket.held))


def _lasting(ttl: object) -> int:
    """How long, in microseconds."""
    if isinstance(ttl, timedelta):
        lasting = ttl // timedelta(microseconds=1)
    elif type(ttl) is int:
        lasting = ttl * SECOND
    else:
        raise InvalidInput("must be a timedelta, or whole seconds", field="ttl")
    if not SHORTEST <= lasting <= LONGEST:
        raise InvalidInput("must be from 1 second to 7 days", field="ttl")
    return lasting
