"""What differs between Stripe and here: read on both sides, written on none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import attrs

from ..domain.instants import FOREVER, SECOND
from ..domain.reading import own_id
from ..domain.reports import Difference, DriftReport
from ..domain.shapes import is_deleted
from ..errors import BillingError, NotFound
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .events import first_event_at, unknown
from .listing import not_foreign, read_batch
from .projections import PROJECTIONS, ProjectionKind

_KINDS: Sequence[ProjectionKind] = (
    "product",
    "price",
    "customer",
    "subscription",
    "schedule",
    "invoice",
    "payment_method",
)
_HIDDEN = frozenset({"last4", "metadata", "name", "description", "nickname", "number"})
"""What may tell of a person, or hold what its writer wanted: only that it differs is shown."""
_HIDING = ("(hidden)", "(hidden)")
_MOST = 1_000_000


async def report(core: Core) -> DriftReport:
    """Compare every object of Stripe's with our rows. Nothing is written."""
    differences: list[Difference] = []
    compared: dict[str, int] = {}
    for kind in _KINDS:
        seen = await _listed(core, kind, differences)
        compared[kind] = len(seen)
        for each in await core.store.read(partial(_held, kind=kind)):
            if each not in seen:
                differences += await _of_unlisted(core, kind, each)
    return DriftReport(tuple(differences), compared, await _events_missed(core))


async def _listed(core: Core, kind: ProjectionKind, differences: list[Difference]) -> set[str]:
    """The ids of what Stripe lists of a kind; what differs is added to `differences`."""
    seen: set[str] = set()
    cursor: str | None = None
    while True:
        batch = await read_batch(core, kind, cursor)
        seen.update(own_id(each) for each in batch.objects)
        differences += await core.store.read(partial(_of_page, core, kind=kind, objects=batch.objects))
        cursor = batch.cursor
        if cursor is None:
            return seen


async def _of_unlisted(core: Core, kind: ProjectionKind, stripe_id: str) -> Sequence[Difference]:
    """How what we hold differs from what no list shows: Stripe has it no more, or shows it only when asked for it."""
    projection = PROJECTIONS[kind]
    try:
        body = await core.provider().request("GET", projection.path + stripe_id, projection.expand)
    except NotFound:
        body = None
    if body is None or is_deleted(body):
        return [Difference(kind, stripe_id, "", None, "stored")]
    return await core.store.read(lambda tx: list(_of_object(core, tx, kind, body)))


def _of_page(core: Core, tx: Transaction, *, kind: ProjectionKind, objects: Sequence[StripeObject]) -> list[Difference]:
    return [each for body in not_foreign(tx, kind, objects) for each in _of_object(core, tx, kind, body)]


def _of_object(core: Core, tx: Transaction, kind: ProjectionKind, body: StripeObject) -> Iterator[Difference]:
    stripe_id = own_id(body)
    try:
        rows = PROJECTIONS[kind].rows(core, tx, body)
    except BillingError as broken:
        yield Difference(kind, stripe_id, "", broken.code, None)
        return
    if rows is None:
        if not tx.objects.tickets(kind, [stripe_id]).get(stripe_id, (0, 0, False))[1]:
            yield Difference(kind, stripe_id, "", "listed", None)
        return
    theirs, ours = rows
    for each in attrs.fields(type(theirs)):
        one, other = getattr(theirs, each.name), getattr(ours, each.name)
        if one != other:
            yield Difference(kind, stripe_id, each.name, *(_HIDING if each.name in _HIDDEN else (one, other)))


def _held(tx: Transaction, kind: ProjectionKind) -> Sequence[str]:
    return tx.objects.stale(kind, FOREVER, _MOST)


async def _events_missed(core: Core) -> int:
    """How many events Stripe lists that never arrived here."""
    now, missed = core.now(), 0
    since = await core.store.read(lambda tx: first_event_at(tx, now))
    after: str | None = None
    while True:
        page = await core.provider().page("/v1/events", {"created": {"gte": max(0, since // SECOND)}}, after=after)
        missed += len(await unknown(core, page.data))
        if not page.has_more:
            return missed
        after = str(page.data[-1]["id"])
