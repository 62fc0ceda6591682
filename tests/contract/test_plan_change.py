"""Scenarios of changing what is subscribed to: by the confirmation page, at once, at the end, and undone."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Plan
from kernia_billing.testing import Fault
from kernia_billing.testing.simulator.portal.portal_configurations import default_configuration
from tests.contract.conftest import OpenShop
from tests.contract.support import Shop, scenario
from tests.integrations.sites import ORIGIN
from tests.simulator.shop import Shop as Account

SCHEDULES = "/v1/subscription_schedules"
PORTAL = "/v1/billing_portal/sessions"
SESSIONS = "/v1/checkout/sessions"
SUBSCRIPTIONS = "/v1/subscriptions/"
RESTORE = "/subscription/restore"
LINED = (
    Plan("small", price_id="price_small", line_items={"price_mail": 1, "price_sms": 1}),
    Plan("big", price_id="price_big", line_items={"price_mail": 1, "price_voice": 2}),
    Plan("plain", price_id="price_plain"),
    Plan("fuel", price_id="price_fuel", metered=True),
)
SEATED = (
    Plan("base", price_id="price_base", seats=True, seat_price_id="price_base_seat", proration_behavior="none"),
    Plan("plus", price_id="price_plus", seats=True, seat_price_id="price_plus_seat"),
    Plan("twin", price_id="price_twin", seats=True, seat_price_id="price_plus_seat", proration_behavior="none"),
    Plan("solo", price_id="price_solo", seats=True, seat_price_id="price_solo"),
    Plan("duo", price_id="price_duo", seats=True, seat_price_id="price_duo"),
)


def account(shop: Shop) -> Account:
    """Somebody with the dashboard of the shop's Stripe."""
    return Account(shop.stripe)


def offer_in_portal(shop: Shop, *prices: str) -> None:
    """Let customers change to these prices in the portal."""
    stripe = account(shop)
    told: dict[str, str] = {
        "features[subscription_update][enabled]": "true",
        "features[subscription_update][default_allowed_updates][0]": "price",
        "features[subscription_update][default_allowed_updates][1]": "quantity",
    }
    for number, price in enumerate(prices):
        at = f"features[subscription_update][products][{number}]"
        told[f"{at}[product]"] = stripe.get(f"/v1/prices/{price}")["product"]
        told[f"{at}[prices][0]"] = price
    configuration = default_configuration(shop.stripe.state.world)["id"]
    stripe.post(f"/v1/billing_portal/configurations/{configuration}", told)


def flow(shop: Shop) -> Any:
    """The confirmation that the last portal session was opened for."""
    told = shop.calls("POST", PORTAL)[-1].params["flow_data"]
    assert told["type"] == "subscription_update_confirm"
    return told["subscription_update_confirm"]


def items(shop: Shop, stripe_id: str) -> dict[str, int | None]:
    """What a subscription sells at Stripe."""
    return {
        each["price"]["id"]: each.get("quantity")
        for each in account(shop).get(SUBSCRIPTIONS + stripe_id)["items"]["data"]
    }


def writes(shop: Shop, since: int = 0) -> list[tuple[str, Any]]:
    """What the library wrote at Stripe, but for sessions and previews."""
    return [(each.path, each.params) for each in shop.stripe.requests[since:] if each.method == "POST"]


def updates(shop: Shop, stripe_id: str, since: int = 0) -> list[Any]:
    """The direct updates of a subscription."""
    return [params for path, params in writes(shop, since) if path == SUBSCRIPTIONS + stripe_id]


def phases(shop: Shop) -> list[Any]:
    """The phases that were last sent."""
    (*_, told) = [params for path, params in writes(shop) if path.startswith(f"{SCHEDULES}/") and "phases" in params]
    return [told["phases"][key] for key in sorted(told["phases"])]


def sold_in(phase: Any) -> dict[str, str | None]:
    """Prices and quantities of a phase."""
    return {each["price"]: each.get("quantity") for each in phase["items"].values()}


