"""The terms of an allowance: stored as a text, read back the same, and named so that windows outlive a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.alerts import Measure, Threshold
from kernia_billing.domain.ids import MAX_QUANTITY, Property
from kernia_billing.domain.instants import DAY, HOUR
from kernia_billing.domain.limits import Limit
from kernia_billing.domain.offer import content_hash
from kernia_billing.domain.plan_items import items_of
from kernia_billing.domain.plans import Credits, LimitWindow, Metered, Plan, Quantity, UsageLimit
from kernia_billing.domain.rollover import DebtMode, Rule
from kernia_billing.domain.terms import NO_TERMS, Terms, limits_of, terms_of

AT = 1_790_000_000_000_000
LIMIT = UsageLimit(200)

amounts = st.integers(0, MAX_QUANTITY)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
wheres = st.dictionaries(texts, st.one_of(texts, st.booleans(), st.integers(-9, 9)), max_size=3)
usage_limits = st.builds(
    UsageLimit,
    maximum=amounts,
    per=st.sampled_from(get_args(LimitWindow)),
    count=st.integers(1, 1_000),
    per_entity=st.booleans(),
    where=wheres,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
)
rules = st.one_of(st.none(), st.builds(Rule, amounts, st.one_of(st.none(), st.integers(1, 99))))
thresholds = st.lists(st.builds(Threshold, amounts, st.sampled_from(get_args(Measure))), max_size=3)
terms = st.builds(
    Terms,
    rollover=rules,
    debt=st.sampled_from(get_args(DebtMode)),
    limits=st.lists(usage_limits, max_size=2).map(tuple),
    alerts=thresholds.map(tuple),
)


def shuffled(where: Mapping[str, Property]) -> dict[str, Property]:
    """The same in the other order."""
    return dict(reversed(list(where.items())))


def typed(each: Terms) -> str:
    """Everything, types too: Python takes 1 and True for equal."""
    return repr(evolve(each, limits=tuple(evolve(one, where=dict(sorted(one.where.items()))) for one in each.limits)))


@given(terms)
def test_terms_come_back(each: Terms) -> None:
    """What is stored says all of it, the types of properties too."""
    assert typed(each) == typed(terms_of(each.text()))
    assert (each.text() is None) == (each == NO_TERMS)


@given(terms, terms)
def test_equal_terms_are_equal_texts(one: Terms, other: Terms) -> None:
    """And different ones are different; the order in which properties were written does not count."""
    again = evolve(one, limits=tuple(evolve(each, where=shuffled(each.where)) for each in one.limits))

    assert one.text() == again.text()
    assert (one.text() == other.text()) == (typed(one) == typed(other))


def test_nothing_is_stored_of_what_is_not_used() -> None:
    """No terms are no text, and only what differs from its default is in it."""
    assert NO_TERMS.text() is None
    assert terms_of(None) == NO_TERMS
    assert '{"debt":"carry"}' == Terms(debt="carry").text()
    assert '{"rollover":[5,null]}' == Terms(rollover=Rule(5)).text()
    assert '{"alerts":[[80,"percent"]]}' == Terms(alerts=(Threshold(80),)).text()


def only(limit: UsageLimit, feature: str = "messages") -> Limit:
    """The limit that stored terms with this one put on a feature."""
    (found,) = limits_of(Terms(limits=(limit,)).text(), feature)
    return found


@given(usage_limits, amounts)
def test_a_limit_keeps_its_name_under_another_maximum(limit: UsageLimit, maximum: int) -> None:
    """So that a change of plan counts on in the same window; the order of properties does not count either."""
    one, other = only(limit), only(evolve(limit, maximum=maximum, where=shuffled(limit.where)))

    assert one.id == other.id
    assert (one.maximum, other.maximum) == (limit.maximum, maximum)
    assert one.window(AT) == other.window(AT)


@pytest.mark.parametrize(
    "changes",
    [
        {"per": "hour"},
        {"count": 2},
        {"per_entity": True},
        {"where": {"model": "a"}},
        {"where": {"model": 1}},
        {"where": {"model": True}},
        {"where": {"model": "1"}},
        {"timezone": "Europe/Berlin"},
    ],
    ids=repr,
)
def test_a_limit_that_counts_something_else_has_another_name(changes: dict[str, Any]) -> None:
    """Whatever tells windows apart is in the name, and the feature too."""
    found = only(evolve(LIMIT, **changes))
    others = [LIMIT, *(evolve(LIMIT, where={"model": value}) for value in ("a", 1, True, "1"))]

    assert found.id not in {only(each).id for each in others if repr(each) != repr(evolve(LIMIT, **changes))}
    assert found.id != only(evolve(LIMIT, **changes), "tokens").id


def test_a_limit_counts_from_a_fixed_instant() -> None:
    """Its windows are those of the calendar of its zone, the same for everybody."""
    found = only(evolve(LIMIT, per_entity=True, where={"model": "a"}))
    assert ("messages", 200, True, {"model": "a"}) == (found.feature, found.maximum, found.per_entity, found.where)

    assert AT // DAY * DAY == only(LIMIT).window(AT).start
    assert AT // (6 * HOUR) * 6 * HOUR == only(UsageLimit(1, per="hour", count=6)).window(AT).start
    # 2026-09-21 is a Monday, and Berlin is two hours ahead.
    week = only(UsageLimit(1, per="week", timezone="Europe/Berlin")).window(AT)
    assert (1_789_941_600_000_000, 7 * DAY) == (week.start, week.end - week.start)


def test_no_terms_have_no_limits() -> None:
    """Nothing that is stored limits nothing."""
    assert () == limits_of(None, "messages")
    assert () == limits_of(Terms(debt="carry").text(), "messages")


def test_plans_tell_their_terms() -> None:
    """Every kind of allowance that can have them, and no other."""
    plan = Plan(
        "pro",
        features={
            "messages": Metered(100, rollover=50, rollover_periods=2, debt="carry", limits=[LIMIT], alerts=[50, 80]),
            "credits": Credits(9, rollover=9),
            "projects": Quantity(5, limits=(LIMIT,), alerts=(100,)),
            "plain": Metered(1),
        },
    )
    found = {item.feature: terms_of(item.terms) for item in items_of(plan)}

    assert found == {
        "messages": Terms(Rule(50, 2), "carry", (LIMIT,), (Threshold(50), Threshold(80))),
        "credits": Terms(Rule(9)),
        "projects": Terms(limits=(LIMIT,), alerts=(Threshold(100),)),
        "plain": NO_TERMS,
    }


def test_old_plans_keep_their_hash() -> None:
    """A plan that uses nothing of the terms is the version that it was before there were terms."""
    plan = Plan(
        "pro",
        seats=True,
        features={"messages": Metered(10_000, overage="free"), "projects": Quantity(5, per_seat=True)},
    )
    changed = evolve(plan, features={**plan.features, "messages": Metered(10_000, overage="free", debt="carry")})

    assert "ff3720f70b8015e0e99c689a00daaf0d77a510384d1dcbff2e7ec6f8b36474ce" == content_hash(plan)
    assert content_hash(plan) != content_hash(changed)
