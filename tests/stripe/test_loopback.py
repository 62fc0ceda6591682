"""Both clients over real TCP, against a server that refuses, hangs, resets, drips, floods and sends elsewhere."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
from typing import Any

import httpx
import pytest
from blockbuster import blockbuster_ctx

from kernia_billing.errors import Unavailable
from kernia_billing.stripe.client import AsyncStripe, BlockingStripe
from kernia_billing.stripe.retry import RetryPolicy
from kernia_billing.stripe.wire import MAX_REPLY_BYTES
from tests.stripe.network import (
    KEY,
    KINDS,
    FakeTime,
    Kind,
    Loopback,
    Script,
    free_port,
    http,
    over_tcp,
    reset,
    runner,
    say,
)

GOOD = say(http(b'{"id": "cus_1"}'))
SHORT = RetryPolicy(budget=0.2)


def post(kind: Kind, server: Loopback | int, **options: Any) -> Any:
    """Create a customer and close the connections."""
    stripe = over_tcp(kind, server if isinstance(server, int) else server.port, **options)

    async def use() -> Any:
        try:
            return await stripe.request("POST", "/v1/customers", {"email": "a@b.c"}, idempotency_key="op_1")
        finally:
            await stripe.close()

    return runner(kind)(use())


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_day(kind: Kind) -> None:
    """The bytes on the wire are one well-formed request."""
    with Loopback(GOOD) as server:
        assert post(kind, server) == {"id": "cus_1"}
        head, _, body = server.requests[0].partition(b"\r\n\r\n")

    assert head.split(b"\r\n")[0] == b"POST /v1/customers HTTP/1.1"
    assert b"Idempotency-Key: op_1" in head
    assert body == b"email=a%40b.c"


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_listens(kind: Kind) -> None:
    """A refused connection is retried and certain to have done nothing."""
    with pytest.raises(Unavailable) as caught:
        post(kind, free_port())

    assert not caught.value.outcome_unknown


@pytest.mark.parametrize("kind", KINDS)
def test_silence(kind: Kind) -> None:
    """An answer that does not come ends with the budget, in doubt."""
    with Loopback() as server:
        server._scripts = (server.hang,)
        with pytest.raises(Unavailable) as caught:
            post(kind, server, policy=SHORT)

        assert len(server.requests) == 1
    assert caught.value.outcome_unknown


BROKEN: list[Script] = [
    reset,
    say(b""),
    say(b"HTTP/1.1 200 OK\r\nContent-Le"),
    say(http(b'{"id": "cus', length=100)),
    say(http(b'{"id": "cus')),
    say(http(b"<html>", status="502 Bad Gateway")),
    say(b"garbage\r\n\r\n"),
    say(http(b"{}", status="503 Busy", head="Retry-After: 2\r\n")),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_connection_is_made_good(kind: Kind, broken: Script) -> None:
    """After a reset or half an answer the same bytes go out again under the same key."""
    with Loopback(broken, broken, GOOD) as server:
        assert post(kind, server) == {"id": "cus_1"}

        assert len(server.requests) == 3
        assert len(set(server.requests)) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_connection_that_stays_broken_leaves_doubt(kind: Kind, broken: Script) -> None:
    """Three attempts, then an error that says that the request may have been carried out."""
    with Loopback(broken) as server:
        with pytest.raises(Unavailable) as caught:
            post(kind, server)

        assert len(server.requests) == 3
    assert caught.value.outcome_unknown


DRIPS = [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    (b"HTTP/1.1 500 No\r\nContent-Length: 99999999\r\n\r\n", b"x"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("head", "drop"), DRIPS)
def test_a_slow_drip_ends_with_the_budget(kind: Kind, head: bytes, drop: bytes) -> None:
    """A body that trickles for ever, each byte in time, does not hold the caller longer than the budget."""
    with Loopback() as server:
        server._scripts = (server.pour(head, drop),)
        with pytest.raises(Unavailable) as caught:
            post(kind, server, policy=SHORT)

        assert server.sent < MAX_REPLY_BYTES
    assert caught.value.outcome_unknown


@pytest.mark.parametrize("kind", KINDS)
def test_a_flood_is_cut_at_the_cap(kind: Kind) -> None:
    """Of an answer without end 8 MiB are read, once."""
    with Loopback() as server:
        server._scripts = (server.pour(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n", b" " * 65536),)
        with pytest.raises(Unavailable) as caught:
            post(kind, server)

        assert len(server.requests) == 1
        assert server.sent < 3 * MAX_REPLY_BYTES
    assert caught.value.outcome_unknown


@pytest.mark.parametrize("kind", KINDS)
def test_a_compressed_answer_is_not_unfolded(kind: Kind) -> None:
    """Compression was not asked for; a bomb is not even read."""
    with Loopback(say(http(b"\x1f\x8b" * 100, head="Content-Encoding: gzip\r\n"))) as server:
        with pytest.raises(Unavailable):
            post(kind, server)

        assert len(server.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Same", "308 Same"])
def test_a_redirect_leads_nowhere(kind: Kind, status: str) -> None:
    """The other port gets no connection and no byte, and the request is not repeated."""
    with Loopback(GOOD) as other:
        location = f"Location: http://127.0.0.1:{other.port}/v1/customers\r\n"
        with Loopback(say(http(b"{}", status=status, head=location))) as server:
            with pytest.raises(Unavailable):
                post(kind, server)

            assert len(server.requests) == 1
        assert other.requests == []


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_client_asks_for_stripe_by_name(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a proxy of the environment a tunnel to api.stripe.com:443 is asked for, and the key does not leave."""
    with Loopback(say(http(b"", status="403 No"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        time = FakeTime()
        make = BlockingStripe if kind == "blocking" else AsyncStripe
        stripe = make(KEY, clock=time, pace=time)

        async def use() -> None:
            with pytest.raises(Unavailable) as caught:
                await stripe.request("POST", "/v1/customers", idempotency_key="k")
            assert not caught.value.outcome_unknown
            await stripe.close()

        runner(kind)(use())
        sent = b"".join(proxy.requests)

    assert proxy.requests[0].startswith(b"CONNECT api.stripe.com:443 HTTP/1.1\r\n")
    assert len(proxy.requests) == 3
    assert b"CANARY" not in sent


def test_our_own_async_client_verifies_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """The TLS settings made aside of the loop check the certificate and the name."""
    with Loopback(say(http(b"", status="403 No"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        time = FakeTime()
        stripe = AsyncStripe(KEY, clock=time, pace=time, policy=RetryPolicy(retries=0))
        with pytest.raises(Unavailable):
            asyncio.run(stripe.request("GET", "/v1/customers"))

    assert stripe._tls is not None
    assert stripe._tls.verify_mode == ssl.CERT_REQUIRED
    assert stripe._tls.check_hostname


def test_the_loop_is_never_blocked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither creating the client, TLS settings included, nor a request blocks the event loop."""
    with Loopback(reset, GOOD) as server, Loopback(say(http(b"", status="403 No"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with blockbuster_ctx():
            assert post("async", server) == {"id": "cus_1"}
            time = FakeTime()
            with pytest.raises(Unavailable):
                asyncio.run(AsyncStripe(KEY, clock=time, pace=time).request("GET", "/v1/customers"))


def test_tls_settings_are_read_aside_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsing the certificate bundle is CPU work that no detector of blocking calls sees: it has a thread, once."""
    threads: list[int] = []
    load = httpx.create_ssl_context

    def record() -> ssl.SSLContext:
        threads.append(threading.get_ident())
        return load()

    monkeypatch.setattr("httpx.create_ssl_context", record)
    with Loopback(say(http(b"", status="403 No"))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        time = FakeTime()
        stripe = AsyncStripe(KEY, clock=time, pace=time)
        for _ in range(2):
            with pytest.raises(Unavailable):
                asyncio.run(stripe.request("GET", "/v1/customers"))

    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_cancelling_frees_the_connection() -> None:
    """A cancelled request ends at once and leaves the client usable."""
    with Loopback() as server:
        server._scripts = (server.hang, GOOD)
        stripe = over_tcp("async", server.port)

        async def use() -> Any:
            task = asyncio.ensure_future(stripe.request("GET", "/v1/customers"))
            await asyncio.to_thread(server.asked.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return await stripe.request("GET", "/v1/customers/cus_1")

        assert asyncio.run(use()) == {"id": "cus_1"}


@pytest.mark.parametrize("kind", KINDS)
def test_logs_of_the_network_hold_no_key(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    """With every library's log at DEBUG the real request leaves neither key nor parameters there."""
    caplog.set_level(logging.DEBUG)
    with Loopback(GOOD) as server:
        post(kind, server)

    assert "send_request_headers" in caplog.text
    assert "CANARY" not in caplog.text
    assert "a%40b.c" not in caplog.text


def test_many_threads_share_one_blocking_client() -> None:
    """Threads get their own answers."""
    from concurrent.futures import ThreadPoolExecutor

    with Loopback(GOOD) as server:
        stripe = over_tcp("blocking", server.port)
        run = runner("blocking")
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(run, stripe.request("GET", "/v1/customers")) for _ in range(40)]
            answers = [each.result() for each in asked]
        run(stripe.close())

    assert answers == [{"id": "cus_1"}] * 40
