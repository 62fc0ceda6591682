"""What `lease` takes, counts in memory and stores, and that nothing of it is lost, or used twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing import (
    Conflict,
    FeatureDenied,
    InsufficientBalance,
    InvalidInput,
    NotFound,
    Unavailable,
)
from kernia_billing.domain.tally import Tally
from kernia_billing.operations import leasing
from kernia_billing.runtime import leasing as runtime
from kernia_billing.storage.db import Db
from tests.harness.coherent import coherent
from tests.harness.house import new_engine
from tests.operations.test_holds import SECOND, Shop, give, rows

DAY = 86_400


def _closing(shop: Shop) -> Iterator[Shop]:
    yield shop
    engine = new_engine(shop.url)
    coherent(engine)
    engine.dispose()
    assert () == tuple(shop.billing.doctor().findings)
    for each in shop.opened:
        each.close()


@pytest.fixture
def shop(sqlite_url: str) -> Iterator[Shop]:
    """A shop on SQLite."""
    yield from _closing(Shop(sqlite_url))


@pytest.fixture
def lonely_shop(sqlite_url: str) -> Iterator[Shop]:
    """The same for so long that holds are forgotten, whose lines in the ledger stay."""
    shop = Shop(sqlite_url)
    yield shop
    assert () == tuple(shop.billing.doctor().findings)
    shop.billing.close()


@pytest.fixture
def each_shop(engine_url: str) -> Iterator[Shop]:
    """A shop on each kind of database."""
    new_engine(engine_url).dispose()
    yield from _closing(Shop(engine_url))


def uses(shop: Shop) -> list[tuple[int, int]]:
    """What was recorded of each use, and how much of it was covered."""
    return [(row["quantity"], row["funded"]) for row in rows(shop, "usage_event", "seq")]


# ── Counting ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_units_are_counted_in_memory_and_stored_together(each_shop: Shop) -> None:
    """What is taken is held, what is used of it is one use when it is flushed, and the rest is free in the end."""
    shop = each_shop
    with shop.billing.lease("ann", "messages", 10) as lease:
        assert (10, 10, 0) == (lease.quantity, lease.left, lease.unflushed)
        for units in (1, 2, 3):
            lease.consume(units)
        assert (4, 6) == (lease.left, lease.unflushed)
        assert (0, 10, 90) == shop.figures()

        usage = lease.flush()

        assert usage is not None
        assert (6, 6, False, False) == (usage.quantity, usage.funded, usage.late, usage.replayed)
        assert (10, 0) == (lease.left, lease.unflushed)
        assert (6, 10, 84) == shop.figures()
        assert usage.balance == shop.balance()
        lease.consume(3)
    assert [(6, 6), (3, 3)] == uses(shop)
    assert (9, 0, 91) == shop.figures()
    assert [] == rows(shop, "hold_line")


def test_using_what_is_taken_asks_nobody(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as there are units the database hears nothing."""
    lease = shop.billing.lease("ann", "messages", 50)
    monkeypatch.delattr(Db, "_execute")

    for _ in range(50):
        lease.consume()
    monkeypatch.undo()

    assert 0 == lease.left
    lease.settle()


def test_more_is_taken_where_it_runs_out(each_shop: Shop) -> None:
    """What was used is stored with the taking of more; in the end of the balance of whatever is left."""
    shop = each_shop
    with shop.billing.lease("ann", "messages", 30) as lease:
        for _ in range(100):
            lease.consume()
        assert (90, 10, 0) == shop.figures()
        with pytest.raises(InsufficientBalance) as caught:
            lease.consume()
        assert (1, 0) == (caught.value.decision.required, caught.value.decision.remaining)
        assert 10 == lease.unflushed
    assert [30, 30, 30, 10] == [quantity for quantity, _ in uses(shop)]
    assert (100, 0, 0) == shop.figures()


def test_what_is_refused_takes_nothing(shop: Shop) -> None:
    """A quantity for which there is too little is refused as `consume` refuses it; less may still be used."""
    with shop.billing.lease("ann", "messages", 60) as lease:
        lease.consume(57)
        shop.billing.consume("ann", "messages", 38)
        before = rows(shop, "customer"), rows(shop, "bucket"), rows(shop, "hold")

        with pytest.raises(InsufficientBalance) as caught:
            lease.consume(6)

        assert (6, 5) == (caught.value.decision.required, caught.value.decision.remaining)
        assert before == (rows(shop, "customer"), rows(shop, "bucket"), rows(shop, "hold"))
        lease.consume(3)
        assert (0, 60) == (lease.left, lease.unflushed)
        lease.consume(2)
    assert [38, 60, 2] == [quantity for quantity, _ in uses(shop)]


