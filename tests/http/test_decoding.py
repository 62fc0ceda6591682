"""JSON with limits, and schemas that name every failure."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kernia_billing.http import guarded_json
from kernia_billing.http.refusals import RequestError
from tests.http.support import Recorder, outcome, parsed, send

JSON = {"content-type": "application/json"}

LEGAL = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**19) + 1, 10**19 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8), inner, max_size=5
        )
    ),
    max_leaves=30,
)


@given(LEGAL, st.booleans())
def test_ordinary_json_means_what_it_always_means(value: object, escaped: bool) -> None:
    """Whatever a client writes within the limits comes out unchanged, escaped or not."""
    assert guarded_json.loads(json.dumps(value, ensure_ascii=escaped).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "",
        " ",
        "nul",
        "{'a':1}",
        '{"a":1,}',
        "[1,]",
        "[1 2]",
        "01",
        "+1",
        ".5",
        "1.",
        "0x10",
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e400",
        "-1e999",
        "12345678901234567890",
        "-12345678901234567890",
        "1" * 5000,
        '{"a":1,"a":1}',
        '{"a":{"b":1,"\\u0062":2}}',
        '"\\u0000"',
        '{"\\u0000":1}',
        '["\\ud800"]',
        '"\\udfff\\ud800"',
        '{"a":["\\uDBFF"]}',
        '"a\nb"',
        '"\x00"',
        "[" * 33 + "]" * 33,
        '{"a":' * 40 + "1" + "}" * 40,
        "[" * 60_000,
        "]" * 60_000,
        '[{"":' * 10_000,
        "[" + "1," * 9_999 + "1]",
        "[" + "{}," * 9_000 + "[]]",
        '"' + '\\"' * 30_000,
        '"' * 60_001,
        "\ufeff{}",
        "{}{}",
        "//x\n{}",
    ],
)
def test_what_parsers_disagree_on_is_refused(text: str) -> None:
    """Malformed, repeated, endless, infinite, too deep, too many, or not storable."""
    with pytest.raises(RequestError) as refused:
        guarded_json.loads(text.encode())

    assert (refused.value.status, refused.value.code) == (400, "BAD_REQUEST")
    assert len(refused.value.message) < 100


@pytest.mark.parametrize(
    "raw",
    [
        b'"\xff"',
        b'"\xed\xa0\x80"',
        '{"feature":"x"}'.encode("utf-16"),
        '{"feature":"x"}'.encode("utf-16-le"),
        '{"feature":"x"}'.encode("utf-32"),
        b'"\xc0\x80"',
    ],
)
def test_json_is_utf8(raw: bytes) -> None:
    """No other encoding, no overlong forms."""
    with pytest.raises(RequestError):
        guarded_json.loads(raw)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 32 + "]" * 32,
        "[" + "1," * 9_998 + "1]",
        "9999999999999999999",
        '"[[[{{{,,,\\"]]"',
        '"\\\\u0000 \\\\ud800"',
        '"\\ud83d\\ude00"',
        "1e308",
        " {} ",
    ],
)
def test_the_limits_themselves_are_allowed(text: str) -> None:
    """32 levels, 10,000 values, 19 digits; brackets in texts are no levels, and a written backslash is no escape."""
    assert guarded_json.loads(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON", 200),
        ("application/json; charset=utf-8", 200),
        ('application/json;charset="UTF-8"', 200),
        ("application/json; charset=utf-16", 415),
        ("application/json; charset=utf-8; charset=utf-16", 415),
        ("application/json, text/plain", 415),
        ("application/problem+json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/plain;charset=UTF-8", 415),
        ("text/plain; application/json", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_a_body_is_json_by_its_type(content_type: str | None, status: int) -> None:
    """The types that a form or a plain fetch can send would arrive without a preflight."""
    headers = {} if content_type is None else {"content-type": content_type}

    assert send(Recorder(), "POST", "/billing/check", b'{"feature":"projects"}', headers=headers).status == status


def test_a_compressed_body_is_refused() -> None:
    """Its size could not be bounded."""
    response = send(Recorder(), "POST", "/billing/check", {"feature": "x"}, headers={"content-encoding": "gzip"})

    assert response.status == 415


@pytest.mark.parametrize("headers", [{}, JSON, {"content-type": "text/plain;charset=UTF-8"}])
def test_no_body_is_an_empty_object(headers: dict[str, str]) -> None:
    """The client posts nothing at all where it has no members; fetch labels an empty text as plain."""
    assert send(Recorder(), "POST", "/subscription/billing-portal", b"", headers=headers).status == 200
    response = send(Recorder(), "POST", "/subscription/upgrade", b"", headers=headers)
    assert outcome(response) == (400, "VALIDATION_ERROR")
    assert parsed(response)["message"] == "[body.plan] Invalid input: required"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"[]", "array"),
        (b"null", "null"),
        (b"true", "boolean"),
        (b"1", "number"),
        (b"1.5", "number"),
        (b'"x"', "string"),
    ],
)
def test_a_body_is_an_object(raw: bytes, kind: str) -> None:
    """Any other value is a failure of the whole body."""
    response = send(Recorder(), "POST", "/subscription/billing-portal", raw, headers=JSON)

    assert response.status == 400
    assert parsed(response)["message"] == f"[body] Invalid input: expected object, received {kind}"


def test_every_failure_is_named_at_once() -> None:
    """All members, in the client's words, without their values."""
    response = send(
        Recorder(),
        "POST",
        "/subscription/upgrade",
        {"plan": 5, "annual": "yes", "seats": "5", "metadata": [], "customerType": "secret-team", "locale": "e\nn"},
    )

    assert outcome(response) == (400, "VALIDATION_ERROR")
    assert set(parsed(response)["message"].split("; ")) == {
        "[body.plan] Invalid input: expected string, received number",
        "[body.annual] Invalid input: expected boolean, received string",
        "[body.seats] Invalid input: expected integer, received string",
        "[body.metadata] Invalid input: expected object, received array",
        '[body.customerType] Invalid option: expected one of "organization"|"user"',
        "[body.locale] Invalid input: expected string",
    }


