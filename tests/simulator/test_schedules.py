"""Subscription schedules: phases by the clock, and what can be done to a schedule."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.shop import DAY, Shop, at
from tests.simulator.test_prorations import GOOD, item_of, subscribe, waiting


def _phase(index: int, price: str, **more: str) -> dict[str, str]:
    named = {f"phases[{index}][{name}]": value for name, value in more.items() if "]" not in name}
    nested = {f"phases[{index}][{name}": value for name, value in more.items() if "]" in name}
    return {f"phases[{index}][items][0][price]": price, **named, **nested}


def _months(count: int) -> dict[str, str]:
    return {"duration][interval]": "month", "duration][interval_count]": str(count)}


def _create(shop: Shop, *phases: dict[str, str], **params: str) -> dict[str, Any]:
    customer = shop.customer()
    shop.stripe.use_card(customer, GOOD)
    merged = {name: value for phase in phases for name, value in phase.items()}
    return shop.post("/v1/subscription_schedules", {"customer": customer, **merged, **params})


def _schedule(shop: Shop, schedule: dict[str, Any]) -> dict[str, Any]:
    return shop.get(f"/v1/subscription_schedules/{schedule['id']}")


def test_phases_follow_each_other(shop: Shop) -> None:
    """Where a phase begins with a period, that period is billed with the new price, without prorations."""
    cheap, dear = shop.price(1_000), shop.price(2_000)
    before = len(shop.stripe.events)
    schedule = _create(shop, _phase(0, cheap, **_months(2)), _phase(1, dear, **_months(1)), start_date="now")
    made = shop.types(before)
    path = f"/v1/subscriptions/{schedule['subscription']}"
    first = shop.get(path)
    shop.stripe.advance(months=1, hours=1)
    middle = len(shop.stripe.events)
    shop.stripe.advance(months=1)
    told = [type for type in shop.types(middle) if ".subscription.u" in type or "schedule" in type]
    second = shop.get(path)
    shop.stripe.advance(months=1)
    ended = _schedule(shop, schedule)

    assert ("active", schedule["id"], "active") == (schedule["status"], first["schedule"], first["status"])
    assert [at(2026, 1, 15, 12), at(2026, 3, 15, 12), at(2026, 4, 15, 12)] == [
        schedule["phases"][0]["start_date"],
        schedule["phases"][0]["end_date"],
        schedule["phases"][1]["end_date"],
    ]
    assert "subscription_schedule.created" == made[-1]
    assert "customer.subscription.created" in made
    assert ["customer.subscription.updated", "subscription_schedule.updated", "customer.subscription.updated"] == told
    assert (dear, []) == (second["items"]["data"][0]["price"]["id"], waiting(shop))
    assert [2_000, 2_000, 1_000, 1_000] == [row["total"] for row in shop.invoices(first["id"])]
    assert ("released", None, first["id"], None) == (
        ended["status"],
        ended["subscription"],
        ended["released_subscription"],
        ended["current_phase"],
    )
    assert (None, "active") == (shop.get(path)["schedule"], shop.get(path)["status"])
    assert {"subscription_schedule.expiring", "subscription_schedule.released"} <= set(shop.types())


def test_the_first_invoice_of_a_schedule_waits_an_hour(shop: Shop) -> None:
    """It is a draft as a renewal's, and paid an hour later."""
    schedule = _create(shop, _phase(0, shop.price(1_000), **_months(1)))
    draft = shop.invoices(schedule["subscription"])[0]
    shop.stripe.advance(hours=1)

    assert ("draft", "subscription_create") == (draft["status"], draft["billing_reason"])
    assert "paid" == shop.invoices(schedule["subscription"])[0]["status"]


