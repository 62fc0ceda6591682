"""The verifier agrees with the official SDK, but for being stricter in the ways listed here."""

from __future__ import annotations

import ast
import hmac
import inspect
import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import stripe
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernia_billing.domain.secret import Secret
from kernia_billing.errors import ConfigError, InvalidSignature
from kernia_billing.stripe import signature
from kernia_billing.stripe.signature import WebhookVerifier
from tests.stripe.network import NOW

SECRET = "whsec_CANARYone"
OTHER = "whsec_CANARYtwo"
BODY = json.dumps({"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {}}}).encode()
VERIFIER = WebhookVerifier([Secret(SECRET)])


@pytest.fixture(autouse=True)
def _sdk_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stripe._webhook.time", SimpleNamespace(time=lambda: float(NOW)))


def header(secret: str = SECRET, stamp: int = NOW, body: bytes = BODY) -> str:
    """A genuine header, made by the SDK."""
    sdk: Any = stripe.WebhookSignature
    made: str = sdk.generate_signature_header(body.decode(), secret, stamp)
    return made


def digest(secret: str = SECRET, stamp: int = NOW, body: bytes = BODY) -> str:
    """A genuine `v1` value."""
    return header(secret, stamp, body).partition("v1=")[2]


def ours(text: Any, body: Any = BODY, verifier: WebhookVerifier = VERIFIER, now: int = NOW * 1_000_000) -> bool:
    """Whether our verifier accepts; anything but `InvalidSignature` escapes."""
    try:
        verifier.verify(body, text, now)
    except InvalidSignature:
        return False
    return True


def theirs(text: str, body: bytes = BODY, secret: str = SECRET) -> bool:
    """Whether the SDK accepts; it lets other errors escape where we do not."""
    try:
        stripe.Webhook.construct_event(body, text, secret)
    except (stripe.SignatureVerificationError, TypeError, ValueError):
        return False
    return True


STRICTER: list[tuple[str, Callable[[list[list[str]], str], bool]]] = [
    ("a time stamp in the future", lambda parts, _: int(parts_of(parts, "t")[0]) > NOW + 300),
    ("more than one time stamp", lambda parts, _: len(parts_of(parts, "t")) != 1),
    (
        "a time stamp that `int` takes and that is no plain number",
        lambda _, text: not re.search("(^|,)t=(0|[1-9][0-9]{0,11})(,|\\Z)", text),
    ),
    ("an element that is no pair", lambda parts, _: any(len(part) < 2 for part in parts)),
    ("a genuine signature with something behind another =", lambda parts, _: not exactly_genuine(parts)),
    ("characters beyond ASCII", lambda _, text: not text.isascii()),
    ("a header beyond 4 KiB", lambda _, text: len(text) > 4096),
    ("more than 16 signatures", lambda parts, _: len(parts_of(parts, "v1")) > 16),
]


def parts_of(parts: list[list[str]], scheme: str) -> list[str]:
    """The values that the SDK sees for `scheme`."""
    return [part[1] for part in parts if part[0] == scheme]


def exactly_genuine(parts: list[list[str]]) -> bool:
    """Whether an element is a genuine signature and nothing more."""
    return ["v1", digest(stamp=int(parts_of(parts, "t")[0]))] in parts


def stricter(text: str) -> bool:
    """Whether one of the listed reasons explains that we refuse what the SDK accepts."""
    parts = [part.split("=", 2) for part in text.split(",")]
    return any(explains(parts, text) for _, explains in STRICTER)


genuine = st.sampled_from(
    [
        header(),
        header(stamp=NOW - 299),
        header(stamp=NOW - 300),
        header(stamp=NOW - 301),
        header(stamp=NOW + 300),
        header(stamp=NOW + 301),
        header(stamp=0),
        header(OTHER),
        header() + ",v0=" + digest(OTHER),
        f"t={NOW},v1={digest(OTHER)},v1={digest()}",
        f"t={NOW},v1=zz,v1={digest()}",
        f"v1={digest()},t={NOW}",
        f"t={NOW},v0={digest()}",
        ",".join([f"t={NOW}", *[f"v1={digest(OTHER)}"] * 16, f"v1={digest()}"]),
    ]
)
snippets = st.sampled_from(
    [
        ",",
        "=",
        "t",
        "v1",
        "t=",
        "v1=",
        " ",
        "\t",
        "0",
        "+",
        "-",
        "_",
        "\u0661",
        "\uff11",
        "\x00",
        "\n",
        "é",
        "\ud800",
        "A",
        f",t={NOW}",
        f"t={NOW},",
        f",v1={digest()}",
        ",v0=00",
        "=x",
        "a" * 4096,
    ]
)
edits = st.lists(
    st.tuples(st.sampled_from(["cut", "put", "swap", "double"]), st.integers(0, 200), snippets), max_size=4
)


def mutate(text: str, changes: list[tuple[str, int, str]]) -> str:
    """Apply the edits to the header."""
    for kind, place, snippet in changes:
        at = place % (len(text) + 1)
        if kind == "cut":
            text = text[:at] + text[at + 1 + len(snippet) % 3 :]
        elif kind == "put":
            text = text[:at] + snippet + text[at:]
        elif kind == "swap":
            text = text[:at] + text[at : at + 1].swapcase() + text[at + 1 :]
        else:
            text = text[:at] + "," + text[at:] if place % 2 else text + "," + text
    return text


@given(genuine, edits)
@settings(max_examples=3000)
@example(f"t= {NOW},v1={digest()}", [])
@example(f"t=0{NOW},v1={digest()}", [])
@example(f"t=1_{str(NOW)[1:]},v1={digest()}", [])
@example(f"t={NOW},v1={digest()}=", [])
@example(f"t={NOW},v1={digest()},", [])
@example(f"t={NOW},t=1,v1={digest()}", [])
@example(f"t={NOW}=,v1={digest()}", [])
def test_the_sdk_agrees_but_where_we_are_stricter(text: str, changes: list[tuple[str, int, str]]) -> None:
    """We accept nothing that the SDK refuses, and refuse only for a listed reason what it accepts."""
    text = mutate(text, changes)

    accepted = theirs(text)

    assert ours(text) == (accepted and not stricter(text))


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("a time stamp in the future", header(stamp=NOW + 3600)),
        ("more than one time stamp", f"t={NOW},t={NOW},v1={digest()}"),
        ("a time stamp that `int` takes and that is no plain number", f"t= {NOW},v1={digest()}"),
        ("an element that is no pair", f"t={NOW},v1={digest()},x"),
        ("a genuine signature with something behind another =", f"t={NOW},v1={digest()}=x"),
        ("characters beyond ASCII", f"t={NOW},v1={digest()},v0=é"),
        ("a header beyond 4 KiB", f"t={NOW},v1={digest()},v0={'0' * 4096}"),
        ("more than 16 signatures", ",".join([f"t={NOW}", *[f"v1={digest()}"] * 17])),
    ],
)
def test_each_reason_to_be_stricter_is_real(reason: str, text: str) -> None:
    """The SDK accepts the example and we do not."""
    assert reason in [name for name, _ in STRICTER]
    assert theirs(text)
    assert not ours(text)


