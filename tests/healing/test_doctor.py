"""The doctor finds each planted fault by its name, and nothing where nothing is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kernia_billing.testing import Fault
from tests.healing.story import errors, execute
from tests.webhooks.shop import Shop, copied, envelope, opened


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An application whose customers bought, used, gave back, and went into another period; nobody has it open."""
    path = tmp_path_factory.mktemp("story") / "story.sqlite"
    path.touch()
    with opened(Shop(f"sqlite:///{path}")) as shop:
        shop.billing.catalog.sync()
        for reference in ("ann", "bob"):
            shop.buy(reference)
            shop.billing.consume(reference, "messages", 7, idempotency_key="first")
            shop.billing.track(reference, "projects", 2)
            shop.billing.give_back(reference, "projects", 1)
        shop.stripe.advance(months=1)
        shop.billing.consume("ann", "messages", 3)
        shop.change_price(str(shop.subscription().stripe_id), "price_team")
        shop.stripe.flush()
        shop.billing.jobs.run()
        shop.billing.close()
        yield shop


@pytest.fixture
def busy(story: Shop, tmp_path: Path) -> Iterator[Shop]:
    """The same on a copy of its database."""
    original = story.url
    story.url = copied(original, tmp_path, "busy")
    story.billing = story.open(story.url)
    yield story
    story.close()
    story.url = original


def _checks(shop: Shop) -> set[str]:
    return {each.check for each in shop.billing.doctor().findings if each.check != "plans.prices"}


_HOLD = (
    "INSERT INTO billing_hold (id, customer_id, feature_key, entity_id, quantity, left_units, status, expires_at, "
    "created_at, ended_at, idempotency_key, fingerprint) SELECT 'hold_1', min(id), 'messages', '', 5, {}, 'k', 'f' "
    "FROM billing_customer"
)
_WINDOW = (
    "INSERT INTO billing_limit_window (customer_id, limit_id, entity_id, window_start, window_end, feature_key, used) "
    "SELECT min(id), 'limit', '', {} FROM billing_customer"
)
FAULTS = {
    "I1 a bucket": "UPDATE billing_bucket SET used = used + 1 WHERE feature_key = 'messages'",
    "I1 a line": "UPDATE billing_ledger SET used_after = used_after + 1 WHERE entry = 'use'",
    "I1 a use": "UPDATE billing_usage_event SET funded = funded + 1, quantity = quantity + 1 WHERE mode = 'require'",
    "I1 held": "UPDATE billing_bucket SET held = held + 1 WHERE feature_key = 'messages'",
    "I1 a line that holds": "UPDATE billing_ledger SET held = held + 1, held_after = held_after + 1",
    "I1 a hold after": "UPDATE billing_ledger SET held_after = held_after + 1",
    "I1 what is included": "UPDATE billing_ledger SET included_after = included_after + 1",
    "I1 the wrong way": "UPDATE billing_ledger SET entry = 'refund' WHERE entry = 'use'",
    "I1 units": "UPDATE billing_ledger SET units = units + 1 WHERE entry = 'return'",
    "I1 the future": "UPDATE billing_customer SET ledger_seq = 1",
    "I2 beyond": "UPDATE billing_bucket SET amount = 1 WHERE feature_key = 'messages' AND used > 1",
    "I2 nobody": "UPDATE billing_bucket SET held = held + 1 WHERE feature_key = 'messages'",
    "I2 ended": _HOLD.format("5, 'released', 1, 0, 1"),
    "I2 open": _HOLD.format("0, 'open', 1, 0, 1"),
    "I2 counted": _WINDOW.format("0, 9007199254740991, 'messages', 1000"),
    "I3 refunds": "UPDATE billing_usage_event SET refunded = 1 WHERE mode = 'require'",
    "I3 a refund": "UPDATE billing_usage_event SET refund_of = (SELECT min(id) FROM billing_usage_event WHERE "
    "mode = 'require') WHERE mode = 'return'",
    "I3 parts": "UPDATE billing_usage_event SET unfunded = unfunded + 1",
    "I3 nothing": "DELETE FROM billing_usage_event WHERE mode = 'require'",
    "I4 two": "UPDATE billing_subscription SET customer_id = (SELECT min(id) FROM billing_customer)",
    "I4 no plan": "UPDATE billing_customer SET plan = 'crew'",
    "I5 owners": "UPDATE billing_stripe_customer SET customer_id = (SELECT min(id) FROM billing_customer)",
    "I7 pending": "UPDATE billing_intent SET state = 'pending', stripe_id = NULL",
    "I8 never": "UPDATE billing_webhook_event SET status = 'failed', lease_until = 9007199254740991",
    "I9 overlap": "UPDATE billing_bucket SET period_end = period_end + 86400000000, closed_at = 9007199254740991",
    "I9 heir": "UPDATE billing_bucket SET heir_id = 'bkt_lost' WHERE used = 0",
    "I9 carried": "UPDATE billing_bucket SET heir_id = id",
    "I9 backwards": "UPDATE billing_bucket SET period_end = period_start",
    "I10 ticket": "UPDATE billing_stripe_object SET applied_ticket = next_ticket + 1",
    "I10 none": "DELETE FROM billing_stripe_object WHERE kind = 'subscription'",
    "I13 number": "UPDATE billing_bucket SET held = 9007199254740993",
    "I14 orphan": "UPDATE billing_invoice SET customer_id = 'cust_lost'",
    "I14 window": "INSERT INTO billing_limit_window (customer_id, limit_id, entity_id, window_start, window_end, "
    "feature_key, used) VALUES ('cust_lost', 'limit', '', 0, 1, 'messages', 0)",
    "I14 grant": "DELETE FROM billing_entitlement",
    "I16 order": "UPDATE billing_outbox SET sent_at = 9007199254740991 WHERE position = "
    "(SELECT min(position) FROM billing_outbox WHERE customer_id <> '')",
    "inbox.dead one": "UPDATE billing_webhook_event SET status = 'dead'",
    "inbox.unmatched one": "UPDATE billing_webhook_event SET status = 'unmatched'",
    "inbox.waiting one": "UPDATE billing_webhook_event SET status = 'received', lease_until = 0, received_at = 0",
    "hooks.waiting one": "UPDATE billing_outbox SET sent_at = 9007199254740991, created_at = 0",
    "intents.parked one": "UPDATE billing_intent SET state = 'parked'",
    "subscriptions.duplicate one": "UPDATE billing_subscription SET duplicate = 1",
    "subscriptions.missing one": "UPDATE billing_stripe_object SET deleted = 1 WHERE kind = 'subscription'",
    "subscriptions.unmapped one": "UPDATE billing_subscription SET plan = NULL",
}


