"""BillingConfig: what it holds, what it refuses, and that it says so all at once and without a secret."""

from __future__ import annotations

import copy
import pickle
import sys
import traceback
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs
import httpx
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import create_async_engine

from kernia_billing.bus.memory import MemoryBus
from kernia_billing.config import BillingConfig, BillingOptions
from kernia_billing.configuration.options import NAMES, OPTIONS, SPELLINGS
from kernia_billing.configuration.settings import Settings
from kernia_billing.domain.plans import Allowance, Boolean, Credits, Feature, Metered, Plan, Quantity, TopUp, UsageLimit
from kernia_billing.domain.references import Identity
from kernia_billing.domain.secret import Secret
from kernia_billing.domain.urls import TrustedOrigins
from kernia_billing.errors import ConfigError
from kernia_billing.ports.telemetry import NullTelemetry

KEY = "sk_test_51Canary0"
SECRET = "whsec_canary1"
_BUS_URL = "must be memory://, redis://…, rediss://…, unix://…, nats://…, tls://… or postgresql"
_BUS_OBJECT = (
    "must be a URL, or an object with the methods publish, receive, wait, waiting, dead_letters, healthy, close"
)
STRIPE: dict[str, Any] = {"stripe_key": KEY, "stripe_webhook_secrets": [SECRET], "base_url": "https://shop.example"}


def build(options: Mapping[str, Any]) -> BillingConfig:
    """Options that the type checkers would refuse, or need not see."""
    return BillingConfig(**options)


