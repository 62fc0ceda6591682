"""What happens to a test whose tool or server is not on this machine."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

STRICT = os.environ.get("KERNIA_REQUIRE_ALL_ENGINES") == "1"


def missing(reason: str) -> NoReturn:
    """Skip the running test for `reason`, or fail it where nothing may be missing (KERNIA_REQUIRE_ALL_ENGINES=1)."""
    if STRICT:
        pytest.fail(f"missing although KERNIA_REQUIRE_ALL_ENGINES=1: {reason}", pytrace=False)
    pytest.skip(reason)
