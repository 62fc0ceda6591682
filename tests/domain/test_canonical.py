"""Equal values have one text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.domain.canonical import canonical

TEXTS = st.text(st.characters(exclude_characters="\x7f", codec=None))
PLAIN = st.none() | st.booleans() | st.integers() | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)


@given(VALUES)
def test_canonical_is_sorted_compact_ascii(value: Any) -> None:
    """It is the text that the standard library writes, lone surrogates and integers of any size included."""
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":"))


@given(st.text())
def test_canonical_reads_back(text: str) -> None:
    """Every text comes back as it was, and none leaves ASCII."""
    written = canonical({text: text})
    assert written.isascii()
    assert json.loads(written) == {text: text}
