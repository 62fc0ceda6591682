"""Keeps our URLs out of httpx's log: it writes every URL at INFO, and a query may hold an e-mail address."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

_ours: ContextVar[bool] = ContextVar("kernia_billing_stripe_request", default=False)


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _ours.get()


_NOT_OURS = _NotOurs()


def hush() -> None:
    """Filter our requests out of httpx's log; the application's own requests stay in it. Calling it again is free."""
    logging.getLogger("httpx").addFilter(_NOT_OURS)


@contextmanager
def ours() -> Generator[None, None, None]:
    """Mark the requests sent inside as ours."""
    token = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(token)
