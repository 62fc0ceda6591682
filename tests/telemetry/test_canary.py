"""A story with marked secrets and a marked person, through everything: nothing that is told of it holds the marks.

Looked at are log records of every library at every level, OpenTelemetry's spans and metrics, texts and tracebacks of
all exceptions, the `repr` of what a program holds, the audit log, and the events for hooks. In the database there is no
secret at all, and the person only where its own row is, and where the call that made it is written down.
"""

from __future__ import annotations

import io
import json
import logging
import traceback
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from kernia_billing import Identity
from kernia_billing._drive import run_blocking
from kernia_billing.operations import intents
from kernia_billing.telemetry.logging import JsonFormatter, LoggingTelemetry
from kernia_billing.telemetry.otel import OpenTelemetry
from kernia_billing.testing import Fault, StripeSimulator
from tests.harness.counts import count
from tests.webhooks.shop import Shop, opened

KEY = "sk_test_CANARYkey0123456789"
SECRET = "whsec_CANARYsecret0123456789"
EMAIL = "jane.canary@person.example"
NAME = "Jane Pii-Canary"
SECRETS = ("CANARYkey", "CANARYsecret")
PERSON = ("jane.canary", "jane%2ecanary", "Pii-Canary", "person.example")


class Everything(logging.Handler):
    """Everything that anybody logs, in every form that a handler may give it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text, the attributes and the JSON of a record."""
        self.told += [
            logging.Formatter().format(record),
            repr(vars(record)),
            JsonFormatter(tracebacks=True).format(record),
        ]


