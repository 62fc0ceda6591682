"""From options to settings: every option read, then judged together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, cast

from ..domain.currency import normalise
from ..domain.plan_change import PlanChange
from ..domain.references import CustomerType
from ..domain.seats import SeatChangeBehavior
from ..domain.secret import Secret
from ..domain.subscriptions import WhilePaused
from ..domain.trials import AfterTrial, WhenBought
from ..domain.webhooks import WebhookMode
from . import connections, features, rules, top_ups, values
from .environment import from_environment
from .files import Document, is_source, read_documents
from .options import canonical
from .plan_change import check_pairs, read_plan_change
from .plans import Located, PlanSet, read_features, read_plans
from .problems import Problems
from .settings import (
    BASE_URL,
    CARD_EXPIRY_NOTICE,
    DATABASE,
    EVENT_RETENTION,
    GRACE_PERIOD,
    REFRESH_INTERVAL,
    USAGE_RETENTION,
    Settings,
    is_admin,
)
from .spellings import Given, Vocabulary
from .values import is_list, is_mapping

T = TypeVar("T")
D = TypeVar("D")

_PLAN_FILE = Vocabulary("list of a plan file", ("plans", "features", "top_ups"), aliases={}, unavailable={"products"})


def load_layers(sources: tuple[object, ...], prefix: str, problems: Problems) -> dict[str, Given]:
    """The options of files, mappings and the environment, each outdoing those before it."""
    given: dict[str, Given] = {}
    for number, source in enumerate(sources):
        where = f"source {number + 1}"
        if is_mapping(source):
            given |= canonical(source, "", problems)
        elif is_source(source):
            for document in read_documents(source, where, problems):
                given |= _file_options(document, problems)
        else:
            problems.add(where, "must be the path of a file, or a mapping of options")
    return given | from_environment(prefix, os.environ, problems) if prefix else given


def _file_options(document: Document, problems: Problems) -> dict[str, Given]:
    if not is_mapping(document.data):
        problems.add(document.name, "must be a mapping of options")
        return {}
    given = canonical(document.data, f"{document.name}: ", problems)
    plans = given.get("plans")
    if plans is not None and isinstance(plans.value, str) and document.folder is not None:
        is_url = plans.value.startswith("file:")
        given["plans"] = plans if is_url else Given(document.folder / plans.value, plans.where)
    return given


_COLLECTION: Any = values.one_of("always", "if_required")
_ADDRESS: Any = values.one_of("auto", "required")
_MISSING_METHOD: Any = values.one_of("cancel", "pause", "create_invoice")
_AFTER_TRIAL: Any = values.one_of("release", "cancel")
_REPEATED_CARD: Any = values.one_of("record", "end", "cancel")
_WHEN_BOUGHT: Any = values.one_of("end", "continue")
_CLAWBACK: Any = values.one_of("unused", "all", "none")


class _Reader:
    """Reads given options one by one, with the default for those that are missing or wrong."""

    def __init__(self, given: Mapping[str, Given], problems: Problems) -> None:
        self._given = given
        self._problems = problems

    def where(self, name: str) -> str:
        return self._given[name].where if name in self._given else name

    def __call__(self, name: str, convert: Callable[[object], T], default: D) -> T | D:
        if name not in self._given:
            return default
        given = self._given[name]
        return self._problems.read(given.where, convert, given.value, default)

    def many(self, name: str, read: Callable[[object, str, Problems], T], default: D) -> T | D:
        if name not in self._given:
            return default
        given = self._given[name]
        return read(given.value, given.where, self._problems)

    def has(self, name: str) -> bool:
        return name in self._given

    def raw(self, name: str) -> object:
        return self._given[name].value if name in self._given else None

    def problem(self, name: str, text: str) -> None:
        self._problems.add(self.where(name), text)

    def function(self, name: str) -> Callable[..., Any] | None:
        return self(name, values.function, None)


def settings_of(given: Mapping[str, Given], problems: Problems) -> Settings:
    """The settings that the options describe. They are good for nothing if there were problems."""
    read = _Reader(given, problems)
    plan_set = read.many("plans", _plan_set, PlanSet())
    declared = (*read.many("features", read_features, ()), *plan_set.features)
    packs = (*read.many("top_ups", top_ups.read_top_ups, ()), *plan_set.top_ups)
    kinds = rules.check_plans(plan_set.plans, problems)
    features.check_features(declared, kinds, top_ups.given_by(packs), problems)
    top_ups.check_top_ups(packs, plan_set.plans, declared, kinds, problems)
    default_plan = read("default_plan", _plan_name, None)
    rules.check_default_plan(default_plan, plan_set.plans, read.where("default_plan"), problems)
    plan_change = read.many("plan_change", read_plan_change, PlanChange())
    check_pairs(plan_change.pairs, plan_set.plans, read.where("plan_change"), problems)
    key = read("stripe_key", connections.stripe_key, None)
    if read.raw("event_bus") == connections.OWN_BUS:
        _check_own_bus(read)
    _check_stripe(read, key)
    return Settings(
        database=read("database", connections.database, DATABASE),
        stripe_key=key,
        stripe_client=read("stripe_client", connections.stripe_client, None),
        stripe_api_base=read("stripe_api_base", connections.stripe_api_base, None),
        stripe_webhook_secrets=read.many("stripe_webhook_secrets", connections.webhook_secrets, ()),
        webhook_tolerance=read("webhook_tolerance", values.integer(1, 3600), 300),
        event_bus=read("event_bus", connections.event_bus, None),
        webhook_mode=cast("WebhookMode", read("webhook_mode", values.one_of("inline", "worker"), "inline")),
        stripe_rate_limit=read("stripe_rate_limit", values.integer(2, 10_000), None),
        telemetry=read("telemetry", values.telemetry, "auto"),
        base_url=read("base_url", connections.base_url, BASE_URL),
        base_path=read("base_path", connections.base_path, "/api/auth"),
        webhook_path=read("webhook_path", connections.webhook_path, None),
        trusted_origins=read.many("trusted_origins", connections.trusted_origins, ()),
        cors=read("cors", values.boolean, False),
        kavach_routes=read("kavach_routes", values.boolean, False),
        subscription_for=cast("CustomerType", read("subscription_for", values.one_of("user", "organization"), "user")),
        plans=_values(plan_set.plans),
        features=_values(declared),
        top_ups=_values(packs),
        default_plan=default_plan,
        plan_change=plan_change,
        default_currency=read("default_currency", normalise, "usd"),
        grace_period=read("grace_period", values.duration, GRACE_PERIOD),
        while_paused=cast("WhilePaused", read("while_paused", values.one_of("deny", "allow"), "deny")),
        dunning_final_attempt=read("dunning_final_attempt", values.integer(1, 100), 3),
        card_expiry_notice=read("card_expiry_notice", values.duration, CARD_EXPIRY_NOTICE),
        direct_cancel=cast(
            'Literal["period_end", "now"] | None', read("direct_cancel", values.one_of("period_end", "now"), None)
        ),
        portal_configuration=read("portal_configuration", connections.portal_configuration, None),
        refresh_interval=read("refresh_interval", values.duration, REFRESH_INTERVAL),
        event_retention=read("event_retention", values.retention, EVENT_RETENTION),
        audit_retention=read("audit_retention", values.duration, None),
        snapshot_max_age=read("snapshot_max_age", values.snapshot_age, None),
        usage_retention=read("usage_retention", values.usage_retention, USAGE_RETENTION),
        allow_promotion_codes=read("allow_promotion_codes", values.boolean, False),
        payment_method_collection=read("payment_method_collection", _COLLECTION, "always"),
        billing_address_collection=read("billing_address_collection", _ADDRESS, "auto"),
        tax_id_collection=read("tax_id_collection", values.boolean, False),
        automatic_tax=read("automatic_tax", values.boolean, False),
        checkout_locale=read("checkout_locale", rules.locale, None),
        checkout_rate_limit=read("checkout_rate_limit", values.integer(1, 10_000), None),
        get_checkout_session_params=read.function("get_checkout_session_params"),
        trial_once_per=read("trial_once_per", rules.trial_scopes, ("reference",)),
        trial_missing_payment_method=read("trial_missing_payment_method", _MISSING_METHOD, None),
        behavior_after_trial=cast("AfterTrial", read("behavior_after_trial", _AFTER_TRIAL, "release")),
        trial_repeated_card=read("trial_repeated_card", _REPEATED_CARD, "cancel"),
        trial_when_bought=cast("WhenBought", read("trial_when_bought", _WHEN_BOUGHT, "end")),
        clawback=read("clawback", _CLAWBACK, "unused"),
        create_customer_on_sign_up=read("create_customer_on_sign_up", values.boolean, True),
        reuse_customers_by_email=read("reuse_customers_by_email", values.boolean, True),
        get_customer_create_params=read.function("get_customer_create_params"),
        on_customer_create=read.function("on_customer_create"),
        organization_name=read.function("organization_name"),
        organization_create_params=read.function("organization_create_params"),
        on_organization_customer_create=read.function("on_organization_customer_create"),
        auto_create_customer=read("auto_create_customer", values.boolean, True),
        mirror_columns=cast("dict[CustomerType, str]", read("mirror_columns", values.host_columns, dict[str, str]())),
        kavach_columns=read("kavach_columns", values.users_table, None),
        require_email_verification=read("require_email_verification", values.boolean, False),
        authorize_reference=read.function("authorize_reference"),
        authorize_admin=read.function("authorize_admin") or is_admin,
        member_count=read.function("member_count"),
        seat_change_behavior=cast(
            "SeatChangeBehavior", read("seat_change_behavior", values.one_of("exact", "incremental"), "exact")
        ),
        on_event=read.function("on_event"),
        on_subscription_change=read.function("on_subscription_change"),
        on_subscription_complete=read.function("on_subscription_complete"),
        on_subscription_created=read.function("on_subscription_created"),
        on_subscription_update=read.function("on_subscription_update"),
        on_subscription_cancel=read.function("on_subscription_cancel"),
        on_subscription_deleted=read.function("on_subscription_deleted"),
        given={**given, "plans": Given(plan_set, read.where("plans"))},
    )


def _check_own_bus(read: _Reader) -> None:
    if not connections.is_postgresql(read("database", connections.database, DATABASE)):
        read.problem("event_bus", "is postgresql, which the database is not")


def _check_stripe(read: _Reader, key: Secret | None) -> None:
    """What a key needs beside it, and what needs a key."""
    if read.has("stripe_api_base"):
        _check_api_base(read, key)
    if not read.has("stripe_key"):
        if read.raw("stripe_webhook_secrets"):
            read.problem("stripe_webhook_secrets", "needs a stripe_key beside it")
        if connections.is_httpx(read.raw("stripe_client")):
            read.problem("stripe_client", "needs a stripe_key: an httpx client sends to the real Stripe")
        return
    if not read.raw("stripe_webhook_secrets"):
        read.problem("stripe_webhook_secrets", "is needed with a stripe_key: without it no webhook can be verified")
    url = read.raw("base_url")
    if url is None:
        read.problem("base_url", "is needed with a stripe_key: Stripe sends browsers back to it")
    elif key is not None and connections.is_live(key) and not str(url).lower().startswith("https:"):
        read.problem("base_url", "must be https with a live key")


def _check_api_base(read: _Reader, key: Secret | None) -> None:
    """Nothing but api.stripe.com ever gets a live key, and a client that was given decides itself where it sends."""
    if not read.has("stripe_key"):
        read.problem("stripe_api_base", "needs a stripe_key: the test key of what stands in for Stripe")
    elif key is not None and connections.is_live(key):
        read.problem("stripe_api_base", "is for test keys only: a live key goes to api.stripe.com")
    if read.has("stripe_client"):
        read.problem("stripe_api_base", "must not be given together with a stripe_client")


def _plan_set(value: object, where: str, problems: Problems) -> PlanSet:
    if isinstance(value, PlanSet):
        return value
    if not is_source(value):
        return PlanSet(plans=read_plans(value, where, problems))
    parts = [_plan_file(document, problems) for document in read_documents(value, where, problems)]
    return PlanSet(
        plans=tuple(plan for part in parts for plan in part.plans),
        features=tuple(feature for part in parts for feature in part.features),
        top_ups=tuple(top_up for part in parts for top_up in part.top_ups),
    )


def _plan_file(document: Document, problems: Problems) -> PlanSet:
    if is_list(document.data):
        return PlanSet(plans=read_plans(document.data, f"{document.name}: plans", problems))
    if not is_mapping(document.data):
        problems.add(document.name, "must be a mapping with plans, or a list of plans")
        return PlanSet()
    read = _Reader(_PLAN_FILE.read(document.data, f"{document.name}: ", problems), problems)
    return PlanSet(
        plans=read.many("plans", read_plans, ()),
        features=read.many("features", read_features, ()),
        top_ups=read.many("top_ups", top_ups.read_top_ups, ()),
    )


def _plan_name(value: object) -> str:
    return values.text(value).lower()


def _values(located: Iterable[Located[T]]) -> tuple[T, ...]:
    return tuple(each.value for each in located)
