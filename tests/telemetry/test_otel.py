"""Spans and metrics as OpenTelemetry's SDK receives them, from a whole story and one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from attrs import define
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from kernia_billing.errors import InvalidSignature, Unavailable
from kernia_billing.operations import traces
from kernia_billing.ports.telemetry import SILENT, STRIPE_DURATION, STRIPE_WAIT, NullTelemetry
from kernia_billing.stripe.templates import template_of
from kernia_billing.telemetry import telemetry_of
from kernia_billing.telemetry.logging import LoggingTelemetry
from kernia_billing.telemetry.otel import OpenTelemetry
from kernia_billing.testing import Fault
from tests.stripe.network import KINDS, OK, Kind, Wired, error
from tests.webhooks.fixtures import Open


@define
class Watched:
    """A telemetry, and what arrived at the SDK."""

    telemetry: OpenTelemetry
    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader

    @property
    def spans(self) -> list[Any]:
        """The finished spans."""
        return list(self.exporter.get_finished_spans())

    def points(self) -> dict[str, list[Any]]:
        """The points of every metric, by name."""
        data: Any = self.reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def watched() -> Iterator[Watched]:
    """OpenTelemetry with providers of the test's own."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    yield Watched(OpenTelemetry(SILENT, tracer_provider=tracers, meter_provider=meters), exporter, reader)
    tracers.shutdown()
    meters.shutdown()


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_to_stripe(watched: Watched, kind: Kind) -> None:
    """A client span by OpenTelemetry's HTTP conventions; ids only on the span, the duration by few attributes."""
    wired = Wired(kind, error(500), OK, telemetry=watched.telemetry)
    wired.get("/v1/customers/cus_1")

    (span,) = watched.spans
    assert (span.name, span.kind, span.status.status_code) == (
        "GET /v1/customers/{id}",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "url.template": "/v1/customers/{id}",
        "server.address": "api.stripe.com",
        "http.response.status_code": 200,
        "http.request.resend_count": 1,
        "stripe.request_id": "req_good1",
    }
    (point,) = watched.points()[STRIPE_DURATION.name]
    assert (point.count, dict(point.attributes)) == (
        1,
        {
            "http.request.method": "GET",
            "url.template": "/v1/customers/{id}",
            "server.address": "api.stripe.com",
            "http.response.status_code": 200,
        },
    )
    assert STRIPE_WAIT.name not in watched.points()


def test_a_call_that_fails(watched: Watched) -> None:
    """The span is an error with the code of ours, and without the exception's text or traceback."""
    wired = Wired("blocking", error(503), telemetry=watched.telemetry)
    with pytest.raises(Unavailable):
        wired.get()

    (span,) = watched.spans
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())
    assert span.attributes["error.type"] == Unavailable.code
    (point,) = watched.points()[STRIPE_DURATION.name]
    assert (point.attributes["error.type"], point.attributes["http.response.status_code"]) == (Unavailable.code, 503)


def test_a_story_is_traced(open_shop: Open, watched: Watched) -> None:
    """Webhooks are consumer spans with the calls to Stripe below them; lag, jobs and queues are measured."""
    shop = open_shop(telemetry=watched.telemetry)
    shop.buy()
    shop.billing.jobs.run()
    core = shop.billing._wiring.core
    traces.queue_depth(core, "inbox", 7)
    with pytest.raises(InvalidSignature):
        shop.billing.webhooks.receive(b"{}", "t=1,v1=00")

    by_id = {span.context.span_id: span for span in watched.spans}
    webhooks = [span for span in watched.spans if span.name == "process webhook"]
    below = [span for span in watched.spans if span.parent and by_id[span.parent.span_id] in webhooks]
    points = watched.points()
    assert {span.kind for span in webhooks} == {SpanKind.CONSUMER}
    assert all(span.attributes["kernia_billing.event.id"].startswith("evt_") for span in webhooks)
    assert "GET /v1/subscriptions/{id}" in {span.name for span in below}
    assert {"job webhooks", "job events"} <= {span.name for span in watched.spans}
    timed = {point.attributes["kernia_billing.job"] for point in points["kernia_billing.job.duration"]}
    assert {"webhooks", "events"} <= timed
    assert sum(point.count for point in points["kernia_billing.webhook.lag"]) == len(webhooks)
    depths = {point.attributes["kernia_billing.queue"]: point.value for point in points["kernia_billing.queue.depth"]}
    assert depths["inbox"] == 7
    received = {
        point.attributes["kernia_billing.outcome"]: point.value for point in points["kernia_billing.webhook.received"]
    }
    assert received["refused"] == 1
    assert received["verified"] == len(shop.stripe.deliveries)
    ids = ("evt_", "cus_", "sub_", "in_", "cs_")
    assert not [
        value
        for each in points.values()
        for point in each
        for value in point.attributes.values()
        if str(value).startswith(ids)
    ]


def test_a_webhook_that_fails_is_an_error(open_shop: Open, watched: Watched) -> None:
    """The span says so, and the lag is counted under `failed`."""
    shop = open_shop(telemetry=watched.telemetry, deliver="manual")
    opened = shop.upgrade()
    shop.stripe.pay(opened)
    shop.stripe.faults.append(Fault("status", 500, method="GET", path="/v1/subscriptions/*", times=None))
    shop.stripe.deliver()

    failed = [
        span for span in watched.spans if span.name == "process webhook" and span.status.status_code == StatusCode.ERROR
    ]
    assert failed
    outcomes = {point.attributes["kernia_billing.outcome"] for point in watched.points()["kernia_billing.webhook.lag"]}
    assert "failed" in outcomes


@pytest.mark.parametrize(
    ("path", "template"),
    [
        ("/v1/customers", "/v1/customers"),
        ("/v1/customers/cus_1/tax_ids/txi_1", "/v1/customers/{id}/tax_ids/{id}"),
        ("/v1/checkout/sessions/cs_test_1/expire", "/v1/checkout/sessions/{id}/expire"),
        ("/v1/products/gold", "/v1/products/{id}"),
        ("/v1/coupons/jane.doe", "/v1/coupons/{id}"),
        ("/v1/subscriptions/sub_1", "/v1/subscriptions/{id}"),
        ("/v1/billing/meter_events", "/v1/billing/meter_events"),
    ],
)
def test_paths_without_ids(path: str, template: str) -> None:
    """What was asked, not about whom."""
    assert template_of(path) == template


def test_choices() -> None:
    """The names of the option `telemetry`, with OpenTelemetry installed."""
    assert isinstance(telemetry_of("off"), NullTelemetry)
    assert isinstance(telemetry_of("logging"), LoggingTelemetry)
    assert isinstance(telemetry_of("auto"), OpenTelemetry)
    assert isinstance(telemetry_of("opentelemetry"), OpenTelemetry)


def test_without_opentelemetry() -> None:
    """Where its API is not installed "auto" logs, and "opentelemetry" is a mistake of the configuration."""
    program = """
import sys
sys.modules["opentelemetry"] = None
from kernia_billing import Billing, ConfigError
from kernia_billing.testing import StripeSimulator
with Billing(database="sqlite://", stripe_client=StripeSimulator()) as billing:
    print(type(billing._wiring.core.telemetry).__name__)
try:
    Billing(database="sqlite://", stripe_client=StripeSimulator(), telemetry="opentelemetry")
except ConfigError as wrong:
    print(wrong.problems)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "LoggingTelemetry",
        "('telemetry: opentelemetry is not installed: kernia-billing[otel] brings it',)",
    ]
