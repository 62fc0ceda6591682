"""`billing.overrides`.

Generated from `_aio/overrides.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import LimitOverride, Override
from ..domain.plans import UsageLimit
from ..domain.references import Ref


class Overrides:
    """What one reference has of a feature instead of what its plans include."""

    def __init__(self, inner: _aio.Overrides) -> None:
        self._inner = inner

    def set(
        self,
        reference: Ref,
        feature: str,
        amount: int | None,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        idempotency_key: str | None = None,
        transaction: Any = None,
    ) -> Override:
        """Let a reference have `amount` (0 to 2^53-1, None: no limit) of a feature instead of what its plans include.

        Of a boolean feature the amount is True or False. It counts at once, in the running period too, and through
        renewals and changes of plan, the default plan among them, until it ends, another one is set, or it is removed;
        then the plan's own amount is back. Uses are counted where they always were, so what was used stays used
        throughout. What was granted by hand and topped up comes on top of it, and so does the plan's overage, but not
        beside 0. A plan in force that does not name the feature includes nothing of it: then the amount is given once,
        for as long as the override lasts. Without a plan there is nothing to replace.

        Under a key that was used before the first override is given again, whatever has become of it. The audit log
        keeps the reason, of 1 to 500 printable characters.

        Statements: 6, with an idempotency key 10; on MySQL 1 more.

        Raises:
            IdempotencyMismatch: the key was used for another override.
            NotFound: there is no such feature (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, `until` is no time to come, or `transaction` is not usable.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(
            self._inner.set(
                reference,
                feature,
                amount,
                until=until,
                reason=reason,
                idempotency_key=idempotency_key,
                transaction=transaction,
            )
        )

    def remove(self, reference: Ref, feature: str, *, transaction: Any = None) -> Override | None:
        """End the override of a feature now; gives it as it is then, None where there is none to end.

        Raises:
            NotFound: there is no such feature (FEATURE_NOT_FOUND).
            InvalidInput: `transaction` is not usable.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(self._inner.remove(reference, feature, transaction=transaction))

    def list(self, reference: Ref) -> Sequence[Override]:
        """The overrides of amounts that a reference has now, in the order of their features.

        Raises:
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.list(reference))

    def set_limit(
        self,
        reference: Ref,
        feature: str,
        limit: UsageLimit,
        *,
        until: datetime | None = None,
        reason: str | None = None,
        idempotency_key: str | None = None,
        transaction: Any = None,
    ) -> LimitOverride:
        """Let a usage limit of a reference's plans allow another maximum: `UsageLimit(500, per="hour")`.

        It concerns the limit of the plans that differs in nothing but `maximum`, whichever plan brings it, and no other
        one. It counts at once, in the window that runs too, and through changes of plan, until it ends, another one is
        set for that limit, or `remove_limits` ends it; then the plan's own maximum is back. What was counted in the
        window stays counted throughout. While no plan in force has such a limit it limits nothing.

        Under a key that was used before the first override is given again, whatever has become of it. The audit log
        keeps the reason, of 1 to 500 printable characters.

        Statements: 7, with an idempotency key 11; on MySQL 1 more.

        Raises:
            IdempotencyMismatch: the key was used for another override.
            NotFound: there is no such feature (FEATURE_NOT_FOUND).
            InvalidInput: a value is out of range, no plan limits the feature so, `until` is no time to come, or
                `transaction` is not usable.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(
            self._inner.set_limit(
                reference,
                feature,
                limit,
                until=until,
                reason=reason,
                idempotency_key=idempotency_key,
                transaction=transaction,
            )
        )

    def remove_limits(self, reference: Ref, feature: str, *, transaction: Any = None) -> Sequence[LimitOverride]:
        """End the overrides of all usage limits of a feature now; gives them as they are then.

        Raises:
            NotFound: there is no such feature (FEATURE_NOT_FOUND).
            InvalidInput: `transaction` is not usable.
            TransactionConflict: run the host's transaction again.
            Unavailable: the database does not answer, or stays busy.
        """
        return run_blocking(self._inner.remove_limits(reference, feature, transaction=transaction))

    def limits(self, reference: Ref) -> Sequence[LimitOverride]:
        """The overrides of usage limits that a reference has now, in the order of their features.

        Raises:
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.limits(reference))
