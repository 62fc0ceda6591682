"""Cards that expire soon: told of once for the date on them, where a subscription is paid with them."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import DAY, HOUR, SECOND, to_datetime
from kernia_billing.domain.payment_methods import end_of
from kernia_billing.operations import expiring_cards
from kernia_billing.types import CardExpiringEvent
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop

YEAR, MONTH = 2026, 8
END = end_of(YEAR, MONTH)
DEAD_CARD = "4000000000000341"


def listen(shop: Shop) -> list[CardExpiringEvent]:
    """What hooks hear of cards."""
    heard: list[CardExpiringEvent] = []
    shop.billing.on("payment_method.expiring")(heard.append)
    return heard


def at(shop: Shop, instant: int) -> None:
    """Let it be so late, and nothing else."""
    shop.stripe.clock.move_to(instant // SECOND)


def told(shop: Shop) -> int:
    """How many cards are told of now."""
    core: Any = shop.billing._wiring.core
    number, is_all = run_blocking(expiring_cards.tell_due(core))
    assert is_all
    return number


def buy(shop: Shop, reference: str = "ann", year: int = YEAR, month: int = MONTH) -> str:
    """Buy a plan with a card of that date; gives the card's id."""
    shop.buy(reference)
    (card,) = [each["id"] for each in shop.objects("payment_method") if each["customer"] == shop.customer(reference)]
    redate(shop, card, year, month)
    return str(card)


def redate(shop: Shop, card: str, year: int, month: int) -> None:
    """Put another date on a card."""
    shop.account.post(f"/v1/payment_methods/{card}", {"card[exp_year]": year, "card[exp_month]": month})
    shop.stripe.flush()


def attach(shop: Shop, reference: str, year: int = YEAR, month: int = MONTH) -> str:
    """Give somebody one more card."""
    made = shop.account.post("/v1/payment_methods/pm_card_visa/attach", {"customer": shop.customer(reference)})
    redate(shop, str(made["id"]), year, month)
    return str(made["id"])


def detach(shop: Shop, card: str) -> None:
    """Take a card away."""
    shop.account.post(f"/v1/payment_methods/{card}/detach", {})
    shop.stripe.flush()


def prefer(shop: Shop, reference: str, card: str) -> None:
    """Make a card the default of its customer."""
    params = {"invoice_settings[default_payment_method]": card}
    shop.account.post(f"/v1/customers/{shop.customer(reference)}", params)


def test_a_card_is_told_of_once_for_its_date(each_shop: Shop) -> None:
    """By whichever replica, however often the jobs run; and again when the date that the network gave it comes near."""
    shop = each_shop
    card = buy(shop)
    heard, other = listen(shop), shop.open()
    other.on("payment_method.expiring")(heard.append)
    shop.billing.jobs.run()
    at(shop, END - 20 * DAY)
    for billing in (other, shop.billing, other):
        billing.jobs.run()
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 13 * HOUR // SECOND)
    shop.billing.jobs.run()

    (event,) = heard
    assert (event.reference.id if event.reference else None) == "ann"
    assert (event.payment_method_id, event.last4, event.brand) == (card, "4242", "visa")
    assert (event.exp_year, event.exp_month, event.expires_at) == (YEAR, MONTH, to_datetime(END))
    assert list(event.subscription_ids) == [shop.subscription().id]

    redate(shop, card, YEAR, MONTH + 2)
    assert told(shop) == 0
    at(shop, end_of(YEAR, MONTH + 2) - 5 * DAY)
    assert told(shop) == 1
    assert told(shop) == 0
    shop.billing.jobs.run()
    assert [(each.exp_month, each.id == event.id) for each in heard] == [(MONTH, True), (MONTH + 2, False)]


def test_the_notice_begins_as_long_before_as_is_said(open_shop: Open) -> None:
    """Thirty days before the end of the month, to the second; nothing any more when it is over."""
    shop = open_shop()
    buy(shop)
    at(shop, END - 30 * DAY - SECOND)
    assert told(shop) == 0
    buy(shop, "ben")
    at(shop, END - 30 * DAY)
    assert told(shop) == 2
    buy(shop, "cleo", month=MONTH - 1)
    buy(shop, "dora")
    at(shop, END)
    assert told(shop) == 0