def test_more_than_is_taken_at_a_time(shop: Shop) -> None:
    """What asks for more than the lease takes at a time gets it in one piece."""
    with shop.billing.lease("ann", "messages", 5) as lease:
        lease.consume(2)
        lease.consume(40)
        assert 0 == lease.left
    assert [2, 40] == [quantity for quantity, _ in uses(shop)]


def test_little_is_left(shop: Shop) -> None:
    """A lease begins with what is there, and not at all where that is nothing, or nobody may use it."""
    shop.billing.consume("ann", "messages", 97)
    with shop.billing.lease("ann", "messages") as lease:
        assert (1_000, 3) == (lease.quantity, lease.left)
        with pytest.raises(InsufficientBalance):
            shop.billing.lease("ann", "messages")
    with pytest.raises(FeatureDenied) as denied:
        shop.billing.lease("ann", "videos")
    assert "not_entitled" == denied.value.decision.reason


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": 10**9 + 1}, "quantity"),
        ({"ttl": 0}, "ttl"),
        ({"ttl": timedelta(days=8)}, "ttl"),
        ({"entity": ""}, "entity"),
        ({"feature": "sso"}, "feature"),
        ({"feature": "peak"}, "feature"),
    ],
)
def test_what_makes_no_sense_is_refused(shop: Shop, changes: dict[str, Any], field: str) -> None:
    """A value out of range, and a feature whose uses do not add up, is a mistake; nothing is taken."""
    values: dict[str, Any] = {"feature": "messages", "quantity": 1, **changes}

    with pytest.raises(InvalidInput) as caught:
        shop.billing.lease("ann", values.pop("feature"), values.pop("quantity"), **values)

    assert field == caught.value.field
    assert [] == rows(shop, "hold")


@pytest.mark.parametrize("quantity", [0, -1, 1.0, True, 10**9 + 1])
def test_no_quantity(shop: Shop, quantity: Any) -> None:
    """What is used of a lease is a quantity, too."""
    with shop.billing.lease("ann", "messages", 10) as lease:
        with pytest.raises(InvalidInput):
            lease.consume(quantity)
        assert 0 == lease.unflushed


def test_unknown_feature(shop: Shop) -> None:
    """A feature in no plan is a mistake in the code."""
    with pytest.raises(NotFound):
        shop.billing.lease("ann", "massages")


# ── What is taken ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_credits_pay_for_leased_units(shop: Shop) -> None:
    """Units that credits pay hold their price, and the last ones are those that the credits buy."""
    with shop.billing.lease("ann", "tokens", 9) as lease:
        assert (0, 40, 60) == shop.figures("credits")
        for _ in range(15):
            lease.consume()
        with pytest.raises(InsufficientBalance):
            lease.consume()
    assert (100, 0, 0) == shop.figures("credits")
    assert (5, 0) == shop.figures("tokens")[:2]
    assert [(9, 9), (6, 6)] == uses(shop)


def test_an_entity_leases_its_own_first(shop: Shop) -> None:
    """For an entity its own units are taken, then the customer's; without one never those of an entity."""
    shop.billing.track("ann", "messages", 1)
    give(shop, "messages", 20, "manual", "site-1")
    with shop.billing.lease("ann", "messages", 200, entity="site-1") as lease:
        assert 119 == lease.left
        lease.consume(25)
        usage = lease.flush()
        assert usage is not None
        assert ["manual", "default"] == [each["source"] for each in usage.deductions]
    with shop.billing.lease("ann", "messages", 200) as lease:
        assert 94 == lease.left


def test_usage_limits_bound_a_lease(shop: Shop) -> None:
    """No more is taken than a usage limit allows; what comes back counts no longer."""
    with shop.billing.lease("ann", "mails", 50) as lease:
        assert 30 == lease.left
        lease.consume(5)
        with pytest.raises(InsufficientBalance) as caught:
            lease.consume(26)
        assert "usage_limit" == caught.value.decision.reason
    assert [5] == [row["used"] for row in rows(shop, "limit_window")]
    assert shop.billing.check("ann", "mails", 25)
    assert not shop.billing.check("ann", "mails", 26)


