"""One Stripe customer for one of ours, and the events that waited for it."""

from __future__ import annotations

from attrs import evolve, frozen

from ..domain.customers import CustomerRow
from ..domain.instants import Instant
from ..errors import Conflict, Unavailable
from ..ports.store import DuplicateKey, Transaction
from .audit import record
from .core import Core
from .projections.columns import mirror

_BATCH = 100


@frozen
class Linked:
    """A row with its Stripe customer, and whether it had none before."""

    row: CustomerRow
    is_new: bool


async def link_row(
    core: Core, row: CustomerRow, stripe_customer_id: str, *, email: str | None = None, name: str | None = None
) -> Linked:
    """Note the Stripe customer of a row that has none, with what is known of who that is; what waited for it may go on.

    Raises:
        Conflict: the reference, or the Stripe customer, is linked elsewhere (CUSTOMER_ALREADY_LINKED).
    """
    now = core.now()

    def unit(tx: Transaction) -> Linked:
        known = tx.customers.lock(row.id)
        if known is None:
            raise Unavailable("The customer was removed meanwhile")
        if not tx.customers.link(row.id, stripe_customer_id):
            raise Conflict("The reference has another Stripe customer already", code="CUSTOMER_ALREADY_LINKED")
        if known.stripe_customer_id is None:
            record(tx, core, "customer.linked", row.id, row.id, None, {"stripe_customer_id": stripe_customer_id})
            mirror(core, tx, row.reference, stripe_customer_id)
        tx.customers.describe(row.id, email=email, name=name)
        requeue_unmatched(tx, stripe_customer_id, now)
        tx.meter_events.link(row.id, stripe_customer_id, now)
        return Linked(evolve(row, stripe_customer_id=stripe_customer_id), known.stripe_customer_id is None)

    try:
        linked = await core.store.transaction(unit)
    except DuplicateKey as taken:
        raise Conflict("The Stripe customer belongs to another reference", code="CUSTOMER_ALREADY_LINKED") from taken
    # Whoever ended an event before the commit saw nobody, and the unit did not see his event.
    if await core.store.read(lambda tx: tx.inbox.unmatched_of(stripe_customer_id, 1)):
        await core.store.transaction(lambda tx: requeue_unmatched(tx, stripe_customer_id, now))
    return linked


def requeue_unmatched(tx: Transaction, stripe_customer_id: str, now: Instant) -> int:
    """Let the events of a Stripe customer that was nobody's be worked on again, now that it is linked; how many."""
    requeued = 0
    while waiting := tx.inbox.unmatched_of(stripe_customer_id, _BATCH):
        moved = sum(tx.inbox.requeue(each.account, each.event_id, now) for each in waiting)
        requeued += moved
        if not moved:
            break
    return requeued
