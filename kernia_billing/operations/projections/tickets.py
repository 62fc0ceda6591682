"""The ticket rule, by which every object of Stripe's comes into our tables.

A *ticket* is taken before the object is fetched; the state is written only if the ticket is newer than the one of the
state that is stored. So of two fetches that overlap the one that began later wins, whatever order they end in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import attrs
from attrs import evolve, frozen

from ...domain.reports import Outcome
from ...domain.shapes import is_deleted
from ...errors import NotFound
from ...ports.store import DuplicateKey, Transaction
from ...ports.stripe import StripeObject
from ..core import Core

ProjectionKind = Literal["subscription", "customer", "price", "product", "invoice", "schedule", "payment_method"]
"""What is mirrored here."""
Kind = Literal[ProjectionKind, "checkout.session"]
"""What can be compared with Stripe."""
Ticketed = Literal[Kind, "payment_intent"]
"""What a ticket can be taken for."""

PATHS: Mapping[Ticketed, str] = {
    "subscription": "/v1/subscriptions/",
    "customer": "/v1/customers/",
    "price": "/v1/prices/",
    "product": "/v1/products/",
    "invoice": "/v1/invoices/",
    "schedule": "/v1/subscription_schedules/",
    "payment_method": "/v1/payment_methods/",
    "checkout.session": "/v1/checkout/sessions/",
    "payment_intent": "/v1/payment_intents/",
}
EXPAND: Mapping[Ticketed, Mapping[str, Any]] = {
    "subscription": {"expand": ["latest_invoice"]},
    "invoice": {"expand": ["payments"]},
    "payment_intent": {"expand": ["latest_charge"]},
}
"""What is not shown unless it is asked for."""


@frozen
class Fetched:
    """A Stripe object as it was some time after `ticket` was taken; `body` is None where Stripe has no such object.

    `missing` says that Stripe does not know it, rather than that it was deleted.
    """

    kind: Ticketed
    id: str
    ticket: int
    body: StripeObject | None
    missing: bool = False


Also = Callable[[Transaction, Fetched, Outcome], None]
"""What else is written in the transaction that writes the object."""


@frozen
class Projection:
    """How one kind of object comes into our tables.

    `write` writes what was fetched, or that it is gone, and says what became of it; `rows` gives what an object says
    and what is stored of it, as rows that differ where those differ, None where nothing is stored or it belongs to
    nobody. Both are units of work. `complete` reads what does not fit into one answer, `after` does
    what has to follow a write, as often as that is repeated.
    """

    kind: ProjectionKind
    write: Callable[[Core, Transaction, Fetched], Outcome]
    rows: Callable[[Core, Transaction, StripeObject], tuple[attrs.AttrsInstance, attrs.AttrsInstance] | None]
    complete: Callable[[Core, StripeObject], Awaitable[StripeObject]] | None = None
    after: Callable[[Core, Fetched], Awaitable[None]] | None = None

    @property
    def path(self) -> str:
        """Where one object is, without its id."""
        return PATHS[self.kind]

    def same(self, core: Core, tx: Transaction, subject: StripeObject) -> bool:
        """Whether what is stored says the same as an object. A unit of work."""
        rows = self.rows(core, tx, subject)
        return rows is not None and rows[0] == rows[1]

    @property
    def expand(self) -> Mapping[str, Any]:
        """The parameters to fetch it with."""
        return EXPAND.get(self.kind, {})


async def fetch(core: Core, kind: Ticketed, stripe_id: str, ticket: int | None = None) -> Fetched:
    """Take a ticket, commit it, then read the object from Stripe. A `ticket` that is given was committed before."""
    if ticket is None:
        ticket = await core.store.transaction(lambda tx: tx.objects.take_ticket(kind, stripe_id))
    try:
        body = await core.provider().request("GET", PATHS[kind] + stripe_id, EXPAND.get(kind))
    except NotFound:
        return Fetched(kind, stripe_id, ticket, None, missing=True)
    return Fetched(kind, stripe_id, ticket, None if is_deleted(body) else body)


async def store_fetched(
    core: Core, fetched: Fetched, write: Callable[[Transaction], Outcome], also: Also | None = None
) -> Outcome:
    """Write a fetched object unless a newer one is stored, in one transaction with the note of its ticket."""
    now = core.now()

    def unit(tx: Transaction) -> Outcome:
        outcome: Outcome = "stale"
        if fetched.ticket > tx.objects.applied(fetched.kind, fetched.id):
            outcome = write(tx)
            if outcome != "unmatched":
                gone = fetched.body is None or outcome == "gone"
                tx.objects.apply(fetched.kind, fetched.id, fetched.ticket, deleted=gone, now=now)
        if also is not None:
            also(tx, fetched, outcome)
        return outcome

    try:
        return await core.store.transaction(unit)
    except DuplicateKey:
        # Another process stored the same plan version or row first; its rows are there to be read now.
        return await core.store.transaction(unit)


async def bring_in(
    core: Core, projection: Projection, stripe_id: str, *, ticket: int | None = None, also: Also | None = None
) -> Outcome:
    """Make our copy of an object equal to Stripe's.

    Raises:
        InvalidInput: Stripe's object lacks what cannot be done without; nothing was written.
        Unavailable: Stripe or the database does not answer.
    """
    fetched = await fetch(core, projection.kind, stripe_id, ticket)
    if fetched.body is not None and projection.complete is not None:
        fetched = evolve(fetched, body=await projection.complete(core, fetched.body))
    outcome = await store_fetched(core, fetched, lambda tx: projection.write(core, tx, fetched), also)
    if projection.after is not None:
        await projection.after(core, fetched)
    return outcome
