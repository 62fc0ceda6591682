"""One event of each type of the official package, about the resource of that name from Stripe's own fixtures."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import stripe

from tests.webhooks.shop import envelope

_FIXTURES = Path(__file__).parents[1] / "data" / "stripe-fixtures.json"

RESOURCES = {
    "account.application": "application",
    "account.external_account": "external_account",
    "application_fee.refund": "fee_refund",
    "billing.alert.triggered": "billing.alert_triggered",
    "cash_balance": "cash_balance",
    "charge.dispute": "dispute",
    "charge.refund": "refund",
    "customer.discount": "discount",
    "customer.source": "payment_source",
    "customer.subscription": "subscription",
    "customer.tax_id": "tax_id",
    "issuing_authorization": "issuing.authorization",
    "issuing_card": "issuing.card",
    "issuing_cardholder": "issuing.cardholder",
    "issuing_dispute": "issuing.dispute",
    "issuing_personalization_design": "issuing.personalization_design",
    "issuing_token": "issuing.token",
    "issuing_transaction": "issuing.transaction",
    "sigma.scheduled_query_run": "scheduled_query_run",
    "source.mandate_notification": "source_mandate_notification",
    "source.transaction": "source_transaction",
}
"""The resource of a noun where the two names differ."""

NEAREST = {
    "apps.install": "apps.secret",
    "three_d_secure.authentication": "payment_intent",
}
"""The nearest resource of a noun that the fixtures have nothing of."""


@cache
def event_types() -> tuple[str, ...]:
    """Every type that the official package lists."""
    types: tuple[str, ...] = get_args(get_type_hints(stripe.Event)["type"])
    return types


@cache
def _fixtures() -> dict[str, dict[str, Any]]:
    resources: dict[str, dict[str, Any]] = json.loads(_FIXTURES.read_text())["resources"]
    return resources


def resource_name(type: str) -> str:
    """The name of the fixture for an event type; of a deleted object where the fixtures show it deleted."""
    noun = type if type in RESOURCES else type.rpartition(".")[0]
    name = RESOURCES.get(noun) or NEAREST.get(noun) or noun
    deleted = f"deleted_{name}"
    return deleted if type.endswith(".deleted") and deleted in _fixtures() else name


def resource(type: str) -> dict[str, Any]:
    """The object of an event of that type, to be changed at will."""
    return deepcopy(_fixtures()[resource_name(type)])


def event_of(type: str, *, number: int = 0) -> dict[str, Any]:
    """An event of that type; equal numbers give equal events."""
    id = f"evt_{number}_{type.replace('.', '_')}"
    return envelope(type, resource(type), id, pending_webhooks=0)


def signature_of(body: bytes, secret: str, at: int) -> str:
    """The header `Stripe-Signature` as the official package computes it."""
    digest = stripe.WebhookSignature._compute_signature(f"{at}.{body.decode()}", secret)
    return f"t={at},v1={digest}"
