"""Seats that follow the members of an organization.

How many members there are is written down first. One process at a time then makes Stripe charge for them, and goes on
until nothing newer was told: whoever comes meanwhile only tells. So a subscription has one change under way at most,
many changes at once become few, and the last one wins. What fails is repeated by `jobs.run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..domain.answers import Subscription
from ..domain.customers import CustomerRow
from ..domain.ids import quantity
from ..domain.plans import Plan
from ..domain.references import Ref, Reference
from ..domain.seats import follows_members, seat_limit, wanted_seats
from ..errors import Conflict
from ..ports.store import Transaction
from .core import Core
from .seat_work import work_off
from .seated import Standing, count_members, standing
from .subscriptions import answer

_BATCH = 100


async def sync_seats(core: Core, reference: Ref, members: int | None = None) -> Subscription | None:
    """Make Stripe charge for as many seats as an organization has members; None where it has no plan with seats.

    `members` is 0 to 10^9, and None asks the configured `member_count`. What is told is stored before Stripe is asked:
    while Stripe does not answer nothing is lost, `jobs.run` goes on, and the subscription is given as it still is.
    An organization without such a plan costs one read.

    Raises:
        InvalidInput: `members` is no count, or there is none and no `member_count`.
        Conflict: the plan has no room for so many (SEAT_LIMIT_REACHED); nothing was stored.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    if members is not None:
        quantity(members, "members", minimum=0)
    found = await core.store.read(lambda tx: standing(core, tx, who))
    if found is None:
        return None
    _refuse_beyond(found, await count_members(core, who) if members is None else members)
    now = core.now()
    row = await core.store.transaction(lambda tx: tx.seats.tell(found.customer.id, members, now))
    await work_off(core, row)
    return await core.store.read(lambda tx: _shown(core, tx, found))


async def member_changed(core: Core, organization_id: str, members: int | None = None) -> Subscription | None:
    """What the news of a member that came or went leads to. Raises what `sync_seats` raises."""
    if members is None and core.host.member_count is None:
        return None
    return await sync_seats(core, Reference(organization_id, "organization"), members)


async def sync_due(core: Core, limit: int = _BATCH) -> int:
    """Go on with what failed or was cut short, and is due; how many organizations that were."""
    if core.stripe is None:
        return 0
    rows = await core.store.read(lambda tx: tx.seats.due(core.now(), limit))
    for number, row in enumerate(rows):
        if core.stopping():
            return number
        await work_off(core, row)
    return len(rows)


async def recount(core: Core) -> int:
    """Ask `member_count` about every organization that pays for its members; how many had to be changed."""
    if core.stripe is None or core.host.member_count is None:
        return 0
    changed = 0
    for plan in core.offer.plans.values():
        if follows_members(plan, Reference("x", "organization")):
            changed += await _recount(core, plan)
    return changed


async def _recount(core: Core, plan: Plan) -> int:
    changed = 0
    after: str | None = None
    while True:
        rows = await core.store.read(partial(_page, plan=plan.key, after=after))
        for customer in rows:
            if core.stopping():
                return changed
            changed += await _recounted(core, customer)
        if len(rows) < _BATCH:
            return changed
        after = rows[-1].id


def _page(tx: Transaction, plan: str, after: str | None) -> Sequence[CustomerRow]:
    return tx.customers.page(plan=plan, limit=_BATCH, after=after)


async def _recounted(core: Core, customer: CustomerRow) -> bool:
    found = await core.store.read(lambda tx: standing(core, tx, customer.reference))
    if found is None:
        return False
    members = await count_members(core, customer.reference)
    if all(each.wanted(core, members) == each.row.seats for each in found.subscriptions):
        return False
    row = await core.store.transaction(lambda tx: tx.seats.tell(customer.id, None, core.now()))
    await work_off(core, row)
    return True


async def members_to_pay_for(core: Core, reference: Reference, plan: Plan) -> int | None:
    """How many seats a plan is bought with where they follow the members; None where the buyer says how many.

    It is what `member_count` says, else what was told last.

    Raises:
        Conflict: the plan has no room for so many (SEAT_LIMIT_REACHED).
    """
    if not follows_members(plan, reference):
        return None
    if core.host.member_count is not None:
        members: int | None = await count_members(core, reference)
    else:
        members = await core.store.read(lambda tx: _told(tx, reference))
    if members is None:
        return None
    if plan.max_seats is not None and members > plan.max_seats:
        raise _full(plan.max_seats)
    return wanted_seats(plan, members, 0, "exact")


def _told(tx: Transaction, reference: Reference) -> int | None:
    customer = tx.customers.get(reference)
    row = None if customer is None else tx.seats.get(customer.id)
    return None if row is None else row.members


def _refuse_beyond(found: Standing, members: int) -> None:
    for each in (*found.subscriptions, *found.bought):
        limit = seat_limit(each.plan, found.customer.reference, each.row.seats or 0)
        # Members who leave are never refused, however small the plan has become for those who stay.
        if limit is not None and members > max(limit, each.row.seats or 0):
            raise _full(limit)


def _full(limit: int) -> Conflict:
    return Conflict(f"The plan has room for {limit} members", code="SEAT_LIMIT_REACHED")


def _shown(core: Core, tx: Transaction, found: Standing) -> Subscription | None:
    customer = tx.customers.by_id(found.customer.id) or found.customer
    first = (*found.subscriptions, *found.bought)[0].row
    row = next((each for each in tx.subscriptions.of_customer(customer.id) if each.id == first.id), first)
    return answer(core, customer, row, core.now(), tx)
