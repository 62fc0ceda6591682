"""Scenarios of seats that follow the members of an organization."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field

from kernia_billing import Conflict, InvalidInput, Plan, Reference
from kernia_billing.testing import Fault
from tests.contract.conftest import OpenShop
from tests.contract.dashboard import dashboard, hurried
from tests.contract.support import Shop, scenario

TEAM = Plan("team", price_id="price_base", annual_price_id="price_base_y", seats=True, seat_price_id="price_seat")
ONLY_SEATS = Plan("solo", price_id="price_each", seats=True, seat_price_id="price_each")
INVOICED = Plan(
    "invoiced", price_id="price_inv", seats=True, seat_price_id="price_inv_seat", proration_behavior="always_invoice"
)
SMALL = Plan("small", price_id="price_small", seats=True, seat_price_id="price_small_seat", max_seats=5, min_seats=2)
BOUGHT = Plan("bought", price_id="price_bought", seats=True, purchased_seats=True)
EQUIPPED = Plan(
    "equipped",
    price_id="price_kit",
    seats=True,
    seat_price_id="price_kit_seat",
    line_items={"price_a": 2, "price_b": 1},
)
PLANS = [Plan("free"), TEAM, ONLY_SEATS, INVOICED, SMALL, BOUGHT, EQUIPPED]
ORG = Reference("org", "organization")


@define
class Club:
    """A shop whose organization "org" has members, and in which ann may act for it."""

    shop: Shop
    members: dict[str, int] = field(factory=lambda: {"org": 3})

    def buy(self, plan: str = "team", **more: Any) -> Any:
        """Let ann buy a plan for the organization."""
        return self.shop.subscribe(plan, referenceId="org", customerType="organization", **more)

    def become(self, members: int, *, tell: bool = False) -> Any:
        """Let so many be members, and say that somebody came or went; with `tell` how many there are."""
        self.members["org"] = members
        return self.shop.billing.subscriptions.sync_seats(ORG, members if tell else None)

    def items(self) -> dict[str, int | None]:
        """What Stripe charges for: quantities by price."""
        stripe_id = self.subscription.stripe_id
        (theirs,) = [each for each in self.objects("subscription") if each["id"] == stripe_id]
        items = self.shop.stripe.state.world.table("subscription_item").rows.values()
        return {each["price"]: each["quantity"] for each in items if each["subscription"] == theirs["id"]}

    def objects(self, kind: str) -> list[Any]:
        """What Stripe has of a kind."""
        return list(self.shop.stripe.state.world.table(kind).rows.values())

    @property
    def subscription(self) -> Any:
        """What the organization is subscribed to."""
        return self.shop.billing.subscriptions.get(ORG)

    @property
    def updates(self) -> list[Any]:
        """The changes of subscriptions that Stripe was sent."""
        return list(self.shop.calls("POST", "/v1/subscriptions/"))


@pytest.fixture
def open_club(open_shop: OpenShop) -> Any:
    """A function that opens a club with other options."""

    def build(**options: Any) -> Club:
        members = {"org": 3}
        given = {"plans": PLANS, "default_plan": "free", "member_count": members.__getitem__, **options}
        club = Club(open_shop(**given), members)
        club.shop.people.may("ann", "org")
        return club

    return build


@pytest.fixture
def club(open_club: Any) -> Club:
    """A club that knows how many members it has."""
    made: Club = open_club()
    return made


@scenario(174, 175, 177)
def test_base_and_members(club: Club) -> None:
    """Exactly two items are sold: the base price once, and the seat price as often as there are members."""
    club.buy()

    assert club.items() == {"price_base": 1, "price_seat": 3}


@scenario(176)
def test_further_items_follow_base_and_seats(club: Club) -> None:
    """The page sells base, seats and the plan's further prices, in this order."""
    club.buy("equipped")

    (page,) = club.shop.calls("POST", "/v1/checkout/sessions")
    sold = [(line["price"], line["quantity"]) for line in page.params["line_items"].values()]
    assert sold == [("price_kit", "1"), ("price_kit_seat", "3"), ("price_a", "2"), ("price_b", "1")]


@scenario(178)
def test_one_price_for_plan_and_seats(club: Club) -> None:
    """A plan whose base price is its seat price sells one item, as often as there are members."""
    club.buy("solo")

    assert club.items() == {"price_each": 3}
    club.become(4)
    assert club.items() == {"price_each": 4}


@scenario(277)
def test_members_count_not_what_the_client_says(club: Club) -> None:
    """An organization that asks for 99 seats pays for its 3 members, and its row says so."""
    club.buy(seats=99)

    assert club.items()["price_seat"] == 3
    (row,) = club.shop.rows(referenceId="org", customerType="organization")
    assert row["seats"] == 3


@scenario(183, 184)
@pytest.mark.parametrize("tell", [True, False], ids=["told", "counted"])
def test_members_come_and_go(club: Club, tell: bool) -> None:
    """Stripe and our row follow the members up and down in the same call, by one change each."""
    club.buy()
    for members in (2, 1, 4, 4):
        assert club.become(members, tell=tell).seats == members
        assert club.items() == {"price_base": 1, "price_seat": members}

    assert len(club.updates) == 3
    assert {each.params["proration_behavior"] for each in club.updates} == {"create_prorations"}


