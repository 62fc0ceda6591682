"""What was wrong with meter events, told in the thin events that Stripe sends about ten seconds of them at a time.

Source: the package's `V1BillingMeterErrorReportTriggeredEvent` and `V1BillingMeterNoMeterFoundEvent`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..webhooks import thin
from ..world.errors import Json
from ..world.usage_book import MeterErrors

if TYPE_CHECKING:
    from ..world.world import World

WINDOW_SECONDS = 10
MOST_SAMPLES = 5
NO_METER = ""
"""Stands for the meter of events that have none."""


def note(world: World, meter: Json | None, code: str, message: str, request: str) -> None:
    """Put an error into the report of its meter, which goes out when its ten seconds are over."""
    key = meter["id"] if meter is not None else NO_METER
    errors = world.meter_errors.get(key)
    if errors is None:
        now = world.clock.seconds()
        errors = world.meter_errors[key] = MeterErrors(now)
        world.agenda.add(now + WINDOW_SECONDS, _report, key)
    errors.counts[code] = errors.counts.get(code, 0) + 1
    samples = errors.samples.setdefault(code, [])
    if len(samples) < MOST_SAMPLES:
        samples.append({"error_message": message, "request": {"identifier": request}})


def _report(world: World, key: str) -> None:
    errors = world.meter_errors.pop(key)
    total = sum(errors.counts.values())
    types = [
        {"code": code, "error_count": count, "sample_errors": errors.samples[code]}
        for code, count in errors.counts.items()
    ]
    data: Json = {
        "developer_message_summary": f"There {'is' if total == 1 else 'are'} {total} invalid event{'s'[: total != 1]}",
        "reason": {"error_count": total, "error_types": types},
        "validation_end": thin.iso(world.clock.seconds()),
        "validation_start": thin.iso(errors.start),
    }
    if key == NO_METER:
        thin.emit(world, "v1.billing.meter.no_meter_found", data)
    else:
        thin.emit(world, "v1.billing.meter.error_report_triggered", data, world.table("billing.meter").get(key))
