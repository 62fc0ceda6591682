"""Top-ups and saved payment methods: pages that sell no plan, and what was paid is granted exactly once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernia_billing import Billing, Conflict, Credits, Feature, InvalidInput, NotFound, Plan, StripeRefused, TopUp
from kernia_billing.testing import CardDeclined, Fault
from tests.harness.house import new_engine
from tests.harness.processes import RemoteStripe, together
from tests.webhooks.shop import ORIGIN, Shop, hurry

SESSIONS = "/v1/checkout/sessions"
PACKS = (
    TopUp("Pack", price_id="price_pack", grants={"credits": 1_000}, min_quantity=2, max_quantity=5),
    TopUp("free-hand", price_id="price_hand", grants={"credits": 10}, max_quantity=9, adjustable=True),
    TopUp("short", price_id="price_short", grants={"credits": 7}, expires_after="30d"),  # type: ignore[arg-type]  # a file's spelling, which is read too
)
OPTIONS: dict[str, Any] = {
    "plans": [Plan("free"), Plan("pro", price_id="price_pro", features={"credits": Credits(100)})],
    "features": [Feature("images", credit_cost={"credits": 10})],
    "top_ups": PACKS,
}
URLS: dict[str, Any] = {"success_url": "/ok?s={CHECKOUT_SESSION_ID}", "cancel_url": "/no"}
BANK, DEBIT = "000123456789", "us_bank_account"
PROCESSES = 8
TOPICS = ("checkout.completed", "checkout.expired", "checkout.failed")


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    """A shop that sells packs, to which Stripe delivers at once."""
    return open_shop(**OPTIONS)


@pytest.fixture
def quiet(open_shop: Callable[..., Shop]) -> Shop:
    """A shop that sells packs and hears from Stripe only what the test delivers."""
    return open_shop("manual", **OPTIONS)


def buy(shop: Shop, name: str = "pack", quantity: int = 2, **more: Any) -> Any:
    """Open a page for a top-up."""
    return shop.billing.top_up("ann", name, quantity, **URLS, **more)


def credits_of(billing: Billing, reference: str = "ann") -> int | None:
    """What remains."""
    found = billing.balances(reference).get("credits")
    return 0 if found is None else found.remaining


def topics(shop: Shop) -> list[str]:
    """What hooks were told of pages."""
    return [row["topic"] for row in shop.rows()["outbox"] if row["topic"] in TOPICS]


def test_a_pack_is_granted_when_it_is_paid(shop: Shop) -> None:
    """Nothing before; afterwards the quantity times what a unit gives, told to hooks, with the source in the ledger."""
    opened = buy(shop, "PACK", 3)
    assert (opened.status, opened.subscription) == ("open", None)
    assert credits_of(shop.billing) == 0
    shop.stripe.pay(opened)
    assert credits_of(shop.billing) == 3_000
    assert topics(shop) == ["checkout.completed"]
    back = shop.billing.sync_checkout(str(opened.session_id))
    assert (back.status, back.url, back.subscription) == ("complete", None, None)
    assert credits_of(shop.billing) == 3_000
    (row,) = shop.rows()["purchase"]
    (line,) = shop.account.get(f"{SESSIONS}/{opened.session_id}/line_items")["data"]
    assert (row["line_id"], row["paid"], row["quantity"]) == (line["id"], 3_000, 3)
    assert {each["source_id"] for each in shop.rows()["entitlement"]} == {line["id"]}


def test_the_request_says_who_buys_what(shop: Shop) -> None:
    """Mode payment, our metadata on the session and on the payment, absolute addresses, one line."""
    buy(shop, quantity=4)
    params = shop.called("POST", SESSIONS)[-1].params
    assert params["mode"] == "payment"
    assert [*params["line_items"].values()] == [{"price": "price_pack", "quantity": "4"}]
    assert params["metadata"] == params["payment_intent_data"]["metadata"]
    told = {"userId": "ann", "referenceId": "ann", "customerType": "user"}
    assert told.items() <= params["metadata"].items()
    assert params["success_url"] == f"{ORIGIN}/ok?s={{CHECKOUT_SESSION_ID}}"


@pytest.mark.parametrize("quantity", [0, 1, 6, -1, 2.0, True, "2", None, 10**12])
def test_quantities_out_of_range_are_refused(shop: Shop, quantity: Any) -> None:
    """Never silently one: what is not within the bounds is refused before Stripe is asked."""
    asked = len(shop.stripe.requests)
    with pytest.raises(InvalidInput) as refusal:
        buy(shop, quantity=quantity)
    assert refusal.value.field == "quantity"
    assert len(shop.stripe.requests) == asked


def test_what_is_not_sold(shop: Shop) -> None:
    """An unknown name is not found, and a name that is no text is refused."""
    with pytest.raises(NotFound) as missing:
        buy(shop, "nothing")
    assert missing.value.code == "TOP_UP_NOT_FOUND"
    with pytest.raises(InvalidInput):
        buy(shop, 5)  # type: ignore[arg-type]  # wrong on purpose


def test_the_same_order_gives_the_same_page_and_another_one_expires_it(shop: Shop) -> None:
    """A double click opens one page; after it was paid the pack may be bought again."""
    first = buy(shop)
    assert buy(shop) == first
    second = buy(shop, quantity=3)
    assert second.session_id != first.session_id
    assert {each["id"]: each["status"] for each in shop.objects("checkout.session")} == {
        first.session_id: "expired",
        second.session_id: "open",
    }
    shop.stripe.pay(second)
    third = buy(shop, quantity=3)
    assert third.session_id != second.session_id
    shop.stripe.pay(third)
    assert credits_of(shop.billing) == 6_000


def test_a_page_that_was_paid_unheard_is_granted_before_the_next(quiet: Shop) -> None:
    """Nobody told us that the first page was paid: another order brings it in, and both are granted."""
    first = buy(quiet)
    quiet.stripe.pay(first)
    second = buy(quiet, quantity=3)
    assert credits_of(quiet.billing) == 2_000
    quiet.stripe.pay(second)
    quiet.stripe.deliver()
    assert credits_of(quiet.billing) == 5_000


def test_the_buyer_may_change_the_quantity_where_that_is_allowed(shop: Shop) -> None:
    """What counts is the line that was paid, not what was asked for."""
    opened = buy(shop, "free-hand", 2)
    (line,) = shop.called("POST", SESSIONS)[-1].params["line_items"].values()
    assert line["adjustable_quantity"] == {"enabled": "true", "minimum": "1", "maximum": "9"}
    session = shop.stripe.state.world.table("checkout.session").get(str(opened.session_id))
    session["_lines"][0]["quantity"] = 6
    shop.stripe.pay(opened)
    assert credits_of(shop.billing) == 60


def test_what_was_promised_is_given_after_the_configuration_changed(quiet: Shop) -> None:
    """The pack gives less by the time it is paid, and lapses: the buyer gets what the page sold."""
    opened = buy(quiet, "short", 1)
    others: dict[str, Any] = {**OPTIONS, "top_ups": [TopUp("other", price_id="price_o", grants={"credits": 1})]}
    quiet.billing = quiet.open(**others)
    quiet.stripe.pay(opened)
    quiet.stripe.deliver()
    assert credits_of(quiet.billing) == 7
    quiet.stripe.advance(days=31)
    assert credits_of(quiet.billing) == 0


def test_a_page_that_ran_out_sells_nothing(shop: Shop) -> None:
    """An expired page closes its row and is told of; a declined card leaves it open."""
    opened = buy(shop)
    with pytest.raises(CardDeclined):
        shop.stripe.pay(opened, card="4000000000000002")
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "open"
    shop.stripe.expire(opened)
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "expired"
    assert topics(shop) == ["checkout.expired"]
    assert credits_of(shop.billing) == 0


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_payment_that_takes_days(shop: Shop, *, succeeds: bool) -> None:
    """A bank debit is under way for longer than the page lived, and grants when the money came, or never."""
    opened = buy(shop)
    # The account takes bank debits, as its owner chose in the dashboard.
    shop.stripe.state.world.table("checkout.session").get(str(opened.session_id))["payment_method_types"].append(DEBIT)
    shop.stripe.pay(opened, card=BANK)
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "processing"
    assert credits_of(shop.billing) == 0
    shop.stripe.advance(hours=30)
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "processing"
    shop.stripe.settle(opened, succeeds=succeeds)
    assert credits_of(shop.billing) == (2_000 if succeeds else 0)
    assert topics(shop) == ["checkout.completed" if succeeds else "checkout.failed"]
    assert shop.billing.sync_checkout(str(opened.session_id)).status == ("complete" if succeeds else "expired")


def test_what_is_first_seen_after_its_expiry_is_granted(quiet: Shop) -> None:
    """Paid, and no news for two days: the jobs find it, and the page that expired here counts as what it is."""
    opened = buy(quiet)
    quiet.stripe.pay(opened)
    quiet.stripe.advance(hours=49)
    assert credits_of(quiet.billing) == 2_000


def test_a_refused_page_leaves_the_way_free(shop: Shop) -> None:
    """Stripe refuses the order: nothing is open, and the next try is a new one."""
    shop.stripe.faults.append(Fault("status", 400, path=SESSIONS, method="POST"))
    with pytest.raises(StripeRefused):
        buy(shop)
    assert buy(shop).status == "open"


def test_an_answer_that_was_lost_opens_no_second_page(shop: Shop) -> None:
    """Stripe made the page and every answer gets lost: it is found among Stripe's own, and given again."""
    shop.stripe.faults.append(Fault("reset_after", path=SESSIONS, method="POST", times=None))
    first = buy(shop)
    shop.stripe.faults.clear()
    assert buy(shop) == first
    assert [each["id"] for each in shop.objects("checkout.session")] == [first.session_id]


