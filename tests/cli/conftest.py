"""The fixtures of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.stand import Stand, standing


@pytest.fixture
def stand(sqlite_url: str, tmp_path: Path) -> Iterator[Stand]:
    """An application on SQLite and its Stripe."""
    folder = tmp_path / "app"
    folder.mkdir()
    with standing(sqlite_url, folder) as made:
        made.billing.webhooks.health()  # the tables are there
        yield made
