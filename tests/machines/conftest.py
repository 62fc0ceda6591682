"""What the machines assert is readable where it fails."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.machines.machine", "tests.machines.stage")
