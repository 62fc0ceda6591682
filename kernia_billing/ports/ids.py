"""Where identifiers come from."""

from __future__ import annotations

from typing import Protocol


class Ids(Protocol):
    """Makes identifiers."""

    def new(self, prefix: str) -> str:
        """A new identifier `<prefix>_<text>`, unique everywhere and rising with time, so that indexes stay compact."""
        ...
