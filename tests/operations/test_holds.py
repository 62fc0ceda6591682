"""What `reserve` sets aside, what becomes of it, and who gets it when nobody says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from attrs import evolve
from sqlalchemy import Engine, text

from kernia_billing import (
    Billing,
    Boolean,
    Conflict,
    Credits,
    Feature,
    FeatureDenied,
    IdempotencyMismatch,
    InsufficientBalance,
    InvalidInput,
    Metered,
    NotFound,
    Plan,
    Quantity,
    Unavailable,
    UsageLimit,
)
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Usage
from kernia_billing.domain.grants import Grant, Source
from kernia_billing.domain.instants import FOREVER
from kernia_billing.operations import reserving
from kernia_billing.types import Balance
from kernia_billing.types import Hold as AnyHold
from tests.harness.ears import hearing
from tests.harness.house import new_engine
from tests.harness.processes import StandingClock

START = 1_790_000_000_000_000
SECOND = 1_000_000
MONTH = 30 * 86_400 * SECOND
VECTORS = json.loads((Path(__file__).parent.parent / "data" / "entitlements.json").read_text())["hold"]
FEATURES = [
    Feature("tokens", credit_cost={"credits": 10}),
    Feature("peak", aggregation="max"),
]
PLANS = [
    Plan(
        "free",
        features={
            "messages": Metered(100),
            "projects": Quantity(5),
            "api": Metered(5, overage="free", overage_limit=10),
            "tokens": Metered(5),
            "credits": Credits(100),
            "files": Metered(unlimited=True),
            "peak": Metered(10),
            "mails": Metered(100, limits=[UsageLimit(30, "day")]),
            "calls": Metered(10, overage="billed", meter="calls"),
            "sso": Boolean(),
        },
    ),
    Plan("none", features={"videos": Metered(1)}),
]


class Shop:
    """A library that is offline, and its time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = StandingClock(START)
        self.opened: list[Billing] = []
        self.billing = self.open()

    def open(self) -> Billing:
        """Another process, as it were."""
        billing = Billing(database=self.url, plans=PLANS, features=FEATURES, default_plan="free")
        billing._wiring.core = evolve(billing._wiring.core, clock=self.clock)
        self.opened.append(billing)
        return billing

    def later(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.micros += seconds * SECOND

    def balance(self, feature: str = "messages") -> Balance:
        """What there is of a feature."""
        return self.billing.balances("ann")[feature]

    def figures(self, feature: str = "messages") -> tuple[int, int, int | None]:
        """What is used, held and left of a feature."""
        balance = self.balance(feature)
        return balance.used, balance.held, balance.remaining


@pytest.fixture
def engine(engine_url: str) -> Iterator[Engine]:
    """An engine on each kind of database, which has the tables."""
    engine = new_engine(engine_url)
    yield engine
    engine.dispose()


def _closing(shop: Shop) -> Iterator[Shop]:
    yield shop
    assert () == tuple(shop.billing.doctor().findings)
    for each in shop.opened:
        each.close()


@pytest.fixture
def shop(sqlite_url: str) -> Iterator[Shop]:
    """A shop on SQLite."""
    yield from _closing(Shop(sqlite_url))


@pytest.fixture
def each_shop(engine: Engine, engine_url: str) -> Iterator[Shop]:
    """A shop on each kind of database."""
    yield from _closing(Shop(engine_url))


def rows(shop: Shop, table: str, order: str = "1") -> list[dict[str, Any]]:
    """What stands in a table."""
    engine = new_engine(shop.url)
    with engine.connect() as connection:
        found = connection.execute(text(f"SELECT * FROM billing_{table} ORDER BY {order}")).mappings().all()
    engine.dispose()
    return [{key: value.decode() if isinstance(value, bytes) else value for key, value in row.items()} for row in found]


def give(shop: Shop, feature: str, amount: int, source: Source = "top_up", entity: str = "") -> None:
    """Something beside the plan."""
    shop.billing.customers.get("ann")
    (customer,) = rows(shop, "customer")
    grant = Grant(
        id=f"{source}:{feature}:{entity}",
        customer_id=customer["id"],
        feature=feature,
        entity=entity,
        kind="grant",
        source_type=source,
        source_id="test",
        category=1,
        amount=amount,
        priority=50,
        effective_at=START,
        expires_at=FOREVER,
        closed_at=FOREVER,
        interval=None,
        anchor_at=START,
        meter=None,
        created_seq=1,
    )
    run_blocking(shop.billing._wiring.core.store.transaction(lambda tx: tx.entitlements.add_grant(grant)))


# ── The worked examples ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("vector", VECTORS, ids=[each["name"] for each in VECTORS])
def test_worked_example(vector: dict[str, Any], each_shop: Shop) -> None:
    """Units that are set aside, what is left beside them, and what becomes of them, through the public engine."""
    shop, billing = each_shop, each_shop.billing
    billing.track("ann", "messages", 1)
    billing.give_back("ann", "messages", 1)
    give(shop, "messages", 50)

    def buckets() -> Mapping[str, list[int]]:
        known = {"default": "plan", "top_up": "top"}
        parts = cast("list[dict[str, Any]]", billing.check("ann", "messages", 0).breakdown)
        return {known[each["source"]]: [each["included"], each["used"], each["held"]] for each in parts}

    hold = billing.reserve("ann", "messages", vector["hold"])
    assert vector["after_hold"] == buckets()
    assert billing.check("ann", "messages", vector["available_while_held"])
    assert not billing.check("ann", "messages", vector["available_while_held"] + 1)

    usage = hold.settle(vector["actual"])

    assert vector["after"] == buckets()
    assert (vector["actual"], vector["unfunded"]) == (usage.quantity, usage.unfunded)
    excess = [[each["source"].replace("top_up", "top"), each["amount"]] for each in usage.deductions[2:]]  # type: ignore[attr-defined]  # objects of JSON
    assert vector["extra_lines"] == excess
    assert usage.balance == shop.balance()


# ── Setting aside ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_hold_takes_from_what_is_left(shop: Shop) -> None:
    """What is set aside counts as held, not as used, and neither `check` nor `consume` gives it to anybody else."""
    hold = shop.billing.reserve("ann", "messages", 60, ttl=timedelta(minutes=5))

    assert (60, None, timedelta(minutes=5)) == (hold.quantity, hold.used, hold.expires_at - _now(shop))
    assert (0, 60, 40) == shop.figures()
    assert shop.billing.check("ann", "messages", 40)
    with pytest.raises(InsufficientBalance):
        shop.billing.consume("ann", "messages", 41)
    shop.billing.consume("ann", "messages", 40)
    assert (40, 60, 0) == shop.figures()
    assert [] == list(shop.billing.usage("ann", "messages", start=hold.expires_at))


def _now(shop: Shop) -> Any:
    return shop.billing.check("ann", "sso").as_of


def test_all_or_nothing(shop: Shop) -> None:
    """Too little is left: the refusal is the decision that `check` gives, and nothing is set aside."""
    shop.billing.consume("ann", "messages", 50)
    before = rows(shop, "customer"), rows(shop, "bucket"), rows(shop, "ledger")

    with pytest.raises(InsufficientBalance) as caught:
        shop.billing.reserve("ann", "messages", 51)

    assert caught.value.decision == shop.billing.check("ann", "messages", 51)
    assert before == (rows(shop, "customer"), rows(shop, "bucket"), rows(shop, "ledger"))
    assert [] == rows(shop, "hold")


def test_not_entitled(shop: Shop) -> None:
    """Nothing can be set aside of what somebody does not have."""
    with pytest.raises(FeatureDenied) as caught:
        shop.billing.reserve("ann", "videos")

    assert "not_entitled" == caught.value.decision.reason


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": 1.0}, "quantity"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": 1.5}, "ttl"),
        ({"ttl": True}, "ttl"),
        ({"ttl": "60"}, "ttl"),
        ({"ttl": 7 * 86_400 + 1}, "ttl"),
        ({"ttl": timedelta(microseconds=999_999)}, "ttl"),
        ({"ttl": timedelta(days=7, microseconds=1)}, "ttl"),
        ({"entity": ""}, "entity"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"feature": "sso"}, "feature"),
        ({"feature": "peak"}, "feature"),
    ],
)
def test_what_makes_no_sense_is_refused(shop: Shop, changes: dict[str, Any], field: str) -> None:
    """A value out of range, and a feature whose uses do not add up, is a mistake; nothing is set aside."""
    values: dict[str, Any] = {"feature": "messages", "quantity": 1, **changes}

    with pytest.raises(InvalidInput) as caught:
        shop.billing.reserve("ann", values.pop("feature"), values.pop("quantity"), **values)

    assert field == caught.value.field
    assert [] == rows(shop, "hold")


