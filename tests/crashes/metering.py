"""Uses that Stripe's meters count."""

from __future__ import annotations

from typing import Any

from kernia_billing import Billing, Metered, Plan
from tests.crashes.deaths import LEASE, Story
from tests.crashes.stage import Stage
from tests.harness.house import open_billing

_OPTIONS: dict[str, Any] = {
    "plans": (
        Plan("free", features={"calls": Metered(1)}),
        Plan("pro", price_id="price_pro", features={"calls": Metered(unlimited=True, meter="calls")}),
    )
}


def _sell(stage: Stage) -> None:
    stage.options = _OPTIONS
    stage.open()
    with open_billing(stage.url, stage.stripe, **_OPTIONS) as billing:
        stage.sell(billing, "ann", told=True)


def _use(billing: Billing, _stage: Stage) -> None:
    billing.track("ann", "calls", 3, idempotency_key="the-first")
    billing.track("ann", "calls", 4, idempotency_key="the-second")
    billing.jobs.run()


def _take_back(billing: Billing, stage: Stage) -> None:
    _use(billing, stage)
    billing.give_back("ann", "calls", 2, idempotency_key="too-many")
    billing.jobs.run()


USED = Story(_sell, _use, _use, pause=LEASE, options=_OPTIONS)
"""Two uses are counted here and told to Stripe."""
TAKEN_BACK = Story(_sell, _take_back, _take_back, pause=LEASE, options=_OPTIONS)
"""The same, and a part of the second is given back after Stripe was told."""