def problems_of(options: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with the options."""
    with pytest.raises(ConfigError) as caught:
        build(options)
    return caught.value.problems


def plan(name: str = "pro", **members: Any) -> dict[str, Any]:
    """Options with one plan, which has a price."""
    return {"plans": [{"name": name, "price_id": "price_1", **members}]}


def feature(**members: Any) -> dict[str, Any]:
    """Options with one plan that has one feature, metered unless said otherwise."""
    return plan(features={"messages": {"kind": "metered", **members}})


PAIRED = [
    {"name": "pro", "price_id": "price_1"},
    {"name": "team", "price_id": "price_2"},
    {"name": "extra", "price_id": "price_3", "group": "extras"},
]


def pair(to: str = "team", **members: Any) -> dict[str, Any]:
    """Options that say something of the change from the plan "pro" to another one."""
    return {"plans": PAIRED, "plan_change": {"pairs": [{"from": "pro", "to": to, **members}]}}


def sold(*features: Feature) -> dict[str, Any]:
    """Options with one plan that has a feature of every kind, and these declared ones."""
    given: dict[str, Allowance] = {
        "sso": Boolean(),
        "projects": Quantity(5),
        "messages": Metered(9),
        "credits": Credits(9),
        "gold": Credits(9),
    }
    return {"plans": [Plan("pro", price_id="price_1", seats=True, features=given)], "features": features}


def costing(cost: Any = None, **costs: Any) -> Feature:
    """A feature that is in no plan, with what it costs in credits."""
    return Feature("images", credit_cost=cost or costs)


def pack(**members: Any) -> dict[str, Any]:
    """What is sold, and one top-up."""
    return {**sold(), "top_ups": [{"name": "pack", "price_id": "price_2", "grants": {"messages": 5}, **members}]}


# ── What is there when nothing is said ───────────────────────────────────────────────────────────────────────────────


def test_defaults() -> None:
    """Without any option the library is offline, on a SQLite file, and denies what nobody allowed."""
    config = BillingConfig()

    assert config.database == "sqlite:///billing.db"
    assert config.stripe_key is None
    assert config.stripe_webhook_secrets == ()
    assert config.base_url == "http://localhost:8000"
    assert config.base_path == "/api/auth"
    assert config.subscription_for == "user"
    assert config.grace_period == timedelta(days=7)
    assert config.webhook_tolerance == 300
    assert config.webhook_mode == "inline"
    assert config.event_bus is None
    assert config.stripe_rate_limit is None
    assert config.telemetry == "auto"
    assert config.create_customer_on_sign_up is True
    assert config.require_email_verification is False
    assert config.authorize_reference is None
    assert config.default_currency == "usd"
    assert (config.plans, config.features, config.top_ups) == ((), (), ())
    assert config.offer().default_plan is None


def test_administrators_are_who_the_host_says() -> None:
    """The default of authorize_admin takes True and nothing that merely counts as true."""
    allows = BillingConfig().authorize_admin

    assert allows(Identity("u", is_admin=True)) is True
    assert allows(Identity("u")) is False
    assert allows(Identity("u", is_admin="yes")) is False  # type: ignore[arg-type]  # on purpose


def test_frozen() -> None:
    """A configuration cannot be changed, and does not change with what it was made from."""
    limits, alerts, where, cost, grants = {"projects": 3}, [80], {"model": "big"}, {"credits": 2}, {"credits": 5}
    caps = [UsageLimit(5, where=where)]
    features: dict[str, Allowance] = {"messages": Metered(1, limits=caps, alerts=alerts), "credits": Credits(1)}
    config = BillingConfig(
        plans=[Plan("pro", price_id="p", limits=limits, features=features)],
        features=[Feature("messages", credit_cost=cost)],
        top_ups=[TopUp("pack", price_id="q", grants=grants)],
    )
    limits["projects"], where["model"], cost["credits"], grants["credits"] = 4, "small", 4, 4
    features["messages"] = Metered(2)
    alerts.append(90)
    caps.clear()

    assert config.plans[0].limits == {"projects": 3}
    assert config.plans[0].features["messages"] == Metered(
        1, limits=(UsageLimit(5, where={"model": "big"}),), alerts=(80,)
    )
    assert (config.features[0].credit_cost, config.top_ups[0].grants) == ({"credits": 2}, {"credits": 5})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        config.base_url = "https://elsewhere.example"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue] - it must refuse
    assert copy.copy(config) == config


# ── The declared options are the options ─────────────────────────────────────────────────────────────────────────────


def assignable(value: Any, option: Any) -> bool:
    """Whether every value of the one annotation is a value of the other, as far as options need it."""
    if option is Any or value == option:
        return True
    if get_origin(value) in (Union, UnionType):
        return all(assignable(each, option) for each in get_args(value))
    if get_origin(option) in (Union, UnionType):
        return any(assignable(value, each) for each in get_args(option))
    if get_origin(value) is tuple and get_origin(option) is Sequence:
        return assignable(get_args(value)[0], get_args(option)[0])
    return value is NoneType and option is NoneType


def test_options_are_the_attributes() -> None:
    """BillingOptions names every attribute and every other spelling, and no more."""
    declared = set(get_type_hints(BillingOptions))

    assert set(NAMES) == {each.name for each in attrs.fields(Settings) if not each.name.startswith("_")}
    assert set(NAMES) <= declared
    assert declared - set(NAMES) == SPELLINGS - set(NAMES) - {"webhook_secrets", "stripe_webhook_secret"}


@pytest.mark.parametrize("name", NAMES)
def test_attributes_are_good_options(name: str) -> None:
    """What an attribute holds can be given as the option: the types agree, and None means the default."""
    option = get_type_hints(BillingOptions)[name]

    assert assignable(get_type_hints(Settings)[name], option)
    assert option is Any or NoneType in get_args(option)
    assert build({name: None}) == BillingConfig()


def options_of(config: BillingConfig) -> BillingOptions:
    """Type-checked: every attribute is a good value for its option."""
    return {
        "database": config.database,
        "stripe_key": config.stripe_key,
        "stripe_client": config.stripe_client,
        "stripe_api_base": config.stripe_api_base,
        "stripe_webhook_secrets": config.stripe_webhook_secrets,
        "webhook_tolerance": config.webhook_tolerance,
        "event_bus": config.event_bus,
        "webhook_mode": config.webhook_mode,
        "stripe_rate_limit": config.stripe_rate_limit,
        "telemetry": config.telemetry,
        "base_url": config.base_url,
        "base_path": config.base_path,
        "webhook_path": config.webhook_path,
        "trusted_origins": config.trusted_origins,
        "cors": config.cors,
        "kavach_routes": config.kavach_routes,
        "subscription_for": config.subscription_for,
        "plans": config.plans,
        "features": config.features,
        "top_ups": config.top_ups,
        "default_plan": config.default_plan,
        "plan_change": config.plan_change,
        "default_currency": config.default_currency,
        "grace_period": config.grace_period,
        "while_paused": config.while_paused,
        "dunning_final_attempt": config.dunning_final_attempt,
        "card_expiry_notice": config.card_expiry_notice,
        "direct_cancel": config.direct_cancel,
        "portal_configuration": config.portal_configuration,
        "refresh_interval": config.refresh_interval,
        "event_retention": config.event_retention,
        "audit_retention": config.audit_retention,
        "snapshot_max_age": config.snapshot_max_age,
        "usage_retention": config.usage_retention,
        "allow_promotion_codes": config.allow_promotion_codes,
        "payment_method_collection": config.payment_method_collection,
        "billing_address_collection": config.billing_address_collection,
        "tax_id_collection": config.tax_id_collection,
        "automatic_tax": config.automatic_tax,
        "checkout_locale": config.checkout_locale,
        "checkout_rate_limit": config.checkout_rate_limit,
        "get_checkout_session_params": config.get_checkout_session_params,
        "trial_once_per": config.trial_once_per,
        "trial_missing_payment_method": config.trial_missing_payment_method,
        "behavior_after_trial": config.behavior_after_trial,
        "trial_repeated_card": config.trial_repeated_card,
        "trial_when_bought": config.trial_when_bought,
        "clawback": config.clawback,
        "create_customer_on_sign_up": config.create_customer_on_sign_up,
        "reuse_customers_by_email": config.reuse_customers_by_email,
        "get_customer_create_params": config.get_customer_create_params,
        "on_customer_create": config.on_customer_create,
        "organization_name": config.organization_name,
        "organization_create_params": config.organization_create_params,
        "on_organization_customer_create": config.on_organization_customer_create,
        "auto_create_customer": config.auto_create_customer,
        "mirror_columns": config.mirror_columns,
        "kavach_columns": config.kavach_columns,
        "require_email_verification": config.require_email_verification,
        "authorize_reference": config.authorize_reference,
        "authorize_admin": config.authorize_admin,
        "member_count": config.member_count,
        "seat_change_behavior": config.seat_change_behavior,
        "on_event": config.on_event,
        "on_subscription_change": config.on_subscription_change,
        "on_subscription_complete": config.on_subscription_complete,
        "on_subscription_created": config.on_subscription_created,
        "on_subscription_update": config.on_subscription_update,
        "on_subscription_cancel": config.on_subscription_cancel,
        "on_subscription_deleted": config.on_subscription_deleted,
    }


def test_round_trip_covers_every_option() -> None:
    """The table above forgets nothing."""
    assert set(options_of(BillingConfig())) == set(NAMES)


KEYS = st.from_regex(r"[A-Za-z0-9_.:-]{1,20}", fullmatch=True)
AMOUNTS = st.integers(0, 2**53 - 1)
RESETS = st.sampled_from(["hour", "day", "week", "month", "quarter", "year", "never"])


LIMITS = st.lists(
    st.builds(
        UsageLimit,
        AMOUNTS,
        per=st.sampled_from(["hour", "day", "week", "month", "year"]),
        count=st.integers(1, 1_000),
        per_entity=st.booleans(),
        where=st.dictionaries(st.sampled_from(["model", "region"]), st.booleans() | st.integers(0, 1), max_size=2),
        timezone=st.sampled_from(["UTC", "Europe/Berlin"]),
    ),
    max_size=3,
    unique_by=lambda limit: str(attrs.evolve(limit, maximum=0)),
).map(tuple)
ALERTS = st.lists(st.integers(1, 1_000), max_size=3, unique=True).map(tuple)


def allowances() -> st.SearchStrategy[Boolean | Quantity | Metered | Credits]:
    """What a plan without seats may allow."""
    return st.one_of(
        st.builds(Quantity, AMOUNTS, trial=st.none() | AMOUNTS, limits=LIMITS, alerts=ALERTS),
        st.builds(Boolean, trial=st.booleans()),
        st.builds(
            Credits,
            st.integers(1, 1_000),
            trial=st.none() | AMOUNTS,
            rollover=st.integers(0, 1_000),
            rollover_periods=st.none() | st.integers(1, 1_000),
            debt=st.sampled_from(["forgive", "carry"]),
            limits=LIMITS,
            alerts=ALERTS,
        ),
        st.builds(Quantity, unlimited=st.just(value=True)),
        st.builds(Metered, AMOUNTS, reset=RESETS, anchor=st.sampled_from(["billing", "calendar", "grant"])),
        st.builds(
            Metered,
            AMOUNTS,
            overage=st.just("free"),
            overage_limit=st.none() | AMOUNTS,
            meter=st.just("meter"),
            on_plan_change=st.sampled_from(["carry_usage", "reset", "carry_remaining", "prorate"]),
            debt=st.sampled_from(["forgive", "carry"]),
            alerts=ALERTS,
        ),
    )


PLANS = st.builds(
    Plan,
    st.just("pro"),
    price_id=st.just("price_m"),
    annual_price_id=st.sampled_from([None, "price_y"]),
    trial_days=st.integers(0, 730),
    rank=st.none() | st.integers(-5, 5),
    title=st.none() | st.just("Pro"),
    limits=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=3),
    features=st.dictionaries(KEYS.filter(lambda key: key != "seats"), allowances(), max_size=4),
)


@given(
    plan=PLANS,
    grace=st.timedeltas(timedelta(0), timedelta(days=3650)),
    currency=st.sampled_from(["usd", "JPY", "bhd"]),
    tolerance=st.integers(1, 3600),
    organizations=st.booleans(),
    stripe=st.booleans(),
)
def test_round_trip(
    plan: Plan,
    grace: timedelta,
    currency: str,
    tolerance: int,
    organizations: bool,
    stripe: bool,
) -> None:
    """A configuration made from another's attributes is equal to it, and so is one with nothing replaced."""
    options: dict[str, Any] = {
        "plans": [Plan("free"), plan],
        "default_plan": "FREE",
        "grace_period": grace,
        "event_retention": max(grace, timedelta(days=4)),
        "audit_retention": grace if stripe else None,
        "snapshot_max_age": timedelta(microseconds=1) if stripe else None,
        "usage_retention": max(grace, timedelta(days=36)),
        "default_currency": currency,
        "webhook_tolerance": tolerance,
        "event_bus": "memory://" if stripe else None,
        "webhook_mode": "worker" if stripe else "inline",
        "checkout": {"locale": "de", "tax_id_collection": stripe} if organizations else None,
        "trial_once_per": "card" if stripe else ["group", "email"],
        "while_paused": "allow" if stripe else "deny",
        "dunning_final_attempt": 1 + tolerance % 100,
        "card_expiry_notice": grace,
        "direct_cancel": "now" if stripe else None,
        "portal_configuration": "bpc_1" if stripe else None,
        "subscription_for": "organization" if organizations else "user",
    }
    config = build(options | STRIPE if stripe else options)

    assert BillingConfig(**options_of(config)) == config
    assert config.replace() == config
    assert config.plans == (Plan("free"), plan)


@given(plan=PLANS)
def test_mapping_form_round_trip(plan: Plan) -> None:
    """A plan written as a mapping, with all its members, is the plan."""
    members = attrs.asdict(plan, recurse=False)
    members["features"] = {
        key: {"kind": type(each).__name__.lower(), **attrs.asdict(each)} for key, each in plan.features.items()
    }

    assert BillingConfig(plans=[members]).plans == (plan,)


# ── Replacing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_replace() -> None:
    """Only what is named changes; None gives the default back; the result is validated like any other."""
    config = build({**STRIPE, "plans": [Plan("free")], "default_plan": "free"})

    assert config.replace(base_url="https://b.example").base_url == "https://b.example"
    assert config.replace(webhook_secret="whsec_new").stripe_webhook_secrets == (Secret("whsec_new"),)
    offline = config.replace(stripe_key=None, webhook_secret=None)
    assert offline.stripe_key is None
    assert offline.plans == config.plans
    with pytest.raises(ConfigError, match="default_plan"):
        config.replace(plans=[])
    with pytest.raises(ConfigError, match="stripe_webhook_secrets"):
        config.replace(stripe_webhook_secrets=None)
    assert config.base_url == "https://shop.example"


# ── Databases, clients, origins ──────────────────────────────────────────────────────────────────────────────────────


def test_databases() -> None:
    """A URL is kept as text, the host's engines as they are."""
    engine = sqlalchemy.create_engine("sqlite://")
    aio = create_async_engine("sqlite+aiosqlite://")
    url = sqlalchemy.make_url("postgresql+psycopg://u:canary@h/db")

    assert BillingConfig(database=engine).database is engine
    assert BillingConfig(database=aio).database is aio
    assert BillingConfig(database=url).database == "postgresql+psycopg://u:canary@h/db"
    assert BillingConfig(database="sqlite://").database == "sqlite://"


def test_clients() -> None:
    """A client is kept as it is; one of httpx reaches the real Stripe and so needs a key."""
    simulator = object()
    with httpx.Client() as client:
        assert BillingConfig(stripe_client=simulator).stripe_client is simulator
        assert build({**STRIPE, "stripe_client": client}).stripe_client is client
        assert problems_of({"stripe_client": client}) == (
            "stripe_client: needs a stripe_key: an httpx client sends to the real Stripe",
        )


@pytest.mark.parametrize(
    "origin", ["http://127.0.0.1:12111", "http://127.9.9.9:1", "http://localhost:1", "https://stripe.example"]
)
def test_what_stands_in_for_stripe(origin: str) -> None:
    """With a test key another origin may be named: any by https, this machine by http too."""
    assert build({**STRIPE, "stripe_api_base": f"{origin}/"}).stripe_api_base == origin


def test_the_sdk_client_is_refused() -> None:
    """People who come from the SDK are told what to give in place of its client."""
    stripe_client = type("StripeClient", (), {"__module__": "stripe._stripe_client"})()

    assert "in place of the SDK's client give stripe_key" in problems_of({"stripe_client": stripe_client})[0]


def test_origins() -> None:
    """base_url gets its canonical form, and what is accepted never fails where URLs are judged."""
    config = BillingConfig(base_url="HTTPS://Shop.Example:443/", trusted_origins=["https://*.shop.example", "http://a"])

    assert config.base_url == "https://shop.example"
    trusted = TrustedOrigins(config.base_url, config.trusted_origins)
    assert trusted.is_trusted_origin("https://eu.shop.example")


@pytest.mark.parametrize(
    ("given_path", "path"), [("/", ""), ("", ""), ("/billing/", "/billing"), ("/api/auth", "/api/auth")]
)
def test_base_path(given_path: str, path: str) -> None:
    """The mount point has no trailing slash; the root is the empty text."""
    assert BillingConfig(base_path=given_path).base_path == path


@pytest.mark.parametrize("given_length", [timedelta(hours=12), 43_200, "12h", "720m", "43200"])
def test_durations(given_length: Any) -> None:
    """A duration is a timedelta, whole seconds or a short text."""
    assert build({"past_due_grace": given_length}).grace_period == timedelta(hours=12)


# ── Other spellings ──────────────────────────────────────────────────────────────────────────────────────────────────


def hook(_: object) -> None:
    """A hook."""


@pytest.mark.parametrize(
    ("spelled", "ours"),
    [
        ({**STRIPE, "stripe_webhook_secrets": None, "webhook_secret": SECRET}, STRIPE),
        ({**STRIPE, "stripe_webhook_secrets": None, "stripeWebhookSecret": SECRET}, STRIPE),
        ({**STRIPE, "stripe_key": None, "secret_key": KEY}, STRIPE),
        ({**STRIPE, "webhook_secret": SECRET}, STRIPE),
        ({"past_due_grace": 60, "grace_period": "1m"}, {"grace_period": timedelta(minutes=1)}),
        ({"createCustomerOnSignUp": False}, {"create_customer_on_sign_up": False}),
        (
            {"subscription": {"enabled": True, "requireEmailVerification": True, "onSubscriptionComplete": hook}},
            {"require_email_verification": True, "on_subscription_complete": hook},
        ),
        ({"subscription": {"plans": {"pro": Plan("Pro")}}}, {"plans": [Plan("Pro")]}),
        (
            {"customer": {"default_plan": "free"}, "plans": [Plan("free")]},
            {"plans": [Plan("free")], "default_plan": "free"},
        ),
        ({"organization": {"enabled": True}}, {}),
    ],
)
def test_spellings(spelled: dict[str, Any], ours: dict[str, Any]) -> None:
    """Other spellings mean the same, alone and beside ours, while they agree."""
    assert build(spelled) == build(ours)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({**STRIPE, "webhook_secret": "whsec_other"}, "webhook_secret"),
        ({**STRIPE, "secret_key": "sk_test_other"}, "secret_key"),
        ({"grace_period": 60, "past_due_grace": 61}, "past_due_grace"),
        ({"plans": [], "plans_path": "plans.yaml"}, "plans_path"),
        ({"require_email_verification": False, "subscription": {"require_email_verification": True}}, "subscription.r"),
        ({"create_customer_on_sign_up": True, "createCustomerOnSignUp": 1}, "createCustomerOnSignUp"),
        (plan(priceId="price_2"), "plans[0].priceId"),
        (plan(annual_price_id="price_2", annualDiscountPriceId="price_3"), "plans[0].annualDiscountPriceId"),
        (plan(trial_days=7, freeTrial={"days": 14}), "plans[0].freeTrial.days"),
        (feature(reset="month", resetPeriod="year"), "plans[0].features.messages.resetPeriod"),
        (feature(allowOverage=True, overage_allowed=False), "plans[0].features.messages.overage_allowed"),
    ],
)
def test_spellings_that_disagree(options: dict[str, Any], where: str) -> None:
    """Two spellings of one thing with different values are a mistake, at the second of them."""
    assert any(each.startswith(where) and "differs from" in each for each in problems_of(options))


