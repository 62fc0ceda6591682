"""Our form encoding sends what the official SDK sends, but for the differences listed here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from typing import Any
from urllib.parse import parse_qsl

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st
from stripe import HTTPClient

from kernia_billing.errors import InvalidInput
from kernia_billing.stripe.encode import encode
from kernia_billing.stripe.versions import STRIPE_API_VERSION
from tests.stripe.network import KEY, OK, Wired


class Capture(HTTPClient):
    """The network of the SDK: keeps what it would send."""

    name = "capture"

    def request_with_retries(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None, *_: Any, **__: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        """Keep the request and answer it."""
        self.sent = (method.upper(), url, post_data, dict(headers))
        return "{}", 200, {}


CAPTURE = Capture()
SDK: Any = stripe.StripeClient(KEY.reveal(), http_client=CAPTURE)


def by_sdk(method: str, path: str, params: dict[str, Any]) -> tuple[str, str, str | None, dict[str, str]]:
    """What the SDK sends: method, URL, body, headers."""
    SDK.raw_request(method.lower(), path, **params)
    return CAPTURE.sent


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0[]"), min_size=1, max_size=8).filter(
    lambda name: name not in {"api_key", "headers", "self"}
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=12)
numbers = st.integers(-(2**63) + 1, 2**63 - 1)
decimals = st.decimals(-(10**12), 10**12, places=4).map(lambda value: Decimal(format(value, "f")))
moments = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.timezones()).filter(  # noqa: DTZ001 - the strategy adds the zones
    lambda moment: moment.utcoffset() is not None
)
everywhere = texts | numbers | decimals
outside_lists = everywhere | st.none() | st.booleans() | moments


def containers(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Lists and mappings that both encoders understand alike."""
    filled = st.dictionaries(names, children.filter(lambda each: each is not None), min_size=1, max_size=3)
    elements = (everywhere | filled | st.lists(everywhere, min_size=1, max_size=3)).filter(arrives)
    lists = st.lists(elements, min_size=1, max_size=3)
    return st.dictionaries(names, children, min_size=1, max_size=3) | lists | lists.map(tuple)


def arrives(value: object) -> bool:
    """Whether something of `value` arrives: a mapping of nothing but None would leave a gap in a list."""
    return not isinstance(value, dict) or encode({"a": value}) != ""  # pyright: ignore[reportUnknownArgumentType]  # whatever hypothesis draws


trees = st.dictionaries(
    names.filter(str.isidentifier), st.recursive(outside_lists, containers, max_leaves=12), max_size=4
)


@given(trees)
def test_posts_carry_the_body_of_the_sdk(params: dict[str, Any]) -> None:
    """For any tree of parameters both send the same bytes."""
    wired = Wired("blocking", OK)
    wired.post("/v1/customers", params)
    sent = wired.requests[0]

    method, url, body, headers = by_sdk("POST", "/v1/customers", params)

    assert (method, url, (body or "").encode()) == (sent.method, str(sent.url), sent.content)
    assert {name: sent.headers[name] for name in ("authorization", "content-type")} == {
        "authorization": headers["Authorization"],
        "content-type": headers["Content-Type"],
    }


@given(trees, st.sampled_from(["GET", "DELETE"]))
def test_gets_and_deletes_carry_the_query_of_the_sdk(params: dict[str, Any], method: Any) -> None:
    """For any tree of parameters both ask for the same URL, with no body and no key."""
    wired = Wired("blocking", OK)
    wired.run(wired.stripe.request(method, "/v1/customers", params, idempotency_key="unused"))
    sent = wired.requests[0]

    _, url, body, _ = by_sdk(method, "/v1/customers", params)
    query = url.partition("?")[2]

    assert sent.url.query.decode() == query
    assert (sent.content, body) == (b"", None)
    assert "idempotency-key" not in sent.headers
    assert "content-type" not in sent.headers


def test_the_version_is_the_one_of_the_sdk() -> None:
    """Both name the same API version."""
    _, _, _, headers = by_sdk("GET", "/v1/customers", {})

    assert headers["Stripe-Version"] == STRIPE_API_VERSION


