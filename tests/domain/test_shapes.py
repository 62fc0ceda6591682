"""Stripe's objects in every shape since 2024-04-10: read the same, and junk never breaks more than it must."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernia_billing.domain import reading, shapes
from kernia_billing.domain.catalog import price_row, product_row
from kernia_billing.domain.envelopes import read_envelope
from kernia_billing.domain.payments import payment_facts
from kernia_billing.domain.subscriptions import read_subscription
from kernia_billing.errors import InvalidInput
from kernia_billing.operations.projections.customer import stripe_customer_row
from kernia_billing.operations.projections.invoice import invoice_row
from kernia_billing.operations.projections.payment_method import payment_method_row
from kernia_billing.operations.projections.schedule import schedule_row

FIXTURES: Mapping[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "stripe-fixtures.json").read_text()
)["resources"]
START, END, LATER = 1_700_000_000, 1_702_592_000, 1_705_270_400
SECOND = 1_000_000


def fixture(name: str) -> dict[str, Any]:
    """A resource as Stripe publishes it, to be changed at will."""
    return deepcopy(FIXTURES[name])


def subscription(**members: Any) -> dict[str, Any]:
    """A subscription of today with one item."""
    made = {**fixture("subscription"), **members}
    made["items"]["data"][0] |= {"current_period_start": START, "current_period_end": END}
    return made


def of_2024(newest: dict[str, Any]) -> dict[str, Any]:
    """The same subscription as the versions before 2025-03-31 show it."""
    old = deepcopy(newest)
    (item,) = old["items"]["data"]
    period = {name: item.pop(name) for name in ("current_period_start", "current_period_end")}
    return {**old, **period}


def both(newest: dict[str, Any]) -> dict[str, Any]:
    """The periods in both places, as payloads of the time of the change have them; the old place is out of date."""
    return {**newest, "current_period_start": START - 5, "current_period_end": END + 5}


def expanded(newest: dict[str, Any]) -> dict[str, Any]:
    """The same with objects where there were ids."""
    return {**newest, "customer": {"id": newest["customer"], "object": "customer"}, "schedule": {"id": "sub_sched_1"}}


@pytest.mark.parametrize("shape", [of_2024, both, deepcopy])
def test_a_subscription_of_any_version_reads_the_same(shape: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Periods on the items, at the top, or in both places, where the items count."""
    newest = subscription(schedule="sub_sched_1")
    expected = read_subscription(newest)
    assert (expected.period_start, expected.period_end) == (START * SECOND, END * SECOND)
    assert read_subscription(shape(newest)) == expected
    assert read_subscription(expanded(shape(newest))) == expected
    assert read_subscription({**shape(newest), "customer": None, "customer_account": newest["customer"]}) == expected


def test_items_with_different_periods() -> None:
    """The next renewal is the earliest end; paid through is the latest, or what was billed ahead."""
    several = subscription()
    (first,) = several["items"]["data"]
    second = {**first, "id": "si_2", "current_period_start": START - 9, "current_period_end": LATER}
    several["items"]["data"].append(second)
    read = read_subscription(several)
    assert (read.period_start, read.period_end) == ((START - 9) * SECOND, END * SECOND)
    assert read.paid_through == LATER * SECOND
    first["billed_until"] = LATER + 9
    assert shapes.paid_through(several) == (LATER + 9) * SECOND
    assert [shapes.period_of_item(each, several)[1] for each in (first, second)] == [END * SECOND, LATER * SECOND]


def test_a_subscription_without_items_and_a_metered_item() -> None:
    """Without items the top counts; a metered item has no quantity; a status of tomorrow is kept as it is."""
    bare = {"id": "sub_1", "status": "hibernating", "current_period_start": START, "current_period_end": END}
    read = read_subscription(bare)
    assert (read.status, read.period_end, read.paid_through) == ("hibernating", END * SECOND, END * SECOND)
    metered = subscription()
    del metered["items"]["data"][0]["quantity"]
    assert read_subscription(metered).items[0].quantity is None


