"""What a change of plan would do to what a customer can use: the change itself, of which nothing stays."""

from __future__ import annotations

from attrs import evolve

from ..domain.answers import PlanPreview
from ..domain.references import Ref
from ..domain.subscriptions import first_live
from ..errors import NotFound
from ..ports.store import Rollback, Transaction
from .balances import balances_in
from .core import Core
from .grants import apply_plans
from .ledger import Books
from .plans import publish


async def preview(
    core: Core, reference: Ref, plan: str, *, seats: int | None = None, subscription_id: str | None = None
) -> PlanPreview:
    """The balances after the live subscription has changed to a plan now, with `seats` (default: those that it has).

    `subscription_id` is our own id of the subscription, default the live one of the plan's group.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND), or nothing that could be changed (SUBSCRIPTION_NOT_FOUND).
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    target = core.offer.plan(plan)

    def unit(tx: Transaction) -> PlanPreview:
        customer = tx.customers.lock_reference(who, core.now())
        rows = () if customer is None else tx.subscriptions.of_customer(customer.id)
        named = next((row for row in rows if row.id == subscription_id), None)
        current = first_live(rows, target.group) if subscription_id is None else named
        if customer is None or current is None:
            raise NotFound("Subscription not found", code="SUBSCRIPTION_NOT_FOUND")
        before = balances_in(core, tx, who, "")
        version = publish(core, tx, target).id
        changed = evolve(current, plan=target.key, plan_version_id=version, seats=seats or current.seats)
        books = Books(tx, core.ids, customer, customer.written_at)
        apply_plans(core, tx, books, [changed if row.id == current.id else row for row in rows])
        books.close()
        raise Rollback(PlanPreview(target.name, before, balances_in(core, tx, who, "")))

    return await core.store.transaction(unit)
