"""A bus over NATS JetStream: one stream, a durable consumer for each lane of a group.

A consumer has one message under way at a time, in whatever process: that is what keeps the order.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

import nats
from attrs import define, field
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, DiscardPolicy, StreamConfig
from nats.js.errors import APIError, BadRequestError, NotFoundError

from ..domain.messages import Message, Waiting, lane_of
from ..errors import Unavailable
from ..ports.guard import refuse_inside_unit
from .lanes import Delivery, LaneBus, Patience, check_name

T = TypeVar("T")
_REMEMBERED = 2 * 3600.0
"""Seconds for which the server knows the id of a message, so that it is not published twice."""
_GONE = 503


@define(eq=False)
class NatsBus(LaneBus):
    """Sends through a NATS server with JetStream: `nats://host:4222`, or several with commas between.

    `prefix` begins every subject, and in upper case names the stream; `keep` is for how many seconds it keeps messages.

    Raises:
        ValueError: the URL is none.
    """

    _url: str = field(repr=False)
    asynchronous: bool = field(default=False, kw_only=True)
    prefix: str = field(default="kernia", kw_only=True)
    keep: float = field(default=30 * 86_400.0, kw_only=True)
    timeout: float = field(default=5.0, kw_only=True)
    patience: Patience = field(factory=Patience, kw_only=True)
    _client: Any = field(default=None, init=False)
    _home: object = field(default=None, init=False)
    _opening: asyncio.Lock = field(factory=asyncio.Lock, init=False)
    _consumers: dict[tuple[str, int], Any] = field(factory=dict[tuple[str, int], Any], init=False)
    _thread: _LoopThread | None = field(default=None, init=False)
    _guard: threading.Lock = field(factory=threading.Lock, init=False)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish messages under `prefix.events.LANE.TOPIC`, in this order."""
        refuse_inside_unit("the bus")
        await self.run(self._publish(messages))

    async def _publish(self, messages: Sequence[Message]) -> None:
        stream = await self.stream()
        for message in messages:
            subject = f"{self.prefix}.events.{lane_of(message)}.{message.topic}"
            headers = {"Nats-Msg-Id": message.id, "Kernia-Key": message.key}
            await stream.publish(subject, _json(message), timeout=self.timeout, headers=headers)

    async def hold(self, group: str, lane: int) -> _ConsumerHold | None:
        """A lane in which something waits; what another consumer has of it the server does not give."""
        return await self.run(self._hold(group, lane))

    async def _hold(self, group: str, lane: int) -> _ConsumerHold | None:
        held = _ConsumerHold(self, group, lane, await self._consumer(group, lane))
        return held if await held.waits() else None

    async def first(self, group: str, lane: int) -> Waiting | None:
        """What follows in a lane on what the group's consumer is done with."""
        return await self.run(self._first(group, lane))

    async def _first(self, group: str, lane: int) -> Waiting | None:
        stream, name, done = await self.stream(), self._name("events"), 0
        with suppress(NotFoundError):
            info = await stream.consumer_info(name, f"{group}-{lane}")
            done = info.ack_floor.stream_seq
        with suppress(NotFoundError):
            subject = f"{self.prefix}.events.{lane}.>"
            raw = await stream.get_msg(name, seq=done + 1, subject=subject, next=True)
            message = _message(str(raw.subject), raw.headers or {}, raw.data or b"")
            return Waiting(message, max(0.0, time.time() - raw.time.timestamp()))
        return None

    async def wait(self, seconds: float) -> bool | None:
        """Nothing: consumers look now and then."""
        return None

    async def dead_letters(self, group: str, limit: int = 100) -> Sequence[Message]:
        """What a group could not take, oldest first."""
        check_name(group)
        return await self.run(self._dead_letters(group, limit))

    async def _dead_letters(self, group: str, limit: int) -> list[Message]:
        stream = await self.stream()
        subject, found, seq = f"{self.prefix}.dead.{group}.>", list[Message](), 1
        with suppress(NotFoundError):
            while len(found) < limit:
                raw = await stream.get_msg(self._name("dead"), seq=seq, subject=subject, next=True)
                found.append(_message(str(raw.subject), raw.headers or {}, raw.data or b""))
                seq = int(raw.seq or 0) + 1
        return found

    async def healthy(self) -> bool:
        """Whether the server answers, and JetStream is on."""
        await self.run(self._account())
        return True

    async def _account(self) -> None:
        await (await self.stream()).account_info()

    async def close(self) -> None:
        """Close the connection. The next call opens a new one."""
        if self._client is not None:
            with suppress(Unavailable):
                await self.run(self._client.close())
            self._client = None
        if self._thread is not None:
            self._thread.stop()
            self._thread = None

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await it here, or block this thread while another one's event loop does.

        Raises:
            Unavailable: the server does not answer.
        """
        with _translating():
            if self.asynchronous:
                return await work
            with self._guard:
                if self._thread is None or self._thread.pid != os.getpid():
                    self._thread = _LoopThread()
            return self._thread.run(work)

    async def stream(self) -> Any:
        """JetStream, once its streams are there."""
        home = (os.getpid(), asyncio.get_running_loop())
        if self._home != home:
            self._client, self._home = None, home
            # One that waits on another loop would be of no use here.
            self._opening = asyncio.Lock()
            self._consumers.clear()
        async with self._opening:
            if self._client is None or self._client.is_closed:
                self._consumers.clear()
                connect: Any = cast("Any", nats).connect
                self._client = await connect(
                    servers=self._url.split(","),
                    connect_timeout=max(1, int(self.timeout)),
                    max_reconnect_attempts=-1,
                    allow_reconnect=True,
                    reconnect_time_wait=0.2,
                    error_cb=_quiet,
                )
                await self._make_streams(self._client.jetstream(timeout=self.timeout))
            return self._client.jetstream(timeout=self.timeout)

    async def _make_streams(self, stream: Any) -> None:
        for kind in ("events", "dead"):
            config = StreamConfig(
                name=self._name(kind),
                subjects=[f"{self.prefix}.{kind}.>"],
                max_age=self.keep,
                duplicate_window=min(_REMEMBERED, self.keep),
                discard=DiscardPolicy.NEW,
                allow_direct=True,
            )
            # One that is there already may have been set up otherwise by whoever runs the server.
            with suppress(BadRequestError):
                await stream.add_stream(config)

    async def _consumer(self, group: str, lane: int) -> Any:
        stream = await self.stream()
        if (group, lane) not in self._consumers:
            config = ConsumerConfig(
                durable_name=f"{group}-{lane}",
                ack_policy=AckPolicy.EXPLICIT,
                deliver_policy=DeliverPolicy.ALL,
                ack_wait=self.patience.lease,
                max_ack_pending=1,
                max_deliver=-1,
            )
            self._consumers[group, lane] = await stream.pull_subscribe(
                f"{self.prefix}.events.{lane}.>", durable=f"{group}-{lane}", stream=self._name("events"), config=config
            )
        return self._consumers[group, lane]

    def _name(self, kind: str) -> str:
        return f"{self.prefix}_{kind}".upper()


@define(eq=False)
class _ConsumerHold:
    _bus: NatsBus
    _group: str
    _lane: int
    _consumer: Any

    async def take(self) -> Delivery | None:
        return await self._bus.run(self._take())

    async def waits(self) -> bool:
        """Whether something is left in the lane; what another consumer is at counts, because he may be dead."""
        info = await self._consumer.consumer_info()
        return bool(info.num_pending or info.num_ack_pending)

    async def _take(self) -> Delivery | None:
        if not await self.waits():
            return None
        try:
            (raw,) = await self._consumer.fetch(1, timeout=0.2)
        except TimeoutError:
            return None
        return Delivery(_message(raw.subject, raw.headers or {}, raw.data), raw.metadata.num_delivered, raw)

    async def done(self, delivery: Delivery) -> bool:
        raw: Any = delivery.handle
        if not raw.is_acked:
            await self._bus.run(raw.ack_sync(timeout=self._bus.timeout))
        return True

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        raw: Any = delivery.handle
        await self._bus.run(raw.nak(delay=seconds))

    async def bury(self, delivery: Delivery) -> None:
        await self._bus.run(self._bury(delivery))

    async def _bury(self, delivery: Delivery) -> None:
        bus, message = self._bus, delivery.message
        stream = await bus.stream()
        subject = f"{bus.prefix}.dead.{self._group}.{message.topic}"
        headers = {"Nats-Msg-Id": f"{self._group} {message.id}", "Kernia-Id": message.id, "Kernia-Key": message.key}
        await stream.publish(subject, _json(message), timeout=bus.timeout, headers=headers)

    async def leave(self) -> None:
        pass


class _LoopThread:
    """An event loop on a thread of its own, for callers that have none."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kernia-billing-bus", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def stop(self) -> None:
        if self.pid == os.getpid():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()


@contextmanager
def _translating() -> Generator[None]:
    try:
        yield
    except (NatsError, APIError, OSError, TimeoutError) as failure:
        raise Unavailable("The event bus does not answer") from failure


async def _quiet(failure: Exception) -> None:
    """Whoever asks hears of it."""


def _json(message: Message) -> bytes:
    return json.dumps(message.body).encode()


def _message(subject: str, headers: Any, data: bytes) -> Message:
    topic = subject.split(".", 3)[3]
    name = headers.get("Kernia-Id") or headers.get("Nats-Msg-Id", "")
    try:
        body: object = json.loads(data)
    except ValueError:
        body = {}
    return Message(name, topic, headers.get("Kernia-Key", ""), body if isinstance(body, dict) else {})  # pyright: ignore[reportUnknownArgumentType] - JSON
