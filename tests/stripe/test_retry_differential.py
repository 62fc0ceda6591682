"""Whether a request is sent again, and after how long: as the official SDK decides, but for the differences listed."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from stripe import APIConnectionError, HTTPClient, RequestsClient

from kernia_billing._drive import run_blocking
from kernia_billing.errors import Unavailable
from kernia_billing.stripe.client import BlockingStripe
from kernia_billing.stripe.retry import DEFAULT_POLICY, RetryPolicy, may_retry, retry_after
from kernia_billing.stripe.wire import Reply
from tests.harness.counts import count
from tests.stripe.network import KEY, NOW, FakeTime, Wired

BUSY_CODES = ("rate_limit", "lock_timeout", "idempotency_key_in_use")
RETRIES = 8


def said(reply: Reply) -> str | None:
    """The advice of Stripe, where it is one."""
    advice = reply.headers.get("stripe-should-retry")
    return advice if advice in ("true", "false") else None


INTENDED: Mapping[str, Callable[[Reply], bool]] = {
    "429 is waited for, unless Stripe says no": lambda reply: reply.status == 429 and said(reply) is None,
    "a code that says busy counts as 429 does": lambda reply: (
        reply.status < 500 and reply.error("code") in BUSY_CODES and said(reply) is None
    ),
    "a success whose object did not arrive is asked for again": lambda reply: reply.torn,
}
"""Why we send again what the SDK does not. There is nothing that it sends again and we do not."""

codes = st.none() | st.sampled_from([*BUSY_CODES, "resource_missing", "card_declined", "parameter_unknown"])
waits = st.none() | st.integers(-5, 90_000).map(str) | st.sampled_from(["", "1.5", "soon", "\uff11", "1e3", " 4 "])


@st.composite
def replies(draw: st.DrawFn) -> Reply:
    """Any answer of Stripe that is no success with an object."""
    status = draw(st.integers(400, 599) | st.sampled_from([200, 301, 302, 400, 402, 404, 409, 429, 500, 502, 503]))
    headers: dict[str, str] = {}
    should = draw(st.none() | st.sampled_from(["true", "false", "TRUE", "no", ""]))
    wait = draw(waits)
    if should is not None:
        headers["stripe-should-retry"] = should
    if wait is not None:
        headers["retry-after"] = wait
    code = draw(codes)
    body = None if status == 200 or draw(st.booleans()) else {"error": {} if code is None else {"code": code}}
    return Reply(status, httpx.Headers([(name.encode(), value.encode()) for name, value in headers.items()]), body)


def by_sdk(reply: Reply, attempt: int) -> bool:
    """Whether the SDK sends again after so many attempts."""
    text = "" if reply.json is None else json.dumps(reply.json)
    decided: bool = HTTPClient()._should_retry((text, reply.status, reply.headers), None, attempt - 1, RETRIES)
    return decided


@given(replies(), st.integers(1, RETRIES + 2), st.floats(0, 1, exclude_max=True))
@settings(max_examples=1500)
def test_what_is_sent_again_and_when(reply: Reply, attempt: int, jitter: float) -> None:
    """The decision is the SDK's, or one of the list; the delay is within the SDK's bounds, or what Stripe asked for."""
    delay = RetryPolicy(retries=RETRIES).delay(reply, attempt, jitter=jitter, now=NOW * 1_000_000)
    expected = by_sdk(reply, attempt)
    named = [name for name, applies in INTENDED.items() if applies(reply)] if attempt <= RETRIES else []

    assert (delay is not None) == (expected or bool(named))
    if delay is not None:
        grown = min(0.5 * 2 ** (attempt - 1), 5.0)
        asked = min(retry_after(reply, NOW * 1_000_000) or 0, 8)
        assert max(0.5, grown / 2, asked) <= delay <= max(0.5, grown, asked)
    count("retry decisions compared with the SDK")


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("429 is waited for, unless Stripe says no", Reply(429, {}, {})),
        (
            "a code that says busy counts as 429 does",
            Reply(400, {}, {"error": {"code": "rate_limit"}}),
        ),
        ("a success whose object did not arrive is asked for again", Reply(200, {}, None)),
    ],
)
def test_every_difference_is_real(name: str, reply: Reply) -> None:
    """We send again, the SDK does not, and the reason is in the list."""
    assert INTENDED[name](reply)
    assert (may_retry(reply), by_sdk(reply, 1)) == (True, False)


FAILURES: Mapping[str, tuple[Exception, httpx.RequestError]] = {
    "refused": (requests.exceptions.ConnectionError(), httpx.ConnectError("refused")),
    "too slow to connect": (requests.exceptions.ConnectTimeout(), httpx.ConnectTimeout("late")),
    "too slow to answer": (requests.exceptions.ReadTimeout(), httpx.ReadTimeout("late")),
    "reset": (requests.exceptions.ConnectionError(), httpx.ReadError("reset")),
    "a proxy that refuses": (requests.exceptions.ProxyError(), httpx.ProxyError("no")),
}
NOT_BY_THE_SDK: Mapping[str, tuple[Exception, httpx.RequestError]] = {
    "an answer that breaks off": (requests.exceptions.ChunkedEncodingError(), httpx.RemoteProtocolError("cut")),
    "a TLS handshake that breaks off": (requests.exceptions.SSLError(), httpx.ConnectError("EOF in handshake")),
}
"""Requests that broke off are sent again by us: the key makes it safe."""


def by_sdk_after(failure: Exception) -> bool:
    """Whether the SDK sends again after its HTTP library raised this."""
    client: Any = RequestsClient()
    with pytest.raises(APIConnectionError) as caught:
        client._handle_request_error(failure)
    decided: bool = client._should_retry(None, caught.value, 0, 2)
    return decided


@pytest.mark.parametrize("name", [*FAILURES, *NOT_BY_THE_SDK])
def test_failures_of_the_network(name: str) -> None:
    """Where no answer comes both try again; we also where it broke off half-way."""
    theirs, mine = {**FAILURES, **NOT_BY_THE_SDK}[name]
    wired = Wired("blocking", mine)
    with pytest.raises(Unavailable):
        wired.get()

    assert len(wired.requests) == 1 + DEFAULT_POLICY.retries
    assert by_sdk_after(theirs) == (name in FAILURES)


# ── An impostor ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _impostor(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for Stripe's name that nobody signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api.stripe.com")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.stripe.com")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


class _Rerouted(httpx.BaseTransport):
    """Real TLS for Stripe's name, to the loopback."""

    def __init__(self, port: int) -> None:
        self._inner = httpx.HTTPTransport()
        self._port = port
        self.tried = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.tried += 1
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host="127.0.0.1", port=self._port)
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


def test_who_cannot_prove_to_be_stripe_gets_nothing_and_is_not_asked_again(tmp_path: Path) -> None:
    """A certificate that nobody signed ends the request at once, as with the SDK, and no byte of the key goes out."""
    context, heard = _impostor(tmp_path), list[bytes]()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                heard.append(secured.recv(65536))
        except OSError:
            pass
        finally:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport = _Rerouted(listener.getsockname()[1])
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        pace = FakeTime()
        stripe = BlockingStripe(KEY, clock=pace, pace=pace, transport=transport)
        with pytest.raises(Unavailable) as caught:
            run_blocking(stripe.request("POST", "/v1/customers", idempotency_key="op_1"))
        run_blocking(stripe.close())
        thread.join()

    assert (transport.tried, pace.slept, caught.value.outcome_unknown) == (1, [], False)
    assert b"".join(heard) == b""
    assert not by_sdk_after(requests.exceptions.SSLError())