# ── Mistakes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

BAD: list[tuple[dict[str, Any], str]] = [
    # Stripe
    ({**STRIPE, "stripe_key": ""}, "stripe_key: must not be blank"),
    ({**STRIPE, "stripe_key": "  "}, "stripe_key: must not be blank"),
    ({**STRIPE, "stripe_key": 5}, "stripe_key: must be a text"),
    ({**STRIPE, "stripe_key": "pk_test_1"}, "stripe_key: is a publishable key"),
    ({**STRIPE, "stripe_key": "sk_1"}, "stripe_key: must start with sk_test_"),
    ({**STRIPE, "stripe_key": "sk_test_a b"}, "stripe_key: must start with sk_test_"),
    ({**STRIPE, "stripe_key": "sk_test_a\n"}, "stripe_key: must start with sk_test_"),
    ({**STRIPE, "stripe_webhook_secrets": []}, "stripe_webhook_secrets: is needed with a stripe_key"),
    ({"stripe_key": KEY, "base_url": "https://a.b"}, "stripe_webhook_secrets: is needed with a stripe_key"),
    ({**STRIPE, "stripe_webhook_secrets": [" "]}, "stripe_webhook_secrets[0]: must not be blank"),
    ({**STRIPE, "stripe_webhook_secrets": [SECRET, None]}, "stripe_webhook_secrets[1]: must be a text"),
    ({**STRIPE, "stripe_webhook_secrets": ["we_1"]}, "stripe_webhook_secrets[0]: must start with whsec_"),
    (
        {**STRIPE, "stripe_webhook_secrets": [f"whsec_{n}" for n in range(6)]},
        "stripe_webhook_secrets: must be at most 5",
    ),
    ({**STRIPE, "stripe_webhook_secrets": {"a": "b"}}, "stripe_webhook_secrets: must be a list"),
    ({"webhook_secret": SECRET}, "webhook_secret: needs a stripe_key beside it"),
    ({"stripe_client": "stripe"}, "stripe_client: must be a StripeSimulator or an httpx client"),
    ({"stripe_api_base": "http://127.0.0.1:12111"}, "stripe_api_base: needs a stripe_key"),
    ({**STRIPE, "stripe_api_base": "http://127.0.0.1:1/v1"}, "stripe_api_base: must be an origin"),
    ({**STRIPE, "stripe_api_base": "http://stripe.example"}, "stripe_api_base: must be https, or http on this machine"),
    ({**STRIPE, "stripe_api_base": "http://localhost.example"}, "stripe_api_base: must be https, or http on this"),
    ({**STRIPE, "stripe_api_base": "http://10.0.0.1"}, "stripe_api_base: must be https, or http on this machine"),
    ({**STRIPE, "stripe_api_base": 12111}, "stripe_api_base: must be a text"),
    (
        {**STRIPE, "stripe_key": "sk_live_1", "stripe_api_base": "https://stripe.example"},
        "stripe_api_base: is for test keys only",
    ),
    (
        {**STRIPE, "stripe_client": object(), "stripe_api_base": "http://localhost:1"},
        "stripe_api_base: must not be given together with a stripe_client",
    ),
    ({"webhook_tolerance": 0}, "webhook_tolerance: must be between 1 and 3600"),
    ({"event_bus": "kafka://localhost"}, f"event_bus: {_BUS_URL}"),
    ({"event_bus": "redis"}, f"event_bus: {_BUS_URL}"),
    ({"event_bus": "redis://local host"}, f"event_bus: {_BUS_URL}"),
    ({"event_bus": object()}, f"event_bus: {_BUS_OBJECT}"),
    ({"event_bus": MemoryBus}, f"event_bus: {_BUS_OBJECT}"),
    ({"event_bus": True}, f"event_bus: {_BUS_OBJECT}"),
    ({"event_bus": "postgresql"}, "event_bus: is postgresql, which the database is not"),
    (
        {"event_bus": "postgresql", "database": "mysql://localhost/shop"},
        "event_bus: is postgresql, which the database is not",
    ),
    ({"webhook_mode": "queue"}, "webhook_mode: must be one of inline, worker"),
    ({"webhook_mode": True}, "webhook_mode: must be one of inline, worker"),
    ({"webhook_tolerance": True}, "webhook_tolerance: must be a whole number"),
    ({"stripe_rate_limit": 1}, "stripe_rate_limit: must be between 2 and 10000"),
    ({"telemetry": "loud"}, "telemetry: must be one of auto, logging, opentelemetry, off"),
    ({"telemetry": object()}, "telemetry: must be one of auto, logging, opentelemetry, off"),
    ({"telemetry": NullTelemetry}, "telemetry: must be one of auto, logging, opentelemetry, off"),
    ({"telemetry": "shop.nowhere"}, "telemetry: cannot be imported"),
    # Origins
    ({**STRIPE, "base_url": None}, "base_url: is needed with a stripe_key"),
    (
        {**STRIPE, "stripe_key": "sk_live_1", "base_url": "http://shop.example"},
        "base_url: must be https with a live key",
    ),
    ({"base_url": "https://shop.example/billing"}, "base_url: must be an origin"),
    ({"base_url": "shop.example"}, "base_url: must be an origin"),
    ({"base_url": "https://u:p@shop.example"}, "base_url: must be an origin"),
    ({"base_url": "https://*.shop.example"}, "base_url: must have * only"),
    ({"base_url": 8000}, "base_url: must be a text"),
    ({"base_path": "api/auth"}, "base_path: must be an absolute path"),
    ({"base_path": "//evil"}, "base_path: must be an absolute path"),
    ({"base_path": "/a/../b"}, "base_path: must be an absolute path"),
    ({"webhook_path": "hooks"}, "webhook_path: must be an absolute path"),
    ({"webhook_path": "/"}, "webhook_path: must be an absolute path such as /webhooks"),
    ({"trusted_origins": ["https://a.b/c"]}, "trusted_origins[0]: must be an origin"),
    ({"trusted_origins": ["https://a.b", "*"]}, "trusted_origins[1]: must be an origin"),
    ({"trusted_origins": ["https://*"]}, "trusted_origins[0]: must have * only"),
    ({"trusted_origins": 1}, "trusted_origins: must be a list"),
    # The rest
    ({"database": 1}, "database: must be a SQLAlchemy URL"),
    ({"database": "billing.db"}, "database: must be a SQLAlchemy URL"),
    ({"database": "postgres://h/db"}, "database: must start with postgresql://"),
    ({"database": "oracle://h/db"}, "database: must be for one of sqlite"),
    ({"subscription_for": "team"}, "subscription_for: must be one of user, organization"),
    ({"default_currency": "euro"}, "default_currency: must be an ISO 4217 currency code"),
    ({"grace_period": timedelta(seconds=-1)}, "grace_period: must be between 0 and 3650 days"),
    ({"while_paused": "perhaps"}, "while_paused: must be one of deny, allow"),
    ({"dunning_final_attempt": 0}, "dunning_final_attempt: must be between 1 and 100"),
    ({"card_expiry_notice": "soon"}, "card_expiry_notice: must be a timedelta"),
    ({"direct_cancel": "portal"}, "direct_cancel: must be one of period_end, now"),
    ({"portal_configuration": "bps_1"}, "portal_configuration: must be a Stripe id that starts with bpc_"),
    ({"on_subscription_change": "later"}, "on_subscription_change: must be callable"),
    ({"event_retention": "3d"}, "event_retention: must be at least 4 days"),
    ({"audit_retention": "long"}, "audit_retention: must be a timedelta"),
    ({"snapshot_max_age": 0}, "snapshot_max_age: must be above 0, and an hour at most"),
    ({"snapshot_max_age": "61m"}, "snapshot_max_age: must be above 0, and an hour at most"),
    ({"snapshot_max_age": timedelta(seconds=-1)}, "snapshot_max_age: must be between 0 and 3650 days"),
    ({"snapshot_max_age": 0.5}, "snapshot_max_age: must be a timedelta"),
    ({"usage_retention": "35d"}, "usage_retention: must be at least 36 days"),
    ({"usage_retention": True}, "usage_retention: must be a timedelta"),
    ({"grace_period": "a week"}, "grace_period: must be a timedelta"),
    ({"grace_period": 1.5}, "grace_period: must be a timedelta"),
    ({"grace_period": 10**30}, "grace_period: must be between 0 and 3650 days"),
    ({"create_customer_on_sign_up": "yes"}, "create_customer_on_sign_up: must be true or false"),
    ({"require_email_verification": 1}, "require_email_verification: must be true or false"),
    ({"authorize_reference": True}, "authorize_reference: must be callable"),
    ({"authorize_admin": "no.such.module"}, "authorize_admin: cannot be imported"),
    ({"member_count": 5}, "member_count: must be callable"),
    ({"on_event": "not a path"}, "on_event: must be callable"),
    ({"on_subscription_deleted": []}, "on_subscription_deleted: must be callable"),
    ({"subscription": {"enabled": False}}, "subscription.enabled: must be true"),
    ({"subscription": []}, "subscription: must be a mapping"),
    # Names
    ({"stripe_keys": KEY}, "stripe_keys: unknown option; did you mean stripe_key?"),
    ({"identify": print}, "identify: unknown option"),
    ({"subscription": {"plan": []}}, "subscription.plan: unknown option; did you mean plans?"),
    ({"api_version": "2024-12-18.acacia"}, "api_version: not available in this version"),
    ({"stripe_auto_tax": "yes"}, "stripe_auto_tax: must be true or false"),
    ({"allow_promotion_codes": 1}, "allow_promotion_codes: must be true or false"),
    ({"payment_method_collection": "never"}, "payment_method_collection: must be one of"),
    ({"billing_address_collection": True}, "billing_address_collection: must be one of"),
    ({"tax_id_collection": "on"}, "tax_id_collection: must be true or false"),
    ({"checkout_locale": "x" * 21}, "checkout_locale: must be a language tag"),
    ({"checkout": {"colour": 5}}, "checkout.colour: unknown option"),
    ({"checkout": True}, "checkout: must be a mapping of options"),
    ({"get_checkout_session_params": 5}, "get_checkout_session_params: "),
    ({"checkout_rate_limit": 0}, "checkout_rate_limit: must be"),
    ({"trial_once_per": "person"}, "trial_once_per: must be a list of some of reference, group"),
    ({"trial_once_per": 5}, "trial_once_per: must be a list of some of reference, group"),
    ({"trial_missing_payment_method": "ask"}, "trial_missing_payment_method: must be one of"),
    ({"behavior_after_trial": "pause"}, "behavior_after_trial: must be one of"),
    ({"trial_repeated_card": "warn"}, "trial_repeated_card: must be one of"),
    ({"trial_when_bought": "carry"}, "trial_when_bought: must be one of"),
    ({"clawback": "some"}, "clawback: must be one of"),
    ({"customer": {"default_offline": True}}, "customer.default_offline: not available in this version"),
    (plan(prices=["a"]), "plans[0].prices: unknown member of a plan; did you mean price_id?"),
    (plan(products=[]), "plans[0].products: not available in this version"),
    (plan(line_items=5), "plans[0].line_items: must be a mapping of price ids to quantities, or a list of price ids"),
    (plan(line_items=["a", 5]), "plans[0].line_items: must be a mapping of price ids to quantities"),
    (plan(line_items=["prod_1"]), "plans[0].line_items: is the id of a product"),
    (plan(line_items={"price_2": 0}), "plans[0].line_items: must be between 1 and 999999"),
    (plan(line_items=[f"price_{n}" for n in range(2, 21)]), "plans[0].line_items: must be at most 18 prices"),
    (plan(line_items=["price_1"]), "plans[0].line_items: price_1 is a price of the plan itself"),
    ({"plans": [Plan("a", line_items=["price_2"])]}, "plans[0].line_items: needs a price: a free plan is never sent"),
    ({"plan_change": 5}, "plan_change: must be a mapping of options"),
    ({"plan_change": {"prorate": True}}, "plan_change.prorate: unknown option"),
    ({"plan_change": {"proration_behavior": "no"}}, "plan_change.proration_behavior: must be one of create_prorations"),
    ({"plan_change": {"immediate_proration_behavior": 1}}, "plan_change.immediate_proration_behavior: must be one of"),
    ({"plan_change": {"direct": 1}}, "plan_change.direct: must be"),
    ({"plan_change": {"pending_invoice_item_interval": "year"}}, "plan_change.pending_invoice_item_interval: must be"),
    ({"plan_change": {"pairs": {"pro": "team"}}}, "plan_change.pairs: must be a list of pairs of plans"),
    ({"plan_change": {"pairs": ["pro"]}}, "plan_change.pairs[0]: must be a mapping with from and to"),
    ({"plan_change": {"pairs": [{"from": "pro", "when": "now"}]}}, "plan_change.pairs[0].to: is missing"),
    (
        {"plans": PAIRED, "plan_change": {"pairs": [{"from": "pro", "to": 5, "when": "now"}]}},
        "pairs[0].to: must be a text",
    ),
    (pair(), "plan_change.pairs[0]: says neither when nor proration_behavior"),
    (pair(when="later"), "plan_change.pairs[0].when: must be one of now, period_end"),
    (pair(proration_behavior="no"), "plan_change.pairs[0].proration_behavior: must be one of create_prorations"),
    (pair(when="now", then="now"), "plan_change.pairs[0].then: unknown member of a pair"),
    (pair(to="teem", when="now"), "plan_change.pairs[0].to: is not the name of a plan"),
    (pair(to="extra", when="now"), "plan_change.pairs[0]: names plans of two groups"),
    (
        {
            "plans": PAIRED,
            "plan_change": {"pairs": [{"from": "pro", "to": name, "when": "now"} for name in ("team", "Team")]},
        },
        "plan_change.pairs[1]: the pair stands already at plan_change.pairs[0]",
    ),
    ({"plan_change": {"collection_method": "send_invoice"}}, "plan_change.days_until_due: is needed with"),
    ({"plan_change": {"days_until_due": 30}}, "plan_change.days_until_due: needs collection_method to be send_invoice"),
    (feature(include=1), "plans[0].features.messages.include: unknown member of a feature; did you mean included?"),
    # Plans
    ({"plans": 3}, "plans: must be a list of plans"),
    ({"plans": [3]}, "plans[0]: must be a Plan"),
    ({"plans": [{}]}, "plans[0].name: is missing"),
    ({"plans": [Plan("")]}, "plans[0].name: must have 1 to 100 characters"),
    ({"plans": [Plan("a b")]}, "plans[0].name: must have 1 to 100 characters"),
    ({"plans": [Plan(5)]}, "plans[0].name: must be a text"),  # type: ignore[arg-type]  # on purpose
    ({"plans": {"pro": Plan("team")}}, "plans.pro.name: differs from the name that the plan stands under"),
    ({"plans": [Plan("Pro"), Plan("pro")]}, "plans[1].name: the plan stands already at plans[0].name"),
    (plan(price_id=""), "plans[0].price_id: must not be blank"),
    (plan(price_id="prod_1"), "plans[0].price_id: is the id of a product"),
    (plan(price_id="price 1"), "plans[0].price_id: must have no spaces"),
    (plan(annual_price_id="price_1"), "plans[0].annual_price_id: is the same price as price_id"),
    (plan(lookup_key="a", annual_lookup_key="a"), "plans[0].annual_lookup_key: is the same as lookup_key"),
    (
        {"plans": [Plan("a", annual_lookup_key="k")]},
        "plans[0].annual_lookup_key: needs a monthly price_id or lookup_key",
    ),
    ({"plans": [Plan("a", annual_price_id="p")]}, "plans[0].annual_price_id: needs a monthly price_id or lookup_key"),
    (plan(trial_days=-1), "plans[0].trial_days: must be between 0 and 730"),
    (plan(trial_days=731), "plans[0].trial_days: must be between 0 and 730"),
    (plan(trial_days=True), "plans[0].trial_days: must be a whole number"),
    (plan(trial_days=14.0), "plans[0].trial_days: must be a whole number"),
    (plan(free_trial=14), "plans[0].free_trial: must be a mapping with days"),
    (plan(free_trial={"days": 14, "on_trial_start": hook}), "plans[0].free_trial.on_trial_start: not available"),
    (plan(proration_behavior="sometimes"), "plans[0].proration_behavior: must be one of create_prorations"),
    (plan(metered="no"), "plans[0].metered: must be true or false"),
    (plan(group=""), "plans[0].group: must have 1 to 100 characters"),
    (plan(rank=1.5), "plans[0].rank: must be a whole number"),
    (plan(title=" "), "plans[0].title: must not be blank"),
    (plan(limits=[]), "plans[0].limits: must be a mapping of what JSON can hold"),
    (plan(limits={"a": {1, 2}}), "plans[0].limits: must be a mapping of what JSON can hold"),
    (plan(limits={"a": float("nan")}), "plans[0].limits: must be a mapping of what JSON can hold"),
    ({"plans": [Plan("a", seats=True)]}, "plans[0].seats: needs a price"),
    (plan(seat_price_id="price_2"), "plans[0].seat_price_id: needs seats to be true"),
    (plan(max_seats=5), "plans[0].max_seats: needs seats to be true"),
    (plan(seats=True, min_seats=6, max_seats=5), "plans[0].min_seats: must not be greater than max_seats"),
    (plan(seats=True, max_seats=10_001), "plans[0].max_seats: must be between 1 and 10000"),
    (plan(seats=True, min_seats=0), "plans[0].min_seats: must be between 1 and 10000"),
    (plan(seats=5), "plans[0].seats: must be true or false"),
    (plan(seats=True, metered=True), "plans[0].seats: needs a seat_price_id"),
    (plan(seats=True, features={"seats": Quantity(5)}), "plans[0].features.seats: is declared by seats already"),
    # Features of plans
    (plan(features=3), "plans[0].features: must be a mapping of features by key"),
    (plan(features={"messages": 3}), "plans[0].features.messages: must be Boolean()"),
    (plan(features={"a b": Boolean()}), "plans[0].features.a b: must have 1 to 100 characters"),
    (plan(features={"2026-01-01T00:00:00Z": Boolean()}), "Z: must not look like a date"),
    (plan(features={"messages": {}}), "plans[0].features.messages.kind: is missing"),
    (plan(features=[{"kind": "boolean"}]), "plans[0].features[0].key: is missing"),
    (plan(features={"a": {"key": "b", "kind": "boolean"}}), "plans[0].features.a.key: differs from the key"),
    (plan(features=[{"key": "a", "kind": "boolean"}] * 2), "plans[0].features[1]: the feature a stands here twice"),
    (feature(kind="meter"), "plans[0].features.messages.kind: must be one of boolean, metered"),
    (feature(kind="boolean", included=5), "plans[0].features.messages.included: a feature of kind boolean has none"),
    (feature(kind="quantity", reset="month"), "plans[0].features.messages.reset: a feature of kind quantity has none"),
    (feature(kind="seat"), "plans[0].features.messages: the feature of kind seat is called seats"),
    (plan(features={"seats": Metered(3)}), "plans[0].features.seats: seats must be a Quantity"),
    (feature(included=-1), "plans[0].features.messages.included: must be between 0 and 9007199254740991"),
    (feature(included=2**53), "plans[0].features.messages.included: must be between 0 and 9007199254740991"),
    (feature(included="10"), "plans[0].features.messages.included: must be a whole number"),
    (feature(included=5, unlimited=True), "plans[0].features.messages.included: contradicts unlimited"),
    (feature(reset="monthly"), "plans[0].features.messages.reset: must be one of hour"),
    (feature(anchor="moon"), "plans[0].features.messages.anchor: must be one of billing"),
    (feature(overage="billed"), "plans[0].features.messages.meter: is missing: billed overage is reported"),
    (feature(meter="m" * 101), "plans[0].features.messages.meter: must have at most 100 characters"),
    (feature(kind="quantity", meter="m"), "plans[0].features.messages.meter: a feature of kind quantity has none"),
    (feature(overage_limit=5), "plans[0].features.messages.overage_limit: needs overage to be free or billed"),
    (feature(overage="free", unlimited=True), "plans[0].features.messages.overage: contradicts unlimited"),
    (feature(overage="none", allowOverage=True), "plans[0].features.messages.allowOverage: contradicts"),
    (feature(overage="free", allowOverage=False), "plans[0].features.messages.allowOverage: contradicts"),
    (feature(allowOverage="yes"), "plans[0].features.messages.allowOverage: must be true or false"),
    (feature(per_seat=True), "plans[0].features.messages.per_seat: needs a plan with seats"),
    (feature(on_plan_change="prorata"), "plans[0].features.messages.on_plan_change: must be one of carry_usage"),
    # What moves on
    (feature(included=9, rollover=-1), "plans[0].features.messages.rollover: must be between 0 and"),
    (feature(included=9, rollover=9.0), "plans[0].features.messages.rollover: must be a whole number"),
    (feature(included=9, rollover=9_001), "plans[0].features.messages.rollover: must be at most 1000 times what"),
    (feature(rollover=1), "plans[0].features.messages.rollover: must be at most 1000 times what is included"),
    (feature(included=9, rollover=9, reset="never"), "plans[0].features.messages.rollover: needs a reset"),
    (feature(unlimited=True, rollover=9), "plans[0].features.messages.rollover: contradicts unlimited"),
    (feature(rollover_periods=2), "plans[0].features.messages.rollover_periods: needs rollover"),
    (feature(included=9, rollover=9, rolloverPeriods=0), "rollover_periods: must be between 1 and 1000"),
    (feature(kind="quantity", rollover=9), "plans[0].features.messages.rollover: a feature of kind quantity has none"),
    (feature(debt="later"), "plans[0].features.messages.debt: must be one of forgive, carry"),
    (feature(debt="carry", reset="never"), "plans[0].features.messages.debt: needs a reset"),
    (feature(kind="boolean", debt="carry"), "plans[0].features.messages.debt: a feature of kind boolean has none"),
    # Trials
    (feature(trial=-1), "plans[0].features.messages.trial: must be between 0 and"),
    (feature(trial=5.0), "plans[0].features.messages.trial: must be a whole number"),
    (feature(kind="quantity", trial=True), "plans[0].features.messages.trial: must be a whole number"),
    (feature(kind="boolean", trial=0), "plans[0].features.messages.trial: must be true or false"),
    (plan(price_id=None, features={"sso": Boolean(trial=False)}), "features.sso.trial: needs a price"),
    (plan(price_id=None, features={"m": {"kind": "metered", "trial": 5}}), "features.m.trial: needs a price"),
    # Limits and alerts
    (feature(limits={"maximum": 1}), "plans[0].features.messages.limits: must be a list of limits"),
    (feature(limits=[5]), "plans[0].features.messages.limits[0]: must be a UsageLimit"),
    (feature(limits=[{"per": "day"}]), "plans[0].features.messages.limits[0].maximum: is missing"),
    (feature(limits=[{"maximum": 1, "pre": "day"}]), "limits[0].pre: unknown member of a limit; did you mean per?"),
    (feature(limits=[UsageLimit(-1)]), "plans[0].features.messages.limits[0].maximum: must be between 0 and"),
    (feature(limits=[UsageLimit(1, count=0)]), "limits[0].count: must be between 1 and 1000"),
    (feature(limits=[UsageLimit(1, per="minute")]), "limits[0].per: must be one of hour"),  # type: ignore[arg-type]  # on purpose
    (feature(limits=[{"maximum": 1, "perEntity": "no"}]), "limits[0].per_entity: must be true or false"),
    (feature(limits=[{"maximum": 1, "where": {"a": 1.5}}]), "limits[0].where: must be a text, an integer or a boolean"),
    (feature(limits=[UsageLimit(1, where={"a b": 1})]), "limits[0].where: must have keys of 1 to 40 characters"),
    (feature(limits=[UsageLimit(1, timezone="Mars")]), "plans[0].features.messages.limits[0].timezone: "),
    (feature(limits=[UsageLimit(1), UsageLimit(2)]), "limits[1]: counts the same as limits[0]"),
    (feature(limits=[UsageLimit(1, count=each + 1) for each in range(11)]), "limits: must be at most 10"),
    (feature(kind="boolean", limits=[{"maximum": 1}]), "messages.limits: a feature of kind boolean has none"),
    (feature(alerts=80), "plans[0].features.messages.alerts: must be a list of percentages"),
    (feature(alerts=[0]), "plans[0].features.messages.alerts[0]: must be between 1 and 1000"),
    (feature(alerts=["80%"]), "plans[0].features.messages.alerts[0]: must be a whole number"),
    (feature(alerts=[50, 80, 50]), "plans[0].features.messages.alerts[2]: stands there already"),
    (feature(alerts=list(range(1, 22))), "plans[0].features.messages.alerts: must be at most 20"),
    (feature(alerts=[80], unlimited=True), "plans[0].features.messages.alerts: contradicts unlimited"),
    (
        {"plans": [Plan("a", features={"x": Boolean()}), Plan("b", features={"x": Metered(1)})]},
        "plans[1].features.x: is metered here and boolean in plans[0]",
    ),
    (plan(features={"credits": Credits(5, per_seat=True)}), "plans[0].features.credits.per_seat: needs a plan with"),
    (plan(features={"credits": Credits(5, overage="billed")}), "plans[0].features.credits.meter: is missing"),
    # Declared features, top-ups, the default plan
    ({"features": {"a": 1}}, "features: must be a list of features"),
    ({"features": [Feature("a"), Feature("a")]}, "features[1].key: the feature stands already at features[0].key"),
    ({"features": [{"title": "A"}]}, "features[0].key: is missing"),
    ({"features": [Feature("a", scale=13)]}, "features[0].scale: must be between 0 and 12"),
    ({"features": [Feature("a", aggregation="mean")]}, "aggregation: must be one of sum"),  # type: ignore[arg-type]  # on purpose
    (sold(Feature("sso", aggregation="count")), "features[0].aggregation: must be sum: the kind is boolean"),
    (sold(Feature("credits", aggregation="latest")), "features[0].aggregation: must be sum: the kind is credit"),
    (sold(Feature("seats", aggregation="count")), "aggregation: must be sum or max or latest: the kind is seat"),
    (
        sold(Feature("projects", aggregation="unique")),
        "aggregation: must be sum or max or latest: the kind is quantity",
    ),
    # What features cost in credits
    ({"features": [costing(c=1)]}, "features[0].credit_cost.c: is given by no plan and no top-up"),
    (sold(costing(messages=1)), "features[0].credit_cost.messages: must be Credits in the plans that give it"),
    (sold(costing(credits=0.5)), "features[0].credit_cost.credits: must be an int, a text or a Decimal"),
    (sold(costing(credits=True)), "features[0].credit_cost.credits: must be an int, a text or a Decimal"),
    (sold(costing(credits="much")), "features[0].credit_cost.credits: must be a number"),
    (sold(costing(credits=-1)), "features[0].credit_cost.credits: must be a number that is not negative"),
    (
        sold(costing(credits="0.003")),
        "features[0].credit_cost.credits: cannot be expressed at the scale of the credits",
    ),
    (
        sold(costing(credits="0.003"), Feature("credits", scale=2)),
        "features[0].credit_cost.credits: cannot be expressed at the scale of the credits",
    ),
    (sold(costing(credits="1e12")), "features[0].credit_cost.credits: is too large at the scale of the credits"),
    (
        sold(Feature("credits", credit_cost={"gold": 1})),
        "features[0].credit_cost: is for what is used: the kind is cred",
    ),
    (
        sold(Feature("sso", credit_cost={"credits": 1})),
        "features[0].credit_cost: is for what is used: the kind is bool",
    ),
    (sold(costing(["credits"])), "features[0].credit_cost: must be a mapping from credits"),
    # Top-ups
    ({"top_ups": {}}, "top_ups: must be a list of top-ups"),
    ({"top_ups": [5]}, "top_ups[0]: must be a TopUp"),
    (pack(price_id=None), "top_ups[0].price_id: is missing"),
    (pack(grant={}), "top_ups[0].grant: unknown member of a top-up; did you mean grants?"),
    (pack(name="a b"), "top_ups[0].name: must have 1 to 100 characters"),
    (pack(price_id="prod_1"), "top_ups[0].price_id: is the id of a product"),
    (pack(price_id="price_1"), "top_ups[0].price_id: sells a plan already, at plans[0].price_id"),
    (pack(grants={}), "top_ups[0].grants: must be a mapping from features"),
    (pack(grants={"messages": 0}), "top_ups[0].grants.messages: must be between 1 and 1000000000"),
    (pack(grants={"messages": 1.0}), "top_ups[0].grants.messages: must be a whole number"),
    (pack(grants={"mesages": 1}), "top_ups[0].grants.mesages: is no feature of a plan, and is declared nowhere"),
    (pack(grants={"sso": 1}), "top_ups[0].grants.sso: cannot be bought by the piece: the kind is boolean"),
    (pack(expires_after=0), "top_ups[0].expires_after: must be longer than nothing"),
    (pack(expires_after="soon"), "top_ups[0].expires_after: must be a timedelta"),
    (pack(min_quantity=0), "top_ups[0].min_quantity: must be between 1 and"),
    (pack(min_quantity=3, max_quantity=2), "top_ups[0].min_quantity: must not be greater than max_quantity"),
    ({"default_plan": "free"}, "default_plan: is not the name of a plan"),
    ({**plan(), "default_plan": "pro"}, "default_plan: must be a free plan"),
]


