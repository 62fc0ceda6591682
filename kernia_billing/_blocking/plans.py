"""`billing.plans`.

Generated from `_aio/plans.py` by `make facade`: do not edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from .. import _aio  # pyright: ignore[reportPrivateUsage] - the other half of one thing
from .._drive import run_blocking
from ..domain.answers import PlanPreview, PlanView
from ..domain.plans import Plan
from ..domain.pricing import PricingReport
from ..domain.references import Ref


class Plans:
    """What is sold."""

    def __init__(self, inner: _aio.Plans) -> None:
        self._inner = inner

    def list(self) -> Sequence[PlanView]:
        """The rows of a pricing page, with the imported prices."""
        return run_blocking(self._inner.list())

    def preview(self, reference: Ref, plan: str) -> PlanPreview:
        """What a customer could use if its live subscription changed to a plan now, with its seats; nothing is written.

        What was used moves along as each allowance of the plan says (`on_plan_change`). Stripe is not asked: what the
        change would cost is told elsewhere. The customer's row is locked meanwhile.

        Raises:
            NotFound: no such plan (PLAN_NOT_FOUND), or nothing that could be changed (SUBSCRIPTION_NOT_FOUND).
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.preview(reference, plan))

    def simulate(
        self, other: Sequence[Plan] | Mapping[str, Plan] | str, *, start: datetime, end: datetime | None = None
    ) -> PricingReport:
        """Replay the uses recorded with start ≤ time < end (None: now) under other plans; nothing is written.

        `other` is what the option `plans` takes: plans, or the path of a plan file. A customer has the plan of the same
        name there. The report says who would have been denied what, who would have paid overage, and what a year of
        the plans would cost more or less, by imported prices. Refused uses are recorded nowhere, and not replayed.

        Raises:
            ConfigError: the other plans are wrong.
            InvalidInput: the range is empty.
            Unavailable: the database does not answer.
        """
        return run_blocking(self._inner.simulate(other, start=start, end=end))
