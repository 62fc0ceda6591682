"""Events in the standard library's log, with their fields beside the text.

Every record is of the logger "kernia_billing". Its text is the event and its fields (`intent.parked operation=customer
key=kernia-…`), and `record.billing` is a mapping with `event` and the fields, for handlers that write them apart.
`JsonFormatter` writes one JSON object a line.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from ..ports.telemetry import NOWHERE, Attribute, Attributes, Instrument, Level, Span, SpanKind, kind_of

LOGGER = "kernia_billing"
_LEVELS: Mapping[Level, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_LONGEST = 500
_PLAIN = re.compile(r"[^\s\"'=\\]+")


def escaped(value: Attribute) -> Attribute:
    """A value that cannot end a line, colour a terminal or forge a record: what is not printable becomes an escape."""
    if not isinstance(value, str):
        return value
    shown = value if value.isprintable() else "".join(map(_visible, value))
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class LoggingTelemetry:
    """Writes events to a logger, and spans to it at DEBUG when they end. Numbers it does not keep."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logging.getLogger(LOGGER) if logger is None else logger

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: SpanKind = "internal",
        measure: Instrument | None = None,
    ) -> AbstractContextManager[Span]:
        """Enclose something that takes time; nothing is done where DEBUG is not logged."""
        # A call to Stripe has an event of its own, which tells more.
        if kind == "client" or not self._logger.isEnabledFor(logging.DEBUG):
            return NOWHERE
        return self._timed(name, attributes)

    def count(self, instrument: Instrument, number: int = 1, attributes: Attributes | None = None) -> None:
        """Nothing."""

    def record(self, instrument: Instrument, value: float, attributes: Attributes | None = None) -> None:
        """Nothing."""

    def log(self, level: Level, event: str, fields: Attributes | None = None) -> None:
        """Write one record. Fields that are None are left out."""
        number = _LEVELS[level]
        if not self._logger.isEnabledFor(number):
            return
        kept = {name: escaped(value) for name, value in (fields or {}).items() if value is not None}
        text = " ".join([event, *(f"{name}={_shown(value)}" for name, value in kept.items())])
        # As an argument, so that a percent sign in a field is no format.
        self._logger.log(number, "%s", text, extra={"billing": {**kept, "event": event}}, stacklevel=2)

    @contextmanager
    def _timed(self, name: str, attributes: Attributes | None) -> Generator[Span]:
        span = _Fields(dict(attributes or {}))
        begun = time.monotonic()
        try:
            yield span
        except BaseException as failure:
            span.set("error.type", kind_of(failure))
            raise
        finally:
            span.set("seconds", round(time.monotonic() - begun, 6))
            self.log("debug", name, span.fields)


class _Fields:
    def __init__(self, fields: dict[str, Attribute]) -> None:
        self.fields = fields

    def set(self, name: str, value: Attribute) -> None:
        """Keep a field."""
        self.fields[name] = value

    def identify(self, name: str, value: Attribute) -> None:
        """Keep a field."""
        self.fields[name] = value


def _shown(value: Attribute) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class JsonFormatter(logging.Formatter):
    """Writes a record as one JSON object: `time`, `level`, `logger`, `event`, and the fields of the event.

    Give it to a handler of the logger "kernia_billing". Records without fields have a `message` instead. Exceptions
    are told by their type, and with their traceback where `tracebacks` is true: texts of other libraries' exceptions
    may quote what they were given.
    """

    def __init__(self, *, tracebacks: bool = False) -> None:
        super().__init__()
        self._tracebacks = tracebacks

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the record holds."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields: dict[str, object] | None = getattr(record, "billing", None)
        if fields is not None:
            told = {**fields, **told}
        else:
            told["message"] = escaped(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            told["exception"] = kind_of(record.exc_info[1])
            if self._tracebacks:
                told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)
