"""What no webhook told of is found, by one replica at a time, and with as few calls as there are changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import create_engine

from kernia_billing import Conflict
from kernia_billing._drive import run_blocking
from kernia_billing.domain.instants import DAY, HOUR
from kernia_billing.operations import reconcile, resync
from kernia_billing.operations.core import Core
from kernia_billing.operations.fencing import LeaseLost, alone
from kernia_billing.operations.reconcile import LEASE
from kernia_billing.storage.tables import customer, stripe_customer, stripe_object, subscription
from kernia_billing.testing import Fault
from tests.harness.counts import count
from tests.healing.story import differences, errors, execute, untold_story
from tests.webhooks.shop import Shop, opened, without


@pytest.fixture
def silent(make_database: Callable[[str], str], engine_name: str) -> Iterator[Shop]:
    """An application on each database that hears nothing."""
    with opened(Shop(make_database(engine_name), deliver="manual")) as shop:
        yield shop


def test_missed_events_are_taken_in(silent: Shop) -> None:
    """All of a story that nobody told arrives by the list of events; the next run finds nothing, and asks little."""
    shop = silent
    untold_story(shop)
    assert shop.billing.subscriptions.get("ann") is None
    done = shop.billing.reconcile()
    assert done.status == "done"
    assert done.ok
    assert done.events > 10
    assert shop.subscription("ann").plan == "team"
    assert shop.subscription("bob").display_state == "cancel_pending"
    assert {row["source"] for row in shop.rows()["webhook_event"]} == {"list"}
    assert errors(shop) == []
    before = without(shop.rows(), "sync_state", "lease")
    requests = len(shop.stripe.requests)
    again = shop.billing.reconcile()
    assert (again.events, again.subscriptions, again.checkouts) == (0, 0, 0)
    assert without(shop.rows(), "sync_state", "lease") == before
    assert [each.path for each in shop.stripe.requests[requests:]] == ["/v1/events"]


def test_hooks_hear_of_a_missed_event_once(quiet_shop: Shop) -> None:
    """Also where the webhook comes after the list."""
    shop = quiet_shop
    told: list[Any] = []
    shop.billing.on("subscription.activated")(told.append)
    shop.stripe.pay(shop.upgrade())
    shop.billing.reconcile()
    shop.stripe.deliver()
    shop.billing.reconcile()
    assert len(told) == 1


def test_events_from_before_the_first_customer_are_left_alone(quiet_shop: Shop) -> None:
    """An account with a history: hooks of a new application do not hear of it."""
    shop = quiet_shop
    shop.stripe.add_product("Old")
    shop.account.customer()
    shop.stripe.advance(days=3)
    shop.billing.customers.ensure("ann")
    assert shop.billing.reconcile().events == 1
    assert {row["event_type"] for row in shop.rows()["webhook_event"]} == {"customer.created"}


def test_one_broken_event_does_not_keep_the_others(quiet_shop: Shop) -> None:
    """It stands in the inbox with its error, to be tried again, and the report names it."""
    shop = quiet_shop
    for reference in ("ann", "bob"):
        shop.stripe.pay(shop.upgrade(reference))
    bad = shop.objects("subscription")[0]["id"]
    shop.stripe.faults.append(Fault("status", 403, method="GET", path=f"/v1/subscriptions/{bad}", times=None))
    done = shop.billing.reconcile()
    assert not done.ok
    assert {each.kind for each in done.failures} <= {"event", "checkout.session"}
    assert shop.subscription("bob").plan == "pro"
    shop.stripe.faults.clear()
    execute(shop, "UPDATE billing_webhook_event SET lease_until = 0 WHERE status = 'failed'")
    shop.billing.jobs.run()
    assert shop.subscription("ann").plan == "pro"


def test_overdue_subscriptions_and_pages_are_looked_at(silent: Shop) -> None:
    """A renewal, the end of a trial and a page's expiry, of which nothing was heard and no event is listed any more."""
    shop = silent
    shop.buy("ann")
    shop.buy("bob", "trial")
    shop.upgrade("cat")
    shop.billing.reconcile()
    end = shop.subscription("ann").period_end
    execute(
        shop,
        "UPDATE billing_subscription SET period_end = period_end - :time, trial_end = trial_end - :time",
        "UPDATE billing_checkout_session SET expires_at = expires_at - :time WHERE status = 'open'",
        "UPDATE billing_stripe_object SET checked_at = checked_at - :time",
        time=40 * DAY,
    )
    done = shop.billing.reconcile()
    assert (done.subscriptions, done.checkouts) == (2, 1)
    assert shop.subscription("ann").period_end == end
    again = shop.billing.reconcile()
    assert again.subscriptions == 0
    assert again.checkouts == 0


