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


async def preview(core: Core, reference: Ref, plan: str) -> PlanPreview:
    """The balances after the live subscription has changed to a plan now, with the seats that it has.

    Raises:
        NotFound: no such plan (PLAN_NOT_FOUND), or nothing that could be changed (SUBSCRIPTION_NOT_FOUND).
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    target = core.offer.plan(plan)

    def unit(tx: Transaction) -> PlanPreview:
        customer = tx.customers.lock_reference(who, core.now())
        rows = () if customer is None else tx.subscriptions.of_customer(customer.id)
        current = first_live(rows, target.group)
        if customer is None or current is None:
            raise NotFound("Subscription not found", code="SUBSCRIPTION_NOT_FOUND")
        before = balances_in(core, tx, who, "")
        changed = evolve(current, plan=target.key, plan_version_id=publish(core, tx, target).id)
        books = Books(tx, core.ids, customer, customer.written_at)
        apply_plans(core, tx, books, [changed if row.id == current.id else row for row in rows])
        books.close()
        raise Rollback(PlanPreview(target.name, before, balances_in(core, tx, who, "")))

    return await core.store.transaction(unit)