def add_ons(shop: Shop, stripe_id: str, *prices: str) -> None:
    """Sell more on a subscription, as somebody with the dashboard does."""
    stripe = account(shop)
    for price in prices:
        shop.stripe.add_price(price, amount=300) if price not in shop.stripe.state.world.table("price").rows else None
        stripe.post("/v1/subscription_items", {"subscription": stripe_id, "price": price})
    shop.stripe.flush()


@scenario(66)
def test_more_seats_of_the_same_plan_lead_to_a_page(shop: Shop) -> None:
    """One seat is active and five are asked for: a page is answered on which five are confirmed."""
    shop.subscribe("pro", seats=1)
    offer_in_portal(shop, "price_pro")
    answer = shop.upgrade("pro", seats=5)
    assert answer.status == 200
    assert answer.json["url"].startswith("https://billing.stripe.com/")
    assert [each["quantity"] for each in flow(shop)["items"].values()] == ["5"]


@scenario(68)
def test_a_year_instead_of_a_month_is_confirmed_in_the_portal(shop: Shop) -> None:
    """With the id of the subscription and `annual` the page shows the annual price, and no checkout is opened."""
    bought = shop.subscribe("pro")
    offer_in_portal(shop, "price_pro_y")
    pages = len(shop.calls("POST", SESSIONS))
    answer = shop.upgrade("pro", annual=True, subscriptionId=bought.stripe_id)
    assert answer.status == 200
    assert [each["price"] for each in flow(shop)["items"].values()] == ["price_pro_y"]
    assert len(shop.calls("POST", SESSIONS)) == pages


@scenario(70)
def test_another_reference_has_nothing_to_do_with_ones_own_subscription(shop: Shop) -> None:
    """An upgrade for a workspace opens a checkout for it; the personal subscription stays as it is."""
    shop.subscribe("starter")
    shop.people.may("ann", "workspace")
    (before,) = shop.rows()
    answer = shop.upgrade("pro", referenceId="workspace")
    assert answer.status == 200
    assert not shop.calls("POST", PORTAL)
    bought = shop.stripe.pay(answer.json["url"])
    assert bought.reference.id == "workspace"
    assert shop.rows() == [before]


@scenario(71, 230)
def test_another_plan_is_confirmed_in_the_portal(shop: Shop) -> None:
    """The page of Stripe changes that very subscription once it is confirmed, and nothing happens before."""
    bought = shop.subscribe("starter")
    offer_in_portal(shop, "price_pro")
    since, pages = len(shop.stripe.requests), len(shop.calls("POST", SESSIONS))
    answer = shop.upgrade("pro")
    assert (answer.status, answer.json["redirect"]) == (200, True)
    told = flow(shop)
    assert (told["subscription"], [each["price"] for each in told["items"].values()]) == (
        bought.stripe_id,
        ["price_pro"],
    )
    assert (len(shop.calls("POST", SESSIONS)), updates(shop, bought.stripe_id, since)) == (pages, [])
    assert [row["plan"] for row in shop.rows()] == ["starter"]

    shop.stripe.portal(answer.json["url"], "update", subscription=bought.stripe_id, price="price_pro")
    assert [(row["plan"], row["stripeSubscriptionId"]) for row in shop.rows()] == [("pro", bought.stripe_id)]


@scenario(72)
def test_the_live_one_of_two_is_changed(shop: Shop) -> None:
    """A canceled row beside an active one: the active one is changed."""
    first = shop.subscribe("starter")
    account(shop).delete(SUBSCRIPTIONS + first.stripe_id)
    shop.stripe.flush()
    second = shop.subscribe("starter")
    offer_in_portal(shop, "price_pro")
    assert shop.upgrade("pro").status == 200
    assert flow(shop)["subscription"] == second.stripe_id