@scenario(185)
def test_the_plans_proration(club: Club) -> None:
    """A change of seats is prorated as the plan says."""
    club.buy("invoiced")
    club.become(1)

    (sent,) = club.updates
    assert sent.params["proration_behavior"] == "always_invoice"


@scenario(186)
def test_no_seats_of_a_user(club: Club) -> None:
    """What a person buys has the seats that were bought: members of an organization of that name change nothing."""
    club.shop.subscribe("team", by="org", seats=5)
    before = len(club.shop.calls())

    club.shop.billing.subscriptions.sync_seats(Reference("org", "user"), 2)
    assert club.become(2) is None
    assert len(club.shop.calls()) == before


@scenario(187, 188)
def test_seats_come_from_the_seat_item(club: Club) -> None:
    """A subscription made, and changed, in the dashboard has the seats of its seat item."""
    club.buy()
    (item,) = [each for each in club.objects("subscription_item") if each["price"] == "price_seat"]
    dashboard(club.shop, "POST", f"/v1/subscription_items/{item['id']}", {"quantity": 7})

    assert club.subscription.seats == 7


@scenario(274)
def test_an_older_subscription_that_ended_is_left_alone(club: Club) -> None:
    """Of a canceled and a live subscription the live one follows the members."""
    club.buy()
    first = club.subscription
    dashboard(club.shop, "DELETE", f"/v1/subscriptions/{first.stripe_id}")
    club.buy()
    second = club.subscription
    assert first.stripe_id != second.stripe_id
    club.become(6)

    assert [each.path for each in club.updates] == [f"/v1/subscriptions/{second.stripe_id}"]
    assert club.subscription.seats == 6


@scenario(276)
def test_a_failure_is_tried_again(club: Club) -> None:
    """While Stripe is down the count is kept and the caller is not disturbed; the job makes it true afterwards."""
    club.buy()
    hurried(club.shop)
    club.shop.stripe.faults.append(Fault("timeout_before", method="POST", path="/v1/subscriptions/*", times=3))

    assert club.become(8).seats == 3
    assert club.items()["price_seat"] == 3

    club.shop.stripe.advance(hours=1)
    club.shop.billing.jobs.run()
    assert club.items()["price_seat"] == 8
    assert club.subscription.seats == 8


def test_no_more_members_than_the_plan_takes(club: Club) -> None:
    """The sixth of five is refused before anything is stored; `check` has said so before; leaving is never refused."""
    club.buy("small")
    club.become(5)
    assert not club.shop.billing.check(ORG, "seats")

    with pytest.raises(Conflict, match="room for 5") as refused:
        club.become(6)
    assert refused.value.code == "SEAT_LIMIT_REACHED"
    assert club.items()["price_small_seat"] == 5

    assert club.become(4).seats == 4
    assert club.shop.billing.check(ORG, "seats").remaining == 1
    club.become(0)
    assert club.items()["price_small_seat"] == 2


def test_seats_that_are_bought_ahead(club: Club) -> None:
    """Members fill the seats that were bought and no more; Stripe is never told of them."""
    club.buy("bought", seats=4)
    club.become(4)
    assert not club.shop.billing.check(ORG, "seats")
    with pytest.raises(Conflict):
        club.become(5)

    assert club.updates == []
    assert club.items() == {"price_bought": 4}


def test_seats_that_only_grow(open_club: Any) -> None:
    """R-127, incremental: 3, 5, 2, 6 members pay for 3, 5, 5, 6 seats."""
    club = open_club(seat_change_behavior="incremental")
    club.buy()
    found: list[int | None] = []
    for members in (3, 5, 2, 6):
        club.become(members)
        found.append(club.items()["price_seat"])

    assert found == [3, 5, 5, 6]


def test_forgotten_members_are_counted(club: Club) -> None:
    """Whoever forgets to tell: the job counts every hour and makes it right."""
    club.buy()
    club.members["org"] = 9
    for _ in range(3):
        club.shop.billing.jobs.run()
        club.shop.stripe.advance(hours=1)

    assert club.items()["price_seat"] == 9


def test_nothing_to_do_costs_one_read(club: Club) -> None:
    """An organization without a plan with seats asks Stripe nothing, and stores nothing."""
    before = len(club.shop.calls())

    assert club.become(7) is None
    assert club.shop.billing.customers.get(ORG) is None
    assert len(club.shop.calls()) == before


@pytest.mark.parametrize("members", [-1, 10**9 + 1, "3", 2.0, True])
def test_no_count(club: Club, members: Any) -> None:
    """What is no count is refused."""
    with pytest.raises(InvalidInput):
        club.shop.billing.subscriptions.sync_seats(ORG, members)


@scenario(275)
def test_the_change_that_overtakes_another(open_club: Any) -> None:
    """Two members come, and Stripe takes the news of the first only after that of the second: both are charged for.

    Sixteen processes do it at once in `tests/exactness`.
    """
    club = open_club(member_count=None)
    club.buy(seats=3)
    hurried(club.shop)
    club.shop.stripe.faults.append(Fault("status", 503, "POST", "/v1/subscriptions/*", times=None))
    club.become(4, tell=True)
    club.shop.stripe.faults.clear()
    club.become(5, tell=True)
    club.shop.stripe.advance(hours=2)

    assert club.items() == {"price_base": 1, "price_seat": 5}
    assert club.subscription.seats == 5
