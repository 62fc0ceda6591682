"""Credit pools: what features cost, what pays for them, and what that leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import (
    Billing,
    Credits,
    Feature,
    FeatureDenied,
    InsufficientBalance,
    Metered,
    Plan,
    Quantity,
    TopUp,
)
from kernia_billing._drive import run_blocking
from kernia_billing.domain.grants import Grant
from kernia_billing.domain.instants import FOREVER, Instant, to_instant
from kernia_billing.operations.customers import lock_or_add
from kernia_billing.operations.ledger import Books
from kernia_billing.ports.store import Transaction
from kernia_billing.testing import StripeSimulator
from tests.harness.ears import hearing
from tests.harness.house import new_engine

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent.parent / "data" / "entitlements.json").read_text())[
    "burn"
]
START = datetime(2026, 1, 1, tzinfo=UTC)
MANY = timedelta(days=17)


def paid_by(pools: dict[str, Any], **features: Any) -> dict[str, Any]:
    """Options of a shop that sells one feature for the credits of these pools, and these allowances to everybody."""
    return {
        "plans": [Plan("free", features=features)],
        "features": [Feature("premium", credit_cost=pools)],
        "top_ups": [TopUp("pack", price_id="price_pack", grants=dict.fromkeys(pools, 1))],
        "default_plan": "free",
    }


@pytest.fixture
def shop(open_billing: Callable[..., Billing]) -> Callable[..., Billing]:
    """Opens a shop on SQLite in which "premium" is paid for by pools."""

    def open_it(pools: dict[str, Any], **features: Any) -> Billing:
        return open_billing(**paid_by(pools, **features))

    return open_it


def drawn(usage: Any) -> list[tuple[str, str, int]]:
    """The feature, the source and the amount of everything that was drawn."""
    return [(each["feature"], each["source"], each["amount"]) for each in usage.deductions]


# ── The worked examples ──────────────────────────────────────────────────────────────────────────────────────────────


class Shelf:
    """The buckets of an example in a database, by their names there. They belong to a customer of the same name."""

    def __init__(self, billing: Billing, engine: sa.Engine, vector: dict[str, Any]) -> None:
        self.owner: str = vector["name"]
        self.names: dict[str, str] = {}
        self._engine = engine
        core = billing._wiring.core

        def unit(tx: Transaction, raw: dict[str, Any]) -> str:
            customer = lock_or_add(core, tx, core.reference(self.owner), core.now())
            return Books(tx, core.ids, customer, core.now()).give(self._grant(raw)).id

        for raw in sorted(vector["buckets"], key=lambda raw: raw["seq"]):
            self.names[run_blocking(core.store.transaction(partial(unit, raw=raw)))] = raw["id"]
            if raw["used"]:
                billing.track(self.owner, raw["feature"], raw["used"])

    def _grant(self, raw: dict[str, Any]) -> Grant:
        lose_at: Instant = FOREVER if raw["lose_at"] is None else to_instant(datetime.fromisoformat(raw["lose_at"]))
        return Grant(
            id="",
            customer_id="",
            feature=raw["feature"],
            entity=raw["entity"] or "",
            kind=raw["kind"],
            source_type="manual",
            source_id=raw["id"],
            category=raw["category"],
            amount=raw["amount"],
            priority=raw["priority"],
            effective_at=to_instant(START),
            expires_at=lose_at,
            closed_at=FOREVER,
            interval=None,
            anchor_at=to_instant(START),
            meter=None,
            created_seq=0,
        )

    def used(self) -> dict[str, int]:
        """What is used of each bucket."""
        return {**dict.fromkeys(self.names.values(), 0), **dict(self._rows().values())}

    def lines(self, usage: Any) -> list[list[object]]:
        """What a use drew, by bucket."""
        rows = self._rows()
        return [[rows[each["bucketId"]][0], each["amount"]] for each in usage.deductions]

    def _rows(self) -> dict[str, tuple[str, int]]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT id, entitlement_id, used FROM billing_bucket")).all()
        found = [(_text(row[0]), _text(row[1]), row[2]) for row in rows]
        return {bucket: (self.names[grant], used) for bucket, grant, used in found if grant in self.names}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def test_burn_examples(engine_url: str) -> None:
    """What each step of each worked example is answered, draws, and leaves; and `check` said so before."""
    engine = new_engine(engine_url)
    costs = {vector["feature"]: dict(vector["pools"]) for vector in VECTORS}
    options: dict[str, Any] = {
        "features": [Feature(feature, credit_cost=pools) for feature, pools in costs.items()],
        "top_ups": [TopUp("pack", price_id="price_pack", grants={key: 1 for each in costs.values() for key in each})],
    }
    with Billing(stripe_client=StripeSimulator(now=START), database=engine_url, **options) as billing:
        for vector in VECTORS:
            run_steps(billing, Shelf(billing, engine, vector), vector)
        assert not [found for found in billing.doctor().findings if found.severity == "error"]


def run_steps(billing: Billing, shelf: Shelf, vector: dict[str, Any]) -> None:
    """Do what an example does, and compare."""
    owner, feature, entity = shelf.owner, vector["feature"], vector["entity"]
    for number, step in enumerate(vector["steps"]):
        told, quantity = (owner, number), step["quantity"]
        if quantity < 0:
            usage = billing.give_back(owner, feature, -quantity)
            assert (step["restored"], step["used"]) == (usage.funded, shelf.used()), told
            continue
        assert step["allowed"] is billing.check(owner, feature, quantity, entity=entity).allowed, told
        if step["mode"] == "require" and not step["allowed"]:
            with pytest.raises(InsufficientBalance):
                billing.consume(owner, feature, quantity, entity=entity)
        else:
            usage = billing.track(owner, feature, quantity, mode=step["mode"], entity=entity)
            assert (step["funded"], step["lines"]) == (usage.funded, shelf.lines(usage)), told
        assert step["used"] == shelf.used(), told


# ── Through the configuration ────────────────────────────────────────────────────────────────────────────────────────


def test_own_units_first_then_credits(shop: Callable[..., Billing]) -> None:
    """B4: a request may span both; what can be paid is what remains."""
    billing = shop({"credits": 10}, premium=Metered(5), credits=Credits(60))
    billing.grant("user_1", "credits", 40)

    decision = billing.check("user_1", "premium", 16)
    assert ("insufficient_balance", 15) == (decision.reason, decision.remaining)
    assert "16 of premium asked for, 15 left." == decision.message
    with pytest.raises(InsufficientBalance):
        billing.consume("user_1", "premium", 16)
    usage = billing.consume("user_1", "premium", 15)

    assert [("premium", "default", 5), ("credits", "default", 60), ("credits", "manual", 40)] == drawn(usage)
    assert (5, 5, 0) == (usage.balance.included, usage.balance.used, usage.balance.remaining)
    assert {"credits": 0, "premium": 0} == {key: each.remaining for key, each in billing.balances("user_1").items()}


def test_a_unit_may_span_two_buckets_of_a_pool(shop: Callable[..., Billing]) -> None:
    """B5: what does not pay a whole unit stays where it is."""
    billing = shop({"credits": 10}, credits=Credits(4))
    billing.grant("user_1", "credits", 25)

    usage = billing.track("user_1", "premium", 5, mode="cap")

    assert (2, 3) == (usage.funded, usage.unfunded)
    assert [("credits", "default", 4), ("credits", "manual", 16)] == drawn(usage)
    assert 9 == billing.balances("user_1")["credits"].remaining


def test_costs_are_exact_at_the_scale_of_the_credits(open_billing: Callable[..., Billing]) -> None:
    """B6: 1,234 tokens at 0.003 are 3.702 credits, to the last millionth."""
    billing = open_billing(
        plans=[Plan("free", features={"credits": Credits(10_000_000)})],
        features=[Feature("tokens", credit_cost={"credits": "0.003"}), Feature("credits", scale=6)],
        default_plan="free",
    )

    usage = billing.consume("user_1", "tokens", 1_234)

    assert [("credits", "default", 3_702_000)] == drawn(usage)
    assert 6_298_000 == billing.balances("user_1")["credits"].remaining
    assert 2_099 == usage.balance.remaining


def test_two_pools_with_different_costs(shop: Callable[..., Billing]) -> None:
    """B7: the pools pay in their order, and no unit is paid by both."""
    billing = shop({"gold": 10, "silver": 20}, gold=Credits(25), silver=Credits(100))

    assert 7 == billing.check("user_1", "premium").remaining
    usage = billing.consume("user_1", "premium", 7)

    assert [("gold", "default", 20), ("silver", "default", 100)] == drawn(usage)
    assert {"gold": 5, "premium": 0, "silver": 0} == {
        key: each.remaining for key, each in billing.balances("user_1").items()
    }


def test_what_costs_nothing_needs_a_pool_to_be_held(open_billing: Callable[..., Billing]) -> None:
    """B8: without limit, without a line, for those who hold the credits; for nobody else."""
    options = paid_by({"credits": 0}, credits=Credits(1))
    billing = open_billing(**options)

    decision = billing.check("user_1", "premium", 1_000)
    usage = billing.consume("user_1", "premium", 1_000)

    assert (True, "unlimited", None) == (decision.allowed, decision.reason, decision.remaining)
    assert (1_000, ()) == (usage.funded, usage.deductions)
    assert 1 == billing.balances("user_1")["credits"].remaining
    nobody = open_billing(**(options | {"default_plan": None}))
    assert "not_entitled" == nobody.check("user_2", "premium").reason
    with pytest.raises(FeatureDenied):
        nobody.consume("user_2", "premium")


def test_overage_follows_everything_included(open_billing: Callable[..., Billing]) -> None:
    """B9, and pools between what is included and overage, the pool's own overage last."""
    billing = open_billing(
        **paid_by(
            {"credits": 10},
            premium=Metered(100, overage="free", overage_limit=50),
            credits=Credits(30, overage="free", overage_limit=25),
        )
    )

    decision = billing.check("user_1", "premium", 103)
    assert ("ok", 103) == (decision.reason, decision.remaining)
    assert "overage" == billing.check("user_1", "premium", 155).reason
    assert "overage_limit" == billing.check("user_1", "premium", 156).reason
    usage = billing.consume("user_1", "premium", 155)

    assert [100, 30, 50, 20] == [each["amount"] for each in usage.deductions]
    assert (50, 50, 0) == (usage.balance.overage_used, usage.balance.overage_limit, usage.balance.remaining)
    capped = billing.track("user_1", "premium", 2, mode="cap")
    assert (0, 2) == (capped.funded, capped.unfunded)


