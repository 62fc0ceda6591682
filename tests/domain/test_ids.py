"""Ids, keys, quantities and properties: what is accepted comes back unchanged, the rest is refused by name."""

from __future__ import annotations

import json
import os
import re
import time
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.ids import (
    MAX_INTEGER,
    entity_id,
    event_properties,
    feature_key,
    idempotency_key,
    is_storable,
    plan_key,
    quantity,
    reference_id,
    stripe_id,
)
from kernia_billing.errors import InvalidInput
from kernia_billing.runtime.ids import TimeOrderedIds


class Name(StrEnum):
    """A text of a subclass, as hosts have them."""

    PRO = "pro"


class Size(IntEnum):
    """An integer of a subclass."""

    BIG = 3


NO_TEXTS: list[Any] = [None, 1, True, b"sub_1", ["sub_1"], {"id": "sub_1"}]


@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        ("sub_1Qx", "sub"),
        ("cs_test_a1B2", "cs"),
        ("evt_1", None),
        ("in_" + "a" * 250, "in"),
        ("sub_sched_1Qx", "sub_sched"),
    ],
)
def test_stripe_ids(value: str, prefix: str | None) -> None:
    """Ids as Stripe makes them."""
    assert value == stripe_id(value, prefix)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "sub",
            "sub_",
            "_1",
            "SUB_1",
            "sub-1",
            "sub_1\n",
            "\nsub_1",
            " sub_1",
            "sub_1 ",
            "sub_1/../x",
            "sub_1?a=b",
        ),
        *("sub_1%2f", "sub_1#x", "sub_é", "sub_１", "ѕub_1", "sub_" + "a" * 251, "a" * 251 + "_abcdef", "sub_1\x00"),
        *NO_TEXTS,
    ],
)
def test_other_stripe_ids_are_refused(value: Any) -> None:
    """Nothing that means something in a path, and nothing beyond ASCII; the value is not repeated."""
    with pytest.raises(InvalidInput) as caught:
        stripe_id(value, None, "subscriptionId")
    assert caught.value.field == "subscriptionId"
    assert not value or str(value) not in str(caught.value)


def test_stripe_ids_of_another_kind_are_refused() -> None:
    """A customer's id is not a subscription's."""
    with pytest.raises(InvalidInput, match="sub_"):
        stripe_id("cus_1", "sub")
    with pytest.raises(InvalidInput):
        stripe_id("subx_1", "sub")


@pytest.mark.parametrize("value", ["projects", "a", "A.b:c-d_9", "x" * 100, "2026-01-01"])
def test_keys(value: str) -> None:
    """Keys of features and plans."""
    assert value == feature_key(value) == plan_key(value)


@pytest.mark.parametrize(
    "value",
    [
        *("", "x" * 101, "a b", "a/b", "a\n", "é", "ａ", "a\u200bb", "a+b"),
        *("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:00-01:00"),
        *NO_TEXTS,
    ],
)
def test_other_keys_are_refused(value: Any) -> None:
    """Nothing beyond the alphabet, and nothing that the browser client would turn into a date."""
    with pytest.raises(InvalidInput) as caught:
        feature_key(value)
    assert caught.value.field == "feature"
    with pytest.raises(InvalidInput) as caught:
        plan_key(value)
    assert caught.value.field == "plan"


references = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=255).filter(
    lambda text: len(text.encode()) <= 255
)


@given(references)
def test_reference_ids_are_kept_byte_by_byte(value: str) -> None:
    """Whatever the host's ids are, they come back as they are."""
    assert value == reference_id(value)


def test_two_spellings_are_two_references() -> None:
    """Composed and decomposed letters stay apart."""
    assert reference_id("caf\u00e9") != reference_id("cafe\u0301")


@pytest.mark.parametrize(
    "value",
    [
        *("", "x" * 256, "é" * 128, "😀" * 64, "a\x00b", "a\nb", "a\x7fb", "é\x85", "é\x00", "a\ud800", "\udfff"),
        *NO_TEXTS,
    ],
)
def test_other_reference_ids_are_refused(value: Any) -> None:
    """Too long in code points or in bytes, control characters, lone surrogates, no text."""
    with pytest.raises(InvalidInput) as caught:
        reference_id(value, "referenceId")
    assert caught.value.field == "referenceId"


@given(st.text(max_size=300))
def test_a_reference_that_is_accepted_can_be_stored(value: str) -> None:
    """Every text is either refused with a typed error or fits the column."""
    try:
        accepted = reference_id(value)
    except InvalidInput:
        return
    assert 1 <= len(accepted.encode()) <= 255
    assert is_storable(accepted)


def test_texts_of_a_subclass_become_plain() -> None:
    """Database drivers bind plain texts only."""
    assert str is type(reference_id(Name.PRO))
    assert "pro" == plan_key(Name.PRO)


def test_entities() -> None:
    """None is the reference itself; the empty text is no entity."""
    assert "" == entity_id(None)
    assert "seat-1" == entity_id("seat-1")
    with pytest.raises(InvalidInput):
        entity_id("")


