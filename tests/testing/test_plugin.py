"""The pytest plugin, in a project of a user."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SHOP = """
from kernia_billing import {facade}, FeatureDenied, Metered, Plan, Quantity, requires_feature

billing = {facade}(
    database="sqlite:///production.db",
    stripe_key="sk_test_not_real",
    stripe_webhook_secrets=["whsec_not_real"],
    base_url="https://shop.example",
    plans=[Plan("team", price_id="price_team", features={{"projects": Quantity(2), "tokens": Metered(100)}})],
)
heard = []
billing.on("subscription.activated")(lambda event: heard.append(event.reference.id))


@requires_feature("projects")
def export() -> str:
    return "done"
"""
BLOCKING = """
import pytest
import shop
from kernia_billing import FeatureDenied, IdempotencyMismatch


def test_gate_closes_after_grace(billing, stripe):
    stripe.subscribe("org_1", "team")
    assert billing.check("org_1", "projects", required=2)
    stripe.use_card("org_1", "4000000000000002")
    stripe.advance(months=1, hours=2)
    assert billing.check("org_1", "projects")
    stripe.advance(days=8)
    assert billing.check("org_1", "projects").reason == "subscription_past_due"
    stripe.use_card("org_1", "4242424242424242")
    stripe.collect("org_1")
    assert billing.check("org_1", "projects")


def test_counts_once(billing, stripe):
    assert billing is shop.billing
    stripe.subscribe("org_1", "team")
    first = billing.consume("org_1", "projects", idempotency_key="project:1")
    again = billing.consume("org_1", "projects", idempotency_key="project:1")
    assert again.replayed and again.event_id == first.event_id
    with pytest.raises(IdempotencyMismatch):
        billing.consume("org_1", "projects", 2, idempotency_key="project:1")
    with billing.bind("org_1"):
        assert shop.export() == "done"
    billing.consume("org_1", "projects")
    with billing.bind("org_1"), pytest.raises(FeatureDenied):
        shop.export()
    assert shop.heard[-1] == "org_1"


def test_every_test_begins_anew(billing, stripe):
    assert billing.customers.get("org_1") is None
"""
ASYNCHRONOUS = """
import pytest


@pytest.mark.anyio
async def test_story(async_billing, async_stripe):
    await async_stripe.subscribe("org_1", "team")
    assert await async_billing.check("org_1", "projects", required=2)
    await async_billing.consume("org_1", "projects", 2)
    assert not await async_billing.check("org_1", "projects")


@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def _run(folder: Path, shop: str, tests: str, target: str = "shop:billing") -> subprocess.CompletedProcess[str]:
    (folder / "shop.py").write_text(shop)
    (folder / "test_shop.py").write_text(tests)
    (folder / "pytest.ini").write_text(f"[pytest]\nkernia_billing = {target}\npythonpath = .\n")
    installed = any(each.name == "kernia_billing" for each in entry_points(group="pytest11"))
    plugin = [] if installed else ["-p", "kernia_billing.testing.plugin"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:xdist", *plugin],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_blocking_application(tmp_path: Path) -> None:
    """The application's own object works over the simulator, its gates and hooks with it, and every test is alone."""
    done = _run(tmp_path, SHOP.format(facade="Billing"), BLOCKING)

    assert "3 passed" in done.stdout, done.stdout + done.stderr
    assert not (tmp_path / "production.db").exists()


def test_asynchronous_application(tmp_path: Path) -> None:
    """The same for an application on asyncio."""
    done = _run(tmp_path, SHOP.format(facade="AsyncBilling"), ASYNCHRONOUS)

    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("target", "told"),
    [("shop", "module:attribute"), ("shop:nothing", "nothing"), ("shop:heard", "Billing")],
)
def test_a_wrong_target_is_explained(tmp_path: Path, target: str, told: str) -> None:
    """The setting is named, and what it has to be."""
    done = _run(tmp_path, SHOP.format(facade="Billing"), BLOCKING, target)

    assert 0 != done.returncode
    assert told in done.stdout