def test_breakdown_lists_the_buckets_of_pools(shop: Callable[..., Billing]) -> None:
    """Every line says whose units it counts; own ones come first, each in the order in which they are drawn."""
    billing = shop({"credits": 10}, premium=Metered(5), credits=Credits(60))
    billing.grant("user_1", "credits", 40, expires_at=START + MANY)

    decision = billing.check("user_1", "premium", 12)

    assert [("premium", "default", 5), ("credits", "manual", 40), ("credits", "default", 30)] == [
        (each["feature"], each["source"], each["draws"]) for each in decision.breakdown
    ]


def test_when_what_only_credits_pay_for_resets(shop: Callable[..., Billing]) -> None:
    """With the credits; what has units of its own tells of those."""
    billing = shop({"credits": 10}, credits=Credits(60))
    credits = billing.balances("user_1")["credits"]

    assert credits.resets_at is not None
    assert credits.resets_at == billing.balances("user_1")["premium"].resets_at
    assert credits.resets_at == billing.check("user_1", "premium").resets_at
    own = shop({"credits": 10}, credits=Credits(60), premium=Quantity(1))
    assert own.check("user_2", "premium").resets_at is None


def test_unlimited_credits_pay_for_everything(shop: Callable[..., Billing]) -> None:
    """A pool without limit makes what it pays for unlimited."""
    billing = shop({"credits": 10}, premium=Metered(5), credits=Credits(unlimited=True))

    assert ("unlimited", None) == (
        billing.check("user_1", "premium", 10**9).reason,
        billing.balances("user_1")["premium"].remaining,
    )
    assert billing.check("user_1", "premium", 5).balance.unlimited


