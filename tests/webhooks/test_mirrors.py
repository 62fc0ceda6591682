"""Customers, invoices, schedules and payment methods: brought in as Stripe has them, theirs only, gone when they go."""

from __future__ import annotations

from typing import Any

import pytest

from kernia_billing import Conflict
from kernia_billing._drive import run_blocking
from kernia_billing.operations.projections import PROJECTIONS, ProjectionKind, sync_object
from tests.webhooks.canned import canned
from tests.webhooks.shop import Shop, envelope

KINDS: tuple[ProjectionKind, ...] = ("customer", "invoice", "schedule", "payment_method")
TABLES = {
    "customer": "stripe_customer",
    "invoice": "invoice",
    "schedule": "subscription_schedule",
    "payment_method": "payment_method",
}


def _customer(customer: str, **members: Any) -> dict[str, Any]:
    made = {"id": customer, "object": "customer", "created": 1, "balance": -500, "currency": "usd"}
    return {**made, "delinquent": True, "invoice_settings": {"default_payment_method": {"id": "pm_1"}}, **members}


def _invoice(customer: str, **members: Any) -> dict[str, Any]:
    amounts = {"subtotal": 1000, "total": 1190, "amount_due": 1190, "amount_paid": 0, "amount_remaining": 1190}
    made = {"id": "in_1", "object": "invoice", "customer": customer, "status": "open", "currency": "usd", "created": 1}
    return {**made, **amounts, "attempt_count": 2, **members}


def _schedule(customer: str, **members: Any) -> dict[str, Any]:
    phases = [
        {"start_date": 5, "end_date": 9, "items": [{"price": "price_pro", "quantity": 2}]},
        {"start_date": 9, "end_date": None, "items": [{"price": {"id": "price_metered"}}]},
    ]
    made = {"id": "sub_sched_1", "object": "subscription_schedule", "customer": customer, "status": "active"}
    return {**made, "created": 1, "current_phase": {"start_date": 5, "end_date": 9}, "phases": phases, **members}


def _payment_method(customer: str | None, **members: Any) -> dict[str, Any]:
    card = {"brand": "visa", "last4": "4242", "exp_month": 8, "exp_year": 2030}
    return {"id": "pm_1", "object": "payment_method", "type": "card", "customer": customer, "card": card, **members}


MAKERS: dict[str, Any] = {
    "customer": _customer,
    "invoice": _invoice,
    "schedule": _schedule,
    "payment_method": _payment_method,
}


def _sync(shop: Shop, kind: ProjectionKind, id: str) -> str:
    return run_blocking(sync_object(shop.billing._wiring.core, kind, id))


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_of_ours_comes_in_changes_and_goes(each_shop: Shop, kind: ProjectionKind) -> None:
    """Written once for one state, told the same from another, overwritten by the next, a tombstone when it is gone."""
    shop = each_shop
    customer = shop.billing.customers.ensure("ann").stripe_id
    first = MAKERS[kind](customer)
    projection = PROJECTIONS[kind]
    core = shop.billing._wiring.core

    def same(body: dict[str, Any]) -> bool:
        return run_blocking(core.store.read(lambda tx: projection.same(core, tx, body)))

    with canned(shop) as stripe:
        path = projection.path + first["id"]
        stripe.objects[path] = first
        assert not same(first)
        assert _sync(shop, kind, first["id"]) == "applied"
        (row,) = shop.rows()[TABLES[kind]]
        assert row["id"] == first["id"]
        assert same(first)
        changes: dict[str, dict[str, Any]] = {
            "customer": {"balance": 7},
            "invoice": {"status": "paid"},
            "schedule": {"status": "canceled"},
            "payment_method": {"card": {"last4": "1881"}},
        }
        later = {**first, **changes[kind]}
        assert not same(later)
        stripe.objects[path] = later
        assert _sync(shop, kind, first["id"]) == "applied"
        (changed,) = shop.rows()[TABLES[kind]]
        assert changed != row
        assert same(later)
        del stripe.objects[path]
        assert _sync(shop, kind, first["id"]) == "gone"
        (gone,) = shop.rows()[TABLES[kind]]
        assert gone["detached" if kind == "payment_method" else "deleted"] == 1
        (note,) = [each for each in shop.rows()["stripe_object"] if each["stripe_id"] == first["id"]]
        assert note["deleted"] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_of_a_stranger_is_unmatched_and_leaves_nothing(quiet_shop: Shop, kind: ProjectionKind) -> None:
    """What belongs to a customer that nobody linked is not stored; so nor is what belongs to nobody."""
    with canned(quiet_shop) as stripe:
        theirs = MAKERS[kind]("cus_stranger")
        stripe.objects[PROJECTIONS[kind].path + theirs["id"]] = theirs
        assert _sync(quiet_shop, kind, theirs["id"]) == "unmatched"
    assert quiet_shop.rows()[TABLES[kind]] == []


def test_what_is_kept_of_an_invoice_and_a_schedule(quiet_shop: Shop) -> None:
    """Amounts in minor units, the payment once it is known, and the phases with their prices."""
    shop = quiet_shop
    customer = str(shop.billing.customers.ensure("ann").stripe_id)
    core = shop.billing._wiring.core
    with canned(shop) as stripe:
        paying = {"payments": {"data": [{"status": "paid", "payment": {"payment_intent": "pi_1"}}]}}
        stripe.objects["/v1/invoices/in_1"] = _invoice(customer, **paying)
        stripe.objects["/v1/subscription_schedules/sub_sched_1"] = _schedule(customer, subscription="sub_1")
        _sync(shop, "invoice", "in_1")
        stripe.objects["/v1/invoices/in_1"] = _invoice(customer, status="paid")
        _sync(shop, "invoice", "in_1")
        _sync(shop, "schedule", "sub_sched_1")
    invoice = run_blocking(core.store.read(lambda tx: tx.invoices.by_payment_intent("pi_1")))
    assert invoice is not None
    assert (invoice.status, invoice.total, invoice.amount_remaining, invoice.attempt_count) == ("paid", 1190, 1190, 2)
    (schedule,) = run_blocking(core.store.read(lambda tx: tx.schedules.of_subscription("sub_1")))
    assert [(phase.price_ids, phase.quantities) for phase in schedule.phases] == [
        (("price_pro",), (2,)),
        (("price_metered",), (None,)),
    ]