UPGRADE: list[tuple[str, list[Any]]] = [
    ("plan", [None, 1, True, [], {}, "", "x" * 101]),
    ("annual", ["true", 1, 0, "", []]),
    ("seats", [0, -1, 2.5, 1.0, "5", True, 10**9 + 1, 10**18, []]),
    ("subscriptionId", ["", 1, "sub 1", "sub_1\n", "a/b", "x" * 256]),
    ("metadata", ["x", [], {"a": 1}, {"a": None}, {"a": {}}, {"k" * 41: "v"}, {"a b": "v"}, {"a": "v" * 501}]),
    ("metadata", [{"a": "x\r\ny"}, {str(n): "v" for n in range(21)}, {"userId": "u"}, {"REFERENCEID": "x"}]),
    ("metadata", [{"kernia_intent": "x"}, {"__proto__": "x"}, {"constructor": "x"}, {"customerType2": "x"}]),
    ("locale", ["", "english language", 5, "en_GB\n"]),
    ("scheduleAtPeriodEnd", ["now", 1]),
    ("disableRedirect", ["false", 0]),
    ("successUrl", [1, {}, [], "", "x" * 2049]),
    ("cancelUrl", [True, {"href": "/"}]),
    ("returnUrl", [0, ["/"]]),
]
OTHERS: list[tuple[str, str, list[Any]]] = [
    ("/billing/check", "feature", [None, "", "a b", "x" * 101, "projects\n", 1]),
    ("/billing/check", "required", [-1, 1.0, 1.5, "1", True, 10**9 + 1]),
    ("/billing/check", "preview", ["yes", 1]),
    ("/billing/check", "entityId", ["", 1, "x" * 256]),
    ("/billing/track", "quantity", [0, -1, 1.0, 0.1, "1", True, 10**9 + 1]),
    ("/billing/track", "mode", ["reject", "RECORD", 1]),
    ("/billing/track", "properties", [[], {"a": 1.5}, {"a": None}, {"a": {}}, {"a": []}, {"": 1}, {"a b": 1}]),
    ("/billing/track", "properties", [{str(n): n for n in range(51)}, {"a": "x" * 501}, {"a": 2**53}]),
    ("/billing/track", "occurredAt", ["today", 1, "2026-03-01", "2026-03-01T00:00:00", "2026-13-01T00:00:00Z"]),
    ("/billing/track", "idempotencyKey", ["", "a b", "x" * 256, 1, "k\n", "é"]),
    ("/billing/reserve", "feature", [None, "", "a b", 1]),
    ("/billing/reserve", "quantity", [0, -1, 1.0, "1", True, 10**9 + 1]),
    ("/billing/reserve", "ttl", [0, -1, 604_801, 60.0, "60", True]),
    ("/billing/reserve", "entityId", ["", 1]),
    ("/billing/reserve", "idempotencyKey", ["", "a b", 1]),
    ("/billing/settle", "reservationId", [None, "", 1, "hold 1", "hold_1\n", "x" * 256]),
    ("/billing/settle", "quantity", [-1, 1.0, "1", True, 10**9 + 1]),
    ("/billing/release", "reservationId", [None, "", 1, "a/b"]),
    ("/billing/portal", "flow", ["cancelled", "", 1]),
    ("/billing/portal", "returnUrl", [1, {}]),
]
WRONG = [
    *(("/subscription/upgrade", member, value) for member, values in UPGRADE for value in values),
    *((path, member, value) for path, member, values in OTHERS for value in values),
]