@scenario(73, 75, 76, 232)
def test_plans_with_other_line_items_are_changed_by_one_update(open_shop: OpenShop) -> None:
    """The base is swapped, items of the old plan go, those of the new one come: one update and no portal."""
    shop = open_shop(plans=LINED)
    bought = shop.subscribe("small")
    assert items(shop, bought.stripe_id) == {"price_small": 1, "price_mail": 1, "price_sms": 1}
    since = len(shop.stripe.requests)

    answer = shop.upgrade("big", returnUrl="/done")
    assert (answer.status, answer.json["url"], answer.json["redirect"]) == (200, f"{ORIGIN}/done", True)
    assert items(shop, bought.stripe_id) == {"price_big": 1, "price_mail": 1, "price_voice": 2}
    assert len(updates(shop, bought.stripe_id, since)) == 1
    assert not shop.calls("POST", PORTAL)

    assert shop.upgrade("plain").status == 200
    assert items(shop, bought.stripe_id) == {"price_plain": 1}
    assert shop.upgrade("small").status == 200
    assert items(shop, bought.stripe_id) == {"price_small": 1, "price_mail": 1, "price_sms": 1}


@scenario(74)
def test_line_items_change_with_a_scheduled_plan(open_shop: OpenShop) -> None:
    """The second phase sells the new base and its items, and nothing of the old ones."""
    shop = open_shop(plans=LINED)
    bought = shop.subscribe("small")
    assert shop.upgrade("big", scheduleAtPeriodEnd=True).status == 200
    now, then = phases(shop)
    assert sold_in(now) == {"price_small": "1", "price_mail": "1", "price_sms": "1"}
    assert sold_in(then) == {"price_big": "1", "price_mail": "1", "price_voice": "2"}
    shop.stripe.advance(months=1)
    assert items(shop, bought.stripe_id) == {"price_big": 1, "price_mail": 1, "price_voice": 2}


@scenario(77, 78)
@pytest.mark.parametrize("later", [False, True])
def test_what_is_there_already_is_not_added_again(open_shop: OpenShop, *, later: bool) -> None:
    """An item of the new plan that somebody put there stays the one it is, and a foreign add-on stays too."""
    shop = open_shop(plans=LINED)
    bought = shop.subscribe("plain")
    add_ons(shop, bought.stripe_id, "price_mail", "price_foreign")
    assert shop.upgrade("small", scheduleAtPeriodEnd=later).status == 200
    wanted: dict[str, int | None] = {"price_small": 1, "price_mail": 1, "price_sms": 1, "price_foreign": 1}
    if later:
        assert sold_in(phases(shop)[1]) == {price: str(count) for price, count in wanted.items()}
        shop.stripe.advance(months=1)
    assert items(shop, bought.stripe_id) == wanted


@scenario(81)
def test_the_portal_gets_no_quantity_of_a_metered_price(open_shop: OpenShop) -> None:
    """The confirmation of a metered price names the price alone."""
    shop = open_shop(plans=LINED)
    shop.subscribe("plain")
    offer_in_portal(shop, "price_fuel")
    assert shop.upgrade("fuel").status == 200
    (item,) = flow(shop)["items"].values()
    assert {name: item[name] for name in item if name != "id"} == {"price": "price_fuel"}


@scenario(82, 83, 241)
@pytest.mark.parametrize("later", [False, True])
def test_no_quantity_of_a_metered_price_is_ever_sent(open_shop: OpenShop, *, later: bool) -> None:
    """At once and scheduled: Stripe refuses a quantity of a metered price, so none is sent."""
    shop = open_shop(plans=LINED, plan_change={"direct": True})
    bought = shop.subscribe("plain")
    since = len(shop.stripe.requests)
    assert shop.upgrade("fuel", scheduleAtPeriodEnd=later).status == 200
    if later:
        assert sold_in(phases(shop)[1]) == {"price_fuel": None}
        shop.stripe.advance(months=1)
    else:
        (told,) = updates(shop, bought.stripe_id, since)
        assert "quantity" not in told["items"]["0"]
    assert items(shop, bought.stripe_id) == {"price_fuel": None}