def test_giving_back_returns_credits_of_this_feature_only(open_billing: Callable[..., Billing]) -> None:
    """In reverse order: the credits first, never those that another feature drew."""
    billing = open_billing(
        plans=[Plan("free", features={"premium": Metered(5), "credits": Credits(100)})],
        features=[Feature("premium", credit_cost={"credits": 10}), Feature("images", credit_cost={"credits": 1})],
        default_plan="free",
    )
    billing.consume("user_1", "images", 30)
    billing.consume("user_1", "premium", 8)

    usage = billing.give_back("user_1", "premium", 4)
    assert [("credits", "default", 30), ("premium", "default", 1)] == drawn(usage)
    assert (30, 4) == (billing.balances("user_1")["credits"].used, usage.balance.used)
    rest = billing.give_back("user_1", "premium", 9)
    assert (4, 5, 30) == (rest.funded, rest.unfunded, billing.balances("user_1")["credits"].used)


def test_credits_are_a_feature_like_any_other(shop: Callable[..., Billing]) -> None:
    """They are checked, consumed and given back by their own key, of one balance with what features draw."""
    billing = shop({"credits": 10}, credits=Credits(60))
    billing.consume("user_1", "premium", 2)

    assert billing.check("user_1", "credits", 40)
    assert not billing.check("user_1", "credits", 41)
    billing.consume("user_1", "credits", 35)
    assert (0, 5) == (billing.check("user_1", "premium").remaining, billing.check("user_1", "credits").remaining)
    billing.give_back("user_1", "credits", 5)
    assert billing.check("user_1", "premium")


