"""How things are sold: what a checkout page asks for, and what trials and returned payments are subject to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from attrs import field, frozen

from .clawback import Clawback
from .plans import BillingInterval, Plan
from .references import Identity, Reference
from .trials import TrialPolicy

_MAX_LOCALE = 20
PaymentMethodCollection = Literal["always", "if_required"]
AddressCollection = Literal["auto", "required"]


@frozen
class CheckoutContext:
    """What `get_checkout_session_params` is told: who buys what.

    `subscription_id` is the id that the subscription will have here; `identity` is None where nobody is signed in.
    """

    reference: Reference
    identity: Identity | None
    plan: Plan
    interval: BillingInterval
    seats: int
    subscription_id: str


@frozen
class Page:
    """What a checkout page asks for. The defaults ask for nothing beside the payment."""

    allow_promotion_codes: bool = False
    payment_method_collection: PaymentMethodCollection = "always"
    billing_address_collection: AddressCollection = "auto"
    tax_id_collection: bool = False
    automatic_tax: bool = False
    locale: str | None = None


@frozen
class Selling:
    """The configuration of everything that is sold."""

    page: Page = field(factory=Page)
    trials: TrialPolicy = field(factory=TrialPolicy)
    clawback: Clawback = "unused"
    session_params: Callable[[CheckoutContext], Any] | None = None


def is_locale(value: object) -> bool:
    """Whether this may be a language tag such as "de" or "pt-BR"."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_LOCALE and value.isascii()
