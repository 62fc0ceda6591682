"""Everything at once, in many processes: uses, holds, refunds, gifts, keys used twice, and plans that change."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from attrs import define, field
from sqlalchemy import Engine

from kernia_billing import (
    Billing,
    Conflict,
    Credits,
    Feature,
    FeatureDenied,
    IdempotencyMismatch,
    InsufficientBalance,
    Metered,
    Plan,
    UsageLimit,
)
from kernia_billing.domain.answers import Usage
from kernia_billing.domain.plans import Allowance
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import Tables, coherent
from tests.harness.counts import count
from tests.harness.house import new_engine, open_billing
from tests.harness.processes import RemoteStripe, together

PROCESSES = 8
DAILY = 700
REFERENCE = "acme"


def _plan(name: str, messages: int) -> Plan:
    limits = (UsageLimit(DAILY),)
    features: dict[str, Allowance] = {
        "messages": Metered(messages, rollover=100, limits=limits),
        "credits": Credits(900),
        "images": Metered(20),
    }
    return Plan(name, price_id=f"price_{name}", features=features)


OPTIONS: dict[str, Any] = {
    "plans": [_plan("pro", 400), _plan("team", 600)],
    "features": [Feature("images", credit_cost={"credits": 3})],
    "default_plan": None,
}


@define
class Done:
    """What one process heard."""

    outcomes: Counter[str] = field(factory=Counter[str])
    receipts: dict[str, tuple[str, str, int]] = field(factory=dict[str, tuple[str, str, int]])
    """By event: what was done, the feature, and how many units moved."""
    most: int = 0
    """The most that a usage limit was said to have counted."""


class Worker:
    """One process, doing what its dice say."""

    def __init__(self, billing: Billing, remote: RemoteStripe, number: int) -> None:
        self.billing = billing
        self.remote = remote
        self.dice = random.Random(number)
        self.done = Done()
        self.mine: list[Usage] = []
        self.gifts: list[str] = []

    def run(self, steps: int) -> Done:
        """So many things, whatever is refused."""
        acts = (self.consume, self.consume, self.track, self.repeat, self.hold, self.refund, self.give_back, self.gift)
        for step in range(steps):
            act = self.dice.choice(acts)
            try:
                outcome = act(step) or "done"
            except FeatureDenied as denied:
                outcome = denied.decision.reason
            except (IdempotencyMismatch, Conflict) as refused:
                outcome = refused.code
            self.done.outcomes[f"{act.__name__} {outcome}"] += 1
            self.remote.go_on()
        return self.done

    def feature(self) -> str:
        """Something to use."""
        return self.dice.choice(["messages", "images", "credits"])

    def keep(self, what: str, usage: Usage) -> None:
        """Remember a receipt."""
        self.done.receipts[usage.event_id] = what, usage.feature, usage.funded
        self.done.most = max([self.done.most, *(int(str(each["used"])) for each in usage.limits)])

    def consume(self, _: int) -> None:
        """All of it, or nothing."""
        usage = self.billing.consume(REFERENCE, self.feature(), self.dice.randint(1, 9))
        self.keep("use", usage)
        self.mine.append(usage)

    def track(self, _: int) -> None:
        """What happened, whether covered or not."""
        usage = self.billing.track(REFERENCE, self.feature(), self.dice.randint(1, 9))
        self.keep("use", usage)
        self.mine.append(usage)

    def repeat(self, step: int) -> str:
        """A use whose key others use too: for the same, and sometimes for something else."""
        quantity = self.dice.choice([2, 2, 2, 3])
        usage = self.billing.track(REFERENCE, "credits", quantity, idempotency_key=f"shared-{step // 4}")
        self.keep("use", usage)
        return "replayed" if usage.replayed else "done"

    def hold(self, _: int) -> None:
        """Units are set aside; then they are used, freed, or left to lapse."""
        hold = self.billing.reserve(REFERENCE, self.feature(), self.dice.randint(1, 9), ttl=3_600)
        ending = self.dice.randrange(4)
        if ending == 0:
            hold.release()
        elif ending < 3:
            self.keep("use", hold.settle(self.dice.randint(0, 12)))

    def refund(self, _: int) -> None:
        """Some of what this process used comes back, or all that is left of it."""
        if self.mine:
            quantity = self.dice.choice([None, 1, 5])
            self.keep("return", self.billing.refund(REFERENCE, self.dice.choice(self.mine).event_id, quantity))

    def give_back(self, _: int) -> None:
        """Units come back without anybody knowing of which use."""
        self.keep("return", self.billing.give_back(REFERENCE, self.feature(), self.dice.randint(1, 3)))

    def gift(self, _: int) -> None:
        """Something is given beside the plan, or taken away again."""
        if self.gifts and self.dice.random() < 0.5:
            self.billing.revoke(REFERENCE, self.gifts.pop())
        else:
            self.gifts.append(self.billing.grant(REFERENCE, self.feature(), self.dice.randint(1, 20)).id)


@pytest.fixture
def rows(engine_url: str) -> Iterator[Engine]:
    """An engine of the test's own that keeps no connection."""
    engine = new_engine(engine_url)
    yield engine
    engine.dispose()


