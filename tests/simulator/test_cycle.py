"""The life of a subscription by the clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kernia_billing.testing import SimulatorError, StripeSimulator
from tests.simulator.shop import DAY, Shop, at

GOOD, DECLINES, FAILS_LATER = "4242424242424242", "4000000000000002", "4000000000000341"
RENEWED = [
    "invoice.created",
    "customer.subscription.updated",
    "invoice.finalized",
    "payment_intent.created",
    "payment_intent.succeeded",
    "charge.succeeded",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice_payment.paid",
]
FAILED = [
    "invoice.created",
    "customer.subscription.updated",
    "invoice.finalized",
    "payment_intent.created",
    "charge.failed",
    "payment_intent.payment_failed",
    "invoice.payment_failed",
    "customer.subscription.updated",
    "customer.updated",
]


def _period(subscription: dict[str, object]) -> tuple[int, int]:
    items: dict[str, list[dict[str, int]]] = subscription["items"]  # type: ignore[assignment]  # Stripe's object
    return items["data"][0]["current_period_start"], items["data"][0]["current_period_end"]


def test_a_renewal_waits_an_hour_as_a_draft(shop: Shop) -> None:
    """At the period's end the subscription is active in the next one, its invoice a draft; an hour later it is paid."""
    subscription = shop.buy()
    before = len(shop.stripe.events)

    shop.stripe.advance(months=1)
    renewed = shop.subscription(subscription["id"])
    draft = shop.invoices(subscription["id"])[0]
    shop.stripe.advance(hours=1)
    paid = shop.invoices(subscription["id"])[0]

    assert ("active", (at(2026, 2, 15, 12), at(2026, 3, 15, 12))) == (renewed["status"], _period(renewed))
    assert ("draft", draft["created"] + 3_600) == (draft["status"], draft["next_payment_attempt"])
    assert (None, None) == (draft["number"], draft["hosted_invoice_url"])
    assert ("paid", "subscription_cycle", draft["id"]) == (paid["status"], paid["billing_reason"], paid["id"])
    assert ["invoice.upcoming", *RENEWED] == shop.types(before)
    assert {"items", "latest_invoice"} == set(shop.stripe.events[before + 2]["data"]["previous_attributes"])


def test_the_day_of_the_anchor_comes_back() -> None:
    """Who subscribes on the 31st renews on the last day of short months, and on the 31st again."""
    shop = Shop(StripeSimulator(now=datetime(2026, 1, 31, 9, tzinfo=UTC)))
    subscription = shop.buy()

    ends: list[int] = []
    for _ in range(4):
        ends.append(_period(shop.subscription(subscription["id"]))[1])
        shop.stripe.advance(days=31)

    assert [at(2026, 2, 28, 9), at(2026, 3, 31, 9), at(2026, 4, 30, 9), at(2026, 5, 31, 9)] == ends


def test_yearly_periods_and_leap_days() -> None:
    """A year from 29 February ends on 28 February; four years later the 29th is back."""
    shop = Shop(StripeSimulator(now=datetime(2028, 2, 29, tzinfo=UTC)))
    subscription = shop.buy(shop.price(interval="year"))

    assert at(2029, 2, 28) == _period(subscription)[1]
    shop.stripe.advance(months=42)
    assert at(2032, 2, 29) == _period(shop.subscription(subscription["id"]))[1]


