"""Options that connect to the outside: the database, Stripe, and the origins of browsers.

Their values may hold secrets, so no message repeats any part of one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

from ..domain.ids import stripe_id
from ..domain.secret import Secret
from ..domain.urls import TrustedOrigins
from ..errors import InvalidInput
from .problems import Problems, Wrong
from .values import as_list, is_list, is_mapping

MAX_WEBHOOK_SECRETS = 5

_DATABASE_URL = re.compile(r"(?P<dialect>[a-z][a-z0-9]*)(?:\+[a-z0-9_]+)?://.*")
_DIALECTS = ("sqlite", "postgresql", "mysql", "mariadb")
_KEY = re.compile(r"(?:sk|rk)_(?:test|live)_[A-Za-z0-9_]{1,240}")
_LIVE = ("sk_live_", "rk_live_")
_WEBHOOK_SECRET = re.compile(r"whsec_[\x21-\x7e]{1,240}")
_PATH = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*")


def database(value: object) -> object:
    """A SQLAlchemy URL, as a text, or the host's own Engine or AsyncEngine, as it is."""
    if isinstance(value, str):
        return _database_url(value)
    if (url := _class("sqlalchemy", "URL")) is not None and isinstance(value, url):
        return _database_url(cast("Any", value).render_as_string(hide_password=False))
    engines = (_class("sqlalchemy", "Engine"), _class("sqlalchemy.ext.asyncio", "AsyncEngine"))
    if any(engine is not None and isinstance(value, engine) for engine in engines):
        return value
    raise Wrong("must be a SQLAlchemy URL, an Engine or an AsyncEngine")


def _class(module: str, name: str) -> type | None:
    """A class of a module, if that is imported: else nothing can be an instance of it, and it need not be loaded."""
    loaded = sys.modules.get(module)
    return None if loaded is None else getattr(loaded, name)


def _database_url(url: str) -> str:
    match = _DATABASE_URL.fullmatch(url)
    if match is None:
        raise Wrong("must be a SQLAlchemy URL, such as sqlite:///billing.db")
    if match["dialect"] == "postgres":
        raise Wrong("must start with postgresql://, which is how SQLAlchemy spells it")
    if match["dialect"] not in _DIALECTS:
        raise Wrong(f"must be for one of {', '.join(_DIALECTS)}")
    return url


OWN_BUS = "postgresql"
"""The event bus that is our own database."""
_BUS_URL = re.compile(r"(?:memory|rediss?|unix|nats|tls)://\S*")
_BUS_METHODS = ("publish", "receive", "wait", "waiting", "dead_letters", "healthy", "close")


def event_bus(value: object) -> object:
    """The URL of a bus, the name of our own database, or an object with the methods of the port, as it is."""
    if isinstance(value, str):
        if value != OWN_BUS and not _BUS_URL.fullmatch(value):
            raise Wrong("must be memory://, redis://…, rediss://…, unix://…, nats://…, tls://… or postgresql")
        return value
    if isinstance(value, type) or not all(callable(getattr(value, name, None)) for name in _BUS_METHODS):
        raise Wrong(f"must be a URL, or an object with the methods {', '.join(_BUS_METHODS)}")
    return value


def is_postgresql(database: object) -> bool:
    """Whether a database, as an option gives it, is a PostgreSQL."""
    if isinstance(database, str):
        return database.startswith("postgresql")
    dialect: object = getattr(getattr(database, "dialect", None), "name", None)
    return dialect == "postgresql"


def stripe_client(value: object) -> object:
    """A simulator or an httpx client, as it is. What it is good for is judged where it is used."""
    if isinstance(value, (str, bytes, int, float)) or is_list(value) or is_mapping(value):
        raise Wrong("must be a StripeSimulator or an httpx client")
    if type(value).__module__.partition(".")[0] == "stripe":
        raise Wrong("must be a StripeSimulator or an httpx client; in place of the SDK's client give stripe_key")
    return value


