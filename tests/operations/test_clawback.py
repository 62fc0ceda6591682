"""Payments that come back take credits with them, by the policy, whatever was told in which order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing import Billing, Credits, Feature, Plan, TopUp
from kernia_billing._drive import run_blocking
from kernia_billing.domain.clawback import Clawback, taken
from kernia_billing.operations.clawing import take_back
from kernia_billing.operations.customers import lock_or_add
from kernia_billing.operations.granting import give_top_up
from kernia_billing.operations.ledger import Books
from kernia_billing.ports.store import Transaction
from kernia_billing.testing import StripeSimulator
from tests.harness.house import new_engine

PACK = TopUp("pack", price_id="price_pack", grants={"credits": 1_000})
PAID = 999
OPTIONS: dict[str, Any] = {
    "plans": [Plan("pro", price_id="price_pro", features={"credits": Credits(100)})],
    "features": [Feature("images", credit_cost={"credits": 10})],
    "top_ups": [PACK],
}


@pytest.fixture
def billing(engine_url: str, stripe: StripeSimulator) -> Iterator[Billing]:
    """A shop on each kind of database where a pack was bought; its books are in order at the end."""
    new_engine(engine_url).dispose()
    with Billing(stripe_client=stripe, database=engine_url, **OPTIONS) as opened:
        core = opened._wiring.core

        def unit(tx: Transaction) -> None:
            customer = lock_or_add(core, tx, core.reference("org"), core.now())
            give_top_up(core, tx, Books(tx, core.ids, customer, core.now()), PACK, 1, "il_1")

        run_blocking(core.store.transaction(unit))
        yield opened
        assert not [each for each in opened.doctor().findings if each.severity == "error"]


def back(billing: Billing, returned: int, policy: Clawback) -> None:
    """So much of the payment is gone by now."""
    core = billing._wiring.core

    def unit(tx: Transaction) -> None:
        customer = lock_or_add(core, tx, core.reference("org"), core.now())
        books = Books(tx, core.ids, customer, core.now())
        take_back(core, tx, books, "il_1", paid=PAID, returned=returned, policy=policy)

    run_blocking(core.store.transaction(unit))


def left(billing: Billing) -> tuple[int | None, int]:
    """What remains, and what is owed."""
    balance = billing.balances("org")["credits"]
    return balance.remaining, balance.overage_used


@given(units=st.integers(1, 10**9), paid=st.integers(1, 10**6), parts=st.lists(st.integers(1, 10**6), max_size=5))
def test_never_more_than_was_given(units: int, paid: int, parts: list[int]) -> None:
    """In proportion and rounded down; more refunds never take less, and the whole payment takes everything."""
    steps = [taken(units, paid, sum(parts[:count])) for count in range(len(parts) + 1)]

    assert 0 == steps[0]
    assert steps == sorted(steps)
    assert all(0 <= each <= units for each in steps)
    assert units == taken(units, paid, paid) == taken(units, paid, paid + 1)
    assert 0 == taken(units, 0, 5)


@pytest.mark.parametrize(
    ("policy", "used", "returned", "expected"),
    [
        ("unused", 0, 333, (667, 0)),
        ("unused", 700, 333, (0, 0)),
        ("unused", 700, PAID, (0, 0)),
        ("all", 200, 333, (467, 0)),
        ("all", 700, 333, (0, 33)),
        ("all", 700, PAID, (0, 700)),
        ("none", 200, PAID, (800, 0)),
    ],
)
def test_what_a_policy_takes(
    billing: Billing, policy: Clawback, used: int, returned: int, expected: tuple[int, int]
) -> None:
    """R-150: what is left goes; what is used stays used, or is owed; or nothing happens. Twice is as once."""
    if used:
        billing.consume("org", "credits", used)
    back(billing, returned, policy)
    entries = len(billing.audit("org").items)
    back(billing, returned, policy)

    assert expected == left(billing)
    assert entries == len(billing.audit("org").items)
    assert bool(expected[0]) == billing.check("org", "credits").allowed


@pytest.mark.parametrize("policy", ["unused", "all"])
def test_any_order_comes_to_the_same(billing: Billing, policy: Clawback) -> None:
    """Two refunds, and one that failed after all: what counts is how much of the payment is gone at the end."""
    billing.consume("org", "images", 60)
    ends: set[tuple[int | None, int]] = set()
    for order in permutations([100, 500, PAID]):
        for returned in (*order, 500):
            back(billing, returned, policy)
        ends.add(left(billing))

    assert {(0, 100 if policy == "all" else 0)} == ends
    back(billing, 0, policy)
    assert (400, 0) == left(billing)


def test_what_is_owed_is_repaid_first(billing: Billing) -> None:
    """Debt is no use beyond zero: nobody is billed for it, and what is given later repays it."""
    billing.consume("org", "credits", 700)
    back(billing, PAID, "all")
    assert "overage_limit" == billing.check("org", "credits").reason
    assert 0 == billing.overdraft_used("org", "credits")

    billing.grant("org", "credits", 900)
    assert (200, 0) == left(billing)
    back(billing, 0, "all")
    assert (1_200, 0) == left(billing)


def test_it_is_explained(billing: Billing, stripe: StripeSimulator) -> None:
    """Then, after it, and with what was there before."""
    billing.consume("org", "credits", 700)
    before = stripe.now
    stripe.advance(hours=1)
    back(billing, 333, "all")

    assert "333 of 1000 credits of a top-up went with what came back of its payment." in billing.explain(
        "org", "credits"
    )
    then = billing.explain("org", "credits", at=before)
    assert 300 == then.decision.remaining
    assert "went with" not in then
    first = billing.audit("org").items[0]
    assert ("grant.taken", 1_000, 667) == (first.action, (first.before or {})["amount"], (first.after or {})["amount"])
