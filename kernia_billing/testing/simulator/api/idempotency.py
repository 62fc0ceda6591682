"""Idempotency keys: the first answer under a key is kept and given again.

Source: Stripe, "Idempotent requests". The answer is kept whatever its status, a 500 too; the same key with other
parameters is an error; nothing is kept when the parameters were malformed or a request with that key is running.
"""

from __future__ import annotations

import threading

from attrs import define, field, frozen

from ..world.errors import ApiError
from .wire import Reply

KEPT_SECONDS = 24 * 3_600
"""After so long a key is forgotten and may do its work again."""


@frozen
class _Kept:
    fingerprint: str
    at: int
    reply: Reply


@define
class IdempotencyStore:
    """Answers by key. `begin` and `finish` (or `abandon`) enclose the work of one request."""

    _kept: dict[str, _Kept] = field(factory=dict[str, _Kept], init=False)
    _running: set[str] = field(factory=set[str], init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def begin(self, key: str, fingerprint: str, now: int) -> Reply | None:
        """The kept answer, or None when the caller shall do the work.

        Raises:
            ApiError: 409 idempotency_key_in_use, or 400 idempotency_error for other parameters.
        """
        with self._lock:
            self._kept = {k: kept for k, kept in self._kept.items() if kept.at + KEPT_SECONDS > now}
            if key in self._running:
                raise _in_use(key)
            kept = self._kept.get(key)
            if kept is None:
                self._running.add(key)
                return None
            if kept.fingerprint != fingerprint:
                raise _mismatch(key)
            return kept.reply

    def finish(self, key: str, fingerprint: str, now: int, reply: Reply) -> None:
        """Keep the answer."""
        with self._lock:
            self._running.discard(key)
            self._kept[key] = _Kept(fingerprint, now, reply)

    def abandon(self, key: str) -> None:
        """The work did not begin, so that there is nothing to keep."""
        with self._lock:
            self._running.discard(key)


def _in_use(key: str) -> ApiError:
    message = (
        f"There is currently another in-progress request using this Idempotent Key: {key} (that probably means you "
        "submitted twice, and the other request is still going through). Please try again later."
    )
    return ApiError(message, status=409, type="idempotency_error", code="idempotency_key_in_use")


def _mismatch(key: str) -> ApiError:
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using "
        f"a key other than '{key}' if you meant to execute a different request."
    )
    return ApiError(message, type="idempotency_error")