def stripe_api_base(value: object) -> str:
    """The origin of what stands in for Stripe: https, or http on this machine, where nobody can listen."""
    origin = base_url(value)
    host = urlsplit(origin).hostname or ""
    if origin.startswith("http:") and not _is_loopback(host):
        raise Wrong(
            "must be https, or http on this machine, such as http://127.0.0.1:12111: the key goes over the wire"
        )
    return origin


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_httpx(client: object) -> bool:
    """Whether the client sends to the real Stripe, and so needs a key."""
    clients = (_class("httpx", "Client"), _class("httpx", "AsyncClient"))
    return any(each is not None and isinstance(client, each) for each in clients)


def stripe_key(value: object) -> Secret:
    """A secret or restricted key, of test or live mode."""
    key = _secret(value)
    if key.reveal().startswith("pk_"):
        raise Wrong("is a publishable key; the secret key (sk_…) or a restricted one (rk_…) is needed")
    if not _KEY.fullmatch(key.reveal()):
        raise Wrong("must start with sk_test_, sk_live_, rk_test_ or rk_live_, and go on with letters and digits")
    return key


def is_live(key: Secret) -> bool:
    """Whether real money moves with this key."""
    return key.reveal().startswith(_LIVE)


def webhook_secrets(value: object, where: str, problems: Problems) -> tuple[Secret, ...]:
    """One signing secret or several, in their order and each once."""
    values: Sequence[object] = [value] if isinstance(value, (str, Secret)) else problems.read(where, as_list, value, ())
    read = [problems.read(f"{where}[{number}]", _webhook_secret, each, None) for number, each in enumerate(values)]
    secrets = tuple(dict.fromkeys(each for each in read if each is not None))
    if len(secrets) > MAX_WEBHOOK_SECRETS:
        problems.add(where, f"must be at most {MAX_WEBHOOK_SECRETS}")
    return secrets


def _webhook_secret(value: object) -> Secret:
    secret = _secret(value)
    if not _WEBHOOK_SECRET.fullmatch(secret.reveal()):
        raise Wrong("must start with whsec_ and have no spaces")
    return secret


def _secret(value: object) -> Secret:
    if isinstance(value, str):
        value = Secret(value)
    if not isinstance(value, Secret):
        raise Wrong("must be a text")
    if not value.reveal().strip():
        raise Wrong("must not be blank")
    return value


def base_url(value: object) -> str:
    """An origin in its canonical form, without a trailing slash."""
    if not isinstance(value, str):
        raise Wrong("must be a text")
    return TrustedOrigins(value).base_url


def base_path(value: object) -> str:
    """An absolute path without a trailing slash; the root is "". No dots in front of a segment, nothing encoded."""
    if not isinstance(value, str):
        raise Wrong("must be a text")
    path = value.rstrip("/")
    if not _PATH.fullmatch(path) or (path == "" and value not in ("", "/")):
        raise Wrong("must be an absolute path such as /api/auth")
    return path


def webhook_path(value: object) -> str:
    """The same of a path that is not the root."""
    path = base_path(value)
    if path == "":
        raise Wrong("must be an absolute path such as /webhooks")
    return path


def portal_configuration(value: object) -> str:
    """The id of a portal configuration."""
    try:
        return stripe_id(value, "bpc")
    except InvalidInput as refusal:
        raise Wrong(refusal.message) from None


def trusted_origins(value: object, where: str, problems: Problems) -> tuple[str, ...]:
    """Origins, with `*` for whole labels in front, in their order and each once."""
    values: Sequence[object] = [value] if isinstance(value, str) else problems.read(where, as_list, value, ())
    read = [problems.read(f"{where}[{number}]", _trusted_origin, each, None) for number, each in enumerate(values)]
    return tuple(dict.fromkeys(each for each in read if each is not None))


def _trusted_origin(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong("must be a text")
    TrustedOrigins("http://localhost", [value])
    return value
