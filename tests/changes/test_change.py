"""Changing the plan of a live subscription: now, at the end of the period, and not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from kernia_billing import (
    AlreadySubscribed,
    Conflict,
    IdempotencyMismatch,
    InvalidInput,
    NotFound,
    PaymentFailed,
    Plan,
    PreviewStale,
    StripeRefused,
)
from kernia_billing.testing import Fault
from tests.webhooks.shop import Shop

SCHEDULES = "/v1/subscription_schedules"
PRICES = {"price_pro": 1_000, "price_team": 5_000}


@pytest.fixture
def shop(open_shop: Any) -> Shop:
    """An application whose larger plan costs more."""
    shop: Shop = open_shop()
    for price, amount in PRICES.items():
        shop.account.post(f"/v1/prices/{price}", {"metadata[made]": "up"})
        shop.stripe.state.world.table("price").get(price).update(unit_amount=amount, unit_amount_decimal=str(amount))
    return shop


def invoices(shop: Shop) -> list[tuple[str, int, str]]:
    """What was billed: reason, amount due and status of each invoice."""
    return [(each["billing_reason"], each["amount_due"], each["status"]) for each in shop.objects("invoice")]


def writes(shop: Shop, since: int) -> list[str]:
    """The paths that were written to since."""
    return [each.path for each in shop.stripe.requests[since:] if each.method == "POST"]


def test_an_upgrade_charges_the_difference_now(shop: Shop) -> None:
    """Upwards: the item is swapped where it is, the difference is paid at once, and the anchor stays."""
    bought = shop.buy()
    shop.stripe.advance(days=10)
    before = shop.account.subscription(str(bought.stripe_id))
    changed = shop.billing.subscriptions.change("ann", "team")
    after = shop.account.subscription(str(bought.stripe_id))
    assert (changed.plan, changed.status, changed.display_state) == ("team", "active", "active")
    assert after["billing_cycle_anchor"] == before["billing_cycle_anchor"]
    assert [each["id"] for each in after["items"]["data"]] == [each["id"] for each in before["items"]["data"]]
    # 21 of 31 days are left of both: 3387.10 for what comes, 677.42 back for what goes.
    assert invoices(shop)[1:] == [("subscription_update", 2_710, "paid")]
    assert shop.billing.check("ann", "projects", 50).allowed


def test_a_downgrade_takes_place_when_the_period_ends(shop: Shop) -> None:
    """Downwards: nothing is billed, everything is allowed until the end; then the lower price is billed."""
    bought = shop.buy("ann", "team")
    changed = shop.billing.subscriptions.change("ann", "pro")
    assert changed.pending_change is not None
    assert (changed.plan, changed.display_state, changed.pending_change.plan) == ("team", "downgrading", "pro")
    assert changed.pending_change.effective_at == bought.period_end
    assert shop.billing.check("ann", "projects", 50).allowed
    shop.stripe.advance(months=1)
    now = shop.subscription()
    assert (now.plan, now.display_state, now.pending_change) == ("pro", "active", None)
    assert not shop.billing.check("ann", "projects", 50).allowed
    shop.stripe.advance(days=2)
    assert shop.subscription().schedule_id is None
    assert invoices(shop)[1:] == [("subscription_cycle", 1_000, "paid")]


@pytest.mark.parametrize(
    ("start", "to", "later"),
    [
        ({}, {"annual": True}, False),
        ({"annual": True}, {"annual": False}, True),
        ({"seats": 2}, {"seats": 5}, False),
        ({"seats": 5}, {"seats": 2}, True),
    ],
)
def test_interval_and_seats_change_both_ways(
    shop: Shop, start: dict[str, Any], to: dict[str, Any], *, later: bool
) -> None:
    """The same plan: longer and more is now, shorter and less is later; what is not named stays."""
    shop.buy("ann", "pro", **start)
    changed = shop.billing.subscriptions.change("ann", "pro", **to)
    assert (changed.display_state == "changing") is later
    if later:
        shop.stripe.advance(months=13)
    now = shop.subscription()
    assert (now.interval, now.seats) == (
        "year" if to.get("annual") else "month",
        to.get("seats", start.get("seats", 1)),
    )


@pytest.mark.parametrize("when", ["now", "period_end"])
def test_when_is_obeyed(shop: Shop, when: Any) -> None:
    """A downgrade now gives the rest back at once; an upgrade at the end charges nothing before."""
    shop.buy("ann", "team" if when == "now" else "pro")
    changed = shop.billing.subscriptions.change("ann", "pro" if when == "now" else "team", when=when)
    assert (changed.display_state, changed.plan) == (("active", "pro") if when == "now" else ("changing", "pro"))
    assert [reason for reason, *_ in invoices(shop)[1:]] == (["subscription_update"] if when == "now" else [])


def test_what_cannot_be_changed_is_refused(shop: Shop) -> None:
    """The same plan, no subscription, no such plan, a free one, another group, too many seats, wrong types."""
    change: Any = shop.billing.subscriptions.change
    with pytest.raises(NotFound, match="Subscription"):
        change("ann", "pro")
    shop.buy("ann", "pro", seats=2)
    shop.buy("bob", "crew", seats=3)
    since = len(shop.stripe.requests)
    wrong: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (AlreadySubscribed, ("ann", "PRO"), {"seats": 2}),
        (NotFound, ("ann", "nothing"), {}),
        (NotFound, ("ann", "team"), {"annual": True}),
        (NotFound, ("ann", "team"), {"subscription_id": shop.subscription("bob").id}),
        (InvalidInput, ("ann", "free"), {}),
        (InvalidInput, ("ann", "extra"), {"subscription_id": shop.subscription().id}),
        (InvalidInput, ("bob", "crew"), {"seats": 21}),
        (InvalidInput, ("ann", "team"), {"seats": True}),
        (InvalidInput, ("ann", "team"), {"annual": 1}),
        (InvalidInput, ("ann", "team"), {"when": "soon"}),
        (InvalidInput, ("ann", 5), {}),
        (InvalidInput, ("ann", "team"), {"subscription_id": 5}),
        (InvalidInput, ("ann", "team"), {"idempotency_key": ""}),
    ]
    for error, arguments, options in wrong:
        with pytest.raises(error):
            change(*arguments, **options)
    assert writes(shop, since) == []


def test_an_archived_price_is_not_changed_to(shop: Shop) -> None:
    """What was imported as archived is not sold any more, by a change either."""
    shop.buy()
    shop.account.post("/v1/prices/price_team", {"active": "false"})
    shop.billing.catalog.sync()
    with pytest.raises(NotFound) as refusal:
        shop.billing.subscriptions.change("ann", "team")
    assert refusal.value.code == "PRICE_NOT_FOUND"


def test_an_ended_subscription_is_bought_anew(shop: Shop) -> None:
    """Neither a change nor restore brings back what ended; the news of the end comes by that."""
    bought = shop.buy()
    shop.account.delete(f"/v1/subscriptions/{bought.stripe_id}")
    on = shop.billing.subscriptions
    calls: list[Callable[[], object]] = [
        lambda: on.change("ann", "team", subscription_id=bought.stripe_id),
        lambda: on.restore("ann", subscription_id=bought.id),
    ]
    for call in calls:
        with pytest.raises(Conflict) as refusal:
            call()
        assert (refusal.value.code, refusal.value.status) == ("SUBSCRIPTION_NOT_ACTIVE", 400)
        assert "anew" in refusal.value.message
    assert shop.subscription().status == "canceled"


def test_a_declined_card_leaves_the_old_plan(shop: Shop) -> None:
    """The payment fails: the old plan, no pending update, nothing owed; with another card the same call works."""
    bought = shop.buy()
    shop.stripe.use_card("ann", "4000000000000341")
    with pytest.raises(PaymentFailed) as failure:
        shop.billing.subscriptions.change("ann", "team")
    assert failure.value.hosted_url is None
    theirs = shop.account.subscription(str(bought.stripe_id))
    assert (theirs["pending_update"], theirs["status"]) == (None, "active")
    assert (shop.subscription().plan, invoices(shop)[-1][2]) == ("pro", "void")
    shop.stripe.use_card("ann", "4242424242424242")
    assert shop.billing.subscriptions.change("ann", "team").plan == "team"
    assert [status for *_, status in invoices(shop)] == ["paid", "void", "paid"]


def test_a_declined_change_leaves_what_was_to_come(shop: Shop) -> None:
    """The payment of a change at once fails: the change that waits for the end of the period still waits."""
    shop.buy("ann", "pro")
    waiting = shop.billing.subscriptions.change("ann", "desk", when="period_end")
    shop.stripe.use_card("ann", "4000000000000341")
    with pytest.raises(PaymentFailed):
        shop.billing.subscriptions.change("ann", "team")
    kept = shop.subscription()
    assert (kept.plan, kept.schedule_id, kept.pending_change) == ("pro", waiting.schedule_id, waiting.pending_change)
    assert [each["status"] for each in shop.objects("subscription_schedule")] == ["active"]
    shop.stripe.use_card("ann", "4242424242424242")
    shop.stripe.advance(months=1)
    assert shop.subscription().plan == "desk"


def test_a_change_that_is_refused_leaves_what_was_to_come(shop: Shop) -> None:
    """Stripe does not take the change at all: nothing is different."""
    shop.buy("ann", "team")
    waiting = shop.billing.subscriptions.change("ann", "pro")
    shop.stripe.faults.append(Fault("status", 400, method="POST", path="/v1/subscriptions/*"))
    with pytest.raises(StripeRefused):
        shop.billing.subscriptions.change("ann", "desk", when="now")
    assert shop.subscription() == waiting


def test_a_later_change_that_is_refused_leaves_what_was_to_come(shop: Shop) -> None:
    """Stripe does not take the phases of another change: the one before it still comes, and nothing else is left."""
    shop.buy("ann", "team")
    waiting = shop.billing.subscriptions.change("ann", "pro")
    shop.stripe.faults.append(Fault("status", 400, method="POST", path="/v1/subscription_schedules/*", skip=1))
    with pytest.raises(StripeRefused):
        shop.billing.subscriptions.change("ann", "desk", when="period_end")
    kept = shop.subscription()
    assert (kept.plan, kept.pending_change, kept.display_state) == ("team", waiting.pending_change, "downgrading")
    assert sorted(each["status"] for each in shop.objects("subscription_schedule")) == ["active", "released"]
    shop.stripe.advance(months=1)
    assert (shop.subscription().plan, shop.subscription().pending_change) == ("pro", None)


def test_a_payment_that_waits_for_the_customer_takes_the_place_of_what_was_to_come(shop: Shop) -> None:
    """3-D Secure: what is confirmed is not undone when the period ends."""
    shop.buy("ann", "pro")
    shop.billing.subscriptions.change("ann", "desk", when="period_end")
    shop.stripe.use_card("ann", "4000002760003184")
    with pytest.raises(PaymentFailed):
        shop.billing.subscriptions.change("ann", "team")
    assert (shop.subscription().plan, shop.subscription().pending_change) == ("pro", None)
    shop.stripe.authenticate("ann")
    assert (shop.subscription().plan, shop.subscription().schedule_id) == ("team", None)


def test_a_payment_that_the_customer_has_to_confirm_waits_on_a_page(shop: Shop) -> None:
    """3-D Secure: the old plan until it is confirmed on the page that the error names, then the new one."""
    shop.buy()
    shop.stripe.use_card("ann", "4000002760003184")
    with pytest.raises(PaymentFailed) as failure:
        shop.billing.subscriptions.change("ann", "team")
    assert failure.value.hosted_url is not None
    assert failure.value.details() == {"url": failure.value.hosted_url}
    assert shop.subscription().plan == "pro"
    shop.stripe.authenticate("ann")
    assert shop.subscription().plan == "team"


def test_who_is_past_due_may_change(shop: Shop) -> None:
    """A failed renewal does not stand in the way of a smaller plan."""
    shop.buy("ann", "team")
    shop.stripe.use_card("ann", "4000000000000341")
    shop.stripe.advance(days=35)
    assert shop.subscription().status == "past_due"
    assert shop.billing.subscriptions.change("ann", "pro", when="now").plan == "pro"


def test_a_second_change_takes_the_place_of_the_first(shop: Shop) -> None:
    """Scheduled, scheduled otherwise, then made at once: one schedule at a time, and none in the end."""
    shop.buy("ann", "team")
    change = shop.billing.subscriptions.change
    first = change("ann", "pro")
    second = change("ann", "desk", when="period_end")
    assert second.pending_change is not None
    assert (second.pending_change.plan, first.schedule_id == second.schedule_id) == ("desk", False)
    third = change("ann", "crew", seats=2, when="now")
    assert (third.plan, third.pending_change, third.schedule_id) == ("crew", None, None)
    assert [each["status"] for each in shop.objects("subscription_schedule")] == ["released", "released"]


def test_a_pending_cancellation_goes_before_a_change(shop: Shop) -> None:
    """What is to end can be changed now and still ends; what would change only then is refused."""
    bought = shop.buy("ann", "team")
    shop.account.post(f"/v1/subscriptions/{bought.stripe_id}", {"cancel_at_period_end": "true"})
    with pytest.raises(Conflict) as refusal:
        shop.billing.subscriptions.change("ann", "pro")
    assert refusal.value.code == "SUBSCRIPTION_CANCELS"
    changed = shop.billing.subscriptions.change("ann", "pro", when="now")
    assert (changed.plan, changed.display_state) == ("pro", "cancel_pending")


def test_a_change_on_trial_charges_nothing(shop: Shop) -> None:
    """The trial goes on with the new plan; a smaller one comes when it ends."""
    assert shop.buy("ann", "trial").status == "trialing"
    changed = shop.billing.subscriptions.change("ann", "crew", seats=2)
    assert (changed.status, changed.plan) == ("trialing", "crew")
    shop.billing.subscriptions.change("ann", "pro")
    assert shop.subscription().display_state == "downgrading"
    shop.stripe.advance(days=15)
    assert (shop.subscription().plan, shop.subscription().status) == ("pro", "active")
    assert [due for _, due, _ in invoices(shop)] == [0, 1_000]


def test_add_ons_and_seats_are_kept_where_they_belong(shop: Shop) -> None:
    """Two items become one, a foreign add-on stays, and seats are not carried to a plan without."""
    bought = shop.buy("ann", "crew", seats=4)
    shop.stripe.add_price("price_addon", amount=300)
    shop.account.post("/v1/subscription_items", {"subscription": bought.stripe_id, "price": "price_addon"})
    shop.billing.subscriptions.change("ann", "pro", when="now")
    theirs = shop.account.subscription(str(bought.stripe_id))["items"]["data"]
    assert {each["price"]["id"]: each["quantity"] for each in theirs} == {"price_pro": 1, "price_addon": 1}
    shop.billing.subscriptions.change("ann", "crew", seats=3)
    theirs = shop.account.subscription(str(bought.stripe_id))["items"]["data"]
    assert {each["price"]["id"]: each["quantity"] for each in theirs} == {
        "price_crew": 1,
        "price_crew_seat": 3,
        "price_addon": 1,
    }


def test_plans_that_share_a_price_are_told_apart(open_shop: Any) -> None:
    """The item stays as it is: what is bought is written into the metadata, now and by a schedule."""
    plans = [Plan("one", price_id="price_same"), Plan("two", price_id="price_same", line_items={"price_more": 1})]
    shop: Shop = open_shop(plans=plans, default_plan=None)
    shop.buy("ann", "one")
    assert shop.billing.subscriptions.change("ann", "two").plan == "two"
    waiting = shop.billing.subscriptions.change("ann", "one")
    assert waiting.pending_change is not None
    assert (waiting.plan, waiting.pending_change.plan) == ("two", "one")
    shop.stripe.advance(months=1)
    assert shop.subscription().plan == "one"


def test_plans_known_by_lookup_key_are_changed_to(shop: Shop) -> None:
    """The price that bears the key today is the one that is charged, and a pending change knows its plan."""
    for key, interval in (("keyed_month", "month"), ("keyed_year", "year")):
        price = {"currency": "usd", "unit_amount": "7000", "lookup_key": key, "recurring[interval]": interval}
        shop.account.post("/v1/prices", {**price, "product_data[name]": "Keyed"})
    shop.billing.catalog.sync()
    shop.buy("ann", "pro")
    assert shop.billing.subscriptions.change("ann", "keyed", annual=True).plan == "keyed"
    waiting = shop.billing.subscriptions.change("ann", "keyed", annual=False)
    assert waiting.pending_change is not None
    assert (waiting.pending_change.plan, waiting.pending_change.interval) == ("keyed", "month")


def test_the_same_change_can_be_made_again_later(shop: Shop) -> None:
    """Up, down, up and down within a minute: Stripe's memory of keys keeps none of them from being made."""
    shop.buy()
    for _ in range(3):
        assert shop.billing.subscriptions.change("ann", "team").plan == "team"
        assert shop.billing.subscriptions.change("ann", "pro", when="now").plan == "pro"


