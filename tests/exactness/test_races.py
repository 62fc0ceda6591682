"""Many processes at once: never beyond a limit, never twice, never lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from attrs import evolve
from sqlalchemy import Engine

from kernia_billing import IdempotencyMismatch, InsufficientBalance, Unavailable
from kernia_billing.domain.answers import Usage
from kernia_billing.testing import Fault, StripeSimulator
from tests.harness.coherent import Tables, coherent
from tests.harness.counts import count
from tests.harness.house import FREE, PRO, new_engine, open_account, open_billing, sell_untold, subscribe, webhook
from tests.harness.processes import RemoteStripe, together
from tests.webhooks.shop import hurry

PROCESSES = 8
Attempt = Callable[[], Usage]


def _outcome(attempt: Attempt) -> str:
    try:
        attempt()
    except InsufficientBalance:
        return "denied"
    return "granted"


def test_a_limit_is_met_exactly(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Of 8 × 50 uses against a limit of 100 exactly 100 are granted; the others hear that too little is left."""
    subscribe(engine_url, stripe, "acme")

    def work(remote: RemoteStripe) -> list[str]:
        with open_billing(engine_url, remote) as billing:
            billing.check("acme", "messages")
            remote.ready()
            return [_outcome(lambda: billing.consume("acme", "messages")) for _ in range(50)]

    outcomes = Counter(outcome for process in together(stripe, [work] * PROCESSES) for outcome in process)
    count("uses in races", outcomes.total())
    assert outcomes == {"granted": PRO, "denied": PROCESSES * 50 - PRO}
    tables = coherent(engine, stripe)
    assert tables.used("acme") == tables.funded("acme") == tables.moved("acme") == len(tables.events) == PRO
    _is_gap_free(tables, PRO)


def _is_gap_free(tables: Tables, uses: int) -> None:
    """A grant takes one number of the customer's sequence, a refusal none."""
    numbers = sorted(row["seq"] for row in tables.events)
    assert numbers == list(range(numbers[0], numbers[0] + uses))
    assert tables.customers[0]["ledger_seq"] == numbers[-1]