def test_a_detached_payment_method_is_not_attached_any_more(quiet_shop: Shop) -> None:
    """The news that it was detached names no customer; the row stays, and nobody's is not stored."""
    shop = quiet_shop
    customer = shop.billing.customers.ensure("ann").stripe_id
    with canned(shop) as stripe:
        path = "/v1/payment_methods/pm_1"
        stripe.objects[path] = _payment_method(None)
        assert _sync(shop, "payment_method", "pm_1") == "gone"
        assert shop.rows()["payment_method"] == []
        stripe.objects[path] = _payment_method(customer)
        assert shop.post(envelope("payment_method.attached", _payment_method(customer), "evt_1")).status == "applied"
        stripe.objects[path] = _payment_method(None)
        assert shop.post(envelope("payment_method.detached", _payment_method(None), "evt_2")).status == "applied"
    (row,) = shop.rows()["payment_method"]
    assert (row["detached"], row["last4"]) == (1, "4242")


def test_a_subscription_with_more_items_than_fit_is_read_whole(quiet_shop: Shop) -> None:
    """Where Stripe shows the first items only, the others are asked for before it is read."""
    shop = quiet_shop
    customer = shop.billing.customers.ensure("ann").stripe_id
    extra = {"id": "si_1", "price": {"id": "price_other"}, "quantity": 1}
    plan = {"id": "si_2", "price": {"id": "price_pro"}, "quantity": 1}
    with canned(shop) as stripe:
        stripe.objects["/v1/subscriptions/sub_1"] = {
            "id": "sub_1",
            "customer": customer,
            "status": "active",
            "start_date": 1,
            "items": {"data": [extra], "has_more": True},
        }
        stripe.lists["/v1/subscription_items"] = [extra, plan]
        assert _sync(shop, "subscription", "sub_1") == "applied"
    assert shop.subscription().plan == "pro"


# ── A customer that Stripe deletes ───────────────────────────────────────────────────────────────────────────────────


def test_a_deleted_customer_ends_its_subscriptions_and_gets_a_successor(each_shop: Shop) -> None:
    """Its plan is over, its reference is free, the next purchase makes a new Stripe customer, again and again."""
    shop = each_shop
    former: list[str] = []
    for _ in range(2):
        bought = shop.buy()
        former.append(shop.customer())
        assert bought.status == "active"
        shop.account.delete(f"/v1/customers/{former[-1]}")
        shop.stripe.flush()
        assert {each.status for each in shop.billing.subscriptions.list("ann")} == {"canceled"}
        assert not shop.billing.check("ann", "projects", 5)
        customer = shop.billing.customers.get("ann")
        assert customer is not None
        assert (customer.stripe_id, customer.plan) == (None, "free")
    assert shop.billing.customers.ensure("ann").stripe_id not in former
    deleted = {row["id"] for row in shop.rows()["stripe_customer"] if row["deleted"]}
    assert deleted == set(former)
    assert len({row["idempotency_key"] for row in shop.rows()["intent"] if row["operation"] == "customer"}) == 3


def test_the_end_of_a_deleted_customers_subscriptions_is_heard_whatever_comes_first(quiet_shop: Shop) -> None:
    """All orders of the two events: the subscription is over and the reference is free."""
    for reference, backwards in (("ann", False), ("bob", True)):
        quiet_shop.buy(reference)
        quiet_shop.account.delete(f"/v1/customers/{quiet_shop.customer(reference)}")
        events = [quiet_shop.event(each)["id"] for each in ("customer.subscription.deleted", "customer.deleted")]
        quiet_shop.stripe.deliver(*(reversed(events) if backwards else events))
        assert quiet_shop.subscription(reference).status == "canceled"
        quiet_shop.stripe.deliver(*events)
        assert quiet_shop.subscription(reference).status == "canceled"
        assert quiet_shop.billing.customers.ensure(reference).stripe_id is not None


def test_a_page_that_was_open_for_a_deleted_customer_is_not_shown_again(shop: Shop) -> None:
    """The same order gives a new page, for the new customer."""
    first = shop.upgrade()
    shop.account.delete(f"/v1/customers/{shop.customer()}")
    shop.stripe.flush()
    second = shop.upgrade()
    assert second.url != first.url
    shop.stripe.pay(second)
    assert shop.subscription().status == "active"


def test_a_customer_that_was_deleted_before_it_was_linked_is_not_linked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash between making and linking, and a deletion before the next try: another one is made."""
    from kernia_billing.operations import customer_making

    class Crash(BaseException):
        pass

    async def dying(*_: object, **__: object) -> None:
        raise Crash

    monkeypatch.setattr(customer_making, "link_row", dying)
    with pytest.raises(Crash):
        shop.billing.customers.ensure("ann")
    monkeypatch.undo()
    (made,) = [each["id"] for each in shop.objects("customer")]
    shop.account.delete(f"/v1/customers/{made}")
    shop.stripe.flush()
    linked = shop.billing.customers.ensure("ann").stripe_id
    assert linked not in (None, made)
    with pytest.raises(Conflict):
        shop.billing.customers.link("ann", shop.account.customer())
