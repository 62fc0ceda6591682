"""Changes of plan: upwards at once, downwards at the end of the period, and taken back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kernia_billing import Billing, Conflict, Plan
from tests.crashes.books import Books
from tests.crashes.copies import Copy
from tests.crashes.deaths import LEASE, Act, Story
from tests.crashes.stage import Stage
from tests.harness.house import PLANS, open_billing

OPTIONS: dict[str, Any] = {
    "plans": (
        *PLANS,
        Plan("team", price_id="price_team", line_items={"price_line": 2}),
        Plan("mega", price_id="price_mega"),
    )
}
_AMOUNTS = {"price_pro": 1_000, "price_team": 3_000, "price_line": 50, "price_mega": 3_600}
"""So small that a change costs the same a pause later."""
_DONE = ("ALREADY_SUBSCRIBED_PLAN", "SUBSCRIPTION_NOT_PENDING_CHANGE")
"""How a call is answered whose work is done."""
_BUSY = "CHANGE_IN_PROGRESS"
_FACTS = (
    "plan",
    "billing_interval",
    "seats",
    "status",
    "price_id",
    "period_start",
    "period_end",
    "cancel_at_period_end",
)


def up(billing: Billing, _stage: Stage) -> None:
    """Change to a greater plan at once."""
    billing.subscriptions.change("zoe", "team")


def down(billing: Billing, _stage: Stage) -> None:
    """Change to the smallest plan when the period ends."""
    billing.subscriptions.change("zoe", "pro", when="period_end")


def to_mega(billing: Billing, _stage: Stage) -> None:
    """Change to the greatest plan at once."""
    billing.subscriptions.change("zoe", "mega", when="now")


def restore(billing: Billing, _stage: Stage) -> None:
    """Take back what is pending."""
    billing.subscriptions.restore("zoe")


def cancel(billing: Billing, _stage: Stage) -> None:
    """Let the subscription end with its period."""
    billing.subscriptions.cancel("zoe")


def story(act: Act, *before: Act, tell: Callable[[Stage], Books]) -> Story:
    """Something is done to a subscription, and asked for once more after a restart."""

    def prepare(stage: Stage) -> None:
        stage.options = OPTIONS
        for price, amount in _AMOUNTS.items():
            stage.stripe.add_price(price, amount=amount)
        stage.open()
        with open_billing(stage.url, stage.stripe, **OPTIONS) as billing:
            for each in before:
                each(billing, stage)
            stage.hear(told=True)

    def again(billing: Billing, stage: Stage) -> None:
        try:
            act(billing, stage)
        except Conflict as answered:
            # Who died holds its place for a while: whoever comes before that is told to wait.
            if answered.code not in (*_DONE, _BUSY):
                raise
        billing.jobs.run()

    return Story(prepare, act, again, pause=LEASE, options=OPTIONS, tell=tell)


def money(stage: Stage) -> Books:
    """What is sold, what was paid, what is to come, and that our copy says the same.

    How often somebody tried shows in objects that were given up: schedules that were released, and their history.
    """
    tables = stage.stripe.state.world.tables
    rows = Copy(stage.engine).rows
    alive = [each for each in tables["subscription_schedule"] if each["status"] in ("active", "not_started")]
    known = {each["id"]: each["status"] for each in rows["billing_subscription_schedule"]}
    assert all(known[each["id"]] == each["status"] for each in alive)
    with open_billing(stage.url, stage.stripe, **OPTIONS) as billing:
        found = billing.subscriptions.get("zoe")
        assert found is not None
        # Of invoices, and of schedules that were given up, we hear by events alone: nothing was delivered.
        billing.reconcile()
        differing = [each for each in billing.doctor(with_stripe=True).findings if each.check != "webhooks.endpoint"]
        assert not differing, differing
    return {
        "what is sold": sorted(f"{each['price']} {each['quantity']}" for each in tables["subscription_item"]),
        "what was billed": sorted(
            f"{each['billing_reason']} {each['amount_paid']} {each['status']}" for each in tables["invoice"]
        ),
        "what waits for an invoice": [str(each["amount"]) for each in tables["invoiceitem"] if not each["invoice"]],
        "what is to come": [json.dumps([each["phases"], each["metadata"]], sort_keys=True) for each in alive],
        "our copy": [repr([each[name] for name in _FACTS]) for each in rows["billing_subscription"]],
        "what is shown": [f"{found.plan} {found.display_state} {found.pending_change}"],
    }


def money_and_log(stage: Stage) -> Books:
    """The same, and that the log says it once."""
    logged = [each for each in Copy(stage.engine).rows["billing_audit"] if each["action"].startswith("change.")]
    return {**money(stage), "the log": sorted(f"{each['action']} {each['state_after']}" for each in logged)}