def test_what_stays_overdue_is_asked_for_less_and_less(quiet_shop: Shop) -> None:
    """Stripe says that nothing changed: the next look comes after as long again, and once a day at last."""
    shop = quiet_shop
    shop.buy("ann")
    now = shop.stripe.clock.now()
    core = shop.billing._wiring.core

    def overdue(after: int) -> bool:
        at = now + after
        return bool(run_blocking(core.store.read(lambda tx: tx.subscriptions.overdue(at - HOUR, at, 10))))

    execute(shop, "UPDATE billing_subscription SET period_end = :ended", ended=now)
    looks, at = list[int](), 0
    while at < 4 * DAY:
        at += HOUR // 2
        if overdue(at):
            looks.append(at)
            execute(shop, "UPDATE billing_stripe_object SET checked_at = :at", at=now + at)
    waits = [(one - other) / HOUR for one, other in zip(looks[1:], looks, strict=False)]
    assert looks[0] <= 2 * HOUR
    assert waits == sorted(waits)
    assert waits[-1] >= 24
    assert len(looks) < 10


def test_only_one_replica_reconciles(silent: Shop) -> None:
    """While one is at it, another one does nothing; afterwards it may."""
    shop = silent
    shop.billing.customers.ensure("ann")
    other = shop.open()
    core = shop.billing._wiring.core

    async def work(_: object) -> str:
        return other.reconcile().status

    assert run_blocking(alone(core, LEASE, work)) == "held"
    assert other.reconcile().status == "done"


def test_who_was_taken_over_writes_nothing_any_more(silent: Shop) -> None:
    """A replica that was stopped in the middle goes on after another one took over: not one row of it is written."""
    shop = silent
    for number in range(3):
        shop.stripe.pay(shop.upgrade(f"user_{number}"))
    stripe: Any = shop.billing._wiring.core.stripe
    real = stripe.page
    other = shop.open()
    seen: list[Any] = []

    async def stopped(path: str, *rest: Any, **options: Any) -> Any:
        page = await real(path, *rest, **options)
        execute(shop, "UPDATE billing_lease SET held_until = 1 WHERE name = 'reconcile'")
        seen.append(other.reconcile())
        seen.append(without(shop.rows(), "lease"))
        return page

    stripe.page, stripe.in_background = stopped, lambda: stripe
    assert shop.billing.reconcile().status == "lost"
    done, rows = seen
    assert done.status == "done"
    assert without(shop.rows(), "lease") == rows
    assert shop.subscription("user_1").plan == "pro"


def test_a_lost_lease_is_an_error_of_its_own(shop: Shop) -> None:
    """It is a conflict, that nobody mistakes for an outage, and the lease of the other one stays."""
    core = shop.billing._wiring.core

    async def work(fenced: Core) -> None:
        execute(shop, "UPDATE billing_lease SET holder = 'other', token = token + 1")
        await fenced.store.transaction(lambda tx: tx.settings.add("never", "written"))

    with pytest.raises(LeaseLost) as lost:
        run_blocking(alone(core, "work", work))
    assert isinstance(lost.value, Conflict)
    assert not lost.value.retryable
    (lease,) = shop.rows()["lease"]
    assert lease["holder"] == "other"
    assert "never" not in {row["name"] for row in shop.rows()["setting"]}


IDLE = 10_000


def _add_idle(shop: Shop, number: int) -> None:
    """Customers with an active subscription each, of which there is no news."""
    now = shop.stripe.clock.now()
    (sold,) = shop.rows()["subscription"]
    (who,) = [row for row in shop.rows()["customer"] if row["id"] == sold["customer_id"]]
    (theirs,) = [row for row in shop.rows()["stripe_customer"] if row["customer_id"] == who["id"]]
    names = range(number)
    ticket = {"next_ticket": 1, "applied_ticket": 1, "deleted": 0, "checked_at": now}
    rows: list[tuple[Any, list[dict[str, Any]]]] = [
        (
            customer,
            [
                {**who, "id": f"cust_{n:05}", "reference_id": f"idle_{n}", "stripe_customer_id": f"cus_{n}"}
                for n in names
            ],
        ),
        (stripe_customer, [{**theirs, "id": f"cus_{n}", "customer_id": f"cust_{n:05}"} for n in names]),
        (
            subscription,
            [
                {**sold, "id": f"sub_{n:05}", "customer_id": f"cust_{n:05}", "stripe_subscription_id": f"sub_{n}"}
                for n in names
            ],
        ),
        (
            stripe_object,
            [
                {"kind": kind, "stripe_id": f"{prefix}_{n}", **ticket}
                for kind, prefix in (("customer", "cus"), ("subscription", "sub"))
                for n in names
            ],
        ),
    ]
    engine = create_engine(shop.url)
    try:
        with engine.begin() as connection:
            for table, values in rows:
                connection.execute(table.insert(), values)
    finally:
        engine.dispose()


