"""What `check` and `track` cost in a large database, beside the same in a small one."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import literal

from kernia_billing import Billing
from kernia_billing.storage import tables

from .filling import Column, fill, numbered, settle
from .harness import Bench, Benchmark, Result, Side, compare, one_caller
from .shop import FEATURE, PLANS, Shop, open_shop

Ask = Callable[[Billing, str], object]


def _check(billing: Billing, reference: str) -> object:
    decision = billing.check(reference, FEATURE)
    assert decision.allowed
    return decision


def _track(billing: Billing, reference: str) -> object:
    usage = billing.track(reference, FEATURE)
    assert usage.funded == 1
    return usage


def _name(ask: Ask) -> str:
    return "check" if ask is _check else "track"


@contextmanager
def _asking(shop: Shop, ask: Ask, *, hot: bool) -> Generator[Side]:
    """Ask of customers at random, as they come in life; of the first one only where it is `hot`."""
    references = shop.references[:1] if hot else shop.references
    chosen = random.Random(shop.customers)  # noqa: S311 - no secret: the same customers in every run
    with Billing(database=shop.url, plans=PLANS) as billing:
        yield one_caller(lambda: ask(billing, chosen.choice(references)))


def _grown(bench: Bench, ask: Ask, engine: str) -> Result:
    few, many = bench.settings.customers, bench.settings.customers * bench.settings.growth
    name = f"{_name(ask)}, {engine}, {many:,} customers"
    with (
        open_shop(bench.servers, engine, few) as small,
        open_shop(bench.servers, engine, many) as large,
        _asking(small, ask, hot=False) as baseline,
        _asking(large, ask, hot=False) as ours,
    ):
        return compare(name, f"{few:,} customers", baseline=baseline, ours=ours, settings=bench.settings)


def _remembering(bench: Bench, ask: Ask, engine: str) -> Result:
    """One customer with a long history, beside one with none."""
    few, events = bench.settings.customers, bench.settings.customers * bench.settings.growth
    name = f"{_name(ask)}, {engine}, {events:,} events behind one customer"
    with (
        open_shop(bench.servers, engine, few) as fresh,
        open_shop(bench.servers, engine, few) as old,
    ):
        _add_history(old, events)
        with _asking(fresh, ask, hot=True) as baseline, _asking(old, ask, hot=True) as ours:
            return compare(name, "one event", baseline=baseline, ours=ours, settings=bench.settings)


def _add_history(shop: Shop, events: int) -> None:
    """Give the first customer so many uses before the one that it has."""
    event, line = (shop.seed.copy(shop.seed.one(table), 1) for table in (tables.usage_event, tables.ledger))
    at = event["occurred_at"]
    old = numbered("old_")
    before: dict[str, Column] = {"seq": operator.neg}
    varying: dict[str, Column] = {
        **before,
        "id": old,
        "idempotency_key": old,
        "occurred_at": lambda number: literal(at) - number,
    }
    with shop.engine.begin() as connection:
        fill(connection, tables.usage_event, event, events, varying)
        fill(connection, tables.ledger, {**line, "amount": 0}, events, {**before, "event_id": old})
    settle(shop.engine)


def _benchmarks(engine: str) -> list[Benchmark]:
    return [
        Benchmark(f"P11/{engine}/{what}/{_name(ask)}", "growth", engine, partial(run, ask=ask, engine=engine))
        for what, run in (("customers", _grown), ("events", _remembering))
        for ask in (_check, _track)
    ]


BENCHMARKS = (*_benchmarks("sqlite"), *_benchmarks("postgresql"))
