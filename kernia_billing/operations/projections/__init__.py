"""Bringing Stripe's objects into our tables: the one way in, for webhooks, returning buyers and our own calls alike."""

from __future__ import annotations

from ...domain.reports import Outcome
from .catalog import sync_catalog_object
from .registry import PROJECTIONS, sync_object
from .subscription import adopt_subscriptions, sync_subscription
from .tickets import Also, Fetched, Kind, Projection, ProjectionKind, Ticketed, fetch, store_fetched

__all__ = [
    "PROJECTIONS",
    "Also",
    "Fetched",
    "Kind",
    "Outcome",
    "Projection",
    "ProjectionKind",
    "Ticketed",
    "adopt_subscriptions",
    "fetch",
    "store_fetched",
    "sync_catalog_object",
    "sync_object",
    "sync_subscription",
]