def test_the_same_key_changes_once(shop: Shop) -> None:
    """An idempotency key gives the subscription again, and is refused for anything else."""
    shop.buy()
    change = shop.billing.subscriptions.change
    changed = change("ann", "team", idempotency_key="a")
    since = len(shop.stripe.requests)
    assert change("ann", "team", idempotency_key="a") == changed
    assert writes(shop, since) == []
    with pytest.raises(IdempotencyMismatch):
        change("ann", "pro", idempotency_key="a")


def test_invoices_can_be_sent_instead_of_charged(open_shop: Any) -> None:
    """`collection_method` goes to Stripe with the days that it needs, and the change does not wait for the payment."""
    shop: Shop = open_shop(plan_change={"collection_method": "send_invoice", "days_until_due": 14})
    bought = shop.buy()
    assert shop.billing.subscriptions.change("ann", "team").plan == "team"
    theirs = shop.account.subscription(str(bought.stripe_id))
    assert (theirs["collection_method"], theirs["days_until_due"]) == ("send_invoice", 14)


@pytest.mark.parametrize(
    ("options", "plan_says", "sent"),
    [({}, None, "always_invoice"), ({"immediate_proration_behavior": "none"}, None, "none"), ({}, "none", "none")],
)
def test_proration_is_as_configured(open_shop: Any, options: Any, plan_says: Any, sent: str) -> None:
    """The plan's own word, else the option's; by default the difference is invoiced at once."""
    plans = [Plan("one", price_id="price_one"), Plan("two", price_id="price_two", proration_behavior=plan_says)]
    shop: Shop = open_shop(plans=plans, default_plan=None, plan_change=options)
    bought = shop.buy("ann", "one")
    shop.billing.subscriptions.change("ann", "two")
    (told,) = shop.called("POST", f"/v1/subscriptions/{bought.stripe_id}")
    assert told.params["proration_behavior"] == sent


