"""The Stripe customer of a reference: found where one is there that nobody else owns, else made, once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, cast

from attrs import evolve

from ..domain.answers import Customer
from ..domain.customers import CustomerRow, NewCustomer
from ..domain.instants import Instant
from ..domain.metadata import merge
from ..domain.reading import own_id, text
from ..domain.references import Reference
from ..domain.shapes import is_deleted
from ..errors import Conflict, GuardError, NotFound, StripeRefused, Unavailable
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from ..ports.telemetry import kind_of
from .core import Core
from .customer_finding import found
from .host import Asked, ask
from .intents import INTENT, create, fresh_key, intent_key
from .linking import Linked, link_row
from .projections import adopt_subscriptions
from .projections.customer import stripe_customer_row

_MAX_GENERATIONS = 5
_FAILED = "UNABLE_TO_CREATE_CUSTOMER"


async def with_stripe(
    core: Core,
    row: CustomerRow,
    *,
    email: str | None = None,
    name: str | None = None,
    verified: bool = False,
    context: object = None,
) -> CustomerRow:
    """The row with its Stripe customer, found or made where there is none, once more after each that Stripe deleted.

    `verified` says that the host knows who receives mail at `email`; `context` is handed to the host's functions.
    """
    if row.stripe_customer_id is not None:
        return row
    core.provider()
    try:
        new = await _described(core, row, email, name)
        return await _found(core, row, new, verified=verified) or await _made(core, row, new, context)
    except (StripeRefused, Unavailable) as failure:
        failure.code = _FAILED
        raise


async def _described(core: Core, row: CustomerRow, email: str | None, name: str | None) -> NewCustomer:
    who = row.reference
    name = name or row.name
    if name is None and who.type == "organization" and core.host.organization_name is not None:
        told = await _asked(core, core.host.organization_name, who.id)
        if told is None:
            raise NotFound("Organization not found", code="ORGANIZATION_NOT_FOUND", status=400)
        name = str(told)
    return NewCustomer(who, email or row.email, name)


async def _found(core: Core, row: CustomerRow, new: NewCustomer, *, verified: bool) -> CustomerRow | None:
    """A Stripe customer that is there already, linked, with what it is subscribed to; None where there is none."""
    key = await _key(core, row)
    if await core.store.read(lambda tx: tx.intents.get(key)) is not None:
        return None  # One was being made: whoever goes on with that makes no second one.
    theirs = await found(core, new, verified=verified)
    if theirs is None:
        return None
    try:
        linked = await link_row(core, row, own_id(theirs), email=new.email, name=new.name)
    except Conflict:
        return await _linked_meanwhile(core, row)
    path, internal = f"/v1/customers/{own_id(theirs)}", {"metadata": _internal(row.reference)}
    await core.provider().request("POST", path, internal, idempotency_key=intent_key("own", own_id(theirs), row.id))
    await adopt_subscriptions(core, linked.row, ended=True)
    return linked.row


async def _linked_meanwhile(core: Core, row: CustomerRow) -> CustomerRow | None:
    known = await core.store.read(lambda tx: tx.customers.by_id(row.id))
    return None if known is None or known.stripe_customer_id is None else known


async def _made(core: Core, row: CustomerRow, new: NewCustomer, context: object) -> CustomerRow:
    for _ in range(_MAX_GENERATIONS):
        key = await _key(core, row)
        params = await _params(core, new, key, context)
        made = await create(core, "customer", key, row.id, "/v1/customers", params)
        if not is_deleted(made):
            linked = await link_row(core, row, own_id(made), email=new.email, name=new.name)
            await _tell(core, linked, made)
            return linked.row
        # It was made, and deleted at Stripe before it was linked here.
        await core.store.transaction(partial(_note_deleted, row=row, made=made, now=core.now()))
    raise Conflict("Stripe deletes every customer of this reference", code="CUSTOMER_DELETED")


async def _tell(core: Core, linked: Linked, made: StripeObject) -> None:
    """Let the host know of a customer that is new. What it does for an organization may stop the purchase."""
    is_user = linked.row.reference.type == "user"
    function = core.host.on_customer_create if is_user else core.host.on_organization_customer_create
    if function is None or not linked.is_new:
        return
    customer = Customer(linked.row.reference, own_id(made), text(made.get("email")), None, None)
    if not is_user:
        await _asked(core, function, customer, made)
        return
    try:
        await ask(function, customer, made)
    except Exception as failure:  # noqa: BLE001 - the customer is made, whatever the host does with that
        core.telemetry.log("error", "customer.callback_failed", {"reason": kind_of(failure)})


async def _asked(core: Core, function: Asked, *arguments: object) -> object:
    """What a function of the host answers.

    Raises:
        StripeRefused: it raised: there will be no customer until it is mended.
    """
    try:
        return await ask(function, *arguments)
    except Exception as failure:
        core.telemetry.log("error", "customer.callback_failed", {"reason": kind_of(failure)})
        raise StripeRefused(stripe_code=None, param=None, http_status=400, request_id=None) from failure


async def _key(core: Core, row: CustomerRow) -> str:
    """The key of the intent to make a Stripe customer. How many of the reference were deleted before makes it new."""
    parts = ("customer", row.reference.type, row.reference.id, row.id)
    former = await core.store.read(lambda tx: tx.stripe_customers.of_customer(row.id))
    generation = sum(each.deleted for each in former)
    return await fresh_key(core, *parts, f"generation {generation}") if generation else await fresh_key(core, *parts)


def _note_deleted(tx: Transaction, row: CustomerRow, made: StripeObject, now: Instant) -> None:
    tx.stripe_customers.put(evolve(stripe_customer_row({"id": own_id(made)}, row.id, now), deleted=True))


async def _params(core: Core, new: NewCustomer, key: str, context: object) -> Mapping[str, Any]:
    """What Stripe is sent: what the host wants, under what is ours."""
    is_user = new.reference.type == "user"
    function = core.host.get_customer_create_params if is_user else core.host.organization_create_params
    given: object = None if function is None else await _asked(core, function, new, context)
    if given is not None and not isinstance(given, Mapping):
        raise GuardError("the host's parameters of a customer must be a mapping of Stripe's")
    theirs = dict(cast("Mapping[str, Any]", given or {}))
    ours = {name: value for name, value in (("email", new.email), ("name", new.name)) if value is not None}
    metadata = merge(theirs.get("metadata") or {}, {**_internal(new.reference), INTENT: key})
    return {**theirs, **ours, "metadata": metadata}


def _internal(reference: Reference) -> dict[str, str]:
    """The metadata by which a Stripe customer says whose it is."""
    own = f"{reference.type}Id"
    return {own: reference.id, "customerType": reference.type, "referenceId": reference.id}
