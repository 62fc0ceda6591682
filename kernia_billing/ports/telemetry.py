"""What is told of the work: spans, numbers and log events. Never a secret, never a person's name or address.

Names and attributes follow OpenTelemetry's conventions (https://opentelemetry.io/docs/specs/semconv/), so that an
adapter has nothing to translate. Attributes of numbers must have few different values: kinds and states, not ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

from attrs import frozen

Level = Literal["debug", "info", "warning", "error"]
SpanKind = Literal["internal", "client", "consumer"]
Attribute = str | int | float | bool | None
Attributes = Mapping[str, Attribute]


@frozen
class Instrument:
    """A number that is measured: its name, its unit (UCUM, as OpenTelemetry wants it), and what it tells.

    A `counter` adds up, a `histogram` shows how values spread, a `gauge` is the last value.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str


STRIPE_DURATION = Instrument(
    "kernia_billing.stripe.request.duration", "histogram", "s", "How long calls to Stripe took, with their retries."
)
"""Attributes: `http.request.method`, `url.template`, `http.response.status_code` or `error.type`."""
STRIPE_WAIT = Instrument(
    "kernia_billing.stripe.budget.wait", "histogram", "s", "How long calls waited for the rate budget before they went."
)
"""Attributes: `kernia_billing.background`."""
JOB_DURATION = Instrument("kernia_billing.job.duration", "histogram", "s", "How long jobs ran.")
"""Attributes: `kernia_billing.job`, and `error.type` where it failed."""
WEBHOOK_LAG = Instrument(
    "kernia_billing.webhook.lag", "histogram", "s", "From the moment Stripe made an event to the end of our work on it."
)
"""Attributes: `kernia_billing.event.type`, `kernia_billing.outcome`."""
WEBHOOKS = Instrument("kernia_billing.webhook.received", "counter", "{event}", "Webhook requests that came in.")
"""Attributes: `kernia_billing.outcome`."""
QUEUE_DEPTH = Instrument("kernia_billing.queue.depth", "gauge", "{item}", "What waits to be worked on.")
"""Attributes: `kernia_billing.queue`, such as "inbox", "outbox", "meter_events", "intents"."""


class Span(Protocol):
    """Something that takes time, while it is under way."""

    def set(self, name: str, value: Attribute) -> None:
        """Add an attribute of few different values, to the measured time too; None is left out."""
        ...

    def identify(self, name: str, value: Attribute) -> None:
        """Add an attribute that tells this one from all others, such as an id; None is left out."""
        ...


class Telemetry(Protocol):
    """Hears of the work. Nothing that it does may fail the work, so an adapter keeps its own failures to itself."""

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: SpanKind = "internal",
        measure: Instrument | None = None,
    ) -> AbstractContextManager[Span]:
        """Enclose something that takes time; `measure` is the histogram that gets the seconds it took.

        An exception that leaves the block is noted by its code or its type as `error.type`, never by its text.
        """
        ...

    def count(self, instrument: Instrument, number: int = 1, attributes: Attributes | None = None) -> None:
        """Add to a counter."""
        ...

    def record(self, instrument: Instrument, value: float, attributes: Attributes | None = None) -> None:
        """Note one value of a histogram, or the value that a gauge has now."""
        ...

    def log(self, level: Level, event: str, fields: Attributes | None = None) -> None:
        """Write an event to the log: `event` is a fixed name such as "intent.parked", `fields` say which one."""
        ...


class _NoSpan:
    """A span that nobody looks at."""

    def set(self, name: str, value: Attribute) -> None:
        """Nothing."""

    def identify(self, name: str, value: Attribute) -> None:
        """Nothing."""


NO_SPAN: Span = _NoSpan()
NOWHERE: AbstractContextManager[Span] = nullcontext(NO_SPAN)
"""The context manager around something that nobody looks at; it can be entered any number of times."""


class NullTelemetry:
    """Tells nobody anything."""

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: SpanKind = "internal",
        measure: Instrument | None = None,
    ) -> AbstractContextManager[Span]:
        """Nothing."""
        return NOWHERE

    def count(self, instrument: Instrument, number: int = 1, attributes: Attributes | None = None) -> None:
        """Nothing."""

    def record(self, instrument: Instrument, value: float, attributes: Attributes | None = None) -> None:
        """Nothing."""

    def log(self, level: Level, event: str, fields: Attributes | None = None) -> None:
        """Nothing."""


SILENT: Telemetry = NullTelemetry()


def kind_of(failure: BaseException) -> str:
    """What `error.type` says of a failure: the code of one of our errors, else the name of its type."""
    code: object = getattr(failure, "code", None)
    return code if isinstance(code, str) and code else type(failure).__qualname__