@scenario(93, 233)
def test_a_direct_change_swaps_the_price_on_the_item(open_shop: OpenShop) -> None:
    """With the host's leave: the item stays, its price and the row's plan, price and interval are others."""
    shop = open_shop(plan_change={"direct": True})
    bought = shop.subscribe("starter")
    item = account(shop).get(SUBSCRIPTIONS + bought.stripe_id)["items"]["data"][0]["id"]
    since = len(shop.stripe.requests)
    answer = shop.upgrade("PRO", annual=True, disableRedirect=True)
    assert (answer.status, answer.json["url"], answer.json["redirect"]) == (200, f"{ORIGIN}/ok", False)
    (told,) = updates(shop, bought.stripe_id, since)
    assert told["items"] == {"0": {"id": item, "price": "price_pro_y", "quantity": "1"}}
    assert told["proration_behavior"] == "create_prorations"
    (row,) = shop.rows()
    assert (row["plan"], row["priceId"], row["billingInterval"]) == ("pro", "price_pro_y", "year")


@scenario(106, 112)
def test_a_cancellation_at_the_end_of_the_period_is_undone(shop: Shop) -> None:
    """`cancel_at_period_end: false` alone is sent, three fields are clear at once, Stripe's object is answered."""
    bought = shop.subscribe()
    account(shop).post(SUBSCRIPTIONS + bought.stripe_id, {"cancel_at_period_end": "true"})
    shop.stripe.flush()
    assert shop.rows()[0]["cancelAtPeriodEnd"] is True
    since = len(shop.stripe.requests)
    answer = shop.post(RESTORE, {})
    assert (answer.status, answer.json["object"], answer.json["id"]) == (200, "subscription", bought.stripe_id)
    assert answer.json["cancel_at_period_end"] is False
    assert updates(shop, bought.stripe_id, since) == [{"cancel_at_period_end": "false"}]
    (row,) = shop.rows()
    assert (row["cancelAtPeriodEnd"], row["cancelAt"], row["canceledAt"]) == (False, None, None)


@scenario(107, 111)
@pytest.mark.parametrize("of", ["user", "organization"])
def test_a_cancellation_at_a_date_is_undone(shop: Shop, of: str) -> None:
    """Exactly `cancel_at: ""` is sent and the fields are clear, for a person as for an organization."""
    scope = {} if of == "user" else {"referenceId": "org_1", "customerType": "organization"}
    shop.people.may("ann", "org_1")
    shop.subscribe(**scope)
    stripe_id = shop.rows(**scope)[0]["stripeSubscriptionId"]
    soon = account(shop).get(SUBSCRIPTIONS + stripe_id)["created"] + 86_400
    account(shop).post(SUBSCRIPTIONS + stripe_id, {"cancel_at": str(soon)})
    shop.stripe.flush()
    since = len(shop.stripe.requests)
    assert shop.post(RESTORE, scope).status == 200
    assert updates(shop, stripe_id, since) == [{"cancel_at": ""}]
    (row,) = shop.rows(**scope)
    assert (row["cancelAtPeriodEnd"], row["cancelAt"], row["canceledAt"]) == (False, None, None)


@scenario(108)
def test_restore_releases_a_scheduled_change(shop: Shop) -> None:
    """The schedule is released, its id is gone from the row, and the subscription is not written to."""
    bought = shop.subscribe("pro")
    assert shop.upgrade("starter", scheduleAtPeriodEnd=True).status == 200
    schedule = shop.rows()[0]["stripeScheduleId"]
    since = len(shop.stripe.requests)
    answer = shop.post(RESTORE, {})
    assert (answer.status, answer.json["schedule"]) == (200, None)
    assert [path for path, _ in writes(shop, since)] == [f"{SCHEDULES}/{schedule}/release"]
    assert shop.rows()[0]["stripeScheduleId"] is None
    shop.stripe.advance(months=1)
    assert items(shop, bought.stripe_id) == {"price_pro": 1}


