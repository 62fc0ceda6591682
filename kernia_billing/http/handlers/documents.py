"""`GET /billing/openapi.json`: the description of the routes."""

from __future__ import annotations

from ..call import Call
from ..wire import Nothing


async def openapi(call: Call[Nothing]) -> object:
    """The OpenAPI document."""
    # The document is made from the route table, which names this handler.
    from ..openapi import document

    settings = call.service.settings
    return document(settings.mount, has_webhook=settings.has_webhook, kavach=settings.kavach_routes)
