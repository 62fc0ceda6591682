"""The simulator's state: one table per kind of object, in the order of creation."""

from __future__ import annotations

import random
from collections.abc import Iterator

from attrs import define, field

from .errors import Json, missing

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@define
class Ids:
    """Makes ids that look like Stripe's and are unique across simulators, so that two may share one database."""

    _random: random.Random = field(factory=random.SystemRandom, init=False)

    def new(self, prefix: str, length: int = 24) -> str:
        """`<prefix>_` and random letters and digits."""
        return f"{prefix}_{self.letters(length)}"

    def letters(self, length: int) -> str:
        """Random letters and digits."""
        return "".join(self._random.choices(_ALPHABET, k=length))


@define
class Table:
    """Objects of one kind by id; iterating gives the newest first, as Stripe's lists do."""

    kind: str
    rows: dict[str, Json] = field(factory=dict[str, Json], init=False)

    def __iter__(self) -> Iterator[Json]:
        return iter(reversed(list(self.rows.values())))

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: Json) -> Json:
        """Keep a new object."""
        self.rows[row["id"]] = row
        return row

    def get(self, id: str, param: str = "id", *, in_path: bool = False) -> Json:
        """The object of that id.

        Raises:
            ApiError: resource_missing.
        """
        if id not in self.rows:
            raise missing(self.kind, id, param, in_path=in_path)
        return self.rows[id]


def nested(row: Json, *names: str) -> Json:
    """The map that stands in another one under these names, one inside the other; empty where there is none."""
    for name in names:
        row = row.get(name) or Json()
    return row
