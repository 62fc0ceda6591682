"""Who changed what: a row in the transaction of every change, and none without one."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from kernia_billing import AsyncBilling, InvalidInput
from kernia_billing._drive import run_blocking
from kernia_billing.operations import audit, traces
from kernia_billing.ports.actor import acting_as, actor_of, current_actor
from kernia_billing.ports.store import Transaction
from kernia_billing.testing import AsyncStripeSimulator
from tests.webhooks.fixtures import Open
from tests.webhooks.shop import Shop


def told(shop: Shop, reference: str | None = "ann") -> list[tuple[str, str]]:
    """Actor and action of every entry, oldest first."""
    return [(each.actor, each.action) for each in reversed(list(shop.billing.audit(reference)))]


def test_a_sale_is_told_step_by_step(each_shop: Shop) -> None:
    """Linking is the application's act, what Stripe reports is Stripe's; values say what was before and after."""
    shop = each_shop
    with shop.billing.acting_as("user:42"):
        opened = shop.upgrade()
    shop.stripe.pay(opened)

    assert told(shop)[0] == ("user:42", "customer.linked")
    assert {actor for actor, _ in told(shop)[1:]} == {"stripe"}
    entries = list(shop.billing.audit("ann"))
    linked, changed = entries[-1], entries[0]
    assert (linked.before, linked.after) == (None, {"stripe_customer_id": shop.customer()})
    assert (changed.action, changed.subject) == ("subscription.changed", shop.subscription().id)
    assert changed.reference is not None
    assert changed.reference.id == "ann"
    assert changed.after is not None
    assert (changed.after["status"], changed.after["plan"]) == ("active", "pro")


def test_a_change_shows_both_states(shop: Shop) -> None:
    """Every later row begins where the one before it ended."""
    bought = shop.buy()
    shop.stripe.advance(days=32)
    shop.change_price(str(bought.stripe_id), "price_team")
    shop.stripe.flush()

    changes = [each for each in reversed(list(shop.billing.audit("ann"))) if each.action == "subscription.changed"]
    assert len(changes) >= 3
    assert changes[0].before is None
    assert [each.before for each in changes[1:]] == [each.after for each in changes[:-1]]
    assert changes[-1].after is not None
    assert changes[-1].after["plan"] == "team"
    assert all(each.before != each.after for each in changes)


def test_what_changes_nothing_is_not_told(shop: Shop) -> None:
    """The same event again, and the same linking again, write no row."""
    shop.buy()
    before = told(shop, None)
    shop.post({**shop.event("customer.subscription.created"), "id": "evt_again"})
    shop.billing.customers.link("ann", shop.customer())
    shop.billing.customers.ensure("ann")

    assert told(shop, None) == before


def test_a_mapped_price(shop: Shop) -> None:
    """Nobody's business in particular: what the price sold before, and what it sells now."""
    shop.stripe.ensure_price("price_new")
    shop.billing.catalog.sync()
    for plan in ("mapped", "pro"):
        with shop.billing.acting_as("cli:root"):
            shop.billing.catalog.map_price("price_new", plan, "month")

    newest, first = [each for each in shop.billing.audit() if each.action == "price.mapped"]
    assert (first.before, first.after) == (None, {"plan": "mapped", "interval": "month"})
    assert (newest.before, newest.after) == (first.after, {"plan": "pro", "interval": "month"})
    assert (newest.actor, newest.subject, newest.reference) == ("cli:root", "price_new", None)


def test_a_deleted_customer_is_unlinked(shop: Shop) -> None:
    """What Stripe deleted is told as unlinked, with the id that it had."""
    shop.buy()
    customer = shop.customer()
    shop.account.delete(f"/v1/customers/{customer}")
    shop.stripe.flush()

    (entry,) = [each for each in shop.billing.audit("ann") if each.action == "customer.unlinked"]
    assert (entry.actor, entry.before, entry.after) == ("stripe", {"stripe_customer_id": customer}, None)


def test_no_change_without_its_row_and_no_row_without_its_change(shop: Shop) -> None:
    """Where the unit fails after the row was added, neither is there."""
    core = shop.billing._wiring.core

    def unit(tx: Transaction) -> None:
        audit.record(tx, core, "price.mapped", "", "price_1", None, {"plan": "pro"})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_blocking(core.store.transaction(unit))

    assert told(shop, None) == []


def test_pages(each_shop: Shop) -> None:
    """Newest first, in pages that neither repeat nor leave out, also among equal instants."""
    core = each_shop.billing._wiring.core

    def unit(tx: Transaction) -> None:
        for number in range(25):
            audit.record(tx, core, "price.mapped", "", f"price_{number}", None, {"number": number})

    run_blocking(core.store.transaction(unit))
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        page = each_shop.billing.audit(limit=10, cursor=cursor)
        seen += page.items
        cursor = page.next_cursor
        if cursor is None:
            break

    assert len(seen) == 25
    assert len({each.id for each in seen}) == 25
    assert seen == sorted(seen, key=lambda each: (each.at, each.id), reverse=True)
    assert list(each_shop.billing.audit("nobody")) == []


