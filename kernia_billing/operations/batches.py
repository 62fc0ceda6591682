"""Many uses at once: checked whole, then written whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..domain.answers import Usage, Use
from ..errors import BillingError, InvalidInput
from .core import Core
from .recipe import Prepared, usage_of, write_all
from .track import counting

MOST = 1_000
"""So many uses one call takes: their customers are locked until the last of them is written."""
_NAMED = 20
"""So many mistakes are named."""


async def track_many(core: Core, uses: Iterable[Use], *, transaction: object | None = None) -> Sequence[Usage]:
    """Count up to 1,000 uses of any references in one transaction; their receipts, in the order given.

    A key counts once, also where it stands twice: the second receipt is the first again.

    Raises:
        InvalidInput: one of the uses is wrong, or there are too many; the message names every mistake by its position,
            as in `uses[3].quantity`. A feature that is in no plan is one too.
        IdempotencyMismatch: a key was used for something else; nothing is counted then.
        TransactionConflict: the host's transaction has to be repeated.
        Unavailable: the database does not answer.
    """
    given = list(uses)
    if len(given) > MOST:
        raise InvalidInput(f"must be at most {MOST} uses", field="uses")
    prepared = _checked(core, given)
    return await write_all(core, prepared, usage_of, transaction) if prepared else ()


def _checked(core: Core, uses: Sequence[Use]) -> list[Prepared[Usage]]:
    prepared: list[Prepared[Usage]] = []
    mistakes: dict[str, str] = {}
    for position, each in enumerate(uses):
        where = f"uses[{position}]"
        try:
            prepared.append(_one(core, each))
        except InvalidInput as error:
            mistakes[f"{where}.{error.field}" if error.field else where] = error.message
        except BillingError as error:
            mistakes[f"{where}.feature"] = error.message
    if mistakes:
        named = [f"{where} {what}" for where, what in mistakes.items()]
        more = [f"and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
        raise InvalidInput("; ".join([*named[:_NAMED], *more]), field=next(iter(mistakes)))
    return prepared


def _one(core: Core, use: Use) -> Prepared[Usage]:
    if not isinstance(use, Use):
        raise InvalidInput("must be a Use", field="")
    return counting(
        core,
        use.reference,
        use.feature,
        use.quantity,
        occurred_at=use.occurred_at,
        properties=use.properties,
        key=use.idempotency_key,
    )