# ── Payments that come back ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("policy", "steps"),
    [
        ("unused", [(1_000, 500), (500, 0), (500, 0)]),
        ("all", [(2_000, -500)]),
        ("unused", [(2_000, 0)]),
        ("none", [(2_000, 1_500)]),
    ],
)
def test_refunds_take_units_back(open_shop: Callable[..., Shop], policy: str, steps: list[tuple[int, int]]) -> None:
    """By the policy, in proportion to what was paid: 2,000 for 2,000 units, of which 500 are used."""
    shop = open_shop(**OPTIONS, clawback=policy)
    shop.stripe.pay(buy(shop))
    shop.billing.consume("ann", "credits", 500)
    assert credits_of(shop.billing) == 1_500
    payment = shop.objects("payment_intent")[0]["id"]
    for amount, left in steps:
        shop.stripe.refund(payment, amount)
        balance = shop.billing.balances("ann")["credits"]
        assert (balance.remaining or 0) - balance.overage_used == left


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_takes_and_gives_back(shop: Shop, *, won: bool) -> None:
    """While the bank has the money the units are gone; a dispute that is won brings them back."""
    shop.stripe.pay(buy(shop))
    dispute = shop.stripe.dispute(shop.objects("payment_intent")[0]["id"])
    assert credits_of(shop.billing) == 0
    shop.stripe.close_dispute(dispute, won=won)
    assert credits_of(shop.billing) == (2_000 if won else 0)