@pytest.mark.parametrize(
    "options", [{"limit": 0}, {"limit": 201}, {"cursor": "x"}, {"cursor": "1."}, {"cursor": "-1.a"}]
)
def test_pages_refuse_what_is_no_page(shop: Shop, options: dict[str, Any]) -> None:
    """A limit of 1 to 200, and cursors that were given out."""
    with pytest.raises(InvalidInput):
        shop.billing.audit(**options)


# ── Who ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("actor", ["", " ", "a b", "user:é", "a\nb", "jane@example.com", "x" * 256, None, 5])
def test_an_actor_is_an_id(shop: Shop, actor: Any) -> None:
    """Blank, strange and long texts are refused, and e-mail addresses are."""
    with pytest.raises(InvalidInput) as caught, shop.billing.acting_as(actor):
        raise AssertionError

    assert caught.value.field == "actor"
    assert current_actor() == "application"


def test_actors_of_ids_that_are_no_text_for_a_log() -> None:
    """An id that is an e-mail address, or strange, is replaced by its hash: the same each time."""
    assert actor_of("user", "42") == "user:42"
    assert actor_of("user", "jane@example.com") == actor_of("user", "jane@example.com")
    for id in ("jane@example.com", "Jäne", "a b", "x" * 300, "\ud800"):
        with acting_as(actor_of("user", id)):
            assert current_actor().startswith("user:sha256-")


def test_it_counts_for_its_block_and_its_thread() -> None:
    """Nested, undone on errors, and unknown to other threads."""
    seen: list[str] = []
    with acting_as("a:1"):
        with suppress(ZeroDivisionError), acting_as("b:2"):
            seen.append(current_actor())
            raise ZeroDivisionError
        seen.append(current_actor())
        thread = threading.Thread(target=lambda: seen.append(current_actor()))
        thread.start()
        thread.join()

    assert seen == ["b:2", "a:1", "application"]


def test_jobs_act_where_nobody_else_does(shop: Shop) -> None:
    """A job by itself is "jobs"; one that a person runs is that person's."""
    core = shop.billing._wiring.core
    with traces.job(core, "reconcile"):
        assert current_actor() == "jobs"
    with acting_as("cli:root"), traces.job(core, "reconcile"):
        assert current_actor() == "cli:root"


def test_async_tasks_act_for_themselves(sqlite_url: str) -> None:
    """Two tasks at once, each with its own actor."""
    simulator = AsyncStripeSimulator()

    async def story() -> list[str]:
        async with AsyncBilling(
            database=sqlite_url.replace("sqlite:", "sqlite+aiosqlite:"), stripe_client=simulator
        ) as billing:

            async def one(reference: str) -> None:
                with billing.acting_as(f"user:{reference}"):
                    await billing.customers.ensure(reference)

            await asyncio.gather(one("ann"), one("bob"))
            entries = [(await billing.audit(reference)).items[0] for reference in ("ann", "bob")]
            return [each.actor for each in entries]

    assert asyncio.run(story()) == ["user:ann", "user:bob"]


def test_entries_hold_nothing_of_a_person(open_shop: Open) -> None:
    """E-mail address and name are in no value, whatever was done with the customer."""
    shop = open_shop()
    shop.billing.customers.ensure("ann", email="jane.canary@example.com", name="Jane Canary")
    shop.buy()
    shop.stripe.advance(days=32)

    stored = json.dumps(shop.rows()["audit"], default=str)
    assert len(shop.rows()["audit"]) > 2
    assert "canary" not in stored.lower()
    at = [each.at for each in shop.billing.audit("ann")]
    assert at[0] - at[-1] >= timedelta(days=28)


def test_events_that_somebody_worked_on_again(shop: Shop) -> None:
    """Replaying and retrying by hand are told with the event, by whoever asked; what waits already is not."""
    shop.buy()
    event = shop.event_ids("customer.subscription.created")[0]
    with shop.billing.acting_as("user:7"):
        shop.billing.webhooks.replay(event)
        shop.billing.webhooks.replay_range(types=["customer.subscription.created"])
        shop.billing.webhooks.replay_range(types=["customer.subscription.created"])

    entries = [each for each in shop.billing.audit() if each.subject == event]
    assert [(each.actor, each.action) for each in entries] == [("user:7", "webhook.replayed")] * 2
    assert all(each.before is not None and each.before["status"] == "processed" for each in entries)
    assert all(each.after is not None and each.after["status"] == "received" for each in entries)
