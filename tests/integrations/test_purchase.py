"""A purchase, over HTTP alone: checkout, Stripe's webhooks as bytes, and gates that open and close."""

from __future__ import annotations

import json

import pytest
from fastapi import FastAPI
from flask import Flask

from kernia_billing import AsyncBilling, Billing, requires_subscription
from kernia_billing.testing import AsyncStripeSimulator, StripeSimulator
from kernia_billing_fastapi import KerniaBilling as FastApiBilling
from kernia_billing_flask import KerniaBilling as FlaskBilling
from tests.integrations.sites import (
    JSON,
    OPTIONS,
    PREFIX,
    USER,
    Answer,
    Sent,
    ask,
    call,
    environ_of,
    fastapi_identity,
    from_flask,
)

UPGRADE = Sent(
    "POST",
    f"{PREFIX}/subscription/upgrade",
    {**USER, **JSON},
    b'{"plan": "pro", "successUrl": "/ok", "cancelUrl": "/no", "disableRedirect": true}',
)
LIST = Sent("GET", f"{PREFIX}/subscription/list", USER)
GATED = Sent("GET", "/gated", USER)


def gated() -> str:
    """A view for subscribers."""
    return "subscribed"


def webhook(stripe: StripeSimulator | AsyncStripeSimulator, event: object) -> Sent:
    """A request as Stripe sends it."""
    body = json.dumps(event, indent=2).encode()
    headers = {"content-type": "application/json; charset=utf-8", "stripe-signature": stripe.sign(body)}
    return Sent("POST", f"{PREFIX}/stripe/webhook", headers, body)


def judge(received: list[Answer], again: list[Answer], after: list[Answer]) -> None:
    """Each event was taken in once, and the purchase is there."""
    assert {each.status for each in received + again} == {200}
    assert all(each.json["received"] is True for each in received + again)
    assert all(each.json.get("skipped") is True for each in again)
    gate, rows = after
    assert gate.body.strip(b'"') == b"subscribed"
    assert [(row["plan"], row["status"]) for row in rows.json] == [("pro", "active")]


def test_flask() -> None:
    """Blocking, under Flask."""
    stripe = StripeSimulator(deliver="manual")
    app = Flask("shop")
    app.add_url_rule("/gated", view_func=requires_subscription()(gated))
    with Billing(stripe_client=stripe, database="sqlite://", **OPTIONS) as billing:
        FlaskBilling(billing, identify=from_flask).init_app(app)
        assert call(app, environ_of(GATED)).status == 402
        stripe.pay(call(app, environ_of(UPGRADE)).json["url"])
        sent = [webhook(stripe, event) for event in stripe.events]
        received, again = ([call(app, environ_of(each)) for each in sent] for _ in range(2))
        judge(received, again, [call(app, environ_of(GATED)), call(app, environ_of(LIST))])


@pytest.mark.anyio
async def test_fastapi() -> None:
    """On asyncio, under FastAPI; the gate is on a `def` endpoint."""
    stripe = AsyncStripeSimulator(deliver="manual")
    app = FastAPI()
    app.get("/gated")(requires_subscription()(gated))
    async with AsyncBilling(stripe_client=stripe, database="sqlite://", **OPTIONS) as billing:
        FastApiBilling(billing, identify=fastapi_identity).init_app(app)
        assert (await ask(app, GATED)).status == 402
        await stripe.pay((await ask(app, UPGRADE)).json["url"])
        sent = [webhook(stripe, event) for event in stripe.events]
        received = [await ask(app, each) for each in sent]
        again = [await ask(app, each) for each in sent]
        judge(received, again, [await ask(app, GATED), await ask(app, LIST)])
