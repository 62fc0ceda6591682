"""One page of Stripe Checkout at a time, for each thing that a customer can have a page for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Generic, TypeVar

from attrs import evolve, frozen

from ..domain.answers import Checkout
from ..domain.checkouts import CheckoutRow
from ..domain.instants import DAY, Instant, from_seconds
from ..domain.purchases import PurchaseRow
from ..errors import Conflict, NotFound, StripeRefused
from ..ports.selling import CheckoutSessions
from ..ports.store import DuplicateKey, Transaction
from .core import Core
from .intents import create, intent_key
from .pages import page_url
from .sessions import sync_session

LIFE = DAY
"""How long a page can be paid, unless Stripe says otherwise (Stripe, "Create a Checkout Session", `expires_at`)."""
_SESSIONS = "/v1/checkout/sessions"
Row = TypeVar("Row", CheckoutRow, PurchaseRow)


@frozen
class Shelf(Generic[Row]):
    """Where the pages of one kind are kept. `operation` is what the intents that open them are called."""

    operation: str
    sessions: Callable[[Transaction], CheckoutSessions[Row]]

    def key(self, row: Row) -> str:
        """The idempotency key under which the page of a row is opened."""
        return intent_key(self.operation, row.id)


CHECKOUTS: Shelf[CheckoutRow] = Shelf("checkout", lambda tx: tx.checkouts)
PURCHASES: Shelf[PurchaseRow] = Shelf("purchase", lambda tx: tx.purchases)


async def claim(
    core: Core, shelf: Shelf[Row], wanted: Row, *, retired: Callable[[Row], Awaitable[None]] | None = None
) -> Row:
    """The row to open a page for: the one that is open for the same order, or `wanted` in its place.

    `retired` is told which page was expired for it, and may refuse to go on.

    Raises:
        Conflict: others open pages at the same time (CHECKOUT_IN_PROGRESS).
    """
    for _ in range(3):
        row = await core.store.read(lambda tx: shelf.sessions(tx).open(wanted.customer_id, wanted.slot))
        if row is not None and row.fingerprint == wanted.fingerprint and row.expires_at > core.now():
            if await _is_still_open(core, shelf, row):
                return row
        elif row is not None:
            await _retire(core, shelf, row)
            if retired is not None:
                await retired(row)
        with suppress(DuplicateKey):
            await core.store.transaction(lambda tx: shelf.sessions(tx).add(wanted))
            return wanted
    raise _in_progress()


async def show(core: Core, shelf: Shelf[Row], row: Row, params: Mapping[str, Any]) -> Checkout:
    """Open the page of a row that was claimed.

    Raises:
        Conflict: another order took its place meanwhile (CHECKOUT_IN_PROGRESS).
        StripeRefused, NotFound: Stripe refuses it; the row is closed.
        Unavailable: Stripe or the database does not answer; the same call goes on where this one ended.
    """
    try:
        session = await create(core, shelf.operation, shelf.key(row), row.customer_id, _SESSIONS, params)
    except (StripeRefused, NotFound):
        await give_up(core, shelf, row)
        raise
    session_id, url = str(session["id"]), page_url(core, session)
    if not await _note(
        core, shelf, row, session_id=session_id, url=url, expires_at=from_seconds(session["expires_at"])
    ):
        await _expire(core, session_id)  # Nobody has seen the page.
        raise _in_progress()
    return Checkout(url, session_id, "open", None)


def shown(row: CheckoutRow | PurchaseRow) -> Checkout | None:
    """The page of a row, where it was opened already."""
    if row.url is None or row.stripe_session_id is None:
        return None
    return Checkout(row.url, row.stripe_session_id, "open", None)


async def give_up(core: Core, shelf: Shelf[Row], row: Row) -> None:
    """Close a row whose page was not opened."""
    await _note(core, shelf, row, is_open=False)


def _in_progress() -> Conflict:
    return Conflict("Another checkout is being opened for this reference", code="CHECKOUT_IN_PROGRESS")


async def _is_still_open(core: Core, shelf: Shelf[Row], row: Row) -> bool:
    """Whether the page can still be paid: what became of it may have been lost, and what it sold may have ended."""
    if row.stripe_session_id is None:
        return True
    await sync_session(core, row.stripe_session_id)
    after = await core.store.read(lambda tx: shelf.sessions(tx).by_id(row.id))
    return after is not None and after.status == "open"


async def _retire(core: Core, shelf: Shelf[Row], row: Row) -> None:
    """Expire an open page before another one is opened, and bring in what became of it: it may have been paid."""
    session_id = row.stripe_session_id
    if session_id is None:
        intent = await core.store.read(lambda tx: tx.intents.get(shelf.key(row)))
        if intent is not None and intent.state != "failed":
            # The page may exist although its answer was lost: the same key gives it, so that it can be expired.
            with suppress(StripeRefused, NotFound):
                made = await create(core, shelf.operation, intent.key, row.customer_id, intent.path, intent.params)
                session_id = str(made["id"])
                await _note(core, shelf, row, session_id=session_id)
    if session_id is None:
        await give_up(core, shelf, row)
        return
    await _expire(core, session_id)
    await sync_session(core, session_id)


async def _expire(core: Core, session_id: str) -> None:
    with suppress(StripeRefused, NotFound):  # It is not open any more, or there is none.
        path = f"{_SESSIONS}/{session_id}/expire"
        await core.provider().request("POST", path, {}, idempotency_key=intent_key("expire", session_id))


async def _note(
    core: Core,
    shelf: Shelf[Row],
    row: Row,
    *,
    session_id: str | None = None,
    url: str | None = None,
    expires_at: Instant | None = None,
    is_open: bool = True,
) -> bool:
    """Write down what became of a page while it is open; says whether it was."""

    def unit(tx: Transaction) -> bool:
        tx.customers.lock(row.customer_id)
        stored = shelf.sessions(tx).by_id(row.id)
        if stored is None or stored.status != "open":
            return False
        if not is_open:
            tx.trials.release(row.id)
        after = evolve(
            stored,
            status="open" if is_open else "expired",
            stripe_session_id=session_id or stored.stripe_session_id,
            url=url or stored.url,
            expires_at=expires_at or stored.expires_at,
        )
        shelf.sessions(tx).put(after)
        return True

    return await core.store.transaction(unit)