@given(st.binary(max_size=64), st.text(max_size=40) | st.none() | st.binary(max_size=10) | st.integers())
def test_nothing_but_invalid_signature_is_raised(body: bytes, text: Any) -> None:
    """Whatever comes, of whatever type, the answer is the same refusal."""
    assert not ours(text, body)


@pytest.mark.parametrize("body", [None, "text", 5, bytearray(BODY), [], BODY.decode()])
def test_a_body_of_another_type_is_refused(body: Any) -> None:
    """Only the raw bytes can be verified."""
    assert not ours(header(), body)


def signed(stamp: str, body: bytes) -> str:
    """A header whose signature is about `stamp` as it is written."""
    return f"t={stamp},v1=" + hmac.new(SECRET.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()


def test_bytes_that_are_no_utf8_are_verified_as_they_are() -> None:
    """The signature is about bytes; the verifier does not decode them."""
    body = b"\xff\xfe\x00"

    assert ours(signed(str(NOW), body), body)
    assert not ours(signed(str(NOW), body), body + b"\n")


@pytest.mark.parametrize("stamp", [f"0{NOW}", f" {NOW}", f"+{NOW}", f"{NOW // 10}_{NOW % 10}", "0" * 13])
def test_a_time_stamp_is_written_in_one_way(stamp: str) -> None:
    """Leading zeros, signs, blanks and separators are refused even where they are signed."""
    assert ours(signed(str(NOW), BODY))
    assert not ours(signed(stamp, BODY))


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, difference: int) -> None:
    """No byte of the body can change."""
    changed = BODY[:at] + bytes([BODY[at] ^ difference]) + BODY[at + 1 :]

    assert not ours(header(), changed)