def test_idle_customers_cost_no_calls(quiet_shop: Shop) -> None:
    """A run with ten thousand idle customers asks Stripe exactly what a run with one asks: one page of events."""
    shop = quiet_shop
    shop.buy()
    shop.billing.reconcile()

    def calls() -> int:
        before = len(shop.stripe.requests)
        assert shop.billing.reconcile().ok
        return len(shop.stripe.requests) - before

    few = calls()
    _add_idle(shop, IDLE)
    assert calls() == few == 1
    count("healing: idle customers of a run with one call", IDLE)


def test_everything_is_compared_now_and_then(open_shop: Callable[..., Shop]) -> None:
    """After the interval, and not before, a run compares with Stripe's lists; what no event told of is found."""
    shop = open_shop(deliver="manual", refresh_interval="2d")
    shop.buy()
    shop.billing.reconcile()
    execute(shop, "UPDATE billing_subscription SET seats = 9")
    assert shop.billing.reconcile().sweep is None
    assert shop.subscription().seats == 9
    execute(
        shop, "UPDATE billing_sync_state SET started_at = started_at - :time WHERE kind = 'sweep:run'", time=2 * DAY
    )
    swept = shop.billing.reconcile().sweep
    assert swept is not None
    assert swept.kinds["subscription"].updated == 1
    assert shop.subscription().seats == 1
    assert shop.billing.reconcile().sweep is None


def test_an_interval_of_nothing_is_never(open_shop: Callable[..., Shop]) -> None:
    """With 0 nothing is compared by itself."""
    shop = open_shop(deliver="manual", refresh_interval=0)
    shop.buy()
    for _ in range(3):
        assert shop.billing.reconcile().sweep is None


def test_a_dry_run_says_exactly_what_differs_and_writes_nothing(silent: Shop) -> None:
    """A changed seat count, a lost invoice and a subscription that Stripe has not: three differences, by field."""
    shop = silent
    shop.buy("ann")
    shop.buy("bob")
    shop.billing.sync.all()
    shop.billing.reconcile()
    ann, bob = shop.subscription("ann").stripe_id, shop.subscription("bob").stripe_id
    invoice = shop.objects("invoice")[0]["id"]
    execute(shop, "UPDATE billing_subscription SET seats = 4 WHERE stripe_subscription_id = :ann", ann=ann)
    execute(shop, "DELETE FROM billing_invoice WHERE id = :id", id=invoice)
    execute(shop, "DELETE FROM billing_stripe_object WHERE stripe_id = :id", id=invoice)
    execute(shop, "UPDATE billing_product SET name = 'Ann Smith' WHERE id = (SELECT min(id) FROM billing_product)")
    del shop.stripe.state.world.table("subscription").rows[str(bob)]
    before = shop.rows()
    found = {(each.kind, each.field): (each.id, each.theirs, each.ours) for each in differences(shop)}
    product = found.pop(("product", "name"))
    assert product[1:] == ("(hidden)", "(hidden)")
    assert found == {
        ("subscription", "seats"): (ann, 1, 4),
        ("subscription", ""): (bob, None, "stored"),
        ("invoice", ""): (invoice, "listed", None),
    }
    assert shop.rows() == before
    assert not shop.billing.reconcile(dry_run=True).ok
    assert shop.rows() == before


def test_a_run_ends_between_two_events_where_the_worker_is_to_stop(quiet_shop: Shop) -> None:
    """Nothing more is begun, and the next run lists from where this one did."""
    shop = quiet_shop
    shop.billing.customers.ensure("ann")
    for number in range(9):
        shop.stripe.add_product(f"Product {number}")
    core = shop.billing._wiring.core
    run_blocking(reconcile.reconcile(evolve(core, stopping=lambda: len(shop.inbox()) >= 3)))
    assert len(shop.inbox()) == 3
    asked = len(shop.stripe.requests)
    run_blocking(reconcile.reconcile(evolve(core, stopping=lambda: True)))
    assert [each.path for each in shop.stripe.requests[asked:]] == ["/v1/events"]
    shop.billing.reconcile()
    assert len(shop.inbox()) >= 10


def test_a_comparison_ends_between_two_objects_where_the_worker_is_to_stop(quiet_shop: Shop) -> None:
    """The page is not noted as compared: the next run begins with it, and everything is up to date after that."""
    shop = quiet_shop
    shop.billing.catalog.sync()
    prices = [str(each["id"]) for each in shop.objects("price")]
    for each in prices:
        shop.account.post(f"/v1/prices/{each}", {"nickname": "New"})
    core = shop.billing._wiring.core
    asked = len(shop.stripe.requests)
    cut = run_blocking(
        resync.run(evolve(core, stopping=lambda: len(shop.called("GET", "/v1/prices/")) >= 2), "catalog")
    )
    assert cut.kinds["price"].updated == 2
    assert len(shop.stripe.requests) - asked == 4
    done = shop.billing.sync.catalog()
    assert (done.resumed, done.kinds["price"].updated) == (True, len(prices) - 2)
