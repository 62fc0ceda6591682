"""Trials: one for each scope of the policy, claimed before Stripe is asked, given back where nobody paid."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing import AsyncBilling, Billing, BillingError, ConfigError, Identity, InvalidInput, NotFound, Plan
from kernia_billing.domain.references import Reference
from kernia_billing.domain.selling import CheckoutContext
from kernia_billing.domain.trials import normal_email, own_keys, person_keys
from kernia_billing.testing import Fault
from tests.harness.house import new_engine
from tests.harness.processes import RemoteStripe, together
from tests.webhooks.shop import ORIGIN, Shop, hurry

SESSIONS = "/v1/checkout/sessions"
PLANS = [
    Plan("free"),
    Plan("plain", price_id="price_plain"),
    Plan("one", price_id="price_one", trial_days=14),
    Plan("two", price_id="price_two", trial_days=7),
    Plan("side", price_id="price_side", trial_days=3, group="sides"),
]
OPTIONS: dict[str, Any] = {"plans": PLANS}
VISA, MASTERCARD = "4242424242424242", "5555555555554444"
URLS: dict[str, Any] = {"success_url": "/", "cancel_url": "/"}

OpenShop = Callable[..., Shop]


def days(shop: Shop) -> str | None:
    """How long the last page that was opened lets try."""
    found: str | None = shop.called("POST", SESSIONS)[-1].params["subscription_data"].get("trial_period_days")
    return found


def end(shop: Shop, reference: str = "ann", group: str = "default") -> None:
    """Cancel at once."""
    live = shop.billing.subscriptions.get(reference, group=group)
    assert live is not None
    shop.account.delete(f"/v1/subscriptions/{live.stripe_id}")
    shop.stripe.flush()


def someone(name: str, email: str | None = None, *, verified: bool = True) -> Identity:
    """Somebody who is signed in."""
    return Identity(name, email=email, email_verified=verified)


def test_a_page_that_ran_out_gives_the_trial_back(open_shop: OpenShop) -> None:
    """Claimed by a page, free again when it expires, and had once a trial began."""
    shop = open_shop(**OPTIONS)
    first = shop.upgrade(plan="one")
    assert days(shop) == "14"
    shop.upgrade(plan="side")
    assert days(shop) is None, "two open pages would give two trials"
    shop.stripe.expire(first)
    assert shop.billing.subscriptions.has_trialed("ann") is False
    assert [row["started_at"] for row in shop.rows()["trial"]] == []
    shop.stripe.pay(shop.upgrade(plan="two"))
    assert days(shop) == "7"
    asked = [("one", False), ("two", True), (None, True)]
    assert [shop.billing.subscriptions.has_trialed("ann", plan) for plan, _ in asked] == [had for _, had in asked]


def test_a_page_without_a_trial_is_none(open_shop: OpenShop) -> None:
    """What was bought without a trial leaves the trial to come."""
    shop = open_shop(**OPTIONS)
    shop.buy("ann", "plain")
    assert shop.billing.subscriptions.has_trialed("ann") is False
    end(shop)
    shop.upgrade(plan="one")
    assert days(shop) == "14"


def test_unknown_plans_and_lengths(open_shop: OpenShop) -> None:
    """A plan that is not there is not found; what is no number of days is refused."""
    shop = open_shop(**OPTIONS)
    with pytest.raises(NotFound):
        shop.billing.subscriptions.has_trialed("ann", "nothing")
    for wrong in (-1, 731, 1.5, True, "7"):
        with pytest.raises(InvalidInput):
            shop.upgrade(plan="one", trial_days=wrong)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({"trial_days": 30}, "30"),
        ({"trial_days": 0}, None),
        ({"skip_trial": True}, None),
        ({"skip_trial": True, "trial_days": 30}, None),
        ({"plan": "plain", "trial_days": 5}, "5"),
    ],
)
def test_a_direct_call_may_say_how_long(open_shop: OpenShop, order: dict[str, Any], expected: str | None) -> None:
    """The caller's days stand in for the plan's, and leaving the trial out claims nothing."""
    shop = open_shop(**OPTIONS)
    shop.upgrade(**{"plan": "one", **order})
    assert days(shop) == expected
    assert len(shop.rows()["trial"]) == (expected is not None)


def test_the_callers_days_give_no_second_trial(open_shop: OpenShop) -> None:
    """Whether one is due is judged all the same."""
    shop = open_shop(**OPTIONS)
    shop.buy("ann", "one")
    end(shop)
    shop.upgrade(plan="one", trial_days=30)
    assert days(shop) is None


SECOND: list[tuple[Any, dict[str, Any], bool]] = [
    ("reference", {"plan": "two"}, False),
    ("reference", {"plan": "side"}, False),
    ("group", {"plan": "two"}, False),
    ("group", {"plan": "side"}, True),
    ("plan", {"plan": "one"}, False),
    ("plan", {"plan": "two"}, True),
    ([], {"plan": "one"}, True),
    ("user", {"plan": "one", "reference": "other", "identity": someone("ann")}, False),
    ("user", {"plan": "one", "reference": "other", "identity": someone("bob")}, True),
    ("reference", {"plan": "one", "reference": "other", "identity": someone("ann")}, True),
    ("email", {"plan": "one", "reference": "bob", "identity": someone("bob", "An.n+2@gmail.com")}, False),
    (
        "email",
        {"plan": "one", "reference": "bob", "identity": someone("bob", "ann@gmail.com", verified=False)},
        True,
    ),
    ("email", {"plan": "one", "reference": "bob", "identity": someone("bob", "bob@gmail.com")}, True),
    (["reference", "email"], {"plan": "one"}, False),
]


@pytest.mark.parametrize(("scopes", "order", "due"), SECOND)
def test_scopes(open_shop: OpenShop, scopes: Any, order: dict[str, Any], *, due: bool) -> None:
    """After a trial of "one" by ann, whose address is verified: who gets another one under which policy."""
    shop = open_shop(**OPTIONS, trial_once_per=scopes)
    shop.buy("ann", "one", identity=someone("ann", "ann@gmail.com"))
    end(shop)
    order = {"reference": "ann", **order}
    shop.upgrade(**order)
    assert (days(shop) is not None) is due


def test_a_claim_of_two_scopes_is_all_or_none(open_shop: OpenShop) -> None:
    """The address has had its trial: the reference keeps its own for later."""
    shop = open_shop(**OPTIONS, trial_once_per=["reference", "email"])
    shop.buy("ann", "one", identity=someone("ann", "ann@shop.example"))
    shop.upgrade("bob", "one", identity=someone("bob", "ANN@shop.example"))
    assert days(shop) is None
    shop.upgrade("bob", "one", identity=someone("bob", "bob@shop.example"), locale="de")
    assert days(shop) == "14"


def test_a_trial_that_others_gave_counts(open_shop: OpenShop) -> None:
    """Given in the dashboard: it was the trial, of the reference and of the plan."""
    shop = open_shop(**OPTIONS)
    shop.buy("ann", "plain")
    params = {"customer": shop.customer(), "items[0][price]": "price_side", "trial_period_days": 5}
    shop.account.post("/v1/subscriptions", params)
    shop.stripe.flush()
    end(shop)
    shop.upgrade(plan="one")
    assert days(shop) is None
    assert shop.billing.subscriptions.has_trialed("ann", "side") is True


def test_deleting_the_customer_at_stripe_resets_nothing(open_shop: OpenShop) -> None:
    """The customer is deleted and made anew: the trial stays had."""
    shop = open_shop(**OPTIONS)
    shop.buy("ann", "one")
    shop.account.delete(f"/v1/customers/{shop.customer()}")
    shop.stripe.flush()
    shop.upgrade(plan="two")
    assert days(shop) is None


def test_no_address_lies_in_the_table(open_shop: OpenShop) -> None:
    """What is kept of a person is a keyed hash, which another database would not find."""
    shop = open_shop(**OPTIONS, trial_once_per=["reference", "user", "email"])
    shop.buy("ann", "one", identity=someone("ann", "secret@shop.example"))
    rows = shop.rows()["trial"]
    assert {row["scope"] for row in rows} == {"reference", "group", "plan", "user", "email"}
    assert "secret" not in str(rows)
    assert all(row["started_at"] is not None for row in rows)


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_first_payment_that_takes_days(open_shop: OpenShop, *, succeeds: bool) -> None:
    """A bank debit is under way when the buyer comes back; where it fails the page is closed, and told of."""
    shop = open_shop(**OPTIONS)
    opened = shop.upgrade(plan="plain")
    # The account takes bank debits, as its owner chose in the dashboard.
    session = shop.stripe.state.world.table("checkout.session").get(str(opened.session_id))
    session["payment_method_types"].append("us_bank_account")
    shop.stripe.pay(opened, card="000123456789")
    assert shop.billing.sync_checkout(str(opened.session_id)).status == "processing"
    shop.stripe.settle(opened, succeeds=succeeds)
    assert shop.billing.sync_checkout(str(opened.session_id)).status == ("complete" if succeeds else "expired")
    told = [row["topic"] for row in shop.rows()["outbox"] if row["topic"].startswith("checkout.")]
    assert [each for each in told if not each.startswith("checkout.session")] == [
        "checkout.completed" if succeeds else "checkout.failed"
    ]


# ── Cards ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("policy", "status"), [("cancel", "canceled"), ("end", "active"), ("record", "trialing")])
def test_a_card_that_has_had_its_trial(open_shop: OpenShop, policy: str, status: str) -> None:
    """Known once the page is paid: hooks hear of it, and the second trial goes the way that the policy says."""
    shop = open_shop(**OPTIONS, trial_once_per="card", trial_repeated_card=policy)
    shop.stripe.pay(shop.upgrade("ann", "one"), card=VISA)
    shop.stripe.pay(shop.upgrade("bob", "one"), card=MASTERCARD)
    shop.stripe.pay(shop.upgrade("cid", "one"), card=VISA)
    found = [shop.billing.subscriptions.list(name)[0].status for name in ("ann", "bob", "cid")]
    assert found == ["trialing", "trialing", status]
    assert [row["topic"] for row in shop.rows()["outbox"]].count("trial.repeated") == 1


# ── The end of a trial ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_trial_that_ends_by_itself(open_shop: OpenShop) -> None:
    """behavior_after_trial="cancel": it ends with the trial and nothing is charged; whoever stays, stays for good."""
    shop = open_shop(**OPTIONS, subscription={"behavior_after_trial": "cancel"})
    first = shop.buy("ann", "one")
    second = shop.buy("bob", "one")
    assert shop.buy("cid", "plain").cancel_at_period_end is False
    assert (first.status, first.cancel_at_period_end) == ("trialing", True)
    shop.account.post(f"/v1/subscriptions/{second.stripe_id}", {"cancel_at_period_end": False})
    shop.stripe.flush()
    opened = next(each["id"] for each in shop.objects("checkout.session") if each["metadata"]["referenceId"] == "bob")
    shop.billing.sync_checkout(opened)
    shop.stripe.advance(days=15)
    assert shop.billing.subscriptions.list("ann")[0].status == "canceled"
    assert shop.billing.subscriptions.list("bob")[0].status == "active"
    paid = {each["customer"]: each["amount_paid"] for each in shop.objects("invoice") if each["amount_paid"]}
    assert {*paid} == {shop.customer("bob"), shop.customer("cid")}


@pytest.mark.parametrize(("missing", "status"), [("cancel", "canceled"), ("pause", "paused")])
def test_a_trial_without_a_card(open_shop: OpenShop, missing: str, status: str) -> None:
    """No card is asked for, and the policy says what becomes of the subscription."""
    options = {"payment_method_collection": "if_required"}
    shop = open_shop(**OPTIONS, checkout=options, trial_missing_payment_method=missing)
    shop.buy("ann", "one")
    shop.stripe.advance(days=15)
    assert shop.billing.subscriptions.list("ann")[0].status == status


# ── Options of the page, and the hook ────────────────────────────────────────────────────────────────────────────────


def test_options_of_the_page(open_shop: OpenShop) -> None:
    """All of them together, on pages for plans of users and organizations; Stripe takes what they ask for."""
    options = {
        "allow_promotion_codes": True,
        "billing_address_collection": "required",
        "tax_id_collection": True,
        "automatic_tax": True,
        "locale": "de",
    }
    shop = open_shop(**OPTIONS, checkout=options, subscription_for="organization")
    shop.upgrade("acme", "plain")
    params = shop.called("POST", SESSIONS)[-1].params
    assert params["customer_update"] == {"address": "auto", "name": "auto"}
    told = {name: params[name] for name in ("allow_promotion_codes", "billing_address_collection", "locale")}
    assert told == {"allow_promotion_codes": "true", "billing_address_collection": "required", "locale": "de"}
    assert params["automatic_tax"] == params["tax_id_collection"] == {"enabled": "true"}


def _giving(answer: Any) -> Callable[[CheckoutContext], Any]:
    """A hook that gives the same to everybody."""

    def hook(_context: CheckoutContext) -> Any:
        return answer

    return hook


def test_a_hook_that_gives_discounts(open_shop: OpenShop) -> None:
    """Stripe takes either discounts or codes: the hook's discounts stand in for the field."""
    shop = open_shop(
        **OPTIONS,
        allow_promotion_codes=True,
        get_checkout_session_params=_giving({"discounts": [{"coupon": "half"}]}),
    )
    shop.account.post("/v1/coupons", {"id": "half", "percent_off": 50, "duration": "once"})
    shop.upgrade(plan="plain")
    assert "allow_promotion_codes" not in shop.called("POST", SESSIONS)[-1].params


