"""What should have changed at Stripe by now, and of which no news came."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Table, and_, or_, select

from ..domain.instants import DAY, FOREVER
from ..domain.subscriptions import TERMINAL
from .dialects import AnySelect
from .tables import checkout, purchase, stripe_object, subscription
from .types import number_param

_NOW, _BEFORE, _LIMIT = number_param("now"), number_param("old"), number_param("limit")
_CHECKED = stripe_object.c.checked_at


def _is_due(column: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the instant passed, and it is time to look again.

    The wait doubles: after a look it is as long again as it was from the instant to the look, and a day at most. A look
    that is still to come was noted by a clock that went wrong, and counts for none.
    """
    to_come = and_(_CHECKED > _NOW + DAY, _CHECKED < FOREVER)
    again = or_(_CHECKED.is_(None), _CHECKED <= _NOW + column - _CHECKED, _CHECKED < _NOW - DAY, to_come)
    return and_(column < _BEFORE, again)


def is_live(status: ColumnElement[str]) -> ColumnElement[bool]:
    """`domain.subscriptions.is_live` for a column.

    No index helps where most rows are meant: databases that have one by status find the live ones one by one.
    """
    return status.not_in(sorted(TERMINAL))


def overdue_subscriptions() -> AnySelect:
    """The Stripe ids of live subscriptions; the parameters are `old`, `now` and `limit`."""
    t = subscription.c
    ends = or_(
        _is_due(t.period_end),
        _is_due(t.cancel_at),
        _is_due(t.resumes_at),
        and_(t.status == "trialing", _is_due(t.trial_end)),
    )
    return _of("subscription", subscription, t.stripe_subscription_id, and_(is_live(t.status), ends), t.period_end)


def overdue_checkouts() -> AnySelect:
    """The Stripe sessions of unfinished checkouts; the same parameters."""
    return _overdue_sessions(checkout)


def overdue_purchases() -> AnySelect:
    """The Stripe sessions of unfinished purchases; the same parameters."""
    return _overdue_sessions(purchase)


def _overdue_sessions(table: Table) -> AnySelect:
    t = table.c
    unfinished = and_(t.status.in_(["open", "processing"]), t.stripe_session_id.is_not(None), _is_due(t.expires_at))
    return _of("checkout.session", table, t.stripe_session_id, unfinished, t.expires_at)


def _of(kind: str, table: Any, stripe_id: Any, condition: ColumnElement[bool], oldest: Any) -> AnySelect:
    o = stripe_object.c
    joined = table.outerjoin(stripe_object, and_(o.kind == kind, o.stripe_id == stripe_id))
    return select(stripe_id).select_from(joined).where(condition).order_by(oldest, stripe_id).limit(_LIMIT)
