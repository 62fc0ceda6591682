"""The mark that a database unit of work is running: nothing may leave the process while it is set."""

from __future__ import annotations

from contextvars import ContextVar, Token

from ..errors import GuardError

_in_unit: ContextVar[bool] = ContextVar("kernia_billing_in_unit", default=False)


class unit_of_work:  # noqa: N801 - it is used like a function
    """Mark the enclosed code as a unit of work; stores wrap every unit in it."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token: Token[bool] = _in_unit.set(True)

    def __exit__(self, *_error: object) -> None:
        _in_unit.reset(self._token)


def refuse_inside_unit(what: str) -> None:
    """Raise `GuardError` when a unit of work is running on this thread or task.

    A call to Stripe, the bus or a hook inside a transaction would hold locks while it waits, and its effect would
    outlive a rollback.
    """
    if _in_unit.get():
        raise GuardError(f"{what} inside a database transaction: take it out of the unit of work")
