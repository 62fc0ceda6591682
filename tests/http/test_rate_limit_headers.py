"""What answers say about quotas in headers: `RateLimit-Policy`, `RateLimit` and `Retry-After`, in every integration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing import Billing, InsufficientBalance, Metered, Plan, Quantity, UsageLimit, requires_feature
from kernia_billing.domain.answers import Balance, Decision, Reason, Usage
from kernia_billing.domain.references import Reference
from kernia_billing.http.openapi import document
from kernia_billing.http.rate_limits import decision_headers, gate_headers, usage_headers
from kernia_billing.testing import StripeSimulator
from tests.integrations import gated, sites
from tests.integrations.sites import BROWSER, JSON, USER, Answer, Sent, Site

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
MIDNIGHT = NOW + timedelta(hours=12)
NEXT_MONTH = datetime(2026, 2, 15, 12, tzinfo=UTC)
PLANS = [
    Plan(
        "free",
        features={
            "calls": Metered(1_000, overage="free", limits=(UsageLimit(5), UsageLimit(3, per="hour", count=2))),
            "messages": Metered(100),
            "projects": Quantity(3),
            "tokens": Metered(1_000, limits=(UsageLimit(9, timezone="Europe/Berlin", per_entity=True),)),
        },
    )
]
Item = tuple[str, dict[str, int]]


def items(value: str) -> list[Item]:
    """The members of a list of strings with whole numbers as parameters, as structured fields (RFC 9651) have them."""
    found: list[Item] = []
    for member in value.split(", "):
        match = re.fullmatch(r'"([\x20-\x21\x23-\x5b\x5d-\x7e]*)"((?:;[a-z*][a-z0-9_.*-]*=-?[0-9]{1,15})*)', member)
        assert match, member
        pairs = (each.split("=") for each in match[2].split(";")[1:])
        found.append((match[1], {name: int(number) for name, number in pairs}))
    return found


def told(headers: Mapping[str, str]) -> dict[str, Any]:
    """The three fields, read."""
    found: dict[str, Any] = {
        name: dict(items(headers[name])) for name in ("ratelimit-policy", "ratelimit") if name in headers
    }
    return {**found, **({"retry-after": int(headers["retry-after"])} if "retry-after" in headers else {})}


# ── From a decision ──────────────────────────────────────────────────────────────────────────────────────────────────


def limit(maximum: int, used: int, **changes: Any) -> dict[str, Any]:
    """A limit a day, as a decision shows it."""
    return {
        "id": "all:0123456789abcdef",
        "feature": "calls",
        "entityId": None,
        "maximum": maximum,
        "used": used,
        "remaining": max(0, maximum - used),
        "per": "day",
        "count": 1,
        "timezone": "UTC",
        "where": {},
        "startedAt": MIDNIGHT - timedelta(days=1),
        "resetsAt": MIDNIGHT,
        **changes,
    }


def line(included: int | None, used: int, resets: datetime | None = NEXT_MONTH, **changes: Any) -> dict[str, Any]:
    """An allowance, as a decision shows it."""
    return {
        "feature": "calls",
        "kind": "grant",
        "included": included,
        "used": used,
        "held": 0,
        "resetsAt": resets,
        **changes,
    }


def decision(reason: Reason, required: int = 1, *lines: dict[str, Any], limits: Any = ()) -> Decision:
    """A decision over these allowances."""
    own = [each for each in lines if each["kind"] != "overage" and each["feature"] == "calls"]
    amounts = [each["included"] for each in own]
    left = None if None in amounts else sum(each["included"] - each["used"] - each["held"] for each in own)
    resets = min((each["resetsAt"] for each in own if each["resetsAt"]), default=None)
    included = sum(amount or 0 for amount in amounts)
    return Decision(
        allowed=reason in ("ok", "unlimited", "overage"),
        reason=reason,
        message="A sentence.",
        reference=Reference("user_1", "user"),
        feature="calls",
        required=required,
        balance=Balance("calls", included, 0, 0, left, left is None, resets, 0, None),
        breakdown=lines,
        limits=limits,
        offers=(),
        as_of=NOW,
    )


def test_a_limit_is_a_policy() -> None:
    """Its maximum and window, what is left of it and for how long; named by what it counts."""
    hourly = limit(9, 2, per="hour", count=6, startedAt=NOW - timedelta(hours=2), resetsAt=NOW + timedelta(hours=4))
    found = decision_headers(decision("ok", 1, line(None, 0, None), limits=[limit(200, 150), hourly]))

    assert {
        "ratelimit-policy": '"calls-per-day";q=200;w=86400, "calls-per-6-hours";q=9;w=21600',
        "ratelimit": '"calls-per-day";r=50;t=43200, "calls-per-6-hours";r=7;t=14400',
    } == found


def test_limits_that_differ_have_names_that_differ() -> None:
    """By entity, by property and by time zone; the name says nothing of who uses it."""
    each = limit(9, 0, entityId="secret")
    others = [
        limit(9, 0, id="some:1111aaaabbbb", where={"model": "large"}),
        limit(9, 0, id="all:2222ccccdddd", timezone="Asia/Tokyo"),
    ]
    found = told(decision_headers(decision("ok", 1, limits=[limit(9, 0), each, *others])))

    assert ["calls-per-day", "calls-per-day-each", "calls-per-day-aaaabbbb", "calls-per-day-ccccdddd"] == [
        *found["ratelimit"]
    ]


def test_a_balance_is_a_policy_where_it_starts_anew() -> None:
    """Where nothing else pays, and it ends: what never starts anew is no rate, and what has no limit has no rest."""
    assert {"ratelimit-policy": '"calls";q=100', "ratelimit": '"calls";r=60;t=2678400'} == decision_headers(
        decision("ok", 1, line(100, 40))
    )
    for lines in (
        [line(100, 40, None)],
        [line(None, 40)],
        [line(100, 40), line(None, 0, kind="overage")],
        [line(100, 40), line(9, 0, feature="credits")],
        [],
    ):
        assert {} == decision_headers(decision("ok", 1, *lines))


def test_a_refusal_that_time_heals_says_when() -> None:
    """At the end of the window that is used up, and `RateLimit` names no other one."""
    short = limit(3, 3, per="hour", startedAt=NOW, resetsAt=NOW + timedelta(hours=1))
    found = told(decision_headers(decision("usage_limit", 2, line(100, 0), limits=[limit(9, 0), short])))
    both = told(decision_headers(decision("usage_limit", 2, line(100, 0), limits=[limit(9, 8), short])))

    assert (3_600, {"calls-per-hour": {"r": 0, "t": 3_600}}) == (found["retry-after"], found["ratelimit"])
    assert {"calls-per-day", "calls-per-hour", "calls"} == found["ratelimit-policy"].keys()
    assert (43_200, {"calls-per-day", "calls-per-hour"}) == (both["retry-after"], both["ratelimit"].keys())


def test_a_balance_that_starts_anew_heals() -> None:
    """When enough of the allowances have started anew for the whole quantity, and no limit is in the way any more."""
    month, week = line(100, 90), line(20, 20, NOW + timedelta(days=7))
    found = [
        told(decision_headers(decision("insufficient_balance", required, month, week))).get("retry-after")
        for required in (11, 30, 31, 120, 121)
    ]
    assert [7 * 86_400, 7 * 86_400, 31 * 86_400, 31 * 86_400, None] == found
    limited = decision("insufficient_balance", 30, month, week, limits=[limit(30, 30, resetsAt=NEXT_MONTH)])
    assert 31 * 86_400 == told(decision_headers(limited))["retry-after"]


@pytest.mark.parametrize(
    "refused",
    [
        decision("usage_limit", 10, line(100, 0), limits=[limit(9, 0)]),
        decision("insufficient_balance", 10, line(100, 95), limits=[limit(9, 0)]),
        decision("insufficient_balance", 1, line(3, 3, None)),
        decision("not_entitled"),
        decision("subscription_past_due"),
    ],
    ids=["more than the limit", "both", "never starts anew", "not in the plan", "past due"],
)
def test_a_refusal_that_time_does_not_heal_says_nothing(refused: Decision) -> None:
    """Waiting would not help."""
    assert "retry-after" not in decision_headers(refused)


def test_a_limit_on_credits_heals() -> None:
    """What it costs is not told here: what is left least has to be waited for."""
    daily = limit(35, 30, feature="credits")
    yearly = limit(900, 30, feature="credits", per="year", resetsAt=NEXT_MONTH)
    found = told(decision_headers(decision("usage_limit", 1, line(0, 0), limits=[limit(9, 3), daily, yearly])))

    assert (43_200, ["credits-per-day"]) == (found["retry-after"], [*found["ratelimit"]])


limits = st.builds(limit, st.integers(0, 10**9), st.integers(0, 10**9), feature=st.sampled_from(["calls", "a.B:c_-9"]))
lines = st.builds(
    line, st.one_of(st.none(), st.integers(0, 99)), st.integers(0, 99), st.sampled_from([None, NEXT_MONTH])
)
reasons: st.SearchStrategy[Reason] = st.sampled_from(["ok", "overage", "usage_limit", "insufficient_balance"])


@given(st.builds(decision, reasons, st.integers(0, 99)), st.lists(limits, max_size=3), st.lists(lines, max_size=3))
def test_whatever_is_decided_can_be_read(base: Decision, some: Any, breakdown: Any) -> None:
    """Every field is a list as the draft has it, and nobody is told to come back before a window's end."""
    found = told(decision_headers(evolve(base, limits=some, breakdown=breakdown)))

    for parameters in found.get("ratelimit-policy", {}).values():
        assert 0 <= parameters["q"]
        assert parameters.get("w", 1) > 0
    for name, parameters in found.get("ratelimit", {}).items():
        assert {"r", "t"} == parameters.keys()
        assert 0 <= min(parameters.values())
        assert name in found["ratelimit-policy"]
        assert parameters["t"] <= found.get("retry-after", parameters["t"])
    assert not (base.allowed and "retry-after" in found)


