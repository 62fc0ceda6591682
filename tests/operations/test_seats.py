"""Quotas for every seat follow the number of seats, in the running period too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernia_billing import Billing, Metered, Plan, Quantity
from kernia_billing.testing import StripeSimulator

from .test_plan_changes import call

Open = Callable[..., Billing]


class Team:
    """A customer "org" with seats."""

    def __init__(self, open_billing: Open, stripe: StripeSimulator, allowance: Any, seats: int) -> None:
        self.stripe = stripe
        self.billing = open_billing(
            plans=[Plan("team", price_id="price_team", seats=True, max_seats=50, features={"x": allowance})]
        )
        stripe.subscribe("org", "team", seats=seats)
        found = self.billing.subscriptions.get("org")
        assert found is not None
        self.id = found.stripe_id

    def resize(self, seats: int) -> None:
        """Somebody changes the number of seats."""
        items = call(self.stripe, "GET", "subscription_items", subscription=self.id)["data"]
        call(self.stripe, "POST", f"subscription_items/{items[0]['id']}", quantity=str(seats))

    @property
    def balance(self) -> tuple[int, int, int | None]:
        """Included, used, and what remains."""
        found = self.billing.check("org", "x").balance
        assert found == self.billing.balances("org")["x"]
        return found.included, found.used, found.remaining


@pytest.mark.parametrize("debt", ["forgive", "carry"])
def test_fewer_seats(open_billing: Open, stripe: StripeSimulator, debt: str) -> None:
    """Of 5 × 100 are 400 used when two seats go: nothing is left, and 100 are forgiven or owed."""
    team = Team(open_billing, stripe, Metered(100, per_seat=True, debt=debt), 5)  # type: ignore[arg-type]  # a str of the choices
    team.billing.consume("org", "x", 400)
    team.resize(3)
    assert (400, 400, 0) == team.balance

    team.resize(2)
    stripe.advance(hours=1)
    assert (400, 400, 0) == team.balance
    stripe.advance(months=1)
    assert (200, 200 if debt == "carry" else 0) == team.balance[:2]


def test_more_seats(open_billing: Open, stripe: StripeSimulator) -> None:
    """Two more seats give their units at once, and take back what fewer seats would have owed."""
    team = Team(open_billing, stripe, Metered(100, per_seat=True, debt="carry"), 5)
    team.billing.consume("org", "x", 400)
    team.resize(7)
    assert (700, 400, 300) == team.balance

    team.resize(3)
    team.resize(6)
    assert (600, 400, 200) == team.balance
    stripe.advance(months=1)
    assert (600, 0, 600) == team.balance


def test_more_seats_for_the_rest_of_a_period(open_billing: Open, stripe: StripeSimulator) -> None:
    """Prorated, a new seat gives its share of what is left of the period, rounded up; a second one likewise."""
    team = Team(open_billing, stripe, Metered(100, per_seat=True, on_plan_change="prorate", reset="week"), 5)
    stripe.advance(days=3, hours=12)
    team.resize(7)
    assert (600, 0, 600) == team.balance

    team.resize(8)
    assert (650, 0, 650) == team.balance
    team.resize(4)
    assert (400, 0, 400) == team.balance
    stripe.advance(days=4)
    assert (400, 0, 400) == team.balance


def test_a_period_that_nobody_opened(open_billing: Open, stripe: StripeSimulator) -> None:
    """Nothing was used: the number of seats is all that counts."""
    team = Team(open_billing, stripe, Metered(100, per_seat=True), 5)
    team.resize(2)

    assert (200, 0, 200) == team.balance


def test_things_beyond_the_seats(open_billing: Open, stripe: StripeSimulator) -> None:
    """What exists goes on existing, and its room is gone with it."""
    team = Team(open_billing, stripe, Quantity(10, per_seat=True), 3)
    team.billing.consume("org", "x", 25)
    team.resize(1)
    assert (25, 25, 0) == team.balance

    team.billing.give_back("org", "x", 12)
    assert (13, 13, 0) == team.balance
    team.billing.give_back("org", "x", 5)
    assert (10, 8, 2) == team.balance


def test_rolled_units_of_seats(open_billing: Open, stripe: StripeSimulator) -> None:
    """R1: a month leaves what its own number of seats had: 400, 700 and 900 of which 1,500 move on, for two months."""
    terms: dict[str, Any] = {"per_seat": True, "rollover": 1_500, "rollover_periods": 2}
    team = Team(open_billing, stripe, Metered(100, **terms), 4)
    found: list[list[Any]] = []
    for seats in (7, 9, 1):
        stripe.advance(months=1)
        team.resize(seats)
        parts: list[Any] = [each for each in team.billing.check("org", "x").breakdown if each["source"] == "rollover"]
        found.append([each["included"] for each in parts])

    assert [[400], [400, 700], [600, 900]] == found
    stripe.advance(months=1)
    assert (1_100, 0, 1_100) == team.balance
