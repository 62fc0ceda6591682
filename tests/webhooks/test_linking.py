"""A customer that is linked while an event of it is worked on: whatever comes first, the event is worked on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from attrs import evolve

from kernia_billing import Billing
from kernia_billing.domain.shapes import owner_of
from kernia_billing.ports.store import Transaction
from tests.webhooks.shop import Shop, opened

T = TypeVar("T")
NOUNS = ("customer", "subscription")


class Paused:
    """A store that does something once: after the first unit of which `when` is so, before that is committed."""

    def __init__(self, store: Any, when: Callable[[Transaction], bool], meanwhile: Callable[[], None]) -> None:
        self._store = store
        self._when = when
        self._meanwhile = [meanwhile]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def transaction(self, unit: Callable[[Transaction], T], **options: Any) -> T:
        """Run the unit."""

        def paused(tx: Transaction) -> T:
            answer = unit(tx)
            if self._meanwhile and self._when(tx):
                self._meanwhile.pop()()
            return answer

        answer: T = await self._store.transaction(paused, **options)
        return answer


def pause(billing: Billing, when: Callable[[Transaction], bool], meanwhile: Callable[[], None]) -> None:
    """Let `billing` pause."""
    core = billing._wiring.core
    slow: Any = Paused(core.store, when, meanwhile)
    billing._wiring.core = evolve(core, store=slow)


def _sold_elsewhere(shop: Shop, noun: str) -> tuple[str, dict[str, Any]]:
    """A Stripe customer that is nobody's, and an event of it."""
    theirs = shop.account.customer()
    shop.account.buy("price_pro", customer=theirs)
    kind = "customer.created" if noun == "customer" else "customer.subscription.created"
    for each in shop.stripe.events:
        subject = each["data"]["object"]
        if each["type"] == kind and theirs in (subject["id"], owner_of(subject)):
            return theirs, dict(each)
    raise AssertionError(kind)


def _beside(shop: Shop, work: Callable[[], object]) -> tuple[threading.Thread, Callable[[], None]]:
    """A thread, and what starts it and waits for it, but not for what it does once it has to wait for us."""
    thread = threading.Thread(target=work)

    def meanwhile() -> None:
        thread.start()
        # SQLite lets nobody write beside another at all.
        thread.join(0.3 if shop.url.startswith("sqlite") else 3)

    return thread, meanwhile


def _ends_well(shop: Shop, event_id: str) -> None:
    assert shop.inbox()[event_id]["status"] == "received"
    assert shop.billing.jobs.run()["webhooks"] == 1
    assert shop.inbox()[event_id]["status"] == "processed"


@pytest.mark.parametrize("noun", NOUNS)
def test_a_link_before_an_event_is_noted_as_unmatched(engine_url: str, noun: str) -> None:
    """Who links sees the event still worked on, who works on it saw nobody: it waits to be worked on once more."""
    with opened(Shop(engine_url, deliver="manual")) as shop:
        theirs, told = _sold_elsewhere(shop, noun)
        event_id, other = str(told["id"]), shop.open()
        linker, meanwhile = _beside(shop, lambda: other.customers.link("ann", theirs))

        def is_over(tx: Transaction) -> bool:
            row = tx.inbox.get("", event_id)
            return row is not None and row.status == "unmatched"

        pause(shop.billing, is_over, meanwhile)
        assert shop.post(told).status == "unmatched"
        linker.join(20)
        _ends_well(shop, event_id)


@pytest.mark.parametrize("noun", NOUNS)
def test_an_event_that_ends_before_a_link_is_committed(engine_url: str, noun: str) -> None:
    """Who links saw no event, who ended the event sees no link yet: it waits to be worked on once more."""
    with opened(Shop(engine_url, deliver="manual")) as shop:
        theirs, told = _sold_elsewhere(shop, noun)
        linking = shop.open()
        handler, meanwhile = _beside(shop, lambda: shop.post(told, shop.billing))
        pause(linking, lambda tx: tx.customers.by_stripe_id(theirs) is not None, meanwhile)
        linking.customers.link("ann", theirs)
        handler.join(20)
        row = shop.inbox()[str(told["id"])]
        if row["status"] == "processed":
            assert shop.url.startswith("sqlite"), "the event came after the link"
        else:
            _ends_well(shop, str(told["id"]))


def test_what_is_nobodys_though_its_customer_is_linked_is_left_alone(each_shop: Shop) -> None:
    """A page that other software opened for a customer of ours stays unmatched, and is not looked at over and over."""
    shop = each_shop
    shop.billing.customers.ensure("ann")
    shop.account.buy("price_pro", customer=shop.customer())
    shop.stripe.flush()
    told = shop.event("checkout.session.completed")
    assert shop.inbox()[told["id"]]["status"] == "unmatched"
    assert shop.billing.jobs.run()["webhooks"] == 0
    assert shop.inbox()[told["id"]]["status"] == "unmatched"
