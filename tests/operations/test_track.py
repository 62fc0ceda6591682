"""What `track`, `consume` and `give_back` count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from kernia_billing import (
    Billing,
    FeatureDenied,
    IdempotencyMismatch,
    InsufficientBalance,
    InvalidInput,
    Plan,
    Quantity,
)
from kernia_billing.testing import StripeSimulator


def test_consume_until_the_limit(billing: Billing, stripe: StripeSimulator) -> None:
    """`consume` takes all or raises with the decision, and a refusal leaves nothing behind."""
    stripe.subscribe("user_1", "pro")
    for _ in range(3):
        billing.consume("user_1", "projects")

    with pytest.raises(InsufficientBalance) as caught:
        billing.consume("user_1", "projects")

    assert ("insufficient_balance", 0) == (caught.value.decision.reason, caught.value.decision.remaining)
    assert 3 == len(list(billing.usage("user_1", "projects")))


def test_not_entitled_is_feature_denied(open_billing: Callable[..., Billing]) -> None:
    """Somebody who has no plan is denied, which is not the same as having used everything up."""
    billing = open_billing()

    with pytest.raises(FeatureDenied) as caught:
        billing.consume("user_1", "projects")

    assert not isinstance(caught.value, InsufficientBalance)
    assert billing.customers.get("user_1") is None


def test_record_stores_everything_and_draws_what_there_is(billing: Billing, stripe: StripeSimulator) -> None:
    """`record` never drops a use: what no balance covers is reported as unfunded."""
    stripe.subscribe("user_1", "pro")

    usage = billing.track("user_1", "projects", 5)

    assert (5, 3, 2) == (usage.quantity, usage.funded, usage.unfunded)
    assert (3, 0) == (usage.balance.used, usage.balance.remaining)
    assert [5] == [event.quantity for event in billing.usage("user_1")]


def test_cap_takes_what_fits(billing: Billing, stripe: StripeSimulator) -> None:
    """`cap` draws what fits and says so."""
    stripe.subscribe("user_1", "pro")

    usage = billing.track("user_1", "projects", 5, mode="cap")

    assert (3, 2) == (usage.funded, usage.unfunded)


def test_overage_follows_the_included(billing: Billing, stripe: StripeSimulator) -> None:
    """Overage is drawn after what is included, up to its limit, and is counted apart."""
    stripe.subscribe("user_1", "pro")

    usage = billing.consume("user_1", "api", 12)

    assert (5, 5, 7, 10) == (
        usage.balance.included,
        usage.balance.used,
        usage.balance.overage_used,
        usage.balance.overage_limit,
    )
    with pytest.raises(InsufficientBalance) as caught:
        billing.consume("user_1", "api", 4)
    assert "overage_limit" == caught.value.decision.reason


def test_same_key_same_answer(billing: Billing, stripe: StripeSimulator) -> None:
    """One key counts once, and the first answer comes again to the letter, whatever happened in between."""
    stripe.subscribe("user_1", "pro")
    first = billing.consume("user_1", "messages", 2, idempotency_key="k", properties={"model": "x"})
    billing.consume("user_1", "messages", 40)

    again = billing.consume("user_1", "messages", 2, idempotency_key="k", properties={"model": "x"})

    assert again.replayed
    assert not first.replayed
    assert (first.event_id, first.balance, first.deductions) == (again.event_id, again.balance, again.deductions)
    assert 42 == billing.balances("user_1")["messages"].used


@pytest.mark.parametrize(
    ("feature", "quantity", "properties"), [("messages", 3, None), ("projects", 2, None), ("messages", 2, {"a": 1})]
)
def test_other_request_under_a_used_key(
    billing: Billing, stripe: StripeSimulator, feature: str, quantity: int, properties: dict[str, int] | None
) -> None:
    """A key that was used for something else is refused and counts nothing."""
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "messages", 2, idempotency_key="k")

    with pytest.raises(IdempotencyMismatch):
        billing.consume("user_1", feature, quantity, idempotency_key="k", properties=properties)

    assert 1 == len(list(billing.usage("user_1")))


def test_keys_belong_to_one_reference(billing: Billing, stripe: StripeSimulator) -> None:
    """The same key of two references is two keys."""
    for who in ("user_1", "user_2"):
        stripe.subscribe(who, "pro")

    first = billing.consume("user_1", "messages", idempotency_key="k")
    second = billing.consume("user_2", "messages", idempotency_key="k")

    assert not second.replayed
    assert first.event_id != second.event_id


def test_replay_of_a_success_when_nothing_is_left(billing: Billing, stripe: StripeSimulator) -> None:
    """A repeated success is a success even when the balance is used up meanwhile."""
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "projects", 2, idempotency_key="k")
    billing.consume("user_1", "projects")

    assert billing.consume("user_1", "projects", 2, idempotency_key="k").replayed


def test_a_refusal_does_not_burn_the_key(billing: Billing, stripe: StripeSimulator) -> None:
    """A refused use may be tried again with its key once there is room."""
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "projects", 3)
    with pytest.raises(InsufficientBalance):
        billing.consume("user_1", "projects", idempotency_key="k")
    billing.give_back("user_1", "projects")

    assert not billing.consume("user_1", "projects", idempotency_key="k").replayed


def test_give_back_never_more_than_used(billing: Billing, stripe: StripeSimulator) -> None:
    """What is given back was used, overage first; the rest is reported."""
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "api", 7)

    usage = billing.give_back("user_1", "api", 3)
    assert (4, 0) == (usage.balance.used, usage.balance.overage_used)

    usage = billing.give_back("user_1", "api", 100)
    assert (4, 96, 0) == (usage.funded, usage.unfunded, usage.balance.used)


def test_plan_change_carries_usage(billing: Billing, stripe: StripeSimulator) -> None:
    """What was used under the default plan is still used under the bought one."""
    billing.consume("user_1", "projects")
    stripe.subscribe("user_1", "pro")

    assert (3, 1) == (billing.balances("user_1")["projects"].included, billing.balances("user_1")["projects"].used)


def test_lapsed_plan_falls_back_to_the_default_with_what_is_used(billing: Billing, stripe: StripeSimulator) -> None:
    """When the plan is gone, things that exist still exist: only when they are gone too is there room for another."""
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "projects", 3)
    stripe.use_card("user_1", "4000000000000002")
    stripe.advance(months=1, days=10)

    before = billing.check("user_1", "projects")
    assert (False, 3, 3) == (before.allowed, before.balance.included, before.balance.used)
    usage = billing.give_back("user_1", "projects", 2)
    assert (2, 1) == (usage.funded, usage.balance.used)
    assert not billing.check("user_1", "projects")
    billing.give_back("user_1", "projects")
    assert billing.check("user_1", "projects")


def test_renewed_access_finds_its_books_again(billing: Billing, stripe: StripeSimulator) -> None:
    """After a lapse and a payment the plan goes on with what is used, not from nothing."""
    stripe.subscribe("user_1", "pro")
    billing.consume("user_1", "projects", 2)
    stripe.use_card("user_1", "4000000000000002")
    stripe.advance(months=1, days=9)
    assert not billing.check("user_1", "projects")

    stripe.use_card("user_1", "4242424242424242")
    stripe.collect("user_1")

    assert (3, 2) == (billing.balances("user_1")["projects"].included, billing.balances("user_1")["projects"].used)


def test_late_use_counts_now_and_says_so(billing: Billing, stripe: StripeSimulator) -> None:
    """A use of the last period is counted at receipt, keeps its time, and is marked late."""
    stripe.subscribe("user_1", "pro")
    stripe.advance(days=32)

    usage = billing.track("user_1", "messages", occurred_at=stripe.now - timedelta(days=5))

    assert usage.late
    assert [stripe.now - timedelta(days=5)] == [event.occurred_at for event in billing.usage("user_1")]


def test_a_first_use_is_not_late(sqlite_url: str) -> None:
    """On a clock that runs, what is counted at once is never late, not even where it opens the customer's books."""
    with Billing(
        stripe_client=StripeSimulator(ticking=True),
        database=sqlite_url,
        plans=[Plan("free", features={"projects": Quantity(1)})],
        default_plan="free",
    ) as billing:
        assert not billing.consume("user_1", "projects").late


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": 10**9 + 1}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"quantity": 1.0}, "quantity"),
        ({"quantity": "1"}, "quantity"),
        ({"mode": "reject"}, "mode"),
        ({"entity": ""}, "entity"),
        ({"entity": "a\x00"}, "entity"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"idempotency_key": "a b"}, "idempotency_key"),
        ({"idempotency_key": "k" * 256}, "idempotency_key"),
        ({"properties": {"a": 1.5}}, "properties.a"),
        ({"properties": []}, "properties"),
        ({"occurred_at": datetime(2026, 1, 1)}, "occurred_at"),  # noqa: DTZ001 - naive on purpose
        ({"occurred_at": datetime(2027, 1, 1, tzinfo=UTC)}, "occurred_at"),
        ({"occurred_at": datetime(2025, 1, 1, tzinfo=UTC)}, "occurred_at"),
        ({"transaction": object()}, "transaction"),
    ],
)
def test_bad_arguments_change_nothing(
    billing: Billing, stripe: StripeSimulator, arguments: dict[str, object], field: str
) -> None:
    """Every argument has a type and a range; anything else names it and changes nothing."""
    stripe.subscribe("user_1", "pro")

    with pytest.raises(InvalidInput) as caught:
        billing.track("user_1", "messages", **arguments)  # type: ignore[arg-type]  # on purpose

    assert field == caught.value.field
    assert [] == list(billing.usage("user_1"))


