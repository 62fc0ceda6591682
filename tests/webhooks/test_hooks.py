"""Hooks hear of every change once it is committed, in order, and can neither undo nor disturb it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import Engine
from sqlalchemy import event as event_of

from kernia_billing import Billing, ConfigError
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Event, SubscriptionEvent
from kernia_billing.domain.instants import FOREVER
from kernia_billing.errors import GuardError
from kernia_billing.operations.outbox import dispatch, event
from kernia_billing.ports.store import Transaction
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop, envelope

OPTIONS = (
    "on_event",
    "on_subscription_complete",
    "on_subscription_created",
    "on_subscription_update",
    "on_subscription_cancel",
    "on_subscription_deleted",
)


def _own(events: list[Event]) -> list[str]:
    """The types that are ours and not Stripe's."""
    return [each.type for each in events if isinstance(each, SubscriptionEvent)]


def test_the_options_hear_of_each_change_once_and_in_order(open_shop: Open) -> None:
    """Buy, cancel at the period's end, end: each option and `billing.on` is called once per change, with its state."""
    heard: dict[str, list[SubscriptionEvent]] = {name: [] for name in OPTIONS}
    shop = open_shop(**{name: heard[name].append for name in OPTIONS})
    activated: list[SubscriptionEvent] = []
    assert shop.billing.on("subscription.activated")(activated.append) is not None
    bought = shop.buy()
    shop.account.post(f"/v1/subscriptions/{bought.stripe_id}", {"cancel_at_period_end": "true"})
    shop.stripe.flush()
    shop.stripe.advance(months=1, hours=1)
    every: list[Event] = list(heard["on_event"])
    assert _own(every) == [
        "subscription.created",
        "subscription.activated",
        "subscription.completed",
        "subscription.updated",
        "subscription.cancel_scheduled",
        "subscription.updated",
        "subscription.deleted",
    ]
    assert {
        name: [each.subscription.status for each in told] for name, told in heard.items() if name != "on_event"
    } == {
        "on_subscription_complete": ["active"],
        "on_subscription_created": ["active"],
        "on_subscription_update": ["active", "canceled"],
        "on_subscription_cancel": ["active"],
        "on_subscription_deleted": ["canceled"],
    }
    assert [each.subscription.id for each in activated] == [bought.id]
    assert len({each.id for each in every}) == len(every)
    (cancel,) = heard["on_subscription_cancel"]
    assert cancel.previous is not None
    assert (cancel.previous.display_state, cancel.subscription.display_state) == ("active", "cancel_pending")
    assert cancel.reference == bought.reference
    assert cancel.stripe_object["id"] == bought.stripe_id
    assert heard["on_subscription_created"][0].previous is None
    assert heard["on_subscription_complete"][0].subscription.plan == "pro"


def test_a_trial_that_is_cancelled_is_told(open_shop: Open) -> None:
    """Cancelling during the trial calls the cancel hook, its early end the deleted one."""
    cancelled: list[SubscriptionEvent] = []
    deleted: list[SubscriptionEvent] = []
    shop = open_shop(on_subscription_cancel=cancelled.append, on_subscription_deleted=deleted.append)
    path = f"/v1/subscriptions/{shop.buy('ann', 'trial').stripe_id}"
    shop.account.post(path, {"cancel_at_period_end": "true"})
    shop.stripe.flush()
    shop.account.delete(path)
    shop.stripe.flush()
    assert [each.subscription.status for each in (*cancelled, *deleted)] == ["trialing", "canceled"]


def test_every_event_of_stripe_reaches_on_event_once(shop: Shop) -> None:
    """Also types that nobody handles are handed over, once, with the id of the event and its object."""
    heard: list[Event] = []
    shop.billing.on("payout.paid")(heard.append)
    event = envelope("payout.paid", {"object": "payout", "id": "po_1"}, "evt_1")
    assert shop.post(event).status == "ignored"
    assert shop.post(event).status == "skipped"
    (told,) = heard
    assert (told.type, told.reference) == ("payout.paid", None)
    assert told.data == {"id": "evt_1", "object": "payout", "object_id": "po_1"}


def test_hooks_run_after_the_commit(shop: Shop) -> None:
    """A hook finds the change of which it hears committed: other connections see it too."""
    seen: list[object] = []

    @shop.billing.on("subscription.activated")
    def look(event: SubscriptionEvent) -> None:
        (row,) = shop.rows()["subscription"]
        seen.append((row["id"], row["status"], shop.billing.check("ann", "projects", 5).allowed))
        assert event.subscription.id == row["id"]

    bought = shop.buy()
    assert seen == [(bought.id, "active", True)]


