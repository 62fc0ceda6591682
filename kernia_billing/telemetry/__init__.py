"""The adapters that tell of the work: to the standard library's logging, and to OpenTelemetry where it is installed."""

from __future__ import annotations

from typing import Literal

from ..ports.telemetry import SILENT, Telemetry
from .logging import LoggingTelemetry

Choice = Literal["auto", "logging", "opentelemetry", "off"]


def telemetry_of(choice: Choice) -> Telemetry:
    """The telemetry of a name: "auto" logs, and tells OpenTelemetry too where its API is installed.

    Raises:
        ImportError: "opentelemetry" where its API is not installed.
    """
    if choice == "off":
        return SILENT
    log = LoggingTelemetry()
    if choice == "logging":
        return log
    try:
        from .otel import OpenTelemetry
    except ImportError:
        if choice == "auto":
            return log
        raise
    return OpenTelemetry(log)