@pytest.mark.parametrize("reference", ["", "a\x00b", "x" * 256, 7, None, "\ud800"])
def test_bad_references(billing: Billing, reference: object) -> None:
    """A reference is a text of 1 to 255 characters."""
    with pytest.raises(InvalidInput) as caught:
        billing.track(reference, "projects")  # type: ignore[arg-type]  # on purpose

    assert "reference" == caught.value.field


def test_boolean_features_are_not_counted(billing: Billing, stripe: StripeSimulator) -> None:
    """A boolean feature is checked; counting it is a mistake."""
    stripe.subscribe("user_1", "pro")

    with pytest.raises(InvalidInput) as caught:
        billing.track("user_1", "sso")

    assert "feature" == caught.value.field


def test_usage_pages(billing: Billing, stripe: StripeSimulator) -> None:
    """Pages follow each other without gap or repetition, newest first, and a foreign cursor is refused."""
    stripe.subscribe("user_1", "pro")
    ids = [billing.track("user_1", "messages").event_id for _ in range(7)]

    seen: list[str] = []
    cursor: str | None = None
    while True:
        page = billing.usage("user_1", limit=3, cursor=cursor)
        seen += [event.id for event in page]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(ids) == sorted(seen)
    assert 7 == len(set(seen))
    with pytest.raises(InvalidInput):
        billing.usage("user_1", cursor="1; DROP TABLE")
