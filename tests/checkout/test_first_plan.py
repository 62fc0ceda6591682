"""Buying a first plan: one page at a time, one subscription, and nothing sold where anything is in doubt."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from kernia_billing import AlreadySubscribed, BillingError, Conflict, Identity, StripeRefused, Unavailable
from kernia_billing.domain.answers import Checkout
from kernia_billing.operations import checkout, one_page
from kernia_billing.testing import CardDeclined, Fault, SimulatorError
from tests.webhooks.shop import ORIGIN, Shop

SESSIONS = "/v1/checkout/sessions"


def test_first_plan_is_bought_on_every_database(each_shop: Shop) -> None:
    """Upgrade, pay, be subscribed: the allowance, the customer and the mirrored subscription say the same."""
    shop = each_shop
    opened = shop.upgrade("ann", "pro")
    assert (opened.status, opened.subscription) == ("open", None)
    assert shop.billing.check("ann", "projects", 5).allowed is False
    bought = shop.stripe.pay(opened)
    assert (bought.plan, bought.status, bought.interval, bought.seats) == ("pro", "active", "month", 1)
    assert shop.billing.check("ann", "projects", 5).allowed
    customer = shop.billing.customers.get("ann")
    assert customer is not None
    assert (customer.plan, customer.subscription) == ("pro", bought)
    assert [each.id for each in shop.billing.subscriptions.list("ann")] == [bought.id]
    (session,) = shop.objects("checkout.session")
    assert session["metadata"]["subscriptionId"] == bought.id
    assert shop.account.subscription(str(bought.stripe_id))["metadata"]["subscriptionId"] == bought.id


def test_the_request_says_all_that_it_must_and_nothing_else(shop: Shop) -> None:
    """What Stripe is asked for: absolute addresses, our ids in both metadata, the client's beside them."""
    identity = Identity("ann", email="ann@example.com", email_verified=True)
    opened = shop.upgrade("ann", "pro", metadata={"campaign": "spring"}, locale="de", identity=identity)
    (request,) = shop.called("POST", SESSIONS)
    params: dict[str, Any] = {**request.params, "line_items": list(request.params["line_items"].values())}
    own = {
        "campaign": "spring",
        "userId": "ann",
        "referenceId": "ann",
        "customerType": "user",
        "plan": "pro",
        "subscriptionId": params["metadata"]["subscriptionId"],
        "kernia_intent": request.headers["idempotency-key"],
    }
    assert params == {
        "mode": "subscription",
        "customer": shop.customer(),
        "customer_update": {"address": "auto", "name": "auto"},
        "client_reference_id": "ann",
        "line_items": [{"price": "price_pro", "quantity": "1"}],
        "locale": "de",
        "metadata": own,
        "subscription_data": {"metadata": own},
        "success_url": f"{ORIGIN}/welcome?s={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{ORIGIN}/plans",
    }
    assert shop.objects("customer")[0]["email"] == "ann@example.com"
    assert str(opened.session_id) in str(opened.url)


def test_the_same_order_again_gives_the_same_page(shop: Shop) -> None:
    """Asking again for the same makes no second page, and no second request that could make one."""
    first = shop.upgrade()
    posted = len(shop.called("POST", SESSIONS))
    assert shop.upgrade() == first
    shop.stripe.advance(hours=23)
    assert shop.upgrade(plan="PRO") == first
    assert len(shop.called("POST", SESSIONS)) == posted == 1


OTHER_ORDERS: dict[str, dict[str, Any]] = {
    "plan": {"plan": "team"},
    "interval": {"annual": True},
    "seats": {"seats": 3},
    "success": {"success_url": "/other"},
    "cancel": {"cancel_url": "/other"},
    "locale": {"locale": "fr"},
    "metadata": {"metadata": {"a": "b"}},
    "buyer": {"identity": Identity("someone")},
}


@pytest.mark.parametrize("what", OTHER_ORDERS)
def test_another_order_expires_the_older_page_first(shop: Shop, what: str) -> None:
    """At no time two pages are open: the older one is expired before the new one is made."""
    first = shop.upgrade()
    second = shop.upgrade(**OTHER_ORDERS[what])
    assert second.url != first.url
    pages = {each["id"]: each["status"] for each in shop.objects("checkout.session")}
    assert pages == {first.session_id: "expired", second.session_id: "open"}
    posts = [each.path for each in shop.stripe.requests if each.method == "POST" and each.path.startswith(SESSIONS)]
    assert posts == [SESSIONS, f"{SESSIONS}/{first.session_id}/expire", SESSIONS]
    assert shop.billing.sync_checkout(str(first.session_id)).status == "expired"
    assert shop.upgrade(**OTHER_ORDERS[what]) == second
    with pytest.raises(SimulatorError):
        shop.stripe.pay(first)


