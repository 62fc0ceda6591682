"""What became of a reference's subscriptions, change by change: read from the audit log, which nobody can rewrite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from ..domain.answers import Page, SubscriptionChange
from ..domain.ids import quantity
from ..domain.instants import to_datetime
from ..domain.references import Ref
from ..domain.subscriptions import TERMINAL
from ..domain.upkeep import AuditRow
from ..ports.store import Transaction
from .audit import MAX_PAGE, position
from .core import Core
from .trial_news import WILL_END

_KINDS: dict[str, Literal["changed", "trial_will_end", "duplicate"]] = {
    "subscription.changed": "changed",
    "subscription.duplicate": "duplicate",
    WILL_END: "trial_will_end",
}


async def history(
    core: Core, reference: Ref, *, limit: int = 100, cursor: str | None = None
) -> Page[SubscriptionChange]:
    """One page of the changes of a reference's subscriptions, newest first. `limit` is 1 to 200.

    Raises:
        InvalidInput: a value is out of range, or the cursor is not one of ours.
        Unavailable: the database does not answer.
    """
    who = core.reference(reference)
    quantity(limit, "limit", maximum=MAX_PAGE)
    before = None if cursor is None else position(cursor)

    def read(tx: Transaction) -> Page[SubscriptionChange]:
        customer = tx.customers.get(who)
        if customer is None:
            return Page((), None)
        rows = tx.audit.page(customer_id=customer.id, limit=limit + 1, before=before, actions=tuple(_KINDS))
        shown = rows[:limit]
        following = f"{shown[-1].at}.{shown[-1].id}" if len(rows) > limit else None
        return Page(tuple(_change(row) for row in shown), following)

    return await core.store.read(read)


def _change(row: AuditRow) -> SubscriptionChange:
    before, after = row.before or {}, row.after or {}
    return SubscriptionChange(
        id=row.id,
        subscription_id=row.subject,
        kind=_KINDS[row.action],
        at=to_datetime(row.at),
        effective_at=to_datetime(_effective_at(row, before, after)),
        actor=row.actor,
        cause=row.cause or None,
        event_id=row.event_id or None,
        from_plan=before.get("plan"),
        to_plan=after.get("plan"),
        from_status=before.get("status"),
        to_status=after.get("status"),
        from_seats=before.get("seats"),
        to_seats=after.get("seats"),
    )


def _effective_at(row: AuditRow, before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    """From when on a change holds, as Stripe says it: the end, the new period; else when we learned of it."""
    if after.get("status") in TERMINAL:
        return after.get("ended_at") or row.at
    started = after.get("period_start")
    return started if started is not None and started != before.get("period_start") else row.at