def test_a_hook_that_raises_is_called_again_by_the_jobs(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """It changes neither the receipt nor the state; it is called again with the same id, later ones wait for it."""
    heard: list[Event] = []
    failures = [RuntimeError("one"), RuntimeError("two")]

    @shop.billing.on("subscription.created", "subscription.activated", "subscription.completed")
    def fragile(event: Event) -> None:
        heard.append(event)
        if event.type == "subscription.created" and failures:
            raise failures.pop()

    shop.buy()
    assert {each.error for each in shop.stripe.deliveries} == {None}
    assert {row["status"] for row in shop.inbox().values()} == {"processed", "ignored"}
    assert shop.billing.check("ann", "projects", 5)
    assert [each.type for each in heard] == ["subscription.created"]
    assert shop.billing.jobs.run()["events"] == 0
    for _ in range(2):
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 3_600)
        shop.billing.jobs.run()
    assert [each.type for each in heard] == [
        "subscription.created",
        "subscription.created",
        "subscription.created",
        "subscription.activated",
        "subscription.completed",
    ]
    assert len({each.id for each in heard}) == 3
    assert len([each for each in caplog.records if each.exc_info]) == 2
    assert shop.billing.jobs.run().done == 0


def test_a_failing_hook_of_one_customer_holds_up_no_other(shop: Shop) -> None:
    """Order is kept per customer, and only there."""
    heard: list[str] = []

    @shop.billing.on("subscription.activated")
    def fragile(event: SubscriptionEvent) -> None:
        if event.subscription.reference.id == "ann":
            raise RuntimeError
        heard.append(event.subscription.reference.id)

    shop.buy("ann")
    shop.buy("bob", "team")
    assert heard == ["bob"]


def test_a_hook_that_goes_on_failing_is_seen(each_shop: Shop) -> None:
    """What it holds up is counted with its age, and after a day the doctor names the topic; till it is mended."""
    shop, broken = each_shop, [True]
    assert (shop.billing.webhooks.health().hooks_waiting, shop.billing.webhooks.health().hooks_lag_seconds) == (0, 0)

    @shop.billing.on("subscription.created")
    def fragile(_: Event) -> None:
        if broken:
            raise RuntimeError

    shop.buy()
    held = [row for row in shop.rows()["outbox"] if row["sent_at"] == FOREVER]
    for hours in (1, 24):
        shop.stripe.clock.move_to(shop.stripe.clock.seconds() + hours * 3_600)
        shop.billing.jobs.run()
    health = shop.billing.webhooks.health()
    assert (health.hooks_waiting, health.hooks_lag_seconds) == (len(held), 25 * 3_600)
    (found,) = (each for each in shop.billing.doctor().findings if each.check == "hooks.waiting")
    assert (found.severity, found.count) == ("error", len(held))
    assert {f"{row['topic']} {row['id']}" for row in held} == set(found.ids)
    broken.clear()
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 3_600)
    shop.billing.jobs.run()
    assert shop.billing.webhooks.health().hooks_waiting == 0
    assert "hooks.waiting" not in {each.check for each in shop.billing.doctor().findings}


def test_a_webhook_commits_as_seldom_as_it_may(shop: Shop) -> None:
    """Once before Stripe is asked and once after it where nobody listens, and once more for what a hook was told."""
    bought = shop.buy()
    commits: list[str] = []

    def note(_connection: object) -> None:
        commits.append("commit")

    def changed() -> int:
        before = len(commits)
        shop.account.post(f"/v1/subscriptions/{bought.stripe_id}", {"metadata[round]": str(before)})
        shop.stripe.flush()
        return len(commits) - before

    event_of.listen(Engine, "commit", note)
    try:
        assert changed() == 2
        assert [row for row in shop.rows()["outbox"] if row["sent_at"] == FOREVER] == []
        heard: list[Event] = []
        shop.billing.on()(heard.append)
        assert changed() == 3
    finally:
        event_of.remove(Engine, "commit", note)
    assert [each.type for each in heard] == ["customer.subscription.updated"]


def test_a_hook_that_takes_too_long_keeps_the_order(shop: Shop) -> None:
    """While it runs another process takes over what waits: each event begins after those before it, none comes back."""
    other = shop.open()
    shop.buy()
    core, others = shop.billing._wiring.core, other._wiring.core
    row = run_blocking(core.store.read(lambda tx: tx.customers.get(core.reference("ann"))))
    names = [f"custom.{number}" for number in range(4)]
    made = [event(core, row, name, core.now()) for name in names]
    run_blocking(core.store.transaction(lambda tx: tx.outbox.add(made)))
    heard: list[tuple[str, str]] = []

    @shop.billing.on(*names)
    def slow(told: Event) -> None:
        heard.append(("slow", told.type))
        if len(heard) == 1:
            shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 301)
            assert run_blocking(dispatch(others)) == 4

    @other.on(*names)
    def quick(told: Event) -> None:
        heard.append(("quick", told.type))

    assert run_blocking(dispatch(core)) == 1
    assert heard == [("slow", names[0]), *(("quick", name) for name in names)]
    assert run_blocking(dispatch(core)) == 0


