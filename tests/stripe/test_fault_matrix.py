"""Every operation that calls Stripe, under every way in which a call can break: it heals, and nothing is made twice.

Each operation meets each fault once, so that the client's own repetition heals it, and as often as the client tries,
so that the caller's does. In the end Stripe holds what one undisturbed call would have made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from attrs import field, frozen

from kernia_billing import BillingError
from kernia_billing.testing import Fault
from kernia_billing.testing.simulator.api.faults import Kind
from tests.webhooks.shop import Shop, opened

CUSTOMERS, SESSIONS, PORTALS = "/v1/customers", "/v1/checkout/sessions", "/v1/billing_portal/sessions"
ATTEMPTS = 3
"""How often the client tries a call."""


@frozen
class Mode:
    """A way in which calls break."""

    kind: Any
    status: int = 500
    options: dict[str, Any] = field(factory=dict[str, Any])
    refused: bool = False
    """Whether Stripe has judged the request, so that the next is another one."""
    final: bool = False
    """Whether the client does not repeat the call."""
    kept: bool = False
    """Whether Stripe answers so for a day."""

    def fault(self, method: str, path: str, times: int) -> Fault:
        """The rule for calls of that method to that path."""
        return Fault(self.kind, self.status, method=method, path=path, times=times, **self.options)


MODES = {
    "ok": Mode("ok"),
    "refuse_connect": Mode("refuse_connect"),
    "timeout_before": Mode("timeout_before"),
    "apply_then_timeout": Mode("timeout_after"),
    "reset_before": Mode("reset_before"),
    "apply_then_reset": Mode("reset_after"),
    "torn_json before": Mode("torn_before"),
    "torn_json": Mode("torn_after"),
    "slow_drip before": Mode("drip_before"),
    "slow_drip": Mode("drip_after"),
    "400": Mode("status", 400, refused=True, final=True),
    "400 kept": Mode("status", 400, {"sticky": True}, refused=True, final=True, kept=True),
    "401": Mode("status", 401, final=True),
    "402": Mode("status", 402, {"decline_code": "insufficient_funds"}, refused=True, final=True),
    "404": Mode("status", 404, refused=True, final=True),
    "409 in use": Mode("status", 409),
    "409 conflict": Mode("status", 409, {"code": "conflict"}),
    "429": Mode("status", 429),
    "429 with advice": Mode("status", 429, {"retry_after": 3, "should_retry": True}),
    "429 lock_timeout": Mode("status", 429, {"code": "lock_timeout"}),
    "500": Mode("status", 500),
    "500 applied": Mode("status", 500, {"sticky": True, "apply": True}, kept=True),
    "500 not applied": Mode("status", 500, {"sticky": True}, kept=True),
    "400 html": Mode("html", 400, final=True),
    "400 html applied": Mode("html", 400, {"apply": True}, final=True),
    "404 html": Mode("html", 404, final=True),
    "413 html applied": Mode("html", 413, {"apply": True}, final=True),
    "502 html": Mode("html_502"),
    "503": Mode("status", 503, {"should_retry": False}, final=True),
    "302": Mode("redirect", options={"location": "https://elsewhere.example"}, final=True),
}


@pytest.fixture
def memory_shop() -> Iterator[Shop]:
    """An application on a database in memory, to which Stripe delivers at once."""
    with opened(Shop("sqlite://")) as shop:
        yield shop


def _expire_the_other(shop: Shop) -> object:
    """Ordering another plan expires the page that is open."""
    return shop.upgrade(plan="team")


def _order_elsewhere(shop: Shop) -> None:
    shop.billing.customers.ensure("ann")
    shop.upgrade()


def _buy_unheard(shop: Shop) -> None:
    """Pay a page of which no webhook tells."""
    shop.stripe.state.delivers = False
    shop.stripe.pay(shop.upgrade())


def _come_back(shop: Shop) -> object:
    (session,) = shop.objects("checkout.session")
    bought = shop.billing.sync_checkout(session["id"]).subscription
    return bought and bought.plan


def _sync_catalog(shop: Shop) -> object:
    return shop.billing.catalog.sync()["prices"]


def _webhook_endpoint(shop: Shop) -> object:
    """What needs no row of ours: the caller keeps the key."""
    params = {"url": "https://shop.example/hook", "enabled_events": ["*"]}
    request = shop.billing._wiring.core.provider().request("POST", "/v1/webhook_endpoints", params, idempotency_key="w")
    return _run(request)["id"]


def _run(coroutine: Any) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("a blocking client never waits")


@frozen
class Operation:
    """One operation, the calls of it that break, and what Stripe holds afterwards."""

    act: Callable[[Shop], object]
    method: str
    path: str
    holds: dict[str, int]
    before: Callable[[Shop], object] = lambda _shop: None
    again: bool = True
    """Whether the same call again answers the same."""
    one_key: bool = True
    """Whether all tries have one idempotency key, those of later calls too."""
    kept: bool = True
    """Whether it knows what to do when Stripe has forgotten its key."""


OPERATIONS = {
    "customers.ensure": Operation(
        lambda shop: shop.billing.customers.ensure("ann", email="ann@example.com"), "POST", CUSTOMERS, {"customer": 1}
    ),
    "upgrade, the customer": Operation(
        lambda shop: shop.upgrade().session_id, "POST", CUSTOMERS, {"customer": 1, "checkout.session": 1}
    ),
    "upgrade, the page": Operation(
        lambda shop: shop.upgrade().session_id, "POST", SESSIONS, {"customer": 1, "checkout.session": 1}
    ),
    "upgrade, the older page": Operation(
        _expire_the_other,
        "POST",
        f"{SESSIONS}/*/expire",
        {"customer": 1, "checkout.session": 1},
        _order_elsewhere,
        again=False,
    ),
    "upgrade, a look at the older page": Operation(
        _expire_the_other,
        "GET",
        f"{SESSIONS}/*",
        {"customer": 1, "checkout.session": 1},
        _order_elsewhere,
        again=False,
    ),
    "portal": Operation(
        lambda shop: shop.billing.portal("ann", return_url="/account").url.startswith("https://"),
        "POST",
        PORTALS,
        {"customer": 1},
        lambda shop: shop.billing.customers.ensure("ann"),
        one_key=False,
    ),
    "sync_checkout": Operation(
        _come_back, "GET", "/v1/*", {"customer": 1, "checkout.session": 1, "subscription": 1}, _buy_unheard
    ),
    "catalog.sync": Operation(_sync_catalog, "GET", "/v1/*", {}, again=False),
    "a webhook endpoint": Operation(
        _webhook_endpoint, "POST", "/v1/webhook_endpoints", {"webhook_endpoint": 1}, kept=False
    ),
}


def _cases() -> list[Any]:
    """Faults that the client does not repeat, or that lasts of itself, need not come more than once."""
    return [
        pytest.param(operation, mode, times, id=f"{operation}-{mode}-{'once' if times == 1 else 'every attempt'}")
        for operation, what in OPERATIONS.items()
        for mode, how in MODES.items()
        for times in ((1,) if how.final or how.kept else (1, ATTEMPTS))
        if what.kept or not how.kept
    ]


@pytest.mark.parametrize(("operation", "mode", "times"), _cases())
def test_a_broken_call_heals(memory_shop: Shop, operation: str, mode: str, times: int) -> None:
    """After at most three more calls the operation has succeeded, and Stripe holds each object once."""
    shop, what, how = memory_shop, OPERATIONS[operation], MODES[mode]
    what.before(shop)
    asked = len(shop.stripe.requests)
    shop.stripe.faults.append(how.fault(what.method, what.path, times))

    answer, failures = None, 0
    for _ in range(4):
        try:
            answer = what.act(shop)
        except BillingError:
            answer = None
        if answer is not None:
            break
        failures += 1
        if how.kept:
            shop.stripe.advance(days=1, hours=1)  # until Stripe has forgotten the key
    assert answer
    assert failures <= (times if how.final else 1)

    assert _held(shop, what) == what.holds
    struck = [each for each in shop.stripe.requests[asked:] if what.method == each.method == "POST"]
    keys = {each.headers["idempotency-key"] for each in struck if _is(what.path, each.path)}
    if what.method == "POST" and what.one_key and not (how.refused or how.kept):
        assert len(keys) == 1
    if what.again:
        assert what.act(shop) == answer
        assert _held(shop, what) == what.holds
    assert not shop.stripe.violations


def _held(shop: Shop, what: Operation) -> dict[str, int]:
    """How many objects of each kind Stripe has; of pages, those that were paid or can be."""
    return {kind: sum(each.get("status") != "expired" for each in shop.objects(kind)) for kind in what.holds}


def _is(pattern: str, path: str) -> bool:
    head, star, tail = pattern.partition("*")
    return path.startswith(head) and path.endswith(tail) if star else path == pattern


def test_the_matrix_is_complete() -> None:
    """Every kind of fault that the simulator knows is among the modes."""
    assert set(get_args(Kind)) == {mode.kind for mode in MODES.values()}
