"""Holds by their ids, for callers that keep nothing of a hold but its id."""

from __future__ import annotations

from datetime import timedelta

from ..domain.answers import Balance, Reservation, Usage
from ..domain.holds import HoldRow
from ..domain.instants import to_datetime
from ..domain.references import Ref, Reference
from ..errors import NotFound
from ..ports.store import Transaction
from . import reserving
from .balances import balance
from .core import Core
from .situation import looked_up


async def reserve(
    core: Core,
    reference: Ref,
    feature: str,
    quantity: int,
    *,
    entity: str | None,
    ttl: timedelta | int,
    key: str | None,
) -> Reservation:
    """Set units aside; see `reserving.reserve`, which says what it raises."""
    given = await reserving.reserve(core, reference, feature, quantity, entity=entity, ttl=ttl, key=key)
    return await _told(core, given.reference, given.hold_id)


async def settle(core: Core, reference: Ref, hold_id: str, quantity: int | None) -> Reservation:
    """End a hold of the reference with what was used, None for everything; see `reserving.settle`.

    Raises:
        NotFound: the reference has no such hold (HOLD_NOT_FOUND).
    """
    who = core.reference(reference)
    hold = await _found(core, who, hold_id)
    usage = await reserving.settle(core, _reserved(who, hold), hold.quantity if quantity is None else quantity)
    return await _told(core, who, hold_id, usage)


async def release(core: Core, reference: Ref, hold_id: str) -> Reservation:
    """End a hold of the reference of which nothing was used; see `reserving.release`.

    Raises:
        NotFound: the reference has no such hold (HOLD_NOT_FOUND).
    """
    who = core.reference(reference)
    await reserving.release(core, _reserved(who, await _found(core, who, hold_id)))
    return await _told(core, who, hold_id)


def _reserved(reference: Reference, hold: HoldRow) -> reserving.Reserved:
    return reserving.Reserved(reference, hold.id, hold.feature, hold.entity, hold.quantity, hold.expires_at)


async def _found(core: Core, reference: Reference, hold_id: str) -> HoldRow:
    return _there(await core.store.read(lambda tx: tx.holds.of_reference(reference, hold_id)))


def _there(hold: HoldRow | None) -> HoldRow:
    if hold is None:
        raise NotFound("Hold not found", code="HOLD_NOT_FOUND")
    return hold


async def _told(core: Core, reference: Reference, hold_id: str, usage: Usage | None = None) -> Reservation:
    """The hold as it is now, which after a repeated call is not as it was given."""
    now = core.now()

    def read(tx: Transaction) -> tuple[HoldRow, Balance]:
        hold = _there(tx.holds.of_reference(reference, hold_id))
        spec = reserving.spec_of(core, hold.feature)
        return hold, balance(looked_up(core, tx, reference, spec, hold.entity, now).situation)

    hold, found = await core.store.read(read)
    return Reservation(
        id=hold.id,
        reference=reference,
        feature=hold.feature,
        held=hold.left if hold.status == "open" and now < hold.expires_at else 0,
        expires_at=to_datetime(hold.expires_at),
        balance=found,
        usage=usage,
    )
