"""Real processes, forked from the test: each with connections of its own, and one Stripe for all of them.

A process talks to the test over a socket. What it sends to Stripe is answered by the test's simulator, one request
after the other; its end, killed or not, is the end of the socket. Nothing of SQLite may be open at a fork: its locks
are not inherited, its belief to hold them is.
"""

from __future__ import annotations

import gc
import os
import pickle
import selectors
import signal
import socket
import struct
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NoReturn, TypeVar

import httpx
from attrs import define, field, frozen

from kernia_billing.testing import StripeSimulator

T = TypeVar("T")
_HEADER = struct.Struct("!I")
_PATIENCE = 120.0


@define(eq=False)
class StandingClock:
    """A clock that stands at `micros` until somebody sets it."""

    micros: int

    def now(self) -> int:
        """UTC microseconds."""
        return self.micros

    def monotonic(self) -> float:
        """Seconds."""
        return self.micros / 1_000_000


def _nothing(_name: str) -> None:
    pass


@define(eq=False)
class RemoteStripe:
    """The test's simulator as another process sees it: give it to `Billing` as `stripe_client`.

    `on_call` hears of every request before it is sent and after it is answered.
    """

    api_key: str
    webhook_secret: str
    clock: StandingClock
    _line: socket.socket = field(alias="line")
    on_call: Callable[[str], None] = _nothing

    @property
    def transport(self) -> httpx.BaseTransport:
        """Leads to the test."""
        return _Transport(self)

    @property
    def async_transport(self) -> httpx.AsyncBaseTransport:
        """Leads to the test."""
        return _AsyncTransport(self)

    def attach(self, receiver: object) -> None:
        """Events are delivered by the test."""

    def ensure_price(self, id: str, *, interval: Literal["month", "year"] | None, metered: bool) -> None:
        """The test has made the prices."""

    def ensure_meter(self, event_name: str) -> None:
        """The test has made the meters."""

    def answer(self, request: httpx.Request, body: bytes) -> httpx.Response:
        """One request, there and back."""
        name = f"{request.method} {request.url.path}"
        self.on_call(f"before {name}")
        headers = [(key, value) for key, value in request.headers.items()]
        _send(self._line, ("stripe", request.method, str(request.url), headers, body))
        status, answered, content = _receive(self._line)
        self.on_call(f"after {name}")
        if status == 0:
            raise httpx.ReadError(content, request=request)
        return httpx.Response(status, headers=answered, content=content, request=request)

    def ready(self) -> None:
        """Wait until every process of the group is ready."""
        _send(self._line, ("ready",))
        _receive(self._line)

    def go_on(self) -> None:
        """Tell the test that the process is not stuck: for long works that seldom ask Stripe anything."""
        _send(self._line, ("goes on",))

    def stall(self) -> None:
        """Stop until somebody lets the process go on, see `stalled`; it is later then."""
        _send(self._line, ("stalls",))
        os.kill(os.getpid(), signal.SIGSTOP)
        _send(self._line, ("what time is it",))
        self.clock.micros = _receive(self._line)


class _Transport(httpx.BaseTransport):
    def __init__(self, stripe: RemoteStripe) -> None:
        self._stripe = stripe

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._stripe.answer(request, request.read())


class _AsyncTransport(httpx.AsyncBaseTransport):
    def __init__(self, stripe: RemoteStripe) -> None:
        self._stripe = stripe

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._stripe.answer(request, await request.aread())


@frozen
class Ended(Generic[T]):
    """How a process ended: with a value, or by a signal."""

    value: T | None
    killed: bool


@define(eq=False)
class _Child:
    pid: int
    line: socket.socket
    value: Any = None
    failure: str | None = None
    is_ready: bool = False
    meanwhile: Callable[[], None] | None = None


Work = Callable[[RemoteStripe], T]


def alone(simulator: StripeSimulator, work: Work[T]) -> Ended[T]:
    """Run `work` in a process of its own. What it raises fails the test; a kill is an answer."""
    (ended,) = _run(simulator, [work])
    return ended


def result_of(simulator: StripeSimulator, work: Work[T]) -> T:
    """What `work` gives in a process of its own, which must not be killed."""
    ended = alone(simulator, work)
    assert not ended.killed
    return ended.value  # type: ignore[return-value]  # whoever ended in peace gave one


def stalled(simulator: StripeSimulator, work: Work[T], meanwhile: Callable[[], None]) -> T:
    """Run `work` in a process of its own that calls `stall()` once; `meanwhile` happens before it goes on."""
    (ended,) = _run(simulator, [work], meanwhile)
    assert not ended.killed
    return ended.value  # type: ignore[return-value]  # whoever ended in peace gave one


