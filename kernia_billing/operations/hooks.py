"""The host's own functions: called after commit, never inside of a transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import define, field

from ..domain.answers import Event
from ..errors import ConfigError
from ..ports.guard import refuse_inside_unit

Hook = Callable[[Any], Any]


def _no_handlers() -> dict[str, list[Hook]]:
    return {}


@define
class Hooks:
    """Functions by the type of the event they want; the type "*" wants every event.

    `asynchronous` says whether they may be coroutine functions; `report` hears of those that raise.
    """

    asynchronous: bool
    is_async: Callable[[Hook], bool]
    report: Callable[[str, Exception], None]
    _handlers: dict[str, list[Hook]] = field(factory=_no_handlers)

    def add(self, hook: Hook, types: Sequence[str]) -> None:
        """Register a function.

        Raises:
            ConfigError: it is not callable, or is asynchronous under `Billing`.
        """
        self.check(hook)
        for kind in types or ("*",):
            self._handlers.setdefault(kind, []).append(hook)

    def check(self, hook: Hook) -> None:
        """Raise what `add` raises for a function that cannot be called here."""
        if not callable(hook):
            raise ConfigError([f"hook {hook!r}: not callable"])
        if self.is_async(hook) and not self.asynchronous:
            name = getattr(hook, "__qualname__", repr(hook))
            raise ConfigError([f"hook {name}: Billing cannot await an `async def`; write `def`, or use AsyncBilling"])

    def wanting(self, kind: str) -> Sequence[Hook]:
        """The functions that want events of this type, in the order of their registration."""
        return (*self._handlers.get(kind, ()), *self._handlers.get("*", ()))

    async def call(self, hook: Hook, event: Event) -> None:
        """Call one function with an event, and wait for it if it is asynchronous."""
        refuse_inside_unit("a hook")
        answer = hook(event)
        if isinstance(answer, Awaitable):
            await answer

    @property
    def types(self) -> Mapping[str, int]:
        """How many functions want each type."""
        return {kind: len(hooks) for kind, hooks in self._handlers.items()}
