"""Names: ours, and those that people bring along from Better Auth, Kernia and kavachOS.

Every spelling is read as ours. Two spellings of one thing are fine while they agree; a name that nobody knows is
refused, with the one that was probably meant.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches

from attrs import field, frozen

from .problems import Problems

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_UNAVAILABLE = "not available in this version"


def _no_normal_forms() -> dict[str, Callable[[object], object]]:
    return {}


@frozen
class Given:
    """A value as it was given, and the place where: `where` is the path that a mistake is reported under."""

    value: object = field(repr=False)
    where: str


@frozen
class Vocabulary:
    """The names that one kind of mapping knows.

    `aliases` maps other spellings to ours; `unavailable` are names that are understood, but not what they ask for;
    `normal` gives, for names whose values have several forms, the form in which two of them compare.
    """

    what: str
    names: Collection[str]
    aliases: Mapping[str, str]
    unavailable: Collection[str] = ()
    normal: Mapping[str, Callable[[object], object]] = field(factory=_no_normal_forms)

    def read(self, members: Mapping[str, object], at: str, problems: Problems) -> dict[str, Given]:
        """The members under our names; what is None was not given. Unknown names are noted as problems."""
        return self.merge(((name, Given(value, at + name)) for name, value in members.items()), problems)

    def merge(self, members: Iterable[tuple[str, Given]], problems: Problems) -> dict[str, Given]:
        """The same for members that come from more than one place."""
        found: dict[str, Given] = {}
        for spelling, given in members:
            name = self._name(spelling, given, problems)
            if name is None or given.value is None:
                continue
            if name in found and not self._agree(name, found[name].value, given.value):
                problems.add(given.where, f"differs from {found[name].where}, another spelling of the same {self.what}")
            found.setdefault(name, given)
        return found

    def _name(self, spelling: str, given: Given, problems: Problems) -> str | None:
        name = snake_case(spelling)
        name = self.aliases.get(name, name)
        if name in self.names:
            return name
        if name in self.unavailable:
            problems.add(given.where, _UNAVAILABLE)
        else:
            problems.add(given.where, f"unknown {self.what}{self._suggestion(spelling)}")
        return None

    def _suggestion(self, spelling: str) -> str:
        close = get_close_matches(snake_case(spelling), sorted({*self.names, *self.aliases}), n=1)
        return f"; did you mean {close[0]}?" if close else ""

    def _agree(self, name: str, one: object, other: object) -> bool:
        normal = self.normal.get(name, _as_it_is)
        one, other = normal(one), normal(other)
        return type(one) is type(other) and one == other


def snake_case(name: str) -> str:
    """`priceId` and `price_id` alike as `price_id`; so are dashes."""
    return _HUMP.sub("_", name).lower().replace("-", "_")


def _as_it_is(value: object) -> object:
    return value
