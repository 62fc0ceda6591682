"""Stripe billing inside your Python application: who may use what, counted exactly, in your own database.

Names are loaded when they are first used, so that importing this package loads neither SQLAlchemy nor httpx.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._aio import AsyncBilling as AsyncBilling
    from ._blocking import Billing as Billing
    from .config import BillingConfig as BillingConfig
    from .domain.answers import Use as Use
    from .domain.answers import WebhookEvent as WebhookEvent
    from .domain.answers import WebhookHealth as WebhookHealth
    from .domain.money import Money as Money
    from .domain.plans import Boolean as Boolean
    from .domain.plans import Credits as Credits
    from .domain.plans import Feature as Feature
    from .domain.plans import Metered as Metered
    from .domain.plans import Plan as Plan
    from .domain.plans import Quantity as Quantity
    from .domain.plans import TopUp as TopUp
    from .domain.plans import UsageLimit as UsageLimit
    from .domain.references import Identity as Identity
    from .domain.references import Reference as Reference
    from .errors import AlreadySubscribed as AlreadySubscribed
    from .errors import BillingError as BillingError
    from .errors import ConfigError as ConfigError
    from .errors import Conflict as Conflict
    from .errors import FeatureDenied as FeatureDenied
    from .errors import Forbidden as Forbidden
    from .errors import IdempotencyMismatch as IdempotencyMismatch
    from .errors import InsufficientBalance as InsufficientBalance
    from .errors import InvalidInput as InvalidInput
    from .errors import InvalidSignature as InvalidSignature
    from .errors import NotBound as NotBound
    from .errors import NotFound as NotFound
    from .errors import PaymentFailed as PaymentFailed
    from .errors import PortalNotConfigured as PortalNotConfigured
    from .errors import PreviewStale as PreviewStale
    from .errors import ProviderNotConfigured as ProviderNotConfigured
    from .errors import StripeRefused as StripeRefused
    from .errors import SubscriptionRequired as SubscriptionRequired
    from .errors import TransactionConflict as TransactionConflict
    from .errors import Unauthorized as Unauthorized
    from .errors import Unavailable as Unavailable
    from .http.gate import requires_feature as requires_feature
    from .http.gate import requires_subscription as requires_subscription

_HOME = {
    "AsyncBilling": "_aio",
    "Billing": "_blocking",
    "BillingConfig": "config",
    "Boolean": "domain.plans",
    "Credits": "domain.plans",
    "Feature": "domain.plans",
    "Identity": "domain.references",
    "Metered": "domain.plans",
    "Money": "domain.money",
    "Plan": "domain.plans",
    "Quantity": "domain.plans",
    "Reference": "domain.references",
    "TopUp": "domain.plans",
    "UsageLimit": "domain.plans",
    "Use": "domain.answers",
    "WebhookEvent": "domain.answers",
    "WebhookHealth": "domain.answers",
    "requires_feature": "http.gate",
    "requires_subscription": "http.gate",
    "AlreadySubscribed": "errors",
    "BillingError": "errors",
    "ConfigError": "errors",
    "Conflict": "errors",
    "FeatureDenied": "errors",
    "Forbidden": "errors",
    "IdempotencyMismatch": "errors",
    "InsufficientBalance": "errors",
    "InvalidInput": "errors",
    "InvalidSignature": "errors",
    "NotBound": "errors",
    "NotFound": "errors",
    "PaymentFailed": "errors",
    "PortalNotConfigured": "errors",
    "PreviewStale": "errors",
    "ProviderNotConfigured": "errors",
    "StripeRefused": "errors",
    "SubscriptionRequired": "errors",
    "TransactionConflict": "errors",
    "Unauthorized": "errors",
    "Unavailable": "errors",
}

__all__ = [*_HOME]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll] - the table says it once


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
