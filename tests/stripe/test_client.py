"""Both clients: what they refuse, what they send, whose connections they use, and what they keep to themselves."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Generator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing._drive import SuspendedError, run_blocking
from kernia_billing.domain.secret import Secret
from kernia_billing.errors import BillingError, ConfigError, GuardError, InvalidInput, Unavailable
from kernia_billing.ports.guard import unit_of_work
from kernia_billing.ports.stripe import StripePort
from kernia_billing.stripe.client import AsyncStripe, BlockingStripe
from kernia_billing.telemetry.logging import LoggingTelemetry
from tests.stripe.network import KEY, KINDS, OK, FakeTime, Kind, Wired, error, runner

PERSON = "jane@example.com"
PAGE = httpx.Response(200, json={"object": "list", "data": [{"id": "sub_1"}, {"id": "sub_2"}], "has_more": True})


def make(kind: Kind, key: Secret = KEY, **options: Any) -> BlockingStripe | AsyncStripe:
    """One of the two clients."""
    time = FakeTime()
    return (BlockingStripe if kind == "blocking" else AsyncStripe)(key, clock=time, pace=time, **options)


def test_both_are_the_port() -> None:
    """A type checker and this test agree that both fit `StripePort`."""
    ports: list[StripePort] = [make("blocking"), make("async")]

    assert all(callable(port.request) and callable(port.page) and callable(port.close) for port in ports)


# ── Guards ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_no_call_inside_a_unit_of_work(kind: Kind) -> None:
    """A call while a database transaction runs is refused before anything is sent, and works right after it."""
    wired = Wired(kind, PAGE)
    with unit_of_work():
        for call in (
            wired.stripe.request("GET", "/v1/customers"),
            wired.stripe.request("POST", "/v1/customers", idempotency_key="k"),
            wired.stripe.page("/v1/customers"),
        ):
            with pytest.raises(GuardError, match="a Stripe call inside a database transaction"):
                wired.run(call)

    assert wired.requests == []
    assert wired.get()["object"] == "list"


def test_the_guard_holds_without_asserts() -> None:
    """Under `python -O`, as in production, the guard is still there."""
    program = (
        "from tests.stripe.network import *\n"
        "from kernia_billing.errors import GuardError\n"
        "from kernia_billing.ports.guard import unit_of_work\n"
        "wired = Wired('blocking', OK)\n"
        "with unit_of_work():\n"
        "    try: wired.get()\n"
        "    except GuardError: print(len(wired.requests), 'refused')\n"
    )
    done = subprocess.run([sys.executable, "-O", "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "0 refused\n"


@pytest.mark.parametrize("kind", KINDS)
def test_a_post_needs_a_key(kind: Kind) -> None:
    """Without an idempotency key a POST is a defect of the caller; a key that no header can carry is bad input."""
    wired = Wired(kind, OK)
    with pytest.raises(GuardError, match="idempotency_key"):
        wired.run(wired.stripe.request("POST", "/v1/customers"))
    for key in ("", " ", "a b", "x" * 256, "é", "a\r\nX: 1", 5):
        with pytest.raises(InvalidInput) as caught:
            wired.run(wired.stripe.request("POST", "/v1/customers", idempotency_key=key))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - each in turn
        assert caught.value.field == "idempotency_key"

    assert wired.requests == []


BAD_PATHS = [
    "",
    "/",
    "v1/customers",
    "/v1",
    "/v1/",
    "/v1//customers",
    "//evil.example/v1/x",
    "@evil.example/v1/x",
    ".evil.example/v1/x",
    "https://evil.example/v1/x",
    "/v1/../v2/x",
    "/v1/customers/..",
    "/v1/customers/.",
    "/v1/./customers",
    "/v1/customers?x=1",
    "/v1/customers#x",
    "/v1/cus%2fx",
    "/v1/cus tomers",
    "/v1/customers\n",
    "/v1/customers\\x",
    "/v1/customers/é",
    "/v2/core",
    "/v2/core/events/",
    "/v2/core/events/evt_1/x",
    "/v2/core/event_destinations",
    "/v1/customers:80",
    "/v1/customers;x",
    "/v1/customers/",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_strange_paths_are_refused(path: str) -> None:
    """A path that could lead to another object, endpoint or host is never sent."""
    wired = Wired("blocking", OK)
    with pytest.raises(GuardError, match="a Stripe path is"):
        wired.get(path)

    assert wired.requests == []


@given(st.text(max_size=20), st.dictionaries(st.sampled_from("abc"), st.text("ab/.:@?#%", max_size=9), max_size=2))
def test_nothing_goes_to_another_host(rest: str, params: dict[str, Any]) -> None:
    """Whatever is put into path and parameters, the request goes to https://api.stripe.com and the path as given."""
    wired = Wired("blocking", OK)
    try:
        wired.get("/v1/" + rest, params)
    except GuardError:
        return
    url = wired.requests[0].url

    assert (url.scheme, url.host, url.port, url.path) == ("https", "api.stripe.com", None, "/v1/" + rest)


