"""Importing Stripe's products and prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, TypeVar

from ..domain.answers import Page
from ..domain.catalog import PriceRow, ProductRow, price_row, product_row
from ..domain.ids import quantity
from ..domain.instants import Instant
from ..domain.upkeep import SyncState
from ..ports.store import Transaction
from ..ports.stripe import StripeObject
from .core import Core
from .plans import publish_all
from .projections import sync_catalog_object

Noun = Literal["product", "price"]
Row = TypeVar("Row", ProductRow, PriceRow)
STATE = "catalog"
MAX_PAGE = 200
_PATHS: Mapping[Noun, str] = {"product": "/v1/products", "price": "/v1/prices"}


async def sync(core: Core) -> Mapping[str, int]:
    """Import every product and price, inactive ones too, page by page; what is mapped to plans here is never touched.

    Gives how many `products` and `prices` there are, and how many rows were `created`, `updated` and `deactivated`.
    Safe to repeat, and to run on several machines at once; webhooks that bring newer state meanwhile keep it.

    Raises:
        Unavailable: Stripe or the database does not answer; what was imported so far stays.
    """
    started = core.now()
    counts: dict[str, int] = {"products": 0, "prices": 0, "created": 0, "updated": 0, "deactivated": 0}
    await publish_all(core)
    await _import(core, "product", counts)
    await _import(core, "price", counts)
    state = SyncState(STATE, started, core.now(), counts)
    await core.store.transaction(lambda tx: tx.syncs.put(state))
    return counts


async def _import(core: Core, kind: Noun, counts: dict[str, int]) -> None:
    after: str | None = None
    while True:
        page = await core.provider().page(_PATHS[kind], {}, after=after)
        raced, told = await core.store.transaction(partial(_write_page, kind=kind, page=page.data, now=core.now()))
        for stripe_id in raced:
            await sync_catalog_object(core, kind, stripe_id)
        counts[f"{kind}s"] += len(page.data)
        for name, number in told.items():
            counts[name] += number
        if not page.has_more:
            return
        after = str(page.data[-1]["id"])


def _write_page(
    tx: Transaction, *, kind: Noun, page: Sequence[StripeObject], now: Instant
) -> tuple[list[str], Mapping[str, int]]:
    """Write what is new; give the ids of what differs from rows that a ticket guards, and what became of the page.

    The page was fetched before any ticket for its objects could be taken. That is right only for an object that nobody
    ever fetched; the others are fetched again, one by one, under a ticket.
    """
    told = {"created": 0, "updated": 0, "deactivated": 0}
    raced: list[str] = []
    for each in page:
        row = product_row(each) if kind == "product" else price_row(each)
        stored = tx.catalog.product(row.id) if kind == "product" else tx.catalog.price(row.id)
        if stored == row:
            continue
        told["created" if stored is None else "updated"] += 1
        told["deactivated"] += stored is not None and stored.active and not row.active
        ticket = tx.objects.take_ticket(kind, row.id)
        if ticket > 1:
            raced.append(row.id)
            continue
        if isinstance(row, ProductRow):
            tx.catalog.put_product(row)
        else:
            tx.catalog.put_price(row)
        tx.objects.apply(kind, row.id, ticket, deleted=False, now=now)
    return raced, told


async def last_sync(core: Core) -> SyncState | None:
    """How the last import went, None before the first."""
    return await core.store.read(lambda tx: tx.syncs.get(STATE))


async def products(
    core: Core, *, active: bool | None = None, limit: int = 100, cursor: str | None = None
) -> Page[ProductRow]:
    """One page of the imported products, in the order of their ids. `limit` is 1 to 200."""
    quantity(limit, "limit", maximum=MAX_PAGE)
    rows = await core.store.read(lambda tx: tx.catalog.products(active=active, limit=limit + 1, after=cursor))
    return _page(rows, limit)


async def prices(
    core: Core,
    *,
    active: bool | None = None,
    product_id: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[PriceRow]:
    """One page of the imported prices, in the order of their ids. `limit` is 1 to 200."""
    quantity(limit, "limit", maximum=MAX_PAGE)
    rows = await core.store.read(
        lambda tx: tx.catalog.prices(active=active, product_id=product_id, limit=limit + 1, after=cursor)
    )
    return _page(rows, limit)


def _page(rows: Sequence[Row], limit: int) -> Page[Row]:
    shown = rows[:limit]
    return Page(tuple(shown), shown[-1].id if len(rows) > limit else None)