def _invoice(**members: Any) -> dict[str, Any]:
    made = {**fixture("invoice"), **members}
    made["parent"] = {
        "type": "subscription_details",
        "subscription_details": {
            "subscription": "sub_1",
            "metadata": {"a": "b"},
            "subscription_proration_date": START,
        },
        "quote_details": {"quote": "qt_1"},
    }
    paying = {"type": "payment_intent", "payment_intent": "pi_1", "charge": None}
    refused = {"type": "payment_intent", "payment_intent": "pi_0"}
    made["payments"] = {
        "object": "list",
        "data": [{"status": "canceled", "payment": refused}, {"status": "paid", "payment": paying}],
    }
    return made


def _invoice_of_2024(newest: dict[str, Any]) -> dict[str, Any]:
    old = deepcopy(newest)
    del old["parent"], old["payments"]
    details = {"metadata": {"a": "b"}}
    moved = {"subscription": "sub_1", "subscription_details": details, "subscription_proration_date": START}
    return {**old, **moved, "quote": "qt_1", "payment_intent": "pi_1", "charge": "ch_1", "paid": False}


def test_an_invoice_of_any_version_reads_the_same() -> None:
    """The subscription, its metadata, the quote, the date of prorations and the payment, wherever they stand."""
    newest = _invoice()
    old = _invoice_of_2024(newest)
    for each in (newest, old, {**old, **newest}, {**old, "subscription": {"id": "sub_1"}}):
        assert invoice_row(each, "cust_1", 7) == invoice_row(newest, "cust_1", 7)
        assert shapes.subscription_of_invoice(each) == "sub_1"
        assert shapes.subscription_metadata_of_invoice(each) == {"a": "b"}
        assert shapes.proration_date_of_invoice(each) == START * SECOND
        assert shapes.quote_of_invoice(each) == "qt_1"
        assert shapes.payment_intents_of(each)[0] == "pi_1"
    assert shapes.charges_of(old) == ["ch_1"]
    assert [shapes.is_paid(each) for each in ({"paid": True}, {"status": "paid"}, {"status": "open"}, {"paid": 1})] == [
        True,
        True,
        False,
        False,
    ]


LINES = {
    "endive": {
        "parent": {
            "type": "subscription_item_details",
            "subscription_item_details": {"subscription": "sub_1", "subscription_item": "si_1", "proration": True},
            "invoice_item_details": {"subscription": "sub_no", "invoice_item": "ii_no", "proration": False},
        },
        "pricing": {"price_details": {"price": "price_1"}, "unit_amount_decimal": "12.5"},
        "quantity_decimal": "2",
        "quantity": 1,
        "taxes": [{"amount": 3}, {"amount": 4}],
    },
    "acacia": {
        "type": "subscription",
        "subscription": "sub_1",
        "subscription_item": "si_1",
        "proration": True,
        "price": {"id": "price_1", "unit_amount_decimal": "12.5"},
        "quantity": 2,
        "tax_amounts": [{"amount": 3}, {"amount": 4}],
    },
    "plans": {
        "subscription": {"id": "sub_1"},
        "subscription_item": {"id": "si_1"},
        "proration": True,
        "plan": {"id": "price_1"},
        "unit_amount_decimal": "12.5",
        "quantity": 2,
        "tax": 7,
    },
}


@pytest.mark.parametrize("version", LINES)
def test_an_invoice_line_of_any_version_reads_the_same(version: str) -> None:
    """Price, subscription and item, proration, unit amount (a decimal), quantity and tax."""
    line = LINES[version]
    assert shapes.price_of(line) == "price_1"
    assert (shapes.subscription_of_line(line), shapes.item_of_line(line)) == ("sub_1", "si_1")
    assert shapes.proration_of_line(line) is True
    assert (shapes.unit_amount(line), shapes.quantity_of_line(line)) == (Decimal("12.5"), Decimal(2))
    assert shapes.taxes_of(line) == 7


@pytest.mark.parametrize("name", ["total_taxes", "taxes", "total_tax_amounts", "tax_amounts"])
def test_taxes_under_each_of_their_names(name: str) -> None:
    """Invoices had `total_tax_amounts` and lines `tax_amounts` before 2025-03-31; a list counts before the old sum."""
    several = [{"amount": 5}, {"amount": 2}]
    assert shapes.taxes_of({name: several}) == shapes.taxes_of({name: several, "tax": 1}) == 7
    assert shapes.taxes_of({name: [], "tax": 1}) == shapes.taxes_of({name: None, "tax": 1}) == 1


