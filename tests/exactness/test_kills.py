"""SIGKILL before and after every statement, commit and rollback: all or nothing, and a retry counts once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Engine

from kernia_billing import Billing
from kernia_billing.domain.answers import Usage
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import Tables, coherent
from tests.harness.counts import count
from tests.harness.house import open_account, open_billing, same_receipt, subscribe, watched_billing
from tests.harness.processes import RemoteStripe, alone, result_of

pytestmark = pytest.mark.one_server

Use = Callable[[Billing, str], Usage]


def _track(billing: Billing, reference: str) -> Usage:
    return billing.track(reference, "messages", 3, idempotency_key="the-use", properties={"model": "large"})


def _consume(billing: Billing, reference: str) -> Usage:
    return billing.consume(reference, "messages", 2, idempotency_key="the-use")


def _track_beyond(billing: Billing, reference: str) -> Usage:
    return billing.track(reference, "messages", 15, idempotency_key="the-use")


def _give_back(billing: Billing, reference: str) -> Usage:
    return billing.give_back(reference, "messages", 1, idempotency_key="the-use")


def _earlier(billing: Billing, reference: str) -> None:
    billing.track(reference, "messages", 4, idempotency_key="an-earlier-use")


@pytest.mark.parametrize(
    ("use", "subscribed", "used_before"),
    [
        pytest.param(_track, False, False, id="the first track of a reference"),
        pytest.param(_track, False, True, id="a later track"),
        pytest.param(_consume, True, False, id="the first consume of a subscriber"),
        pytest.param(_consume, False, True, id="a later consume"),
        pytest.param(_give_back, False, True, id="a give_back"),
        pytest.param(_track, True, False, id="the first track of a subscriber", marks=pytest.mark.full),
        pytest.param(_track_beyond, False, False, id="a track beyond the balance", marks=pytest.mark.full),
    ],
)
def test_a_killed_use_leaves_all_or_nothing(
    use: Use, subscribed: bool, used_before: bool, engine: Engine, engine_url: str, stripe: StripeSimulator
) -> None:
    """Whatever boundary a process dies at, nothing or all of a use is there; its retry counts it once."""
    open_account(engine_url, stripe)
    cast = _Cast(engine, engine_url, stripe, use)
    cast.prepare(["rehearsal"], subscribed=subscribed, used_before=used_before)
    before = cast.state("rehearsal")
    receipt, boundaries = cast.rehearse("rehearsal")
    after = cast.state("rehearsal")
    assert boundaries.count("before commit") == 1
    names = [f"killed-{deadly}" for deadly in range(1, len(boundaries) + 1)]
    cast.prepare(names, subscribed=subscribed, used_before=used_before)
    for deadly, (who, boundary) in enumerate(zip(names, boundaries, strict=True), start=1):
        cast.kill(who, deadly)
        committed = deadly > boundaries.index("before commit") + 1
        assert cast.state(who) == (after if committed else before), boundary
        again = cast.retry(who)
        assert again.replayed is committed, boundary
        assert same_receipt(again) == same_receipt(receipt), boundary
    tables = coherent(engine)
    assert [_state(tables, who) for who in names] == [after] * len(names)
    count("kills", len(boundaries))


class _Cast:
    """One use by many references of one database, each of which dies elsewhere."""

    def __init__(self, engine: Engine, url: str, stripe: StripeSimulator, use: Use) -> None:
        self._engine = engine
        self._url = url
        self._stripe = stripe
        self._use = use

    def prepare(self, names: Sequence[str], *, subscribed: bool, used_before: bool) -> None:
        """Bring references to where the use finds them."""
        if subscribed:
            subscribe(self._url, self._stripe, *names)
        if used_before:
            with open_billing(self._url, self._stripe) as billing:
                for who in names:
                    _earlier(billing, who)

    def rehearse(self, who: str) -> tuple[Usage, list[str]]:
        """The receipt of the undisturbed use, and the boundaries that it passes."""

        def work(remote: RemoteStripe) -> tuple[Usage, list[str]]:
            with watched_billing(self._url, remote) as (billing, passed):
                return self._use(billing, who), list(passed)

        return result_of(self._stripe, work)

    def kill(self, who: str, deadly: int) -> None:
        """Die at a boundary of the use."""

        def work(remote: RemoteStripe) -> None:
            with watched_billing(self._url, remote, deadly) as (billing, _):
                self._use(billing, who)

        assert alone(self._stripe, work).killed

    def retry(self, who: str) -> Usage:
        """The use again, in a new process."""

        def work(remote: RemoteStripe) -> Usage:
            with open_billing(self._url, remote) as billing:
                return self._use(billing, who)

        return result_of(self._stripe, work)

    def state(self, who: str) -> dict[str, Any]:
        """Everything that is counted for a reference, after a look at all rows."""
        tables = coherent(self._engine)
        return _state(tables, who)


def _state(tables: Tables, who: str) -> dict[str, Any]:
    customer = tables.customer(who)
    return {
        "customer": None if customer is None else customer["ledger_seq"],
        "grants": sorted(
            (row["feature_key"], row["source_type"], row["kind"]) for row in tables.of(who, tables.entitlements)
        ),
        "buckets": sorted(
            (row["feature_key"], row["period_no"], row["used"]) for row in tables.of(who, tables.buckets)
        ),
        "events": sorted((row["seq"], row["quantity"], row["funded"]) for row in tables.of(who, tables.events)),
        "ledger": [
            (row["seq"], row["line"], row["entry"], row["amount"], row["used_after"])
            for row in tables.of(who, tables.ledger)
        ],
    }