def test_the_first_use_of_all_opens_one_of_everything(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Processes that meet over a reference nobody has seen make one customer, one grant and one bucket."""
    open_account(engine_url, stripe)
    references = [f"new-{number}" for number in range(5)]

    def work(remote: RemoteStripe) -> list[str]:
        with open_billing(engine_url, remote) as billing:
            billing.customers.get("nobody")
            remote.ready()
            return [_outcome(partial(billing.consume, who, "messages", 2)) for who in references]

    outcomes = together(stripe, [work] * PROCESSES)
    count("uses in races", PROCESSES * len(references))
    tables = coherent(engine)
    for number, who in enumerate(references):
        assert Counter(process[number] for process in outcomes) == {"granted": 5, "denied": 3}
        assert tables.used(who) == 10
    assert len(tables.customers) == len(tables.entitlements) == len(tables.buckets) == len(references)


def test_one_key_has_one_effect(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Eight processes that send the same uses under the same keys get the same receipts, each counted once."""
    subscribe(engine_url, stripe, "acme")
    keys = [f"key-{number}" for number in range(10)]

    def work(remote: RemoteStripe) -> list[Usage]:
        with open_billing(engine_url, remote) as billing:
            billing.check("acme", "messages")
            remote.ready()
            return [billing.consume("acme", "messages", 3, idempotency_key=key) for key in keys]

    receipts = together(stripe, [work] * PROCESSES)
    count("uses in races", PROCESSES * len(keys))
    tables = coherent(engine, stripe)
    for number, key in enumerate(keys):
        mine = [process[number] for process in receipts]
        stored = [row for row in tables.events if row["idempotency_key"] == key]
        assert {receipt.event_id for receipt in mine} == {row["id"] for row in stored}
        assert all(evolve(receipt, replayed=False) == evolve(mine[0], replayed=False) for receipt in mine)
        assert [receipt.replayed for receipt in mine].count(False) == 1
    assert tables.used("acme") == tables.moved("acme") == 3 * len(keys)
    _is_gap_free(tables, len(keys))


def test_one_key_for_two_requests_serves_one(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Where a key is used for different requests one of them wins; its askers get its receipt, the others an error."""
    subscribe(engine_url, stripe, "acme")
    keys = [f"key-{number}" for number in range(10)]

    def work(quantity: int) -> Callable[[RemoteStripe], list[int]]:
        def consume(remote: RemoteStripe) -> list[int]:
            with open_billing(engine_url, remote) as billing:
                billing.check("acme", "messages")
                remote.ready()
                answers: list[int] = []
                for key in keys:
                    try:
                        answers.append(billing.consume("acme", "messages", quantity, idempotency_key=key).funded)
                    except IdempotencyMismatch:
                        answers.append(0)
                return answers

        return consume

    quantities = [1 + number % 2 for number in range(PROCESSES)]
    answers = together(stripe, [work(quantity) for quantity in quantities])
    count("uses in races", PROCESSES * len(keys))
    tables = coherent(engine, stripe)
    for number, key in enumerate(keys):
        (event,) = [row for row in tables.events if row["idempotency_key"] == key]
        told = [process[number] for process in answers]
        assert told == [quantity if quantity == event["quantity"] else 0 for quantity in quantities]
    assert tables.used("acme") == sum(row["quantity"] for row in tables.events)
    assert len(tables.events) == len(keys)


def test_use_and_return_never_pass_each_other(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """With uses and returns mixed nothing goes beyond the limit or below zero, and every receipt fits the sequence."""
    subscribe(engine_url, stripe, "acme")

    def use(remote: RemoteStripe) -> list[Usage | None]:
        with open_billing(engine_url, remote) as billing:
            billing.check("acme", "projects")
            remote.ready()
            receipts: list[Usage | None] = []
            for _ in range(30):
                try:
                    receipts.append(billing.consume("acme", "projects", 4))
                except InsufficientBalance:
                    receipts.append(None)
            return receipts

    def give(remote: RemoteStripe) -> list[Usage | None]:
        with open_billing(engine_url, remote) as billing:
            billing.check("acme", "projects")
            remote.ready()
            return [billing.give_back("acme", "projects", 3) for _ in range(30)]

    told = together(stripe, [use, give] * (PROCESSES // 2))
    count("uses in races", 30 * PROCESSES)
    receipts = {receipt.event_id: receipt for process in told for receipt in process if receipt is not None}
    tables = coherent(engine, stripe)
    assert receipts.keys() == {row["id"] for row in tables.events}
    used = 0
    for event in sorted(tables.events, key=lambda row: row["seq"]):
        if event["mode"] == "return":
            assert event["funded"] == min(used, 3)
            used -= event["funded"]
        else:
            assert event["funded"] == 4
            used += 4
        assert 0 <= used <= 50
        assert receipts[event["id"]].balance.used == used
    assert tables.used("acme", "projects") == used


def test_a_period_ends_once_for_all_clocks(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """Around a reset, with clocks up to a second apart, the new period has begun for all once one has used it."""
    subscribe(engine_url, stripe, "acme")
    (end,) = {row["period_end"] for row in Tables(engine).subscriptions}

    def work(number: int) -> Callable[[RemoteStripe], list[str]]:
        def consume(remote: RemoteStripe) -> list[str]:
            with open_billing(engine_url, remote) as billing:
                billing.customers.get("acme")
                remote.ready()
                outcomes: list[str] = []
                for step in range(40):
                    remote.clock.micros = end + (number - PROCESSES // 2) * 250_000 + step * 40_000 - 800_000
                    outcomes.append(_outcome(lambda: billing.consume("acme", "messages")))
                return outcomes

        return consume

    works = [work(number) for number in range(PROCESSES)]
    outcomes = Counter(outcome for process in together(stripe, works) for outcome in process)
    count("uses in races", outcomes.total())
    tables = coherent(engine)
    assert tables.funded("acme") == outcomes["granted"]
    old, new = sorted(tables.buckets, key=lambda row: row["period_start"])
    assert old["used"] <= PRO == new["used"]
    assert old["used"] + new["used"] == outcomes["granted"]
    events = sorted(tables.events, key=lambda row: row["seq"])
    periods = [row["received_at"] >= end for row in events]
    assert periods == sorted(periods)
    assert periods.count(False) == old["used"]


def test_one_customer_is_made_once(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """First calls for one reference make one row and one Stripe customer, also where Stripe's answer is lost."""
    open_account(engine_url, stripe)
    references = [f"new-{number}" for number in range(5)]
    stripe.faults.append(Fault("reset_after", method="POST", path="/v1/customers", times=2, skip=3))

    def work(remote: RemoteStripe) -> list[str | None]:
        with open_billing(engine_url, remote) as billing:
            billing.customers.get("nobody")
            remote.ready()
            return [billing.customers.ensure(who, email=f"{who}@example.com").stripe_id for who in references]

    told = together(stripe, [work] * PROCESSES)
    count("first customers in races", PROCESSES * len(references))
    tables = coherent(engine, stripe)
    made = {row["metadata"]["referenceId"]: id for id, row in stripe.state.world.table("customer").rows.items()}
    assert told == [[made[who] for who in references]] * PROCESSES
    assert {row["reference_id"]: row["stripe_customer_id"] for row in tables.customers} == made


def test_one_page_is_opened_once(engine: Engine, engine_url: str, stripe: StripeSimulator) -> None:
    """First checkouts of one reference in many processes are one page, and one customer."""
    open_account(engine_url, stripe)

    def work(remote: RemoteStripe) -> str | None:
        with open_billing(engine_url, remote) as billing:
            billing.customers.get("nobody")
            remote.ready()
            return billing.subscriptions.upgrade("acme", "pro", success_url="/", cancel_url="/").url

    urls = together(stripe, [work] * PROCESSES)
    count("first checkouts in races", PROCESSES)
    tables = coherent(engine, stripe)
    (session,) = stripe.state.world.table("checkout.session").rows.values()
    (url,) = set(urls)
    assert url is not None
    assert session["id"] in url
    assert [row["stripe_session_id"] for row in tables.checkouts] == [session["id"]]


@pytest.mark.parametrize("crowd", [4, pytest.param(16, marks=pytest.mark.full)])
def test_a_first_upgrade_while_stripe_fails(
    crowd: int, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """All ask for the page until it is there, while Stripe fails at first: one customer, page and subscription."""
    open_account(engine_url, stripe)
    for path in ("/v1/customers", "/v1/checkout/sessions"):
        stripe.faults.extend(Fault(kind, method="POST", path=path, times=3) for kind in ("status", "reset_after"))

    def work(remote: RemoteStripe) -> str | None:
        with open_billing(engine_url, remote) as billing:
            hurry(billing)
            billing.customers.get("nobody")
            remote.ready()
            while True:
                with suppress(Unavailable):
                    return billing.subscriptions.upgrade("acme", "pro", success_url="/", cancel_url="/").url

    urls = together(stripe, [work] * crowd)
    count("first checkouts in races", crowd)
    assert [0] * 4 == [each.times for each in stripe.faults]
    (session,) = stripe.state.world.table("checkout.session").rows.values()
    (customer,) = stripe.state.world.table("customer").rows.values()
    (url,) = set(urls)
    assert session["id"] in str(url)
    with open_billing(engine_url, stripe) as billing:
        stripe.pay(billing.subscriptions.upgrade("acme", "pro", success_url="/", cancel_url="/"))
        (sold,) = billing.subscriptions.list("acme")
    (theirs,) = stripe.state.world.table("subscription").rows.values()
    assert (sold.stripe_id, sold.status, theirs["customer"]) == (theirs["id"], "active", customer["id"])
    assert [row["stripe_customer_id"] for row in coherent(engine, stripe).customers] == [customer["id"]]


def test_one_event_has_one_effect(engine: Engine, engine_url: str) -> None:
    """A webhook that comes to eight processes at once is taken in once, and applied once."""
    stripe = StripeSimulator(deliver="manual")
    sell_untold(engine_url, stripe, "acme")
    body, signature = webhook(stripe, "customer.subscription.created", "acme")

    def work(remote: RemoteStripe) -> str:
        with open_billing(engine_url, remote) as billing:
            billing.customers.get("acme")
            remote.ready()
            return billing.webhooks.receive(body, signature).status

    told = Counter(together(stripe, [work] * PROCESSES))
    count("webhooks in races", PROCESSES)
    assert told == {"applied": 1, "skipped": PROCESSES - 1}
    tables = coherent(engine, stripe)
    assert [row["status"] for row in tables.inbox] == ["processed"]
    topics = Counter(row["topic"] for row in tables.outbox)
    assert topics == {"customer.subscription.created": 1, "subscription.created": 1, "subscription.activated": 1}


@pytest.mark.parametrize(
    "database", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")]
)
def test_a_billing_made_before_the_fork_works_in_every_process(
    database: str, make_database: Callable[[str], str], stripe: StripeSimulator
) -> None:
    """Processes that inherit a `Billing` in use, as preloading servers fork them, do not share its connections."""
    url = make_database(database)
    engine = new_engine(url)
    with open_billing(url, stripe) as billing:
        billing.consume("acme", "messages")
        billing.check("acme", "messages")

        def work(remote: RemoteStripe) -> list[str]:
            remote.ready()
            return [_outcome(partial(billing.consume, "acme", "messages")) for _ in range(5)]

        outcomes = Counter(outcome for process in together(stripe, [work] * PROCESSES) for outcome in process)
        assert outcomes == {"granted": FREE - 1, "denied": 5 * PROCESSES - FREE + 1}
        assert billing.check("acme", "messages").balance.used == FREE
    assert coherent(engine).used("acme") == FREE
    engine.dispose()
    count("uses in races", outcomes.total())
