"""Identifiers that sort by the time they were made at."""

from __future__ import annotations

import os
import time
from collections import deque
from itertools import count

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LETTERS = bytes.maketrans(bytes(range(256)), _ALPHABET.encode() * 8)
"""A letter for every byte, so that random bytes are random letters."""


_AT_ONCE = 256
"""So many ids get their random letters at once: each would be a journey to the system."""
_random: deque[str] = deque()
"""Random letters that no id has yet."""

if hasattr(os, "register_at_fork"):
    # Both processes would give the same ones.
    os.register_at_fork(after_in_child=_random.clear)


class TimeOrderedIds:
    """Makes identifiers of 48 bits of time, a counter of 20 bits and 60 random bits, in Crockford's base 32.

    Rising with the millisecond they were made in (RFC 9562, UUID version 7), so that rows that are written together lie
    together in an index; and within one in the order in which a process made them, so that a list tells what happened
    at one instant in its order.
    """

    def __init__(self) -> None:
        self._made = count(int.from_bytes(os.urandom(2)))
        self._instant = (0, "")

    def new(self, prefix: str) -> str:
        """A new identifier `<prefix>_<26 characters>`."""
        now = time.time_ns() // 1_000_000
        known, instant = self._instant
        if now != known:
            instant = "".join([_PAIRS[now >> shift & 1023] for shift in (40, 30, 20, 10, 0)])
            self._instant = now, instant
        made = next(self._made)
        return f"{prefix}_{instant}{_PAIRS[made >> 10 & 1023]}{_PAIRS[made & 1023]}{_letters()}"


def _letters() -> str:
    """Twelve random letters."""
    try:
        return _random.pop()
    except IndexError:
        letters = os.urandom(12 * _AT_ONCE).translate(_LETTERS).decode()
        _random.extend([letters[at : at + 12] for at in range(12, len(letters), 12)])
        return letters[:12]