def test_pages_of_two_plan_groups_are_open_side_by_side(shop: Shop) -> None:
    """A page for a plan of another group leaves the first one open, and both may be paid."""
    first, second = shop.upgrade(), shop.upgrade(plan="extra")
    shop.stripe.pay(second)
    shop.stripe.pay(first)
    assert {(each.plan, each.status) for each in shop.billing.subscriptions.list("ann")} == {
        ("pro", "active"),
        ("extra", "active"),
    }


@pytest.mark.parametrize("order", [{"plan": "pro"}, {"plan": "team"}, {"plan": "pro", "annual": True}])
def test_a_page_that_was_paid_meanwhile_is_brought_in_and_not_sold_again(
    quiet_shop: Shop, order: dict[str, Any]
) -> None:
    """The page was paid and nobody told us: no order opens a second page, and the subscription is there."""
    shop = quiet_shop
    first = shop.upgrade()
    shop.stripe.pay(first)
    assert shop.billing.subscriptions.get("ann") is None
    with pytest.raises(Conflict) as refusal:
        shop.upgrade(**order)
    same = order == {"plan": "pro"}
    assert refusal.value.code == ("ALREADY_SUBSCRIBED_PLAN" if same else "PORTAL_NOT_CONFIGURED")
    assert isinstance(refusal.value, AlreadySubscribed) is same
    assert shop.subscription().status == "active"
    assert len(shop.objects("checkout.session")) == 1


def test_a_page_that_is_paid_while_it_is_being_replaced_is_found_out(quiet_shop: Shop) -> None:
    """Paid between the look at Stripe's list and the expiry: the expiry fails, and the purchase is brought in."""
    shop = quiet_shop
    first = shop.upgrade()
    stripe: Any = shop.billing._wiring.core.stripe
    real = stripe.request

    async def pays_first(method: Any, path: str, *rest: Any, **options: Any) -> Any:
        if path.endswith("/expire"):
            shop.stripe.pay(first)
        return await real(method, path, *rest, **options)

    stripe.request = pays_first
    with pytest.raises(AlreadySubscribed, match="meanwhile"):
        shop.upgrade(plan="team")
    assert (shop.subscription().plan, shop.subscription().status) == ("pro", "active")
    assert [each["status"] for each in shop.objects("checkout.session")] == ["complete"]