@pytest.mark.parametrize(("notice", "number"), [("60d", 1), (0, 0)])
def test_how_long_before_is_an_option(open_shop: Open, notice: object, number: int) -> None:
    """Two months before, or never."""
    shop = open_shop(card_expiry_notice=notice)
    buy(shop)
    at(shop, END - 59 * DAY)
    assert told(shop) == number
    at(shop, END - DAY)
    assert told(shop) == 0


def _change(shop: Shop, reference: str, **params: object) -> None:
    shop.account.post(f"/v1/subscriptions/{shop.subscription(reference).stripe_id}", params)


def _another_pays(shop: Shop, who: str, _card: str) -> None:
    _change(shop, who, default_payment_method=attach(shop, who, YEAR + 1))


def _default_that_does_not_pay(shop: Shop, who: str, card: str) -> None:
    _another_pays(shop, who, card)
    prefer(shop, who, card)


def _another_default_that_does_not_pay(shop: Shop, who: str, _card: str) -> None:
    prefer(shop, who, attach(shop, who, YEAR + 1))


def _default_that_pays(shop: Shop, who: str, card: str) -> None:
    prefer(shop, who, attach(shop, who))
    detach(shop, card)


def _nothing_pays(shop: Shop, who: str, card: str) -> None:
    attach(shop, who)
    detach(shop, card)


def _ended(shop: Shop, who: str, _card: str) -> None:
    shop.account.delete(f"/v1/subscriptions/{shop.subscription(who).stripe_id}")


def _sent(shop: Shop, who: str, _card: str) -> None:
    _change(shop, who, collection_method="send_invoice", days_until_due=30)


def _ends_before(shop: Shop, who: str, _card: str) -> None:
    _change(shop, who, cancel_at=END // SECOND)


def _ends_after(shop: Shop, who: str, _card: str) -> None:
    _change(shop, who, cancel_at=END // SECOND + 1)


def _declined(shop: Shop, who: str, _card: str) -> None:
    shop.stripe.use_card(who, DEAD_CARD)
    (card,) = [each["id"] for each in shop.objects("payment_method") if each["_number"] == DEAD_CARD]
    redate(shop, card, YEAR, MONTH)
    shop.stripe.advance(months=1, hours=2)
    assert shop.subscription(who).status == "past_due"


PAYS = {_another_default_that_does_not_pay, _default_that_pays, _ends_after, _declined}
DOES_NOT_PAY = {_another_pays, _default_that_does_not_pay, _nothing_pays, _ended, _sent, _ends_before}


def test_only_a_card_that_pays_is_told_of(shop: Shop) -> None:
    """The subscription's own card, else the customer's default, of one that goes on and is charged by itself."""
    heard = listen(shop)
    for change in sorted(PAYS | DOES_NOT_PAY, key=lambda each: (each is _declined, each.__name__)):
        change(shop, change.__name__, buy(shop, change.__name__))
        shop.stripe.flush()
    at(shop, END - 20 * DAY)
    assert told(shop) == len(PAYS)
    assert told(shop) == 0
    shop.billing.jobs.run()
    assert {each.reference.id for each in heard if each.reference} == {each.__name__ for each in PAYS}


def test_what_a_detached_card_paid_is_looked_at_again(shop: Shop) -> None:
    """Stripe takes it out of the subscription and of the customer, and tells of the card only."""
    card = buy(shop)
    prefer(shop, "ann", card)
    detach(shop, card)
    (subscription,), (customer,) = (shop.rows()[name] for name in ("subscription", "stripe_customer"))
    assert (subscription["default_payment_method_id"], customer["default_payment_method_id"]) == (None, None)
    drift = shop.billing.reconcile(dry_run=True).drift
    assert drift is not None
    assert {each.kind for each in drift.differences} == {"product", "price"}


def test_many_cards_are_told_of_in_turns(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages do not lose any, also where nothing is told of most; a run tells of so many, and the next one goes on."""
    monkeypatch.setattr(expiring_cards, "_PAGE", 2)
    monkeypatch.setattr(expiring_cards, "_AT_ONCE", 2)
    for reference in ("ann", "ben", "cleo", "dora", "ed"):
        buy(shop, reference)
    for _ in range(4):
        attach(shop, "ann")
    core: Any = shop.billing._wiring.core
    at(shop, END - DAY)
    turns = [run_blocking(expiring_cards.tell_due(core)) for _ in range(4)]
    assert sum(number for number, _ in turns) == 5
    assert all(number <= 3 for number, _ in turns)
    assert [is_all for _, is_all in turns].index(True) >= 2
    assert turns[-1] == (0, True)