def test_overage_is_leased_and_reported_when_it_is_stored(shop: Shop) -> None:
    """Billed overage is taken like anything else; Stripe hears of what was used."""
    with shop.billing.lease("ann", "calls", 15) as lease:
        lease.consume(12)
        assert [] == rows(shop, "meter_event")
    assert [2] == [row["value"] for row in rows(shop, "meter_event")]


def test_without_limit(shop: Shop) -> None:
    """Of something unlimited as much is taken as is asked for."""
    with shop.billing.lease("ann", "files", 10**9) as lease:
        lease.consume(3)
        assert 10**9 - 3 == lease.left
    assert (3, 0, None) == shop.figures("files")


def test_a_flushed_use_can_be_refunded(shop: Shop) -> None:
    """The receipt of a flush is one of a use like any other."""
    with shop.billing.lease("ann", "mails", 10) as lease:
        lease.consume(4)
        usage = lease.flush()
        assert usage is not None
        assert (3, 3) == (
            (back := shop.billing.refund("ann", usage.event_id, 3)).funded,
            back.restored,
        )
    assert (1, 0, 99) == shop.figures("mails")
    assert [1] == [row["used"] for row in rows(shop, "limit_window")]


def test_what_was_leased_is_explained(shop: Shop) -> None:
    """At each instant of its life a lease is explained as `check` answered then."""
    lease = shop.billing.lease("ann", "mails", 10, ttl=100)
    answers: list[Any] = []
    for act in (lambda: None, lambda: lease.consume(4), lease.flush, lambda: lease.consume(9), lambda: None):
        shop.later(30)
        act()
        shop.later(1)
        answers.append(shop.billing.check("ann", "mails"))
    shop.later(1)
    lease.settle()
    shop.later(1)
    answers.append(shop.billing.check("ann", "mails"))
    shop.later(1)

    for each in answers:
        then = shop.billing.explain("ann", "mails", at=each.as_of).decision
        assert (each.balance, each.limits) == (then.balance, then.limits)


# ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Broken(Exception):
    """What happens in the middle of work."""


def test_an_exception_ends_the_block(shop: Shop) -> None:
    """What was used before something broke was used."""

    def work() -> None:
        with shop.billing.lease("ann", "messages", 10) as lease:
            lease.consume(4)
            raise _Broken

    with pytest.raises(_Broken):
        work()
    assert (4, 0, 96) == shop.figures()


def test_nothing_is_used_after_the_end(shop: Shop) -> None:
    """A lease ends once; what is used of it then is a mistake, and counts nowhere."""
    with shop.billing.lease("ann", "messages", 10) as lease:
        lease.consume(4)
        usage = lease.settle()
        assert usage is not None
        assert 4 == usage.quantity
        for act in (lease.consume, lease.flush):
            with pytest.raises(Conflict) as caught:
                act()
            assert "LEASE_ENDED" == caught.value.code
        assert lease.settle() is None
    assert [(4, 4)] == uses(shop)


def test_nothing_was_used(shop: Shop) -> None:
    """A lease of which nothing was used leaves no use behind."""
    with shop.billing.lease("ann", "messages", 10) as lease:
        assert lease.flush() is None
    assert [] == uses(shop)
    assert (0, 0, 100) == shop.figures()


