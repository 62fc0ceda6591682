"""What a client may write into Stripe's metadata, and what only we do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.metadata import client_metadata, is_reserved, merge
from kernia_billing.errors import InvalidInput

RESERVED = [
    *("userId", "organizationId", "referenceId", "subscriptionId", "customerType", "kernia_intent", "kernia_"),
    *("__proto__", "constructor", "prototype"),
]
OURS = {"userId": "u1", "referenceId": "r1", "subscriptionId": "s1", "customerType": "user", "kernia_intent": "i1"}

keys = st.from_regex(r"\A[A-Za-z0-9_-]{1,40}\Z").filter(lambda key: not is_reserved(key))
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r\n"), max_size=500)


@given(st.dictionaries(keys, values, max_size=20))
def test_flat_texts_pass(value: dict[str, str]) -> None:
    """What is within the limits comes back as an equal, new dict, and reaches Stripe beside ours."""
    found = client_metadata(value)

    assert value == found
    assert found is not value
    assert {**value, **OURS} == merge(found, OURS)


def test_nothing_passes_too() -> None:
    """Absent and null are empty."""
    assert {} == client_metadata(None) == client_metadata({})


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": 1}, "metadata.a"),
        ({"a": True}, "metadata.a"),
        ({"a": None}, "metadata.a"),
        ({"a": {"b": "c"}}, "metadata.a"),
        ({"a": ["b"]}, "metadata.a"),
        ({"a": "x" * 501}, "metadata.a"),
        ({"a": "x\r\ny"}, "metadata.a"),
        ({"a": "x\n"}, "metadata.a"),
        ({"a": "\x00"}, "metadata.a"),
        ({"a": "\ud800"}, "metadata.a"),
        ({"": "x"}, "metadata"),
        ({"x" * 41: "x"}, "metadata"),
        ({"a[b]": "x"}, "metadata"),
        ({"a.b": "x"}, "metadata"),
        ({"é": "x"}, "metadata"),
        ({1: "x"}, "metadata"),
        ({f"k{n}": "x" for n in range(21)}, "metadata"),
        ({f"k{n}": "x" for n in range(51)}, "metadata"),
        ([], "metadata"),
        ("a=b", "metadata"),
        (1, "metadata"),
        (True, "metadata"),
    ],
)
def test_everything_else_is_refused(value: Any, field: str) -> None:
    """Values that are no texts, nested, null, too many or too long."""
    with pytest.raises(InvalidInput) as caught:
        client_metadata(value)
    assert caught.value.field == field


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("spell", ["{}", "{}2", "{}_x"])
def test_reserved_names_are_refused(name: str, spell: str) -> None:
    """In any case, and as a beginning."""
    with pytest.raises(InvalidInput, match="reserved"):
        client_metadata({"fine": "x", spell.format(name): "x"})
    with pytest.raises(InvalidInput, match="reserved"):
        client_metadata({spell.format(name.upper()): "x"})


@pytest.mark.parametrize("name", ["user", "my_userId", "plan", "proto", "kernia"])
def test_other_names_are_not_reserved(name: str) -> None:
    """A reserved name within a name is harmless."""
    assert {name: "x"} == client_metadata({name: "x"})


@given(
    st.dictionaries(
        st.one_of(st.sampled_from([*RESERVED, "USERID", "Customertype", "INTENT"]), keys), values, max_size=20
    )
)
def test_ours_always_win(hook: dict[str, str]) -> None:
    """Whatever a hook returns, each of our members is there with our value, once in any case, and theirs stay."""
    merged = merge(hook, {**OURS, "intent": "x"})

    assert {**OURS, "intent": "x"} == {key: merged[key] for key in (*OURS, "intent")}
    lowered = [key.lower() for key in merged]
    assert all(lowered.count(key.lower()) == 1 for key in (*OURS, "intent"))
    assert all(merged[key] == value for key, value in hook.items() if not is_reserved(key) and key.lower() != "intent")
    assert not {"__proto__", "constructor", "prototype"} & merged.keys()


def test_dangerous_names_are_dropped_and_others_stay() -> None:
    """Names that pollute JavaScript objects never reach Stripe."""
    given_by_hook = {"__proto__": "x", "constructor": "x", "prototype": "x", "team": "blue"}

    assert {"team": "blue", "userId": "u1"} == merge(given_by_hook, {"userId": "u1"})


@pytest.mark.parametrize(
    "hook", [{f"k{n}": "x" for n in range(50)}, {"a": "x" * 501}, {"a" * 41: "x"}, {"": "x"}, {"a": "b\nc"}]
)
def test_stripes_limits_hold_for_hooks_too(hook: dict[str, str]) -> None:
    """Found out before a call to Stripe is made."""
    with pytest.raises(InvalidInput) as caught:
        merge(hook, OURS, "params.metadata")
    assert caught.value.field.startswith("params.metadata")