@pytest.mark.parametrize(("options", "problem"), BAD, ids=[problem for _, problem in BAD])
def test_mistakes(options: dict[str, Any], problem: str) -> None:
    """Each mistake is refused at construction, at its place, and is the only one that is reported."""
    found = problems_of(options)

    assert len(found) == 1
    assert problem in found[0]


def test_all_mistakes_of_pairs_at_once() -> None:
    """Two pairs with two mistakes each: four are told, beside a wrong interval."""
    wrong = [{"from": "pro", "to": "teem"}, {"from": "prow", "to": "team", "when": "later"}]
    found = problems_of({"plans": PAIRED, "plan_change": {"pairs": wrong, "pending_invoice_item_interval": 3}})
    assert len(found) == 5, found


def test_all_mistakes_at_once() -> None:
    """Everything wrong is in one error, so that nobody has to mend one thing after another."""
    bad = [(options, problem) for options, problem in BAD if len(options) == 1 and "plans" not in options]
    together: dict[str, Any] = {}
    wanted: list[str] = []
    for options, problem in bad:
        if not options.keys() & together.keys() and OPTIONS.aliases.get(*[*options] * 2) not in together:
            together |= options
            wanted.append(problem)

    found = problems_of(together | plan(trial_days=-1, group="", features={"x": {"kind": "metered", "included": 1.5}}))

    for problem in [*wanted, "plans[0].trial_days", "plans[0].group", "plans[0].features.x.included"]:
        assert any(problem in each for each in found), problem
    assert len(wanted) > 15


