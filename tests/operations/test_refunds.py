"""A use comes back by its receipt: never more than it drew, and to where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernia_billing import Conflict, Credits, Feature, IdempotencyMismatch, InvalidInput, Metered, NotFound, UsageLimit
from kernia_billing.domain.instants import DAY
from kernia_billing.domain.plan_items import PlanItem
from kernia_billing.domain.terms import Terms
from kernia_billing.operations.receipts import read_receipt, receipt
from tests.machines.stage import REFERENCE, START, Stage

FEATURES: dict[str, Metered | Credits] = {"x": Metered(0), "gold": Credits(0), "free": Credits(0)}
PAID = Feature("paid", credit_cost={"gold": 10})
GIFT = Feature("gift", credit_cost={"free": 0})


@pytest.fixture
def stage() -> Iterator[Stage]:
    """Nobody has anything yet."""
    opened = Stage("sqlite://", FEATURES, [PAID, GIFT])
    yield opened
    opened.judge()
    opened.close()


def used(stage: Stage) -> list[int]:
    """How much of every grant is used, the first given first."""
    return [each["used"] for each in sorted(stage.buckets(), key=lambda each: int(each["grant_created_seq"]))]


def stored(stage: Stage, event_id: str) -> Mapping[str, Any]:
    """The row of an event."""
    return next(each for each in stage.rows("usage_event") if each["id"] == event_id)


def test_the_last_units_come_back_first(stage: Stage) -> None:
    """Overage, then what lasts longest, then the plan; the receipt tells what was asked for and what came back."""
    stage.give("x", 100, expires_at=START + DAY)
    stage.give("x", 50)
    stage.give("x", 30, kind="overage")
    use = stage.billing.consume(REFERENCE, "x", 170)

    back = stage.billing.refund(REFERENCE, use.event_id, 60)
    assert (60, 60, 0, 60, 0) == (back.quantity, back.funded, back.unfunded, back.restored, back.lapsed)
    assert [20, 40] == [each["amount"] for each in back.deductions]
    assert [100, 10, 0] == used(stage)
    assert (110, 40, 0) == (back.balance.used, back.balance.remaining, back.balance.overage_used)
    rest = stage.billing.refund(REFERENCE, use.event_id)
    assert (110, 110) == (rest.quantity, rest.funded)
    assert [0, 0, 0] == used(stage)


def test_refunds_never_exceed_what_was_drawn(stage: Stage) -> None:
    """What was recorded without cover does not come back, and neither does anything twice."""
    stage.give("x", 10)
    use = stage.billing.track(REFERENCE, "x", 14)
    stage.give("x", 100)
    stage.billing.track(REFERENCE, "x", 50)

    funded = [stage.billing.refund(REFERENCE, use.event_id, 6).funded for _ in range(3)]
    assert [6, 4, 0] == funded
    assert 0 == stage.billing.refund(REFERENCE, use.event_id).quantity
    assert 50 == stage.billing.balances(REFERENCE)["x"].used
    assert 10 == stored(stage, use.event_id)["refunded"]


def test_a_refund_is_an_event_of_its_own(stage: Stage) -> None:
    """It is listed with a negative quantity, says whose refund it is, and is done once for its key."""
    stage.give("x", 10)
    use = stage.billing.track(REFERENCE, "x", 5, properties={"model": "a"})
    back = stage.billing.refund(REFERENCE, use.event_id, 2, idempotency_key="back")

    again = stage.billing.refund(REFERENCE, use.event_id, 2, idempotency_key="back")
    assert again == evolve(back, replayed=True)
    assert 2 == again.restored
    row = stored(stage, back.event_id)
    assert ("refund", use.event_id, -2, 2, 0) == tuple(
        row[name] for name in ("mode", "refund_of", "quantity", "funded", "unfunded")
    )
    assert [-2, 5] == sorted(event.quantity for event in stage.billing.usage(REFERENCE, "x"))
    for other in (3, None):
        with pytest.raises(IdempotencyMismatch):
            stage.billing.refund(REFERENCE, use.event_id, other, idempotency_key="back")
    with pytest.raises(IdempotencyMismatch):
        stage.billing.track(REFERENCE, "x", 2, idempotency_key="back")
    assert 3 == stage.billing.balances(REFERENCE)["x"].used


def test_what_is_no_use_is_not_refunded(stage: Stage) -> None:
    """A refund, what was given back, a level that was set, and what nobody or somebody else did; nothing is changed."""
    stage.give("x", 10)
    use = stage.billing.track(REFERENCE, "x", 5)
    others = [
        stage.billing.refund(REFERENCE, use.event_id, 1),
        stage.billing.give_back(REFERENCE, "x", 1),
        stage.billing.set_usage(REFERENCE, "x", 4),
    ]
    before = stage.rows("bucket"), stage.rows("usage_event"), stage.rows("customer")

    for other in others:
        with pytest.raises(Conflict) as conflict:
            stage.billing.refund(REFERENCE, other.event_id)
        assert "USAGE_EVENT_NOT_REFUNDABLE" == conflict.value.code
    for who, event in (("else", use.event_id), (REFERENCE, "use_none"), (REFERENCE, use.event_id.upper())):
        with pytest.raises(NotFound) as missing:
            stage.billing.refund(who, event)
        assert "USAGE_EVENT_NOT_FOUND" == missing.value.code
    assert before == (stage.rows("bucket"), stage.rows("usage_event"), stage.rows("customer"))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"event_id": ""}, "event_id"),
        ({"event_id": 7}, "event_id"),
        ({"event_id": "a b"}, "event_id"),
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"quantity": 10**9 + 1}, "quantity"),
        ({"idempotency_key": ""}, "idempotency_key"),
        ({"transaction": object()}, "transaction"),
    ],
)
def test_bad_arguments_change_nothing(stage: Stage, arguments: dict[str, Any], field: str) -> None:
    """Every argument has a type and a range; anything else names it and changes nothing."""
    stage.give("x", 10)
    use = stage.billing.track(REFERENCE, "x", 5)
    given: dict[str, Any] = {"reference": REFERENCE, "event_id": use.event_id, **arguments}
    with pytest.raises(InvalidInput) as wrong:
        stage.billing.refund(**given)

    assert field == wrong.value.field
    assert 5 == stage.billing.balances(REFERENCE)["x"].used


def test_credits_come_back_in_whole_units(stage: Stage) -> None:
    """The credits of the last units, from the last bucket to the first, whatever else uses the pool."""
    stage.give("gold", 25, expires_at=START + DAY)
    stage.give("gold", 100)
    stage.give("paid", 2)
    use = stage.billing.consume(REFERENCE, "paid", 6)
    stage.billing.consume(REFERENCE, "gold", 30)
    assert [25, 45, 2] == used(stage)

    back = stage.billing.refund(REFERENCE, use.event_id, 3)
    assert (3, 3) == (back.funded, back.restored)
    assert [10, 30, 2] == used(stage)
    assert 3 == stage.billing.refund(REFERENCE, use.event_id).funded
    assert [0, 30, 0] == used(stage)


def test_what_cost_nothing_comes_back_first(stage: Stage) -> None:
    """Units that a pool paid at no cost were drawn last."""
    stage.give("gift", 4)
    stage.give("free", 1)
    use = stage.billing.consume(REFERENCE, "gift", 10)

    assert [6, 6] == [stage.billing.refund(REFERENCE, use.event_id, 6).funded, 10 - used(stage)[0]]
    assert (4, 4) == (stage.billing.refund(REFERENCE, use.event_id).funded, 4 - used(stage)[0])


def test_what_is_over_lapses(stage: Stage) -> None:
    """What was drawn from a grant that expired meanwhile is written back for the record, and cannot be used again."""
    stage.give("x", 10, expires_at=START + DAY)
    stage.give("x", 10)
    use = stage.billing.consume(REFERENCE, "x", 15)
    stage.clock.micros += 2 * DAY

    back = stage.billing.refund(REFERENCE, use.event_id)
    assert (15, 5, 10) == (back.funded, back.restored, back.lapsed)
    assert [0, 0] == used(stage)
    assert 10 == back.balance.remaining
    assert {10, 5} == {each["amount"] for each in back.deductions}


def test_what_is_gone_lapses(stage: Stage) -> None:
    """Of a bucket that was deleted nothing is written back, and the use counts as refunded all the same."""
    stage.give("x", 10)
    use = stage.billing.consume(REFERENCE, "x", 7)
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM billing_bucket")

    back = stage.billing.refund(REFERENCE, use.event_id, 3)
    assert (3, 0, 3) == (back.funded, back.restored, back.lapsed)
    assert 3 == stored(stage, use.event_id)["refunded"]


def test_what_was_given_back_without_a_name_does_not_come_twice(stage: Stage) -> None:
    """A refund never takes more from a bucket than is used of it: the rest lapses."""
    stage.give("x", 10)
    use = stage.billing.consume(REFERENCE, "x", 7)
    stage.billing.give_back(REFERENCE, "x", 5)

    back = stage.billing.refund(REFERENCE, use.event_id)
    assert (7, 2, 5) == (back.funded, back.restored, back.lapsed)
    assert [0] == used(stage)


def _plan(amount: int) -> PlanItem:
    return PlanItem("x", "metered", amount, reset="month")


def test_usage_that_a_change_of_plan_carried_comes_back_there(stage: Stage) -> None:
    """Along every change, there and back again."""
    stage.change_plan(_plan(100))
    use = stage.billing.consume(REFERENCE, "x", 80)
    stage.change_plan(_plan(500))
    stage.change_plan(_plan(900))

    assert (30, 850) == (
        stage.billing.refund(REFERENCE, use.event_id, 30).restored,
        stage.billing.balances(REFERENCE)["x"].remaining,
    )


def test_a_use_of_a_hold_is_refunded(stage: Stage) -> None:
    """What was settled comes back, from the hold and beyond it."""
    stage.give("x", 10)
    stage.give("x", 5, kind="overage")
    use = stage.billing.reserve(REFERENCE, "x", 8).settle(12)

    assert (12, 12) == (use.quantity, use.funded)
    assert 5 == stage.billing.refund(REFERENCE, use.event_id, 5).restored
    assert [7, 0] == used(stage)
    assert 7 == stage.billing.refund(REFERENCE, use.event_id).restored


def test_a_feature_that_is_sold_no_more_is_refunded(stage: Stage) -> None:
    """The configuration may forget a feature; what was used of it comes back."""
    stage.give("x", 10)
    use = stage.billing.consume(REFERENCE, "x", 4)
    other = Stage("sqlite://", {"y": Metered(1)})
    core = stage.billing._wiring.core
    stage.billing._wiring.core = evolve(core, offer=other.core.offer)
    back = stage.billing.refund(REFERENCE, use.event_id)
    stage.billing._wiring.core = core
    other.close()

    assert (4, 4) == (back.funded, back.restored)


def test_a_limit_gets_back_what_its_window_counted(stage: Stage) -> None:
    """Yesterday's use makes no room today."""
    stage.give("x", 100, terms=Terms(limits=(UsageLimit(10, per="day"),)).text())
    yesterday = stage.billing.consume(REFERENCE, "x", 6)
    stage.clock.micros += DAY
    today = stage.billing.consume(REFERENCE, "x", 9)

    stage.billing.refund(REFERENCE, yesterday.event_id)
    assert not stage.billing.check(REFERENCE, "x", 2)
    stage.billing.refund(REFERENCE, today.event_id, 4)
    assert stage.billing.check(REFERENCE, "x", 5)
    assert not stage.billing.check(REFERENCE, "x", 6)


