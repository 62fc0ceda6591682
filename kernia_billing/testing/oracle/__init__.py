"""Two oracles made from the official `stripe` package: of requests that it would send, of objects that it would read.

They need `stripe` (the `testing` extra) and are built once per process, when first used. `totals` counts what they
checked, so that a test run can print how much passed them.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from importlib.util import find_spec

from .objects import ObjectOracle
from .requests import Report, RequestOracle

__all__ = ["ObjectOracle", "Report", "RequestOracle", "available", "object_oracle", "request_oracle", "totals"]

totals: Counter[str] = Counter()
"""What every simulator of this process had checked: `requests`, `objects`, and `refused_requests` among the first."""


@cache
def available() -> bool:
    """Whether the `stripe` package is installed."""
    return find_spec("stripe") is not None


def request_oracle() -> RequestOracle | None:
    """The process-wide request oracle, or None where `stripe` is not installed."""
    return _request_oracle() if available() else None


def object_oracle() -> ObjectOracle | None:
    """The process-wide object oracle, or None where `stripe` is not installed."""
    return _object_oracle() if available() else None


# Only what was built is kept: a None kept by mistake would switch the checks off for a whole run, unseen.
_request_oracle = cache(RequestOracle)
_object_oracle = cache(ObjectOracle)