def test_unknown_feature(shop: Shop) -> None:
    """A feature in no plan is a mistake in the code."""
    with pytest.raises(NotFound):
        shop.billing.reserve("ann", "massages")


@pytest.mark.parametrize("ttl", [1, timedelta(seconds=1), 7 * 86_400, timedelta(days=7)])
def test_how_long(shop: Shop, ttl: timedelta | int) -> None:
    """From one second to seven days, in seconds or as a timedelta."""
    hold = shop.billing.reserve("ann", "messages", ttl=ttl)

    assert hold.expires_at - _now(shop) == (ttl if isinstance(ttl, timedelta) else timedelta(seconds=ttl))


def test_one_key_is_one_hold_in_every_process(each_shop: Shop) -> None:
    """Who reserves again under the same key, wherever, has the same hold; for another request the key is taken."""
    shop = each_shop
    reserve = partial(shop.open().reserve, "ann", "messages", ttl=30, idempotency_key="job:1")
    hold = shop.billing.reserve("ann", "messages", 10, ttl=30, idempotency_key="job:1")
    shop.later(5)

    same = reserve(10)

    assert (hold.id, hold.expires_at) == (same.id, same.expires_at)
    assert (0, 10, 90) == shop.figures()
    with pytest.raises(IdempotencyMismatch):
        reserve(11)
    assert same.settle(4) == evolve(hold.settle(4), replayed=False)


