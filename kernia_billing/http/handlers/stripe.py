"""`/stripe/…`: webhooks, and the imported catalog."""

from __future__ import annotations

from msgspec import UNSET

from ...errors import InvalidSignature
from .. import answers, views
from ..call import Call
from ..messages import WEBHOOK_LIMIT
from ..wire import ListPrices, ListProducts, Nothing


async def webhook(call: Call[Nothing]) -> answers.ReceivedView:
    """Take in a webhook. The signature is over the bytes as they came, so nothing decodes them before."""
    signature = call.request.headers.get("stripe-signature", "")
    if not signature:
        raise InvalidSignature
    body = await call.request.read_body(WEBHOOK_LIMIT)
    if not body:
        raise InvalidSignature
    receipt = await call.service.receive_webhook(body, signature)
    return answers.ReceivedView(skipped=True if receipt.status == "skipped" else UNSET)


async def webhook_health(call: Call[Nothing]) -> answers.WebhookHealthView:
    """How webhooks are doing."""
    return views.webhook_health_view(await call.service.webhook_health())


async def sync_catalog(call: Call[Nothing]) -> answers.SyncView:
    """Import products and prices from Stripe."""
    counts = await call.service.sync_catalog()
    return views.sync_view(counts, await call.service.last_sync())


async def products(call: Call[ListProducts]) -> answers.ProductsView:
    """List imported products."""
    asked = call.input
    return views.products_view(await call.service.products(active=asked.active, limit=asked.limit, after=asked.cursor))


async def prices(call: Call[ListPrices]) -> answers.PricesView:
    """List imported prices."""
    asked = call.input
    page = await call.service.prices(
        active=asked.active, product_id=asked.product_id, limit=asked.limit, after=asked.cursor
    )
    return views.prices_view(page)
