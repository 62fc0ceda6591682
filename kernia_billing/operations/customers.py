"""Customers: one row and one Stripe customer a reference."""

from __future__ import annotations

from functools import partial
from typing import Any

from attrs import evolve

from ..domain.answers import Customer, Page
from ..domain.customers import CustomerRow
from ..domain.ids import quantity, stripe_id
from ..domain.instants import Instant
from ..domain.reading import own_id, text
from ..domain.references import Ref, Reference
from ..domain.shapes import is_deleted
from ..errors import Conflict, InvalidInput, NotFound, Unavailable
from ..ports.store import DuplicateKey, Transaction
from ..ports.stripe import StripeObject
from .audit import record
from .core import Core
from .intents import INTENT, create, fresh_key
from .projections import adopt_subscriptions
from .projections.customer import stripe_customer_row
from .subscriptions import answer, entitling

_MAX_NAME = 256
_MAX_EMAIL = 512
_MAX_GENERATIONS = 5
_BATCH = 100


def new_customer(core: Core, reference: Reference, now: Instant) -> CustomerRow:
    """The row of a reference that was never seen before."""
    return CustomerRow(
        id=core.ids.new("cust"),
        reference=reference,
        stripe_customer_id=None,
        email=None,
        name=None,
        ledger_seq=0,
        config_epoch=0,
        plan=None,
        plan_until=0,
        created_at=now,
    )


def lock_or_add(core: Core, tx: Transaction, reference: Reference, now: Instant) -> CustomerRow:
    """Lock the customer of a reference and raise its sequence; insert it first where there is none.

    What time it is in its books then, where a clock shows `now`, is `written_at`.
    """
    customer = tx.customers.lock_reference(reference, now)
    if customer is None:
        tx.customers.add(new_customer(core, reference, now))
        customer = tx.customers.lock_reference(reference, now)
    return _still(customer)


def _still(row: CustomerRow | None) -> CustomerRow:
    """A row that was there a moment ago."""
    if row is None:
        raise Unavailable("The customer was removed meanwhile")
    return row


async def row_of(core: Core, reference: Reference) -> CustomerRow:
    """The row of a reference, inserted where there is none."""
    row = await core.store.read(lambda tx: tx.customers.get(reference))
    if row is not None:
        return row
    new = new_customer(core, reference, core.now())

    def claim(tx: Transaction) -> CustomerRow:
        tx.customers.add(new)
        return _still(tx.customers.get(reference))

    return await core.store.transaction(claim)


async def get(core: Core, reference: Ref) -> Customer | None:
    """The customer of a reference, None where it was never billed. No call to Stripe."""
    who = core.reference(reference)
    now = core.now()

    def read(tx: Transaction) -> Customer | None:
        row = tx.customers.get(who)
        return None if row is None else _answer(core, tx, row, now)

    return await core.store.read(read)


async def _read(core: Core, row: CustomerRow) -> Customer:
    now = core.now()
    return await core.store.read(lambda tx: _answer(core, tx, _still(tx.customers.by_id(row.id)), now))


def _answer(core: Core, tx: Transaction, row: CustomerRow, now: Instant) -> Customer:
    current = entitling(tx.subscriptions.of_customer(row.id))
    default = core.offer.default_plan
    plan = row.plan if row.has_plan(now) else (None if default is None else default.key)
    subscription = None if current is None else answer(core, row, current, now)
    return Customer(row.reference, row.stripe_customer_id, row.email, plan, subscription)


async def ensure(core: Core, reference: Ref, *, email: str | None = None, name: str | None = None) -> Customer:
    """The customer of a reference, with a Stripe customer: both are made where they are missing.

    One row and one Stripe customer, whatever the number of concurrent first calls and lost replies. An existing
    customer is never looked for by e-mail: who controls an address is the host's knowledge, see `link`.

    Raises:
        InvalidInput: a value is not a text, or too long.
        Unavailable: Stripe does not answer; the next call goes on.
        ProviderNotConfigured: the library is offline.
    """
    who = core.reference(reference)
    _text(email, "email", _MAX_EMAIL)
    _text(name, "name", _MAX_NAME)
    row = await row_of(core, who)
    linked = await with_stripe(core, row, email=email, name=name)
    return await _read(core, linked)


def _text(value: object, field: str, limit: int) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise InvalidInput(f"must be a text of 1 to {limit} printable characters", field=field)


