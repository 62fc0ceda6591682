"""Meters and meter events: what is refused at once, what is counted when, and what goes into error reports."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernia_billing.testing import AsyncStripeSimulator
from kernia_billing.testing.simulator.customers import customers
from kernia_billing.testing.simulator.world.world import RepeatedUsage
from tests.simulator.metering import DAY, HOUR, MINUTE, counted, meter, summaries, usage, use
from tests.simulator.shop import Shop


def _reports(shop: Shop) -> list[dict[str, Any]]:
    """The thin events about usage that could not be counted, oldest first."""
    thin = shop.get("/v2/core/events", {"limit": "100"})["data"]
    return [event for event in reversed(thin) if "data" in event]


def test_a_meter_lives(shop: Shop) -> None:
    """Made, renamed, deactivated, reactivated; each step has its event, and nothing but the name ever changes."""
    made = meter(shop, event="calls", formula="last", event_time_window="hour")
    shop.post(f"/v1/billing/meters/{made}", {"display_name": "API calls"})
    shop.post(f"/v1/billing/meters/{made}/deactivate")
    inactive = shop.get(f"/v1/billing/meters/{made}")
    shop.post(f"/v1/billing/meters/{made}/reactivate")
    active = shop.get("/v1/billing/meters", {"status": "active"})["data"]

    assert ("inactive", shop.now) == (inactive["status"], inactive["status_transitions"]["deactivated_at"])
    assert [("API calls", "active", None)] == [
        (row["display_name"], row["status"], row["status_transitions"]["deactivated_at"]) for row in active
    ]
    assert "hour" == active[0]["event_time_window"]
    assert [f"billing.meter.{what}" for what in ("created", "updated", "deactivated", "reactivated")] == shop.types()
    refusal = shop.refused("POST", f"/v1/billing/meters/{made}", {"event_name": "other"})
    assert ("parameter_unknown", "event_name") == (refusal.code, refusal.param)


def test_an_event_name_belongs_to_one_active_meter(shop: Shop) -> None:
    """A second meter of the name waits until the first is deactivated, which then cannot come back."""
    params = {"display_name": "T", "event_name": "tokens", "default_aggregation[formula]": "sum"}
    first = meter(shop)
    taken = shop.refused("POST", "/v1/billing/meters", params)
    shop.post(f"/v1/billing/meters/{first}/deactivate")
    shop.post("/v1/billing/meters", params)
    late = shop.refused("POST", f"/v1/billing/meters/{first}/reactivate")

    assert (400, "event_name") == (taken.status, taken.param)
    assert (400, "event_name") == (late.status, late.param)
    assert "already inactive" in shop.refused("POST", f"/v1/billing/meters/{first}/deactivate").message


def test_an_answer_is_no_count(shop: Shop) -> None:
    """Usage is received at once and counted a minute later, or as late as the account's setting says."""
    meter(shop)
    customer = shop.customer()
    told = use(shop, customer, 5, identifier="first")
    assert ("first", shop.now, {"stripe_customer_id": customer, "value": "5"}) == (
        told["identifier"],
        told["timestamp"],
        told["payload"],
    )
    assert 0 == counted(shop, customer)
    shop.stripe.settings.meter_delay = 2 * HOUR
    use(shop, customer, 7)
    shop.stripe.advance(hours=1)
    assert 5 == counted(shop, customer)
    shop.stripe.advance(hours=1)
    assert 12 == counted(shop, customer)


def test_an_identifier_counts_once_in_24_hours(shop: Shop) -> None:
    """A known identifier is refused, without a code; after a day it is new, so that a client must not rely on more."""
    meter(shop)
    customer = shop.customer()
    use(shop, customer, 5, identifier="one")
    shop.stripe.advance(hours=23)
    refusal = shop.refused("POST", "/v1/billing/meter_events", usage(customer, 5, identifier="one"))
    shop.stripe.advance(hours=1)
    use(shop, customer, 5, identifier="one")
    shop.stripe.advance(hours=1)

    assert (400, "invalid_request_error", None) == (refusal.status, refusal.type, refusal.code)
    assert "An event already exists with identifier one." == refusal.message
    assert 10 == counted(shop, customer)