@scenario(109)
def test_restore_with_nothing_pending(shop: Shop) -> None:
    """400, and nothing is written; without any subscription it is 400, too."""
    assert (shop.post(RESTORE, {}).status, shop.post(RESTORE, {}).json["code"]) == (400, "SUBSCRIPTION_NOT_FOUND")
    shop.subscribe()
    since = len(shop.stripe.requests)
    answer = shop.post(RESTORE, {})
    assert (answer.status, answer.json["code"]) == (400, "SUBSCRIPTION_NOT_PENDING_CHANGE")
    assert writes(shop, since) == []


@scenario(110, 245)
@pytest.mark.parametrize("named", ["stripeSubscriptionId", "id"])
def test_restore_acts_on_the_named_subscription(open_shop: OpenShop, named: str) -> None:
    """Of two that are to end the named one goes on; the other, and anybody's else, stay as they are."""
    plans = [Plan("pro", price_id="price_pro"), Plan("extra", price_id="price_extra", group="extras")]
    shop = open_shop(plans=plans)
    shop.subscribe("pro")
    shop.subscribe("extra")
    both = {row["plan"]: row for row in shop.rows()}
    for row in both.values():
        account(shop).post(SUBSCRIPTIONS + row["stripeSubscriptionId"], {"cancel_at_period_end": "true"})
    shop.stripe.flush()
    answer = shop.post(RESTORE, {"subscriptionId": both["extra"][named]})
    assert answer.json["id"] == both["extra"]["stripeSubscriptionId"]
    assert {row["plan"]: row["cancelAtPeriodEnd"] for row in shop.rows()} == {"pro": True, "extra": False}
    foreign = shop.post(RESTORE, {"subscriptionId": both["pro"][named]}, by="bob")
    assert (foreign.status, foreign.json["code"]) == (400, "SUBSCRIPTION_NOT_FOUND")


@scenario(113, 242)
def test_a_change_at_the_end_of_the_period_is_a_schedule(shop: Shop) -> None:
    """From the subscription, two phases, released at the end, no proration, marked; the plan stays until then."""
    bought = shop.subscribe("pro")
    since = len(shop.stripe.requests)
    answer = shop.upgrade("starter", scheduleAtPeriodEnd=True, disableRedirect=True, returnUrl="/account?tab=plan")
    assert (answer.status, answer.json["url"], answer.json["redirect"]) == (200, f"{ORIGIN}/account?tab=plan", False)
    (row,) = shop.rows()
    schedule = row["stripeScheduleId"]
    (made, told) = writes(shop, since)
    assert made == (SCHEDULES, {"from_subscription": bought.stripe_id})
    assert told[0] == f"{SCHEDULES}/{schedule}"
    assert (told[1]["end_behavior"], told[1]["metadata"]) == ("release", {"source": "kernia_billing"})
    now, then = phases(shop)
    assert (sold_in(now), sold_in(then)) == ({"price_pro": "1"}, {"price_starter": "1"})
    assert (then["proration_behavior"], then["start_date"]) == ("none", now["end_date"])
    assert row["plan"] == "pro"
    shop.stripe.advance(months=1)
    assert shop.rows()[0]["plan"] == "starter"


@scenario(114, 115)
@pytest.mark.parametrize("later", [False, True])
def test_an_own_pending_change_makes_room(open_shop: OpenShop, *, later: bool) -> None:
    """The schedule of ours is released before another one is made, and before the portal is opened."""
    shop = open_shop()
    shop.subscribe("pro")
    offer_in_portal(shop, "price_pro_y")
    shop.upgrade("starter", scheduleAtPeriodEnd=True)
    first = shop.rows()[0]["stripeScheduleId"]
    since = len(shop.stripe.requests)
    assert shop.upgrade("pro", annual=True, scheduleAtPeriodEnd=later).status == 200
    paths = [path for path, _ in writes(shop, since)]
    assert paths[:2] == [f"{SCHEDULES}/{first}/release", SCHEDULES if later else PORTAL]
    assert (shop.rows()[0]["stripeScheduleId"] not in (None, first)) is later


