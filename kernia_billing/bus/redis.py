"""A bus over Redis streams (6.2 or later): one stream a lane, consumer groups, and a lock for a group's lane.

The server keeps a message as long as the stream has it: its last `keep` ones of a lane, whether read or not. How much
a crash of the server loses is its own setting (`appendfsync always` for nothing).
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from inspect import isawaitable
from secrets import token_hex
from typing import Any, Final

from attrs import define, field
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError, ResponseError

from ..domain.messages import LANES, Message, Waiting, lane_of
from ..errors import Unavailable
from ..ports.guard import refuse_inside_unit
from .lanes import Delivery, LaneBus, Patience, check_name

_REMEMBERED = 24 * 3600
"""Seconds for which the id of a message is known, so that it is not published twice."""
_PUBLISH: Final = """
if redis.call('SET', KEYS[2], '1', 'NX', 'EX', ARGV[1]) then
  return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'id', ARGV[3], 'topic', ARGV[4], 'key', ARGV[5],
    'body', ARGV[6])
end
return false
"""
_HOLD: Final = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
return 0
"""
_STILL: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
_LEAVE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1"
_DONE: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('XACK', KEYS[1], ARGV[2], ARGV[3])
return 1
"""


@define(eq=False)
class RedisBus(LaneBus):
    """Sends through a Redis server: `redis://host:6379/0`, `rediss://…` or `unix:///path`.

    `prefix` goes before every key; `keep` is how many messages of each lane the server keeps at least.

    Raises:
        ValueError: the URL is none.
    """

    _url: str = field(repr=False)
    asynchronous: bool = field(default=False, kw_only=True)
    prefix: str = field(default="kernia", kw_only=True)
    keep: int = field(default=100_000, kw_only=True)
    timeout: float = field(default=5.0, kw_only=True)
    patience: Patience = field(factory=Patience, kw_only=True)
    _client: Any = field(default=None, init=False)
    _home: object = field(default=None, init=False)
    _seen: dict[str, Any] = field(factory=dict[str, Any], init=False)
    _grouped: set[tuple[str, int]] = field(factory=set[tuple[str, int]], init=False)

    def __attrs_post_init__(self) -> None:
        self._client = self._open()

    async def publish(self, messages: Sequence[Message]) -> None:
        """Append messages to the streams of their lanes, in this order."""
        refuse_inside_unit("the bus")
        for message in messages:
            lane = lane_of(message)
            keys = (self._key(lane, "stream"), self._key(lane, f"id:{message.id}"))
            body = json.dumps(message.body)
            told = (_REMEMBERED, self.keep, message.id, message.topic, message.key, body)
            await self.ask("eval", _PUBLISH, 2, *keys, *told)

    async def hold(self, group: str, lane: int) -> _StreamHold | None:
        """Take a group's lane by its lock."""
        token = token_hex(16)
        names = ("stream", f"lock:{group}", f"wait:{group}", f"dead:{group}")
        stream, lock, pause, dead = (self._key(lane, name) for name in names)
        if not await self.ask("eval", _HOLD, 2, lock, pause, token, _millis(self.patience.lease)):
            return None
        held = _StreamHold(self, group, stream, lock, pause, dead, token)
        if (group, lane) not in self._grouped:
            await held.join()
            self._grouped.add((group, lane))
        return held

    async def first(self, group: str, lane: int) -> Waiting | None:
        """What was delivered and is not done with, else what was not delivered; by the server's clock."""
        stream = self._key(lane, "stream")
        if not await self.ask("exists", stream):
            return None
        start = b"(0-0"
        for each in await self.ask("xinfo_groups", stream):
            if each["name"] == group.encode():
                pending = await self.ask("xpending_range", stream, group, "-", "+", 1)
                start = pending[0]["message_id"] if pending else b"(" + each["last-delivered-id"]
        entries: list[tuple[bytes, dict[bytes, bytes]]] = await self.ask("xrange", stream, start, "+", 1)
        if not entries:
            return None
        (entry, fields), (seconds, _) = entries[0], await self.ask("time")
        return Waiting(_message(fields), max(0.0, seconds - int(entry.split(b"-")[0]) / 1000))

    async def wait(self, seconds: float) -> bool | None:
        """Wait for a new message in any lane; the first time there may be some already."""
        if not self._seen:
            for lane in range(self.lanes):
                stream = self._key(lane, "stream")
                last: list[tuple[str, object]] = await self.ask("xrevrange", stream, "+", "-", 1)
                self._seen[stream] = last[0][0] if last else "0-0"
            return True
        millis = max(1, int(min(seconds, self.timeout / 2) * 1000))
        answer = await self.ask("xread", dict(self._seen), 100, millis)
        for stream, entries in _streams(answer):
            self._seen[stream] = entries[-1][0]
        return bool(answer)

    async def dead_letters(self, group: str, limit: int = 100) -> Sequence[Message]:
        """What a group could not take, oldest first within each lane."""
        check_name(group)
        found: list[Message] = []
        for lane in range(LANES):
            entries = await self.ask("xrange", self._key(lane, f"dead:{group}"), "-", "+", limit)
            found += [_message(fields) for _, fields in entries]
        return found[:limit]

    async def healthy(self) -> bool:
        """Whether the server answers."""
        return bool(await self.ask("ping"))

    async def close(self) -> None:
        """Close the connections. The next call opens new ones."""
        if self.asynchronous:
            await self._client.aclose()
        else:
            self._client.close()

    async def ask(self, command: str, *arguments: Any, **options: Any) -> Any:
        """One command, in either way to wait.

        Raises:
            Unavailable: the server does not answer.
        """
        with _translating():
            answer: Any = getattr(self._at_home(), command)(*arguments, **options)
            return await answer if isawaitable(answer) else answer

    def _at_home(self) -> Any:
        """The client of this process, and of this event loop: connections belong to both."""
        home = (os.getpid(), asyncio.get_running_loop() if self.asynchronous else None)
        if self._home is not None and self._home != home:
            self._client = self._open()
        self._home = home
        return self._client

    def _open(self) -> Any:
        kind: Any = AsyncRedis if self.asynchronous else Redis
        return kind.from_url(self._url, socket_timeout=self.timeout, socket_connect_timeout=self.timeout)

    def _key(self, lane: int, name: str) -> str:
        # The braces keep the keys of a lane on one node of a cluster.
        return f"{{{self.prefix}:{lane}}}:{name}"