@pytest.mark.parametrize(
    ("answer", "code", "param"),
    [
        ("refused", None, None),
        ("refused_by_code", "duplicate_meter_event", None),
        ("refused_by_param", None, "identifier"),
        ("refused_otherwise", None, None),
        ("dropped", None, None),
    ],
)
def test_a_repeated_identifier_is_answered_as_the_settings_say(
    shop: Shop, answer: RepeatedUsage, code: str | None, param: str | None
) -> None:
    """Refused in one way or another, or taken: it never counts."""
    meter(shop)
    customer = shop.customer()
    shop.stripe.settings.repeated_usage = answer
    use(shop, customer, 5, identifier="one")
    if answer == "dropped":
        use(shop, customer, 7, identifier="one")
    else:
        refusal = shop.refused("POST", "/v1/billing/meter_events", usage(customer, 7, identifier="one"))
        assert (400, "invalid_request_error", code, param) == (
            refusal.status,
            refusal.type,
            refusal.code,
            refusal.param,
        )
    shop.stripe.advance(hours=1)

    assert 5 == counted(shop, customer)


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (-35 * DAY, None),
        (-35 * DAY - 1, "timestamp_too_far_in_past"),
        (300, None),
        (301, "timestamp_in_future"),
    ],
)
def test_the_time_of_usage_has_bounds(shop: Shop, seconds: int, code: str | None) -> None:
    """Usage is from the last 35 days and at most five minutes ahead."""
    meter(shop)
    params = usage(shop.customer(), 1, timestamp=shop.now + seconds)
    if code is None:
        shop.post("/v1/billing/meter_events", params)
    else:
        refusal = shop.refused("POST", "/v1/billing/meter_events", params)
        assert (400, code, "timestamp") == (refusal.status, refusal.code, refusal.param)


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("payload", "text", "payload"),
        ("payload[value][x]", "1", "payload[value]"),
        ("identifier", "i" * 101, "identifier"),
        ("event_name", "e" * 101, "event_name"),
    ],
)
def test_a_malformed_event_is_refused_at_once(shop: Shop, name: str, value: str, param: str) -> None:
    """A payload is a map of texts; names and identifiers have at most 100 characters."""
    meter(shop)
    good = usage(shop.customer(), 1)
    params = {key: given for key, given in good.items() if not key.startswith(name.split("[value]", maxsplit=1)[0])}
    refusal = shop.refused("POST", "/v1/billing/meter_events", {**params, name: value})

    assert 400 == refusal.status
    assert refusal.param is not None
    assert refusal.param.startswith(param)


def test_what_cannot_be_counted_is_reported_later(shop: Shop) -> None:
    """Each reason is found at counting time and told by the thin report of its meter, with samples by request."""
    made = meter(shop)
    archived = meter(shop, event="old")
    shop.post(f"/v1/billing/meters/{archived}/deactivate")
    customer = shop.customer()
    wrong = [
        usage("cus_nobody", 1),
        {"event_name": "tokens", "payload[value]": "1"},
        usage(customer, "1.5"),
        usage(customer, "9" * 16),
        {"event_name": "tokens", "payload[stripe_customer_id]": customer},
        usage(customer, 1, event="old"),
        usage(customer, 1, event="nothing"),
    ]
    for number, params in enumerate(wrong):
        shop.post("/v1/billing/meter_events", params, key=f"key_of_{number}")
    use(shop, customer, 3)
    shop.stripe.advance(hours=1)

    report, old, none = _reports(shop)
    assert 3 == counted(shop, customer)
    codes = {row["code"]: row["error_count"] for row in report["data"]["reason"]["error_types"]}
    assert {
        "meter_event_customer_not_found": 1,
        "meter_event_no_customer_defined": 1,
        "meter_event_invalid_value": 2,
        "meter_event_value_too_many_digits": 1,
    } == codes
    assert 5 == report["data"]["reason"]["error_count"]
    first = report["data"]["reason"]["error_types"][0]["sample_errors"]
    assert [{"identifier": "key_of_0"}] == [sample["request"] for sample in first]
    assert "v1.billing.meter.error_report_triggered" == report["type"]
    assert (made, f"/v1/billing/meters/{made}") == (report["related_object"]["id"], report["related_object"]["url"])
    assert "archived_meter" == old["data"]["reason"]["error_types"][0]["code"]
    assert "v1.billing.meter.no_meter_found" == none["type"]
    assert "related_object" not in none
    assert "no_meter" == none["data"]["reason"]["error_types"][0]["code"]


