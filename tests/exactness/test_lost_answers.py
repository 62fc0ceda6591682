"""The line to the database breaks: the caller hears what it must know, and a repetition with the key counts once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sqlalchemy import Engine, create_engine, exc

from kernia_billing import TransactionConflict, Unavailable
from kernia_billing.testing import StripeSimulator
from tests.harness.coherent import coherent
from tests.harness.counts import count
from tests.harness.host import HOSTS, metadata, names, write
from tests.harness.house import new_engine, open_account, open_billing
from tests.harness.proxy import Cut, Proxy

CUTS: tuple[Cut, ...] = ("the message", "its answer")


@pytest.fixture(params=[pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("postgresql", "mariadb")])
def url(request: pytest.FixtureRequest, make_database: Callable[[str], str]) -> str:
    """A database on a server."""
    return make_database(request.param)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The test's own line to it."""
    engine = new_engine(url)
    yield engine
    coherent(engine)
    engine.dispose()


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    """The library's line to it."""
    # Paths of sockets are short.
    with TemporaryDirectory(dir="/tmp", prefix="kb-") as folder, Proxy(url, Path(folder)) as proxy:
        yield proxy


@pytest.mark.parametrize("cut", CUTS)
def test_a_commit_without_an_answer_is_not_repeated_blindly(
    cut: Cut, engine: Engine, url: str, proxy: Proxy, stripe: StripeSimulator
) -> None:
    """Whether the COMMIT or its answer was lost, the caller hears `Unavailable`; the same key counts once."""
    open_account(url, stripe)
    committed = cut == "its answer"
    for attempt, name in enumerate(("track", "consume", "give_back")):
        with open_billing(proxy.url, stripe) as billing:
            use = getattr(billing, name)
            billing.track("acme", "messages", 3, idempotency_key=f"before-{attempt}")
            proxy.arm(cut)
            before = coherent(engine)
            with pytest.raises(Unavailable) as lost:
                use("acme", "messages", 1, idempotency_key=name)
            assert (lost.value.retryable, lost.value.outcome_unknown) == (True, True)
            assert proxy.cuts == attempt + 1
            after = coherent(engine)
            assert len(after.events) == len(before.events) + committed
            again = use("acme", "messages", 1, idempotency_key=name)
            assert again.replayed is committed
            assert len(coherent(engine).events) == len(before.events) + 1
            assert coherent(engine).used("acme") == before.used("acme") + (-1 if name == "give_back" else 1)
    count("lost commits", 3)


@pytest.mark.parametrize("cut", CUTS)
def test_a_line_that_breaks_anywhere_counts_once(
    cut: Cut, engine: Engine, url: str, proxy: Proxy, stripe: StripeSimulator
) -> None:
    """At every message of a use: it is carried out all the same, or `Unavailable`; with a repetition it counts once."""
    open_account(url, stripe)
    with open_billing(proxy.url, stripe) as billing:
        billing.track("rehearsal", "messages", 1)
        before = proxy.messages
        billing.track("rehearsal", "messages", 2, idempotency_key="k")
        messages = proxy.messages - before
    assert messages > 5
    for number in range(1, messages + 1):
        who = f"acme-{number}"
        with open_billing(proxy.url, stripe) as billing:
            billing.track(who, "messages", 1)
            proxy.arm(cut, number)
            answers: list[bool] = []
            for _ in range(3):
                try:
                    answers.append(billing.track(who, "messages", 2, idempotency_key="k").replayed)
                except Unavailable as lost:
                    assert lost.outcome_unknown  # noqa: PT017 - at most one try may fail
            proxy.disarm()
        assert proxy.cuts == number
        assert len(answers) >= 2
        assert answers[1:] == [True] * (len(answers) - 1)
        assert coherent(engine).used(who) == 3
    count("broken lines", messages)


@pytest.mark.parametrize("cut", CUTS)
def test_a_host_that_loses_its_line_loses_both(cut: Cut, engine: Engine, proxy: Proxy, stripe: StripeSimulator) -> None:
    """Where the host's line breaks while it counts, its rows and the usage are gone together, and it cannot go on."""
    metadata.create_all(engine)
    host_engine = create_engine(proxy.url)
    with open_billing(proxy.url, stripe) as billing:
        billing.track("acme", "messages", 1)
        for kind, opens in HOSTS.items():
            with opens(host_engine) as host:
                host.execute(write("before"))
                proxy.arm(cut, 3)
                with pytest.raises((Unavailable, TransactionConflict)):
                    billing.track("acme", "messages", 2, idempotency_key=kind, transaction=host)
                with pytest.raises(exc.PendingRollbackError):
                    host.execute(write("half of it"))
                host.rollback()
                assert (names(engine), coherent(engine).used("acme")) == ([], 1)
                billing.track("acme", "messages", 1, idempotency_key=kind, transaction=host)
                host.rollback()
    host_engine.dispose()
    count("broken lines", len(HOSTS))
