"""Every statement of the storage, as its modules hold them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, cast

from sqlalchemy.sql.base import Executable

from kernia_billing import storage
from kernia_billing.storage.copies import Copies
from kernia_billing.storage.dialects import Change, Variants
from kernia_billing.storage.pages import Pages


def every_statement() -> Iterator[tuple[str, Executable]]:
    """Every statement of the storage, with the name of its module and of itself."""
    for module in pkgutil.iter_modules(storage.__path__):
        for name, thing in vars(importlib.import_module(f"{storage.__name__}.{module.name}")).items():
            for statement in _statements(thing):
                yield f"{module.name}.{name}", statement


def _statements(thing: Any) -> Iterator[Executable]:
    """The statements in something that a module holds."""
    if isinstance(thing, Variants):
        yield from (thing.sqlite, thing.postgresql, thing.mysql)
    elif isinstance(thing, Change):
        yield from (thing.update, thing.returning, thing.select)
    elif isinstance(thing, Copies):
        yield from chain.from_iterable(map(_statements, cast("Copies[Any]", thing).statements))
    elif isinstance(thing, Pages):
        yield from thing._statements.values()
    elif isinstance(thing, Mapping):
        yield from chain.from_iterable(map(_statements, cast("Mapping[Any, Any]", thing).values()))
    elif isinstance(thing, Executable):
        yield thing