def test_an_entity_gets_its_own_back(stage: Stage) -> None:
    """A use of an entity is refunded where it was drawn: of its own, and of the customer's."""
    stage.give("x", 10)
    stage.give("x", 5, entity="a")
    stage.give("x", 5, entity="b")
    stage.billing.consume(REFERENCE, "x", 5, entity="b")
    use = stage.billing.consume(REFERENCE, "x", 8, entity="a")

    back = stage.billing.refund(REFERENCE, use.event_id, 4)
    assert [3, 1] == [each["amount"] for each in back.deductions]
    assert {"": 0, "a": 4, "b": 5} == {each["entity_id"]: each["used"] for each in stage.buckets()}


def test_lines_of_before_there_were_credits(stage: Stage) -> None:
    """Books of an older version do not tell units or instants; all of it was the feature itself."""
    stage.give("x", 10)
    use = stage.billing.consume(REFERENCE, "x", 7)
    with stage.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE billing_ledger SET units = 0, moved_at = 0")

    assert (3, 3) == ((back := stage.billing.refund(REFERENCE, use.event_id, 3)).funded, back.restored)
    assert [4] == used(stage)


def test_a_receipt_of_before_there_were_refunds(stage: Stage) -> None:
    """What is stored without the new members reads as what it was."""
    stage.give("x", 10)
    use = stage.billing.consume(REFERENCE, "x", 7)

    assert "restored" not in receipt(use)
    assert (None, 0) == ((again := read_receipt(receipt(use))).restored, again.lapsed)


