"""The ticket rule: of two handlers of one object the one that began later wins, in every interleaving there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count as numbers
from random import Random
from typing import Any

import pytest
from attrs import define

from kernia_billing._drive import run_blocking
from kernia_billing.domain.checkouts import CheckoutRow
from kernia_billing.domain.instants import FOREVER
from kernia_billing.operations.core import Core
from kernia_billing.operations.customers import lock_or_add
from kernia_billing.operations.projections import sync_catalog_object, sync_object, sync_subscription, tickets
from kernia_billing.operations.sessions import sync_session
from kernia_billing.ports.store import Transaction
from tests.harness.counts import count
from tests.webhooks.shop import Shop
from tests.webhooks.stepping import STEPS, HaltingStripe, Handler, halting, interleavings, run

Handle = Callable[[Core, str], Any]
_ids = numbers(1)


@define
class Subject:
    """A kind of object: where it is at Stripe, how it looks in a version, how it is handled and what is stored."""

    path: str
    look: Callable[[str, int], dict[str, Any]]
    handle: Handle
    stored: Callable[[Transaction, str], object]
    expected: Callable[[int], object]
    before: Callable[[Core, str], None] = lambda _core, _key: None


def _subscription(id: str, version: int) -> dict[str, Any]:
    item = {"id": f"si_{id}", "price": {"id": "price_pro"}, "quantity": version}
    item |= {"current_period_start": 1_768_478_400, "current_period_end": 1_771_156_800}
    return {
        "object": "subscription",
        "id": id,
        "customer": f"cus_{id}",
        "status": "active",
        "start_date": 1_768_478_400,
        "items": {"data": [item]},
        "metadata": {},
    }


def _product(id: str, version: int) -> dict[str, Any]:
    return {"object": "product", "id": id, "active": True, "name": f"v{version}", "metadata": {}, "created": 1}


def _price(id: str, version: int) -> dict[str, Any]:
    return {
        "object": "price",
        "id": id,
        "active": True,
        "currency": "usd",
        "product": "prod_1",
        "nickname": f"v{version}",
        "unit_amount": 1,
        "metadata": {},
        "created": 1,
    }


def _stripe_customer(id: str, version: int) -> dict[str, Any]:
    return {"object": "customer", "id": id, "balance": version}


def _invoice(id: str, version: int) -> dict[str, Any]:
    return {"object": "invoice", "id": id, "customer": f"cus_{id}", "currency": "usd", "total": version}


def _schedule(id: str, version: int) -> dict[str, Any]:
    return {"object": "subscription_schedule", "id": id, "customer": f"cus_{id}", "status": f"v{version}"}


def _payment_method(id: str, version: int) -> dict[str, Any]:
    return {"object": "payment_method", "id": id, "customer": f"cus_{id}", "type": f"v{version}"}


def _session(id: str, version: int) -> dict[str, Any]:
    status = ("open", "open", "complete")[min(version, 2)]
    return {"object": "checkout.session", "id": id, "status": status, "payment_status": "paid", "subscription": None}


def _customer(core: Core, id: str) -> None:
    def unit(tx: Transaction) -> None:
        customer = lock_or_add(core, tx, core.reference(f"ref_{id}"), core.now())
        tx.customers.link(customer.id, f"cus_{id}")

    run_blocking(core.store.transaction(unit))


def _linked(core: Core, id: str) -> None:
    def unit(tx: Transaction) -> None:
        customer = lock_or_add(core, tx, core.reference(f"ref_{id}"), core.now())
        tx.customers.link(customer.id, id)

    run_blocking(core.store.transaction(unit))


def _checkout(core: Core, id: str) -> None:
    def unit(tx: Transaction) -> None:
        customer = lock_or_add(core, tx, core.reference(f"ref_{id}"), core.now())
        mark = core.ids.new("chk")
        tx.checkouts.add(
            CheckoutRow(
                mark, customer.id, "default", "pro", "month", 1, "f", f"s{mark}", "open", id, "https://x", FOREVER, 1
            )
        )

    run_blocking(core.store.transaction(unit))


def _row(name: str, row: object) -> object:
    return None if row is None else getattr(row, name)


SUBJECTS = {
    "subscription": Subject(
        "/v1/subscriptions/",
        _subscription,
        sync_subscription,
        lambda tx, key: _row("seats", tx.subscriptions.by_stripe_id(key)),
        lambda version: version,
        _customer,
    ),
    "product": Subject(
        "/v1/products/",
        _product,
        lambda core, key: sync_catalog_object(core, "product", key),
        lambda tx, key: _row("name", tx.catalog.product(key)),
        lambda version: f"v{version}",
    ),
    "price": Subject(
        "/v1/prices/",
        _price,
        lambda core, key: sync_catalog_object(core, "price", key),
        lambda tx, key: _row("nickname", tx.catalog.price(key)),
        lambda version: f"v{version}",
    ),
    "customer": Subject(
        "/v1/customers/",
        _stripe_customer,
        lambda core, key: sync_object(core, "customer", key),
        lambda tx, key: _row("balance", tx.stripe_customers.get(key)),
        lambda version: version,
        _linked,
    ),
    "invoice": Subject(
        "/v1/invoices/",
        _invoice,
        lambda core, key: sync_object(core, "invoice", key),
        lambda tx, key: _row("total", tx.invoices.get(key)),
        lambda version: version,
        _customer,
    ),
    "schedule": Subject(
        "/v1/subscription_schedules/",
        _schedule,
        lambda core, key: sync_object(core, "schedule", key),
        lambda tx, key: _row("status", tx.schedules.get(key)),
        lambda version: f"v{version}",
        _customer,
    ),
    "payment_method": Subject(
        "/v1/payment_methods/",
        _payment_method,
        lambda core, key: sync_object(core, "payment_method", key),
        lambda tx, key: _row("type", tx.payment_methods.get(key)),
        lambda version: f"v{version}",
        _customer,
    ),
    "checkout.session": Subject(
        "/v1/checkout/sessions/",
        _session,
        sync_session,
        lambda tx, key: _row("status", tx.checkouts.by_session(key)),
        lambda version: "complete" if version >= 2 else "open",
        _checkout,
    ),
}


class Stage:
    """Plays one order of things with one new object."""

    def __init__(self, core: Core, subject: Subject) -> None:
        self.subject = subject
        self.stripe = HaltingStripe()
        self.core = halting(core, self.stripe)
        self._real = core
        self.id = f"obj_{next(_ids)}"
        self.version = 0
        subject.before(core, self.id)

    def change(self) -> None:
        """The object changes at Stripe."""
        self.version += 1
        self.stripe.objects[self.subject.path + self.id] = self.subject.look(self.id, self.version)

    def play(self, order: tuple[str, ...]) -> object:
        """What is stored after everything in `order`: a capital letter is a change, a small one a step of a handler."""
        handlers = {
            name: Handler(self.subject.handle(self.core, self.id)) for name in set("".join(order)) if name.islower()
        }
        changes = {name: self.change for name in set(order) if name.isupper()}
        run(order, changes, handlers)
        return run_blocking(self._real.store.read(lambda tx: self.subject.stored(tx, self.id)))


def _told(*names: str) -> Iterator[tuple[str, ...]]:
    """Every order of changes, each of which starts a handler; changes happen in the order of their names."""
    chains = [(name.upper(), *([name] * len(STEPS))) for name in names]
    for order in interleavings(*chains):
        if [each for each in order if each.isupper()] == sorted(name.upper() for name in names):
            yield order


@pytest.mark.parametrize("kind", SUBJECTS)
def test_every_interleaving_of_two_handlers_ends_in_the_newest_state(shop: Shop, kind: str) -> None:
    """Two changes, each with its handler, in all 126 interleavings: what is stored is what was fetched last."""
    core = shop.billing._wiring.core
    orders = list(_told("a", "b"))
    assert len(orders) == 126
    for order in orders:
        stage = Stage(core, SUBJECTS[kind])
        assert stage.play(order) == SUBJECTS[kind].expected(2), order
        assert stage.stripe.read[-1] == SUBJECTS[kind].look(stage.id, 2)
    count(f"webhooks: interleavings of two handlers of a {kind}", len(orders))


def test_without_tickets_the_same_interleavings_end_wrong(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test has teeth: writing whatever arrives is found out in some of the 126 interleavings."""
    monkeypatch.setattr(tickets, "store_fetched", _write_always)
    core = shop.billing._wiring.core
    subject = SUBJECTS["product"]
    wrong = [order for order in _told("a", "b") if Stage(core, subject).play(order) != subject.expected(2)]
    assert len(wrong) == 6


