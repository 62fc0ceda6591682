"""What is wrong in a set-up is said when it is made, with what to do about it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from flask import Flask

from kernia_billing import ConfigError
from kernia_billing_asgi import BillingApp as AsgiApp
from kernia_billing_asgi import BillingMiddleware as AsgiMiddleware
from kernia_billing_fastapi import KerniaBilling as FastApiBilling
from kernia_billing_flask import KerniaBilling as FlaskBilling
from kernia_billing_wsgi import BillingApp as WsgiApp
from kernia_billing_wsgi import BillingMiddleware as WsgiMiddleware
from tests.integrations.sites import async_billing, blocking_billing, from_scope

ROOT = Path(__file__).resolve().parents[2]


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    """An application."""


def _wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


ASYNC: list[Callable[..., Any]] = [AsgiApp, partial(AsgiMiddleware, _asgi), FastApiBilling]
BLOCKING: list[Callable[..., Any]] = [WsgiApp, partial(WsgiMiddleware, _wsgi), FlaskBilling]


async def identify_later(about: object) -> None:
    """An asynchronous function."""


@pytest.mark.parametrize("make", [*ASYNC, *BLOCKING])
def test_the_wrong_facade(make: Callable[..., Any]) -> None:
    """Each kind of integration takes one kind of facade, and says which."""
    wrong, _ = blocking_billing() if make in ASYNC else async_billing()
    right = "AsyncBilling" if make in ASYNC else "Billing"

    with pytest.raises(ConfigError, match=rf"billing: this integration takes {right}, not"):
        make(wrong, identify=from_scope)
    for nothing in (None, "sqlite://", object()):
        with pytest.raises(ConfigError, match=rf"billing: must be {right}\("):
            make(nothing, identify=from_scope)


@pytest.mark.parametrize("make", [*ASYNC, *BLOCKING])
def test_identify_must_be_a_function(make: Callable[..., Any]) -> None:
    """Whatever cannot be called is refused, and so is a coroutine function where nothing awaits."""
    right, _ = async_billing() if make in ASYNC else blocking_billing()

    for identify in (None, "user_1"):
        with pytest.raises(ConfigError, match="identify: must be a function"):
            make(right, identify=identify)
    if make in BLOCKING:
        with pytest.raises(ConfigError, match="identify: Billing cannot await"):
            make(right, identify=identify_later)
    else:
        make(right, identify=identify_later)


@pytest.mark.parametrize("url", ["", "billing", "javascript:alert(1)", "/a b", "/a\r\nset-cookie: x=1", None, 5])
def test_the_paywall_must_be_a_url(url: Any) -> None:
    """It goes into a Location header."""
    billing, _ = blocking_billing()

    with pytest.raises(ConfigError, match="paywall_url: must be a path"):
        FlaskBilling(billing, identify=lambda: None, paywall_url=url)


def test_every_mistake_is_named_at_once() -> None:
    """One error for what is wrong with the options."""
    billing, _ = blocking_billing()
    wrong: Any = "nothing"

    with pytest.raises(ConfigError) as raised:
        FlaskBilling(billing, identify=wrong, paywall_url=wrong)
    assert [each.partition(":")[0] for each in raised.value.problems] == ["identify", "paywall_url"]


@pytest.mark.parametrize("prefix", ["", "/", "/api/auth/", "api/auth", "/api/<tenant>", "/api/{tenant}", "/billing"])
def test_the_prefix_must_be_where_base_path_says(prefix: str) -> None:
    """Otherwise buyers would come back from Checkout to a page that does not exist."""
    blocking, _ = blocking_billing()
    asynchronous, _ = async_billing()

    with pytest.raises(ConfigError, match="url_prefix"):
        FlaskBilling(blocking, identify=lambda: None).init_app(Flask("shop"), url_prefix=prefix)
    with pytest.raises(ConfigError, match="prefix"):
        FastApiBilling(asynchronous, identify=from_scope).init_app(FastAPI(), prefix=prefix)
    elsewhere, _ = blocking_billing(base_path="/shop/billing")
    FlaskBilling(elsewhere, identify=lambda: None).init_app(Flask("shop"), url_prefix="/billing")


@pytest.mark.parametrize("framework", ["flask", "fastapi"])
def test_a_missing_framework_names_its_extra(framework: str) -> None:
    """The error says what to install."""
    script = f"import sys; sys.modules[{framework!r}] = None; import kernia_billing_{framework}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'integrations'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert f'pip install "kernia-billing[{framework}]"' in done.stderr


@pytest.mark.parametrize("package", ["asgi", "wsgi"])
def test_the_plain_integrations_need_no_framework(package: str) -> None:
    """Neither a framework nor a server is imported."""
    script = f"import sys, kernia_billing_{package}; print([*sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'integrations'}"},
        capture_output=True,
        text=True,
        check=True,
    )

    for name in ("flask", "fastapi", "starlette", "werkzeug", "sqlalchemy", "httpx"):
        assert f"'{name}'" not in done.stdout
