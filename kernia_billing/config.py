"""Configuration: one object, validated whole when it is made.

```python
config = BillingConfig(
    stripe_key="sk_test_…", stripe_webhook_secrets=["whsec_…"], base_url="https://shop.example",
    plans=[Plan("free"), Plan("pro", price_id="price_1…", features={"messages": Metered(10_000)})],
    default_plan="free",
)
```
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib.resources.abc import Traversable
from typing import Any, Literal, Self, TypedDict, Unpack

from attrs import fields

from .configuration.options import canonical, unset
from .configuration.problems import Problems
from .configuration.reading import load_layers, settings_of
from .configuration.settings import Settings
from .configuration.spellings import Given
from .domain.answers import Customer, Event, SubscriptionEvent
from .domain.clawback import Clawback
from .domain.customers import NewCustomer
from .domain.kavach import SubscriptionInfo
from .domain.offer import Offer
from .domain.plan_change import PlanChange
from .domain.plans import Feature, Plan, TopUp
from .domain.references import Action, CustomerType, Identity
from .domain.seats import SeatChangeBehavior
from .domain.secret import Secret
from .domain.selling import AddressCollection, CheckoutContext, PaymentMethodCollection
from .domain.subscriptions import WhilePaused
from .domain.trials import AfterTrial, MissingPaymentMethod, RepeatedCard, TrialScope, WhenBought
from .domain.webhooks import WebhookMode
from .ports.telemetry import Telemetry

Source = str | os.PathLike[str] | Traversable
"""The path of a file or a folder, or a package resource: `importlib.resources.files("shop") / "plans.yaml"`."""
PlansOption = Sequence[Plan | Mapping[str, object]] | Mapping[str, Plan | Mapping[str, object]] | Source

Hook = Callable[[SubscriptionEvent], Any]


class _OtherSpellings(TypedDict, total=False):
    """Names from Better Auth, Kernia and kavachOS, and their groups. Each stands for the option beside it."""

    webhook_secret: str | None  # stripe_webhook_secrets, for one
    secret_key: str | None  # stripe_key
    plans_path: Source | None  # plans
    past_due_grace: timedelta | int | str | None  # grace_period
    subscription: (
        Mapping[str, object] | None
    )  # plans, require_email_verification, authorize_reference, on_subscription_…
    organization: Mapping[str, object] | None  # organization_create_params, on_organization_customer_create, …
    product: Mapping[str, object] | None  # seat_change_behavior
    customer: Mapping[str, object] | None  # default_plan
    checkout: Mapping[str, object] | None  # allow_promotion_codes, payment_method_collection, …, locale
    stripe_auto_tax: bool | None  # automatic_tax


class BillingOptions(_OtherSpellings, total=False):
    """Every option of `BillingConfig`, all optional. None is as good as leaving an option out."""

    database: Any
    stripe_key: str | Secret | None
    stripe_client: Any
    stripe_api_base: str | None
    stripe_webhook_secrets: Sequence[str | Secret] | None
    webhook_tolerance: int | None
    event_bus: Any  # "memory://", "redis://…", "nats://…", "postgresql", or an object
    webhook_mode: WebhookMode | None
    stripe_rate_limit: int | None
    telemetry: Telemetry | str | None  # "auto", "logging", "opentelemetry", "off"
    base_url: str | None
    base_path: str | None
    webhook_path: str | None
    trusted_origins: Sequence[str] | None
    cors: bool | None
    kavach_routes: bool | None
    subscription_for: CustomerType | None
    plans: PlansOption | None
    features: Sequence[Feature | Mapping[str, object]] | None
    top_ups: Sequence[TopUp | Mapping[str, object]] | None
    default_plan: str | None
    plan_change: PlanChange | Mapping[str, object] | None
    default_currency: str | None
    grace_period: timedelta | int | str | None
    while_paused: WhilePaused | None
    dunning_final_attempt: int | None
    card_expiry_notice: timedelta | int | str | None
    direct_cancel: Literal["period_end", "now"] | None
    portal_configuration: str | None
    refresh_interval: timedelta | int | str | None
    event_retention: timedelta | int | str | None
    audit_retention: timedelta | int | str | None
    snapshot_max_age: timedelta | int | str | None
    usage_retention: timedelta | int | str | None
    allow_promotion_codes: bool | None
    payment_method_collection: PaymentMethodCollection | None
    billing_address_collection: AddressCollection | None
    tax_id_collection: bool | None
    automatic_tax: bool | None
    checkout_locale: str | None
    checkout_rate_limit: int | None
    get_checkout_session_params: Callable[[CheckoutContext], Any] | None
    trial_once_per: TrialScope | Sequence[TrialScope] | None
    trial_missing_payment_method: MissingPaymentMethod | None
    behavior_after_trial: AfterTrial | None
    trial_repeated_card: RepeatedCard | None
    trial_when_bought: WhenBought | None
    clawback: Clawback | None
    create_customer_on_sign_up: bool | None
    reuse_customers_by_email: bool | None
    get_customer_create_params: Callable[[NewCustomer, Any], Any] | None
    on_customer_create: Callable[[Customer, Any], Any] | None
    organization_name: Callable[[str], Any] | None
    organization_create_params: Callable[[NewCustomer, Any], Any] | None
    on_organization_customer_create: Callable[[Customer, Any], Any] | None
    auto_create_customer: bool | None
    mirror_columns: Mapping[CustomerType, str] | None
    kavach_columns: str | None
    require_email_verification: bool | None
    authorize_reference: Callable[[Identity, str, Action], Any] | None
    authorize_admin: Callable[[Identity], Any] | None
    member_count: Callable[[str], Any] | None
    seat_change_behavior: SeatChangeBehavior | None
    on_event: Callable[[Event], Any] | None
    on_subscription_change: Callable[[str, SubscriptionInfo], Any] | None
    on_subscription_complete: Hook | None
    on_subscription_created: Hook | None
    on_subscription_update: Hook | None
    on_subscription_cancel: Hook | None
    on_subscription_deleted: Hook | None


class BillingConfig(Settings):
    """Every option with its value; frozen, comparable, and without secrets in its `repr`.

    What an attribute holds is said at the attribute. Keys and signing secrets are `Secret`s: `.reveal()` them where
    they are used.

    Raises:
        ConfigError: something is wrong; `problems` says everything that is, each with the option's name.
    """

    __slots__ = ()

    def __init__(self, **options: Unpack[BillingOptions]) -> None:
        problems = Problems()
        _fill(self, canonical(options, "", problems), problems)

    @classmethod
    def load(cls, *sources: Source | Mapping[str, object], env_prefix: str = "KERNIA_BILLING_") -> Self:
        """The configuration of files (.yaml, .yml, .json, .toml) and mappings, and of the environment, which wins.

        A later source replaces what an earlier one says of an option. In files `${VAR}` stands for an environment
        variable, and a relative path of plans starts from the file's folder; where a function is wanted, its dotted
        path will do. `KERNIA_BILLING_STRIPE_KEY` is `stripe_key`, lists are separated by commas;
        `env_prefix=""` leaves the environment out.

        Raises:
            ConfigError: as the constructor; a missing file or variable, a duplicate key and an unknown option too.
        """
        problems = Problems()
        config = cls.__new__(cls)
        _fill(config, load_layers(sources, env_prefix, problems), problems)
        return config

    def replace(self, **options: Unpack[BillingOptions]) -> Self:
        """A copy in which these options are different; None gives an option its default back. Files are not read again.

        Raises:
            ConfigError: as the constructor.
        """
        problems = Problems()
        kept = {name: each for name, each in self._given.items() if name not in unset(options)}
        config = self.__class__.__new__(self.__class__)
        _fill(config, kept | canonical(options, "", problems), problems)
        return config

    def offer(self) -> Offer:
        """The plans and features, ready to be looked up."""
        return Offer.of(self.plans, self.features, self.default_plan, self.top_ups)


def _fill(config: BillingConfig, given: Mapping[str, Given], problems: Problems) -> None:
    settings = settings_of(given, problems)
    problems.raise_any()
    for each in fields(Settings):
        object.__setattr__(config, each.name, getattr(settings, each.name))