@pytest.mark.parametrize("value", ["a", "project:1", "~" * 255, "!"])
def test_idempotency_keys(value: str) -> None:
    """Visible ASCII of up to 255 characters."""
    assert value == idempotency_key(value)


@pytest.mark.parametrize("value", ["", "a" * 256, "a b", "a\n", "a\r\nX: y", "é", "\x7f", "\x00", *NO_TEXTS])
def test_other_idempotency_keys_are_refused(value: Any) -> None:
    """Nothing that a header could not hold."""
    with pytest.raises(InvalidInput) as caught:
        idempotency_key(value, "idempotencyKey")
    assert caught.value.field == "idempotencyKey"


@pytest.mark.parametrize("value", [1, 10**9])
def test_quantities(value: int) -> None:
    """One to a thousand million."""
    assert value == quantity(value)


@pytest.mark.parametrize(
    "value", [0, -1, 10**9 + 1, 10**30, True, False, 1.0, 1.5, "1", Decimal(1), Fraction(1), Size.BIG, None, [1]]
)
def test_other_quantities_are_refused(value: Any) -> None:
    """Only an `int` is one: nothing is converted, and so nothing is rounded."""
    with pytest.raises(InvalidInput) as caught:
        quantity(value, "seats")
    assert caught.value.field == "seats"


def test_bounds_of_a_quantity() -> None:
    """Both bounds are included."""
    assert 0 == quantity(0, "required", 0)
    assert 5 == quantity(5, "seats", 1, 5)
    with pytest.raises(InvalidInput, match="between 1 and 5"):
        quantity(6, "seats", 1, 5)


property_values = st.one_of(
    st.booleans(),
    st.integers(-MAX_INTEGER, MAX_INTEGER),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=500),
)


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z0-9_.-]{1,40}\Z"), property_values, max_size=50))
def test_event_properties(value: dict[str, str | int | bool]) -> None:
    """Flat properties come back as an equal, new dict that JSON keeps exactly."""
    found = event_properties(value)

    assert value == found
    assert found is not value
    assert value == json.loads(json.dumps(found))


def test_no_properties() -> None:
    """None is no properties."""
    assert {} == event_properties(None)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": None}, "properties.a"),
        ({"a": 1.5}, "properties.a"),
        ({"a": {}}, "properties.a"),
        ({"a": ["x"]}, "properties.a"),
        ({"a": 2**53}, "properties.a"),
        ({"a": -(2**53)}, "properties.a"),
        ({"a": "x" * 501}, "properties.a"),
        ({"a": "x\x00"}, "properties.a"),
        ({"a": "\ud800"}, "properties.a"),
        ({"": 1}, "properties"),
        ({"x" * 41: 1}, "properties"),
        ({"a b": 1}, "properties"),
        ({1: 1}, "properties"),
        ({"é": 1}, "properties"),
        ({f"k{n}": n for n in range(51)}, "properties"),
        ([], "properties"),
        ("a", "properties"),
        (1, "properties"),
    ],
)
def test_other_properties_are_refused(value: Any, field: str) -> None:
    """The error names the member, and never one with odd characters."""
    with pytest.raises(InvalidInput) as caught:
        event_properties(value)
    assert caught.value.field == field


@pytest.mark.parametrize("check", [stripe_id, feature_key, reference_id, idempotency_key])
def test_long_texts_are_judged_fast(check: Any) -> None:
    """64 KiB of anything cost no more than a look, counted in processor time."""
    for text in ("a" * 65_536, "a_" * 32_768, "é" * 65_536, "a" * 65_535 + "\n"):
        start = time.process_time()
        with pytest.raises(InvalidInput):
            check(text)
        assert time.process_time() - start < 0.5


def test_errors_hold_no_value() -> None:
    """What was sent is not repeated in the message, so that it reaches no log."""
    with pytest.raises(InvalidInput) as caught:
        feature_key("secret value")
    assert not re.search("secret", str(caught.value))


def test_made_ids_tell_their_order() -> None:
    """Ids of one process sort as they were made, within a millisecond too; those of two differ."""
    first, second = TimeOrderedIds(), TimeOrderedIds()
    made = [first.new("use") for _ in range(5_000)]

    assert sorted(made) == made
    assert not {*made} & {second.new("use") for _ in range(5_000)}
    assert all(re.fullmatch("use_[0-9a-hjkmnp-tv-z]{26}", each) for each in made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only where processes are forked")
def test_made_ids_of_a_forked_process() -> None:
    """A process and the one it was forked from never give the same random letters."""
    ids = TimeOrderedIds()
    ids.new("use")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, "\n".join(ids.new("use") for _ in range(100)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 100_000).decode().split("\n")
    os.close(reading)
    os.close(writing)

    assert len(theirs) == 100
    assert not {each[-12:] for each in theirs} & {ids.new("use")[-12:] for _ in range(1_000)}
