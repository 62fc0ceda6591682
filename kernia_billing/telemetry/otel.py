"""Spans and metrics for OpenTelemetry (https://opentelemetry.io), by its API alone.

The application chooses the SDK and the exporters; without them the API does nothing. Events go to the log as well,
through the telemetry that is given, and the log is what OpenTelemetry's own handler collects.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from opentelemetry import metrics, trace
from opentelemetry.trace import Status, StatusCode
from opentelemetry.util.types import AttributeValue

from ..ports.telemetry import Attribute, Attributes, Instrument, Level, Span, SpanKind, Telemetry, kind_of
from .logging import escaped

SCOPE = "kernia_billing"
_KINDS: Mapping[SpanKind, trace.SpanKind] = {
    "internal": trace.SpanKind.INTERNAL,
    "client": trace.SpanKind.CLIENT,
    "consumer": trace.SpanKind.CONSUMER,
}


class _Recorder(Protocol):
    def __call__(self, amount: float, attributes: Mapping[str, AttributeValue]) -> None: ...


class OpenTelemetry:
    """Tells a tracer and a meter, and logs through `log`.

    Args:
        log: where events go.
        tracer_provider: the application's; None means the global one, also where it is set later.
        meter_provider: the same for metrics.
    """

    def __init__(
        self,
        log: Telemetry,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._log = log
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
        self._meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
        self._recorders: dict[str, _Recorder] = {}

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: SpanKind = "internal",
        measure: Instrument | None = None,
    ) -> AbstractContextManager[Span]:
        """A span that is the current one inside of the block, and a line in the log at DEBUG."""
        return self._spanned(name, dict(attributes or {}), kind, measure)

    def count(self, instrument: Instrument, number: int = 1, attributes: Attributes | None = None) -> None:
        """Add to a counter."""
        self._recorder(instrument)(number, _told(attributes))

    def record(self, instrument: Instrument, value: float, attributes: Attributes | None = None) -> None:
        """Note one value."""
        self._recorder(instrument)(value, _told(attributes))

    def log(self, level: Level, event: str, fields: Attributes | None = None) -> None:
        """Write to the log."""
        self._log.log(level, event, fields)

    @contextmanager
    def _spanned(
        self, name: str, attributes: dict[str, Attribute], kind: SpanKind, measure: Instrument | None
    ) -> Generator[Span]:
        begun = time.monotonic()
        # The text of an exception may quote anything, so that the API's own way of recording it is off.
        with (
            self._log.span(name, attributes, kind=kind) as logged,
            self._tracer.start_as_current_span(
                name,
                kind=_KINDS[kind],
                attributes=_told(attributes),
                record_exception=False,
                set_status_on_exception=False,
            ) as traced,
        ):
            span = _Span(attributes, traced, logged)
            try:
                yield span
            except BaseException as failure:
                span.set("error.type", kind_of(failure))
                traced.set_status(Status(StatusCode.ERROR))
                raise
            finally:
                if measure is not None:
                    self.record(measure, time.monotonic() - begun, attributes)

    def _recorder(self, instrument: Instrument) -> _Recorder:
        recorder = self._recorders.get(instrument.name)
        if recorder is None:
            recorder = self._recorders.setdefault(instrument.name, self._made(instrument))
        return recorder

    def _made(self, instrument: Instrument) -> _Recorder:
        name, unit, description = instrument.name, instrument.unit, instrument.description
        if instrument.kind == "counter":
            return self._meter.create_counter(name, unit, description).add
        if instrument.kind == "gauge":
            return self._meter.create_gauge(name, unit, description).set
        return self._meter.create_histogram(name, unit, description).record


class _Span:
    def __init__(self, measured: dict[str, Attribute], traced: trace.Span, logged: Span) -> None:
        self._measured = measured
        self._traced = traced
        self._logged = logged

    def set(self, name: str, value: Attribute) -> None:
        """To the span and to what is measured."""
        self._measured[name] = value
        self.identify(name, value)

    def identify(self, name: str, value: Attribute) -> None:
        """To the span only."""
        told = escaped(value)
        if told is not None:
            self._traced.set_attribute(name, told)
            self._logged.identify(name, value)


def _told(attributes: Attributes | None) -> dict[str, AttributeValue]:
    told = ((name, escaped(value)) for name, value in (attributes or {}).items())
    return {name: value for name, value in told if value is not None}
