"""Options from environment variables: `KERNIA_BILLING_STRIPE_KEY` is `stripe_key`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from .files import parse_json
from .options import OPTIONS, collect
from .problems import Problems, Wrong
from .spellings import Given

_OF_THE_COMMAND_LINE = frozenset({"app"})
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


def from_environment(prefix: str, environ: Mapping[str, str], problems: Problems) -> dict[str, Given]:
    """The options in the variables that start with the prefix. What is no option is a problem, naming the variable."""
    return collect(_options(prefix, environ, problems), problems)


def _options(prefix: str, environ: Mapping[str, str], problems: Problems) -> Iterator[tuple[str, Given]]:
    for variable in sorted(environ):
        name = variable.removeprefix(prefix).lower()
        if variable.startswith(prefix) and name not in _OF_THE_COMMAND_LINE:
            parse = _PARSERS.get(OPTIONS.aliases.get(name, name), _as_it_is)
            yield name, Given(problems.read(variable, parse, environ[variable], None), variable)


def _as_it_is(text: str) -> object:
    return text


def _boolean(text: str) -> object:
    lowered = text.strip().lower()
    if lowered not in _TRUE | _FALSE:
        raise Wrong("must be true or false")
    return lowered in _TRUE


def _integer(text: str) -> object:
    if not _INTEGER.fullmatch(text.strip()):
        raise Wrong("must be a whole number")
    return int(text)


def _list(text: str) -> object:
    return [each.strip() for each in text.split(",")] if text.strip() else []


def _json_or_text(text: str) -> object:
    return parse_json(text) if text.lstrip().startswith(("[", "{")) else text


_PARSERS: Mapping[str, Callable[[str], object]] = {
    "auto_create_customer": _boolean,
    "cors": _boolean,
    "create_customer_on_sign_up": _boolean,
    "kavach_routes": _boolean,
    "require_email_verification": _boolean,
    "allow_promotion_codes": _boolean,
    "tax_id_collection": _boolean,
    "automatic_tax": _boolean,
    "trial_once_per": _list,
    "checkout_rate_limit": _integer,
    "stripe_rate_limit": _integer,
    "webhook_tolerance": _integer,
    "stripe_webhook_secrets": _list,
    "trusted_origins": _list,
    "plans": _json_or_text,
    "features": _json_or_text,
    "top_ups": _json_or_text,
}
