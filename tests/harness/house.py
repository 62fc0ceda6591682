"""The application that the tests of exactness count for."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine

from kernia_billing import Billing, Metered, Plan, Quantity
from kernia_billing._drive import run_blocking
from kernia_billing.domain.answers import Usage
from kernia_billing.testing import StripeSimulator

from .kill import Boundaries, die
from .processes import RemoteStripe
from .tables import make_tables

FREE, PRO = 10, 100
"""How many messages a month the plans include."""
PLANS = (
    Plan("free", features={"messages": Metered(FREE), "projects": Quantity(2)}),
    Plan("pro", price_id="price_pro", features={"messages": Metered(PRO), "projects": Quantity(50)}),
)


def options(database: Any, stripe: Any, **more: Any) -> dict[str, Any]:
    """The configuration: everybody has the plan "free" who did not buy "pro"; `more` options, or other ones."""
    return {
        "database": database,
        "stripe_client": stripe,
        "plans": PLANS,
        "default_plan": "free",
        "base_url": "https://app.example",
        **more,
    }


@contextmanager
def open_billing(database: Any, stripe: Any, **more: Any) -> Generator[Billing]:
    """A `Billing` for the time of the block. `stripe` is the simulator, or a process's view of it."""
    with Billing(**options(database, stripe, **more)) as billing:
        yield billing


@contextmanager
def watched_billing(
    url: str, stripe: RemoteStripe, deadly: int | None = None, strike: Callable[[], None] = die, **more: Any
) -> Generator[tuple[Billing, list[str]]]:
    """A `Billing` with its connections open, and the boundaries that it passes from then on; it dies at `deadly`."""
    boundaries = Boundaries(deadly, strike)
    with open_billing(url, stripe, **more) as billing:
        run_blocking(billing._wiring.core.store.read(lambda _: None))
        run_blocking(billing._wiring.core.store.transaction(lambda _: None))
        boundaries.start(stripe)
        yield billing, boundaries.passed


def new_engine(url: str) -> Engine:
    """An engine that keeps no connection, on a database that has the tables."""
    engine = create_engine(url, poolclass=NullPool)
    make_tables(engine)
    return engine


def subscribe(url: str, stripe: StripeSimulator, *references: str) -> None:
    """Sell "pro" to these references; nothing is left open."""
    with open_billing(url, stripe) as billing:
        for reference in references:
            sold = stripe.subscribe(reference, "pro")
            assert sold.status == "active"
            assert billing.check(reference, "messages", PRO).allowed


def open_account(url: str, stripe: StripeSimulator) -> None:
    """Let the database know whose it is, as after the first start of an application."""
    with open_billing(url, stripe) as billing:
        billing.jobs.run()


def same_receipt(usage: Usage) -> dict[str, Any]:
    """A receipt without what differs between two equal uses by two references: ids, and whether it is a replay."""
    deductions = [{key: value for key, value in each.items() if key != "bucketId"} for each in usage.deductions]
    return {
        "feature": usage.feature,
        "quantity": usage.quantity,
        "funded": usage.funded,
        "unfunded": usage.unfunded,
        "balance": usage.balance,
        "late": usage.late,
        "deductions": deductions,
    }


def sell_untold(url: str, stripe: StripeSimulator, *references: str) -> None:
    """Sell "pro" without a word of it reaching us: the simulator must deliver by hand."""
    with open_billing(url, stripe) as billing:
        for reference in references:
            stripe.pay(billing.subscriptions.upgrade(reference, "pro", success_url="/", cancel_url="/"))
            assert billing.subscriptions.get(reference) is None


def webhook(stripe: StripeSimulator, kind: str, reference: str) -> tuple[bytes, str]:
    """Body and signature of the first event of a type about a reference's customer."""
    customers = stripe.state.world.table("customer").rows
    (customer,) = [id for id, row in customers.items() if row["metadata"].get("referenceId") == reference]
    told = [event for event in stripe.events if event["data"]["object"].get("customer") == customer]
    event = next(event for event in told if event["type"] == kind)
    body = json.dumps(event).encode()
    return body, stripe.sign(body)