@scenario(116)
def test_a_foreign_schedule_is_never_released(shop: Shop) -> None:
    """The upgrade goes on by the portal; a scheduled one, and restore, are refused, and the schedule lives on."""
    bought = shop.subscribe("starter")
    foreign = account(shop).post(SCHEDULES, {"from_subscription": bought.stripe_id})["id"]
    shop.stripe.flush()
    offer_in_portal(shop, "price_pro")
    assert shop.upgrade("pro").status == 200
    for refused in (shop.upgrade("pro", scheduleAtPeriodEnd=True), shop.post(RESTORE, {})):
        assert (refused.status, refused.json["code"]) == (409, "SCHEDULE_NOT_OURS")
    assert account(shop).get(f"{SCHEDULES}/{foreign}")["status"] == "active"


@scenario(179, 180, 181)
@pytest.mark.parametrize(
    ("to", "changed", "behavior"),
    [
        ("plus", {"price_plus", "price_plus_seat"}, "create_prorations"),
        ("twin", {"price_twin", "price_plus_seat"}, "none"),
    ],
)
def test_base_and_seat_are_swapped_at_once(open_shop: OpenShop, to: str, changed: set[str], behavior: str) -> None:
    """Both prices in one update without the portal, with the proration of the plan; the seats stay."""
    shop = open_shop(plans=SEATED)
    bought = shop.subscribe("base", seats=4)
    since = len(shop.stripe.requests)
    assert shop.upgrade(to).status == 200
    (told,) = updates(shop, bought.stripe_id, since)
    assert {each["price"] for each in told["items"].values()} == changed
    assert told["proration_behavior"] == behavior
    assert not shop.calls("POST", PORTAL)
    assert items(shop, bought.stripe_id) == dict.fromkeys(changed, 1) | {"price_plus_seat": 4}
    if to == "plus":
        since = len(shop.stripe.requests)
        assert shop.upgrade("twin").status == 200
        (told,) = updates(shop, bought.stripe_id, since)
        assert [each["price"] for each in told["items"].values()] == ["price_twin"]


@scenario(182)
def test_a_plan_of_seats_alone_stays_one_item(open_shop: OpenShop) -> None:
    """From one plan that is paid by seats alone to another: one item with the new price and the same seats."""
    shop = open_shop(plans=SEATED, plan_change={"direct": True})
    bought = shop.subscribe("solo", seats=3)
    assert shop.upgrade("duo").status == 200
    assert items(shop, bought.stripe_id) == {"price_duo": 3}


@scenario(214, 229)
@pytest.mark.parametrize("name", ["pro", "PRO", "Pro"])
def test_what_is_subscribed_to_is_not_bought_again(shop: Shop, name: str) -> None:
    """The same plan and seats in any spelling: refused, nothing written at Stripe, the seats as they were."""
    shop.subscribe("pro", seats=3)
    since = len(shop.stripe.requests)
    for answer in (shop.upgrade(name, seats=3), shop.upgrade(name)):
        assert answer.json["code"] == "ALREADY_SUBSCRIBED_PLAN"
    assert writes(shop, since) == []
    assert shop.rows()[0]["seats"] == 3


@scenario(231)
def test_a_change_with_line_items_keeps_the_seats(open_shop: OpenShop) -> None:
    """A direct change of a plan of several items leaves the number that was bought in the row."""
    shop = open_shop(plans=LINED)
    shop.subscribe("small", seats=4)
    assert shop.upgrade("big").status == 200
    assert [(row["plan"], row["seats"]) for row in shop.rows()] == [("big", 4)]


@scenario(234)
def test_the_same_plan_on_trial_is_subscribed_to_already(open_shop: OpenShop) -> None:
    """Trialing counts as subscribed: no page is opened on which nothing would change."""
    shop = open_shop(plans=[Plan("pro", price_id="price_pro", trial_days=7)])
    assert shop.subscribe("pro").status == "trialing"
    since = len(shop.stripe.requests)
    assert shop.upgrade("pro").json["code"] == "ALREADY_SUBSCRIBED_PLAN"
    assert writes(shop, since) == []


