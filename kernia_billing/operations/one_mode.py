"""One database serves one Stripe mode: live rows and test rows never meet."""

from __future__ import annotations

from typing import TypeVar

from ..errors import ConfigError
from ..ports.store import Store, Transaction, Unit

T = TypeVar("T")
_SETTING = "stripe_mode"


class OneMode:
    """A store that, before its first unit, records the mode of the Stripe key, or refuses another one than recorded.

    Checked at first use and not at construction: an application that is merely imported opens no connection.
    """

    def __init__(self, store: Store, *, livemode: bool | None) -> None:
        self._store = store
        self._livemode = livemode
        self._checked = livemode is None

    async def transaction(self, unit: Unit[T], *, host: object | None = None) -> T:
        """Run a unit in a transaction; see `Store`."""
        if not self._checked:
            await self._check()
        return await self._store.transaction(unit, host=host)

    async def read(self, unit: Unit[T]) -> T:
        """Run a unit that only reads; see `Store`."""
        if not self._checked:
            await self._check()
        return await self._store.read(unit)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()

    async def _check(self) -> None:
        mode = "live" if self._livemode else "test"

        def recorded(tx: Transaction) -> str | None:
            return tx.settings.get(_SETTING)

        known = await self._store.read(recorded)
        if known is None:
            known = await self._store.transaction(lambda tx: tx.settings.add(_SETTING, mode))
        if known != mode:
            raise ConfigError([f"database: it holds {known}-mode billing, and stripe_key is a {mode}-mode key"])
        self._checked = True
