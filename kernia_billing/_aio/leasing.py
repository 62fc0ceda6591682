"""What `billing.lease` gives."""

from __future__ import annotations

from datetime import timedelta
from types import TracebackType
from typing import Self

from ..compose import Wiring
from ..domain.answers import Usage
from ..domain.ids import quantity as checked
from ..domain.references import Ref
from ..operations import reserving
from ..runtime.leasing import Leased


class Lease:
    """Units of a feature that this process has taken, to use them without asking the database for each.

    Any number of threads or tasks of one process use a lease together. What was used is stored whenever more units are
    taken, at the latest after half of its time when something is used, by `flush`, and at the end of the block; until
    then it is in the memory of this process alone.
    """

    def __init__(self, leased: Leased) -> None:
        self._leased = leased

    @classmethod
    async def given(
        cls, wiring: Wiring, reference: Ref, feature: str, quantity: int, *, entity: str | None, ttl: timedelta | int
    ) -> Self:
        """The lease that is given. Not for applications."""
        wanted = reserving.wanted(wiring.core, reference, feature, quantity, entity=entity, ttl=ttl)
        leased = Leased(wiring.core, wanted, asynchronous=wiring.asynchronous)
        await leased.begin()
        return cls(leased)

    @property
    def quantity(self) -> int:
        """How many units are taken at a time."""
        return self._leased.quantity

    @property
    def left(self) -> int:
        """How many units are taken and not used yet."""
        return self._leased.left

    @property
    def unflushed(self) -> int:
        """How many units were used and are not known to be stored: what is lost if this process is killed now."""
        return self._leased.unflushed

    async def consume(self, quantity: int = 1) -> None:
        """Use `quantity` (1 to 10^9) units, all of them or `FeatureDenied`. Only where more must be taken it waits.

        Raises:
            FeatureDenied: so many are neither taken nor left to be taken; `InsufficientBalance` where too little is.
            Conflict: the lease has ended (LEASE_ENDED).
            InvalidInput: the quantity is not one of 1 to 10^9.
            Unavailable: the database does not answer; the units are not used.
        """
        await self._leased.consume(checked(quantity))

    async def flush(self) -> Usage | None:
        """Store what was used so far, as one use; None where that is nothing. The receipt is the acknowledgement.

        It is `late` where the units were held no longer. Nothing is stored twice: flush again after `Unavailable`.

        Raises:
            Conflict: the lease has ended (LEASE_ENDED).
            Unavailable: the database does not answer.
        """
        return await self._leased.flush()

    async def settle(self) -> Usage | None:
        """End the lease: what was used is stored, the rest is free again. The receipt, or None where nothing was used.

        Raises:
            Unavailable: the database does not answer: settle again.
        """
        return await self._leased.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._leased.end()