def test_a_long_story_leaves_nothing_to_find(busy: Shop) -> None:
    """After purchases, uses, a renewal and a change of plan every check is clean, with Stripe and without."""
    assert _checks(busy) == set()
    assert errors(busy, with_stripe=True) == []
    assert busy.billing.doctor().ok


@pytest.mark.parametrize("fault", FAULTS)
def test_each_planted_fault_is_found(busy: Shop, fault: str) -> None:
    """One statement behind the library's back, and the check of that name speaks, with the ids of where."""
    execute(busy, FAULTS[fault])
    wanted = fault.split(maxsplit=1)[0]
    found = [each for each in busy.billing.doctor().findings if each.check == wanted]
    assert found, fault
    assert all(each.count >= len(each.ids) > 0 for each in found)
    severe = wanted in ("inbox.dead", "hooks.waiting", "subscriptions.missing") or wanted.startswith("I")
    assert {each.severity for each in found} == {"error" if severe else "warning"}


@pytest.mark.parametrize(
    ("check", "table", "change"),
    [
        ("I3", "billing_usage_event", "UPDATE billing_usage_event SET idempotency_key = 'same', customer_id = :who"),
        ("I5", "billing_customer", "UPDATE billing_customer SET stripe_customer_id = 'cus_same'"),
        ("I5", "billing_subscription", "UPDATE billing_subscription SET stripe_subscription_id = 'sub_same'"),
        ("I6", "billing_customer", "UPDATE billing_customer SET reference_id = 'same'"),
    ],
)
def test_what_a_unique_key_forbids_is_found_where_the_key_is_lost(
    busy: Shop, check: str, table: str, change: str
) -> None:
    """A database that was restored without its unique keys holds things twice."""
    who = busy.rows()["customer"][0]["id"]
    execute(busy, f"CREATE TABLE kept AS SELECT * FROM {table}", "PRAGMA foreign_keys = OFF", f"DROP TABLE {table}")
    execute(busy, f"ALTER TABLE kept RENAME TO {table}")
    execute(busy, change, who=who)
    assert check in _checks(busy)


def test_holds_that_hold_what_is_not_there_are_found(busy: Shop) -> None:
    """A line of a hold names a bucket that is there, and no more than the hold still holds."""
    line = (
        "INSERT INTO billing_hold_line (hold_id, line, bucket_id, feature_key, amount, units) VALUES ('hold_1', 0, {})"
    )
    execute(busy, _HOLD.format("5, 'open', 1, 0, 9007199254740991"))
    assert "I2" not in _checks(busy)
    execute(busy, line.format("'bkt_lost', 'messages', 5, 5"))
    assert [1] == [each.count for each in busy.billing.doctor().findings if each.check == "I2"]
    execute(busy, "UPDATE billing_hold_line SET bucket_id = (SELECT min(id) FROM billing_bucket), units = 6")
    titles = [each.title for each in busy.billing.doctor().findings if each.check == "I2"]
    assert any("a hold holds no more" in title for title in titles)
    assert any("held by open holds" in title for title in titles)


def test_windows_that_overlap_are_found(busy: Shop) -> None:
    """Use would be counted twice, or once too little."""
    execute(busy, _WINDOW.format("0, 10, 'messages', 0"))
    execute(busy, _WINDOW.format("10, 20, 'messages', 0"))
    assert "I9" not in _checks(busy)
    execute(busy, _WINDOW.format("19, 30, 'messages', 0"))
    assert "I9" in _checks(busy)


