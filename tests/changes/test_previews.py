"""What a change is shown to cost is what it costs, to the minor unit, or it is not made."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from attrs import evolve

from kernia_billing import AlreadySubscribed, Boolean, Metered, Money, NotFound, Plan, PreviewStale
from kernia_billing.domain.preview_tokens import read, sign
from tests.webhooks.shop import Shop

PLANS = [
    Plan("free"),
    Plan("one", price_id="price_one", annual_price_id="price_one_y", features={"calls": Metered(10)}),
    Plan("two", price_id="price_two", annual_price_id="price_two_y", features={"calls": Metered(50), "sso": Boolean()}),
    Plan("crew", price_id="price_crew", seats=True, seat_price_id="price_seat", min_seats=2, max_seats=30),
    Plan("lined", price_id="price_lined", line_items={"price_line": 3}, proration_behavior="create_prorations"),
    Plan("trial", price_id="price_trial", trial_days=20),
]
AMOUNTS = {
    "price_one": 1_000,
    "price_one_y": 9_999,
    "price_two": 4_997,
    "price_two_y": 49_901,
    "price_crew": 333,
    "price_seat": 701,
    "price_lined": 2_003,
    "price_line": 107,
    "price_trial": 1_501,
}


@pytest.fixture
def shop(open_shop: Any) -> Shop:
    """An application whose prices divide badly."""
    shop: Shop = open_shop(plans=PLANS)
    for price, amount in AMOUNTS.items():
        shop.stripe.state.world.table("price").get(price).update(unit_amount=amount, unit_amount_decimal=str(amount))
    return shop


def last_update(shop: Shop, since: int) -> int:
    """What the change itself billed: of the invoices since, the one that is of an update; 0 without any."""
    made = [each for each in shop.objects("invoice")[since:] if each["billing_reason"] == "subscription_update"]
    assert len(made) <= 1
    return sum(int(each["amount_due"]) for each in made)


@pytest.mark.parametrize(
    ("walk", "changes"), [(0, 25), *(pytest.param(each, 100, marks=pytest.mark.full) for each in range(1, 6))]
)
def test_changes_cost_what_was_shown(shop: Shop, walk: int, changes: int) -> None:
    """Random plans, intervals and seats at random moments, on trial too: five hundred changes in a full run."""
    shop.buy("ann", ("one", "trial")[walk % 2])
    change, preview = shop.billing.subscriptions.change, shop.billing.subscriptions.preview_change
    made = 0
    while made < changes:
        shop.stripe.advance(hours=random.randrange(60))
        options: dict[str, Any] = {"annual": random.random() < 0.3, "seats": random.choice([None, 2, 3, 17])}
        plan = random.choice(["one", "two", "crew", "lined", "trial"])
        try:
            shown = preview("ann", plan, when="now", **options)
        except (AlreadySubscribed, NotFound):
            continue
        since = len(shop.objects("invoice"))
        change("ann", plan, preview=shown if made % 2 else shown.token)
        assert last_update(shop, since) == shown.amount_due.amount
        made += 1
    assert len(shop.objects("subscription")) == 1


def test_a_preview_says_what_is_charged_now_and_then(shop: Shop) -> None:
    """Upwards: due now with its lines, the credit, the next invoice, and what is allowed before and after."""
    shop.buy("ann", "one")
    shop.stripe.advance(days=10)
    since = len(shop.stripe.requests)
    shown = shop.billing.subscriptions.preview_change("ann", "two")
    assert shown.amount_due == Money(sum(money.amount for _, money in shown.lines), "usd")
    assert shown.credit.amount < 0 < shown.amount_due.amount
    assert shown.next_amount == Money(4_997, "usd")
    assert (shown.plan, shown.effective_at) == ("two", shop.stripe.now)
    before, after = shown.features["calls"]
    assert before is not None
    assert after is not None
    assert (before.included, after.included, shown.features["sso"][0]) == (10, 50, None)
    posted = {each.path for each in shop.stripe.requests[since:] if each.method == "POST"}
    assert posted == {"/v1/invoices/create_preview"}
    assert shop.subscription().plan == "one"


def test_a_preview_of_a_downgrade_charges_nothing_yet(shop: Shop) -> None:
    """Downwards: nothing due, effective when the period ends, and the next invoice is the lower one."""
    bought = shop.buy("ann", "two")
    shown = shop.billing.subscriptions.preview_change("ann", "one")
    assert (shown.amount_due.amount, shown.lines, shown.effective_at) == (0, (), bought.period_end)
    assert shown.next_amount == Money(1_000, "usd")
    changed = shop.billing.subscriptions.change("ann", "one", preview=shown)
    assert changed.display_state == "downgrading"
    shop.stripe.advance(months=1, days=1)
    assert shop.objects("invoice")[-1]["amount_due"] == 1_000


def test_the_price_that_was_shown_is_held_for_an_hour(shop: Shop) -> None:
    """Half an hour later it still costs the same, two hours later it is shown anew, and that holds."""
    shop.buy("ann", "one")
    shop.stripe.advance(days=10)
    shown = shop.billing.subscriptions.preview_change("ann", "two")
    shop.stripe.advance(hours=2)
    with pytest.raises(PreviewStale) as stale:
        shop.billing.subscriptions.change("ann", "two", preview=shown.token)
    assert stale.value.preview.amount_due.amount < shown.amount_due.amount
    since = len(shop.objects("invoice"))
    shop.billing.subscriptions.change("ann", "two", preview=stale.value.preview.token)
    assert last_update(shop, since) == stale.value.preview.amount_due.amount


def test_the_options_of_the_preview_are_those_of_the_change(shop: Shop) -> None:
    """The token brings interval, seats and moment along; what contradicts it is stale, and so is another plan."""
    shop.buy("ann", "crew", seats=4)
    shown = shop.billing.subscriptions.preview_change("ann", "two", annual=True, seats=3, when="now")
    others: list[tuple[str, dict[str, Any]]] = [
        ("one", {}),
        ("two", {"seats": 4}),
        ("two", {"annual": False}),
        ("two", {"when": "period_end"}),
    ]
    for plan, options in others:
        with pytest.raises(PreviewStale):
            shop.billing.subscriptions.change("ann", plan, preview=shown, **options)
    changed = shop.billing.subscriptions.change("ann", "two", preview=shown)
    assert (changed.plan, changed.interval, changed.seats) == ("two", "year", 3)


def test_a_price_that_moved_is_stale(shop: Shop) -> None:
    """A credit that was given between preview and change: shown anew, and nothing is charged or changed."""
    shop.buy("ann", "one")
    shown = shop.billing.subscriptions.preview_change("ann", "two")
    shop.account.post(f"/v1/customers/{shop.customer()}/balance_transactions", {"amount": "-500", "currency": "usd"})
    with pytest.raises(PreviewStale) as stale:
        shop.billing.subscriptions.change("ann", "two", preview=shown)
    assert shop.subscription().plan == "one"
    assert shown.amount_due.amount - stale.value.preview.amount_due.amount == 500


def _forged(token: str) -> str:
    told, signature = token.split(".")
    values = json.loads(base64.urlsafe_b64decode(told + "=" * (-len(told) % 4)))
    values["amount"] = 0
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=") + "." + signature


def _cut(token: str) -> str:
    return token[:-2]


@pytest.mark.parametrize(
    "wrong",
    ["", ".", "a.b", "é.é", "x" * 5_000, "AAAA.AAAA", "a.b.c", _forged, _cut, 5],
)
def test_what_we_did_not_sign_is_stale(shop: Shop, wrong: Any) -> None:
    """Forged, cut, endless or nonsense: never believed, never an error of another kind."""
    shop.buy("ann", "one")
    shown = shop.billing.subscriptions.preview_change("ann", "two")
    token: Any = wrong(shown.token) if callable(wrong) else wrong
    with pytest.raises(PreviewStale):
        shop.billing.subscriptions.change("ann", "two", preview=token)
    assert shop.subscription().plan == "one"


def test_tokens_of_others_are_stale(shop: Shop) -> None:
    """Of another reference, and of another account's key."""
    for reference in ("ann", "bob"):
        shop.buy(reference, "one")
    foreign = shop.billing.subscriptions.preview_change("bob", "two").token
    own = shop.billing.subscriptions.preview_change("ann", "two").token
    key = shop.billing._wiring.core.signing_key
    shown = read(own, key)
    assert shown is not None
    assert read(own, b"another") is None
    ahead = sign(evolve(shown, issued=shown.issued + 10 * 60 * 1_000_000), key)
    for token in (foreign, sign(shown, b"another"), ahead):
        with pytest.raises(PreviewStale):
            shop.billing.subscriptions.change("ann", "two", preview=token)
    assert {shop.subscription(each).plan for each in ("ann", "bob")} == {"one"}
    assert key.hex() not in repr(shop.billing._wiring.core)
