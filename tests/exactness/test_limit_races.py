"""Many processes at once under a usage limit: exactly what it allows, in every window."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine, text

from kernia_billing import Billing, Credits, Feature, InsufficientBalance, Metered, Plan, UsageLimit
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.house import new_engine, open_account, open_billing
from tests.harness.processes import RemoteStripe, together

PROCESSES = 8
DAILY = 60
PLANS = [
    Plan(
        "free",
        features={
            "messages": Metered(10_000, limits=(UsageLimit(DAILY),)),
            "calls": Metered(PROCESSES * 5, alerts=(50,)),
            "credits": Credits(10_000, limits=(UsageLimit(100),)),
            "members": Metered(10_000, limits=(UsageLimit(7, per_entity=True),)),
        },
    )
]
OPTIONS: dict[str, Any] = {"plans": PLANS, "features": [Feature("images", credit_cost={"credits": 3})]}
Work = Callable[[Billing], list[str]]


def outcome(attempt: Callable[[], object]) -> str:
    """What became of it."""
    try:
        attempt()
    except InsufficientBalance as denied:
        return denied.decision.reason
    return "granted"


def race(url: str, stripe: StripeSimulator, work: Work) -> Counter[str]:
    """What became of everything that eight processes do at once."""
    open_account(url, stripe)

    def run(remote: RemoteStripe) -> list[str]:
        with open_billing(url, remote, **OPTIONS) as billing:
            billing.check("acme", "messages")
            remote.ready()
            return work(billing)

    outcomes = Counter(each for process in together(stripe, [run] * PROCESSES) for each in process)
    count("uses in races", outcomes.total())
    return outcomes


@pytest.fixture
def rows(engine_url: str) -> Iterator[Engine]:
    """An engine of the test's own that keeps no connection."""
    engine = new_engine(engine_url)
    yield engine
    engine.dispose()


def windows(engine: Engine) -> dict[tuple[str, str], int]:
    """What is used of each limit, by feature and entity."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT feature_key, entity_id, used FROM billing_limit_window")).all()
    found = {(_text(feature), _text(entity)): int(used) for feature, entity, used in rows}
    assert len(found) == len(rows)
    return found


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def test_a_limit_is_met_exactly(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Of 8 × 20 uses against 60 a day exactly 60 are granted, though thousands are left; a refusal leaves nothing."""
    outcomes = race(
        engine_url,
        stripe,
        lambda billing: [outcome(lambda: billing.consume("acme", "messages")) for _ in range(20)],
    )

    assert outcomes == {"granted": DAILY, "usage_limit": PROCESSES * 20 - DAILY}
    tables = coherent(engine, stripe)
    assert windows(engine) == {("messages", ""): DAILY}
    assert tables.used("acme") == len(tables.events) == DAILY


def test_holds_and_uses_share_a_limit(rows: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """What is set aside, settled, released, used and given back at once never passes the limit, and nothing is lost."""

    def work(billing: Billing) -> list[str]:
        done: list[str] = []
        for number in range(6):
            done.append(outcome(lambda: billing.reserve("acme", "messages", 5).settle(3)))
            done.append(outcome(lambda: billing.reserve("acme", "messages", 4).release()))
            done.append(outcome(lambda: billing.consume("acme", "messages", 2)))
            if number % 3 == 0:
                billing.give_back("acme", "messages")
        return done

    outcomes = race(engine_url, stripe, work)
    with open_billing(engine_url, stripe, **OPTIONS) as billing:
        found = billing.check("acme", "messages", DAILY + 1)

    assert outcomes.keys() <= {"granted", "usage_limit"}
    assert windows(rows) == {("messages", ""): found.balance.used}
    assert 0 == found.balance.held
    assert DAILY - 8 < found.balance.used <= DAILY


def test_limits_on_credits_and_on_entities(rows: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """100 credits a day pay for 33 images of three; each of two entities gets its own seven."""

    def work(billing: Billing) -> list[str]:
        done = [f"images {outcome(lambda: billing.consume('acme', 'images'))}" for _ in range(8)]
        for _ in range(2):
            done += [f"{who} {outcome(partial(billing.consume, 'acme', 'members', entity=who))}" for who in ("a", "b")]
        return done

    outcomes = race(engine_url, stripe, work)

    granted = {name: times for name, times in outcomes.items() if name.endswith("granted")}
    assert granted == {"images granted": 33, "a granted": 7, "b granted": 7}
    assert windows(rows) == {("credits", ""): 99, ("members", "a"): 7, ("members", "b"): 7}


def test_an_alert_fires_once(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """One of the uses that reach the threshold tells of it, in its own commit; nobody else does."""
    outcomes = race(
        engine_url,
        stripe,
        lambda billing: [str(billing.consume("acme", "calls").alerts) for _ in range(5)],
    )

    assert outcomes == {"()": PROCESSES * 5 - 1, "(50,)": 1}
    tables = coherent(engine, stripe)
    assert ["balance.threshold"] == [row["topic"] for row in tables.outbox]


@pytest.mark.parametrize(
    "database", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]
)
def test_a_host_with_an_older_snapshot_sees_the_window(
    database: str, make_database: Callable[[str], str], stripe: StripeSimulator
) -> None:
    """What was used since the host's transaction began counts against its uses too, and what fired does not again."""
    url = make_database(database)
    engine = new_engine(url)
    with open_billing(url, stripe, **OPTIONS) as billing, engine.connect() as host:
        billing.consume("acme", "messages", DAILY - 1)
        host.execute(text("SELECT used FROM billing_limit_window")).all()
        billing.consume("acme", "messages")
        billing.consume("acme", "calls", PROCESSES * 3)

        assert "usage_limit" == outcome(lambda: billing.consume("acme", "messages", transaction=host))
        assert () == billing.consume("acme", "calls", transaction=host).alerts
        host.commit()
    assert {("messages", ""): DAILY} == windows(engine)
    engine.dispose()