def test_a_hook_may_use_the_library(shop: Shop) -> None:
    """A hook that counts, reads and sells works inside of the delivery that called it."""
    usages: list[int] = []

    @shop.billing.on("subscription.activated")
    def welcome(event: SubscriptionEvent) -> None:
        reference = event.subscription.reference
        used = shop.billing.track(reference, "messages", 7, idempotency_key=event.id)
        usages.append(used.balance.used)
        shop.billing.customers.ensure("friend")
        shop.billing.jobs.run()

    shop.buy()
    assert usages == [7]
    assert shop.billing.balances("ann")["messages"].used == 7
    assert shop.billing.customers.get("friend") is not None


def test_a_crash_while_a_hook_runs_hands_the_event_over_again(shop: Shop) -> None:
    """What was handed over but not noted is handed over again after the lease, under the same id."""
    heard: list[str] = []

    class Crash(BaseException):
        pass

    @shop.billing.on("payout.paid")
    def dying(event: Event) -> None:
        heard.append(event.id)
        if len(heard) == 1:
            raise Crash

    with pytest.raises(Crash):
        shop.post(envelope("payout.paid", {"object": "payout", "id": "po_1"}, "evt_1"))
    assert shop.billing.jobs.run()["events"] == 0
    shop.stripe.clock.move_to(shop.stripe.clock.seconds() + 301)
    assert shop.billing.jobs.run()["events"] == 1
    assert len(heard) == 2
    assert len(set(heard)) == 1


async def _async_hook(_event: Event) -> None:
    pass


class _AsyncCallable:
    async def __call__(self, _event: Event) -> None:
        pass


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("hook", [_async_hook, _AsyncCallable(), functools.partial(_async_hook)])
def test_billing_refuses_an_async_hook_by_the_options_name(option: str, hook: Callable[..., Any]) -> None:
    """`Billing` cannot await: an `async def` as an option is refused at construction, which names the option."""
    with pytest.raises(ConfigError, match=option):
        Billing(database="sqlite://", **{option: hook})  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("hook", [_async_hook, _AsyncCallable()])
def test_billing_refuses_an_async_hook_in_on(shop: Shop, hook: Callable[..., Any]) -> None:
    """So does `billing.on`, which names the function; what is no function is refused too."""
    with pytest.raises(ConfigError, match=r"_async_hook|_AsyncCallable"):
        shop.billing.on("payout.paid")(hook)
    with pytest.raises(ConfigError, match="not callable"):
        shop.billing.on("payout.paid")("text")  # type: ignore[type-var]  # on purpose


def test_an_awaitable_that_waits_is_named_under_billing(shop: Shop) -> None:
    """A plain function that returns something to wait for is told that `Billing` cannot; the event stays."""
    loop = asyncio.new_event_loop()
    try:

        @shop.billing.on("payout.paid")
        def later(_event: Event) -> asyncio.Future[None]:
            return loop.create_future()

        with pytest.raises(GuardError, match="use AsyncBilling"):
            shop.post(envelope("payout.paid", {"object": "payout", "id": "po_1"}, "evt_1"))
    finally:
        loop.close()
    assert shop.inbox()["evt_1"]["status"] == "ignored"


def test_an_event_that_cannot_be_read_keeps_no_other_customer_waiting(open_shop: Open) -> None:
    """One that another version wrote waits for a version that can read it; those of others are handed over."""
    heard: list[Event] = []
    shop = open_shop(deliver="manual", on_event=heard.append)
    core = shop.billing._wiring.core
    for each in ("ann", "bob"):
        shop.billing.customers.ensure(each)

    def write(tx: Transaction) -> None:
        owners = [tx.customers.get(core.reference(each)) for each in ("ann", "bob")]
        strange, plain = (event(core, owner, "told", core.now()) for owner in owners)
        payload = {**strange.payload, "subscription": {"member": "of another version"}}
        tx.outbox.add([evolve(strange, payload=payload), plain])

    run_blocking(core.store.transaction(write))
    assert run_blocking(dispatch(core)) == 1
    assert [each.reference for each in heard] == [core.reference("bob")]
    assert [row["sent_at"] == FOREVER for row in shop.rows()["outbox"]] == [True, False]