@scenario(235)
def test_who_is_past_due_changes_what_there_is(shop: Shop) -> None:
    """The confirmation of that subscription, no second checkout and no second trial."""
    bought = shop.subscribe("starter")
    shop.stripe.use_card("ann", "4000000000000341")
    shop.stripe.advance(days=35)
    assert shop.billing.subscriptions.get("ann").status == "past_due"
    offer_in_portal(shop, "price_pro")
    pages = len(shop.calls("POST", SESSIONS))
    assert shop.upgrade("pro").status == 200
    assert flow(shop)["subscription"] == bought.stripe_id
    assert len(shop.calls("POST", SESSIONS)) == pages


@scenario(239)
def test_the_right_one_of_many_subscriptions_is_found(shop: Shop) -> None:
    """A dozen newer subscriptions of other software on the same customer hide nothing."""
    bought = shop.subscribe("starter")
    for number in range(12):
        shop.stripe.add_price(f"price_other_{number}", amount=100)
        account(shop).post(
            "/v1/subscriptions",
            {
                "customer": bought.stripe_customer_id,
                "items[0][price]": f"price_other_{number}",
                "collection_method": "send_invoice",
                "days_until_due": "30",
            },
        )
    shop.stripe.flush()
    offer_in_portal(shop, "price_pro")
    assert shop.upgrade("pro").status == 200
    assert flow(shop)["subscription"] == bought.stripe_id


@scenario(240)
@pytest.mark.parametrize("then", ["again", "restore", "now"])
def test_half_a_schedule_is_in_nobodys_way(shop: Shop, then: str) -> None:
    """The second call fails for good: the next attempt, an immediate change and restore all work."""
    bought = shop.subscribe("pro")
    shop.stripe.faults.append(Fault("status", 500, method="POST", path=f"{SCHEDULES}/*", times=None))
    assert shop.upgrade("starter", scheduleAtPeriodEnd=True).status == 503
    assert account(shop).get(SUBSCRIPTIONS + bought.stripe_id)["schedule"] is not None
    shop.stripe.faults.clear()
    shop.stripe.flush()
    if then == "restore":
        assert shop.post(RESTORE, {}).json["schedule"] is None
    elif then == "again":
        assert shop.upgrade("starter", scheduleAtPeriodEnd=True).status == 200
        assert shop.billing.subscriptions.get("ann").pending_change.plan == "starter"
    else:
        offer_in_portal(shop, "price_starter")
        assert shop.upgrade("starter").status == 200
        assert account(shop).get(SUBSCRIPTIONS + bought.stripe_id)["schedule"] is None


@scenario(247)
def test_a_second_person_changes_the_shared_subscription(shop: Shop) -> None:
    """Whoever may act for the reference changes its one subscription, and no second one is made."""
    for name in ("ann", "bob"):
        shop.people.may(name, "workspace")
    bought = shop.subscribe("starter", referenceId="workspace")
    offer_in_portal(shop, "price_pro")
    pages = len(shop.calls("POST", SESSIONS))
    answer = shop.upgrade("pro", by="bob", referenceId="workspace")
    assert answer.status == 200
    assert flow(shop)["subscription"] == bought.stripe_id
    assert len(shop.calls("POST", SESSIONS)) == pages
    assert [row["stripeSubscriptionId"] for row in shop.rows(referenceId="workspace")] == [bought.stripe_id]


def test_a_portal_that_offers_no_changes_says_so(shop: Shop) -> None:
    """Nobody enabled changes of plan in the portal: a code that tells the operator what to do."""
    shop.subscribe("starter")
    answer = shop.upgrade("pro")
    assert (answer.status, answer.json["code"]) == (409, "PORTAL_NOT_CONFIGURED")


def test_a_foreign_id_is_not_found(shop: Shop) -> None:
    """The id of somebody else's subscription, and one that nobody has, are answered alike."""
    bought = shop.subscribe("starter")
    for name in (bought.stripe_id, bought.id, "sub_nobody"):
        answer = shop.upgrade("pro", by="bob", subscriptionId=name)
        assert (answer.status, answer.json["code"]) == (400, "SUBSCRIPTION_NOT_FOUND")
