"""Webhooks are taken at the route, at the paths of other libraries, and at one of the host's choice."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from flask import Flask

from kernia_billing import Billing
from kernia_billing.errors import ConfigError
from kernia_billing.http.routes import ROUTES, WEBHOOK_ALIASES, table
from kernia_billing.testing import StripeSimulator
from kernia_billing_flask import KerniaBilling as FlaskBilling
from kernia_billing_wsgi import BillingApp
from tests.integrations.sites import OPTIONS, PREFIX, call, environ_of, from_flask
from tests.integrations.test_purchase import webhook


def statuses(path: str, **options: Any) -> tuple[int, int]:
    """What Flask and plain WSGI answer to a signed webhook at a path below the prefix."""
    stripe = StripeSimulator(deliver="manual")
    stripe.add_price("price_new", amount=1000)
    flask = Flask("shop")
    with Billing(stripe_client=stripe, database="sqlite://", **{**OPTIONS, **options}) as billing:
        FlaskBilling(billing, identify=from_flask).init_app(flask)
        sent = evolve(webhook(stripe, stripe.events[0]), target=PREFIX + path)
        plain = evolve(sent, target=path)
        wsgi = BillingApp(billing, identify=lambda _: None)
        return call(flask, environ_of(sent)).status, call(wsgi, environ_of(plain)).status


@pytest.mark.parametrize("path", ["/stripe/webhook", *WEBHOOK_ALIASES])
def test_the_paths_of_other_libraries(path: str) -> None:
    """An endpoint at Stripe that was made for one of them goes on working."""
    assert (200, 200) == statuses(path)


def test_a_path_of_the_hosts_choice() -> None:
    """It is one more, and there only where it was asked for."""
    assert (200, 200) == statuses("/hooks/stripe", webhook_path="/hooks/stripe")
    assert (200, 200) == statuses("/stripe/webhook", webhook_path="/hooks/stripe")
    assert (404, 404) == statuses("/hooks/stripe")


def test_only_stripe_is_answered_there() -> None:
    """They are one route: POST alone, signed, and not there without a secret."""
    with_it, without = table(has_webhook=True, webhook_path="/hooks"), table(has_webhook=False, webhook_path="/hooks")
    for path in ("/hooks", *WEBHOOK_ALIASES):
        assert {"POST": "signed"} == {method: route.action for method, route in with_it[path].items()}
        assert path not in without


@pytest.mark.parametrize(
    "path", sorted({route.path for route in ROUTES if "{" not in route.path and route.action != "signed"})
)
def test_a_path_that_is_taken(path: str) -> None:
    """Another route's path is refused when the application is made."""
    with pytest.raises(ConfigError, match=f"webhook_path: {path} is the path of another route"):
        Billing(database="sqlite://", webhook_path=path)


def test_stripe_is_told_the_hosts_choice() -> None:
    """The endpoint that is made at Stripe sends there."""
    stripe = StripeSimulator()
    chosen: dict[str, Any] = {"base_url": "https://shop.example", "base_path": "/api", "webhook_path": "/hooks/stripe/"}
    with Billing(stripe_client=stripe, database="sqlite://", **chosen) as billing:
        assert "https://shop.example/api/hooks/stripe" == billing.webhooks.create_endpoint().url