def test_a_call_says_what_becomes_of_unused_time(shop: Shop) -> None:
    """R-111: before the options, at once and when the period ends; a preview brings it along."""
    path = f"/v1/subscriptions/{shop.buy().stripe_id}"
    shop.stripe.advance(days=10)
    subscriptions = shop.billing.subscriptions
    shown = subscriptions.preview_change("ann", "team", proration_behavior="none")
    assert shown.amount_due.amount == 0 < subscriptions.preview_change("ann", "team").amount_due.amount
    with pytest.raises(PreviewStale):
        subscriptions.change("ann", "team", proration_behavior="always_invoice", preview=shown)
    with pytest.raises(InvalidInput) as refusal:
        subscriptions.change("ann", "team", proration_behavior="later")  # type: ignore[arg-type]  # is what is tried
    assert refusal.value.field == "proration_behavior"
    subscriptions.change("ann", "team", preview=shown.token, idempotency_key="once")
    assert shop.called("POST", path)[-1].params["proration_behavior"] == "none"
    with pytest.raises(IdempotencyMismatch):
        subscriptions.change("ann", "team", proration_behavior="none", idempotency_key="once")
    waiting = subscriptions.change("ann", "pro", when="period_end", proration_behavior="create_prorations")
    phases = shop.called("POST", f"{SCHEDULES}/{waiting.schedule_id}")[-1].params["phases"]
    assert phases["1"]["proration_behavior"] == "create_prorations"


