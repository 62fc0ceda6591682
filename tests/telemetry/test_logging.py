"""Events in the log: fields beside the text, one line each, whatever they hold."""

from __future__ import annotations

import io
import json
import logging
import pickle
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernia_billing.errors import Unavailable
from kernia_billing.ports.telemetry import NOWHERE, Telemetry
from kernia_billing.telemetry.logging import JsonFormatter, LoggingTelemetry, escaped

values = st.text(max_size=30) | st.integers() | st.floats(allow_nan=False) | st.booleans() | st.none()


class Kept(logging.Handler):
    """Keeps records."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    """The records of a logger of the test's own, at every level."""
    logger = logging.getLogger("kernia_billing.test")
    handler = Kept()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def telemetry(kept: Kept) -> Telemetry:
    """What writes to it."""
    return LoggingTelemetry(logging.getLogger("kernia_billing.test"))


def test_an_event_has_a_text_and_fields(kept: Kept, telemetry: Telemetry) -> None:
    """A person reads the text, a program the mapping; None is left out, levels are those of the library."""
    telemetry.log("warning", "intent.parked", {"operation": "customer", "age": 3, "note": "two words", "none": None})
    telemetry.log("debug", "bare")

    first, second = kept.records
    assert first.getMessage() == 'intent.parked operation=customer age=3 note="two words"'
    fields: dict[str, Any] = vars(first)["billing"]
    assert fields == {"event": "intent.parked", "operation": "customer", "age": 3, "note": "two words"}
    assert (first.levelname, second.levelname, second.getMessage()) == ("WARNING", "DEBUG", "bare")
    assert vars(pickle.loads(pickle.dumps(first)))["billing"] == fields


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("a\r\n2026-01-01 ERROR forged", "a\\r\\n2026-01-01 ERROR forged"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("nul\0", "nul\\x00"),
        ("\u2028\u202eabc", "\\u2028\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("é 日本", "é 日本"),
        ("%s %d {}", "%s %d {}"),
        (5, 5),
        (None, None),
    ],
)
def test_control_characters_are_escaped(value: Any, shown: Any) -> None:
    """Nothing ends a line, colours a terminal, or turns the order of letters round."""
    assert escaped(value) == shown


def test_what_is_long_is_cut() -> None:
    """One field cannot fill the log."""
    assert len(str(escaped("x" * 100_000))) == 500


@given(st.dictionaries(st.text(max_size=8), values, max_size=4), st.sampled_from(["event.name", "x"]))
def test_every_event_is_one_line_in_both_forms(fields: dict[str, Any], event: str) -> None:
    """Whatever the values are: one line of text, one line of JSON that can be read back."""
    logger = logging.Logger("hostile")  # noqa: LOG001 - nobody else shall have it
    plain, as_json = io.StringIO(), io.StringIO()
    for stream, formatter in ((plain, logging.Formatter()), (as_json, JsonFormatter())):
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        logger.addHandler(handler)

    LoggingTelemetry(logger).log("error", event, {f"f{number}": value for number, value in enumerate(fields.values())})

    assert plain.getvalue().count("\n") == 1
    assert len(as_json.getvalue().splitlines()) == 1
    told = json.loads(as_json.getvalue())
    assert (told["event"], told["level"], told["logger"]) == (event, "error", "hostile")
    assert told["time"].endswith("+00:00")


def test_json_of_other_records() -> None:
    """Records of other code have their text; an exception is told by its kind, with a traceback only if asked for."""
    failure = Unavailable("Stripe did not answer")
    record = logging.LogRecord("n", logging.ERROR, "f", 1, "a %s\nb", ("x",), (Unavailable, failure, None))

    told = json.loads(JsonFormatter().format(record))
    longer = json.loads(JsonFormatter(tracebacks=True).format(record))

    assert (told["message"], told["exception"]) == ("a x\\nb", Unavailable.code)
    assert "traceback" not in told
    assert "Unavailable" in longer["traceback"]


def test_spans_are_written_at_debug_when_they_end(kept: Kept, telemetry: Telemetry) -> None:
    """With what was set meanwhile, the seconds, and the kind of a failure; calls to Stripe have their own event."""
    with suppress(ZeroDivisionError), telemetry.span("job reconcile", {"kernia_billing.job": "reconcile"}) as span:
        span.set("pages", 3)
        span.identify("id", "x_1")
        raise ZeroDivisionError

    fields = vars(kept.records[0])["billing"]
    assert fields.pop("seconds") >= 0
    assert fields == {
        "event": "job reconcile",
        "kernia_billing.job": "reconcile",
        "pages": 3,
        "id": "x_1",
        "error.type": "ZeroDivisionError",
    }
    assert telemetry.span("GET /v1/prices", kind="client") is NOWHERE


def test_nothing_is_done_where_nobody_listens(kept: Kept, telemetry: Telemetry) -> None:
    """Above DEBUG spans are the same do-nothing object each time."""
    logging.getLogger("kernia_billing.test").setLevel(logging.INFO)

    telemetry.log("debug", "unheard")
    with telemetry.span("a") as span:
        span.set("x", 1)
        span.identify("y", 1)

    assert telemetry.span("a") is telemetry.span("b") is NOWHERE
    assert kept.records == []