def test_an_invoice_item_on_a_line() -> None:
    """The type of the parent says which of its members counts."""
    parent = {"type": "invoice_item_details", "invoice_item_details": {"invoice_item": "ii_1", "proration": False}}
    assert shapes.invoice_item_of_line({"parent": parent}) == "ii_1"
    assert shapes.invoice_item_of_line({"invoice_item": {"id": "ii_1"}}) == "ii_1"
    assert shapes.proration_of_line({"parent": parent, "proration": True}) is False


def _discounts(subject: Mapping[str, Any]) -> list[str | None]:
    return [reading.id_of(each) for each in shapes.discounts_of(subject)]


def _prices_of_phase(phase: Mapping[str, Any]) -> list[str | None]:
    return [shapes.price_of(each) for each in shapes.items_of_phase(phase)]


@pytest.mark.parametrize(
    ("read", "shown"),
    [
        (shapes.coupon_of_discount, [{"source": {"coupon": "c"}}, {"coupon": {"id": "c"}}, {"coupon": "c"}]),
        (shapes.promotion_coupon, [{"promotion": {"coupon": {"id": "c"}}}, {"coupon": {"id": "c"}}]),
        (shapes.refunds_of_credit_note, [{"refunds": [{"refund": "c"}]}, {"refund": {"id": "c"}}]),
        (shapes.features_of_product, [{"marketing_features": [{"name": "c"}]}, {"features": [{"name": "c"}]}]),
        (
            shapes.shipping_of_session,
            [{"collected_information": {"shipping_details": {"name": "c"}}}, {"shipping_details": {"name": "c"}}],
        ),
        (shapes.subscription_of_schedule, [{"subscription": "c"}, {"released_subscription": {"id": "c"}}]),
        (
            shapes.cancellation_feedback,
            [{"cancellation_details": {each: "c"}} for each in ("feedback", "feedback_option")],
        ),
        (shapes.ui_mode, [{"ui_mode": "hosted"}, {"ui_mode": "hosted_page"}, {}]),
        (shapes.billing_mode, [{"billing_mode": {"type": "classic"}}, {}]),
        (
            shapes.paused_by,
            [
                {"status": "paused"},
                {"status_details": {"paused": {"subscription": {"type": "trial_end_without_payment_method"}}}},
            ],
        ),
        (
            _discounts,
            [{"discounts": ["d"]}, {"discount": {"id": "d"}}],
        ),
        (
            _prices_of_phase,
            [{"items": [{"price": "p"}]}, {"plans": [{"plan": "p"}]}],
        ),
        (
            shapes.interval_of_price,
            [{"recurring": {"interval": "year", "interval_count": 1}}, {"interval": "year", "interval_count": 1}],
        ),
    ],
)
def test_the_other_members_that_moved(read: Callable[[Mapping[str, Any]], object], shown: list[dict[str, Any]]) -> None:
    """Each reads the same from its old and its new place, and from both at once."""
    first = read(shown[0])
    assert first
    assert [read(each) for each in shown] == [first] * len(shown)
    together = {name: value for each in reversed(shown) for name, value in each.items()}
    assert read(together) == first


def test_decimals_never_pass_through_a_float() -> None:
    """A decimal is a text or an integer; a float, a word, an exponent and an endless number are none."""
    assert reading.decimal("0.1") == Decimal("0.1")
    assert reading.decimal(12) == Decimal(12)
    others: tuple[object, ...] = (0.1, "1e999999", "NaN", "Infinity", "", " 1", True, None, [], "9" * 41, 2**60)
    assert [each for each in others if reading.decimal(each) is not None] == []