def test_a_page_that_is_paid_and_heard_of_just_before_the_next_is_claimed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bought after the look for subscriptions and before the new page has its place: no new page is made."""
    first = shop.upgrade()
    real = one_page.claim

    async def pays_first(*arguments: Any, **options: Any) -> Any:
        shop.stripe.pay(first)
        return await real(*arguments, **options)

    monkeypatch.setattr(checkout, "claim", pays_first)
    with pytest.raises(Conflict) as refusal:
        shop.upgrade(plan="team")
    assert refusal.value.code == "SUBSCRIPTION_EXISTS"
    assert [each["status"] for each in shop.objects("checkout.session")] == ["complete"]
    assert [row["status"] for row in shop.rows()["checkout_session"] if row["plan"] == "team"] == ["expired"]
    monkeypatch.undo()
    shop.account.delete(f"/v1/subscriptions/{shop.subscription().stripe_id}")
    shop.stripe.flush()
    assert shop.buy("ann", "team").status == "active"


def test_an_order_that_lost_its_place_while_stripe_was_asked_leaves_no_page(shop: Shop) -> None:
    """Another order came between writing the first down and Stripe's answer to it: one page is open, the other's."""
    stripe: Any = shop.billing._wiring.core.stripe
    real = stripe.request
    others: list[Checkout] = []

    async def other_first(method: Any, path: str, *rest: Any, **options: Any) -> Any:
        if path == SESSIONS and not others:
            stripe.request = real
            others.append(shop.upgrade(plan="team"))
        return await real(method, path, *rest, **options)

    stripe.request = other_first
    with pytest.raises(Conflict) as refusal:
        shop.upgrade(plan="pro")
    assert refusal.value.code == "CHECKOUT_IN_PROGRESS"
    (other,) = others
    pages = {each["id"]: each["status"] for each in shop.objects("checkout.session")}
    assert pages.pop(str(other.session_id)) == "open"
    assert list(pages.values()) == ["expired"]
    assert shop.upgrade(plan="team") == other


def test_what_is_bought_already_is_refused(shop: Shop) -> None:
    """The same plan, interval and seats: AlreadySubscribed; anything else of the group is a change, no purchase."""
    shop.buy()
    asked = len(shop.called("POST", SESSIONS))
    with pytest.raises(AlreadySubscribed):
        shop.upgrade()
    others: list[dict[str, Any]] = [{"plan": "team"}, {"annual": True}, {"seats": 2}]
    for other in others:
        with pytest.raises(Conflict) as refusal:
            shop.upgrade(**other)
        assert refusal.value.code == "PORTAL_NOT_CONFIGURED"
    assert len(shop.called("POST", SESSIONS)) == asked


def test_a_declined_card_leaves_everything_open(shop: Shop) -> None:
    """After a refused card there is no subscription, the page is the same, and another card buys."""
    opened = shop.upgrade()
    for card in ("4000000000000002", "4000000000009995"):
        with pytest.raises(CardDeclined):
            shop.stripe.pay(opened, card=card)
    assert shop.billing.subscriptions.get("ann") is None
    assert not shop.billing.check("ann", "projects", 5)
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "open"
    assert shop.upgrade() == opened
    assert shop.stripe.pay(opened).status == "active"


def test_a_page_runs_out_by_the_clock(shop: Shop) -> None:
    """After a day the page is expired here too, and the same order opens a new one."""
    opened = shop.upgrade()
    shop.stripe.advance(hours=25)
    assert shop.billing.sync_checkout(str(opened.session_id)) == Checkout(None, opened.session_id, "expired", None)
    assert shop.upgrade().url != opened.url


def test_a_page_that_ran_out_unheard_of_is_replaced(quiet_shop: Shop) -> None:
    """The news of the expiry was lost: the next order notices by the clock and by asking."""
    first = quiet_shop.upgrade()
    quiet_shop.stripe.advance(hours=25)
    second = quiet_shop.upgrade()
    assert second.url != first.url
    assert [each["status"] for each in quiet_shop.objects("checkout.session")] == ["expired", "open"]


def test_a_lost_end_of_a_subscription_does_not_forbid_a_new_one(quiet_shop: Shop) -> None:
    """A subscription that ended at Stripe without our hearing of it does not stand in the way of the next."""
    shop = quiet_shop
    bought = shop.buy()
    shop.account.delete(f"/v1/subscriptions/{bought.stripe_id}")
    assert shop.subscription().status == "active"
    shop.stripe.pay(shop.upgrade(plan="team"))
    shop.stripe.deliver()
    assert [each.status for each in shop.billing.subscriptions.list("ann")] == ["canceled", "active"]


def test_a_live_subscription_without_a_row_is_adopted_and_not_doubled(quiet_shop: Shop) -> None:
    """Stripe's list shows a subscription that we never heard of: it is brought in, and nothing is sold beside it."""
    shop = quiet_shop
    customer = shop.billing.customers.ensure("ann").stripe_id
    shop.account.buy("price_team", customer=str(customer))
    with pytest.raises(Conflict, match="portal"):
        shop.upgrade()
    assert (shop.subscription().plan, shop.subscription().status) == ("team", "active")
    assert not shop.called("POST", SESSIONS)[1:]


GUARDS = {
    "customer": ("POST", "/v1/customers"),
    "subscriptions": ("GET", "/v1/subscriptions"),
    "page": ("POST", SESSIONS),
}


@pytest.mark.parametrize("kind", ["status", "timeout_before", "html_502"])
@pytest.mark.parametrize("guard", GUARDS)
def test_nothing_is_sold_while_stripe_does_not_answer(shop: Shop, guard: str, kind: Any) -> None:
    """Whichever call fails, the order fails with 503, no page is open, and the same call goes on later."""
    method, path = GUARDS[guard]
    shop.stripe.faults.append(Fault(kind, 500, method=method, path=path, times=None))
    with pytest.raises(Unavailable) as failure:
        shop.upgrade()
    assert (failure.value.status, failure.value.retryable) == (503, True)
    assert not shop.objects("checkout.session")
    shop.stripe.faults.clear()
    opened = shop.upgrade()
    assert [each["status"] for each in shop.objects("checkout.session")] == ["open"]
    assert shop.stripe.pay(opened).plan == "pro"