def test_history_says_what_was_changed_and_why(shop: Shop) -> None:
    """Beside what the subscription became, the log says that it was a change, from what to what, and by whom."""
    from kernia_billing.ports.actor import acting_as

    bought = shop.buy()
    with acting_as("user:ann"):
        shop.billing.subscriptions.change("ann", "team")
        shop.billing.subscriptions.change("ann", "pro")
        shop.billing.subscriptions.restore("ann")
    rows = [each for each in shop.billing.audit("ann").items if each.action.startswith("change.")]
    assert [(each.action, each.actor, each.subject) for each in reversed(rows)] == [
        ("change.made", "user:ann", bought.id),
        ("change.scheduled", "user:ann", bought.id),
        ("change.undone", "user:ann", bought.id),
    ]
    made = rows[-1]
    assert made.before == {"plan": "pro", "interval": "month", "seats": 1}
    assert made.after == {"plan": "team", "interval": "month", "seats": 1, "cause": "change"}


@pytest.mark.parametrize("source", ["@better-auth/stripe", None])
def test_whose_schedule_it_is_decides(shop: Shop, source: str | None) -> None:
    """One that Better Auth made for this application is taken over; one of anybody else lives on beside the change."""
    bought = shop.buy("ann", "team")
    made = shop.account.post(SCHEDULES, {"from_subscription": bought.stripe_id})
    if source is not None:
        shop.account.post(f"{SCHEDULES}/{made['id']}", {"metadata[source]": source})
    shop.stripe.flush()
    changed = shop.billing.subscriptions.change("ann", "pro", when="now")
    assert changed.plan == "pro"
    status = shop.account.get(f"{SCHEDULES}/{made['id']}")["status"]
    assert status == ("active" if source is None else "released")
    assert (changed.schedule_id is None) is (source is not None)