@pytest.mark.parametrize(("path", "member", "value"), WRONG)
def test_a_wrong_member_is_named_and_changes_nothing(path: str, member: str, value: Any) -> None:
    """Nothing is coerced or rounded, and no operation is reached."""
    service = Recorder()
    needed = {
        "/subscription/upgrade": {"plan": "pro"},
        "/billing/settle": {"reservationId": "h"},
        "/billing/portal": {},
    }
    base = needed.get(path, {"feature": "projects"})
    response = send(service, "POST", path, {**base, member: value})
    body = parsed(response)

    assert (response.status, body["code"]) == (400, "VALIDATION_ERROR")
    assert body["field"].split(".")[0] == member
    assert body["message"].startswith(f"[body.{member}")
    assert service.calls == []


def test_null_is_absent_and_strangers_are_ignored() -> None:
    """Members that no type names never reach an operation, whatever they are called."""
    service = Recorder()
    strangers = {"price": "price_x", "amount": 1, "trialDays": 99, "customer": "cus_x", "__proto__": {"admin": True}}
    response = send(
        service,
        "POST",
        "/subscription/upgrade",
        {"plan": "pro", "annual": None, "seats": None, "referenceId": None, "metadata": None, **strangers},
    )

    assert response.status == 200
    (name, (_, plan, named)) = service.calls[0]
    assert (name, plan, named["annual"], named["seats"], named["metadata"]) == ("upgrade", "pro", False, None, {})
    assert not {"price", "amount", "trialDays", "customer"} & set(named)


def test_query_members_are_typed() -> None:
    """Whole numbers, booleans, and dates as the client writes them: as JSON, with quotes."""
    service = Recorder()
    dates = "from=%221970-01-01T00%3A00%3A00.000Z%22&to=2026-03-01T00:00:00%2B02:00"
    query = f"feature=projects&{dates}&limit=200&tags=x&tags=y"

    assert send(service, "GET", "/billing/usage", query=query).status == 200
    (_, (_, feature, named)) = service.calls[0]
    assert (feature, named["limit"], named["start"].year, named["end"].hour) == ("projects", 200, 1970, 0)
    assert send(service, "GET", "/stripe/prices", query="active=true&productId=prod_1&limit=1&cursor=x").status == 200
    assert service.calls[1][1] == ({"active": True, "product_id": "prod_1", "limit": 1, "after": "x"},)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=1.0",
        "limit=1_0",
        "limit=%C2%B2",
        "limit=",
        "limit=99999999999999999999",
        "limit=1&limit=2",
        "from=yesterday",
        "from=%22%22",
        "to=2026-03-01",
        "cursor=",
        "feature=a%20b",
        "feature=a&feature=b",
        "feature=a%00",
    ],
)
def test_wrong_query_members_are_named(query: str) -> None:
    """As in a body."""
    service = Recorder()
    response = send(service, "GET", "/billing/usage", query=query)

    assert outcome(response) == (400, "VALIDATION_ERROR")
    assert parsed(response)["message"].startswith("[query.")
    assert service.calls == []


