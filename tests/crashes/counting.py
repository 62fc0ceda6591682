"""Everything that moves units but holds: returns, levels, gifts, and periods that begin with what the last one left."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from kernia_billing import Billing, Credits, Feature, Metered, Plan, UsageLimit
from kernia_billing.domain.plans import Allowance
from tests.crashes.deaths import Story
from tests.crashes.stage import Stage
from tests.harness.house import open_billing

_FEATURES: dict[str, Allowance] = {
    "kept": Metered(100, rollover=150, rollover_periods=2),
    "owed": Metered(100, overage="free", overage_limit=40, debt="carry"),
    "counted": Metered(1_000, limits=(UsageLimit(60),), alerts=(1,)),
    "images": Metered(2),
    "credits": Credits(30),
}
_OPTIONS: dict[str, Any] = {
    "plans": (Plan("free", features=_FEATURES), Plan("pro", price_id="price_pro", features=_FEATURES)),
    "features": [Feature("images", credit_cost={"credits": 3})],
}


def _open(stage: Stage) -> None:
    stage.options = _OPTIONS
    with open_billing(stage.url, stage.stripe, **_OPTIONS) as billing:
        billing.catalog.sync()
        for reference in ("zoe", "ann"):
            billing.consume(reference, "kept", 30)
            billing.consume(reference, "owed", 130)
        billing.jobs.run()


def _next_month(stage: Stage) -> None:
    _open(stage)
    stage.stripe.clock.move_to(stage.stripe.clock.seconds() + round(timedelta(days=31).total_seconds()))


def _return(billing: Billing, _stage: Stage) -> None:
    use = billing.track("ann", "counted", 20, idempotency_key="use")
    billing.refund("ann", use.event_id, 5, idempotency_key="some-of-it")
    billing.set_usage("ann", "counted", 30, idempotency_key="a-level-above")
    billing.set_usage("ann", "counted", 12, idempotency_key="a-level-below")
    billing.refund("ann", use.event_id, idempotency_key="what-is-left-of-it")
    mixed = billing.consume("ann", "images", 5, idempotency_key="of-two-balances")
    billing.refund("ann", mixed.event_id, 4, idempotency_key="of-both")
    billing.give_back("ann", "images", 1, idempotency_key="of-no-use-in-particular")


def _give(billing: Billing, _stage: Stage) -> None:
    kept = billing.grant("ann", "credits", 50, idempotency_key="kept")
    gone = billing.grant("ann", "kept", 40, entity="x", idempotency_key="gone")
    billing.consume("ann", "kept", 10, entity="x", idempotency_key="use")
    billing.revoke("ann", gone.id)
    assert kept.id != gone.id


def _begin(billing: Billing, _stage: Stage) -> None:
    billing.consume("ann", "kept", 160, idempotency_key="of-what-moved-on")
    billing.track("ann", "owed", 10, idempotency_key="after-what-is-owed")


RETURNED = Story(_open, _return, _return, options=_OPTIONS)
"""Uses come back by their receipts, by a level and without either."""
GIVEN = Story(_open, _give, _give, options=_OPTIONS)
"""Something is given, used and taken away."""
BEGUN = Story(_next_month, _begin, _begin, options=_OPTIONS)
"""The next month begins with what was left, and with what is owed."""