@pytest.fixture
def clean_stage() -> Iterator[Callable[[], Stage]]:
    """A stage that is emptied for every example."""
    opened = Stage("sqlite://", FEATURES, [PAID, GIFT])

    def clean() -> Stage:
        opened.clear()
        return opened

    yield clean
    opened.close()


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("track"), st.sampled_from(["x", "paid"]), st.integers(1, 30)),
        st.tuples(st.just("refund"), st.integers(0, 7), st.one_of(st.none(), st.integers(1, 30))),
        st.tuples(st.just("give_back"), st.sampled_from(["x", "paid", "gold"]), st.integers(1, 30)),
        st.tuples(st.just("set"), st.sampled_from(["x", "paid"]), st.integers(0, 40)),
        st.tuples(st.just("wait"), st.just("x"), st.integers(1, 20)),
        st.tuples(st.just("plan"), st.just("x"), st.integers(5, 60)),
    ),
    max_size=14,
)


@given(_steps)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_nothing_comes_back_twice(clean_stage: Callable[[], Stage], steps: list[tuple[str, Any, Any]]) -> None:
    """Whatever is used, refunded, given back and set in any order: all adds up, and no refund exceeds its use (I8)."""
    stage = clean_stage()
    stage.give("x", 20, expires_at=START + 10 * DAY)
    stage.give("gold", 105)
    stage.give("gold", 60, kind="overage")
    uses: list[tuple[str, int]] = []
    back: dict[str, int] = {}
    for action, what, number in steps:
        billing = stage.billing
        if action == "track":
            use = billing.track(REFERENCE, what, number)
            uses.append((use.event_id, use.funded))
        elif action == "refund" and what < len(uses):
            event, funded = uses[int(what)]
            found = billing.refund(REFERENCE, event, number)
            expected = funded - back.get(event, 0)
            back[event] = back.get(event, 0) + found.funded
            assert found.funded == (expected if number is None else min(number, expected))
            assert found.restored is not None
            assert 0 <= found.restored <= found.funded
        elif action == "give_back":
            given = billing.give_back(REFERENCE, what, number)
            assert given.funded + given.unfunded == number
        elif action == "set":
            balance = billing.set_usage(REFERENCE, what, number).balance
            if what == "x":
                assert number == balance.used or balance.remaining == 0
        elif action == "wait":
            stage.clock.micros += number * DAY
        elif action == "plan":
            stage.change_plan(_plan(number))
    assert all(back.get(event, 0) <= funded for event, funded in uses)
    stage.judge()