def _race(rows: Engine, url: str, steps: int) -> None:
    stripe = StripeSimulator(deliver="manual")
    with open_billing(url, stripe, **OPTIONS) as billing:
        billing.catalog.sync()
        stripe.pay(billing.subscriptions.upgrade(REFERENCE, "pro", success_url="/", cancel_url="/"))
        stripe.deliver()
        assert billing.check(REFERENCE, "messages", 400)

    def work(number: int) -> Callable[[RemoteStripe], Done]:
        def run(remote: RemoteStripe) -> Done:
            with open_billing(url, remote, **OPTIONS) as billing:
                billing.check(REFERENCE, "messages")
                remote.ready()
                return Worker(billing, remote, number).run(steps)

        return run

    def change(remote: RemoteStripe) -> Done:
        with open_billing(url, remote, **OPTIONS) as billing:
            billing.check(REFERENCE, "messages")
            remote.ready()
            return _change(billing, remote, max(2, steps // 20))

    told = together(stripe, [*map(work, range(PROCESSES - 1)), change])
    outcomes = sum((each.outcomes for each in told), Counter[str]())
    count("engine operations in races", outcomes.total())
    assert {"consume done", "repeat replayed", "hold done", "refund done", "plan changed"} <= outcomes.keys()
    receipts = {name: each for done in told for name, each in done.receipts.items()}
    _judge(rows, receipts, max(done.most for done in told))
    with open_billing(url, stripe, **OPTIONS) as billing:
        # Everything that was left lapses, and the next write says so.
        stripe.advance(hours=2)
        billing.give_back(REFERENCE, "messages")
        billing.give_back(REFERENCE, "images")
        assert billing.doctor().ok, billing.doctor().findings
    tables = coherent(rows)
    assert not any(row["held"] for row in tables.buckets if row["feature_key"] == "messages")
    assert {"open"} & {row["status"] for row in tables.holds} == set()


def _judge(rows: Engine, receipts: dict[str, tuple[str, str, int]], most: int) -> None:
    """Every event was told to somebody as it is stored; limits counted exactly what was drawn and is held."""
    tables = coherent(rows)
    stored = {row["id"]: row for row in tables.events}
    assert stored.keys() == receipts.keys()
    for name, (what, feature, funded) in receipts.items():
        row = stored[name]
        assert (feature, funded) == (row["feature_key"], row["funded"])
        assert (what == "return") == (row["quantity"] < 0 or row["mode"] in ("return", "refund"))
    back = Counter[str]()
    for row in tables.events:
        if row["refund_of"]:
            back[row["refund_of"]] += row["funded"]
    assert all(row["refunded"] == back[row["id"]] <= row["funded"] for row in tables.events)
    (window,) = tables.windows
    held = sum(row["left_units"] for row in tables.holds if row["feature_key"] == "messages")
    assert window["used"] == tables.funded(REFERENCE) + held
    assert max(window["used"], most) <= DAILY
    _is_gap_free(tables)


def _is_gap_free(tables: Tables) -> None:
    """I4: every number of the sequence wrote something; a refusal takes none."""
    (customer,) = tables.customers
    numbers = {row["seq"] for row in (*tables.events, *tables.ledger)}
    assert numbers <= set(range(1, customer["ledger_seq"] + 1))
    assert len(tables.events) == len({row["seq"] for row in tables.events})


def _change(billing: Billing, remote: RemoteStripe, times: int) -> Done:
    """Sell another plan under the subscription, over and over."""
    done = Done()
    subscription = billing.subscriptions.get(REFERENCE)
    assert subscription is not None
    with httpx.Client(
        transport=remote.transport,
        base_url="https://api.stripe.com/v1",
        headers={"Authorization": f"Bearer {remote.api_key}"},
    ) as client:
        listed = client.get("/subscription_items", params={"subscription": subscription.stripe_id})
        (item,) = listed.json()["data"]
        for number in range(times):
            price = ("price_team", "price_pro")[number % 2]
            answer = client.post(
                f"/subscriptions/{subscription.stripe_id}",
                data={"items[0][id]": item["id"], "items[0][price]": price},
                headers={"Idempotency-Key": f"change {number}"},
            )
            assert answer.status_code == 200, answer.text
            billing.sync.object("subscription", str(subscription.stripe_id))
            done.outcomes["plan changed"] += 1
    return done


def test_two_gifts_for_fifty_requests(rows: Engine, engine_url: str) -> None:
    """Worked example B12: twelve units and eight for fifty requests of one are twenty uses, from both to the last."""
    stripe = StripeSimulator()
    with open_billing(engine_url, stripe, **OPTIONS) as billing:
        for amount in (12, 8):
            billing.grant(REFERENCE, "messages", amount)

    def work(remote: RemoteStripe) -> list[bool]:
        with open_billing(engine_url, remote, **OPTIONS) as billing:
            billing.check(REFERENCE, "messages")
            remote.ready()
            return [_is_granted(billing) for _ in range(5)]

    told = Counter(each for process in together(stripe, [work] * 10) for each in process)
    count("engine operations in races", told.total())
    assert told == {True: 20, False: 30}
    assert sorted(row["used"] for row in coherent(rows).buckets) == [8, 12]


def _is_granted(billing: Billing) -> bool:
    try:
        billing.consume(REFERENCE, "messages")
    except InsufficientBalance:
        return False
    return True


def test_no_unit_rolls_over_and_is_used_as_well(rows: Engine, engine_url: str) -> None:
    """Around a reset, with clocks up to a second apart, a period and what it leaves give no more than it had."""
    stripe = StripeSimulator()
    options: dict[str, Any] = {
        "plans": [Plan("pro", price_id="price_pro", features={"messages": Metered(100, rollover=50)})],
        "default_plan": None,
    }
    with open_billing(engine_url, stripe, **options) as billing:
        stripe.subscribe(REFERENCE, "pro")
        billing.consume(REFERENCE, "messages")
    ((end, _),) = {(row["period_end"], row["used"]) for row in Tables(rows).buckets}

    def work(number: int) -> Callable[[RemoteStripe], int]:
        def consume(remote: RemoteStripe) -> int:
            with open_billing(engine_url, remote, **options) as billing:
                billing.customers.get(REFERENCE)
                remote.ready()
                granted = 0
                for step in range(60):
                    remote.clock.micros = end + (number - PROCESSES // 2) * 250_000 + step * 20_000 - 800_000
                    granted += _is_granted(billing)
                return granted

        return consume

    granted = sum(together(stripe, [work(number) for number in range(PROCESSES)]))
    count("engine operations in races", PROCESSES * 60)
    tables = coherent(rows)
    assert granted + 1 == sum(row["used"] for row in tables.buckets) <= 200


def test_everything_at_once_is_exact(rows: Engine, engine_url: str) -> None:
    """Four hundred operations by eight processes on one customer."""
    _race(rows, engine_url, 60)


@pytest.mark.full
def test_ten_thousand_operations_are_exact(rows: Engine, engine_url: str) -> None:
    """Ten thousand operations by eight processes on one customer: nobody hears of a deadlock."""
    _race(rows, engine_url, 1_450)
