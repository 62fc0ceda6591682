"""Customers: one row and one Stripe customer a reference."""

from __future__ import annotations

from ..domain.answers import Customer, Page
from ..domain.customers import CustomerRow
from ..domain.ids import quantity, stripe_id
from ..domain.instants import Instant
from ..domain.reading import text
from ..domain.references import Identity, Ref, Reference
from ..domain.shapes import is_deleted
from ..errors import Conflict, InvalidInput, NotFound, Unavailable
from ..ports.store import Transaction
from ..ports.telemetry import kind_of
from .core import Core
from .customer_making import with_stripe
from .linking import link_row
from .projections import adopt_subscriptions
from .subscriptions import all_of, answer, entitling

MAX_NAME = 256
MAX_EMAIL = 512


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
    current = entitling(all_of(tx, row.id, now))
    default = core.offer.default_plan
    plan = row.plan if row.has_plan(now) else (None if default is None else default.key)
    subscription = None if current is None else answer(core, row, current, now, tx)
    return Customer(row.reference, row.stripe_customer_id, row.email, plan, subscription)


async def ensure(
    core: Core,
    reference: Ref,
    *,
    email: str | None = None,
    name: str | None = None,
    email_verified: bool = False,
    context: object = None,
) -> Customer:
    """The customer of a reference, with a Stripe customer: both are made where they are missing.

    One row and one Stripe customer, whatever the number of concurrent first calls and lost replies. A user's address
    that the host has verified finds a Stripe customer that nobody owns, see `customer_finding`. `context` is handed to
    the host's functions.

    Raises:
        InvalidInput: a value is not a text, or too long.
        NotFound: there is no such organization (ORGANIZATION_NOT_FOUND).
        Unavailable: Stripe does not answer (UNABLE_TO_CREATE_CUSTOMER); the next call goes on.
        StripeRefused: Stripe will not make it, or the host's function raised (UNABLE_TO_CREATE_CUSTOMER).
        ProviderNotConfigured: the library is offline.
    """
    who = core.reference(reference)
    check_text(email, "email", MAX_EMAIL)
    check_text(name, "name", MAX_NAME)
    row = await row_of(core, who)
    linked = await with_stripe(core, row, email=email, name=name, verified=email_verified, context=context)
    return await _read(core, linked)


async def signed_up(
    core: Core, identity: Identity, *, name: str | None = None, context: object = None
) -> Customer | None:
    """What follows from a sign-up: a customer of the user, unless `create_customer_on_sign_up` is off.

    It never fails a sign-up. What went wrong is told to the operator, and the first purchase makes the customer.
    """
    if not core.create_on_sign_up or core.stripe is None:
        return None
    who = Reference(identity.user_id, "user")
    try:
        return await ensure(
            core, who, email=identity.email, name=name, email_verified=identity.email_verified, context=context
        )
    except Exception as failure:  # noqa: BLE001 - whatever it is, the person has signed up
        note = getattr(failure, "code", None) or kind_of(failure)
        core.telemetry.log("error", "customer.sign_up_failed", {"reference": who.id, "reason": note})
        return None


async def buyer(core: Core, reference: Reference, identity: Identity | None) -> CustomerRow:
    """Who pays for what somebody buys for a reference, with a Stripe customer. Raises what `ensure` raises."""
    themselves = identity is not None and reference == Reference(identity.user_id, "user")
    email = identity.email if identity is not None and themselves else None
    verified = identity is not None and themselves and identity.email_verified is True
    return await with_stripe(core, await row_of(core, reference), email=email, verified=verified, context=identity)


def check_text(value: object, field: str, limit: int) -> None:
    """Refuse what is neither None nor a text of 1 to `limit` printable characters.

    Raises:
        InvalidInput: naming the field.
    """
    if value is None:
        return
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise InvalidInput(f"must be a text of 1 to {limit} printable characters", field=field)


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
    linked = await link_row(core, row, stripe_customer_id, email=email, name=name)
    await adopt_subscriptions(core, linked.row, ended=True)
    return await _read(core, linked.row)


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
