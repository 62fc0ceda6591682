"""Stripe's lists, page by page, compared with our rows.

A page was read before any ticket for its objects was taken. That is right only for an object that nobody ever fetched:
such a one is written from the page. One that differs from our row is fetched again, under a ticket; one that is equal
is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from ..domain.instants import Instant
from ..domain.reading import is_cut, own_id
from ..domain.shapes import owner_of
from ..errors import BillingError, InvalidInput, NotFound
from ..ports.store import DuplicateKey, Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .projections import PROJECTIONS, Fetched, Projection, ProjectionKind

_LISTS: Mapping[ProjectionKind, str] = {
    "product": "/v1/products",
    "price": "/v1/prices",
    "customer": "/v1/customers",
    "subscription": "/v1/subscriptions",
    "schedule": "/v1/subscription_schedules",
    "invoice": "/v1/invoices",
    "payment_method": "/v1/payment_methods",
}
_PARAMS: Mapping[ProjectionKind, Mapping[str, Any]] = {
    "subscription": {"status": "all", "expand": ["data.latest_invoice"]},
    "invoice": {"expand": ["data.payments"]},
}
_OF_NOBODY = ("product", "price")
_CUSTOMERS_AT_ONCE = 25


@frozen
class Batch:
    """Some objects of a list. `cursor` is where the next ones begin, None where these were the last."""

    objects: Sequence[StripeObject]
    cursor: str | None


async def read_batch(core: Core, kind: ProjectionKind, cursor: str | None) -> Batch:
    """The next objects of a kind, of the whole account.

    Raises:
        NotFound: the object that the cursor names is there no more.
    """
    if kind == "payment_method":
        return await _methods_of_some(core, cursor)
    page = await core.provider().page(_LISTS[kind], _PARAMS.get(kind), after=cursor)
    return Batch(page.data, str(page.data[-1]["id"]) if page.has_more else None)


async def _methods_of_some(core: Core, cursor: str | None) -> Batch:
    """The payment methods of our next customers: Stripe lists them by customer. The cursor is a customer's id here."""
    rows = await core.store.read(lambda tx: tx.customers.page(plan=None, limit=_CUSTOMERS_AT_ONCE, after=cursor))
    found: list[StripeObject] = []
    for row in rows:
        if row.stripe_customer_id is not None:
            found += await _attached(core, row.stripe_customer_id)
    return Batch(found, rows[-1].id if len(rows) == _CUSTOMERS_AT_ONCE else None)


async def _attached(core: Core, stripe_customer_id: str) -> list[StripeObject]:
    try:
        return await read_all(core, "payment_method", stripe_customer_id)
    except NotFound:
        return []  # Deleted at Stripe: that is for the customer's own projection to say.


async def read_all(core: Core, kind: ProjectionKind, stripe_customer_id: str) -> list[StripeObject]:
    """Every object of a kind that belongs to a Stripe customer, ended ones too.

    Raises:
        NotFound: Stripe has no such customer.
    """
    params = {**_PARAMS.get(kind, {}), "customer": stripe_customer_id}
    found: list[StripeObject] = []
    after: str | None = None
    while True:
        page = await core.provider().page(_LISTS[kind], params, after=after)
        found += page.data
        if not page.has_more:
            return found
        after = str(page.data[-1]["id"])


@define
class Sorted:
    """The ids of a page, by what they turned out to be; `differing` ones have to be fetched."""

    created: list[str] = field(factory=list[str])
    unchanged: list[str] = field(factory=list[str])
    unmatched: list[str] = field(factory=list[str])
    differing: list[str] = field(factory=list[str])
    known: set[str] = field(factory=set[str])


def take_page(
    core: Core, tx: Transaction, kind: ProjectionKind, objects: Sequence[StripeObject], *, write: bool
) -> Sorted:
    """Sort the objects of a page and, with `write`, write what nobody ever fetched.

    `known` are the differing ones of which a state is stored.
    """
    projection, now = PROJECTIONS[kind], core.now()
    found, others = Sorted(), dict[str, StripeObject]()
    ours = {own_id(each): each for each in not_foreign(tx, kind, objects)}
    found.unmatched = [stripe_id for each in objects if (stripe_id := own_id(each)) not in ours]
    tickets = tx.objects.tickets(kind, list(ours))
    found.known = {each for each, (_, applied, _) in tickets.items() if applied}
    for stripe_id, body in ours.items():
        is_tomb = stripe_id in tickets and tickets[stripe_id][2]
        if stripe_id in found.known and not is_tomb and _is_same(core, tx, projection, body):
            found.unchanged.append(stripe_id)
        else:
            others[stripe_id] = body
    fresh = {each: body for each, body in others.items() if write and each not in tickets and not _is_part(body)}
    found.created = _write_new(core, tx, projection, fresh, now)
    created = set(found.created)
    found.differing = [each for each in others if each not in created]
    return found


async def store_page(core: Core, kind: ProjectionKind, objects: Sequence[StripeObject]) -> Sorted:
    """`take_page` in a transaction. Where one object spoils it for all, none is written from the page."""
    try:
        return await core.store.transaction(lambda tx: take_page(core, tx, kind, objects, write=True))
    except (InvalidInput, DuplicateKey):
        return await core.store.transaction(lambda tx: take_page(core, tx, kind, objects, write=False))


def not_foreign(tx: Transaction, kind: ProjectionKind, objects: Sequence[StripeObject]) -> Sequence[StripeObject]:
    """Those of these objects that belong to a customer that is, or was, one of ours; in two statements."""
    if kind in _OF_NOBODY:
        return objects
    owners = {own_id(each): own_id(each) if kind == "customer" else owner_of(each) or "" for each in objects}
    asked = sorted({each for each in owners.values() if each})
    ours = {*tx.customers.by_stripe_ids(asked), *tx.stripe_customers.get_all(asked)}
    return [each for each in objects if owners[own_id(each)] in ours]


def _is_same(core: Core, tx: Transaction, projection: Projection, body: StripeObject) -> bool:
    try:
        return projection.same(core, tx, body)
    except BillingError:
        return False  # What is wrong with it is found, and told, where it alone is fetched.


def _is_part(body: StripeObject) -> bool:
    """Whether the list shows an object in part only."""
    return is_cut(body.get("items"))


def _write_new(
    core: Core, tx: Transaction, projection: Projection, fresh: Mapping[str, StripeObject], now: Instant
) -> list[str]:
    first = tx.objects.first_tickets(projection.kind, list(fresh))
    written: list[str] = []
    for stripe_id, body in fresh.items():
        if stripe_id in first:
            outcome = projection.write(core, tx, Fetched(projection.kind, stripe_id, 1, body))
            if outcome == "applied":
                written.append(stripe_id)
    tx.objects.apply_first(projection.kind, written, now)
    return written