def test_a_forked_process_has_none_of_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The units are those of the process that took them: a copy of its memory neither uses nor ends them."""
    lease = shop.billing.lease("ann", "messages", 10)
    lease.consume(4)
    with monkeypatch.context() as forked:
        forked.setattr("kernia_billing.runtime.leasing.os.getpid", lambda: 1)
        for act in (lease.consume, lease.flush):
            with pytest.raises(Conflict):
                act()
        assert lease.settle() is None
    assert (0, 10, 90) == shop.figures()
    lease.settle()
    assert (4, 0, 96) == shop.figures()


# ── Time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lease_that_is_used_is_renewed_in_time(each_shop: Shop) -> None:
    """From half of its time on what was used is stored with the next use, and the units are held for longer."""
    shop = each_shop
    with shop.billing.lease("ann", "messages", 40, ttl=60) as lease:
        lease.consume(3)
        shop.later(29)
        lease.consume(3)
        assert [] == uses(shop)
        shop.later(1)
        lease.consume(3)
        assert [(6, 6)] == uses(shop)
        assert (37, 3) == (lease.left, lease.unflushed)
        shop.later(59)
        assert (6, 40, 54) == shop.figures()
        usage = lease.flush()
        assert usage is not None
        assert not usage.late


def test_idle_units_are_taken_anew(shop: Shop) -> None:
    """Where nothing was used there is nothing to store: the units are held for longer, or taken again."""
    with shop.billing.lease("ann", "messages", 40, ttl=60) as lease:
        for seconds in (30, 60, 600, 31 * DAY):
            shop.later(seconds)
            lease.consume(1)
            assert 39 == lease.left
            lease.flush()
    assert [(1, 1)] * 4 == uses(shop)


@pytest.mark.parametrize("late", [60, 40 * DAY])
@pytest.mark.parametrize("noticed", [False, True])
@pytest.mark.parametrize("way", ["flush", "settle", "consume"])
def test_what_is_stored_too_late_is_recorded(shop: Shop, late: int, noticed: bool, way: str) -> None:
    """What nobody stored in time is recorded once it can be, late, and covered by what is left; it is never lost."""
    lease = shop.billing.lease("ann", "messages", 90, ttl=60)
    lease.consume(60)
    shop.later(late)
    if noticed:
        shop.billing.consume("ann", "messages", 70)
    if way == "consume" and noticed:
        with pytest.raises(InsufficientBalance):
            lease.consume(31)
    elif way == "consume":
        lease.consume(31)
    else:
        usage = getattr(lease, way)()
        assert (60, 30 if noticed else 60, True) == (usage.quantity, usage.funded, usage.late)
    lease.settle()

    assert (60, 30 if noticed else 60) in uses(shop)
    told = [row["result"] for row in rows(shop, "usage_event") if row["quantity"] == 60]
    assert ["true"] == [text.partition('"late":')[2].strip()[:4] for text in told]
    assert 0 == shop.figures()[1]


@pytest.mark.parametrize("used", [0, 60])
def test_a_hold_that_is_forgotten(lonely_shop: Shop, used: int) -> None:
    """What was used of a hold that was deleted since is recorded all the same."""
    shop = lonely_shop
    lease = shop.billing.lease("ann", "messages", 90, ttl=60)
    if used:
        lease.consume(used)
    for _ in range(4):
        shop.billing.jobs.run()
        shop.later(31 * DAY)
    assert [] == rows(shop, "hold")

    lease.consume(5)
    lease.settle()

    assert [*([(used, used)] if used else []), (5, 5)] == uses(shop)
    assert (used + 5, 0, 95 - used) == shop.figures()


def test_the_end_of_a_period_passes_over_a_lease(shop: Shop) -> None:
    """What was taken of one period is stored as used of it, and the next is taken of the new one."""
    shop.billing.track("ann", "messages", 20)
    shop.clock.micros += 30 * DAY * SECOND - 10 * SECOND
    with shop.billing.lease("ann", "messages", 70, ttl=60) as lease:
        lease.consume(50)
        shop.later(20)
        usage = lease.flush()
        assert usage is not None
        assert not usage.late
        assert (0, 70, 30) == shop.figures()
        lease.consume(70)
    assert [70, 70] == [row["used"] for row in rows(shop, "bucket", "period_no")]


# ── What nobody knows ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def unlucky(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Lets the next renewal fail with an unknown outcome, after it was committed or before."""
    failing: list[bool] = []

    async def renew(*arguments: Any, **more: Any) -> leasing.Renewed:
        committed = failing.pop() if failing else None
        renewed = None if committed is False else await leasing.renew(*arguments, **more)
        if renewed is not None and committed is None:
            return renewed
        raise Unavailable("The database did not confirm a transaction", outcome_unknown=True)

    monkeypatch.setattr(runtime, "renew", renew)
    return failing.append


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("more", [0, 5])
def test_a_lost_answer_to_a_flush(shop: Shop, unlucky: Callable[[bool], None], committed: bool, more: int) -> None:
    """Where nobody knows whether it was stored the next flush finds out, and nothing is stored twice."""
    with shop.billing.lease("ann", "messages", 10) as lease:
        lease.consume(4)
        unlucky(committed)
        with pytest.raises(Unavailable):
            lease.flush()
        assert 4 == lease.unflushed
        if more:
            lease.consume(more)
        else:
            usage = lease.flush()
            assert usage is not None
            assert (4, committed) == (usage.quantity, usage.replayed)
        assert more == lease.unflushed
    assert [4, more][: 1 + bool(more)] == [quantity for quantity, _ in uses(shop)]
    assert (4 + more, 0, 96 - more) == shop.figures()


