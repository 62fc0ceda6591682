"""What statements take and give: the four column types of every billing table, the same on each database.

Each refuses what it was not made for.

Values are checked when they are bound. A driver would turn a wrong one into something else: MySQL compares a text with
the integer 0 by turning the text into a number, so that one stray `0` matches every id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from sqlalchemy import BigInteger, BindParameter, Dialect, Integer, Text, TypeDecorator, bindparam
from sqlalchemy.dialects.mysql import LONGTEXT, MEDIUMBLOB, VARBINARY
from sqlalchemy.types import TypeEngine

from ..domain.canonical import canonical
from ..domain.ids import MAX_INTEGER, is_storable
from ..errors import GuardError, InvalidInput

Row = Sequence[Any]
"""A row of an answer."""
Values = Mapping[str, Any]
"""The parameters of a statement."""


class Processor(Protocol):
    """What turns a value into what a driver takes, or back."""

    def __call__(self, value: Any) -> Any:
        """The other form."""
        ...


MYSQL = ("mysql", "mariadb")
"""SQLAlchemy's names of the dialects that speak MySQL."""


def text_bind(value: Any) -> str | None:
    """A text as every database can hold it.

    Raises:
        GuardError: it is no text.
        InvalidInput: it holds NUL or a lone surrogate.
    """
    if type(value) is str and value.isascii() and "\0" not in value:
        return value
    if value is None:
        return None
    if type(value) is not str:
        raise GuardError(f"a text column was given a value of type {type(value).__name__}")
    if not is_storable(value):
        raise InvalidInput("must be valid Unicode without NUL", field="text")
    return value


def integer_bind(value: Any) -> int | None:
    """An integer that a JSON number holds exactly.

    Raises:
        GuardError: it is no integer (a bool is none).
        InvalidInput: it is beyond ±(2^53-1).
    """
    if type(value) is int:
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return value
        raise InvalidInput("must be within ±(2^53-1)", field="amount")
    if value is None:
        return None
    raise GuardError(f"an integer column was given a value of type {type(value).__name__}")


def json_bind(value: Any) -> str | None:
    """An object as `JsonText` keeps it."""
    if not value and type(value) is dict:
        return "{}"
    return None if value is None else canonical(value)


def _json_result(value: str | None) -> Any:
    return None if value is None else json.loads(value)


def _text_result(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


class Id(TypeDecorator[str]):
    """A text that is compared byte by byte: no case folding, no padding, no normalisation.

    `length` is in bytes and only MySQL knows it; None stands for a long text that is no part of a key.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = 255) -> None:
        super().__init__()
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """VARBINARY, TEXT in the collation "C", or TEXT."""
        if dialect.name in MYSQL:
            return MEDIUMBLOB() if self.length is None else VARBINARY(self.length)
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Check every value."""
        return text_bind

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:
        """Make texts of bytes."""
        return _text_result if dialect.name in MYSQL else None


class Amount(TypeDecorator[int]):
    """A whole number within ±(2^53-1). Truth is 0 or 1."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """BIGINT, or INTEGER, which has 64 bits on SQLite."""
        return Integer() if dialect.name == "sqlite" else BigInteger()

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Check every value."""
        return integer_bind


class Instant(Amount):
    """Microseconds since 1970-01-01T00:00:00Z."""

    cache_ok = True


class TextArray(TypeDecorator[list[str]]):
    """Texts as one parameter, on PostgreSQL: the text of an array, with every element quoted."""

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Check every text, and quote it."""
        return _array_bind


def _array_bind(value: Iterable[Any]) -> str:
    return array_of_texts([text_bind(each) for each in value])


def array_of_texts(values: Sequence[str | None]) -> str:
    """An array as PostgreSQL reads it from a text, with every element quoted, so that none of them means anything."""
    if None in values:
        return "{" + ",".join(["NULL" if each is None else _quoted(each) for each in values]) + "}"
    # No text that is stored holds NUL, so that it can stand between them until all are escaped.
    return "{" + _quoted("\0".join(cast("Sequence[str]", values))).replace("\0", '","') + "}" if values else "{}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def array_of_integers(values: Sequence[int | None]) -> str:
    """The same of integers."""
    return "{" + str(list(values))[1:-1].replace("None", "NULL") + "}"


class JsonText(TypeDecorator[Mapping[str, Any]]):
    """An object as compact JSON in ASCII with sorted keys, so that equal objects are equal texts."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """LONGTEXT or TEXT."""
        return LONGTEXT() if dialect.name in MYSQL else Text()

    def bind_processor(self, dialect: Dialect) -> Processor:
        """Write JSON."""
        return json_bind

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor:
        """Read JSON."""
        return _json_result


def text_param(name: str) -> BindParameter[str]:
    """A parameter of a statement that is a text."""
    return bindparam(name, type_=Id())


def number_param(name: str) -> BindParameter[int]:
    """A parameter of a statement that is a whole number or an instant."""
    return bindparam(name, type_=Amount())


def texts_param(name: str) -> BindParameter[str]:
    """A parameter of a statement that is a list of texts, not an empty one."""
    return bindparam(name, type_=Id(), expanding=True)


def padded(texts: Iterable[str]) -> list[str]:
    """The values of a `texts_param`, in order, so that statements of a few sizes only reach the database.

    The last text is repeated until there are 1, 2, 4, 8 and so on.
    """
    found = sorted(texts)
    return found + found[-1:] * ((1 << (len(found) - 1).bit_length()) - len(found)) if found else found
