"""`billing.plans`."""

from __future__ import annotations

from collections.abc import Sequence

from ..compose import Wiring
from ..domain.answers import (
    PlanView,
)
from ..operations import (
    plans,
)


class Plans:
    """What is sold."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring

    async def list(self) -> Sequence[PlanView]:
        """The rows of a pricing page, with the imported prices."""
        return await plans.views(self._wiring.core)