# ── Secrets ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [*NAMES, *sorted(SPELLINGS - set(NAMES))])
@pytest.mark.parametrize("shape", ["text", "list", "mapping", "list of mappings"])
def test_no_value_is_ever_repeated(name: str, shape: str) -> None:
    """Whatever option a secret ends up in, neither the error nor its traceback nor a repr shows it."""
    canary = "sk_live_CANARY whsec_CANARY"
    shapes = {"text": canary, "list": [canary], "mapping": {"a": canary}, "list of mappings": [{"name": canary}]}

    with pytest.raises(ConfigError) as caught:
        build({name: shapes[shape]})
    error = caught.value
    assert error.__context__ is None
    assert "CANARY" not in str(error) + repr(error) + repr(error.problems) + "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "database",
    ["postgresql://u:CANARY@h/db", "postgresql://h/db?password=CANARY", sqlalchemy.create_engine("sqlite:///CANARY")],
)
def test_secrets_stay_out_of_repr(database: Any) -> None:
    """The repr of a configuration and of what it holds shows keys, secrets and passwords nowhere."""
    config = build({**STRIPE, "stripe_key": "sk_test_CANARY", "webhook_secret": None, "database": database})
    config = config.replace(stripe_webhook_secrets=["whsec_CANARY"])

    shown = [config, *attrs.astuple(config, recurse=False)[1:], config._given, config.offer()]
    assert not any("CANARY" in repr(each) or "CANARY" in str(each) for each in shown)
    assert config.stripe_key is not None
    assert config.stripe_key.reveal() == "sk_test_CANARY"
    with pytest.raises(TypeError):
        pickle.dumps(config.replace(database=None))


def test_importing_is_cheap() -> None:
    """Making a configuration loads neither Stripe's transport nor a database library nor the YAML reader."""
    import subprocess

    heavy = ["httpx", "sqlalchemy", "ruamel.yaml", "urllib.request", "tomllib"]
    code = f"import sys, kernia_billing.config as c; c.BillingConfig(); print(set({heavy}) & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_literals_of_options() -> None:
    """subscription_for is the literal that references are made of."""
    assert get_args(get_type_hints(BillingOptions)["subscription_for"])[0] == Literal["user", "organization"]