@pytest.mark.parametrize("answer", [5, [1], {"subscription_data": 5}, {"metadata": "x"}])
def test_a_hook_that_gives_nonsense(open_shop: OpenShop, answer: Any) -> None:
    """It is told what it has to give, and nothing is sold."""
    shop = open_shop(**OPTIONS, get_checkout_session_params=_giving(answer))
    with pytest.raises(ConfigError, match="get_checkout_session_params"):
        shop.upgrade(plan="plain")
    assert not shop.called("POST", SESSIONS)


def test_a_hook_that_must_be_awaited_is_for_async_billing(sqlite_url: str) -> None:
    """Billing cannot await it, and says so when it is made."""

    async def hook(_context: object) -> dict[str, Any]:
        return {}

    with pytest.raises(ConfigError, match="get_checkout_session_params"):
        Billing(database=sqlite_url, **OPTIONS, get_checkout_session_params=hook)
    billing = AsyncBilling(database=sqlite_url, **OPTIONS, get_checkout_session_params=hook)
    assert billing.config.get_checkout_session_params is hook
    asyncio.run(billing.aclose())


# ── Keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ann@shop.example", " ANN@Shop.Example ", True),
        ("ann+trial@shop.example", "ann@shop.example", True),
        ("a.n.n@gmail.com", "ann@googlemail.com", True),
        ("a.n.n@shop.example", "ann@shop.example", False),
        ("ann@shop.example", "ann@other.example", False),
    ],
)
def test_spellings_of_an_address(one: str, other: str, *, same: bool) -> None:
    """Case, plus signs and Google's dots make no other mailbox."""
    assert (normal_email(one) == normal_email(other)) is same


