"""One database serves one Stripe mode: live rows and test rows never meet."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import ConfigError
from ..ports.store import Needs, Store, Transaction, Unit

T = TypeVar("T")
_SETTING = "stripe_mode"


class OneMode:
    """A store that records the mode of the Stripe key with its first write, and refuses another one than recorded.

    Checked at first use and not at construction: an application that is merely imported opens no connection.
    """

    def __init__(self, store: Store, *, livemode: bool | None) -> None:
        self._store = store
        self._mode = "live" if livemode else "test"
        self._checked = livemode is None

    async def transaction(self, unit: Unit[T], *, host: object | None = None, needs: Needs | None = None) -> T:
        """Run a unit in a transaction; see `Store`."""
        if self._checked:
            return await self._store.transaction(unit, host=host, needs=needs)
        if host is None:
            await self._check()
            return await self._store.transaction(unit, needs=needs)

        def checked(tx: Transaction) -> T:
            # In the host's transaction, because one of our own could wait for it for ever.
            self._judge(tx.settings.add(_SETTING, self._mode))
            return unit(tx)

        return await self._store.transaction(checked, host=host)

    def read(self, unit: Unit[T], *, needs: Needs | None = None) -> Coroutine[Any, Any, T]:
        """Run a unit that only reads; see `Store`."""
        return self._store.read(unit, needs=needs) if self._checked else self._first_read(unit)

    async def _first_read(self, unit: Unit[T]) -> T:
        known = await self._store.read(lambda tx: tx.settings.get(_SETTING))
        if known is not None:
            self._judge(known)
            self._checked = True
        return await self._store.read(unit)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    async def _check(self) -> None:
        known = await self._store.read(lambda tx: tx.settings.get(_SETTING))
        if known is None:
            known = await self._store.transaction(lambda tx: tx.settings.add(_SETTING, self._mode))
        self._judge(known)
        self._checked = True

    def _judge(self, known: str) -> None:
        if known != self._mode:
            raise ConfigError([f"database: it holds {known}-mode billing, and stripe_key is a {self._mode}-mode key"])
