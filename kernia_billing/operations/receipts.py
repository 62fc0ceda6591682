"""The receipt of a use in stored form, so that a repeated call gets the first answer again, to the letter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from ..domain.answers import Balance, Usage
from ..domain.instants import to_datetime, to_instant

_DATES = ("startedAt", "resetsAt")
"""What is a date of a usage limit."""

# All uses of a period tell of the same few dates.
_instant = lru_cache(maxsize=1_000)(to_instant)


def receipt(usage: Usage) -> dict[str, Any]:
    """The stored form of a receipt."""
    balance = usage.balance
    stored: dict[str, Any] = {
        "event_id": usage.event_id,
        "feature": usage.feature,
        "quantity": usage.quantity,
        "funded": usage.funded,
        "unfunded": usage.unfunded,
        "late": usage.late,
        "deductions": [dict(each) for each in usage.deductions],
        "included": balance.included,
        "used": balance.used,
        "held": balance.held,
        "remaining": balance.remaining,
        "unlimited": balance.unlimited,
        "resets_at": None if balance.resets_at is None else _instant(balance.resets_at),
        "overage_used": balance.overage_used,
        "overage_limit": balance.overage_limit,
    }
    # Few uses have them, and every use is stored.
    if usage.alerts:
        stored["alerts"] = list(usage.alerts)
    if balance.minimum:
        stored["minimum"] = balance.minimum
    if usage.limits:
        stored["limits"] = [{name: _plain(value) for name, value in each.items()} for each in usage.limits]
    if usage.restored is not None:
        stored["restored"] = usage.restored
    return stored


def read_receipt(stored: Mapping[str, Any]) -> Usage:
    """The receipt that a stored form stands for."""
    resets_at: datetime | None = None if stored["resets_at"] is None else to_datetime(stored["resets_at"])
    return Usage(
        event_id=stored["event_id"],
        feature=stored["feature"],
        quantity=stored["quantity"],
        funded=stored["funded"],
        unfunded=stored["unfunded"],
        balance=Balance(
            feature=stored["feature"],
            included=stored["included"],
            used=stored["used"],
            held=stored["held"],
            remaining=stored["remaining"],
            unlimited=stored["unlimited"],
            resets_at=resets_at,
            overage_used=stored["overage_used"],
            overage_limit=stored["overage_limit"],
            minimum=stored.get("minimum", 0),
        ),
        replayed=False,
        late=stored["late"],
        deductions=tuple(stored["deductions"]),
        alerts=tuple(stored.get("alerts", ())),
        limits=tuple(_limit(each) for each in stored.get("limits", ())),
        restored=stored.get("restored"),
    )


def _plain(value: object) -> object:
    return _instant(value) if isinstance(value, datetime) else value


def _limit(stored: Mapping[str, Any]) -> Mapping[str, object]:
    return {name: to_datetime(value) if name in _DATES else value for name, value in stored.items()}