def test_a_schedule_that_begins_later(shop: Shop) -> None:
    """Until then there is no subscription; then there is, with a first invoice."""
    start = shop.now + 10 * DAY
    schedule = _create(shop, _phase(0, shop.price(1_000), **_months(1)), start_date=str(start))
    listed = shop.get("/v1/subscription_schedules", {"scheduled": "true"})["data"]
    shop.stripe.advance(days=10, hours=1)
    begun = _schedule(shop, schedule)

    assert ("not_started", None, None) == (schedule["status"], schedule["subscription"], schedule["current_phase"])
    assert [schedule["id"]] == [row["id"] for row in listed]
    assert ("active", start) == (begun["status"], begun["current_phase"]["start_date"])
    assert "paid" == shop.invoices(begun["subscription"])[0]["status"]
    assert [] == shop.get("/v1/subscription_schedules", {"scheduled": "true"})["data"]


@pytest.mark.parametrize(
    ("behavior", "items", "totals"),
    [
        ("create_prorations", [-1_550, 3_100], [3_100]),
        ("none", [], [3_100]),
        ("always_invoice", [], [1_550, 3_100]),
    ],
)
def test_a_phase_within_a_period_prorates_as_it_says(
    shop: Shop, behavior: str, items: list[int], totals: list[int]
) -> None:
    """The change happens at its second, with the proration behaviour of the phase."""
    end = str(at(2026, 1, 31))
    schedule = _create(
        shop,
        _phase(0, shop.price(3_100), end_date=end),
        _phase(1, shop.price(6_200), proration_behavior=behavior, **_months(1)),
    )
    shop.stripe.advance(days=15, hours=13)

    assert (items, totals) == (waiting(shop), [row["total"] for row in shop.invoices(schedule["subscription"])])
    assert at(2026, 1, 31) == _schedule(shop, schedule)["current_phase"]["start_date"]


def test_a_phase_of_another_interval_begins_a_period(shop: Shop) -> None:
    """From months to years the anchor moves to the phase, and its year is billed."""
    schedule = _create(
        shop,
        _phase(0, shop.price(1_000), **_months(1)),
        _phase(1, shop.price(9_000, interval="year"), **{"duration][interval]": "year"}),
    )
    shop.stripe.advance(months=1, hours=1)
    subscription = shop.subscription(schedule["subscription"])

    assert (at(2026, 2, 15, 12), at(2027, 2, 15, 12)) == (
        subscription["billing_cycle_anchor"],
        subscription["items"]["data"][0]["current_period_end"],
    )
    assert [9_000, 1_000] == [row["amount_paid"] for row in shop.invoices(subscription["id"])]


def test_a_schedule_can_end_its_subscription(shop: Shop) -> None:
    """`end_behavior=cancel` completes the schedule and cancels the subscription."""
    schedule = _create(shop, _phase(0, shop.price(1_000), **_months(1)), end_behavior="cancel")
    shop.stripe.advance(days=20)
    before = len(shop.stripe.events)
    shop.stripe.advance(months=1)
    ended = _schedule(shop, schedule)

    assert ("completed", at(2026, 2, 15, 12)) == (ended["status"], ended["completed_at"])
    assert "canceled" == shop.subscription(schedule["subscription"])["status"]
    assert [
        "subscription_schedule.expiring",
        "customer.subscription.deleted",
        "subscription_schedule.completed",
    ] == [type for type in shop.types(before) if type != "invoice.upcoming"]
    assert 1 == len(shop.invoices(schedule["subscription"]))


def test_a_trial_phase(shop: Shop) -> None:
    """A phase on trial costs nothing, the one after it is billed."""
    price = shop.price(1_000)
    schedule = _create(shop, _phase(0, price, trial="true", **_months(1)), _phase(1, price, **_months(1)))
    assert "trialing" == shop.subscription(schedule["subscription"])["status"]
    shop.stripe.advance(months=1, hours=1)

    assert "active" == shop.subscription(schedule["subscription"])["status"]
    assert [1_000, 0] == [row["amount_paid"] for row in shop.invoices(schedule["subscription"])]


