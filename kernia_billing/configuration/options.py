"""The names of options: which there are, how else they are spelled, and which groups they may stand in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from attrs import fields

from ..domain.secret import Secret
from .problems import Problems, Wrong
from .settings import Settings
from .spellings import Given, Vocabulary, snake_case
from .values import duration, is_list, is_mapping

NAMES = tuple(each.name for each in fields(Settings) if not each.name.startswith("_"))
_LENGTHS = (
    *("grace_period", "refresh_interval", "event_retention", "audit_retention", "usage_retention"),
    *("snapshot_max_age", "card_expiry_notice"),
)
_PAGE = (
    *("allow_promotion_codes", "payment_method_collection", "billing_address_collection", "tax_id_collection"),
    "automatic_tax",
)
_HOOKS = tuple(name for name in NAMES if name.startswith("on_subscription_") and name != "on_subscription_change")


def _one_secret(value: object) -> object:
    if isinstance(value, (str, Secret)):
        value = [value]
    if is_list(value):
        return tuple(Secret(each) if isinstance(each, str) else each for each in value)
    return value


def _key(value: object) -> object:
    return Secret(value) if isinstance(value, str) else value


def _path(value: object) -> object:
    return os.fspath(value) if isinstance(value, os.PathLike) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # a path of texts or bytes


def _length(value: object) -> object:
    try:
        return duration(value)
    except Wrong:
        return value


def _scopes(value: object) -> object:
    if isinstance(value, str):
        value = [value]
    return tuple(value) if is_list(value) else value


OPTIONS = Vocabulary(
    "option",
    names=NAMES,
    aliases={
        "webhook_secret": "stripe_webhook_secrets",
        "webhook_secrets": "stripe_webhook_secrets",
        "stripe_webhook_secret": "stripe_webhook_secrets",
        "secret_key": "stripe_key",
        "plans_path": "plans",
        "past_due_grace": "grace_period",
        "stripe_auto_tax": "automatic_tax",
    },
    unavailable={
        "api_version",
        "payment_method_config",
        "schema",
        "unknown_feature",
    },
    normal={
        "stripe_webhook_secrets": _one_secret,
        "stripe_key": _key,
        "plans": _path,
        "trial_once_per": _scopes,
        **dict.fromkeys(_LENGTHS, _length),
    },
)

_GROUPS: Mapping[str, Vocabulary] = {
    "subscription": Vocabulary(
        "option",
        names=(
            *("enabled", "plans", "require_email_verification", "authorize_reference", "behavior_after_trial"),
            *("get_checkout_session_params", *_HOOKS),
        ),
        aliases={"behaviour_after_trial": "behavior_after_trial"},
        normal=OPTIONS.normal,
    ),
    "organization": Vocabulary(
        "option",
        names=("enabled", "organization_name", "organization_create_params", "on_organization_customer_create"),
        aliases={
            "get_customer_create_params": "organization_create_params",
            "on_customer_create": "on_organization_customer_create",
        },
        unavailable=(),
    ),
    "checkout": Vocabulary(
        "option",
        names=(*_PAGE, "checkout_locale", "checkout_rate_limit", "get_checkout_session_params"),
        aliases={"locale": "checkout_locale", "rate_limit": "checkout_rate_limit"},
    ),
    "product": Vocabulary("option", names=("seat_change_behavior",), aliases={}, unavailable=()),
    "customer": Vocabulary(
        "option",
        names=("default_plan",),
        aliases={},
        unavailable={
            "auto_create_with_org",
            "default_offline",
            "onboard_credits_with_org",
            "credit_overdraft_product",
            "credit_overdraft_invoice_day",
            "credit_overdraft_invoice_range_shift",
        },
    ),
}
SPELLINGS = frozenset({*NAMES, *OPTIONS.aliases, *_GROUPS})
"""Every name that an option may be given under."""


def canonical(options: Mapping[str, object], at: str, problems: Problems) -> dict[str, Given]:
    """The options under our names, taken out of their groups. `at` goes before every path, such as "billing.yaml: "."""
    return collect(_flat(options, at, problems), problems)


def collect(options: Iterable[tuple[str, Given]], problems: Problems) -> dict[str, Given]:
    """The same for options that stand in no groups."""
    given = OPTIONS.merge(options, problems)
    return {name: _wrapped(name, each) for name, each in given.items()}


def unset(options: Mapping[str, object]) -> set[str]:
    """The options that are given as None, under our names."""
    spelled = (snake_case(name) for name, value in options.items() if value is None)
    return {OPTIONS.aliases.get(name, name) for name in spelled}


def _flat(options: Mapping[str, object], at: str, problems: Problems) -> Iterator[tuple[str, Given]]:
    for name, value in options.items():
        group = _GROUPS.get(snake_case(name))
        if group is None:
            yield name, Given(value, at + name)
        elif is_mapping(value):
            yield from _members(group, value, f"{at}{name}.", problems)
        elif value is not None:
            problems.add(at + name, "must be a mapping of options")


def _members(
    group: Vocabulary, members: Mapping[str, object], at: str, problems: Problems
) -> Iterator[tuple[str, Given]]:
    for name, given in group.read(members, at, problems).items():
        if name != "enabled":
            yield name, given
        elif given.value is not True:
            problems.add(given.where, "must be true: it cannot be switched off")


def _wrapped(name: str, given: Given) -> Given:
    """Secrets go into their wrapper before anything else can see them."""
    if name in ("stripe_key", "stripe_webhook_secrets"):
        return Given(OPTIONS.normal[name](given.value), given.where)
    return given
