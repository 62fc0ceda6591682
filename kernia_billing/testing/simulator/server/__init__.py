"""The simulator as a server: Stripe's API, the hosted pages and webhooks, for applications in any language."""

from __future__ import annotations

from .service import SimulatorServer

__all__ = ["SimulatorServer"]