@pytest.mark.parametrize("active", ["1", "0", "True", "yes", ""])
def test_a_boolean_in_a_query_is_true_or_false(active: str) -> None:
    """Nothing else is read as one."""
    assert send(Recorder(), "GET", "/stripe/products", query=f"active={active}").status == 400


def test_an_idempotency_key_may_stand_in_the_header() -> None:
    """Body and header must agree; a header that came twice is no key."""
    service = Recorder()

    def track(header: str | None, **members: Any) -> int:
        headers = {} if header is None else {"idempotency-key": header}
        return send(service, "POST", "/billing/track", {"feature": "x", **members}, headers=headers).status

    assert track("k1") == 200
    assert track(None, idempotencyKey="k1") == 200
    assert track("k1", idempotencyKey="k1") == 200
    assert [values[-1]["idempotency_key"] for _, values in service.calls] == ["k1", "k1", "k1"]
    assert track("k1", idempotencyKey="k2") == 400
    assert track("k1, k1") == 400
    assert track("") == 400


def test_what_an_operation_refuses_is_named_as_the_client_named_it() -> None:
    """Arguments have other names than members."""
    from kernia_billing.http.problems import wire_name

    names = {
        "success_url": "successUrl",
        "metadata.my_key": "metadata.my_key",
        "reference": "referenceId",
        "start": "from",
        "after": "cursor",
        "plan": "plan",
    }

    assert {name: wire_name(name) for name in names} == names


POSTS = [
    "/subscription/upgrade",
    "/subscription/billing-portal",
    "/billing/check",
    "/billing/track",
    "/billing/reserve",
    "/billing/settle",
    "/billing/release",
    "/billing/portal",
    "/stripe/catalog/sync",
]
MEMBERS = [
    "plan",
    "feature",
    "seats",
    "quantity",
    "metadata",
    "properties",
    "referenceId",
    "customerType",
    "occurredAt",
    "reservationId",
    "ttl",
]


@given(st.sampled_from(POSTS), st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@example("/billing/check", b"\xff\xfe{\x00")
@example("/billing/track", b'{"feature":"x","occurredAt":"0001-01-01T00:00:00+23:59"}')
def test_no_bytes_break_a_route(path: str, raw: bytes) -> None:
    """Random bytes get an answer that is not our failure."""
    service = Recorder()
    service.admin = True

    assert send(service, "POST", path, raw, headers=JSON).status < 500
    assert service.unexpected == []


@given(st.sampled_from(POSTS), st.dictionaries(st.sampled_from(MEMBERS) | st.text(max_size=5), LEGAL, max_size=6))
def test_no_object_breaks_a_route(path: str, body: dict[str, Any]) -> None:
    """Random members with random values get an answer, and a 200 only if they fit the schema."""
    service = Recorder()
    service.admin = True
    response = send(service, "POST", path, body)

    assert response.status in (200, 400)
    assert bool(service.calls) is (response.status == 200)


@given(
    st.sampled_from(["/subscription/list", "/billing/usage", "/stripe/prices", "/subscription/success"]),
    st.text(st.characters(max_codepoint=0x7F), max_size=80)
    | st.lists(st.tuples(st.sampled_from([*MEMBERS, "limit", "from", "callbackURL"]), st.text(max_size=8))).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
    ),
)
def test_no_query_breaks_a_route(path: str, query: str) -> None:
    """Random query strings too."""
    service = Recorder()
    response = send(service, "GET", path, query=query)

    assert response.status in ((302, 403) if path == "/subscription/success" else (200, 400))
    assert service.unexpected == []


def test_the_wire_types_are_what_msgspec_says() -> None:
    """The members of every wire type convert strictly; the texts that the answers quote are msgspec's today."""
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `float`"):
        msgspec.convert(1.0, int)
    with pytest.raises(msgspec.ValidationError, match=r"Expected `int`, got `bool`"):
        msgspec.convert(True, int)