@contextmanager
def listening() -> Generator[Everything]:
    """Hear the root logger at DEBUG, where everything arrives."""
    handler, root = Everything(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


class Canaries:
    """The shop of the story, and what was told of it."""

    def __init__(self, url: str) -> None:
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        telemetry = OpenTelemetry(LoggingTelemetry(), tracer_provider=self.tracers, meter_provider=self.meters)
        self.events: list[Any] = []
        self.raised: list[str] = []
        self.shop = _CanaryShop(url, options={"telemetry": telemetry, "on_event": self._hook})

    def _hook(self, event: Any) -> None:
        self.events.append(event)
        if event.type == "subscription.updated":
            raise RuntimeError("the application's own trouble")

    def attempt(self, act: Callable[[], object]) -> None:
        """Do something that may fail, and keep what the failure says."""
        try:
            act()
        except Exception as failure:  # noqa: BLE001 - whatever it is, its text counts
            self.raised += [str(failure), repr(failure), repr(vars(failure)), *traceback.format_exception(failure)]

    def close(self) -> None:
        """Close the providers."""
        self.tracers.shutdown()
        self.meters.shutdown()


class _CanaryShop(Shop):
    """A shop on an account whose key and secret are marked."""

    def __attrs_post_init__(self) -> None:
        original = StripeSimulator.__init__

        def marked(simulator: StripeSimulator, **options: Any) -> None:
            original(simulator, api_key=KEY, webhook_secret=SECRET, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(StripeSimulator, "__init__", marked)
            super().__attrs_post_init__()


@pytest.fixture
def canaries(sqlite_url: str) -> Iterator[Canaries]:
    """The story's shop."""
    made = Canaries(sqlite_url)
    with opened(made.shop):
        yield made
    made.close()


def story(canaries: Canaries) -> None:
    """Everything that a person can come near: made, sold, lost, refused, repeated, recovered, ended."""
    shop, attempt = canaries.shop, canaries.attempt
    billing, faults = shop.billing, shop.stripe.faults
    jane = Identity("jane", email=EMAIL, email_verified=True)
    faults.append(Fault("timeout_after", method="POST", path="/v1/customers", times=3))
    faults.append(Fault("timeout_before", method="GET", path="/v1/customers", times=3))
    attempt(lambda: billing.customers.ensure("jane", email=EMAIL, name=NAME))
    shop.stripe.advance(hours=1)
    attempt(lambda: run_blocking(intents.recover(billing._wiring.core)))
    for status in (400, 401, 402, 403, 404, 409, 429, 500, 503):
        faults.append(Fault("status", status, path="/v1/checkout/sessions", times=3))
        attempt(lambda: shop.upgrade("jane", identity=jane))
        faults.clear()
    for kind in ("html_502", "redirect", "torn_before", "drip_before", "reset_before"):
        faults.append(Fault(kind, path="/v1/checkout/sessions", times=4))  # pyright: ignore[reportArgumentType] - from a table of texts
        attempt(lambda: shop.upgrade("jane", identity=jane))
        faults.clear()
    attempt(lambda: billing.customers.ensure("jane2", email=EMAIL + "\n", name=NAME))
    attempt(lambda: billing.customers.ensure("jane2", email=EMAIL, name=NAME * 50))
    attempt(lambda: billing.customers.link("other", shop.customer("jane")))
    attempt(lambda: shop.buy("jane", identity=jane))
    attempt(lambda: shop.upgrade("jane", identity=jane))
    attempt(lambda: billing.portal("jane", return_url="/"))
    attempt(lambda: billing.webhooks.receive(b'{"email": "' + EMAIL.encode() + b'"}', "t=1,v1=" + SECRET))
    attempt(lambda: shop.post(b'{"object": "event", "email": "' + EMAIL.encode() + b'"'))
    attempt(lambda: shop.post({**shop.event("customer.created"), "id": "evt_person"}))
    attempt(lambda: shop.account.post(f"/v1/customers/{shop.customer('jane')}", {"name": NAME, "email": EMAIL}))
    attempt(lambda: billing.consume("jane", "messages", 10**6))
    attempt(lambda: billing.track("jane", "messages", 5, idempotency_key="k"))
    attempt(lambda: billing.track("jane", "messages", 6, idempotency_key="k"))
    shop.stripe.advance(days=40)
    attempt(billing.jobs.run)
    attempt(lambda: shop.account.delete(f"/v1/customers/{shop.customer('jane')}"))
    attempt(shop.stripe.flush)
    attempt(billing.jobs.run)
    attempt(lambda: shop.open(database="sqlite:////nowhere/at/all.db").customers.ensure("jane", email=EMAIL, name=NAME))


def hits(told: Iterator[str] | list[str], marks: tuple[str, ...]) -> list[str]:
    """The texts that hold a mark, around it."""
    found: list[str] = []
    for text in told:
        lowered = text.lower()
        for mark in marks:
            at = lowered.find(mark.lower())
            if at >= 0:
                found.append(text[max(0, at - 200) : at + 100])
    return found


def test_nothing_that_is_told_holds_a_secret_or_a_person(canaries: Canaries) -> None:
    """0 hits in logs, spans, metrics, exceptions, reprs and the audit log; 0 secrets in the database."""
    with listening() as log:
        story(canaries)
    shop, billing = canaries.shop, canaries.shop.billing
    wiring: Any = billing._wiring

    spans = [span.to_json() for span in canaries.exporter.get_finished_spans()]
    metrics = [json.dumps(json.loads(canaries.reader.get_metrics_data().to_json()))]  # type: ignore[union-attr]  # pyright: ignore[reportOptionalMemberAccess] - something was measured
    within: Any = wiring.core.stripe.__dict__
    held: list[Any] = [
        billing,
        billing.config,
        wiring,
        wiring.core,
        wiring.core.stripe,
        wiring.core.verifier,
        wiring.core.store,
    ]
    held += [billing.customers, billing.webhooks, *billing.audit("jane")]
    shown = [repr(each) for each in held]
    shown += [str(each) for each in held] + [repr(within)]
    rows = shop.rows()
    told = {
        "log records": log.told,
        "spans": spans,
        "metrics": metrics,
        "exceptions": canaries.raised,
        "reprs": shown,
        "audit rows": [json.dumps(rows["audit"], default=str)],
        "events for hooks": [json.dumps(rows["outbox"], default=str)],
    }

    assert len(log.told) > 300
    assert len(spans) > 50
    assert len(canaries.raised) > 80
    assert {name: hits(texts, SECRETS + PERSON) for name, texts in told.items() if hits(texts, SECRETS + PERSON)} == {}
    assert hits([json.dumps(rows, default=str)], SECRETS) == []
    personal = {name for name, table in rows.items() if hits([json.dumps(table, default=str)], PERSON)}
    assert personal == {"customer"}
    for name, texts in told.items():
        count(f"{name} without a secret or a person", len(texts))


def test_the_canaries_sing(canaries: Canaries) -> None:
    """The search finds what is there: the marks are in what Stripe holds, and in the one row that is for them."""
    canaries.shop.billing.customers.ensure("jane", email=EMAIL, name=NAME)
    stream = io.StringIO()
    print(canaries.shop.objects("customer"), file=stream)

    assert hits([stream.getvalue()], PERSON)
    assert hits([json.dumps(canaries.shop.rows()["customer"], default=str)], PERSON)
    assert canaries.shop.stripe.api_key == KEY