def test_a_receipt_tells_what_is_left() -> None:
    """Of its limits, as of now; the receipt of an earlier call tells nothing of now."""
    usage = Usage("use_1", "calls", 1, 1, 0, decision("ok").balance, False, False, limits=[limit(200, 151)])
    later = NOW + timedelta(microseconds=1)

    assert '"calls-per-day";r=49;t=43200' == usage_headers(usage, later)["ratelimit"]
    assert {} == usage_headers(evolve(usage, replayed=True), NOW)
    assert '"calls-per-day";r=49;t=0' == usage_headers(usage, MIDNIGHT)["ratelimit"]


def test_a_view_that_tells_itself_is_left_alone() -> None:
    """So is a redirect, which clients might hold back; gates for several features are all told of."""
    passed = [decision("ok", 1, limits=[limit(9, 1)]), decision("ok", 1, limits=[limit(5, 1, feature="tokens")])]

    assert (
        '"calls-per-day";r=8;t=43200, "tokens-per-day";r=4;t=43200' == gate_headers(passed, 200, ["etag"])["ratelimit"]
    )
    assert {} == gate_headers(passed, 200, ["RateLimit"])
    assert {} == gate_headers(passed, 302, [])
    assert {} == gate_headers([], 200, [])


# ── Over HTTP ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(autouse=True)
def limited_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every site sells plans with limits, and has views behind them."""
    monkeypatch.setitem(sites.OPTIONS, "plans", PLANS)
    for path, feature, required in (("/calls", "calls", 1), ("/many", "calls", 4), ("/messages", "messages", 1)):
        monkeypatch.setitem(gated.GATES, path, requires_feature(feature, required))
    monkeypatch.setitem(gated.GATES, "/never", requires_feature("calls", 6))
    refused = InsufficientBalance(decision("usage_limit", 1, limits=[limit(5, 5)]))
    monkeypatch.setitem(gated.GATES, "/refused", requires_feature("messages"))
    monkeypatch.setitem(gated.ERRORS, "/refused", refused)


@pytest.fixture(params=gated.KINDS)
def site(request: pytest.FixtureRequest, limited_plans: None) -> Iterator[Site]:
    """Each kind of application with gated views."""
    with gated.gated(request.param, gated.Views()) as made:
        yield made


def test_gated_views_tell(site: Site) -> None:
    """Who passes hears what is left, in the response of the view itself; who does not, when to come back."""
    passed = told(site(Sent("GET", "/calls", USER)).headers)
    assert {"calls-per-day": {"q": 5, "w": 86_400}, "calls-per-2-hours": {"q": 3, "w": 7_200}} == passed[
        "ratelimit-policy"
    ]
    assert {"calls-per-day": {"r": 5, "t": 43_200}, "calls-per-2-hours": {"r": 3, "t": 7_200}} == passed["ratelimit"]
    assert {"messages": {"r": 100, "t": 2_678_400}} == told(site(Sent("GET", "/messages", USER)).headers)["ratelimit"]
    assert {} == told(site(Sent("GET", "/open", USER)).headers)

    never = site(Sent("GET", "/never", {**USER, "accept": "application/json"}))
    assert (402, False) == (never.status, "retry-after" in never.headers)
    refused = site(Sent("POST", "/many", {**USER, "accept": "application/json"}))
    assert (402, "usage_limit", False) == (refused.status, refused.json["reason"], "retry-after" in refused.headers)
    person = site(Sent("GET", "/many", {**USER, **BROWSER}))
    assert (302, {}) == (person.status, told(person.headers))


def test_refusals_that_heal(site: Site) -> None:
    """A view that is refused its use says when to come back; what is no refusal of quotas says nothing."""
    refused = site(Sent("POST", "/refused", {**USER, "accept": "application/json"}))
    assert (402, 43_200, {"calls-per-day": {"r": 0, "t": 43_200}}) == (
        refused.status,
        told(refused.headers)["retry-after"],
        told(refused.headers)["ratelimit"],
    )
    other = site(Sent("GET", "/conflict", USER))
    assert (409, {}) == (other.status, told(other.headers))


def post(path: str, **body: Any) -> Sent:
    """A POST by a program that is signed in."""
    return Sent("POST", path, {**USER, **JSON}, json.dumps(body).encode())


def test_routes_tell() -> None:
    """Check and track, in every integration: what is left after a use, and when a refused one may come again."""
    with sites.sites() as every:
        for name, site in every.items():
            answers = [
                site(post("/billing/check", feature="calls")),
                site(post("/billing/track", feature="calls", quantity=2, mode="require", idempotencyKey="a")),
                site(post("/billing/track", feature="calls", quantity=2, mode="require", idempotencyKey="a")),
                site(post("/billing/track", feature="calls", quantity=2, mode="require")),
                site(post("/billing/check", feature="calls", required=2)),
                site(post("/billing/track", feature="projects")),
            ]
            assert [200, 200, 200, 402, 200, 200] == [each.status for each in answers], name
            assert [(5, 3), (3, 1), None, (None, 1), (None, 1), None] == [rests(each) for each in answers], name
            assert [None, None, None, 7_200, 7_200, None] == [told(each.headers).get("retry-after") for each in answers]


def rests(answer: Answer) -> tuple[int | None, int | None] | None:
    """What is left by day and by two hours."""
    found = told(answer.headers).get("ratelimit")
    if found is None:
        return None
    day, hours = (found.get(f"calls-per-{per}", {}).get("r") for per in ("day", "2-hours"))
    return day, hours


def test_the_description_tells_of_it() -> None:
    """Of the routes that have the headers, on answers and refusals."""
    told_by = {
        (path, status)
        for path, item in document("https://shop.example", has_webhook=True)["paths"].items()
        for operation in item.values()
        for status, response in operation["responses"].items()
        if {"RateLimit-Policy", "RateLimit", "Retry-After"} == response.get("headers", {}).keys()
    }
    assert {("/billing/check", "200"), ("/billing/track", "200"), ("/billing/track", "402")} == told_by


def test_what_is_told_comes_true(stripe: StripeSimulator, shop: Billing) -> None:
    """After `Retry-After` the same use is granted, an hour earlier it is not."""
    shop.consume("user_1", "messages", 100)
    shop.consume("user_1", "calls", 3)
    stripe.advance(hours=2)
    shop.consume("user_1", "calls", 2)
    for feature, required in (("calls", 1), ("calls", 3), ("messages", 100)):
        refused = shop.check("user_1", feature, required)
        wait = timedelta(seconds=int(decision_headers(refused)["retry-after"]))
        assert not refused
        stripe.advance(hours=wait // timedelta(hours=1) - 1)
        assert not shop.check("user_1", feature, required)
        stripe.advance(hours=1)
        shop.consume("user_1", feature, required)


@pytest.fixture
def stripe() -> StripeSimulator:
    """A simulated Stripe."""
    return StripeSimulator()


@pytest.fixture
def shop(stripe: StripeSimulator) -> Iterator[Billing]:
    """A shop with limits."""
    with Billing(stripe_client=stripe, database="sqlite://", plans=PLANS, default_plan="free") as billing:
        yield billing