@pytest.mark.parametrize("committed", [False, True])
def test_a_lost_answer_to_a_renewal(shop: Shop, unlucky: Callable[[bool], None], committed: bool) -> None:
    """Units are used only where it is known that they were taken; who asks again has them once."""
    with shop.billing.lease("ann", "messages", 10) as lease:
        lease.consume(9)
        unlucky(committed)
        with pytest.raises(Unavailable):
            lease.consume(2)
        assert 9 == lease.unflushed
        lease.consume(2)
        assert (8, 2) == (lease.left, lease.unflushed)
        assert (9, 10, 81) == shop.figures()
    assert (11, 0, 89) == shop.figures()


@pytest.mark.parametrize("committed", [False, True])
@pytest.mark.parametrize("used", [0, 4])
def test_a_lost_answer_to_the_end(shop: Shop, unlucky: Callable[[bool], None], committed: bool, used: int) -> None:
    """A lease whose end nobody confirmed is over for its users, and can be ended again."""
    lease = shop.billing.lease("ann", "messages", 10)
    if used:
        lease.consume(used)
    unlucky(committed)
    with pytest.raises(Unavailable), lease:
        pass
    with pytest.raises(Conflict):
        lease.consume()
    lease.settle()
    assert (used, 0, 100 - used) == shop.figures()
    assert ([(used, used)] if used else []) == uses(shop)


@pytest.mark.parametrize("committed", [False, True])
def test_the_end_after_a_lost_answer(shop: Shop, unlucky: Callable[[bool], None], committed: bool) -> None:
    """What a renewal took that nobody confirmed is free after the end, too."""
    with shop.billing.lease("ann", "messages", 10) as lease:
        lease.consume(10)
        unlucky(committed)
        with pytest.raises(Unavailable):
            lease.consume()
    assert (10, 0, 90) == shop.figures()


def test_a_renewal_that_was_lost_long_ago(shop: Shop, unlucky: Callable[[bool], None]) -> None:
    """What a renewal took that nobody heard of in time is nobody's any more."""
    with shop.billing.lease("ann", "messages", 90, ttl=60) as lease:
        lease.consume(10)
        unlucky(True)
        with pytest.raises(Unavailable):
            lease.flush()
        shop.later(60)
        shop.billing.consume("ann", "messages", 80)
        with pytest.raises(InsufficientBalance):
            lease.consume(11)
        lease.consume(10)
    assert (100, 0, 0) == shop.figures()


# ── Many at once ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_threads_share_a_lease(each_shop: Shop) -> None:
    """Threads that use one lease until it refuses have used everything, each unit once."""
    shop = each_shop
    used: list[int] = []
    with shop.billing.lease("ann", "messages", 7) as lease:

        def work(units: int) -> None:
            mine = 0
            try:
                while True:
                    lease.consume(units)
                    mine += units
            except InsufficientBalance:
                used.append(mine)

        threads = [threading.Thread(target=work, args=(1 + number % 3,)) for number in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert 6 == len(used)
    assert 100 == sum(used)
    assert (100, 0, 0) == shop.figures()


def test_leases_of_two_processes_are_apart(each_shop: Shop) -> None:
    """What one has taken the other cannot use before it is given back."""
    shop = each_shop
    other = shop.open()
    with shop.billing.lease("ann", "messages", 80) as one, other.lease("ann", "messages", 80) as two:
        assert (80, 20) == (one.left, two.left)
        two.consume(20)
        with pytest.raises(InsufficientBalance):
            two.consume()
        one.consume(30)
        one.settle()
        two.consume(50)
        with pytest.raises(InsufficientBalance):
            two.consume()
    assert (100, 0, 0) == shop.figures()


# ── The tally ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.booleans())), st.integers(0, 30))
def test_a_tally_gives_what_it_has(takes: list[tuple[int, int, bool]], units: int) -> None:
    """Units are given while there are as many, in time, and not while it is frozen; what was used adds up."""
    tally = Tally()
    tally.begin(units, until=7)
    given = 0
    for quantity, now, frozen in takes:
        if frozen:
            assert given == tally.freeze()
        took = tally.take(quantity, now)
        assert took == (quantity <= units - given and now < 7 and not frozen)
        given += quantity if took else 0
        tally.thaw()
        assert (units - given, given) == (tally.left, tally.used)