def together(simulator: StripeSimulator, works: Sequence[Work[T]]) -> list[T]:
    """Run every work in a process of its own, all at once; each must call `ready()`, which starts all of them."""
    endings = _run(simulator, works)
    assert not any(each.killed for each in endings)
    return [each.value for each in endings]  # type: ignore[misc]  # the same


def _run(
    simulator: StripeSimulator, works: Sequence[Work[T]], meanwhile: Callable[[], None] | None = None
) -> list[Ended[T]]:
    children = [_fork(simulator, work) for work in works]
    try:
        for child in children:
            child.meanwhile = meanwhile
        _serve(simulator, children)
    except BaseException:
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
        raise
    finally:
        statuses = [_wait_for(child) for child in children]
    return [_ended(child, status) for child, status in zip(children, statuses, strict=True)]


def _fork(simulator: StripeSimulator, work: Work[Any]) -> _Child:
    ours, theirs = socket.socketpair()
    with warnings.catch_warnings():
        # Python warns where there are threads. Ours hold no lock that the child will want.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        ours.close()
        _live(simulator, work, theirs)
    theirs.close()
    ours.settimeout(_PATIENCE)
    return _Child(pid, ours)


def _live(simulator: StripeSimulator, work: Work[Any], line: socket.socket) -> NoReturn:
    try:
        # What the test had open must not be closed here: the other end would take it for the test's wish.
        gc.freeze()
        clock = StandingClock(simulator.clock.now())
        stripe = RemoteStripe(simulator.api_key, simulator.webhook_secret, clock, line)
        _send(line, ("value", work(stripe)))
    except BaseException:  # noqa: BLE001 - the test shall see whatever it is
        _send(line, ("failure", traceback.format_exc()))
    finally:
        os._exit(0)


def _wait_for(child: _Child) -> int:
    child.line.close()
    return os.waitpid(child.pid, 0)[1]


def _ended(child: _Child, status: int) -> Ended[Any]:
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert child.failure is None, child.failure
    assert killed or status == 0, f"the process ended with status {status}"
    return Ended(child.value, killed)


def _serve(simulator: StripeSimulator, children: Sequence[_Child]) -> None:
    """Answer the processes until all of them are gone."""
    with selectors.DefaultSelector() as selector:
        for child in children:
            selector.register(child.line, selectors.EVENT_READ, child)
        while selector.get_map():
            ready = selector.select(_PATIENCE)
            assert ready, "the processes are stuck"
            for key, _ in ready:
                child = key.data
                if not _hear(simulator, child):
                    selector.unregister(child.line)
            if all(each.is_ready for each in children):
                for each in children:
                    each.is_ready = False
                    _send(each.line, "go")


def _hear(simulator: StripeSimulator, child: _Child) -> bool:
    """One message of a process; False at its end."""
    try:
        told = _receive(child.line)
    except EOFError:
        return False
    match told:
        case ("ready",):
            child.is_ready = True
        case ("goes on",):
            pass
        case ("stalls",):
            _let_it_wait(child)
        case ("what time is it",):
            _send(child.line, simulator.clock.now())
        case ("value", value):
            child.value = value
        case ("failure", text):
            child.failure = text
        case ("stripe", method, url, headers, body):
            answer = _ask(simulator, httpx.Request(method, url, headers=headers, content=body))
            try:
                _send(child.line, answer)
            except OSError:
                return False
        case _:
            raise AssertionError(told)
    return True


def _let_it_wait(child: _Child) -> None:
    """Wait until a process stands still, do what is to be done meanwhile, and wake it."""
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status
    assert child.meanwhile is not None, "nobody expected it to stall"
    child.meanwhile()
    os.kill(child.pid, signal.SIGCONT)


def _ask(simulator: StripeSimulator, request: httpx.Request) -> tuple[int, Any, Any]:
    try:
        response = simulator.transport.handle_request(request)
    except httpx.TransportError as lost:
        return 0, [], str(lost)
    return response.status_code, response.headers.multi_items(), response.read()


def _send(line: socket.socket, message: object) -> None:
    data = pickle.dumps(message)
    line.sendall(_HEADER.pack(len(data)) + data)


def _receive(line: socket.socket) -> Any:
    (size,) = _HEADER.unpack(_exactly(line, _HEADER.size))
    return pickle.loads(_exactly(line, size))


def _exactly(line: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            more = line.recv(size - len(data))
        except ConnectionError:
            more = b""
        if not more:
            raise EOFError
        data += more
    return data
