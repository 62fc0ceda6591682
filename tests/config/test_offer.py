"""The offer: plans, features and prices, looked up."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.buckets import Pool
from kernia_billing.domain.offer import FeatureSpec, Offer, Sale, content_hash
from kernia_billing.domain.plans import Boolean, Feature, Metered, Plan, Quantity, TopUp
from kernia_billing.errors import NotFound

FREE = Plan("Free", features={"projects": Quantity(1)})
PRO = Plan("pro", price_id="price_m", annual_price_id="price_y", lookup_key="pro_m", annual_lookup_key="pro_y")
TEAM = Plan("Team", price_id="price_m", seats=True, seat_price_id="price_seat", rank=-1, features={"sso": Boolean()})
SEATS_ONLY = Plan("crew", price_id="price_crew", seats=True, seat_price_id="price_crew")
OFFER = Offer.of(
    [FREE, PRO, TEAM, SEATS_ONLY], [Feature("projects", title="Projects", unit="project"), Feature("later")], "FREE"
)


@pytest.mark.parametrize("name", ["Team", "team", "TEAM"])
def test_plans_by_name(name: str) -> None:
    """Names match in whichever case they are written."""
    assert OFFER.plan(name) is TEAM
    assert list(OFFER.plans) == ["free", "pro", "team", "crew"]
    assert OFFER.default_plan is FREE


def test_unknown_plans() -> None:
    """A plan that does not exist is an error with the code of both worlds."""
    with pytest.raises(NotFound, match=r"^Subscription plan not found$") as caught:
        OFFER.plan("gold")

    assert caught.value.code == "PLAN_NOT_FOUND"
    assert caught.value.alias == "SUBSCRIPTION_PLAN_NOT_FOUND"
    assert isinstance(caught.value, LookupError)
    with pytest.raises(NotFound):
        Offer.of([FREE], default_plan="gold")
    with pytest.raises(NotFound):
        OFFER.rank("gold")


def test_features() -> None:
    """Every feature of every plan is known, with what was declared of it; so are seats, and declared ones."""
    assert OFFER.features == {
        "projects": FeatureSpec("projects", "quantity", unit="project", title="Projects"),
        "seats": FeatureSpec("seats", "seat"),
        "sso": FeatureSpec("sso", "boolean"),
        "later": FeatureSpec("later", "metered"),
    }
    assert OFFER.feature("seats").kind == "seat"


@pytest.mark.parametrize("key", ["Projects", "unknown", ""])
def test_unknown_features(key: str) -> None:
    """Keys match exactly; an unknown one is a mistake, not an answer."""
    with pytest.raises(NotFound, match=r"^Feature not found$") as caught:
        OFFER.feature(key)

    assert caught.value.code == "FEATURE_NOT_FOUND"


def test_no_seats_without_a_plan_with_seats() -> None:
    """The feature "seats" exists because a plan has seats."""
    with pytest.raises(NotFound):
        Offer.of([FREE]).feature("seats")


def test_prices() -> None:
    """A price may sell several plans, in either interval, and a seat of one."""
    assert OFFER.plan_by_price("price_m") == [Sale(PRO, "month", "base"), Sale(TEAM, "month", "base")]
    assert OFFER.plan_by_price("price_y") == [(PRO, "year", "base")]
    assert OFFER.plan_by_price("price_seat") == [(TEAM, "month", "seat")]
    assert OFFER.plan_by_price("price_crew") == [(SEATS_ONLY, "month", "base"), (SEATS_ONLY, "month", "seat")]
    assert OFFER.plan_by_price("price_other") == []
    assert OFFER.plan_by_lookup_key("pro_y") == [(PRO, "year", "base")]
    assert OFFER.plan_by_lookup_key("") == []


def test_ranks() -> None:
    """The position, unless a plan says otherwise."""
    assert [OFFER.rank(name) for name in ("free", "pro", "team", "crew")] == [0, 1, -1, 3]


def test_nothing_can_be_changed() -> None:
    """An offer is shared by all threads."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        OFFER.default_plan = None  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] - it must refuse
    with pytest.raises(TypeError):
        OFFER.plans["x"] = PRO  # type: ignore[index]  # pyright: ignore[reportIndexIssue] - it must refuse


def test_content_hash_is_stable() -> None:
    """Stored versions of plans are found by it: this very value must never change."""
    plan = Plan("pro", features={"messages": Metered(10_000, overage="billed", meter="m"), "sso": Boolean()})

    assert content_hash(plan) == "a0b83ec70ea204b212a29e534c8eda7cdbb437cabb07865d736e47b0594f7e02"


def test_content_hash_ignores_what_is_not_content() -> None:
    """Names, prices, titles and the order of features are not what a plan allows."""
    one = Plan("a", price_id="p", title="A", features={"x": Metered(1), "y": Boolean()})
    other = Plan("b", trial_days=3, features={"y": Boolean(), "x": Metered(1)})

    assert content_hash(one) == content_hash(other)


ALLOWANCES = st.one_of(
    st.just(Boolean()),
    st.builds(Quantity, st.integers(0, 3), per_seat=st.booleans()),
    st.builds(
        Metered,
        st.integers(0, 3),
        unlimited=st.booleans(),
        reset=st.sampled_from(["day", "month", "never"]),
        anchor=st.sampled_from(["billing", "calendar"]),
        overage=st.sampled_from(["none", "free", "billed"]),
        overage_limit=st.sampled_from([None, 0, 5]),
        meter=st.sampled_from([None, "m"]),
        on_plan_change=st.sampled_from(["carry_usage", "reset"]),
    ),
)


@given(one=ALLOWANCES, other=ALLOWANCES)
def test_content_hash_tells_contents_apart(one: Quantity | Metered, other: Quantity | Metered) -> None:
    """Two plans have the same hash exactly when they allow the same."""
    plans = [Plan("a", features={"x": each}) for each in (one, other)]
    same = one == other or (
        isinstance(one, Metered)
        and isinstance(other, Metered)
        and one.unlimited
        and other.unlimited
        and attrs.evolve(one, included=0) == attrs.evolve(other, included=0)
    )

    assert (content_hash(plans[0]) == content_hash(plans[1])) == same


def test_credits_that_no_plan_gives() -> None:
    """What features cost is a credit feature, also where only a top-up or a grant gives it."""
    tokens = Feature("tokens", credit_cost={"credits": 2})
    pack = TopUp("pack", price_id="p", grants={"credits": 5, "storage": 1})
    features = Offer.of([FREE], [tokens], None, [pack]).features

    assert FeatureSpec("credits", "credit") == features["credits"]
    assert FeatureSpec("storage", "metered") == features["storage"]
    assert FeatureSpec("tokens", "metered", pools=(Pool("credits", 2),)) == features["tokens"]