def test_a_change_within_a_change_hears_that_it_is_busy(shop: Shop) -> None:
    """While one is under way the next one is refused, retryable; afterwards it is made."""
    shop.buy()
    on = shop.billing.subscriptions
    stripe: Any = shop.billing._wiring.core.stripe
    real = stripe.request
    heard: list[Conflict] = []

    async def meddling(method: Any, path: str, *rest: Any, **options: Any) -> Any:
        if method == "POST" and not heard:
            stripe.request = real
            with pytest.raises(Conflict) as refusal:
                on.change("ann", "desk")
            heard.append(refusal.value)
        return await real(method, path, *rest, **options)

    stripe.request = meddling
    assert on.change("ann", "team").plan == "team"
    assert [(each.code, each.retryable) for each in heard] == [("CHANGE_IN_PROGRESS", True)]
    assert on.change("ann", "desk", when="now").plan == "desk"


def test_nothing_is_changed_at_the_moment_of_a_scheduled_change(shop: Shop) -> None:
    """The period has ended and Stripe has not entered the next phase yet: try again."""
    shop.buy("ann", "team")
    waiting = shop.billing.subscriptions.change("ann", "pro")
    assert waiting.period_end is not None
    late: Any = shop.billing._wiring
    ends = int(waiting.period_end.timestamp()) * 1_000_000

    class Late:
        def now(self) -> int:
            return ends

        def monotonic(self) -> float:
            return 0.0

    late.core = evolve(late.core, clock=Late())
    with pytest.raises(Conflict) as refusal:
        shop.billing.subscriptions.change("ann", "desk")
    assert (refusal.value.code, refusal.value.retryable) == ("CHANGE_IN_PROGRESS", True)


