"""Who acts, and why: what the audit log writes beside a change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from ..errors import InvalidInput

DEFAULT_ACTOR = "application"
_ACTOR = re.compile(r"[!-~]{1,255}")
_actor: ContextVar[str] = ContextVar("kernia_billing_actor", default=DEFAULT_ACTOR)
_cause: ContextVar[tuple[str, str]] = ContextVar("kernia_billing_cause", default=("", ""))


def current_actor() -> str:
    """Who acts on this thread or task: "application" unless somebody said otherwise."""
    return _actor.get()


def actor_of(kind: str, id: str) -> str:
    """The actor of an id that comes from elsewhere: one that cannot stand in the audit log is replaced by its hash."""
    told = f"{kind}:{id}"
    if _ACTOR.fullmatch(told) and "@" not in told:
        return told
    return f"{kind}:sha256-{hashlib.sha256(id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


@contextmanager
def acting_as(actor: str) -> Generator[None]:
    """Name who acts in the enclosed code, on this thread or task.

    `actor` is a kind and an id, such as "user:42" or "cli:root": 1 to 255 visible ASCII characters without spaces. It
    is stored with every change, so give an id and no e-mail address.

    Raises:
        InvalidInput: it is no such text, or an e-mail address.
    """
    if not isinstance(actor, str) or not _ACTOR.fullmatch(actor):
        raise InvalidInput("must be 1 to 255 visible ASCII characters without spaces", field="actor")
    if "@" in actor:
        raise InvalidInput("must be an id, not an e-mail address: the audit log holds no personal data", field="actor")
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


def current_cause() -> tuple[str, str]:
    """What made us act on this thread or task, and the id of Stripe's event: each "" where nobody said."""
    return _cause.get()


@contextmanager
def because_of(cause: str, event_id: str = "") -> Generator[None]:
    """Name what makes us act in the enclosed code: an operation, or the type of an event and its id."""
    token = _cause.set((cause[:100], event_id))
    try:
        yield
    finally:
        _cause.reset(token)
