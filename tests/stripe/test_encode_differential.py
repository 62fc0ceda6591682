"""What the official SDK puts on the wire and what we put there: the same bytes, but for the differences listed here.

The SDK runs whole, from its services down to its HTTP library, where `responses` catches the request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
import responses
import stripe
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernia_billing.errors import InvalidInput
from kernia_billing.stripe.encode import encode
from kernia_billing.stripe.wire import ORIGIN
from tests.harness.counts import count
from tests.stripe.network import KEY, OK, Wired

SDK: Any = stripe.StripeClient(KEY.reveal(), max_network_retries=0)
CALLS: Mapping[str, tuple[str, str, Callable[[Any], Any]]] = {
    "create a customer": ("POST", "/v1/customers", SDK.v1.customers.create),
    "open a checkout": ("POST", "/v1/checkout/sessions", SDK.v1.checkout.sessions.create),
    "change a subscription": ("POST", "/v1/subscriptions/sub_1", lambda p: SDK.v1.subscriptions.update("sub_1", p)),
    "report a meter event": ("POST", "/v1/billing/meter_events", SDK.v1.billing.meter_events.create),
    "list prices": ("GET", "/v1/prices", SDK.v1.prices.list),
    "search customers": ("GET", "/v1/customers/search", SDK.v1.customers.search),
    "cancel a subscription": ("DELETE", "/v1/subscriptions/sub_1", lambda p: SDK.v1.subscriptions.cancel("sub_1", p)),
}
ANSWER: dict[str, object] = {"id": "cus_1", "object": "customer", "data": [], "has_more": False}


@pytest.fixture(scope="module", autouse=True)
def _network() -> Iterator[None]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as network:
        for method, path, _ in CALLS.values():
            network.add(method, ORIGIN + path, json=ANSWER)
        Network.now = network
        yield


class Network:
    """The network of the SDK."""

    now: responses.RequestsMock


def by_sdk(call: str, params: object) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, URL, body and headers of the SDK's request."""
    CALLS[call][2](params)
    sent: Any = Network.now.calls[-1].request
    Network.now.calls.reset()
    body = sent.body or b""
    return sent.method, readable(sent.url), body.encode() if isinstance(body, str) else body, dict(sent.headers)


def readable(url: str) -> str:
    """A URL whose brackets stand for themselves: the SDK writes them so too, and its HTTP library escapes them."""
    return url.replace("%5B", "[").replace("%5D", "]")


def by_us(call: str, params: Mapping[str, Any]) -> tuple[str, str, bytes, dict[str, str]]:
    """The same of ours."""
    method, path, _ = CALLS[call]
    wired = Wired("blocking", OK)
    wired.run(wired.stripe.request(cast("Any", method), path, params, idempotency_key="op_1"))
    sent = wired.requests[0]
    return sent.method, readable(str(sent.url)), sent.content, dict(sent.headers)


# ── The differences that are meant ───────────────────────────────────────────────────────────────────────────────────


def in_lists(tree: object, matches: Callable[[object], bool], *, inside: bool = False) -> bool:
    """Whether something stands directly in a list."""
    if isinstance(tree, Mapping):
        return any(in_lists(each, matches) for each in cast("Mapping[str, object]", tree).values())
    if isinstance(tree, (list, tuple)):
        return any(in_lists(each, matches, inside=True) for each in cast("Sequence[object]", tree))
    return inside and matches(tree)


def anywhere(tree: object, matches: Callable[[object], bool]) -> bool:
    """Whether something stands anywhere in a tree."""
    if matches(tree):
        return True
    if isinstance(tree, Mapping):
        return any(anywhere(each, matches) for each in cast("Mapping[str, object]", tree).values())
    if isinstance(tree, (list, tuple)):
        return any(anywhere(each, matches) for each in cast("Sequence[object]", tree))
    return False


def vanishes(value: object) -> bool:
    """Whether nothing of a member of a list would arrive."""
    if isinstance(value, Mapping):
        return all(vanishes(each) for each in cast("Mapping[str, object]", value).values())
    if isinstance(value, (list, tuple)):
        return not value
    return value is None


def has_gap(value: object) -> bool:
    """Whether a list has a member of which nothing would arrive."""
    return isinstance(value, (list, tuple)) and any(vanishes(each) for each in cast("Sequence[object]", value))


DIFFERENCES: Mapping[str, Callable[[object], bool]] = {
    "a bool in a list is true or false, not True or False": lambda tree: in_lists(tree, lambda v: isinstance(v, bool)),
    "a datetime in a list is unix seconds": lambda tree: in_lists(tree, lambda v: isinstance(v, datetime)),
    "a Decimal has no exponent": lambda tree: anywhere(tree, lambda v: isinstance(v, Decimal) and "E" in str(v)),
}
"""What the SDK sends in a form that Stripe would not understand, and we in the form that is meant."""
REFUSALS: Mapping[str, Callable[[object], bool]] = {
    "an empty list or mapping, which the SDK drops": lambda tree: anywhere(
        tree, lambda v: isinstance(v, (list, tuple, dict)) and not v
    ),
    "None in a list, which the SDK sends as the text None": lambda tree: in_lists(tree, lambda v: v is None),
    "a member of a list of which nothing arrives, a gap": lambda tree: anywhere(tree, has_gap),
    "a line end or a NUL in a text": lambda tree: anywhere(
        tree, lambda v: isinstance(v, str) and any(bad in v for bad in "\r\n\0")
    ),
    "a number beyond 64 bits": lambda tree: anywhere(
        tree, lambda v: isinstance(v, int) and not isinstance(v, bool) and abs(v) > 2**63 - 1
    ),
    "a float": lambda tree: anywhere(tree, lambda v: isinstance(v, float)),
}
"""What the SDK sends, or drops, and we refuse, because it would arrive as something else or not at all."""