def test_the_checks_run_on_every_database(make_database: Callable[[str], str], engine_name: str) -> None:
    """A clean story, then faults that no constraint forbids: found on SQLite, PostgreSQL and MariaDB."""
    shop = Shop(make_database(engine_name))
    try:
        shop.buy()
        shop.billing.consume("ann", "messages", 7)
        assert _checks(shop) == set()
        for fault in (
            "I1 a line",
            "I1 what is included",
            "I2 ended",
            "I2 counted",
            "I3 refunds",
            "I9 carried",
            "I4 no plan",
            "I10 none",
            "I14 orphan",
            "intents.parked one",
        ):
            execute(shop, FAULTS[fault])
            assert fault.split()[0] in _checks(shop)
    finally:
        shop.close()


def test_no_more_than_twenty_ids_are_named(shop: Shop) -> None:
    """All are counted, twenty are named."""
    for number in range(25):
        shop.post(envelope("coupon.created", {"id": f"co_{number}", "object": "coupon"}, f"evt_dead{number:02}"))
    execute(shop, "UPDATE billing_webhook_event SET status = 'dead'")
    (dead,) = [each for each in shop.billing.doctor().findings if each.check == "inbox.dead"]
    assert dead.count == 25
    assert len(dead.ids) == 20


def test_tables_of_another_version_are_all_that_is_said(shop: Shop) -> None:
    """Rules about columns that may not be there are not asked."""
    shop.billing.jobs.run()
    execute(shop, "UPDATE billing_alembic_version SET version_num = '0001'")
    found = shop.billing.doctor()
    assert [each.check for each in found.findings] == ["schema"]
    assert not found.ok


def test_prices_of_plans_are_looked_at(quiet_shop: Shop) -> None:
    """Not imported, archived, deleted: each is said of the plan that cannot be bought."""
    shop = quiet_shop

    def told() -> dict[str, str]:
        found = shop.billing.doctor().findings
        return {each.ids[0]: each.found for each in found if each.check == "plans.prices"}

    assert "was not imported" in told()["price_pro"]
    shop.billing.catalog.sync()
    assert set(told()) == {"keyed_month", "keyed_year"}
    shop.account.post("/v1/prices/price_pro", {"active": "false"})
    shop.billing.sync.catalog()
    assert "archived" in told()["price_pro"]
    execute(shop, "UPDATE billing_price SET deleted = 1 WHERE id = 'price_team'")
    assert "no such price" in told()["price_team"]
    execute(shop, "UPDATE billing_price SET interval_unit = 'week' WHERE id = 'price_crew'")
    assert "every month" in told()["price_crew"]


def _endpoint(shop: Shop, **members: str) -> dict[str, Any]:
    return dict(shop.account.post("/v1/webhook_endpoints", {"url": "https://shop.example/stripe/webhook", **members}))


def _of_endpoint(shop: Shop) -> list[str]:
    found = shop.billing.doctor(with_stripe=True).findings
    return [each.found for each in found if each.check == "webhooks.endpoint"]


def test_the_endpoint_at_stripe_is_looked_at(quiet_shop: Shop) -> None:
    """None, one without our events, one that is disabled, one of another version, and a good one."""
    shop = quiet_shop
    assert _of_endpoint(shop) == ["Stripe sends events to no endpoint at https://shop.example"]
    few = _endpoint(shop, **{"enabled_events[0]": "invoice.paid", "api_version": "2026-10-28.endive"})
    (told,) = _of_endpoint(shop)
    assert told.startswith("it is not subscribed to ")
    shop.account.post(f"/v1/webhook_endpoints/{few['id']}", {"disabled": "true"})
    assert _of_endpoint(shop) == ["the endpoint is disabled: Stripe gave it up, or somebody did"]
    old = _endpoint(shop, **{"enabled_events[0]": "*", "api_version": "2024-04-10"})
    assert _of_endpoint(shop) == ["it sends in 2024-04-10, and our calls use 2026-10-28.endive"]
    shop.account.delete(f"/v1/webhook_endpoints/{old['id']}")
    _endpoint(shop, **{"enabled_events[0]": "*", "api_version": "2026-10-28.endive"})
    assert _of_endpoint(shop) == []


def test_a_key_that_may_not_list_endpoints_is_said(quiet_shop: Shop) -> None:
    """A restricted key without that permission does not fail the rest."""
    quiet_shop.stripe.faults.append(Fault("status", 403, method="GET", path="/v1/webhook_endpoints", times=None))
    (told,) = _of_endpoint(quiet_shop)
    assert told.startswith("Stripe does not show them to this key")


def test_a_copy_that_differs_from_stripe_is_found(busy: Shop) -> None:
    """I15: what was changed behind the library's back is not what Stripe has."""
    execute(busy, "UPDATE billing_subscription SET seats = 40, status = 'paused'")
    (found,) = errors(busy, with_stripe=True)
    assert found.check == "I15"
    assert "subscription.seats" in found.found
    assert found.count == 2