def test_overage_can_be_set_aside(shop: Shop) -> None:
    """Overage that a plan allows is held after what is included, up to its limit."""
    hold = shop.billing.reserve("ann", "api", 12)

    assert (0, 5, 0) == shop.figures("api")
    assert not shop.billing.check("ann", "api", 4)
    assert shop.billing.check("ann", "api", 3)
    usage = hold.settle(7)
    assert (5, 2, 0) == (usage.balance.used, usage.balance.overage_used, usage.balance.held)
    assert shop.billing.check("ann", "api", 8)


def test_without_limit(shop: Shop) -> None:
    """Of something unlimited everything can be set aside, and is counted."""
    hold = shop.billing.reserve("ann", "files", 10**9)

    assert 10**9 == shop.balance("files").held
    hold.settle(3)
    assert (3, 0, None) == shop.figures("files")


def test_credits_are_set_aside_for_whole_units(shop: Shop) -> None:
    """Units that credits pay hold their price; settled are the first of them, and an excess is paid in credits too."""
    hold = shop.billing.reserve("ann", "tokens", 9)
    assert (0, 40, 60) == shop.figures("credits")
    assert (0, 5) == shop.figures("tokens")[:2]
    assert not shop.billing.check("ann", "tokens", 7)

    usage = hold.settle(7)

    assert (7, 7) == (usage.quantity, usage.funded)
    assert [5, 20] == [each["amount"] for each in usage.deductions]
    assert (20, 0, 80) == shop.figures("credits")
    with shop.billing.reserve("ann", "tokens", 2) as hold:
        hold.used = 5
    assert (70, 0, 30) == shop.figures("credits")
    assert [] == rows(shop, "hold_line")


def test_entities_are_held_apart(shop: Shop) -> None:
    """A hold for an entity takes the entity's own first, then the customer's, and gives back to the same."""
    shop.billing.track("ann", "messages", 1)
    give(shop, "messages", 20, "manual", "site-1")

    hold = shop.billing.reserve("ann", "messages", 30, entity="site-1")

    assert shop.billing.check("ann", "messages", 89)
    assert not shop.billing.check("ann", "messages", 90)
    assert not shop.billing.check("ann", "messages", 90, entity="site-1")
    usage = hold.settle(25)
    assert ["manual", "default"] == [each["source"] for each in usage.deductions]
    assert shop.billing.check("ann", "messages", 94)
    assert not shop.billing.check("ann", "messages", 95)


