"""Units in one transaction give the rows and the answers that they give one by one; and death leaves all or nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest
from attrs import asdict, evolve, frozen
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from kernia_billing import Billing, BillingError, Credits, Feature, Metered, Plan, Quantity, UsageLimit
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Mode, Usage
from kernia_billing.domain.instants import HOUR
from kernia_billing.storage.sharing import Ticket
from kernia_billing.storage.tables import metadata
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import Tables, coherent
from tests.harness.counts import count
from tests.harness.ears import hearing
from tests.harness.house import open_account, open_billing, same_receipt, subscribe, watched_billing
from tests.harness.meeting import store_of, ticket
from tests.harness.processes import RemoteStripe, alone, result_of

# ── One by one or together ───────────────────────────────────────────────────────────────────────────────────────────

PLANS = (
    Plan(
        "free",
        features={
            "plain": Metered(12, alerts=(50, 100)),
            "daily": Metered(6, reset="day"),
            "metered": Metered(5, overage="billed", meter="uses"),
            "limited": Metered(40, limits=(UsageLimit(7, per="hour"), UsageLimit(20, per="day"))),
            "watched": Metered(
                30,
                overage="free",
                overage_limit=10,
                alerts=(10, 40, 90),
                limits=(UsageLimit(9, per="day", per_entity=True), UsageLimit(6, per="day", where={"model": "large"})),
            ),
            "projects": Quantity(4),
            "tokens": Metered(2),
            "credits": Credits(30, alerts=(50,), limits=(UsageLimit(18, per="hour"),)),
        },
    ),
)
FEATURES = (Feature("tokens", credit_cost={"credits": 3}),)
NAMES = ("ann", "bob")


@frozen
class Call:
    """One use, by what makes it differ from others."""

    who: str
    feature: str
    quantity: int
    mode: Mode
    key: str | None
    entity: str | None
    properties: Mapping[str, str] | None


CALLS = st.builds(
    Call,
    st.sampled_from(NAMES),
    st.sampled_from(sorted(PLANS[0].features)),
    st.integers(1, 5),
    st.sampled_from(["record", "require", "cap"]),
    st.none() | st.sampled_from(["key-a", "key-b", "key-c"]),
    st.sampled_from([None, None, "room-a", "room-b"]),
    st.sampled_from([None, None, {"model": "large"}, {"model": "small"}]),
)
SAME = st.tuples(CALLS, st.integers(2, 5)).map(lambda told: [evolve(told[0], key=None)] * told[1])
"""One call several times in a row."""
TOGETHER = st.lists(SAME | st.lists(CALLS, min_size=1, max_size=4), min_size=1, max_size=4).map(
    lambda groups: [call for group in groups for call in group]
)
BATCHES = st.lists(st.tuples(TOGETHER, st.integers(0, 30)), min_size=1, max_size=5)
"""Calls that meet, and how many hours pass after them."""


@pytest.fixture(scope="module")
def worlds() -> Iterator[tuple[_World, _World]]:
    """Two applications alike."""
    one, other = _World(), _World()
    yield one, other
    one.billing.close()
    other.billing.close()


@pytest.mark.sqlite
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(batches=BATCHES)
def test_together_is_as_one_by_one(batches: list[tuple[list[Call], int]], worlds: tuple[_World, _World]) -> None:
    """Whoever meets whom: equal rows in every table, and an equal answer for each caller."""
    together, one_by_one = worlds
    together.begin()
    one_by_one.begin()
    told = [together.share(calls, hours) for calls, hours in batches]
    expected = [one_by_one.in_turn(calls, hours) for calls, hours in batches]
    assert told == expected
    assert together.rows() == one_by_one.rows()
    event(f"shared by {max(len(calls) for calls, _ in batches)}")


@pytest.mark.sqlite
def test_what_was_read_is_not_read_again(worlds: tuple[_World, _World]) -> None:
    """Twenty uses of a limited feature take no more statements than two, neither of limits nor of holds."""
    world, _ = worlds
    world.begin()
    use = Call("ann", "limited", 1, "record", None, None, None)
    world.share([use], 0)
    sent: list[str] = []

    with hearing(sent.append, store_of(world.billing).engine):
        world.share([use] * 2, 0)
        two = [*sent]
        sent.clear()
        world.share([use] * 20, 0)

    assert len(two) == len(sent)


class _World:
    """An application in memory, whose customers are known."""

    def __init__(self) -> None:
        self.stripe = StripeSimulator()
        self.billing = Billing(
            database="sqlite://", stripe_client=self.stripe, plans=PLANS, features=FEATURES, default_plan="free"
        )
        self.billing.check("nobody", "plain")

    def begin(self) -> None:
        """Forget everything, but for customers who hold nothing yet."""
        with store_of(self.billing).engine.begin() as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
        for name in NAMES:
            self.billing.give_back(name, "projects", 1)
            self.billing.grant(name, "plain", 4, entity="room-a")
            self.billing.grant(name, "credits", 7, entity="room-b")
        self.billing.set_credit_min("ann", "credits", 5)
        self.billing.set_credit_min("bob", "credits", -8)
        self.billing.overrides.set("bob", "daily", 9)

    def share(self, calls: Sequence[Call], hours: int) -> list[Any]:
        """Answer calls in one transaction."""
        tickets = [self._ticket(call) for call in calls]
        # One that goes alone is not shared on SQLite: somebody who writes nothing goes along.
        bystander = Ticket(lambda _: None, tickets[0].needs)
        run_blocking(store_of(self.billing)._together([bystander, *tickets], wait=False))
        assert not any(each.alone or each.waits for each in tickets)
        return self._later([_outcome(each.answer) for each in tickets], hours)

    def in_turn(self, calls: Sequence[Call], hours: int) -> list[Any]:
        """Answer calls in transactions of their own."""
        store = store_of(self.billing)
        units = [self._ticket(call).unit for call in calls]
        return self._later([_outcome(partial(run_blocking, store.transaction(unit))) for unit in units], hours)

    def _ticket(self, call: Call) -> Ticket:
        return ticket(
            self.billing,
            call.who,
            call.feature,
            call.quantity,
            mode=call.mode,
            key=call.key,
            entity=call.entity,
            properties=call.properties,
        )

    def _later(self, answers: list[Any], hours: int) -> list[Any]:
        self.stripe.clock.move_to((self.stripe.clock.now() + hours * HOUR) // 1_000_000)
        return answers

    def rows(self) -> dict[str, list[str]]:
        """Every row, without what is chance, and the time of the last write: those who share have one in common."""
        with store_of(self.billing).engine.connect() as connection:
            found = {each.name: connection.execute(each.select()).mappings().all() for each in metadata.sorted_tables}
        return {name: sorted(_plain(row) for row in rows) for name, rows in found.items()}


_ID = re.compile(r"\b(?:audit|auto|bkt|cust|event|grt|use)_[0-9A-Za-z]+")


def _plain(value: Mapping[Any, Any]) -> str:
    """A row or an answer without the ids that differ by chance."""
    told = {name: each for name, each in value.items() if name != "written_at"}
    return _ID.sub("<id>", json.dumps(told, sort_keys=True, default=str))


def _outcome(answer: Any) -> str:
    try:
        given = answer()
    except BillingError as error:
        return error.code
    return f"{type(given).__name__} {_plain(asdict(given))}"


# ── Deaths ───────────────────────────────────────────────────────────────────────────────────────────────────────────

KEYS = ("one", "two", "three", "four")


def _uses(billing: Billing, who: str) -> list[Ticket]:
    """Four uses by two customers, one of whom uses the feature for the first time."""
    return [
        ticket(billing, f"{who}-{'ab'[number % 2]}", "messages", 2 + number // 2, mode="require", key=key)
        for number, key in enumerate(KEYS)
    ]


def _together(billing: Billing, who: str) -> list[Usage]:
    tickets = _uses(billing, who)
    run_blocking(store_of(billing)._together(tickets, wait=False))
    assert not any(each.alone or each.waits for each in tickets)
    return [each.answer() for each in tickets]


def test_a_killed_transaction_of_several_leaves_all_or_nothing(
    engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """At whichever boundary the process dies: all uses that shared are there, or none; each retry counts once."""
    open_account(engine_url, stripe)

    def prepare(*names: str) -> None:
        subscribe(engine_url, stripe, *(f"{name}-a" for name in names))
        with open_billing(engine_url, stripe) as billing:
            for name in names:
                billing.track(f"{name}-b", "messages")

    def rehearse(remote: RemoteStripe) -> tuple[list[Usage], list[str]]:
        with watched_billing(engine_url, remote) as (billing, passed):
            return _together(billing, "rehearsal"), list(passed)

    def die(remote: RemoteStripe, who: str, deadly: int) -> None:
        with watched_billing(engine_url, remote, deadly) as (billing, _):
            _together(billing, who)

    prepare("rehearsal")
    before = _state(coherent(engine), "rehearsal")
    receipts, boundaries = result_of(stripe, rehearse)
    after = _state(coherent(engine), "rehearsal")
    assert boundaries.count("before commit") == 1
    names = [f"killed-{number}" for number in range(1, len(boundaries) + 1)]
    prepare(*names)
    for deadly, (who, boundary) in enumerate(zip(names, boundaries, strict=True), start=1):
        assert alone(stripe, partial(die, who=who, deadly=deadly)).killed
        committed = deadly > boundaries.index("before commit") + 1
        assert _state(coherent(engine), who) == (after if committed else before), boundary
        with open_billing(engine_url, stripe) as billing:
            again = _together(billing, who)
            assert [each.replayed for each in again] == [committed] * len(KEYS), boundary
            assert [same_receipt(each) for each in again] == [same_receipt(each) for each in receipts], boundary
    tables = coherent(engine, stripe)
    assert [_state(tables, who) for who in names] == [after] * len(names)
    count("kills", len(boundaries))


def _state(tables: Tables, who: str) -> list[Any]:
    """Everything that is counted for both customers, but for ids."""
    found: list[Any] = []
    for name in (f"{who}-a", f"{who}-b"):
        customer = tables.customer(name)
        assert customer is not None
        found += [customer["ledger_seq"], sorted(_counted(tables.of(name, tables.buckets), "feature_key", "used"))]
        found += [sorted(_counted(tables.of(name, tables.events), "seq", "quantity", "funded", "idempotency_key"))]
        found += [_counted(tables.of(name, tables.ledger), "seq", "line", "entry", "amount", "used_after")]
    return found


def _counted(rows: Iterable[Any], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(_ID.sub("<id>", str(row[name])) for name in columns) for row in rows]