def test_credits_of_a_pool_are_reported_to_its_meter(open_billing: Callable[..., Billing]) -> None:
    """A pool whose overage is billed is billed by credits, not by the units that they paid for."""
    billing = open_billing(**paid_by({"credits": 10}, credits=Credits(20, overage="billed", meter="credits_used")))

    billing.consume("user_1", "premium", 5)

    events = billing.meters.list().items
    assert [("credits_used", 30)] == [(each.meter, each.value) for each in events]


def test_at_the_same_time_no_credit_is_spent_twice(engine_url: str) -> None:
    """As many succeed as the credits pay for, over two buckets and whatever the number of callers."""
    options = paid_by({"credits": 10}, credits=Credits(64))
    new_engine(engine_url).dispose()
    with Billing(stripe_client=StripeSimulator(), database=engine_url, **options) as billing:
        billing.grant("user_1", "credits", 41)

        def consume(_: int) -> int:
            try:
                return billing.consume("user_1", "premium").funded
            except InsufficientBalance:
                return 0

        with ThreadPoolExecutor(6) as threads:
            done = sum(threads.map(consume, range(18)))
        credits = billing.balances("user_1")["credits"]

    assert (10, 100, 5) == (done, credits.used, credits.remaining)


def test_reads_are_few(shop: Callable[..., Billing]) -> None:
    """A check of what pools pay for is one read, and so are all balances."""
    billing = shop({"credits": 10, "gold": 3}, premium=Metered(5), credits=Credits(60), gold=Credits(9))
    billing.consume("user_1", "premium", 7)

    seen: list[str] = []
    with hearing(seen.append):
        billing.check("user_1", "premium", 3)
        checked = len(seen)
        billing.balances("user_1")

    assert (1, 2) == (checked, len(seen))


# ── What remains is what can be used ─────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    own=st.none() | st.integers(0, 9),
    gifts=st.lists(st.tuples(st.sampled_from(["premium", "credits", "gold"]), st.integers(1, 25)), max_size=4),
    costs=st.dictionaries(st.sampled_from(["credits", "gold"]), st.integers(0, 12), max_size=2),
    credits=st.integers(0, 40),
    uses=st.lists(st.integers(1, 12), max_size=3),
)
def test_remaining_is_what_can_be_used(
    own: int | None, gifts: list[tuple[str, int]], costs: dict[str, int], credits: int, uses: list[int]
) -> None:
    """A quantity is allowed exactly when it is no more than what remains, whatever pays for it and was used before."""
    features: dict[str, Any] = {"credits": Credits(credits), "gold": Credits(3)}
    if own is not None:
        features["premium"] = Metered(own)
    options: dict[str, Any] = paid_by(costs, **features) | {"top_ups": ()}
    with Billing(stripe_client=StripeSimulator(), database="sqlite://", **options) as billing:
        for feature, amount in gifts:
            billing.grant("user_1", feature, amount)
        for quantity in uses:
            billing.track("user_1", "premium", quantity)
        decision = billing.check("user_1", "premium", 0)
        remaining = decision.remaining
        assert decision.balance == billing.balances("user_1").get("premium", decision.balance)
        most = 10**9 if remaining is None else remaining
        assert billing.check("user_1", "premium", most).allowed or not (decision.breakdown or most)
        if remaining is None:
            return
        assert not billing.check("user_1", "premium", most + 1).allowed
        with pytest.raises(FeatureDenied):
            billing.consume("user_1", "premium", most + 1)
        if most:
            usage = billing.consume("user_1", "premium", most)
            assert (most, 0) == (usage.funded, usage.balance.remaining)