def test_usage_limits_count_what_is_held(shop: Shop) -> None:
    """What is set aside counts in the window of a limit; what comes back by release or expiry no longer does."""
    hold = shop.billing.reserve("ann", "mails", 20)
    assert not shop.billing.check("ann", "mails", 11)
    hold.settle(5)
    assert shop.billing.check("ann", "mails", 25)
    assert not shop.billing.check("ann", "mails", 26)

    shop.billing.reserve("ann", "mails", 25).release()
    shop.billing.reserve("ann", "mails", 25, ttl=10)
    shop.later(10)

    shop.billing.consume("ann", "mails", 25)
    with pytest.raises(InsufficientBalance) as caught:
        shop.billing.consume("ann", "mails", 1)
    assert "usage_limit" == caught.value.decision.reason


# ── Settling and releasing ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_hold_is_settled_once(each_shop: Shop) -> None:
    """Settled again with the same quantity it gives the first receipt; with another one, or released, a conflict."""
    shop = each_shop
    hold = shop.billing.reserve("ann", "messages", 10)

    usage = hold.settle(4)

    assert (4, 4, 0, False, False) == (usage.quantity, usage.funded, usage.unfunded, usage.late, usage.replayed)
    assert evolve(usage, replayed=True) == hold.settle(4)
    with pytest.raises(IdempotencyMismatch):
        hold.settle(5)
    with pytest.raises(Conflict) as caught:
        hold.release()
    assert "HOLD_SETTLED" == caught.value.code
    assert (4, 0, 96) == shop.figures()
    (stored,) = rows(shop, "usage_event")
    assert ("settle", hold.id, hold.id) == (stored["mode"], stored["hold_id"], stored["idempotency_key"])
    assert [("open", 0, 0), ("hold", 0, 10), ("settle", 4, -4), ("release", 0, -6)] == _lines(shop)


def _lines(shop: Shop) -> list[tuple[str, int, int]]:
    return [(row["entry"], row["amount"], row["held"]) for row in rows(shop, "ledger", "seq, line")]


def test_everything_is_settled_by_default(shop: Shop) -> None:
    """Without a quantity everything that was reserved was used; what was noted in `used` goes before."""
    assert 10 == shop.billing.reserve("ann", "messages", 10).settle().quantity
    hold = shop.billing.reserve("ann", "messages", 10)
    hold.used = 3
    assert 3 == hold.settle().quantity


def test_nothing_was_used(shop: Shop) -> None:
    """Nothing can be settled too: everything is free again, and the receipt says so."""
    usage = shop.billing.reserve("ann", "messages", 10).settle(0)

    assert (0, 0, 0) == (usage.quantity, usage.funded, usage.unfunded)
    assert (0, 0, 100) == shop.figures()


def test_excess_beyond_everything_is_recorded(shop: Shop) -> None:
    """What goes beyond the hold is drawn like any use, and reported as unfunded where nothing covers it."""
    shop.billing.consume("ann", "messages", 85)

    usage = shop.billing.reserve("ann", "messages", 10).settle(20)

    assert (20, 15, 5) == (usage.quantity, usage.funded, usage.unfunded)
    assert (100, 0, 0) == shop.figures()


def test_a_hold_is_released_once(each_shop: Shop) -> None:
    """Released, everything is free again; once more changes nothing, and settling is a conflict."""
    shop = each_shop
    hold = shop.billing.reserve("ann", "messages", 10)

    hold.release()
    before = rows(shop, "customer")
    hold.release()

    assert before == rows(shop, "customer")
    assert (0, 0, 100) == shop.figures()
    with pytest.raises(Conflict) as caught:
        hold.settle(1)
    assert "HOLD_RELEASED" == caught.value.code
    assert [] == list(shop.billing.usage("ann"))
    assert [("open", 0, 0), ("hold", 0, 10), ("release", 0, -10)] == _lines(shop)


