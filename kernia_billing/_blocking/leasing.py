"""What `billing.lease` gives.

Generated from `_aio/leasing.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import Usage


class Lease:
    """Units of a feature that this process has taken, to use them without asking the database for each.

    Any number of threads or tasks of one process use a lease together. What was used is stored whenever more units are
    taken, at the latest after half of its time when something is used, by `flush`, and at the end of the block; until
    then it is in the memory of this process alone.
    """

    def __init__(self, inner: _aio.Lease) -> None:
        self._inner = inner

    @property
    def quantity(self) -> int:
        """How many units are taken at a time."""
        return self._inner.quantity

    @property
    def left(self) -> int:
        """How many units are taken and not used yet."""
        return self._inner.left

    @property
    def unflushed(self) -> int:
        """How many units were used and are not known to be stored: what is lost if this process is killed now."""
        return self._inner.unflushed

    def consume(self, quantity: int = 1) -> None:
        """Use `quantity` (1 to 10^9) units, all of them or `FeatureDenied`. Only where more must be taken it waits.

        Raises:
            FeatureDenied: so many are neither taken nor left to be taken; `InsufficientBalance` where too little is.
            Conflict: the lease has ended (LEASE_ENDED).
            InvalidInput: the quantity is not one of 1 to 10^9.
            Unavailable: the database does not answer; the units are not used.
        """
        run_blocking(self._inner.consume(quantity))

    def flush(self) -> Usage | None:
        """Store what was used so far, as one use; None where that is nothing. The receipt is the acknowledgement.

        It is `late` where the units were held no longer. Nothing is stored twice: flush again after `Unavailable`.

        Raises:
            Conflict: the lease has ended (LEASE_ENDED).
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.flush())

    def settle(self) -> Usage | None:
        """End the lease: what was used is stored, the rest is free again. The receipt, or None where nothing was used.

        Raises:
            Unavailable: the database does not answer: settle again.
        """
        return run_blocking(self._inner.settle())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_blocking(self._inner.__aexit__(kind, error, trace))
