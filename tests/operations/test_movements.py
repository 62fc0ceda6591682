"""The ledger of a reference, listed page by page, with what moved and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernia_billing import Billing, Credits, Feature, InvalidInput, Metered, NotFound, Plan
from kernia_billing.testing import StripeSimulator
from kernia_billing.types import LedgerEntry

PLANS = [Plan("free", features={"images": Metered(2), "credits": Credits(10)})]
FEATURES = [Feature("credits"), Feature("images", credit_cost={"credits": 10})]


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Billing:
    """Images that are paid with credits."""
    return open_billing(plans=PLANS, features=FEATURES, default_plan="free")


def told(entry: LedgerEntry) -> tuple[Any, ...]:
    """What is of interest of an entry here."""
    return entry.entry, entry.source, entry.feature, entry.amount, entry.units


def moved(billing: Billing, **options: Any) -> list[LedgerEntry]:
    """Every entry, page by page."""
    found: list[LedgerEntry] = []
    cursor: str | None = None
    while True:
        page = billing.ledger("ann", cursor=cursor, **options)
        found += page.items
        if (cursor := page.next_cursor) is None:
            return found


def test_entries_tell_where_they_come_from(shop: Billing) -> None:
    """A use of four pools has a line for each, with its source, and the words of the requirement are found by these."""
    given_ = shop.grant("ann", "credits", 5)
    shop.set_credit_min("ann", "credits", -20)
    use = shop.consume("ann", "images", 5, properties={"model": "small"})
    shop.refund("ann", use.event_id, 1)
    hold = shop.reserve("ann", "credits", 1)
    hold.release()

    entries = [each for each in moved(shop) if each.entry != "open"][::-1]
    assert [told(each)[:4] for each in entries[:4]] == [
        ("use", "default", "images", 2),
        ("use", "default", "credits", 10),
        ("use", "manual", "credits", 5),
        ("use", "credit_min", "credits", 15),
    ]
    assert {each.event_id for each in entries[:4]} == {use.event_id}
    assert {tuple(each.properties.items()) for each in entries[:4]} == {(("model", "small"),)}
    assert entries[2].grant_id == given_.id
    assert (entries[2].used_after, entries[2].included_after, entries[2].entity) == (5, 5, None)
    assert [told(each) for each in entries[4:]] == [
        ("refund", "credit_min", "credits", -10, 1),
        ("hold", "credit_min", "credits", 0, 1),
        ("release", "credit_min", "credits", 0, 1),
    ]
    assert [each.held for each in entries[4:]] == [0, 1, -1]

    assert [each.entry for each in moved(shop, source="manual")] == ["use", "open"]
    assert [each.source for each in moved(shop, entry="refund")] == ["credit_min"]
    assert moved(shop, feature="images", entry="use") == [entries[0]]
    assert moved(shop, properties={"model": "small"}, source="credit_min", entry="use") == [entries[3]]
    assert moved(shop, properties={"model": "large"}) == []
    assert shop.ledger("nobody").items == ()


def test_what_is_given_is_told_at_once(shop: Billing, stripe: StripeSimulator) -> None:
    """The ledger has it from when it was given on, also of what repays an overdraft, and the first use adds a line."""
    given_ = shop.grant("ann", "credits", 5)
    (entry,) = shop.ledger("ann").items
    assert told(entry) == ("open", "manual", "credits", 0, 0)
    assert (entry.at, entry.grant_id, entry.included_after) == (stripe.now, given_.id, 5)

    shop.set_credit_min("ann", "credits", -20)
    shop.consume("ann", "credits", 30)
    shop.grant("ann", "credits", 8)
    assert [told(each)[:4] for each in moved(shop, source="manual")][:2] == [
        ("carry", "manual", "credits", 8),
        ("open", "manual", "credits", 0),
    ]
    assert [each.included_after for each in moved(shop, source="manual", entry="open")] == [8, 5]


def test_uses_are_found_by_properties(shop: Billing) -> None:
    """Uses are listed and exported with how they came, and by all of the properties that are asked for."""
    for number in range(6):
        shop.track("ann", "images", 1, properties={"model": f"m{number % 2}", "n": number % 3, "paid": number > 3})
    use = shop.track("ann", "images", 1)
    shop.refund("ann", use.event_id)

    assert [each.mode for each in shop.usage("ann")] == ["refund", *["record"] * 7]
    asked: Sequence[Mapping[str, str | int | bool]] = [
        {"model": "m0"},
        {"model": "m1", "n": 1},
        {"paid": True},
        {},
        {"paid": 1},
        {"n": True},
        {"n": "1"},
        {"model": "M0"},
    ]
    for properties, count in zip(asked, (3, 1, 2, 8, 0, 0, 0, 0), strict=True):
        assert len(shop.usage("ann", properties=properties).items) == count
        assert len(shop.export_usage("ann", properties=properties).items) == count
        assert len(shop.export_usage(properties=properties).items) == count


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_pages_of_any_time(data: st.DataObject) -> None:
    """Any pages of any time are those entries, start inclusive and end exclusive, whatever is written meanwhile."""
    stripe = StripeSimulator()
    with Billing(
        stripe_client=stripe, database="sqlite://", plans=PLANS, features=FEATURES, default_plan="free"
    ) as billing:
        times: list[datetime] = [stripe.now]
        for number, hours in enumerate(data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=12))):
            stripe.advance(hours=hours)
            times.append(stripe.now)
            billing.track("ann", "images", 1 + number % 3)
        everything = moved(billing)
        assert everything == sorted(everything, key=lambda each: tuple(map(int, each.id.split("."))), reverse=True)

        times += [times[-1] + timedelta(seconds=1), times[0] - timedelta(seconds=1)]
        start = data.draw(st.none() | st.sampled_from(times))
        end = data.draw(st.none() | st.sampled_from(times))
        limit = data.draw(st.integers(1, 5))
        expected = [
            each for each in everything if (start is None or each.at >= start) and (end is None or each.at < end)
        ]

        found: list[LedgerEntry] = []
        cursor: str | None = None
        while True:
            page = billing.ledger("ann", start=start, end=end, limit=limit, cursor=cursor)
            found += page.items
            assert len(page.items) == limit or page.next_cursor is None
            if (cursor := page.next_cursor) is None:
                break
            billing.track("ann", "images")
        assert expected == found
    assert () == stripe.violations


def test_what_cannot_be_listed(shop: Billing) -> None:
    """What is no source, no reason, no property, no page and no feature is refused, by name."""
    wrong: dict[str, list[Any]] = {
        "source": ["gift", 3, ["plan"]],
        "entry": ["gift"],
        "limit": [0, 201],
        "cursor": ["x", "1", "1.", ".1", "1.x", "-1.0", "9" * 16 + ".0"],
        "properties": ["model"],
        "properties.model": [{"model": 1.5}],
    }
    for field, values in wrong.items():
        for value in values:
            with pytest.raises(InvalidInput) as caught:
                shop.ledger("ann", **{field.partition(".")[0]: value})
            assert field == caught.value.field
    with pytest.raises(NotFound):
        shop.ledger("ann", "nothing")
