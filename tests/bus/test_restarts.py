"""A broker that dies: whoever asks is told, nobody waits for ever, and what was acknowledged is there afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import frozen

from kernia_billing._drive import run_blocking
from kernia_billing.bus.lanes import Patience
from kernia_billing.domain.messages import Message
from kernia_billing.errors import Unavailable
from kernia_billing.ports.bus import Bus
from kernia_billing.testing.conformance.bus import DrivenBus, message
from tests.bus.brokers import Broker
from tests.bus.conftest import Loop
from tests.servers import ServerMissing, new_folder
from tests.strictness import missing

_HASTE = Patience(lease=0.5, retry=0.05)


@frozen
class Away:
    """A broker, and one that talks to it."""

    broker: Broker
    bus: DrivenBus


def _make(kind: str, url: str, *, asynchronous: bool) -> Bus:
    if kind == "redis":
        from kernia_billing.bus.redis import RedisBus

        return RedisBus(url, patience=_HASTE, timeout=1.0, asynchronous=asynchronous)
    from kernia_billing.bus.nats import NatsBus

    return NatsBus(url, patience=_HASTE, timeout=1.0, asynchronous=asynchronous)


@pytest.fixture(params=["redis", "nats"])
def away(request: pytest.FixtureRequest, asynchronous: bool) -> Iterator[Away]:
    """A broker of the test's own."""
    home = new_folder(in_memory=True)
    home.chmod(0o777)
    try:
        broker = Broker(request.param, home)
    except ServerMissing as error:
        missing(str(error))
    loop = Loop() if asynchronous else None
    broker.start()
    bus = DrivenBus(_make(request.param, broker.url, asynchronous=asynchronous), loop or run_blocking)
    yield Away(broker, bus)
    bus.drive(bus.bus.close())
    if loop is not None:
        loop.close()
    broker.kill()
    _remove(home)


def _remove(home: Path) -> None:
    import shutil

    shutil.rmtree(home, ignore_errors=True)


def _sturdy(work: Callable[[], object]) -> None:
    """Do something until the broker answers again."""
    for _ in range(200):
        try:
            work()
        except Unavailable:
            continue
        return
    raise AssertionError("it never answered")


def test_restart(away: Away) -> None:
    """What was published before a broker died is received after its restart, in order, and so is what came after."""
    bus, got = away.bus, list[Message]()
    bus.publish(*(message(number) for number in range(5)))
    bus.receive("g", got.append, limit=2)
    away.broker.kill()
    for ask in (
        lambda: bus.publish(message(5)),
        lambda: bus.receive("g", got.append),
        lambda: bus.drive(bus.bus.healthy()),
        lambda: bus.dead_letters("g"),
    ):
        with pytest.raises(Unavailable) as refused:
            ask()
        assert refused.value.retryable
        assert "The event bus does not answer" == str(refused.value.message)
    away.broker.start()
    _sturdy(lambda: bus.publish(message(5)))

    _sturdy(lambda: bus.until("g", got.append, lambda: len({each.id for each in got}) >= 6))

    first = list(dict.fromkeys(each.id for each in got))
    assert [message(number).id for number in range(6)] == first


def test_death_while_a_handler_works(away: Away) -> None:
    """A broker that dies while a message is being handled delivers it again; what follows it comes after it."""
    bus, got = away.bus, list[str]()
    bus.publish(message(1), message(2))

    def handler(each: Message) -> None:
        got.append(each.id)
        if len(got) == 1:
            away.broker.kill()

    with pytest.raises(Unavailable):
        bus.receive("g", handler)
    away.broker.start()
    _sturdy(lambda: bus.until("g", handler, lambda: message(2).id in got))

    assert [message(1).id, message(2).id] == list(dict.fromkeys(got))
    # NATS keeps what could not be sent, and sends it when the server is back.
    assert got.count(message(1).id) in (1, 2)
