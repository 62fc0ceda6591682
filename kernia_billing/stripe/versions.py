"""The one place that names versions: Stripe's, which shapes every request, and ours, which Stripe's logs show."""

from __future__ import annotations

import platform
from functools import cache

STRIPE_API_VERSION = "2026-10-28.endive"
"""The API version that every request names, so that the account's default cannot change what is sent or answered."""


@cache
def user_agent() -> str:
    """What the `User-Agent` header says: this library, its version, and the Python under it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        own = version("kernia-billing")
    except PackageNotFoundError:
        own = "0"
    return f"kernia-billing/{own} python/{platform.python_version()}"
