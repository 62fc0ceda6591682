"""Identifiers that sort by the time they were made at."""

from __future__ import annotations

import os
import time
from itertools import count

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_LETTERS = bytes.maketrans(bytes(range(256)), _ALPHABET.encode() * 8)
"""A letter for every byte, so that random bytes are random letters."""


class TimeOrderedIds:
    """Makes identifiers of 48 bits of time, a counter of 20 bits and 60 random bits, in Crockford's base 32.

    Rising with the millisecond they were made in (RFC 9562, UUID version 7), so that rows that are written together lie
    together in an index; and within one in the order in which a process made them, so that a list tells what happened
    at one instant in its order.
    """

    def __init__(self) -> None:
        self._made = count(int.from_bytes(os.urandom(2)))

    def new(self, prefix: str) -> str:
        """A new identifier `<prefix>_<26 characters>`."""
        now = time.time_ns() // 1_000_000
        instant = "".join([_PAIRS[now >> shift & 1023] for shift in (40, 30, 20, 10, 0)])
        made = next(self._made)
        order = _PAIRS[made >> 10 & 1023] + _PAIRS[made & 1023]
        return f"{prefix}_{instant}{order}{os.urandom(12).translate(_LETTERS).decode()}"