@contextmanager
def _translating() -> Generator[None]:
    try:
        yield
    except (RedisError, OSError) as failure:
        # Its text may name the host.
        raise Unavailable("The event bus does not answer") from failure


def _millis(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _streams(answer: Any) -> list[tuple[str, list[tuple[Any, Any]]]]:
    """The entries by stream of an answer, which is a list or, in the newer protocol, a mapping."""
    pairs: list[tuple[Any, Any]] = list(answer.items() if isinstance(answer, dict) else answer or ())  # pyright: ignore[reportUnknownArgumentType] - the client types its answers as anything
    return [(stream.decode(), _flat(entries)) for stream, entries in pairs]


def _flat(entries: Any) -> list[tuple[Any, Any]]:
    return [each for part in entries for each in part] if entries and isinstance(entries[0], list) else entries


def _message(fields: dict[bytes, bytes]) -> Message:
    told = {key.decode(): value.decode() for key, value in fields.items()}
    return Message(told.get("id", ""), told.get("topic", ""), told.get("key", ""), _body(told.get("body", "")))


def _body(text: str) -> dict[str, Any]:
    """What somebody else wrote may be anything; it is for the handler to refuse it."""
    try:
        body: object = json.loads(text)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType] - JSON


@define(eq=False)
class _StreamHold:
    _bus: RedisBus
    _group: str
    _stream: str
    _lock: str
    _pause: str
    _dead: str
    _token: str

    async def join(self) -> None:
        """Make the group where there is none: it begins with the oldest message that is kept."""
        try:
            await self._bus.ask("xgroup_create", self._stream, self._group, id="0", mkstream=True)
        except Unavailable as failure:
            if "BUSYGROUP" not in str(failure.__cause__):
                raise

    async def take(self) -> Delivery | None:
        lease = _millis(self._bus.patience.lease)
        if not await self._bus.ask("eval", _STILL, 1, self._lock, self._token, lease):
            return None
        try:
            return await self._left() or await self._new()
        except Unavailable as failure:
            if not isinstance(failure.__cause__, ResponseError) or "NOGROUP" not in str(failure.__cause__):
                raise
            # The server lost its data.
            await self.join()
            return await self._new()

    async def _left(self) -> Delivery | None:
        """What was delivered before and is not done with: the lock says that nobody else is at it."""
        left = await self._bus.ask("xautoclaim", self._stream, self._group, self._token, 0, "0-0", 1)
        for entry, fields in left[1]:
            if fields:
                known = await self._bus.ask("xpending_range", self._stream, self._group, entry, entry, 1)
                return Delivery(_message(fields), known[0]["times_delivered"] if known else 1, entry)
            # Trimmed away: Redis 6.2 still lists it.
            await self._bus.ask("xack", self._stream, self._group, entry)
        return None

    async def _new(self) -> Delivery | None:
        answer = await self._bus.ask("xreadgroup", self._group, self._token, {self._stream: ">"}, 1)
        for _, entries in _streams(answer):
            for entry, fields in entries:
                return Delivery(_message(fields), 1, entry)
        return None

    async def done(self, delivery: Delivery) -> bool:
        keys = (self._stream, self._lock)
        return bool(await self._bus.ask("eval", _DONE, 2, *keys, self._token, self._group, delivery.handle))

    async def postpone(self, delivery: Delivery, seconds: float) -> None:
        await self._bus.ask("set", self._pause, "1", px=_millis(seconds))

    async def bury(self, delivery: Delivery) -> None:
        message = delivery.message
        told = {"id": message.id, "topic": message.topic, "key": message.key, "body": json.dumps(message.body)}
        await self._bus.ask("xadd", self._dead, told, maxlen=self._bus.keep)

    async def leave(self) -> None:
        await self._bus.ask("eval", _LEAVE, 1, self._lock, self._token)