def test_a_schedule_reads_its_phases() -> None:
    """Prices with their quantities, the current phase, and the subscription."""
    row = schedule_row({**fixture("subscription_schedule"), "subscription": {"id": "sub_1"}}, "cust_1", 7)
    (phase,) = row.phases
    assert (phase.price_ids, phase.quantities) == (("price_1PgafmB7WZ01zgkW6dKueIc5",), (1,))
    assert (phase.start, phase.end) == (1_722_558_872 * SECOND, 1_754_008_472 * SECOND)
    assert (row.stripe_subscription_id, row.status, row.end_behavior) == ("sub_1", "not_started", "release")


def test_a_payment_method_reads_its_card() -> None:
    """Brand, digits and expiry of a card; nothing of a type that has none."""
    card = payment_method_row({**fixture("payment_method"), "customer": "cus_1"}, "cust_1", 7)
    assert (card.brand, card.last4, card.exp_month, card.exp_year, card.detached) == ("visa", "4242", 8, 2030, False)
    other = payment_method_row({"id": "pm_1", "type": "link", "link": {}, "customer": "cus_1"}, "cust_1", 7)
    assert (other.type, other.brand, other.last4, other.exp_month) == ("link", None, None, None)


junk: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=5)
    | st.sampled_from(["\x00", "\ud800", "sub_1", "paid", "1.5", 10**18, -(10**18)]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "data", "object", "type", "coupon", "has_more", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)

READERS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "subscription": read_subscription,
    "invoice": lambda each: invoice_row(each, "cust_1", 7),
    "subscription_schedule": lambda each: schedule_row(each, "cust_1", 7),
    "payment_method": lambda each: payment_method_row(each, "cust_1", 7),
    "customer": lambda each: stripe_customer_row(each, "cust_1", 7),
    "price": price_row,
    "product": product_row,
    "charge": payment_facts,
    "dispute": payment_facts,
    "refund": payment_facts,
    "credit_note": payment_facts,
    "event": lambda each: read_envelope(each, 7),
}
SHAPES = [
    shapes.paid_through,
    shapes.payment_intents_of,
    shapes.charges_of,
    shapes.discounts_of,
    shapes.coupon_of_discount,
    shapes.promotion_coupon,
    shapes.taxes_of,
    shapes.unit_amount,
    shapes.proration_of_line,
    shapes.features_of_product,
    shapes.refunds_of_credit_note,
    shapes.shipping_of_session,
    shapes.ui_mode,
    shapes.paused_by,
    shapes.cancellation_feedback,
    shapes.subscription_of,
]


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [path]
    members = cast("dict[Any, Any]", value) if isinstance(value, dict) else {}
    if isinstance(value, list):
        members = dict(enumerate(cast("list[Any]", value)))
    for key, each in members.items():
        found += _places(each, (*path, key))
    return found


def _planted(value: Any, path: tuple[Any, ...], something: Any) -> Any:
    if not path:
        return something
    copy = deepcopy(value)
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = something
    return copy


@pytest.mark.parametrize("name", READERS)
@given(data=st.data())
def test_junk_anywhere_in_an_object_is_read_past_or_refused_by_name(name: str, data: st.DataObject) -> None:
    """A member of another type never raises anything but `InvalidInput`, which names a member."""
    subject = fixture(name)
    place = data.draw(st.sampled_from(_places(subject)[1:]))
    broken = _planted(subject, place, data.draw(junk))
    for read in (READERS[name], *SHAPES):
        with suppress(InvalidInput):
            read(broken)


@given(something=junk)
@example(something={"id": "sub_1", "items": {"data": [{}]}})
@example(something={"id": "x", "currency": "usd", "product": "p", "created": 10**18})
def test_junk_instead_of_an_object(something: object) -> None:
    """What is no object, or one without anything that it needs, is refused by name or read as empty."""
    subject = reading.members(something)
    for read in (*READERS.values(), *SHAPES):
        with suppress(InvalidInput):
            read(subject)


@given(something=junk)
def test_what_is_read_can_be_stored(something: object) -> None:
    """Texts and ids are free of what a database cannot hold, integers within what JSON holds."""
    for value in (reading.text(something), reading.id_of(something), *reading.texts(something).values()):
        assert value is None or value.encode().find(b"\x00") < 0
    number = reading.whole(something)
    assert number is None or abs(number) < 2**53
