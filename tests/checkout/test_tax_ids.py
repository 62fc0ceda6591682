"""Tax ids: told to Stripe as a difference, kept there alone, and read back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from kernia_billing import Billing, Conflict, InvalidInput, NotFound, ProviderNotConfigured, StripeRefused
from kernia_billing.testing import Fault
from tests.webhooks.shop import Shop

ROME, TURIN = ("eu_vat", "IT12345678901"), ("eu_vat", "IT10987654321")


def known(shop: Shop) -> list[tuple[str, str]]:
    """What Stripe has."""
    return sorted((each.type, each.value) for each in shop.billing.customers.tax_ids("ann"))


def writes(shop: Shop) -> list[str]:
    """The methods of the requests that changed a tax id."""
    return [each.method for each in shop.stripe.requests if "/tax_ids" in each.path and each.method != "GET"]


def interrupt(shop: Shop, monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> None:
    """Do something before every call of the shop's to Stripe that an update makes."""
    stripe: Any = shop.billing._wiring.core.stripe
    request, page = stripe.request, stripe.page

    async def interrupted(ask: Any, *asked: Any, **named: Any) -> Any:
        work()
        return await ask(*asked, **named)

    monkeypatch.setattr(stripe, "request", partial(interrupted, request))
    monkeypatch.setattr(stripe, "page", partial(interrupted, page))


def test_differences_go_to_stripe(shop: Shop) -> None:
    """One of a kind: added where it is new, in the place of the old one, and taken away; nothing is sent twice."""
    shop.billing.customers.ensure("ann", email="ann@shop.example")
    assert known(shop) == []
    for _ in range(2):
        shop.billing.customers.update("ann", tax_id=ROME, name="Ann")
    shop.billing.customers.update("ann", tax_id=("ch_vat", "CHE-123.456.789 MWST"))
    shop.billing.customers.update("ann", tax_id=TURIN)
    assert known(shop) == [("ch_vat", "CHE-123.456.789 MWST"), TURIN]
    shop.billing.customers.update("ann", tax_id=("ch_vat", None))
    shop.billing.customers.update("ann", tax_id=ROME)
    assert known(shop) == [ROME]
    assert writes(shop) == ["POST", "POST", "POST", "DELETE", "DELETE", "POST", "DELETE"]
    (found,) = shop.billing.customers.tax_ids("ann")
    assert (found.id[:4], found.verification) == ("txi_", "pending")
    assert not any(ROME[1] in str(rows) for name, rows in shop.rows().items() if name != "webhook_event")


def test_what_is_refused_loses_nothing(shop: Shop) -> None:
    """A value that Stripe does not take leaves the old one; what is no pair of texts never reaches it."""
    shop.billing.customers.ensure("ann")
    shop.billing.customers.update("ann", tax_id=ROME)
    with pytest.raises(StripeRefused):
        shop.billing.customers.update("ann", tax_id=("eu_vat", "nonsense"))
    wrong: list[Any] = ["eu_vat", ("eu_vat",), ("eu_vat", 5), (5, "x"), ("", "x"), ("a b", "x"), ("eu_vat", "")]
    for each in wrong:
        with pytest.raises(InvalidInput):
            shop.billing.customers.update("ann", tax_id=each)
    assert known(shop) == [ROME]


def test_a_lost_answer_is_made_good(shop: Shop) -> None:
    """The call is repeated by the client, or again by the host: there is one tax id."""
    shop.billing.customers.ensure("ann")
    shop.stripe.faults.append(Fault("reset_after", method="POST", path="/v1/customers/*/tax_ids", times=1))
    shop.billing.customers.update("ann", tax_id=ROME)
    shop.billing.customers.update("ann", tax_id=ROME)
    assert known(shop) == [ROME]


def test_the_same_one_twice_is_one(shop: Shop) -> None:
    """What somebody else added a second time goes; one that is gone already is no failure."""
    shop.billing.customers.ensure("ann")
    path = f"/v1/customers/{shop.customer()}/tax_ids"
    for _ in range(2):
        shop.account.post(path, {"type": ROME[0], "value": ROME[1]})
    shop.stripe.faults.append(Fault("status", 404, method="DELETE", path=f"{path}/*", times=1))
    for left in ([ROME, ROME], [ROME]):
        shop.billing.customers.update("ann", tax_id=ROME)
        assert known(shop) == left


@pytest.mark.parametrize("theirs", [ROME, TURIN], ids=["the same", "another"])
def test_two_at_the_same_time(each_shop: Shop, monkeypatch: pytest.MonkeyPatch, theirs: tuple[str, str]) -> None:
    """At whichever of its calls to Stripe one process is, another has to wait: there is one tax id in the end."""
    shop, other = each_shop, each_shop.open()
    shop.billing.customers.ensure("ann")
    calls: list[str] = []
    refused: list[Conflict] = []

    def meanwhile() -> None:
        calls.append("")
        with pytest.raises(Conflict) as caught:
            other.customers.update("ann", tax_id=theirs)
        refused.append(caught.value)

    with monkeypatch.context() as patch:
        interrupt(shop, patch, meanwhile)
        shop.billing.customers.update("ann", tax_id=ROME)
    assert known(shop) == [ROME]
    assert len(refused) == len(calls) >= 3
    assert {(each.code, each.retryable) for each in refused} == {("CHANGE_IN_PROGRESS", True)}
    other.customers.update("ann", tax_id=theirs)
    assert known(shop) == [theirs]
    assert writes(shop) == (["POST"] if theirs == ROME else ["POST", "POST", "DELETE"])


def test_who_died_with_it_holds_nobody_up_for_long(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes after a process vanished between two calls, another one goes on."""
    other = shop.open()
    shop.billing.customers.ensure("ann")

    async def gone(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:

        def vanish() -> None:
            # The end of a process gives no lease back.
            patch.setattr(shop.billing._wiring.core.store, "transaction", gone)
            raise KeyboardInterrupt

        interrupt(shop, patch, vanish)
        with pytest.raises(KeyboardInterrupt):
            shop.billing.customers.update("ann", tax_id=ROME)
    with pytest.raises(Conflict):
        other.customers.update("ann", tax_id=ROME)
    assert known(shop) == []
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 121)
    other.customers.update("ann", tax_id=ROME)
    assert known(shop) == [ROME]


def test_it_needs_a_customer_at_stripe(shop: Shop) -> None:
    """Nowhere else it could be kept."""
    with pytest.raises(NotFound):
        shop.billing.customers.update("ann", tax_id=ROME)
    shop.billing.track("ann", "messages", 1)
    with pytest.raises(NotFound):
        shop.billing.customers.update("ann", tax_id=ROME)
    assert known(shop) == []
    shop.billing.customers.ensure("ann")
    with Billing(database=shop.url) as offline, pytest.raises(ProviderNotConfigured):
        offline.customers.update("ann", tax_id=ROME)


def test_news_of_tax_ids_is_news_of_the_customer(shop: Shop) -> None:
    """Every event about one is worked on and done with."""
    shop.billing.customers.ensure("ann")
    shop.billing.customers.update("ann", tax_id=ROME)
    shop.billing.customers.update("ann", tax_id=("eu_vat", None))
    shop.stripe.flush()
    inbox = shop.inbox()
    ids = shop.event_ids("customer.tax_id.created", "customer.tax_id.deleted")
    assert len(ids) == 2
    assert {inbox[each]["status"] for each in ids} == {"processed"}