def test_other_methods_are_refused() -> None:
    """Stripe's API knows three methods."""
    wired = Wired("blocking", OK)
    with pytest.raises(GuardError):
        wired.run(wired.stripe.request("PUT", "/v1/customers"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - wrong on purpose


class Waits:
    """Something to wait for that needs an event loop."""

    def __await__(self) -> Generator[str, None, None]:
        yield "the loop's business"


def test_a_port_that_suspends_is_named() -> None:
    """Under `Billing` a pace that waits for an event loop is an error that says what waited."""

    class Suspending(FakeTime):
        async def sleep(self, seconds: float) -> None:
            await Waits()

    time = Suspending()
    transport = httpx.MockTransport(lambda _: httpx.Response(500))
    stripe = BlockingStripe(KEY, clock=time, pace=time, transport=transport, monotonic=time.monotonic)
    with pytest.raises(SuspendedError, match="the loop's business") as caught:
        run_blocking(stripe.request("GET", "/v1/customers"))

    assert caught.value.suspended_on == "the loop's business"
    assert "StripeCore.request" in str(caught.value)


# ── What is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_the_headers(kind: Kind) -> None:
    """Key, version, agent, form and idempotency key, and no compression, cookie or anything else of httpx's."""
    wired = Wired(kind, OK)
    wired.post(params={"email": "a@b.c"}, key="op_1")
    headers = dict(wired.requests[0].headers)

    assert headers.pop("user-agent").startswith("kernia-billing/")
    assert headers == {
        "host": "api.stripe.com",
        "authorization": "Bearer sk_test_CANARYkey",
        "stripe-version": "2026-10-28.endive",
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/x-www-form-urlencoded",
        "content-length": "13",
        "idempotency-key": "op_1",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_pages(kind: Kind) -> None:
    """A page asks for 100 objects behind the last one, whatever limit was given."""
    wired = Wired(kind, PAGE)

    first = wired.run(wired.stripe.page("/v1/subscriptions", {"customer": "cus_1", "limit": 3}))
    wired.run(wired.stripe.page("/v1/subscriptions", {"customer": "cus_1"}, after=first.data[-1]["id"]))

    assert [each["id"] for each in first.data] == ["sub_1", "sub_2"]
    assert first.has_more
    assert [each.url.query for each in wired.requests] == [
        b"customer=cus_1&limit=100",
        b"customer=cus_1&limit=100&starting_after=sub_2",
    ]


NO_PAGES: list[dict[str, Any]] = [
    {"id": "cus_1"},
    {"data": {}, "has_more": False},
    {"data": [], "has_more": True},
    {"data": [{"id": 5}], "has_more": True},
    {"data": ["x"], "has_more": False},
    {"data": [{}], "has_more": False},
    {"data": [], "has_more": "no"},
]


@pytest.mark.parametrize("body", NO_PAGES)
def test_what_is_no_page(body: dict[str, Any]) -> None:
    """A list that cannot be walked is an error and not an endless walk."""
    wired = Wired("blocking", httpx.Response(200, json=body))
    with pytest.raises(Unavailable):
        wired.run(wired.stripe.page("/v1/subscriptions"))


# ── Keys and clients at construction ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", ["sk_live_", "rk_live_", "sk_test_", "rk_test_"])
def test_keys_of_both_modes_are_taken(kind: Kind, prefix: str) -> None:
    """Secret and restricted ones."""
    assert make(kind, Secret(prefix + "x")) is not None


@pytest.mark.parametrize(
    "key", ["", " ", "sk_test_", "pk_test_CANARY", "whsec_CANARY", "sk_test_CANARY\n", "sk_test_CANARY é"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_another_key_is_refused(kind: Kind, key: str) -> None:
    """A publishable key, a signing secret, blanks and line ends are found before the first call, and not shown."""
    with pytest.raises(ConfigError, match="stripe_key") as caught:
        make(kind, Secret(key))

    assert "CANARY" not in str(caught.value)


def test_the_wrong_kind_of_client_is_refused_with_the_fix() -> None:
    """Each facade says which client it needs, and where the given one works."""
    with pytest.raises(ConfigError, match=r"stripe_client: Billing needs an httpx.Client.*works with AsyncBilling"):
        make("blocking", client=httpx.AsyncClient(transport=httpx.MockTransport(lambda _: OK)))
    with pytest.raises(
        ConfigError, match=r"stripe_client: AsyncBilling needs an httpx.AsyncClient.*works with Billing"
    ):
        make("async", client=httpx.Client(transport=httpx.MockTransport(lambda _: OK)))
    with pytest.raises(ConfigError, match=r"stripe_client: Billing needs an httpx.Client, not str"):
        make("blocking", client="https://proxy.example")


def test_verification_is_no_option() -> None:
    """Neither client takes an argument that weakens TLS, the host or redirects."""
    for kind in KINDS:
        for option in ("verify", "base_url", "follow_redirects", "version"):
            with pytest.raises(TypeError):
                make(kind, KEY, **{option: False})


# ── Given clients ────────────────────────────────────────────────────────────────────────────────────────────────────

THEIRS: dict[str, Any] = {
    "base_url": "https://evil.example",
    "headers": {"Stripe-Account": "acct_evil", "User-Agent": "theirs"},
    "params": {"evil": "1"},
    "cookies": {"session": "evil"},
    "auth": ("evil", "evil"),
    "follow_redirects": True,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_given_client_lends_its_connections_only(kind: Kind) -> None:
    """Its base URL, headers, query, cookies, auth and redirects stay its own, and it stays open."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(302, headers={"location": "https://evil.example/", "set-cookie": "a=b"})

    async def use() -> bool:
        client: Any = (httpx.Client if kind == "blocking" else httpx.AsyncClient)(
            transport=httpx.MockTransport(answer), **THEIRS
        )
        stripe = make(kind, client=client)
        with pytest.raises(Unavailable):
            await stripe.request("GET", "/v1/customers")
        await stripe.close()
        was_open = not client.is_closed
        if kind == "blocking":
            client.close()
        else:
            await client.aclose()
        with pytest.raises(GuardError, match="is closed"):
            await stripe.request("GET", "/v1/customers")
        return was_open

    assert runner(kind)(use())
    assert [str(each.url) for each in seen] == ["https://api.stripe.com/v1/customers"]
    assert seen[0].headers["authorization"] == "Bearer sk_test_CANARYkey"
    assert "evil" not in str(seen[0].headers) + str(seen[0].url)


def test_a_given_async_client_belongs_to_one_loop() -> None:
    """Used from a second event loop it is refused with the fix, before anything is sent."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={"id": "x"})))
    stripe = make("async", client=client)

    asyncio.run(stripe.request("GET", "/v1/customers"))
    with pytest.raises(GuardError, match="belongs to another event loop"):
        asyncio.run(stripe.request("GET", "/v1/customers"))


# ── Our own clients ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_loop_has_its_client_and_closes_it() -> None:
    """Every event loop gets connections of its own, that end with it even where nobody calls `close`."""
    wired = Wired("async", OK)
    stripe = wired.stripe
    assert isinstance(stripe, AsyncStripe)
    used: list[httpx.AsyncClient] = []

    async def use() -> None:
        await asyncio.gather(*(stripe.request("GET", "/v1/customers") for _ in range(5)))
        used.append(stripe._clients[asyncio.get_running_loop()][0])
        assert not used[-1].is_closed

    for _ in range(3):
        asyncio.run(use())

    assert len({id(each) for each in used}) == 3
    assert all(each.is_closed for each in used)
    assert len(stripe._clients) == 1, "the clients of loops that ended are forgotten with the next one"


def test_a_loop_that_ends_without_ceremony_is_survived() -> None:
    """A loop closed without shutting its generators down leaves nothing that disturbs the next one."""
    wired = Wired("async", OK)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(wired.stripe.request("GET", "/v1/customers"))
    loop.close()

    assert wired.get()["id"] == "cus_1"
    gc.collect()


def test_close_ends_the_connections_of_this_loop_and_may_be_repeated() -> None:
    """After `close` the next request opens new connections."""
    wired = Wired("async", OK)
    stripe = wired.stripe
    assert isinstance(stripe, AsyncStripe)

    async def use() -> None:
        await stripe.close()
        await stripe.request("GET", "/v1/customers")
        (client, _), *_ = stripe._clients.values()
        await stripe.close()
        await stripe.close()
        assert client.is_closed
        await stripe.request("GET", "/v1/customers")

    asyncio.run(use())
    assert len(wired.requests) == 2


def test_loops_in_threads_do_not_meet() -> None:
    """Eight threads with an event loop each share one `AsyncStripe` without an error."""
    wired = Wired("async", OK)
    failures: list[BaseException] = []

    async def use() -> None:
        await asyncio.gather(*(wired.stripe.request("GET", "/v1/customers") for _ in range(20)))

    def work() -> None:
        try:
            asyncio.run(use())
        except BaseException as failure:  # noqa: BLE001 - every failure is compared
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(wired.requests) == 160


def test_a_forked_process_has_its_own_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process id means another client; the parent's is neither used nor closed."""
    wired = Wired("blocking", OK)
    stripe = wired.stripe
    assert isinstance(stripe, BlockingStripe)
    wired.get()
    parents = stripe._clients[os.getpid()]

    monkeypatch.setattr("os.getpid", lambda: -1)
    wired.get()
    childs = stripe._clients[-1]
    run_blocking(stripe.close())

    assert childs is not parents
    assert childs.is_closed
    assert not parents.is_closed


def test_the_blocking_client_works_inside_a_running_loop() -> None:
    """As in a notebook: no loop is needed, none is in the way."""
    wired = Wired("blocking", error(500), OK)

    async def cell() -> Any:
        return wired.get()

    assert asyncio.run(cell())["id"] == "cus_1"


# ── What is told ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", KINDS)
def test_no_secret_and_no_personal_data_is_told(kind: Kind, caplog: pytest.LogCaptureFixture) -> None:
    """Over all failures neither logs of any library nor exceptions nor reprs hold the key, or what a query asks."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    for answer in (OK, error(401), error(402), error(404), error(409), error(500), httpx.ReadTimeout("late")):
        wired = Wired(kind, answer, telemetry=LoggingTelemetry())
        try:
            wired.get("/v1/customers", {"email": PERSON})
            wired.post("/v1/customers", {"email": PERSON})
        except BillingError as failure:
            shown += traceback.format_exception(failure)
            shown += [repr(failure), repr(vars(failure))]
        shown += [repr(wired.stripe), repr({**vars(wired.stripe), "_transport": None})]
    told = "\n".join([*shown, caplog.text, *(repr(vars(record)) for record in caplog.records)])

    assert 'stripe.request operation="GET /v1/customers" status=200 attempts=1' in caplog.text
    assert "request_id=req_good1" in caplog.text
    assert "CANARY" not in told
    assert "jane" not in told


def test_the_requests_of_the_application_stay_in_its_log(caplog: pytest.LogCaptureFixture) -> None:
    """Only ours are kept out of httpx's log."""
    caplog.set_level(logging.INFO, logger="httpx")
    Wired("blocking", OK).get()
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        client.get("https://theirs.example/")

    assert [record.getMessage() for record in caplog.records if record.name == "httpx"] == [
        'HTTP Request: GET https://theirs.example/ "HTTP/1.1 200 OK"'
    ]