def test_a_downgrade_at_the_periods_end(shop: Shop) -> None:
    """A schedule made from a subscription keeps its period; a second phase then changes the price at its end."""
    large, small = shop.price(5_000), shop.price(1_000)
    subscription = subscribe(shop, large)
    schedule = shop.post("/v1/subscription_schedules", {"from_subscription": subscription["id"]})
    phase = schedule["phases"][0]
    updated = shop.post(
        f"/v1/subscription_schedules/{schedule['id']}",
        {
            **_phase(0, large, start_date=str(phase["start_date"]), end_date=str(phase["end_date"])),
            **_phase(1, small, **_months(1)),
            "end_behavior": "release",
            "metadata[plan]": "small",
        },
    )
    shop.stripe.advance(months=1, hours=1)

    assert (subscription["id"], subscription["items"]["data"][0]["current_period_end"]) == (
        schedule["subscription"],
        phase["end_date"],
    )
    assert (2, {"plan": "small"}) == (len(updated["phases"]), updated["metadata"])
    now = shop.subscription(subscription["id"])
    assert small == now["items"]["data"][0]["price"]["id"]
    assert [1_000, 5_000] == [row["amount_paid"] for row in shop.invoices(subscription["id"])]


def test_the_current_phase_can_change_now(shop: Shop) -> None:
    """New items of the current phase take effect at once, prorated as the request says; `end_date=now` ends it."""
    small, large = shop.price(3_100), shop.price(6_200)
    subscription = subscribe(shop, small)
    schedule = shop.post("/v1/subscription_schedules", {"from_subscription": subscription["id"]})
    path = f"/v1/subscription_schedules/{schedule['id']}"
    start = str(schedule["phases"][0]["start_date"])
    shop.stripe.advance(days=15, hours=12)
    shop.post(path, {**_phase(0, large, start_date=start, **_months(1)), "proration_behavior": "create_prorations"})

    assert [-1_550, 3_100] == waiting(shop)
    assert large == shop.subscription(subscription["id"])["items"]["data"][0]["price"]["id"]
    ended = shop.post(
        path,
        {
            **_phase(0, large, start_date=start, end_date="now"),
            **_phase(1, small, proration_behavior="none", **_months(2)),
        },
    )
    assert (shop.now, 2) == (ended["current_phase"]["start_date"], len(ended["phases"]))
    assert small == shop.subscription(subscription["id"])["items"]["data"][0]["price"]["id"]


def test_releasing_and_cancelling(shop: Shop) -> None:
    """Released, the subscription goes on by itself; cancelled, it ends at once; both only while the schedule lives."""
    one = _create(shop, _phase(0, shop.price(1_000), **_months(3)))
    two = _create(shop, _phase(0, shop.price(1_000), **_months(3)))
    later = _create(shop, _phase(0, shop.price(1_000), **_months(3)), start_date=str(shop.now + DAY))
    released = shop.post(f"/v1/subscription_schedules/{one['id']}/release")
    canceled = shop.post(f"/v1/subscription_schedules/{two['id']}/cancel", {"prorate": "false", "invoice_now": "false"})
    never = shop.post(f"/v1/subscription_schedules/{later['id']}/cancel")

    assert ("released", one["subscription"], shop.now) == (
        released["status"],
        released["released_subscription"],
        released["released_at"],
    )
    assert (None, "canceled") == (
        shop.subscription(one["subscription"])["schedule"],
        shop.subscription(two["subscription"])["status"],
    )
    assert ("canceled", "canceled", shop.now) == (canceled["status"], never["status"], never["canceled_at"])
    for row in (one, two, later):
        for action in ("/release", "/cancel", ""):
            assert 400 == shop.refused("POST", f"/v1/subscription_schedules/{row['id']}{action}").status
    shop.stripe.advance(days=2)
    assert 2 == len(shop.get("/v1/subscriptions", {"status": "all"})["data"])


def test_a_schedule_ends_with_its_subscription(shop: Shop) -> None:
    """Cancelled by hand it is canceled; by failed payments it is aborted."""
    one = _create(shop, _phase(0, shop.price(1_000), **_months(9)))
    two = _create(shop, _phase(0, shop.price(1_000), **_months(9)))
    shop.delete(f"/v1/subscriptions/{one['subscription']}")
    shop.stripe.use_card(two["customer"], "4000000000000341")
    shop.stripe.advance(months=2)

    assert ["canceled", "canceled"] == [_schedule(shop, row)["status"] for row in (one, two)]
    told = [type for type in shop.types() if type.startswith("subscription_schedule.")]
    assert ["subscription_schedule.canceled", "subscription_schedule.aborted"] == told[-2:]