MOMENT = datetime(2026, 11, 1, 12, 30, 15, 999_999, tzinfo=timezone(timedelta(hours=2)))
INTENDED: list[tuple[str, dict[str, Any], str, str]] = [
    ("a bool in a list", {"a": [True, False]}, "a[0]=true&a[1]=false", "a[0]=True&a[1]=False"),
    ("a datetime in a list", {"a": [MOMENT]}, "a[0]=1793529015", "a[0]=2026-11-01+12%3A30%3A15.999999%2B02%3A00"),
    ("a Decimal with an exponent", {"a": Decimal("1E+3")}, "a=1000", "a=1E%2B3"),
    ("a small Decimal", {"a": Decimal("1E-9")}, "a=0.000000001", "a=1E-9"),
]
REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("an empty list", {"a": []}, "a", ""),
    ("an empty mapping", {"a": {}}, "a", ""),
    ("an empty list in a list", {"a": [[]]}, "a[0]", ""),
    ("None in a list", {"a": [1, None]}, "a[1]", "a[0]=1&a[1]=None"),
    ("a mapping of None in a list", {"a": [{"b": None}]}, "a[0]", ""),
    ("a float", {"a": 1.5}, "a", "a=1.5"),
    ("a line end", {"a": "x\r\ny"}, "a", "a=x%0D%0Ay"),
    ("a NUL", {"a": {"b": "\0"}}, "a[b]", "a[b]=%00"),
    ("a bracket in a name", {"a": {"b][c": "1"}}, "a", "a[b][c]=1"),
    ("bytes", {"a": b"x"}, "a", "a=x"),
    ("NaN", {"a": Decimal("NaN")}, "a", "a=NaN"),
    ("a number beyond 64 bits", {"a": 2**63}, "a", "a=9223372036854775808"),
]


@pytest.mark.parametrize(
    ("params", "ours", "theirs"), [case[1:] for case in INTENDED], ids=[case[0] for case in INTENDED]
)
def test_intended_differences(params: dict[str, Any], ours: str, theirs: str) -> None:
    """Where the SDK sends what Stripe would not understand we send what is meant."""
    assert encode(params) == ours
    assert by_sdk("POST", "/v1/customers", params)[2] == theirs


@pytest.mark.parametrize(
    ("params", "field", "theirs"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_what_the_sdk_sends_and_we_refuse(params: dict[str, Any], field: str, theirs: str) -> None:
    """What would vanish, or arrive as something else, is an error that names its key."""
    with pytest.raises(InvalidInput) as caught:
        encode(params)

    assert caught.value.field == field
    assert by_sdk("POST", "/v1/customers", params)[2] == theirs


class Colour(StrEnum):
    """A text enumeration."""

    RED = "red"


class Level(IntEnum):
    """A number enumeration."""

    HIGH = 3


EXAMPLES: list[tuple[dict[str, Any] | None, str | None]] = [
    (None, ""),
    ({}, ""),
    ({"a": None, "b": ""}, "b="),
    ({"metadata": {"k": ""}}, "metadata[k]="),
    ({"a": {"b": None}}, ""),
    ({"items": [{"price": "price_1", "quantity": 2}, {"price": "price_2"}]}, None),
    ({"a": "[x] &=é€😀 +%"}, "a=[x]+%26%3D%C3%A9%E2%82%AC%F0%9F%98%80+%2B%25"),
    ({"a": Colour.RED, "b": Level.HIGH, "c": True, "d": -5}, "a=red&b=3&c=true&d=-5"),
    ({"a": datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)}, "a=-1"),
    ({"a": Decimal("12.50"), "b": Decimal(0)}, "a=12.50&b=0"),
    (OrderedDict(b=1, a=2), "b=1&a=2"),
]


@pytest.mark.parametrize(("params", "expected"), EXAMPLES)
def test_examples(params: dict[str, Any] | None, expected: str | None) -> None:
    """What the documentation of the module says, value by value."""
    if expected is None:
        expected = "items[0][price]=price_1&items[0][quantity]=2&items[1][price]=price_2"

    assert encode(params) == expected


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"a": "\ud800"}, "a"),
        ({"a\n": "x"}, "params"),
        ({"": "x"}, "params"),
        ({1: "x"}, "params"),
        ({"a": {1: "x"}}, "a"),
        ({"a": datetime(2026, 1, 1)}, "a"),  # noqa: DTZ001 - without a zone is what is refused
        ({"a": datetime(2026, 1, 1, tzinfo=UTC).date()}, "a"),
        ({"a": {"b": [{"c": 0.5}]}}, "a[b][0][c]"),
        ({"a": Decimal("1E+999999")}, "a"),
        ({"a": Decimal("0E+999999")}, "a"),
        ({"a": Decimal("Infinity")}, "a"),
        ({"a": {"x"}}, "a"),
        ({"a": object()}, "a"),
    ],
)
def test_refusals_name_the_key(params: dict[Any, Any], field: str) -> None:
    """Every refusal is an `InvalidInput` whose `field` is the bracketed key."""
    with pytest.raises(InvalidInput) as caught:
        encode(params)

    assert caught.value.field == field


def test_a_tree_without_end_is_refused() -> None:
    """A structure that contains itself is an error, not a crash."""
    loop: dict[str, Any] = {}
    loop["a"] = loop

    with pytest.raises(InvalidInput):
        encode(loop)


@given(st.dictionaries(names, texts, max_size=5))
def test_texts_come_back_from_the_encoding(params: dict[str, str]) -> None:
    """A form decoder reads the very names and texts that were given."""
    assert dict(parse_qsl(encode(params), keep_blank_values=True)) == params
