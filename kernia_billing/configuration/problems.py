"""Mistakes are collected, not raised one by one: whoever configures sees all of them at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import ConfigError, InvalidInput

T = TypeVar("T")
D = TypeVar("D")
V = TypeVar("V")


class Wrong(Exception):
    """A value is wrong. Its text says what the value must be, and never repeats the value: it may be a secret."""


class Problems:
    """Every mistake found so far, each with the place where it was made."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, where: str, text: str) -> None:
        """Note a mistake. `where` is a path such as `plans[2].features.messages.reset`."""
        self._lines.append(f"{where}: {text}")

    def read(self, where: str, convert: Callable[[V], T], value: V, default: D) -> T | D:
        """What `convert` makes of the value; a mistake is noted and gives `default`."""
        try:
            return convert(value)
        except Wrong as wrong:
            self.add(where, str(wrong))
        except InvalidInput as error:
            self.add(where, error.message)
        return default

    @property
    def lines(self) -> Sequence[str]:
        """What was found, each with its place."""
        return tuple(self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    def raise_any(self) -> None:
        """Raise what was found.

        Raises:
            ConfigError: something was.
        """
        if self._lines:
            raise ConfigError(list(dict.fromkeys(self._lines)))
