"""Making our copies equal to Stripe's objects, whatever news was lost: from Stripe's lists, not from its events.

A run notes after every page how far it is. One that was cut short is gone on with by the next one of the same name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from attrs import evolve

from ..domain.customers import CustomerRow
from ..domain.ids import stripe_id as checked_id
from ..domain.instants import DAY
from ..domain.references import Ref
from ..domain.reports import Outcome, Progress, SyncReport
from ..domain.shapes import is_deleted
from ..domain.upkeep import SyncState
from ..errors import InvalidInput, NotFound
from ..ports.mirror import Position
from ..ports.store import Transaction
from . import traces
from .comparing import Walk, part
from .core import Core
from .listing import read_all
from .outbox import dispatch
from .plans import publish_all
from .projections import PROJECTIONS, Kind, ProjectionKind, sync_object
from .sessions import sync_session

Name = Literal["all", "catalog", "customers", "subscriptions", "sweep"]
"""What a run is called: two of one name are one run in two parts."""
KINDS: Mapping[Name, tuple[ProjectionKind, ...]] = {
    "catalog": ("product", "price"),
    "customers": ("customer", "payment_method"),
    "subscriptions": ("subscription", "schedule", "invoice"),
    "all": ("product", "price", "customer", "payment_method", "subscription", "schedule", "invoice"),
    # Payment methods would cost a call for every customer, and their events bring what matters.
    "sweep": ("product", "price", "customer", "subscription", "schedule", "invoice"),
}
_WITH_CHECKOUTS = ("all", "subscriptions")
RESUMED_WITHIN: Mapping[Name, int] = {"all": DAY, "catalog": DAY, "customers": DAY, "subscriptions": DAY}
"""A run that was cut short longer ago is begun anew: what it compared first says too little by now."""
_PREFIXES: Mapping[Kind, Sequence[str]] = {
    "subscription": ("sub",),
    "customer": ("cus",),
    "invoice": ("in",),
    "schedule": ("sub_sched",),
    # Cards, sources and bank accounts of older integrations are payment methods too, under the ids that they had.
    "payment_method": ("pm", "card", "src", "ba"),
    "checkout.session": ("cs",),
}
_OWN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,254}")
_KINDS: tuple[Kind, ...] = (*PROJECTIONS, "checkout.session")
_PAGE = 100
_OF_CUSTOMER: tuple[ProjectionKind, ...] = ("subscription", "schedule", "invoice", "payment_method")


def run_key(name: Name) -> str:
    """Under what it is noted when a run of this name began and ended."""
    return f"{name}:run"


async def one(core: Core, kind: str, stripe_id: str) -> Outcome:
    """Make our copy of one object equal to Stripe's; says what became of it.

    Raises:
        InvalidInput: there is no such kind, the id is none, or Stripe's object lacks what cannot be done without.
        Unavailable: Stripe or the database does not answer.
    """
    wanted = _kind(kind)
    _check_id(wanted, stripe_id)
    if wanted == "checkout.session":
        outcome = await sync_session(core, stripe_id)
    else:
        outcome = await sync_object(core, wanted, stripe_id)
    await dispatch(core)
    return outcome


def _kind(kind: str) -> Kind:
    for each in _KINDS:
        if kind == each:
            return each
    raise InvalidInput(f"must be one of {', '.join(_KINDS)}", field="kind")


def _check_id(kind: Kind, stripe_id: str) -> None:
    prefixes = _PREFIXES.get(kind)
    if prefixes is not None:
        given = str(stripe_id).partition("_")[0]
        checked_id(stripe_id, given if given in prefixes else prefixes[0], field="stripe_id")
    elif not isinstance(stripe_id, str) or not _OWN_ID.fullmatch(stripe_id):
        raise InvalidInput("must be a Stripe id", field="stripe_id")


async def run(core: Core, name: Name, *, progress: Progress | None = None) -> SyncReport:
    """Compare every object of some kinds with Stripe, and bring up to date what differs.

    One failing object never stops the others. Safe on several machines at once, and beside webhooks.

    Raises:
        Unavailable: Stripe or the database does not answer; the next run of this name goes on where this one ended.
    """
    with traces.job(core, f"sync {name}"):
        report = await continue_run(core.in_background(), name, progress=progress)
        await dispatch(core)
        return report


async def continue_run(
    core: Core,
    name: Name,
    *,
    progress: Progress | None = None,
    pages: int | None = None,
    within: int | None = None,
) -> SyncReport:
    """The same, at most so many pages. Whether that was all of it is noted under `run_key(name)`.

    A run that was cut short less than `within` microseconds ago is gone on with.
    """
    resumed = await _begin(core, name, RESUMED_WITHIN[name] if within is None else within)
    walk = Walk(core, name, progress, pages)
    if "product" in KINDS[name]:
        await publish_all(core)
    for kind in KINDS[name]:
        await walk.take(kind)
    if not walk.is_cut and name in _WITH_CHECKOUTS:
        await walk.take_checkouts()
    if not walk.is_cut:
        await core.store.transaction(lambda tx: _close(core, tx, name))
    return walk.report(resumed=resumed)


async def _begin(core: Core, name: Name, within: int) -> bool:
    """Begin a run, unless one of this name was cut short lately, by the clock of any host; says whether it was."""
    now = core.now()

    def unit(tx: Transaction) -> bool:
        state = tx.syncs.get(run_key(name))
        if state is not None and state.finished_at is None and abs(now - state.started_at) < within:
            return True
        # Later than every other run, though no time may have passed: what they saw is not what this one sees.
        others = (tx.syncs.get(run_key(each)) for each in KINDS)
        started = max([now, *(other.started_at + 2 for other in others if other is not None)])
        tx.syncs.put(SyncState(run_key(name), started, None, {}))
        for kind in KINDS[name]:
            tx.syncs.put(SyncState(part(name, kind), started, None, {}))
        return False

    return await core.store.transaction(unit)


def _close(core: Core, tx: Transaction, name: Name) -> None:
    state = tx.syncs.get(run_key(name))
    if state is not None:
        tx.syncs.put(evolve(state, finished_at=core.now()))


async def reference(core: Core, who: Ref) -> SyncReport:
    """Bring everything of one customer up to date: itself, its subscriptions, schedules, invoices, payment methods.

    Pages of Stripe's that it has open here are looked at too.

    Raises:
        NotFound: the reference was never billed (CUSTOMER_NOT_FOUND).
        Unavailable: Stripe or the database does not answer; what was brought in so far stays.
    """
    wanted = core.reference(who)
    row = await core.store.read(lambda tx: tx.customers.get(wanted))
    if row is None:
        raise NotFound("The reference was never billed", code="CUSTOMER_NOT_FOUND")
    walk = Walk(core)
    for session_id in await core.store.read(lambda tx: _open_pages(core, tx, row)):
        await walk.bring("checkout.session", session_id, known=True)
    if row.stripe_customer_id is not None:
        await _itself(walk, row.stripe_customer_id)
    for kind in _OF_CUSTOMER:
        await _everything_of(walk, row, kind)
    await dispatch(core)
    return walk.report()


async def _itself(walk: Walk, stripe_customer_id: str) -> None:
    try:
        theirs = await walk.core.provider().request("GET", PROJECTIONS["customer"].path + stripe_customer_id)
    except NotFound:
        theirs = None
    if theirs is None or is_deleted(theirs):
        await walk.bring("customer", stripe_customer_id, known=True)
    else:
        await walk.compare("customer", [theirs])


async def _everything_of(walk: Walk, row: CustomerRow, kind: ProjectionKind) -> None:
    """Compare what Stripe lists of a customer, then fetch what we hold of it and Stripe did not list."""
    listed: set[str] = set()
    if row.stripe_customer_id is not None:
        try:
            objects = await read_all(walk.core, kind, row.stripe_customer_id)
        except NotFound:
            objects = []  # Stripe deleted it, and what it had is asked for one by one.
        await walk.compare(kind, objects)
        listed = {str(each["id"]) for each in objects}
    for stripe_id in await walk.core.store.read(lambda tx: _held(tx, row, kind)):
        if stripe_id not in listed:
            await walk.bring(kind, stripe_id, known=True)


def _open_pages(core: Core, tx: Transaction, row: CustomerRow) -> Sequence[str]:
    groups = sorted({plan.group for plan in core.offer.plans.values()})
    pages = [*(tx.checkouts.open(row.id, group) for group in groups), *tx.purchases.open_ones(row.id)]
    return [page.stripe_session_id for page in pages if page is not None and page.stripe_session_id is not None]


def _held(tx: Transaction, row: CustomerRow, kind: ProjectionKind) -> Sequence[str]:
    """The ids of what we hold of a customer, without what Stripe is known not to have any more."""
    if kind == "payment_method":
        return [each.id for each in tx.payment_methods.of_customer(row.id)]
    if kind == "invoice":
        return _invoices(tx, row)
    subscriptions = [each.stripe_subscription_id for each in tx.subscriptions.of_customer(row.id)]
    if kind == "schedule":
        schedules = (each for stripe_id in subscriptions for each in tx.schedules.of_subscription(stripe_id))
        return [each.id for each in schedules if not each.deleted]
    tombs = tx.objects.tickets("subscription", subscriptions)
    return [each for each in subscriptions if each not in tombs or not tombs[each][2]]


def _invoices(tx: Transaction, row: CustomerRow) -> Sequence[str]:
    found: list[str] = []
    after: Position | None = None
    while True:
        page = tx.invoices.of_customer(row.id, limit=_PAGE, after=after)
        found += [each.id for each in page if not each.deleted]
        if len(page) < _PAGE:
            return found
        after = (page[-1].created_at, page[-1].id)