NAMES = st.text("abcü/:\x20", max_size=6)


@given(NAMES, NAMES, NAMES, NAMES)
def test_keys_of_different_scopes_differ(who: str, other: str, group: str, plan: str) -> None:
    """No two scopes share a key, another secret gives other keys, and none names what it stands for."""
    reference = Reference(who or "x", "user")
    keys = own_keys(b"secret", reference, group, plan) | person_keys(b"secret", reference, None)
    assert len(set(keys.values())) == len(keys)
    assert not set(keys.values()) & set(own_keys(b"other", reference, group, plan).values())
    if other and other != reference.id:
        elsewhere = own_keys(b"secret", Reference(other, "user"), group, plan)
        assert elsewhere["reference"] != keys["reference"]


# ── Races ────────────────────────────────────────────────────────────────────────────────────────────────────────────

PROCESSES = 8


def _opening(url: str, reference: str, plan: str, identity: Identity, **options: Any) -> Callable[[RemoteStripe], bool]:
    def work(stripe: RemoteStripe) -> bool:
        with Billing(database=url, stripe_client=stripe, base_url=ORIGIN, **{**OPTIONS, **options}) as billing:
            hurry(billing)
            stripe.ready()
            try:
                billing.subscriptions.upgrade(reference, plan, **URLS, identity=identity)
            except BillingError:
                return False
            return True

    return work


