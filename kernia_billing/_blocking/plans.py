"""`billing.plans`.

Generated from `_aio/plans.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import PlanView


class Plans:
    """What is sold."""

    def __init__(self, inner: _aio.Plans) -> None:
        self._inner = inner

    def list(self) -> Sequence[PlanView]:
        """The rows of a pricing page, with the imported prices."""
        return run_blocking(self._inner.list())