async def with_stripe(
    core: Core, row: CustomerRow, *, email: str | None = None, name: str | None = None
) -> CustomerRow:
    """The row with its Stripe customer, made where there is none, and once more after each that Stripe deleted."""
    if row.stripe_customer_id is not None:
        return row
    for _ in range(_MAX_GENERATIONS):
        key = await _key(core, row)
        made = await create(core, "customer", key, row.id, "/v1/customers", _params(row, key, email, name))
        stripe_customer_id = own_id(made)
        if not is_deleted(made):
            return await _link(core, row, stripe_customer_id, email=email, name=name)
        # It was made, and deleted at Stripe before it was linked here.
        await core.store.transaction(partial(_note_deleted, row=row, made=made, now=core.now()))
    raise Conflict("Stripe deletes every customer of this reference", code="CUSTOMER_DELETED")


async def _key(core: Core, row: CustomerRow) -> str:
    """The key of the intent to make a Stripe customer. How many of the reference were deleted before makes it new."""
    parts = ("customer", row.reference.type, row.reference.id, row.id)
    former = await core.store.read(lambda tx: tx.stripe_customers.of_customer(row.id))
    generation = sum(each.deleted for each in former)
    return await fresh_key(core, *parts, f"generation {generation}") if generation else await fresh_key(core, *parts)


def _note_deleted(tx: Transaction, row: CustomerRow, made: StripeObject, now: Instant) -> None:
    tx.stripe_customers.put(evolve(stripe_customer_row({"id": own_id(made)}, row.id, now), deleted=True))


def _params(row: CustomerRow, key: str, email: str | None, name: str | None) -> dict[str, Any]:
    return {
        "email": email,
        "name": name,
        "metadata": {
            f"{row.reference.type}Id": row.reference.id,
            "customerType": row.reference.type,
            "referenceId": row.reference.id,
            INTENT: key,
        },
    }


async def _link(
    core: Core, row: CustomerRow, stripe_customer_id: str, *, email: str | None = None, name: str | None = None
) -> CustomerRow:
    now = core.now()

    def unit(tx: Transaction) -> CustomerRow:
        known = _still(tx.customers.lock(row.id))
        if not tx.customers.link(row.id, stripe_customer_id):
            raise Conflict("The reference has another Stripe customer already", code="CUSTOMER_ALREADY_LINKED")
        if known.stripe_customer_id is None:
            record(tx, core, "customer.linked", row.id, row.id, None, {"stripe_customer_id": stripe_customer_id})
        tx.customers.describe(row.id, email=email, name=name)
        requeue_unmatched(tx, stripe_customer_id, now)
        tx.meter_events.link(row.id, stripe_customer_id, now)
        return evolve(row, stripe_customer_id=stripe_customer_id)

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


async def link(core: Core, reference: Ref, stripe_customer_id: str) -> Customer:
    """Adopt an existing Stripe customer for a reference, with its subscriptions.

    Events that came for it while it was nobody's wait in the same commit, to be worked on by the next `jobs.run`.

    Raises:
        NotFound: Stripe has no such customer (CUSTOMER_NOT_FOUND).
        Conflict: the reference, or the Stripe customer, is linked elsewhere (CUSTOMER_ALREADY_LINKED).
    """
    who = core.reference(reference)
    stripe_id(stripe_customer_id, "cus", field="stripe_customer_id")
    try:
        theirs = await core.provider().request("GET", f"/v1/customers/{stripe_customer_id}")
    except NotFound as missing:
        raise NotFound("Stripe has no such customer", code="CUSTOMER_NOT_FOUND") from missing
    if is_deleted(theirs):
        raise NotFound("Stripe has deleted this customer", code="CUSTOMER_NOT_FOUND")
    owner = await core.store.read(lambda tx: tx.customers.by_stripe_id(stripe_customer_id))
    if owner is not None and owner.reference != who:
        raise Conflict("The Stripe customer belongs to another reference", code="CUSTOMER_ALREADY_LINKED")
    row = await row_of(core, who)
    email, name = text(theirs.get("email")), text(theirs.get("name"))
    linked = await _link(core, row, stripe_customer_id, email=email, name=name)
    await adopt_subscriptions(core, linked, ended=True)
    return await _read(core, linked)


async def page(core: Core, *, plan: str | None = None, limit: int = 100, cursor: str | None = None) -> Page[Customer]:
    """One page of the customers, in the order of their ids; `limit` is 1 to 200, `plan` keeps those who have it now."""
    quantity(limit, "limit", maximum=200)
    key = None if plan is None else core.offer.plan(plan).key
    now = core.now()

    def read(tx: Transaction) -> Page[Customer]:
        rows = tx.customers.page(plan=key, limit=limit + 1, after=cursor)
        shown = [_answer(core, tx, row, now) for row in rows[:limit] if key is None or row.has_plan(now)]
        return Page(tuple(shown), rows[limit - 1].id if len(rows) > limit else None)

    return await core.store.read(read)