def test_eight_processes_get_one_trial(engine_url: str) -> None:
    """Two plan groups of four references of one person, all at once: one page has a trial."""
    new_engine(engine_url).dispose()
    shop = Shop(engine_url, options=OPTIONS)
    shop.billing.jobs.run()
    shop.close()
    person = someone("ann", "ann@shop.example")
    orders = [(f"team{number % 4}", "one" if number < 4 else "side") for number in range(PROCESSES)]
    policy: dict[str, Any] = {"trial_once_per": ["reference", "user", "email"]}
    told = together(shop.stripe, [_opening(engine_url, *order, person, **policy) for order in orders])
    assert all(told)
    pages = [each for each in shop.stripe.requests if each.method == "POST" and each.path == SESSIONS]
    assert sum("trial_period_days" in each.params["subscription_data"] for each in pages) == 1


def test_sixteen_processes_and_a_stripe_that_fails(engine_url: str) -> None:
    """One new reference, sixteen processes, and the first calls fail: one customer, and one page that can be paid."""
    new_engine(engine_url).dispose()
    shop = Shop(engine_url, options=OPTIONS)
    shop.billing.jobs.run()
    shop.close()
    shop.stripe.faults.append(Fault("status", 503, path="/v1/customers", times=6))
    shop.stripe.faults.append(Fault("reset_after", path=SESSIONS, method="POST", times=4))
    told = together(shop.stripe, [_opening(engine_url, "ann", "one", someone("ann"))] * 16)
    shop.stripe.faults.clear()
    assert any(told)
    world = shop.stripe.state.world
    assert len(list(world.table("customer"))) == 1
    assert [each["status"] for each in world.table("checkout.session")] == ["open"]
