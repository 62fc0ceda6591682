"""What is given beside the plans: by hand, and for top-ups that were paid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from kernia_billing import (
    Billing,
    Boolean,
    IdempotencyMismatch,
    InsufficientBalance,
    InvalidInput,
    Metered,
    NotFound,
    Plan,
    Quantity,
    TopUp,
)
from kernia_billing._drive import run_blocking
from kernia_billing.operations.customers import lock_or_add
from kernia_billing.operations.granting import give_top_up
from kernia_billing.operations.ledger import Books
from kernia_billing.ports.store import Transaction
from kernia_billing.testing import StripeSimulator
from tests.harness.house import new_engine

PACK = TopUp("pack", price_id="price_pack", grants={"messages": 50, "tokens": 7}, expires_after=timedelta(days=90))
OPTIONS: dict[str, Any] = {
    "plans": [
        Plan("free", features={"messages": Metered(10, reset="day"), "projects": Quantity(1)}),
        Plan(
            "pro", price_id="price_pro", features={"messages": Metered(100), "projects": Quantity(2), "sso": Boolean()}
        ),
        Plan("extra", price_id="price_extra", group="extras", features={"messages": Metered(30)}),
    ],
    "default_plan": "free",
    "features": [{"key": "tokens"}],
    "top_ups": [PACK],
}


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Billing:
    """The shop on SQLite."""
    return open_billing(**OPTIONS)


@pytest.fixture
def shop_anywhere(engine_url: str, stripe: StripeSimulator) -> Iterator[Billing]:
    """The same on each kind of database, whose books are in order at the end."""
    new_engine(engine_url).dispose()
    with Billing(stripe_client=stripe, database=engine_url, **OPTIONS) as billing:
        yield billing
        assert not [each for each in billing.doctor().findings if each.severity == "error"]


def amounts(billing: Billing, feature: str = "messages") -> tuple[int, int, int | None]:
    """What is included, used and left."""
    balance = billing.balances("user_1")[feature]
    return balance.included, balance.used, balance.remaining


# ── Giving ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_grant_comes_on_top(shop_anywhere: Billing) -> None:
    """It adds to what the plan includes, and is drawn when what resets is used up."""
    billing = shop_anywhere

    given = billing.grant("user_1", "messages", 25, note="outage")

    assert ("messages", 25, None) == (given.feature, given.amount, given.expires_at)
    assert (35, 0, 35) == amounts(billing)
    usage = billing.consume("user_1", "messages", 12)
    assert [("default", 10), ("manual", 2)] == [(each["source"], each["amount"]) for each in usage.deductions]


def test_what_is_left_of_a_grant_lapses(shop: Billing, stripe: StripeSimulator) -> None:
    """At its expiry; until then it is drawn before what lasts longer. It never starts anew."""
    given = shop.grant("user_1", "messages", 25, expires_at=stripe.now + timedelta(hours=2))
    lasting = shop.grant("user_1", "messages", 5)

    assert stripe.now + timedelta(hours=2) == given.expires_at
    assert [20] == [each["amount"] for each in shop.consume("user_1", "messages", 20).deductions]
    stripe.advance(hours=2)
    assert (15, 0, 15) == amounts(shop)
    shop.consume("user_1", "messages", 15)
    stripe.advance(days=1)
    assert (15, 5, 10) == amounts(shop)
    assert 5 == lasting.amount


def test_boolean_features_are_given_by_one(shop: Billing) -> None:
    """Somebody has it then; an amount of it says nothing."""
    assert not shop.check("user_1", "sso")

    given = shop.grant("user_1", "sso", 1)

    assert 1 == given.amount
    assert shop.check("user_1", "sso")
    with pytest.raises(InvalidInput, match="must be 1"):
        shop.grant("user_1", "sso", 2)


@pytest.mark.parametrize("feature", ["projects", "tokens"])
def test_any_feature_can_be_given(shop: Billing, feature: str) -> None:
    """Those of no plan too, and of things that exist."""
    shop.grant("user_1", feature, 3)

    assert 3 == shop.consume("user_1", feature, 3).funded


def test_the_same_key_gives_once(shop_anywhere: Billing, stripe: StripeSimulator) -> None:
    """A repetition has the first answer, in whichever words it says why and until when, also after it was revoked."""
    billing = shop_anywhere
    later = stripe.now + timedelta(days=30)
    first = billing.grant("user_1", "messages", 25, expires_at=later, note="Spring", idempotency_key="spring:user_1")

    again = billing.grant(
        "user_1", "messages", 25, expires_at=later + timedelta(hours=1), idempotency_key="spring:user_1"
    )

    assert first == again
    assert (35, 0, 35) == amounts(billing)
    assert 1 == len(billing.audit("user_1").items)
    billing.revoke("user_1", first.id)
    assert first.id == billing.grant("user_1", "messages", 25, expires_at=later, idempotency_key="spring:user_1").id
    assert (10, 0, 10) == amounts(billing)


@pytest.mark.parametrize(
    "other",
    [
        {"feature": "tokens"},
        {"amount": 26},
        {"entity": "A"},
        {"expires_at": datetime(2100, 1, 1, tzinfo=UTC)},
    ],
)
def test_another_grant_under_a_used_key(shop: Billing, other: dict[str, Any]) -> None:
    """It is refused, and nothing is given."""
    wanted: dict[str, Any] = {"feature": "messages", "amount": 25, "idempotency_key": "k"}
    shop.grant("user_1", **wanted)
    before = shop.balances("user_1", entity="A")

    with pytest.raises(IdempotencyMismatch):
        shop.grant("user_1", **(wanted | other))

    assert before == shop.balances("user_1", entity="A")
    assert 1 == len(shop.audit().items)


def test_keys_belong_to_one_reference(shop: Billing) -> None:
    """Two customers may have the same key."""
    shop.grant("user_1", "messages", 25, idempotency_key="k")
    shop.grant("user_2", "tokens", 1, idempotency_key="k")

    assert 35 == shop.balances("user_1")["messages"].included
    assert 1 == shop.balances("user_2")["tokens"].included


def test_a_repetition_after_the_time_of_expiry(shop: Billing, stripe: StripeSimulator) -> None:
    """It still finds what was given; a new grant must not be over before it begins."""
    until = stripe.now + timedelta(days=1)
    first = shop.grant("user_1", "messages", 25, expires_at=until, idempotency_key="k")
    stripe.advance(days=2)

    assert first == shop.grant("user_1", "messages", 25, expires_at=until, idempotency_key="k")
    with pytest.raises(InvalidInput) as caught:
        shop.grant("user_1", "messages", 25, expires_at=stripe.now)
    assert "expires_at" == caught.value.field


def test_at_the_same_time_under_one_key(shop_anywhere: Billing) -> None:
    """Whoever comes first gives; the others have the same answer."""
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(shop_anywhere.grant, "user_1", "messages", 25, idempotency_key="k") for _ in range(8)]
    given = [each.result() for each in calls]

    assert 1 == len({each.id for each in given})
    assert (35, 0, 35) == amounts(shop_anywhere)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": 10**9 + 1}, "amount"),
        ({"amount": True}, "amount"),
        ({"amount": 1.0}, "amount"),
        ({"expires_at": datetime(2100, 1, 1)}, "expires_at"),  # noqa: DTZ001 - a naive one is what is refused
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"note": ""}, "note"),
        ({"note": "x" * 501}, "note"),
        ({"note": "a\0"}, "note"),
        ({"note": 5}, "note"),
        ({"idempotency_key": "a b"}, "idempotency_key"),
        ({"feature": "a b"}, "feature"),
    ],
)
def test_what_is_no_grant(shop: Billing, wrong: dict[str, Any], field: str) -> None:
    """It is refused with the name of the member, and changes nothing."""
    members: dict[str, Any] = {"feature": "messages", "amount": 5} | wrong
    with pytest.raises(InvalidInput) as caught:
        shop.grant("user_1", **members)

    assert field == caught.value.field
    assert () == shop.audit().items
    assert (10, 0, 10) == amounts(shop)


def test_unknown_features_are_not_given(shop: Billing) -> None:
    """A name that does not exist is a mistake."""
    with pytest.raises(NotFound) as caught:
        shop.grant("user_1", "mesages", 5)

    assert "FEATURE_NOT_FOUND" == caught.value.code


# ── Why it was given ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_gave_what_and_why_is_kept(shop: Billing, stripe: StripeSimulator) -> None:
    """Giving and revoking are changes of the audit log, with the note."""
    until = stripe.now + timedelta(days=30)
    with shop.acting_as("user:42"):
        given = shop.grant("user_1", "messages", 25, entity="A", expires_at=until, note="outage of 3 March")
    shop.revoke("user_1", given.id)

    revoked, gave = shop.audit("user_1").items
    assert ("grant.given", given.id, "user:42", None) == (gave.action, gave.subject, gave.actor, gave.before)
    assert gave.after is not None
    assert ("messages", "A", 25, "outage of 3 March") == tuple(
        gave.after[name] for name in ("feature", "entity", "amount", "note")
    )
    assert ("grant.revoked", given.id) == (revoked.action, revoked.subject)
    assert revoked.before is not None
    assert revoked.after is not None
    assert revoked.before["expires_at"] == gave.after["expires_at"] != revoked.after["expires_at"]


@pytest.mark.parametrize("keyed", [True, False])
def test_with_the_hosts_transaction(engine_url: str, *, keyed: bool) -> None:
    """Given, revoked and noted if and only if the host commits."""
    key = "k" if keyed else None
    engine = new_engine(engine_url)
    with Billing(stripe_client=StripeSimulator(), database=engine_url, **OPTIONS) as billing:
        with engine.connect() as host:
            billing.grant("user_1", "messages", 25, idempotency_key=key, transaction=host)
            host.rollback()
        assert ((), (10, 0, 10)) == (billing.audit().items, amounts(billing))
        with engine.begin() as host:
            given = billing.grant("user_1", "messages", 25, idempotency_key=key, transaction=host)
        assert (35, 0, 35) == amounts(billing)
        with engine.connect() as host:
            billing.revoke("user_1", given.id, transaction=host)
            host.rollback()
        assert ((35, 0, 35), 1) == (amounts(billing), len(billing.audit().items))
        with engine.begin() as host:
            billing.revoke("user_1", given.id, transaction=host)
        assert ((10, 0, 10), 2) == (amounts(billing), len(billing.audit().items))
    engine.dispose()


@pytest.mark.parametrize("other", [{}, {"feature": "tokens"}])
def test_what_a_hosts_snapshot_hides(engine_url: str, other: dict[str, Any]) -> None:
    """A key that was used since the host began to read gives nothing more, nor anything else."""
    wanted: dict[str, Any] = {"feature": "messages", "amount": 25, "idempotency_key": "k"}
    engine = new_engine(engine_url)
    with Billing(stripe_client=StripeSimulator(), database=engine_url, **OPTIONS) as billing:
        billing.grant("user_1", "tokens", 1)
        with engine.connect() as host:
            if engine.dialect.name != "sqlite":  # There is one writer, who must not have read before.
                host.execute(sa.text("SELECT count(*) FROM billing_entitlement")).all()
            first = billing.grant("user_1", **wanted)
            if other:
                with pytest.raises(IdempotencyMismatch):
                    billing.grant("user_1", **(wanted | other), transaction=host)
            else:
                assert first == billing.grant("user_1", **wanted, transaction=host)
            host.commit()
        assert ((35, 0, 35), 1) == (amounts(billing), billing.balances("user_1")["tokens"].included)
    engine.dispose()


# ── Taking away ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_revoking_takes_what_is_left(shop_anywhere: Billing, stripe: StripeSimulator) -> None:
    """What was used stays used, nothing more is drawn, and a second time gives the same answer."""
    billing = shop_anywhere
    given = billing.grant("user_1", "messages", 25)
    billing.consume("user_1", "messages", 12)

    revoked = billing.revoke("user_1", given.id)

    assert (given.id, 25) == (revoked.id, revoked.amount)
    assert stripe.now == revoked.expires_at
    assert (10, 10, 0) == amounts(billing)
    with pytest.raises(InsufficientBalance):
        billing.consume("user_1", "messages")
    stripe.advance(hours=1)
    assert revoked == billing.revoke("user_1", given.id)
    assert 2 == len(billing.audit("user_1").items)
    assert 12 == sum(each.quantity for each in billing.usage("user_1").items)


def test_grants_of_others_are_not_found(shop: Billing, stripe: StripeSimulator) -> None:
    """Nor those that nobody gave by hand, which end with the plan."""
    stripe.subscribe("user_1", "pro")
    given = shop.grant("user_2", "messages", 25)
    shop.consume("user_1", "messages")
    engine = sa.create_engine(shop.config.database)
    with engine.connect() as connection:
        plans = connection.execute(
            sa.text("SELECT id FROM billing_entitlement WHERE source_type = 'plan' AND feature_key = 'messages'")
        ).scalar()
    engine.dispose()

    for grant_id in (given.id, plans, "grt_1", "", "é"):
        with pytest.raises(NotFound) as caught:
            shop.revoke("user_1", str(grant_id))
        assert "GRANT_NOT_FOUND" == caught.value.code
    with pytest.raises(NotFound):
        shop.revoke("user_3", given.id)
    assert 35 == shop.balances("user_2")["messages"].included


@pytest.mark.parametrize("wrong", [None, 5, b"grt_1", "a\0b"])
def test_what_is_no_id_of_a_grant(shop: Billing, wrong: Any) -> None:
    """It is refused before the database is asked."""
    with pytest.raises(InvalidInput) as caught:
        shop.revoke("user_1", wrong)

    assert "grant_id" == caught.value.field


# ── Beside plans ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_subscriptions_change_leaves_grants_alone(shop: Billing, stripe: StripeSimulator) -> None:
    """A grant by hand keeps its usage when a plan begins, is renewed and ends, and is never closed by it."""
    shop.grant("user_1", "messages", 25)
    shop.grant("user_1", "projects", 3)
    shop.consume("user_1", "messages", 15)
    shop.consume("user_1", "projects", 4)

    stripe.subscribe("user_1", "pro")
    assert ((125, 5, 120), (5, 4, 1)) == (amounts(shop), amounts(shop, "projects"))
    shop.consume("user_1", "messages", 110)
    stripe.advance(months=1)
    assert ((125, 15, 110), (5, 4, 1)) == (amounts(shop), amounts(shop, "projects"))
    stripe.use_card("user_1", "4000000000000002")
    stripe.advance(months=2)
    assert ((35, 15, 20), (4, 4, 0)) == (amounts(shop), amounts(shop, "projects"))


def test_several_subscriptions_add(shop: Billing, stripe: StripeSimulator) -> None:
    """What each of them includes counts, and each is drawn; so does what was given by hand."""
    stripe.subscribe("user_1", "pro")
    stripe.subscribe("user_1", "extra")
    shop.grant("user_1", "messages", 5)

    assert (135, 0, 135) == amounts(shop)
    usage = shop.consume("user_1", "messages", 135)
    assert {100, 30, 5} == {each["amount"] for each in usage.deductions}
    with pytest.raises(InsufficientBalance):
        shop.consume("user_1", "messages")


# ── Top-ups ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def pay(billing: Billing, line: str, bought: int = 1, top_up: TopUp = PACK) -> list[tuple[str, int | None]]:
    """Give what a paid line stands for, as the projection of an invoice does."""
    core = billing._wiring.core

    def unit(tx: Transaction) -> list[tuple[str, int | None]]:
        customer = lock_or_add(core, tx, core.reference("user_1"), core.now())
        given = give_top_up(core, tx, Books(tx, core.ids, customer, core.now()), top_up, bought, line)
        return [(each.feature, each.amount) for each in given]

    return run_blocking(core.store.transaction(unit))


def test_a_paid_line_gives_once(shop_anywhere: Billing) -> None:
    """However often it is told of, also after the top-up grants something else."""
    other = TopUp("pack", price_id="price_pack", grants={"messages": 1})

    assert [("messages", 100), ("tokens", 14)] == pay(shop_anywhere, "il_1", 2)
    assert [("messages", 100), ("tokens", 14)] == pay(shop_anywhere, "il_1", 2)
    assert [("messages", 100), ("tokens", 14)] == pay(shop_anywhere, "il_1", 1, other)
    assert (110, 0, 110) == amounts(shop_anywhere)
    assert [("messages", 1)] == pay(shop_anywhere, "il_2", 1, other)
    assert (111, 14) == (amounts(shop_anywhere)[0], amounts(shop_anywhere, "tokens")[0])
    assert 3 == len(shop_anywhere.audit("user_1").items)


def test_what_was_bought_lasts_as_long_as_the_top_up_says(shop: Billing, stripe: StripeSimulator) -> None:
    """It is drawn after what was given for nothing and lapses at the same time, and is gone when its time is over."""
    pay(shop, "il_1")
    shop.grant("user_1", "messages", 5, expires_at=stripe.now + timedelta(days=90))
    shop.consume("user_1", "messages", 10)

    usage = shop.consume("user_1", "messages", 6)
    assert [("manual", 5), ("top_up", 1)] == [(each["source"], each["amount"]) for each in usage.deductions]
    stripe.advance(days=90)
    assert (10, 0, 10) == amounts(shop)
