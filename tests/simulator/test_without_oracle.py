"""Without the official package the simulator works, and refuses by its own rules."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kernia_billing.testing import oracle
from tests.simulator.shop import Shop

_STORY = """
import sys
sys.modules["stripe"] = None                      # as if it were not installed
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name == "stripe" else find(name, *a)
from tests.simulator.shop import Shop
from kernia_billing.testing import oracle
assert not oracle.available()
shop = Shop()
assert shop.buy()["status"] == "active"
assert shop.refused("POST", "/v1/customers", {"emial": "x"}).code == "parameter_unknown"
assert dict(shop.stripe.oracle_counts) == {"requests": 0, "objects": 0, "violations": 0}
"""


def test_it_runs_without_the_package() -> None:
    """In a process that has no `stripe`, a subscription is sold and an unknown parameter refused."""
    subprocess.run([sys.executable, "-c", _STORY], check=True, timeout=60)


def test_absence_is_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A moment without the package does not switch the oracles off for the rest of the process."""
    with monkeypatch.context() as patch:
        patch.setattr(oracle, "available", lambda: False)
        assert (None, None) == (oracle.request_oracle(), oracle.object_oracle())

    assert oracle.request_oracle() is oracle.request_oracle() is not None
    assert oracle.object_oracle() is oracle.object_oracle() is not None


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop whose requests no oracle sees."""
    monkeypatch.setattr(oracle, "available", lambda: False)
    return Shop()


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"mode": "subs"}, None),
        ({"mode": None}, "parameter_missing"),
        ({"line_items[0][price]": None}, "parameter_missing"),
        ({"line_items[0][quantity]": "many"}, "parameter_invalid_integer"),
        ({"line_items[0][prize]": "x"}, "parameter_unknown"),
        ({"line_items[0][price]": "", "line_items[0][quantity]": "1"}, "parameter_invalid_empty"),
        ({"allow_promotion_codes": "yes"}, None),
        ({"metadata": "x"}, None),
        ({"subscription_data": "x"}, None),
        ({"expires_at": "soon"}, "parameter_invalid_integer"),
        ({"expand": "line_items"}, None),
    ],
)
def test_its_own_rules(unjudged: Shop, params: dict[str, str], code: str | None) -> None:
    """Unknown, missing, mistyped and empty parameters are refused by the simulator itself."""
    refusal = unjudged.refused("POST", "/v1/checkout/sessions", unjudged.checkout_params(**params))

    assert (400, code) == (refusal.status, refusal.code)


def test_counts_grow_with_what_is_checked(shop: Shop) -> None:
    """Every request is counted, and every object that leaves, in events too; for the simulator and the process."""
    before = dict(oracle.totals)

    shop.customer()
    shop.get("/v1/customers")

    assert {"requests": 2, "objects": 3, "violations": 0} == dict(shop.stripe.oracle_counts)
    assert 2 <= oracle.totals["requests"] - before.get("requests", 0)


def test_wrong_objects_are_loud(shop: Shop) -> None:
    """An object that Stripe would not give out raises through the client, as the bug that it is."""
    from kernia_billing.testing.simulator import SimulatorBug

    customer = shop.customer()
    shop.stripe.state.world.table("customer").get(customer)["balance"] = "none"

    with pytest.raises(SimulatorBug, match="balance: 'none' is not an integer"):
        shop.get(f"/v1/customers/{customer}")
