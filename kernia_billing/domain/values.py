"""Values that are built by the dozen for every answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from attrs import frozen as value
else:
    # To build a class that is frozen at run time takes twice as long. The type checkers refuse every assignment, and
    # nothing that the host gets is made of these.
    value = partial(attrs.define, unsafe_hash=True)

__all__ = ["value"]