@pytest.mark.parametrize("quantity", [-1, 10**9 + 1, 1.0, True])
def test_settled_with_what_makes_no_sense(shop: Shop, quantity: Any) -> None:
    """A quantity out of range is refused, and the hold stays as it is."""
    hold = shop.billing.reserve("ann", "messages", 10)

    with pytest.raises(InvalidInput):
        hold.settle(quantity)

    assert (0, 10, 90) == shop.figures()
    assert 10 == hold.settle().quantity


def test_meters_hear_of_what_is_settled(shop: Shop) -> None:
    """Stripe is told of overage when it is settled, of the excess too, and of nothing that is only held."""
    hold, other = shop.billing.reserve("ann", "calls", 15), shop.billing.reserve("ann", "calls", 20)
    other.release()
    assert [] == rows(shop, "meter_event")

    usage = hold.settle(18)

    assert [10, 5, 3] == [each["amount"] for each in usage.deductions]
    assert [(usage.event_id, "calls", 8)] == [
        (row["identifier"], row["event_name"], row["value"]) for row in rows(shop, "meter_event")
    ]


def test_a_feature_that_is_sold_no_more(shop: Shop) -> None:
    """A hold of a feature that left all plans meanwhile is settled all the same, and the units were used."""
    hold = shop.billing.reserve("ann", "projects", 2)
    wiring = shop.billing._wiring
    features = {key: spec for key, spec in wiring.core.offer.features.items() if key != "projects"}
    hold._inner._core = evolve(wiring.core, offer=evolve(wiring.core.offer, features=features))

    assert 2 == hold.settle().funded
    assert (2, 0, 3) == shop.figures("projects")


# ── The block ────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Broken(Exception):
    """What happens in the middle of work."""


@pytest.mark.parametrize(
    ("fails", "used", "settled"),
    [
        pytest.param(False, None, 10, id="untouched, success"),
        pytest.param(True, None, None, id="untouched, exception"),
        pytest.param(False, 4, 4, id="used, success"),
        pytest.param(True, 4, 4, id="used, exception"),
        pytest.param(False, 0, 0, id="nothing, success"),
        pytest.param(True, 0, 0, id="nothing, exception"),
        pytest.param(True, 14, 14, id="more, exception"),
    ],
)
def test_end_of_the_block(shop: Shop, fails: bool, used: int | None, settled: int | None) -> None:
    """`used` is settled whatever happened; where nobody touched it, all on success and nothing on an exception."""

    def work() -> None:
        with shop.billing.reserve("ann", "messages", 10) as hold:
            if used is not None:
                hold.used = 0
                hold.used += used
            if fails:
                raise _Broken

    if fails:
        with pytest.raises(_Broken):
            work()
    else:
        work()

    assert (settled or 0, 0, 100 - (settled or 0)) == shop.figures()
    assert ([] if settled is None else [settled]) == [each.quantity for each in shop.billing.usage("ann")]


def test_the_block_ends_nothing_twice(shop: Shop) -> None:
    """What was settled or released by hand is not touched at the end of the block."""
    with shop.billing.reserve("ann", "messages", 10) as hold:
        hold.settle(3)
    with shop.billing.reserve("ann", "messages", 10) as hold:
        hold.used = 5
        hold.release()

    assert (3, 0, 97) == shop.figures()


def test_used_is_a_quantity(shop: Shop) -> None:
    """What is noted as used is checked when it is noted; what was noted before stays, and is settled."""
    hold = shop.billing.reserve("ann", "messages", 10)
    hold.used = 2

    with pytest.raises(InvalidInput), hold:
        hold.used += cast("int", 0.5)

    assert (2, 0, 98) == shop.figures()


