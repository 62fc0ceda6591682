"""Several units in one transaction: each sees what those before it did, and none can spoil another.

What the units said they need is read at once, with the customers locked. What they write is kept in memory, and written
at once: a unit that raises leaves nothing, because it wrote nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import Context, copy_context
from copy import copy
from typing import Any, cast

from attrs import define, field
from sqlalchemy import exc

from ..ports.guard import unit_of_work
from ..ports.store import Needs, Rollback, Transaction, Unit
from .drafts import Alone, Draft, Shared
from .transaction import SqlTransaction


@define(eq=False)
class Ticket:
    """A unit on its way, with what became of it: a value, an error, or neither.

    `alone`: it is to be run in a transaction of its own. `waits`: its customer is locked by somebody else.
    """

    unit: Unit[Any]
    needs: Needs
    context: Context = field(factory=copy_context)
    value: Any = None
    error: Exception | None = None
    alone: bool = False
    waits: bool = False

    def reset(self, *, alone: bool = False, waits: bool = False) -> None:
        """Forget what became of it."""
        self.value = self.error = None
        self.alone, self.waits = alone, waits

    def fail(self, error: Exception) -> None:
        """Note that the transaction failed. That does not concern those that have to be run in another one."""
        if not (self.alone or self.waits):
            # Every caller raises an error of its own, with its own traceback.
            self.value, self.error = None, copy(error)

    def run(self, draft: Draft) -> bool:
        """Run the unit as its caller would; says whether what it wrote is to be kept."""
        try:
            self.value = self.context.run(self._run, draft)
        except Alone:
            self.alone = True
        except Rollback as told:  # pyright: ignore[reportUnknownVariableType] - of whatever the unit answers
            self.value = told.value  # pyright: ignore[reportUnknownMemberType] - the same
        except (exc.SQLAlchemyError, OSError):
            # The transaction is no good any more, for nobody.
            raise
        except Exception as error:  # noqa: BLE001 - it is its caller's, and nobody else's
            self.error = error
        else:
            return True
        return False

    def _run(self, draft: Draft) -> Any:
        with unit_of_work():
            return self.unit(cast("Transaction", draft))

    def answer(self) -> Any:
        """What the unit answered, or raised."""
        if self.error is not None:
            raise self.error
        return self.value


def share(tx: SqlTransaction, tickets: Sequence[Ticket], *, wait: bool) -> None:
    """Run the units of these tickets in one transaction, and note on each ticket what became of it.

    Without `wait` customers whom others have locked are left out, so that nobody waits for the customer of another.
    """
    shared = Shared.read(tx, [ticket.needs for ticket in tickets], wait=wait)
    draft = Draft(shared)
    for ticket in tickets:
        reference = ticket.needs.reference
        if reference in shared.customers:
            ticket.reset()
            draft.begin(ticket.needs)
            if ticket.run(draft):
                shared.keep(draft)
        else:
            # Nobody can lock a customer who is to be inserted: the unit does that.
            waits = reference in shared.locked and not wait
            ticket.reset(alone=not waits, waits=waits)
    if not shared.write():
        raise Rollback(None)