def meant(value: object) -> object:
    """A tree for the SDK in which what it misspells stands as the text that is meant."""
    if isinstance(value, Mapping):
        return {name: meant(each) for name, each in cast("Mapping[str, object]", value).items()}
    if isinstance(value, (list, tuple)):
        return [meant(each) for each in cast("Sequence[object]", value)]
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return int(value.timestamp() // 1)
    return format(value, "f") if isinstance(value, Decimal) else value


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0[]"), min_size=1, max_size=8)
# As Python wants them of keyword arguments at the top, which is how the SDK's own programs name them.
top_names = st.from_regex("[a-z][a-z_]{0,9}", fullmatch=True)
moments = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds, of which the strategy makes instants
decimals = st.decimals(-(10**9), 10**9, places=4).map(lambda value: Decimal(format(value, "f")))
tame = (
    st.sampled_from(["", " ", "é", "日本", "😀", "a b&c=d", "[x]", "%2F+", "true", "None"])
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"), max_size=10)
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | decimals
)
strange = tame | st.booleans() | moments | st.sampled_from([Decimal("1E+3"), Decimal("1E-9"), Decimal("-0.0")])
refused = strange | st.sampled_from([None, "\0x", "a\r\nb", 1.5, 2**63, -(2**64)])


def trees(leaves: st.SearchStrategy[Any], *, smallest: int) -> st.SearchStrategy[dict[str, Any]]:
    """Parameters with such leaves, in lists and mappings of at least so many members."""
    nested = st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, min_size=smallest, max_size=3)
            | st.dictionaries(names, inner, min_size=smallest, max_size=3)
        ),
        max_leaves=10,
    )
    return st.dictionaries(top_names, nested | st.none() | st.booleans(), max_size=4)


any_tree = trees(tame, smallest=1) | trees(strange, smallest=1) | trees(refused, smallest=0)


@pytest.mark.parametrize("call", CALLS)
@given(params=any_tree)
@settings(max_examples=150)
@example(params={"a": [True, {"b": [False]}]})
@example(
    params={"a": {"b": ""}, "c": None, "items": [{"price": "price_1", "quantity": 2}, {"id": "si_1", "deleted": True}]}
)
def test_the_same_bytes_but_for_the_list(call: str, params: dict[str, Any]) -> None:
    """For any tree: refused for a listed reason, or the bytes of the SDK, or its bytes for what is meant."""
    try:
        encode(params)
    except InvalidInput:
        named = [name for name, applies in REFUSALS.items() if applies(params)]
        assert named, f"refused without a listed reason: {params!r}"
        count("parameter trees refused for a listed reason")
        return
    differing = any(applies(params) for applies in DIFFERENCES.values())

    method, url, body, headers = by_us(call, params)
    theirs = by_sdk(call, meant(params) if differing else params)

    assert (method, url, body) == theirs[:3]
    assert headers["authorization"] == theirs[3]["Authorization"]
    assert headers["stripe-version"] == theirs[3]["Stripe-Version"]
    assert headers.get("content-type") == theirs[3].get("Content-Type")
    assert ("idempotency-key" in headers) == ("Idempotency-Key" in theirs[3])
    count("parameter trees sent like the SDK" if not differing else "parameter trees with a listed difference")


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("a bool in a list is true or false, not True or False", {"a": [True]}),
        ("a datetime in a list is unix seconds", {"a": [datetime(2026, 1, 1, tzinfo=UTC)]}),
        ("a Decimal has no exponent", {"a": Decimal("1E+3")}),
    ],
)
def test_every_difference_of_the_list_is_real(name: str, params: dict[str, Any]) -> None:
    """The SDK sends something else, and for what is meant the same."""
    assert DIFFERENCES[name](params)
    mine = by_us("create a customer", params)[2]

    assert by_sdk("create a customer", params)[2] != mine
    assert by_sdk("create a customer", meant(params))[2] == mine


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("an empty list or mapping, which the SDK drops", {"a": {"b": []}, "c": {}}),
        ("None in a list, which the SDK sends as the text None", {"a": [None]}),
        ("a member of a list of which nothing arrives, a gap", {"a": ["x", {"b": None}, "y"]}),
        ("a line end or a NUL in a text", {"a": "x\ny"}),
        ("a number beyond 64 bits", {"a": 2**63}),
        ("a float", {"a": 1.5}),
    ],
)
def test_every_refusal_of_the_list_is_real(name: str, params: dict[str, Any]) -> None:
    """The SDK sends the request; we name the field instead."""
    assert REFUSALS[name](params)
    by_sdk("create a customer", params)

    with pytest.raises(InvalidInput):
        encode(params)