@pytest.mark.parametrize(("quantity", "settled"), [(7, 7), (None, 10)])
def test_a_lost_answer_is_asked_for_again(
    quantity: int | None, settled: int, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody knows whether a settling by hand happened, the end of the block says the same once more."""
    settle = reserving.settle
    lost: list[Usage] = []

    async def unlucky(*arguments: Any) -> Usage:
        usage = await settle(*arguments)
        if not lost:
            lost.append(usage)
            raise Unavailable("The database did not confirm a transaction", outcome_unknown=True)
        return usage

    monkeypatch.setattr(reserving, "settle", unlucky)

    with pytest.raises(Unavailable), shop.billing.reserve("ann", "messages", 10) as hold:
        hold.settle(quantity)

    assert [settled] == [each.quantity for each in lost]
    assert (settled, 0, 100 - settled) == shop.figures()


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reader_sees_only_holds_that_count(each_shop: Shop) -> None:
    """A hold counts until its time has come, to the microsecond; then its units are free, and nothing is written."""
    shop = each_shop
    shop.billing.reserve("ann", "messages", 60, ttl=60)
    shop.billing.reserve("ann", "messages", 30, ttl=90)
    before = [rows(shop, table) for table in ("customer", "bucket", "hold", "hold_line", "ledger")]

    seen: list[tuple[int, int | None]] = []
    for moment in (0, 60 * SECOND - 1, 60 * SECOND, 90 * SECOND - 1, 90 * SECOND):
        shop.clock.micros = START + moment
        seen.append((shop.balance().held, shop.billing.check("ann", "messages").remaining))

    assert [(90, 10), (90, 10), (30, 70), (30, 70), (0, 100)] == seen
    assert before == [rows(shop, table) for table in ("customer", "bucket", "hold", "hold_line", "ledger")]


def test_a_check_is_one_statement(each_shop: Shop) -> None:
    """Holds that count and holds that have lapsed cost a reader no statement of its own."""
    shop = each_shop
    shop.billing.reserve("ann", "messages", 60, ttl=60)
    shop.billing.reserve("ann", "messages", 10, ttl=90)
    shop.later(60)
    sent: list[str] = []

    with hearing(sent.append):
        assert 90 == shop.billing.check("ann", "messages").remaining
    assert 1 == len(sent)


def test_the_next_writer_writes_down_what_has_lapsed(each_shop: Shop) -> None:
    """Who uses something next releases what has lapsed first, and gets it; a hold that counts stays."""
    shop = each_shop
    shop.billing.reserve("ann", "messages", 60, ttl=60)
    kept = shop.billing.reserve("ann", "messages", 30, ttl=61)
    shop.later(60)

    assert 70 == shop.billing.consume("ann", "messages", 70).funded

    assert (70, 30, 0) == shop.figures()
    states = sorted((row["status"], row["left_units"], row["ended_at"]) for row in rows(shop, "hold"))
    assert [("expired", 0, START + 60 * SECOND), ("open", 30, FOREVER)] == states
    assert [30] == [row["amount"] for row in rows(shop, "hold_line")]
    assert ("expire", 0, -60) in _lines(shop)
    assert 30 == kept.settle().funded


def test_what_has_lapsed_is_given_to_the_next_hold(shop: Shop) -> None:
    """A hold that needs what another one held until now gets it."""
    shop.billing.reserve("ann", "messages", 100, ttl=60)
    with pytest.raises(InsufficientBalance):
        shop.billing.reserve("ann", "messages", 1)
    shop.later(60)

    assert 100 == shop.billing.reserve("ann", "messages", 100).quantity


@pytest.mark.parametrize("noticed", ["by nobody", "by a use", "by the job"])
def test_settled_too_late(each_shop: Shop, noticed: str) -> None:
    """After a hold has expired what was used is recorded once, as a late use, whoever has noticed meanwhile."""
    shop = each_shop
    hold = shop.billing.reserve("ann", "messages", 60, ttl=60)
    shop.later(120)
    if noticed == "by a use":
        shop.billing.consume("ann", "messages", 95)
    elif noticed == "by the job":
        _run_job(shop)

    usage = hold.settle(10)

    left = 5 if noticed == "by a use" else 100
    assert (10, min(left, 10), True, False) == (usage.quantity, usage.funded, usage.late, usage.replayed)
    assert (100 - left + min(left, 10), 0, left - min(left, 10)) == shop.figures()
    assert evolve(usage, replayed=True) == hold.settle(10)
    with pytest.raises(IdempotencyMismatch):
        hold.settle(11)
    with pytest.raises(Conflict):
        hold.release()
    assert ["settled"] == [row["status"] for row in rows(shop, "hold")]


def _run_job(shop: Shop) -> int:
    """What the job does when it is due; the first run only notes the time."""
    first = shop.billing.jobs.run()
    assert not first.failed
    shop.later(61)
    return shop.billing.jobs.run()["holds"]


def test_released_too_late(shop: Shop) -> None:
    """To release a hold that has expired is nothing."""
    hold = shop.billing.reserve("ann", "messages", 60, ttl=60)
    shop.later(60)
    hold.release()
    hold.release()

    assert (0, 0, 100) == shop.figures()


def test_the_job_sweeps_holds_of_customers_nobody_writes_for(each_shop: Shop) -> None:
    """What has lapsed is written down by the job, for every customer once; what counts still stays."""
    shop = each_shop
    for who in ("ann", "bob", "cat"):
        shop.billing.reserve(who, "messages", 10, ttl=5)
        shop.billing.reserve(who, "projects", 2, ttl=5)
        shop.billing.reserve(who, "messages", 7, ttl=86_400)
    shop.later(5)

    assert 6 == _run_job(shop)

    assert [7, 7, 7] == [row["held"] for row in rows(shop, "bucket") if row["held"]]
    assert 6 == sum(row["status"] == "expired" for row in rows(shop, "hold"))
    sequences = [row["ledger_seq"] for row in rows(shop, "customer")]
    shop.later(61)
    assert 0 == shop.billing.jobs.run()["holds"]
    assert sequences == [row["ledger_seq"] for row in rows(shop, "customer")]


def test_old_holds_are_forgotten(shop: Shop) -> None:
    """A hold that ended long ago is deleted; one that is open is not, and an unknown one cannot be settled."""
    old = shop.billing.reserve("ann", "messages", 10)
    old.release()
    shop.later(29 * 86_400)
    shop.billing.reserve("ann", "messages", 10).settle()
    shop.billing.jobs.run()
    shop.later(2 * 86_400)
    shop.billing.jobs.run()

    assert ["settled"] == [row["status"] for row in rows(shop, "hold")]
    with pytest.raises(NotFound) as caught:
        old.settle()
    assert "HOLD_NOT_FOUND" == caught.value.code
    with pytest.raises(NotFound):
        old.release()


def test_the_end_of_a_period_passes_over_a_hold(each_shop: Shop) -> None:
    """A hold is settled in the period that it was drawn from: the next one is whole, and what is freed has lapsed."""
    shop = each_shop
    shop.billing.track("ann", "messages", 20)
    shop.clock.micros += MONTH - 86_400 * SECOND
    hold = shop.billing.reserve("ann", "messages", 70, ttl=7 * 86_400)
    shop.later(2 * 86_400)
    assert (0, 0, 100) == shop.figures()

    usage = hold.settle(40)

    assert (40, 40, False) == (usage.quantity, usage.funded, usage.late)
    assert (0, 0, 100) == shop.figures()
    old = next(row for row in rows(shop, "bucket") if row["feature_key"] == "messages" and row["period_no"] == 0)
    assert (60, 0) == (old["used"], old["held"])


def test_excess_after_the_end_of_a_period_is_of_the_new_one(shop: Shop) -> None:
    """What goes beyond a hold of the last period is drawn from the one that runs."""
    shop.billing.track("ann", "messages", 20)
    shop.clock.micros += MONTH - 86_400 * SECOND
    hold = shop.billing.reserve("ann", "messages", 70, ttl=7 * 86_400)
    shop.later(2 * 86_400)

    usage = hold.settle(75)

    assert [70, 5] == [each["amount"] for each in usage.deductions]
    assert (5, 0, 95) == shop.figures()
    assert [70 + 20, 5] == [row["used"] for row in rows(shop, "bucket", "period_no")]


def test_a_hold_is_what_annotations_call_one(shop: Shop) -> None:
    """A function that takes `kernia_billing.types.Hold` takes what `reserve` gives, with every name of it."""

    def settle(hold: AnyHold) -> int:
        with hold as held:
            held.used = 2
            assert (held.quantity, held.used) == (5, 2)
        return hold.settle().funded

    hold = shop.billing.reserve("ann", "messages", 5)

    assert 2 == settle(hold)
    assert all(hasattr(hold, name) for name in vars(AnyHold) if not name.startswith("_"))