def test_reports_go_out_every_ten_seconds(shop: Shop) -> None:
    """Errors of ten seconds share a report, however many; only five of a kind are shown."""
    meter(shop)
    for _ in range(8):
        use(shop, "cus_nobody", 1)
    shop.stripe.advance(hours=1)
    use(shop, "cus_nobody", 1)
    shop.stripe.advance(hours=1)

    many, one = (event["data"] for event in _reports(shop))
    assert (8, 5) == (many["reason"]["error_count"], len(many["reason"]["error_types"][0]["sample_errors"]))
    assert ("There are 8 invalid events", "There is 1 invalid event") == (
        many["developer_message_summary"],
        one["developer_message_summary"],
    )
    assert ("2026-01-15T12:01:00.000Z", "2026-01-15T12:01:10.000Z") == (
        many["validation_start"],
        many["validation_end"],
    )


def test_a_deleted_customer_has_no_usage(shop: Shop) -> None:
    """Who is gone when the event is counted is not found."""
    meter(shop)
    customer = shop.customer()
    use(shop, customer, 1)
    shop.delete(f"/v1/customers/{customer}")
    shop.stripe.advance(hours=1)

    assert "meter_event_customer_not_found" == _reports(shop)[0]["data"]["reason"]["error_types"][0]["code"]


def test_usage_can_be_taken_back_for_a_day(shop: Shop) -> None:
    """An adjustment cancels an event by its identifier, before or after it was counted, once, within 24 hours."""
    meter(shop)
    customer = shop.customer()
    for name in ("early", "counted", "late"):
        use(shop, customer, 10, identifier=name)

    def adjust(identifier: str, event_name: str = "tokens") -> dict[str, str]:
        return {"type": "cancel", "event_name": event_name, "cancel[identifier]": identifier}

    pending = shop.post("/v1/billing/meter_event_adjustments", adjust("early"))
    shop.stripe.advance(hours=1)
    shop.post("/v1/billing/meter_event_adjustments", adjust("counted"))
    assert 20 == counted(shop, customer)
    shop.stripe.advance(hours=1)
    assert 10 == counted(shop, customer)
    again = shop.refused("POST", "/v1/billing/meter_event_adjustments", adjust("counted"))
    unknown = shop.refused("POST", "/v1/billing/meter_event_adjustments", adjust("nothing"))
    other = shop.refused("POST", "/v1/billing/meter_event_adjustments", adjust("late", "others"))
    shop.stripe.advance(hours=23)
    late = shop.refused("POST", "/v1/billing/meter_event_adjustments", adjust("late"))

    assert ("pending", {"identifier": "early"}) == (pending["status"], pending["cancel"])
    assert {"cancel[identifier]"} == {again.param, unknown.param, other.param, late.param}
    assert ("resource_missing", "resource_missing") == (unknown.code, other.code)
    assert "24 hours" in late.message


@pytest.mark.parametrize(("formula", "value"), [("sum", 9.0), ("count", 3.0), ("last", 4.0)])
def test_formulas(shop: Shop, formula: str, value: float) -> None:
    """Usage becomes a sum, a count, or the value of the latest time, whichever came in last."""
    made = meter(shop, formula=formula)
    customer = shop.customer()
    start = shop.now
    for seconds, amount in ((-10, 2), (0, 4), (-20, 3)):
        use(shop, customer, amount, timestamp=start + seconds)
    shop.stripe.advance(hours=1)

    assert [(start - HOUR, value)] == summaries(shop, made, customer, start - HOUR, start + HOUR)


