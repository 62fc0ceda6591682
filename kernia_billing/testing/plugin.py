"""The pytest plugin: the application's own billing object, over a simulated Stripe and a database in memory.

```toml
[tool.pytest.ini_options]
kernia_billing = "shop:billing"      # the object that your application uses
```

Fixtures: `billing` and `stripe` where that object is a `Billing`, `async_billing` and `async_stripe` where it is an
`AsyncBilling`. A fixture of the same name in your own tests wins.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .. import AsyncBilling, Billing
    from . import AsyncStripeSimulator, StripeSimulator

_OPTION = "kernia_billing"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option that names the application's billing object."""
    parser.addini(_OPTION, "the application's billing object, as module:attribute", default="")


def _application(config: pytest.Config, expected: str) -> Any:
    target = str(config.getini(_OPTION))
    module, _, attribute = target.partition(":")
    if not module or not attribute:
        raise pytest.UsageError(f'set {_OPTION} = "module:attribute" in the pytest configuration')
    found = getattr(import_module(module), attribute)
    if type(found).__name__ != expected:
        raise pytest.UsageError(f"{target} is no {expected}: use the fixtures for {type(found).__name__}")
    return found


@pytest.fixture
def stripe(pytestconfig: pytest.Config) -> Iterator[StripeSimulator]:
    """A simulated Stripe behind the application's `Billing`; drives its time, its buyers and its webhooks."""
    from . import simulated

    with simulated(_application(pytestconfig, "Billing")) as simulator:
        yield simulator


@pytest.fixture
def billing(pytestconfig: pytest.Config, stripe: StripeSimulator) -> Billing:
    """The application's own `Billing`, over the simulated Stripe and a database of its own in memory."""
    found: Billing = _application(pytestconfig, "Billing")
    return found


@pytest.fixture
async def async_stripe(pytestconfig: pytest.Config) -> AsyncIterator[AsyncStripeSimulator]:
    """A simulated Stripe behind the application's `AsyncBilling`."""
    from . import simulated_async

    async with simulated_async(_application(pytestconfig, "AsyncBilling")) as simulator:
        yield simulator


@pytest.fixture
def async_billing(pytestconfig: pytest.Config, async_stripe: AsyncStripeSimulator) -> AsyncBilling:
    """The application's own `AsyncBilling`, over the simulated Stripe and a database of its own in memory."""
    found: AsyncBilling = _application(pytestconfig, "AsyncBilling")
    return found
