"""Everything that is recorded of uses, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kernia_billing import Billing, InvalidInput, NotFound, Reference
from kernia_billing.testing import StripeSimulator
from kernia_billing.types import UsageRecord


def test_pages_go_through_everybody(billing: Billing, stripe: StripeSimulator) -> None:
    """Each use comes once, each customer's together, however long the pages are; filters narrow them."""
    for number in range(12):
        billing.track(f"u{number % 3}", "messages", number + 1, idempotency_key=f"k{number}")
        stripe.advance(hours=1)
    start = stripe.now - timedelta(hours=4)

    for limit in (1, 5, 12):
        found: list[UsageRecord] = []
        cursor: str | None = None
        while True:
            page = billing.export_usage(limit=limit, cursor=cursor)
            found += page.items
            if (cursor := page.next_cursor) is None:
                break
        assert sorted(int(each.idempotency_key[1:]) for each in found) == list(range(12))
        assert [each.reference.id for each in found] == sorted(each.reference.id for each in found)
        for who in ("u0", "u1", "u2"):
            mine = [each.received_at for each in found if each.reference == Reference(who, "user")]
            assert mine == sorted(mine)
            assert len(mine) == 4
    assert [each.quantity for each in billing.export_usage("u1")] == [2, 5, 8, 11]
    assert {each.quantity for each in billing.export_usage(start=start)} == {9, 10, 11, 12}
    assert {each.quantity for each in billing.export_usage("u1", end=start)} == {2, 5, 8}
    assert list(billing.export_usage(feature="projects")) == []
    assert list(billing.export_usage("nobody")) == []


def test_what_cannot_be_exported(billing: Billing) -> None:
    """A page of nothing, a cursor that is none or another one's, and a feature that is none are refused."""
    for who in ("a", "b"):
        for _ in range(2):
            billing.track(who, "messages", 1)
    cursor = billing.export_usage("a", limit=1).next_cursor
    assert cursor is not None

    wrong: list[dict[str, Any]] = [{"limit": 0}, {"limit": 5_001}, *({"cursor": each} for each in ("x", ".1", "a.b"))]
    for options in wrong:
        with pytest.raises(InvalidInput):
            billing.export_usage(**options)
    with pytest.raises(InvalidInput):
        billing.export_usage("b", cursor=cursor)
    with pytest.raises(NotFound):
        billing.export_usage(feature="nothing")