def test_a_refund_before_the_grant_counts(quiet: Shop) -> None:
    """All news of the refund comes before the only one of the purchase: nothing is left of it."""
    opened = buy(quiet)
    quiet.stripe.pay(opened)
    quiet.stripe.refund(quiet.objects("payment_intent")[0]["id"])
    news = {str(event["id"]): event["type"] for event in quiet.stripe.events}
    paid = [each for each, kind in news.items() if kind == "checkout.session.completed"]
    quiet.stripe.deliver(*(each for each, kind in news.items() if "refund" in kind), *paid)
    assert topics(quiet) == ["checkout.completed"]
    assert credits_of(quiet.billing) == 0
    assert quiet.billing.sync_checkout(str(opened.session_id)).status == "complete"
    assert credits_of(quiet.billing) == 0


# ── Saving a payment method ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("default", [True, False])
def test_a_payment_method_is_saved(shop: Shop, *, default: bool) -> None:
    """It is kept, and invoices are paid by it from then on where that was asked for."""
    opened = shop.billing.setup_payment_method("ann", **URLS, default=default)
    assert shop.billing.setup_payment_method("ann", **URLS, default=default) == opened
    shop.stripe.pay(opened)
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "complete"
    (method,) = shop.rows()["payment_method"]
    (customer,) = shop.objects("customer")
    assert customer["invoice_settings"]["default_payment_method"] == (method["id"] if default else None)
    (here,) = shop.rows()["stripe_customer"]
    assert here["default_payment_method_id"] == (method["id"] if default else None)
    assert topics(shop) == ["checkout.completed"]