def test_usage_that_comes_aggregated_overwrites_itself(shop: Shop) -> None:
    """With an hourly window the event received last stands for its hour."""
    made = meter(shop, event_time_window="hour")
    customer = shop.customer()
    start = shop.now
    for seconds, amount in ((0, 5), (MINUTE, 7), (-HOUR, 1), (10, 6)):
        use(shop, customer, amount, timestamp=start + seconds)
    shop.stripe.advance(hours=1)

    assert [(start - DAY // 2, 7.0)] == summaries(shop, made, customer, start - DAY // 2, start + DAY // 2)


def test_summaries_by_hour_and_day(shop: Shop) -> None:
    """Grouped summaries come newest first, one for each window that has usage, aligned and paged like any list."""
    made = meter(shop)
    customer = shop.customer()
    noon = shop.now
    for hours, amount in ((0, 1), (-1, 2), (-1, 3), (-30, 10)):
        use(shop, customer, amount, timestamp=noon + hours * HOUR)
    shop.stripe.advance(hours=1)
    midnight = noon - 12 * HOUR

    hourly = summaries(shop, made, customer, midnight - DAY, midnight + DAY, value_grouping_window="hour")
    daily = summaries(shop, made, customer, midnight - DAY, midnight + DAY, value_grouping_window="day")
    assert [(noon, 1.0), (noon - HOUR, 5.0), (noon - 30 * HOUR, 10.0)] == hourly
    assert [(midnight, 6.0), (midnight - DAY, 10.0)] == daily
    path = f"/v1/billing/meters/{made}/event_summaries"
    span = {"customer": customer, "start_time": midnight - DAY, "end_time": midnight + DAY}
    first = shop.get(path, {**span, "value_grouping_window": "hour", "limit": "1"})
    rest = shop.get(path, {**span, "value_grouping_window": "hour", "starting_after": first["data"][0]["id"]})
    assert (True, 2) == (first["has_more"], len(rest["data"]))


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"start_time": 30}, "start_time"),
        ({"end_time": 90}, "end_time"),
        ({"value_grouping_window": "hour", "start_time": MINUTE}, "start_time"),
        ({"value_grouping_window": "day", "start_time": 0, "end_time": HOUR}, "end_time"),
        ({"start_time": HOUR, "end_time": HOUR}, "end_time"),
        ({"customer": "cus_nobody"}, "customer"),
    ],
)
def test_summaries_need_aligned_times(shop: Shop, changes: dict[str, Any], param: str) -> None:
    """Times stand on minutes, hours or days, as the grouping wants it."""
    made = meter(shop)
    good: dict[str, Any] = {"customer": shop.customer(), "start_time": 0, "end_time": DAY}
    refusal = shop.refused("GET", f"/v1/billing/meters/{made}/event_summaries", {**good, **changes})

    assert (400, param) == (refusal.status, refusal.param)


@settings(max_examples=25, deadline=None)
@given(
    told=st.lists(
        st.tuples(st.integers(0, 5 * HOUR), st.integers(-50, 50), st.booleans()),
        max_size=12,
    )
)
def test_sums_are_what_was_told_and_not_taken_back(told: list[tuple[int, int, bool]]) -> None:
    """However usage is spread, its hours add up to what was told less what was taken back."""
    shop = Shop()
    made = meter(shop)
    customer = shop.customer()
    start = shop.now - 5 * HOUR
    for number, (seconds, amount, back) in enumerate(told):
        use(shop, customer, amount, timestamp=start + seconds, identifier=str(number))
        if back:
            params = {"type": "cancel", "event_name": "tokens", "cancel[identifier]": str(number)}
            shop.post("/v1/billing/meter_event_adjustments", params)
    shop.stripe.advance(hours=1)

    hourly = summaries(shop, made, customer, start, start + 6 * HOUR, value_grouping_window="hour")
    whole = sum(amount for _, amount, back in told if not back)
    assert whole == counted(shop, customer) == sum(value for _, value in hourly)
    assert not shop.stripe.violations
    shop.http.close()


def test_adding_meters_in_python(shop: Shop) -> None:
    """`add_meter` makes one, `ensure_meter` sees that one is there, quietly; `usage` wants a meter that exists."""
    made = shop.stripe.add_meter("tokens", formula="count")
    shop.stripe.ensure_meter("tokens")
    shop.stripe.ensure_meter("calls")

    meters = shop.get("/v1/billing/meters")["data"]
    assert [("calls", "sum"), ("tokens", "count")] == [
        (row["event_name"], row["default_aggregation"]["formula"]) for row in meters
    ]
    assert made == meters[1]["id"]
    assert ["billing.meter.created"] == shop.types()
    with pytest.raises(Exception, match="has the event name tokens"):
        shop.stripe.add_meter("tokens")
    with pytest.raises(Exception, match="no meter has the event name nothing"):
        shop.stripe.usage(shop.customer(), "nothing")


def test_usage_is_awaited_where_the_simulator_is() -> None:
    """The async simulator reads usage as the blocking one does."""
    simulator = AsyncStripeSimulator()
    simulator.add_meter("tokens")
    customer = str(customers.new(simulator.state.world)["id"])

    async def told() -> list[int]:
        async with httpx.AsyncClient(transport=simulator.async_transport, base_url="https://api.stripe.com") as http:
            headers = {"Authorization": f"Bearer {simulator.api_key}"}
            await http.post("/v1/billing/meter_events", data=usage(customer, 5), headers=headers)
        before = await simulator.usage(customer, "tokens")
        await simulator.advance(hours=1)
        return [before, await simulator.usage(customer, "tokens")]

    assert [0, 5] == asyncio.run(told())
