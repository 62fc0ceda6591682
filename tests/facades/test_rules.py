"""The rules that keep one implementation true for blocking and asynchronous callers; each test tries to break one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kernia_billing import AsyncBilling, Billing, ConfigError, Plan, Quantity, _aio, _blocking
from kernia_billing._drive import SuspendedError, run_blocking
from kernia_billing.domain.secret import Secret
from kernia_billing.errors import GuardError
from kernia_billing.ports.guard import unit_of_work
from kernia_billing.ports.store import Transaction
from kernia_billing.runtime.clock import SystemClock
from kernia_billing.runtime.pace import BlockingPace
from kernia_billing.stripe.client import BlockingStripe
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator

PLANS = [Plan("pro", price_id="price_pro", features={"projects": Quantity(3)})]
REAL: dict[str, Any] = {
    "stripe_key": "sk_test_1234567890",
    "stripe_webhook_secrets": ["whsec_12345"],
    "base_url": "https://shop.example",
}


@pytest.fixture
def billing() -> Iterator[Billing]:
    """A facade over the simulator and a database in memory."""
    with Billing(stripe_client=StripeSimulator(), database="sqlite://", plans=PLANS) as opened:
        yield opened


def _public(kind: type) -> dict[str, Any]:
    return {name: member for name, member in vars(kind).items() if not name.startswith("_")}


@pytest.mark.parametrize("noun", ["Subscriptions", "Customers", "Plans", "Catalog", "Webhooks", "Jobs"])
def test_both_facades_have_the_same_names_and_arguments(noun: str) -> None:
    """Moving from one facade to the other changes nothing but `await`."""
    ours, theirs = _public(getattr(_blocking, noun)), _public(getattr(_aio, noun))

    assert set(theirs) == set(ours)
    for name, method in theirs.items():
        assert inspect.signature(method).parameters == inspect.signature(ours[name]).parameters, name


def test_main_facades_have_the_same_names_and_arguments() -> None:
    """The same for the two classes that users start with; only `close` is `aclose` there."""
    ours, theirs = _public(Billing), _public(AsyncBilling)
    theirs["close"] = theirs.pop("aclose")
    theirs.pop("over")

    assert set(theirs) == set(ours)
    for name, method in theirs.items():
        if not isinstance(method, property):
            assert inspect.signature(method).parameters == inspect.signature(ours[name]).parameters, name


def test_a_port_that_waits_is_named_and_the_transaction_rolled_back(
    billing: Billing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blocking facade over a port that waits for a loop fails loudly instead of hanging, and writes nothing."""

    class Waiting:
        def __await__(self) -> Any:
            yield "the network"

    async def waits(*_: Any, **__: Any) -> Any:
        await Waiting()

    monkeypatch.setattr(BlockingStripe, "request", waits)

    with pytest.raises(SuspendedError) as caught:
        billing.customers.ensure("user_1")

    assert "the network" == caught.value.suspended_on
    monkeypatch.undo()
    assert billing.customers.ensure("user_1").stripe_id


def test_asynchronous_hook_on_billing_is_refused(billing: Billing) -> None:
    """`Billing` cannot await a hook: refused when it is registered, in the options and by `on`."""

    async def hook(*_: object) -> None:
        """Never called."""

    with pytest.raises(ConfigError, match="AsyncBilling"):
        billing.on("subscription.activated")(hook)
    with pytest.raises(ConfigError) as caught:
        Billing(
            stripe_client=StripeSimulator(),
            plans=PLANS,
            on_event=hook,
            on_subscription_complete=hook,
            authorize_reference=hook,
        )
    assert 3 == len(caught.value.problems)


def test_async_billing_accepts_both_kinds_of_hooks() -> None:
    """`AsyncBilling` takes plain and asynchronous functions."""

    async def asynchronous(event: object) -> None:
        """Never called."""

    def plain(event: object) -> None:
        """Never called."""

    billing = AsyncBilling(stripe_client=AsyncStripeSimulator(), plans=PLANS, on_event=asynchronous)
    billing.on("subscription.activated")(plain)


def test_a_stripe_call_inside_a_unit_is_refused() -> None:
    """Nothing leaves the process while a transaction is open: not by the Stripe port, and not by a hook."""
    simulator = StripeSimulator()
    port = BlockingStripe(
        Secret(simulator.api_key), clock=SystemClock(), pace=BlockingPace(), transport=simulator.transport
    )

    with unit_of_work(), pytest.raises(GuardError, match="transaction"):
        run_blocking(port.request("GET", "/v1/account"))

    assert [] == list(simulator.requests)
    assert run_blocking(port.request("GET", "/v1/account"))


def test_the_store_marks_its_units(billing: Billing) -> None:
    """A unit that calls Stripe fails and leaves nothing, in production as in tests."""
    core = billing._wiring.core

    def unit(tx: Transaction) -> None:
        tx.settings.add("half", "done")
        run_blocking(core.provider().request("GET", "/v1/account"))

    with pytest.raises(GuardError):
        run_blocking(core.store.transaction(unit))

    assert run_blocking(core.store.read(lambda tx: tx.settings.get("half"))) is None


def test_wrong_kind_of_client_is_refused_with_the_fix() -> None:
    """Each facade takes the HTTP client of its own kind and says which one the other belongs to."""
    with httpx.Client() as client, pytest.raises(ConfigError, match="AsyncClient"):
        AsyncBilling(plans=PLANS, stripe_client=client, **REAL)
    with pytest.raises(ConfigError, match=r"httpx\.Client"):
        Billing(plans=PLANS, stripe_client=httpx.AsyncClient(), **REAL)


@pytest.mark.parametrize(
    ("facade", "url"),
    [(Billing, "sqlite+aiosqlite:///x.db"), (Billing, "postgresql+asyncpg:///x"), (AsyncBilling, "mysql+pymysql:///x")],
)
def test_wrong_kind_of_driver_is_refused_with_the_fix(facade: type[Billing | AsyncBilling], url: str) -> None:
    """A driver of the other kind is refused at construction."""
    with pytest.raises(ConfigError, match="database"):
        facade(plans=PLANS, database=url)


def test_nothing_is_opened_by_construction(tmp_path: Path) -> None:
    """Importing an application touches neither the network nor the disk."""
    path = tmp_path / "billing.db"

    Billing(plans=PLANS, database=f"sqlite:///{path}", **REAL)

    assert not path.exists()