def test_a_default_that_was_changed_later_stays(shop: Shop) -> None:
    """The success page is loaded once more after the buyer chose another card: theirs stays."""
    opened = shop.billing.setup_payment_method("ann", **URLS)
    shop.stripe.pay(opened)
    shop.stripe.use_card("ann", "5555555555554444")
    chosen = shop.objects("customer")[0]["invoice_settings"]["default_payment_method"]
    shop.billing.sync_checkout(str(opened.session_id))
    assert shop.objects("customer")[0]["invoice_settings"]["default_payment_method"] == chosen
    with pytest.raises(InvalidInput):
        shop.billing.setup_payment_method("ann", **URLS, default=1)  # type: ignore[arg-type]  # wrong on purpose


# ── Races ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _returning(url: str, session_id: str, turn: int) -> Callable[[RemoteStripe], int | None]:
    def work(stripe: RemoteStripe) -> int | None:
        with Billing(database=url, stripe_client=stripe, base_url=ORIGIN, **OPTIONS) as billing:
            hurry(billing)
            stripe.ready()
            if turn == 0:
                billing.jobs.run()
            billing.sync_checkout(session_id)
            return credits_of(billing)

    return work


def test_eight_processes_grant_once(engine_url: str) -> None:
    """Success pages and jobs in eight processes at once: one grant, one event, on every database."""
    new_engine(engine_url).dispose()
    shop = Shop(engine_url, deliver="manual", options=OPTIONS)
    opened = buy(shop)
    shop.stripe.pay(opened)
    shop.billing.jobs.run()
    shop.close()
    told = together(shop.stripe, [_returning(engine_url, str(opened.session_id), turn) for turn in range(PROCESSES)])
    assert told == [2_000] * PROCESSES
    with Billing(database=engine_url, stripe_client=shop.stripe, base_url=ORIGIN, **OPTIONS) as billing:
        assert credits_of(billing) == 2_000
        assert not [each for each in billing.doctor().findings if each.severity == "error"]


def _opening(url: str) -> Callable[[RemoteStripe], str | None]:
    def work(stripe: RemoteStripe) -> str | None:
        with Billing(database=url, stripe_client=stripe, base_url=ORIGIN, **OPTIONS) as billing:
            hurry(billing)
            stripe.ready()
            try:
                return billing.top_up("ann", "pack", 2, **URLS).session_id
            except Conflict:
                return None

    return work


def test_eight_processes_open_one_page(engine_url: str) -> None:
    """The same order from eight processes at once: one customer, and one page that can be paid."""
    new_engine(engine_url).dispose()
    shop = Shop(engine_url, options=OPTIONS)
    shop.billing.jobs.run()
    shop.close()
    told = together(shop.stripe, [_opening(engine_url)] * PROCESSES)
    world = shop.stripe.state.world
    assert len({each for each in told if each is not None}) == 1
    assert [each["status"] for each in world.table("checkout.session")] == ["open"]
    assert len(list(world.table("customer"))) == 1