def test_a_long_step_is_many_short_ones() -> None:
    """Half a year in one step bills the same invoices at the same times as six months in six."""
    histories: list[list[tuple[int, str, int]]] = []
    for steps in (1, 6):
        shop = Shop()
        subscription = shop.buy()
        for _ in range(steps):
            shop.stripe.advance(months=6 // steps)
        shop.stripe.advance(hours=1)
        histories.append([(row["created"], row["status"], row["total"]) for row in shop.invoices(subscription["id"])])

    assert histories[0] == histories[1]
    assert 7 == len(histories[0])


def test_a_failing_card_makes_it_past_due(shop: Shop) -> None:
    """The renewal fails after its hour: past due, a next try tomorrow, the customer delinquent."""
    subscription = shop.buy()
    shop.stripe.use_card(subscription["customer"], DECLINES)
    before = len(shop.stripe.events)

    shop.stripe.advance(months=1)
    assert "active" == shop.subscription(subscription["id"])["status"]
    shop.stripe.advance(hours=1)

    invoice = shop.invoices(subscription["id"])[0]
    assert ["invoice.upcoming", *FAILED] == shop.types(before)
    assert "past_due" == shop.subscription(subscription["id"])["status"]
    assert ("open", 1, shop.now + DAY) == (
        invoice["status"],
        invoice["attempt_count"],
        invoice["next_payment_attempt"],
    )
    assert shop.get(f"/v1/customers/{subscription['customer']}")["delinquent"]


def test_a_good_card_recovers_at_the_next_try(shop: Shop) -> None:
    """With a new card the retry succeeds by itself: paid, then active again."""
    subscription = shop.buy()
    shop.stripe.use_card(subscription["customer"], DECLINES)
    shop.stripe.advance(months=1, hours=2)
    shop.stripe.use_card(subscription["customer"], GOOD)
    before = len(shop.stripe.events)

    shop.stripe.advance(days=1)

    assert [
        "payment_intent.succeeded",
        "charge.succeeded",
        "invoice.paid",
        "invoice.payment_succeeded",
        "invoice_payment.paid",
        "customer.subscription.updated",
        "customer.updated",
    ] == shop.types(before)
    assert {"status": "past_due"} == shop.stripe.events[before + 5]["data"]["previous_attributes"]
    assert "active" == shop.subscription(subscription["id"])["status"]


def test_collect_tries_at_once(shop: Shop) -> None:
    """`collect` is the person who presses pay: it fails with the old card and settles with the new one."""
    subscription = shop.buy()
    customer = subscription["customer"]
    shop.stripe.use_card(customer, DECLINES)
    shop.stripe.advance(months=1, hours=2)
    shop.stripe.collect(customer)
    failed = shop.invoices(subscription["id"])[0]
    shop.stripe.use_card(customer, GOOD)
    shop.stripe.collect(customer)

    assert (2, "open") == (failed["attempt_count"], failed["status"])
    assert failed["next_payment_attempt"] == at(2026, 2, 16, 13)
    assert "active" == shop.subscription(subscription["id"])["status"]
    assert not shop.get(f"/v1/customers/{customer}")["delinquent"]


@pytest.mark.parametrize(
    ("setting", "status"), [("cancel", "canceled"), ("unpaid", "unpaid"), ("past_due", "past_due")]
)
def test_after_two_weeks_of_retries(shop: Shop, setting: str, status: str) -> None:
    """Nine failures in two weeks, then the account's setting decides."""
    shop.stripe.settings.after_last_retry = setting  # type: ignore[assignment]  # a parameter is a text
    subscription = shop.buy()
    shop.stripe.use_card(subscription["customer"], DECLINES)
    shop.stripe.advance(months=1, hours=1)

    shop.stripe.advance(days=13, hours=23)
    assert "past_due" == shop.subscription(subscription["id"])["status"]
    shop.stripe.advance(hours=1)

    invoice = shop.invoices(subscription["id"])[0]
    assert (status, 9, None) == (
        shop.subscription(subscription["id"])["status"],
        invoice["attempt_count"],
        invoice["next_payment_attempt"],
    )
    if status == "canceled":
        ended = shop.subscription(subscription["id"])
        assert ("payment_failed", shop.now) == (ended["cancellation_details"]["reason"], ended["ended_at"])


def test_unpaid_subscriptions_get_drafts(shop: Shop) -> None:
    """An unpaid subscription goes on making invoices that stay drafts; paying the newest revives it."""
    shop.stripe.settings.after_last_retry = "unpaid"
    subscription = shop.buy()
    shop.stripe.use_card(subscription["customer"], DECLINES)
    shop.stripe.advance(months=2, days=1)
    newest = shop.invoices(subscription["id"])[0]
    assert ("draft", False) == (newest["status"], newest["auto_advance"])

    refusal = shop.refused("POST", f"/v1/invoices/{newest['id']}/pay")
    shop.stripe.use_card(subscription["customer"], GOOD)
    paid = shop.post(f"/v1/invoices/{newest['id']}/pay")

    assert (402, "card_error", "card_declined") == (refusal.status, refusal.type, refusal.code)
    assert "paid" == paid["status"]
    assert "active" == shop.subscription(subscription["id"])["status"]
    assert "already paid" in shop.refused("POST", f"/v1/invoices/{newest['id']}/pay").message


def test_only_the_newest_invoice_revives(shop: Shop) -> None:
    """Of two unpaid invoices the older one alone does not make the subscription active again."""
    shop.stripe.settings.after_last_retry = "past_due"
    subscription = shop.buy()
    shop.stripe.use_card(subscription["customer"], DECLINES)
    shop.stripe.advance(months=2, hours=1)
    newer, older, _ = shop.invoices(subscription["id"])
    shop.stripe.use_card(subscription["customer"], GOOD)

    shop.post(f"/v1/invoices/{older['id']}/pay")
    assert "past_due" == shop.subscription(subscription["id"])["status"]
    assert shop.get(f"/v1/customers/{subscription['customer']}")["delinquent"]
    shop.post(f"/v1/invoices/{newer['id']}/pay")
    assert "active" == shop.subscription(subscription["id"])["status"]
    assert not shop.get(f"/v1/customers/{subscription['customer']}")["delinquent"]


def test_cancelling_stops_collection(shop: Shop) -> None:
    """Once the subscription is cancelled its draft stays a draft, and its open invoice is not tried again."""
    drafted, failing = shop.buy(), shop.buy()
    shop.stripe.use_card(failing["customer"], DECLINES)
    shop.stripe.advance(months=1)
    shop.delete(f"/v1/subscriptions/{drafted['id']}")
    shop.stripe.advance(hours=1)
    shop.delete(f"/v1/subscriptions/{failing['id']}")
    shop.stripe.advance(days=20)

    assert "draft" == shop.invoices(drafted["id"])[0]["status"]
    tried = shop.invoices(failing["id"])[0]
    assert ("open", 1, None) == (tried["status"], tried["attempt_count"], tried["next_payment_attempt"])


def test_cancellation_at_the_periods_end(shop: Shop) -> None:
    """Asked for, it is set and told; taken back, it is gone; left, it ends the subscription without another invoice."""
    subscription = shop.buy()
    path = f"/v1/subscriptions/{subscription['id']}"
    asked = shop.post(path, {"cancel_at_period_end": "true", "cancellation_details[feedback]": "unused"})
    restored = shop.post(path, {"cancel_at_period_end": "false"})
    shop.post(path, {"cancel_at_period_end": "true"})
    shop.stripe.advance(days=1)
    before = len(shop.stripe.events)
    shop.stripe.advance(months=1)

    assert (_period(subscription)[1], True, "cancellation_requested", "unused") == (
        asked["cancel_at"],
        asked["cancel_at_period_end"],
        asked["cancellation_details"]["reason"],
        asked["cancellation_details"]["feedback"],
    )
    assert (None, False, None) == (restored["cancel_at"], restored["cancel_at_period_end"], restored["canceled_at"])
    assert ["customer.subscription.deleted"] == shop.types(before)
    ended = shop.subscription(subscription["id"])
    assert ("canceled", _period(subscription)[1]) == (ended["status"], ended["ended_at"])
    assert 1 == len(shop.invoices(subscription["id"]))


def test_cancellation_at_a_moment(shop: Shop) -> None:
    """`cancel_at` ends it then, in the middle of a period; unset, it goes on."""
    kept, ended = shop.buy(), shop.buy()
    for subscription in (kept, ended):
        shop.post(f"/v1/subscriptions/{subscription['id']}", {"cancel_at": str(shop.now + DAY)})
    shop.post(f"/v1/subscriptions/{kept['id']}", {"cancel_at": ""})

    shop.stripe.advance(days=2)

    assert ["active", "canceled"] == [shop.subscription(row["id"])["status"] for row in (kept, ended)]


def test_immediate_cancellation_is_terminal(shop: Shop) -> None:
    """A cancelled subscription is told once, is listed as ended, renews no more and takes only notes."""
    subscription = shop.buy()
    path = f"/v1/subscriptions/{subscription['id']}"
    before = len(shop.stripe.events)

    shop.delete(path, {"cancellation_details[comment]": "bye"})
    shop.stripe.advance(months=2)

    assert ["customer.subscription.deleted"] == shop.types(before)
    assert "bye" == shop.subscription(subscription["id"])["cancellation_details"]["comment"]
    assert not shop.get("/v1/subscriptions")["data"]
    assert 1 == len(shop.get("/v1/subscriptions", {"status": "ended"})["data"])
    assert 404 == shop.refused("DELETE", path).status
    assert 400 == shop.refused("POST", path, {"cancel_at_period_end": "true"}).status
    assert {"a": "1"} == shop.post(path, {"metadata[a]": "1"})["metadata"]


def test_deleting_a_customer_ends_its_subscriptions(shop: Shop) -> None:
    """The subscription is cancelled before the customer goes, and nothing is billed to it later."""
    subscription = shop.buy()
    before = len(shop.stripe.events)

    shop.delete(f"/v1/customers/{subscription['customer']}")
    shop.stripe.advance(months=2)

    assert ["customer.subscription.deleted", "customer.deleted"] == shop.types(before)


def test_trials_end_in_a_paid_period(shop: Shop) -> None:
    """Three days before, a warning; at the end the subscription is active and its draft is paid an hour later."""
    subscription = shop.buy(**{"subscription_data[trial_period_days]": "14"})
    before = len(shop.stripe.events)

    shop.stripe.advance(days=11)
    assert ["invoice.upcoming", "customer.subscription.trial_will_end"] == shop.types(before)
    shop.stripe.advance(days=3, hours=1)

    assert RENEWED == shop.types(before + 2)
    now = shop.subscription(subscription["id"])
    assert ("active", subscription["trial_end"]) == (now["status"], _period(now)[0])
    assert "trialing" == shop.stripe.events[before + 3]["data"]["previous_attributes"]["status"]
    assert [1_000, 0] == [row["total"] for row in shop.invoices(subscription["id"])]


def test_a_short_trial_warns_at_once(shop: Shop) -> None:
    """A trial of less than three days is warned of when it begins."""
    shop.buy(**{"subscription_data[trial_period_days]": "2"})

    assert 1 == shop.types().count("customer.subscription.trial_will_end")


@pytest.mark.parametrize(
    ("ending", "status", "events"),
    [
        ("cancel", "canceled", ["customer.subscription.trial_will_end", "customer.subscription.deleted"]),
        (
            "pause",
            "paused",
            [
                "customer.subscription.trial_will_end",
                "customer.subscription.updated",
                "customer.subscription.paused",
            ],
        ),
        ("create_invoice", "past_due", None),
    ],
)
def test_trials_without_a_card(shop: Shop, ending: str, status: str, events: list[str] | None) -> None:
    """Without a payment method the trial ends as its settings say."""
    subscription = shop.buy(
        payment_method_collection="if_required",
        **{
            "subscription_data[trial_period_days]": "14",
            "subscription_data[trial_settings][end_behavior][missing_payment_method]": ending,
        },
    )
    before = len(shop.stripe.events)

    shop.stripe.advance(days=14, hours=2)

    assert status == shop.subscription(subscription["id"])["status"]
    assert events is None or ["invoice.upcoming", *events] == shop.types(before)
    shop.stripe.advance(months=1)
    if status == "paused":
        assert 1 == len(shop.invoices(subscription["id"]))


def test_a_card_that_fails_later(shop: Shop) -> None:
    """4000000000000341 can be saved for a trial and fails when it is charged."""
    subscription = shop.buy(card=FAILS_LATER, **{"subscription_data[trial_period_days]": "5"})
    shop.stripe.advance(days=5, hours=1)

    assert "past_due" == shop.subscription(subscription["id"])["status"]


def _direct(shop: Shop, card: str | None, **params: str) -> dict[str, str]:
    customer = shop.customer()
    if card is not None:
        shop.stripe.use_card(customer, card)
    return {"customer": customer, "items[0][price]": shop.price(), **params}


def test_subscriptions_can_be_made_without_checkout(shop: Shop) -> None:
    """With a good card the subscription is active and paid when the request returns."""
    made = shop.post("/v1/subscriptions", _direct(shop, GOOD))

    assert ("active", "paid") == (made["status"], shop.invoices(made["id"])[0]["status"])


def test_a_failed_first_payment_is_incomplete_for_23_hours(shop: Shop) -> None:
    """Then the invoice is void and the subscription incomplete_expired, for good."""
    made = shop.post("/v1/subscriptions", _direct(shop, DECLINES))
    assert "incomplete" == made["status"]
    assert 400 == shop.refused("POST", f"/v1/subscriptions/{made['id']}", {"cancel_at_period_end": "true"}).status

    shop.stripe.advance(hours=22)
    assert "incomplete" == shop.subscription(made["id"])["status"]
    shop.stripe.advance(hours=1)
    shop.stripe.use_card(made["customer"], GOOD)
    shop.stripe.collect(made["customer"])
    shop.stripe.advance(months=2)

    assert ("incomplete_expired", "void") == (
        shop.subscription(made["id"])["status"],
        shop.invoices(made["id"])[0]["status"],
    )


def test_an_incomplete_subscription_can_be_paid(shop: Shop) -> None:
    """A good card within 23 hours makes it active, and it renews like any other; until then only metadata changes."""
    made = shop.post("/v1/subscriptions", _direct(shop, None, payment_behavior="default_incomplete"))
    path = f"/v1/subscriptions/{made['id']}"
    assert {"a": "1"} == shop.post(path, {"metadata[a]": "1"})["metadata"]
    assert 400 == shop.refused("POST", path, {"description": "Ours"}).status
    shop.stripe.use_card(made["customer"], GOOD)
    shop.stripe.collect(made["customer"])
    assert "active" == shop.subscription(made["id"])["status"]

    shop.stripe.advance(months=1, hours=1)

    assert ["paid", "paid"] == [row["status"] for row in shop.invoices(made["id"])]


def test_error_if_incomplete_makes_nothing(shop: Shop) -> None:
    """402, and neither subscription nor event."""
    params = _direct(shop, DECLINES, payment_behavior="error_if_incomplete")
    before = len(shop.stripe.events)

    refusal = shop.refused("POST", "/v1/subscriptions", params)

    assert (402, "card_declined") == (refusal.status, refusal.code)
    assert before == len(shop.stripe.events)
    assert 400 == shop.refused("POST", "/v1/subscriptions", _direct(shop, None)).status


def test_changes_of_price_and_quantity(shop: Shop) -> None:
    """Without prorations they show at once and are billed from the next invoice; items come and go."""
    small, large, extra = shop.price(1_000), shop.price(5_000), shop.price(200)
    subscription = shop.buy(small)
    path, item = f"/v1/subscriptions/{subscription['id']}", subscription["items"]["data"][0]["id"]

    changed = shop.post(
        path,
        {
            "items[0][id]": item,
            "items[0][price]": large,
            "items[0][quantity]": "2",
            "items[1][price]": extra,
            "metadata[plan]": "large",
            "proration_behavior": "none",
        },
    )

    assert [(large, 2), (extra, 1)] == [(row["price"]["id"], row["quantity"]) for row in changed["items"]["data"]]
    event = shop.stripe.events[-1]
    assert "customer.subscription.updated" == event["type"]
    assert small == event["data"]["previous_attributes"]["items"]["data"][0]["price"]["id"]
    assert {"plan": None} == event["data"]["previous_attributes"]["metadata"]
    shop.stripe.advance(months=1, hours=1)
    assert 10_200 == shop.invoices(subscription["id"])[0]["total"]
    removed = changed["items"]["data"][1]["id"]
    assert 1 == len(shop.post(path, {"items[0][id]": removed, "items[0][deleted]": "true"})["items"]["data"])


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({"items[0][id]": "si_0", "items[0][quantity]": "1"}, 400),
        ({"items[0][quantity]": "1"}, 400),
        ({"items[0][id]": "own", "items[0][deleted]": "true"}, 400),
        ({"items[0][id]": "own", "items[0][price]": "price_0"}, 400),
        ({"items[0][id]": "own", "items[0][price]": "once"}, 400),
        ({"items[0][id]": "own", "items[0][quantity]": "3", "proration_date": "1"}, 400),
        ({"items[0][price]": "weekly"}, 400),
        ({"collection_method": "send_invoice"}, 400),
        ({"days_until_due": "3"}, 400),
        ({"pause_collection[behavior]": "void", "pause_collection[resumes_at]": "1"}, 400),
        ({"trial_end": "1"}, 400),
        ({"trial_end": "99999999999"}, 400),
        ({"payment_behavior": "pending_if_incomplete", "metadata[a]": "1"}, 400),
        ({"cancel_at": "1"}, 400),
        ({"cancel_at": "99999999999", "cancel_at_period_end": "true"}, 400),
        ({"default_payment_method": "pm_0"}, 400),
        ({"billing_cycle_anchor": "now"}, 400),
    ],
)
def test_bad_changes_are_refused(shop: Shop, params: dict[str, str], status: int) -> None:
    """Foreign items, wrong prices, an empty subscription, and what is not modelled; nothing changes."""
    subscription = shop.buy()
    names = {
        "own": subscription["items"]["data"][0]["id"],
        "weekly": shop.price(interval="week"),
        "once": shop.price(interval=None),
    }
    path = f"/v1/subscriptions/{subscription['id']}"

    refusal = shop.refused("POST", path, {name: names.get(value, value) for name, value in params.items()})

    assert status == refusal.status
    assert subscription == shop.get(path)


def test_the_clock_never_goes_back(shop: Shop) -> None:
    """Time can only be advanced."""
    with pytest.raises(SimulatorError, match="never goes back"):
        shop.stripe.advance(days=-1)
    with pytest.raises(ValueError, match="aware"):
        StripeSimulator(now=datetime(2026, 1, 1))  # noqa: DTZ001 - without a zone is what is refused
