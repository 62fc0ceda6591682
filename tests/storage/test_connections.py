"""The connections that are kept for readers: as many as there are places, and never one too many or too few."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import exc

from kernia_billing.storage import connections as module
from kernia_billing.storage.connections import Owned, Reader, of_url
from kernia_billing.storage.engines import PLACES, parse


@pytest.fixture
def connections(sqlite_url: str) -> Iterator[Owned]:
    """Those of an SQLite file."""
    connections = of_url(parse(sqlite_url))
    assert isinstance(connections, Owned)
    yield connections
    connections.close()


def _all(connections: Owned, stack: ExitStack) -> list[Reader]:
    """Every reader that there can be, each in use until the stack ends."""
    readers = [connections.reading() for _ in range(PLACES)]
    for reader in readers:
        stack.push(reader.__exit__)
    return readers


def _connected(connections: Owned) -> int:
    """How many places have a connection, once all are free again."""
    assert PLACES == len(connections._places)
    return sum(reader is not None for reader in connections._places)


def _lose(reader: Reader) -> None:
    with reader:
        reader.connection.invalidate()
        raise OSError("gone")


def test_one_reader_is_enough(connections: Owned) -> None:
    """Who reads after another one gets the same connection."""
    with connections.reading() as one:
        pass
    with connections.reading() as other:
        assert one is other
    assert 1 == _connected(connections)


def test_a_reader_too_many_waits(connections: Owned) -> None:
    """Where every place is taken the next one gets the first that is freed."""
    got: list[Reader] = []
    with ExitStack() as stack:
        first, *_ = _all(connections, stack)
        late = threading.Thread(target=lambda: got.append(connections.reading()))
        late.start()
        while not connections._waiting:
            pass
        assert [] == got
        first.__exit__(None, None, None)
        late.join()
        assert [first] == got

    assert PLACES == _connected(connections)


def test_nobody_waits_for_ever(connections: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no place is freed in time it is an error, and all places are there again afterwards."""
    monkeypatch.setattr(module, "_WAIT", 0)
    with ExitStack() as stack:
        _all(connections, stack)
        with pytest.raises(exc.TimeoutError):
            connections.reading()
    assert PLACES == _connected(connections)
    assert 0 == connections._waiting


def test_a_lost_connection_is_seldom_lost_alone(connections: Owned) -> None:
    """After one was lost those that are at hand are closed, and none is handed out again."""
    with ExitStack() as stack:
        _all(connections, stack)
    with pytest.raises(OSError, match="gone"):
        _lose(connections.reading())

    assert 0 == _connected(connections)


def test_no_connection_no_place_lost(connections: Owned, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that no connection could be had for is free again."""

    def fail() -> None:
        raise OSError("refused")

    monkeypatch.setattr(connections._reader, "connect", fail)
    for _ in range(PLACES + 1):
        with pytest.raises(OSError, match="refused"):
            connections.reading()
    assert 0 == _connected(connections)


def test_an_interrupted_read(connections: Owned) -> None:
    """The rest of an answer that nobody took goes with its connection."""
    with pytest.raises(KeyboardInterrupt), connections.reading():
        raise KeyboardInterrupt
    assert 0 == _connected(connections)