def test_a_schedule_that_ends_the_subscription_is_a_pending_cancellation(shop: Shop) -> None:
    """What somebody arranged by a schedule is shown as what it is."""
    bought = shop.buy()
    made = shop.account.post(SCHEDULES, {"from_subscription": bought.stripe_id})
    shop.account.post(f"{SCHEDULES}/{made['id']}", {"end_behavior": "cancel"})
    shop.stripe.flush()
    assert shop.subscription().display_state == "cancel_pending"


def test_hooks_hear_of_what_is_to_come(open_shop: Any) -> None:
    """Scheduled, and undone: each is an update with the pending change before and after."""
    heard: list[Any] = []
    shop: Shop = open_shop(on_subscription_update=heard.append)
    shop.buy("ann", "team")
    heard.clear()
    shop.billing.subscriptions.change("ann", "pro", when="period_end")
    shop.billing.subscriptions.restore("ann")
    told = [
        (each.previous.pending_change and each.previous.pending_change.plan, each.subscription.pending_change)
        for each in heard
    ]
    assert [(before, after and after.plan) for before, after in told] == [(None, "pro"), ("pro", None)]


def test_a_cancellation_is_taken_back_as_often_as_it_is_made(shop: Shop) -> None:
    """Cancelled and restored twice within a second: what Stripe said the first time is not taken for the second."""
    bought = shop.buy()
    for _ in range(2):
        shop.billing.subscriptions.cancel("ann")
        assert shop.billing.subscriptions.restore("ann").display_state == "active"
        assert shop.account.subscription(str(bought.stripe_id))["cancel_at_period_end"] is False