@pytest.mark.parametrize(
    ("offset", "accepted"),
    [(0, True), (300_000_000, True), (300_000_001, False), (-300_000_000, True), (-300_000_001, False)],
)
def test_the_tolerance_ends_to_the_microsecond(offset: int, accepted: bool) -> None:
    """Exactly 300 seconds off is accepted, in both directions, and one microsecond more is not."""
    assert ours(header(), now=NOW * 1_000_000 + offset) == accepted


@pytest.mark.parametrize("secrets", [[OTHER, SECRET], [SECRET, OTHER]])
def test_rotation(secrets: list[str]) -> None:
    """Both secrets count while one is rolled, whichever comes first, and a removed one counts no more."""
    verifier = WebhookVerifier(Secret(each) for each in secrets)

    assert ours(header(SECRET), verifier=verifier)
    assert ours(header(OTHER), verifier=verifier)
    assert ours(f"t={NOW},v1={digest('whsec_x')},v1={digest(OTHER)}", verifier=verifier)
    assert not ours(header(OTHER), verifier=WebhookVerifier([SECRET]))


@pytest.mark.parametrize(
    "secrets",
    [
        [],
        [""],
        [" "],
        ["whsec_"],
        ["whsec_ x"],
        [" whsec_x"],
        ["whsec_x\n"],
        ["sk_test_CANARY"],
        ["WHSEC_x"],
        ["whsec_é"],
        [None],
        [b"whsec_x"],
        [SECRET] * 6,
        [SECRET, ""],
        "whsec",
        "",
    ],
)
def test_blank_and_strange_secrets_are_refused_at_construction(secrets: Any) -> None:
    """No verifier exists without a usable secret; the error names the option and shows no secret."""
    with pytest.raises(ConfigError) as caught:
        WebhookVerifier(secrets)

    assert "stripe_webhook_secrets" in str(caught.value)
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("tolerance", [0, -1, 3601, None, True, 1.5, "300"])
def test_the_check_of_time_cannot_be_switched_off(tolerance: Any) -> None:
    """The tolerance is a whole number of seconds from 1 to 3600."""
    with pytest.raises(ConfigError, match="tolerance"):
        WebhookVerifier([SECRET], tolerance)


def test_every_refusal_looks_the_same() -> None:
    """No header tells why it was refused, and no secret shows."""
    texts = [
        "",
        "t=1",
        "é",
        header(OTHER),
        header(stamp=1),
        f"t={NOW},v1={digest().upper()}",
        f"t={NOW}, v1={digest()}",
    ]
    seen: set[tuple[str, str, int, str]] = set()
    for text in texts:
        with pytest.raises(InvalidSignature) as caught:
            VERIFIER.verify(BODY, text, NOW * 1_000_000)
        seen.add((str(caught.value), caught.value.code, caught.value.status, repr(caught.value.__cause__)))

    assert len(seen) == 1
    assert "CANARY" not in repr(VERIFIER) + repr(vars(VERIFIER))


def test_digests_are_compared_in_constant_time_without_early_exit() -> None:
    """The loop over secrets and signatures uses `compare_digest`, and has no way out and no `==` on a digest."""
    tree = ast.parse(inspect.getsource(signature))
    verify = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "verify")
    loop = next(node for node in verify.body if isinstance(node, ast.For))

    assert "hmac.compare_digest" in ast.unparse(loop)
    assert not [
        node
        for node in ast.walk(loop)
        if isinstance(node, (ast.Return, ast.Break, ast.Raise, ast.If, ast.BoolOp, ast.Continue))
    ]
    assert not [node for node in ast.walk(loop) if isinstance(node, ast.Compare)]