def test_a_scheduled_subscription_keeps_its_end(shop: Shop) -> None:
    """What ends it is the schedule's to say; other changes are allowed."""
    schedule = _create(shop, _phase(0, shop.price(1_000), **_months(9)))
    path = f"/v1/subscriptions/{schedule['subscription']}"
    refusal = shop.refused("POST", path, {"cancel_at_period_end": "true"})

    assert "managed by the subscription schedule" in refusal.message
    assert 400 == shop.refused("POST", path, {"cancel_at": str(shop.now + DAY)}).status
    subscription = shop.get(path)
    changed = shop.post(path, {"items[0][id]": item_of(subscription), "items[0][quantity]": "2"})
    assert 2 == changed["items"]["data"][0]["quantity"]


def test_previews_know_the_next_phase(shop: Shop) -> None:
    """The preview of a schedule, and the announcement of a renewal, bill what the next phase sells."""
    schedule = _create(shop, _phase(0, shop.price(1_000), **_months(1)), _phase(1, shop.price(2_000), **_months(1)))
    preview = shop.post("/v1/invoices/create_preview", {"schedule": schedule["id"]})
    shop.stripe.advance(days=25)

    told = next(event for event in shop.stripe.events if event["type"] == "invoice.upcoming")
    assert (2_000, 2_000) == (preview["total"], told["data"]["object"]["total"])
    assert 1_000 == shop.subscription(schedule["subscription"])["items"]["data"][0]["price"]["unit_amount"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({}, "phases"),
        (
            {"phases[0][items][0][price]": "good", "phases[0][end_date]": "9", "phases[0][duration][interval]": "day"},
            None,
        ),
        ({"phases[0][items][0][price]": "good", "phases[0][end_date]": "9"}, "phases[0][end_date]"),
        ({"phases[0][items][0][price]": "once"}, "phases[0][items][0][price]"),
        ({"phases[0][items][0][price]": "price_0"}, "phases[0][items][0][price]"),
        ({"phases[0][items][0][price]": "good", "start_date": "9"}, "start_date"),
        ({"phases[0][items][0][price]": "good", "phases[0][trial_end]": "9"}, "phases[0][trial_end]"),
        ({"phases[0][items][0][price]": "good", "end_behavior": "renew"}, "end_behavior"),
        ({"phases[0][items][0][price]": "good", "from_subscription": "sub_0"}, None),
    ],
)
def test_bad_schedules_are_refused(shop: Shop, params: dict[str, str], param: str | None) -> None:
    """Without phases, with two ends or one in the past, with prices that do not recur, or not modelled."""
    names = {"good": shop.price(1_000), "once": shop.price(1_000, interval=None)}
    given = {name: names.get(value, value) for name, value in params.items()}
    refusal = shop.refused("POST", "/v1/subscription_schedules", {"customer": shop.customer(), **given})

    assert 400 == refusal.status
    assert param in (None, refusal.param)
    assert [] == shop.get("/v1/subscription_schedules")["data"]


def test_bad_updates_of_schedules_are_refused(shop: Shop) -> None:
    """The start of what began cannot move, the current phase cannot go, and a first phase says when it starts."""
    price = shop.price(1_000)
    schedule = _create(shop, _phase(0, price, **_months(2)))
    path = f"/v1/subscription_schedules/{schedule['id']}"
    shop.stripe.advance(days=1)

    assert "anchor end dates" in shop.refused("POST", path, _phase(0, price, **_months(1))).message
    moved = _phase(0, price, start_date=str(shop.now), **_months(1))
    assert "phases[0][start_date]" == shop.refused("POST", path, moved).param
    assert (
        400
        == shop.refused("POST", "/v1/subscription_schedules", {"from_subscription": schedule["subscription"]}).status
    )
    assert schedule["phases"] == _schedule(shop, schedule)["phases"]