async def _write_always(core: Core, _fetched: object, write: Callable[[Transaction], Any], _also: object) -> Any:
    return await core.store.transaction(write)


@pytest.mark.parametrize("kind", ["subscription", "product"])
def test_interleavings_of_three_handlers_end_in_the_newest_state(shop: Shop, kind: str) -> None:
    """Three changes with their handlers in 100 interleavings drawn by a fixed seed."""
    core = shop.billing._wiring.core
    random = Random(7)
    for _ in range(100):
        order = _drawn(random, "abc")
        assert Stage(core, SUBJECTS[kind]).play(order) == SUBJECTS[kind].expected(3), order
    count("webhooks: interleavings of three handlers", 100)


def _drawn(random: Random, names: str) -> tuple[str, ...]:
    left = {name: len(STEPS) for name in names}
    waiting, order = list(names), list[str]()
    while waiting or any(left.values()):
        ready = [name for name, steps in left.items() if steps and name not in waiting]
        choice = random.choice([*ready, *waiting[:1]])
        if choice in waiting:
            waiting.remove(choice)
            order.append(choice.upper())
        else:
            left[choice] -= 1
            order.append(choice)
    return tuple(order)


def test_a_handler_that_began_before_the_change_never_overwrites_one_that_began_after(shop: Shop) -> None:
    """All 630 places of a second change among two handlers: what is stored is what the later ticket fetched."""
    core = shop.billing._wiring.core
    subject = SUBJECTS["product"]
    orders = [order for order in interleavings(("A", "B"), ("a",) * 4, ("b",) * 4) if "A" in order[:1]]
    for order in orders:
        stage = Stage(core, subject)
        later = "b" if order.index("a") < order.index("b") else "a"
        read_at = [number for number, name in enumerate(order) if name == later][1]
        version = sum(name.isupper() for name in order[: read_at + 1])
        assert stage.play(order) == subject.expected(version), order
    count("webhooks: interleavings of two handlers with two changes anywhere", len(orders))
