"""From the option `event_bus` to a bus."""

from __future__ import annotations

from typing import Any, cast

from attrs import frozen

from ..configuration.connections import OWN_BUS
from ..errors import ConfigError
from ..ports.bus import Bus
from ..ports.clock import Clock
from ..ports.ids import Ids
from ..ports.store import Store


@frozen
class Database:
    """Our own database, as a bus needs it: how it was given, and how it is reached."""

    given: Any
    store: Store
    clock: Clock
    ids: Ids


def open_bus(given: object, database: Database, *, asynchronous: bool) -> Bus:
    """The bus of a URL, or the object that was given; opens no connection.

    Raises:
        ConfigError: the client library is not installed, the URL is none that it takes, or the object waits otherwise
            than the facade does.
    """
    if not isinstance(given, str):
        waits = getattr(given, "asynchronous", None)
        if waits is not None and waits is not asynchronous:
            facade, other = ("AsyncBilling", "Billing") if asynchronous else ("Billing", "AsyncBilling")
            how = f"asynchronous={asynchronous}"
            raise ConfigError([f"event_bus: {facade} takes a bus made with {how}, or use {other}"])
        return cast("Bus", given)
    if given == OWN_BUS:
        return _own(database, asynchronous=asynchronous)
    scheme = given.partition("://")[0]
    if scheme == "memory":
        from .memory import MemoryBus

        return MemoryBus()
    extra = "nats" if scheme in ("nats", "tls") else "redis"
    try:
        return (_nats if extra == "nats" else _redis)(given, asynchronous=asynchronous)
    except ImportError:
        raise ConfigError([f"event_bus: the client is not installed: kernia-billing[{extra}] brings it"]) from None
    except ValueError:
        # What the client says of a URL may repeat its password.
        raise ConfigError(["event_bus: is no URL that the client takes"]) from None


def _own(database: Database, *, asynchronous: bool) -> Bus:
    from .listening import listener
    from .postgresql import PostgreSQLBus

    ear = listener(database.given, asynchronous=asynchronous)
    if ear is None:
        return PostgreSQLBus(database.store, database.clock, database.ids)
    return PostgreSQLBus(database.store, database.clock, database.ids, ear.listen, ear.close)


def _nats(url: str, *, asynchronous: bool) -> Bus:
    from .nats import NatsBus

    return NatsBus(url, asynchronous=asynchronous)


def _redis(url: str, *, asynchronous: bool) -> Bus:
    from .redis import RedisBus

    return RedisBus(url, asynchronous=asynchronous)