def test_the_guard_of_a_replacement_fails_closed(shop: Shop) -> None:
    """An older page that cannot be expired keeps a new one from being opened."""
    first = shop.upgrade()
    shop.stripe.faults.append(Fault("status", 500, method="POST", path=f"{SESSIONS}/*/expire", times=None))
    with pytest.raises(Unavailable):
        shop.upgrade(plan="team")
    assert [each["id"] for each in shop.objects("checkout.session")] == [first.session_id]
    shop.stripe.faults.clear()
    assert shop.stripe.pay(shop.upgrade(plan="team")).plan == "team"


LOST = ("timeout_after", "reset_after", "applied")


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("then", ["the same", "another"])
def test_a_lost_answer_opens_no_second_page(shop: Shop, lost: str, then: str) -> None:
    """A page whose answer was lost is found again by its key or its metadata, or expired before another one opens."""
    fault = (
        Fault("status", 500, method="POST", path=SESSIONS, times=3, sticky=True, apply=True)
        if lost == "applied"
        else Fault(lost, method="POST", path=SESSIONS, times=3)  # type: ignore[arg-type]  # a str of the choices
    )
    shop.stripe.faults.extend([fault, Fault("timeout_before", method="GET", path=SESSIONS, times=3)])
    with pytest.raises(Unavailable):
        shop.upgrade()
    assert len(shop.objects("checkout.session")) == 1
    opened = shop.upgrade(plan="pro" if then == "the same" else "team")
    statuses = [each["status"] for each in shop.objects("checkout.session")]
    assert statuses == (["open"] if then == "the same" else ["expired", "open"])
    assert shop.stripe.pay(opened).status == "active"


def test_an_order_that_stripe_refuses_is_not_held_on_to(shop: Shop) -> None:
    """A refusal (an archived price, say) is told, and once its cause is gone the same order works."""
    shop.stripe.faults.append(Fault("status", 400, method="POST", path=SESSIONS, sticky=True))
    with pytest.raises(StripeRefused):
        shop.upgrade()
    assert shop.stripe.pay(shop.upgrade()).plan == "pro"


def test_an_order_that_was_interrupted_and_then_refused_does_not_block_the_next(shop: Shop) -> None:
    """A process died after writing the order down, and Stripe refuses it by now: the next order replaces it."""
    shop.stripe.faults.append(Fault("timeout_before", method="POST", path=SESSIONS, times=3))
    with pytest.raises(Unavailable):
        shop.upgrade()
    shop.stripe.faults.append(Fault("status", 400, method="POST", path=SESSIONS, times=1))
    assert shop.stripe.pay(shop.upgrade(plan="team")).plan == "team"


def test_two_orders_at_once_leave_one_page_open(each_shop: Shop) -> None:
    """Threads that order different plans at once: at most one page is open at the end, and it is the one we know."""
    shop = each_shop
    shop.billing.customers.ensure("ann")
    plans = ["pro", "team", "trial", "desk"] * 2
    barrier = threading.Barrier(len(plans))
    answers: list[object] = []

    def order(plan: str) -> None:
        barrier.wait()
        try:
            answers.append(shop.upgrade(plan=plan))
        except BillingError as error:
            answers.append(error.code)

    threads = [threading.Thread(target=order, args=(plan,)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == len(plans)
    assert {each for each in answers if isinstance(each, str)} <= {"CHECKOUT_IN_PROGRESS", "UNAVAILABLE", "STRIPE_BUSY"}
    still_open = [each["id"] for each in shop.objects("checkout.session") if each["status"] == "open"]
    known = [row["stripe_session_id"] for row in shop.rows()["checkout_session"] if row["status"] == "open"]
    assert len(still_open) <= 1
    assert set(still_open) <= set(known)
    shop.stripe.pay(shop.upgrade(plan="pro"))
    assert [each.status for each in shop.billing.subscriptions.list("ann")] == ["active"]
