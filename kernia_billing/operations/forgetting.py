"""A user or an organization goes: what stands against it, and what is done with what they had.

Whatever was paid stays, without saying by whom. Each step finds what an earlier attempt has done, so that a deletion
that failed half-way is called again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from ..domain.answers import DeletionBlocker
from ..domain.customers import CustomerRow
from ..domain.reading import own_id, text, whole
from ..domain.references import Ref
from ..domain.shapes import is_deleted
from ..errors import Conflict, InvalidInput, NotFound
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .audit import record
from .balances import balances
from .core import Core
from .intents import intent_key
from .projections import sync_object, sync_subscription
from .projections.customer import note_deleted

DeletionPolicy = Literal["refuse", "cancel"]
_OVER = frozenset({"canceled", "incomplete", "incomplete_expired"})


async def deletion_blockers(core: Core, reference: Ref) -> Sequence[DeletionBlocker]:
    """Everything that stands against deleting a reference, at once. Changes nothing.

    That is live subscriptions, invoices that are open or not finished, and what is owed; unused credits are told as
    warnings. A reference that was never billed has none.

    Raises:
        Unavailable: Stripe or the database does not answer.
    """
    who = core.reference(reference)
    row = await core.store.read(lambda tx: tx.customers.get(who))
    if row is None:
        return ()
    found: list[DeletionBlocker] = []
    if row.stripe_customer_id is not None and core.stripe is not None:
        found += await _at_stripe(core, row.stripe_customer_id)
    for key, balance in (await balances(core, who)).items():
        spec = core.offer.features.get(key)
        if spec is not None and spec.kind == "credit" and (balance.remaining or 0) > 0:
            unused = f"{balance.remaining} of {key} are unused"
            found.append(DeletionBlocker("unused_credits", key, unused, warning=True))
    return tuple(found)


async def _at_stripe(core: Core, stripe_id: str) -> list[DeletionBlocker]:
    theirs = await core.provider().request("GET", f"/v1/customers/{stripe_id}")
    if is_deleted(theirs):
        return []
    live = await _live(core, stripe_id)
    found = [DeletionBlocker("subscription", own_id(each), f"The subscription is {each['status']}") for each in live]
    for status in ("open", "draft"):
        invoices = await _all(core, "/v1/invoices", {"customer": stripe_id, "status": status})
        found += [DeletionBlocker("invoice", own_id(each), f"The invoice is {status}") for each in invoices]
    owed = whole(theirs.get("balance")) or 0
    if owed > 0:
        found.append(DeletionBlocker("balance", stripe_id, f"{owed} {text(theirs.get('currency')) or ''} are owed"))
    return found


async def delete(core: Core, reference: Ref, *, policy: DeletionPolicy = "refuse") -> bool:
    """Forget who a reference is; says whether there was anything to forget.

    With "refuse" nothing is done while anything but a warning stands against it; "cancel" ends every subscription at
    once, without a refund. Then Stripe's customer is deleted, and ours keeps its records and loses its name: the
    reference is as one that was never billed.

    Raises:
        InvalidInput: there is no such policy.
        Conflict: something stands against it (ORGANIZATION_HAS_ACTIVE_SUBSCRIPTION, USER_HAS_ACTIVE_SUBSCRIPTION,
            CUSTOMER_HAS_OPEN_INVOICES).
        Unavailable: Stripe or the database does not answer; the same call goes on.
    """
    who = core.reference(reference)
    if policy not in ("refuse", "cancel"):
        raise InvalidInput("must be 'refuse' or 'cancel'", field="policy")
    row = await core.store.read(lambda tx: tx.customers.get(who))
    if row is None:
        return False
    if policy == "refuse":
        _refuse(who.type, await deletion_blockers(core, who))
    if row.stripe_customer_id is not None and core.stripe is not None:
        await _end(core, row.stripe_customer_id)
    await core.store.transaction(lambda tx: _forget(core, tx, row))
    return True


def _refuse(kind: str, blockers: Sequence[DeletionBlocker]) -> None:
    kinds = {each.kind for each in blockers if not each.warning}
    if "subscription" in kinds:
        raise Conflict("There is an active subscription", code=f"{kind.upper()}_HAS_ACTIVE_SUBSCRIPTION")
    if kinds:
        raise Conflict("There are invoices that are not paid", code="CUSTOMER_HAS_OPEN_INVOICES")


async def _end(core: Core, stripe_id: str) -> None:
    """End what Stripe would go on charging for, bring that in while it is known whose it was, delete its customer."""
    theirs = await core.provider().request("GET", f"/v1/customers/{stripe_id}")
    if not is_deleted(theirs):
        for each in await _live(core, stripe_id):
            await _delete_at_stripe(core, f"/v1/subscriptions/{own_id(each)}")
            await sync_subscription(core, own_id(each))
        await _delete_at_stripe(core, f"/v1/customers/{stripe_id}")
    await sync_object(core, "customer", stripe_id)


async def _delete_at_stripe(core: Core, path: str) -> None:
    with suppress(NotFound):  # An earlier attempt has done it.
        await core.provider().request("DELETE", path, idempotency_key=intent_key("delete", path))


def _forget(core: Core, tx: Transaction, row: CustomerRow) -> None:
    known = tx.customers.lock(row.id)
    if known is None:
        return
    if known.stripe_customer_id is not None:
        note_deleted(core, tx, known.stripe_customer_id)
    tx.customers.anonymise(row.id, f"deleted:{row.id}")
    seats = tx.seats.get(row.id)
    if seats is not None:
        tx.seats.done(row.id, seats.revision)
    record(tx, core, "customer.deleted", row.id, row.id, {"type": row.reference.type}, None)


async def _live(core: Core, stripe_id: str) -> list[StripeObject]:
    found = await _all(core, "/v1/subscriptions", {"customer": stripe_id, "status": "all"})
    return [each for each in found if each.get("status") not in _OVER]


async def _all(core: Core, path: str, params: Mapping[str, Any]) -> list[StripeObject]:
    """Every object of a list, however many pages it has."""
    found: list[StripeObject] = []
    has_more = True
    while has_more:
        page = await core.provider().page(path, params, after=own_id(found[-1]) if found else None)
        found += page.data
        has_more = page.has_more and len(page.data) > 0
    return found
